"""A Byzantine machine: the real node, whose outgoing messages are twisted. It may sign anything with its own key.

Each attack is one small file with one class. What it really did is counted in the world's faults as "attack: <name>, <what>", so
that a test can tell an attack that happens from one that only has a name.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import ClassVar

from learningchain.chain.codec import encode
from learningchain.chain.consensus.height import HeightState
from learningchain.chain.consensus.messages import SignProposal, SignVote
from learningchain.chain.crypto import SigningKey
from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.double_sign_check import DoubleSignCheck
from learningchain.chain.types import Header, Proposal, Vote, block_id, proposal_digest, vote_digest
from learningchain.p2p.wire import NODE
from tests.sim.machine import Machine
from tests.sim.world import World


class Byzantine(Machine):
    name: ClassVar[str] = ""
    pace: ClassVar[int] = 1
    """`act` is called at every so many ticks of the node."""

    def __init__(self, world: World, index: int, key: SigningKey) -> None:
        super().__init__(world, index, key)
        self.honest = False
        self.whim = random.Random(world.seed * 1_300 + index)
        self._seen: tuple[bytes, m.Message] | None = None
        self._ticks = 0

    def _open(self) -> None:
        """It does not care what its key signed in an earlier life, or what a twin of it signs."""
        super()._open()
        self.node._double_sign_check = DoubleSignCheck(self.id, None)

    def did(self, what: str, count: int = 1) -> None:
        self.world.faults[f"attack: {self.name}, {what}"] += count

    def feed(self, event: e.Input) -> None:
        """Its own tricks may confuse it: then it starts again."""
        try:
            super().feed(event)
        except BrokenInvariant:
            self.crash()
        if self.up and event == e.Fired(e.Tick()):
            self._ticks += 1
            if self._ticks % self.pace == 0:
                self.act()

    def act(self) -> None:
        """What it does of its own accord, now and then."""

    def emit(self, peer: int, payload: bytes, channel: int = NODE) -> None:
        if channel != NODE:
            super().emit(peer, payload, channel)
            return
        if self._seen is None or self._seen[0] is not payload:  # the same bytes go to many peers
            self._seen = (payload, m.decode_message(payload))
        for twisted in self.twist(peer, self._seen[1], payload):
            super().emit(peer, twisted)

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        """What goes out instead of a message."""
        return [payload]

    def tell(self, peer: int, payload: bytes) -> None:
        """Exactly these bytes."""
        super().emit(peer, payload)

    def tell_all(self, payload: bytes) -> None:
        for peer in sorted(self.peers):
            self.tell(peer, payload)

    # --- what it knows ------------------------------------------------------------------------------------------------------------

    @property
    def height_state(self) -> HeightState | None:
        """What its node knows of the height that is being decided; its locks may be changed in it."""
        return self.node.consensus._state if self.up else None

    def honest_validators(self) -> Iterator[int]:
        return (machine.index for machine in self.world.honest if machine.index < self.world.profile.validators)

    def proposes(self, height: int, round_: int) -> bool:
        """Whether that was or is its turn, as far as its node can tell."""
        return height == self.node.height + 1 and self.node.consensus.proposer(round_) == self.id

    # --- forging with its own key -----------------------------------------------------------------------------------------------

    def own_vote(self, type_: int, height: int, round_: int, block: bytes) -> bytes:
        signature = self.key.sign(vote_digest(self.chain_id, type_, height, round_, block))
        return encode(m.VoteMessage(Vote(type_, height, round_, block, self.id, signature)))

    def own_proposal(self, of: Proposal, header: Header, ids: list[bytes]) -> bytes:
        key = block_id(header)
        signature = self.key.sign(proposal_digest(self.chain_id, of.height, of.round, of.pol_round, key))
        proposal = Proposal(of.height, of.round, of.pol_round, key, self.id, signature)
        return encode(m.CompactProposal(proposal, header, ids))

    def sign(self, request: SignVote | SignProposal) -> None:
        """Without the guard."""
        r = request
        if isinstance(r, SignVote):
            digest = vote_digest(self.chain_id, r.type, r.height, r.round, r.block_id)
        else:
            digest = proposal_digest(self.chain_id, r.height, r.round, r.pol_round, r.block_id)
        self.later(1, e.SignedMessage(self.message(r, self.key.sign(digest))))
