"""Says again what was said long ago, by itself or by others: old round states, votes, proposals, certificates, heights. Everything
is rightly signed, nothing is news."""

from __future__ import annotations

from collections import deque

from learningchain.chain.codec import encode
from learningchain.chain.crypto import SigningKey
from learningchain.chain.errors import Malformed
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from tests.sim.attacks.base import Byzantine
from tests.sim.world import World

OLD = (m.VoteMessage, m.CompactProposal, m.CertificateMessage, m.StateMessage, m.Blocks, m.FullBlock, m.BlockTxs)
AT_ONCE = 6


class Parrot(Byzantine):
    name = "parrot"

    def __init__(self, world: World, index: int, key: SigningKey) -> None:
        super().__init__(world, index, key)
        self.heard: deque[bytes] = deque(maxlen=400)

    def feed(self, event: e.Input) -> None:
        if isinstance(event, e.Received) and self.whim.random() < 0.2:
            self.heard.append(event.payload)
        super().feed(event)

    def act(self) -> None:
        for _ in range(AT_ONCE if len(self.heard) > AT_ONCE else 0):
            old = self.heard[self.whim.randrange(len(self.heard))]
            try:
                says = m.decode_message(old)
            except Malformed:  # what it says again would be somebody else's attack
                continue
            if isinstance(says, OLD):
                self.did("said again")
                self.tell_all(old)

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        if isinstance(message, m.Status):
            self.did("stale height")
            return [encode(m.Status(max(0, message.height - 3), 1))]
        self.heard.append(payload)
        return [payload]
