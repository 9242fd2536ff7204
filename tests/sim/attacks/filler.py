"""Members with next to nothing fill everybody's disk: the largest transactions that are refused or pay one of their own, as fast as
blocks take them. Who has written what its bandwidth lets it write passes its credits to the next identity, which goes on.

`checks_bytes` bounds what all of it may come to.
"""

from __future__ import annotations

import msgspec

from learningchain.chain import bandwidth
from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.crypto import SigningKey
from learningchain.chain.host import Account, account_key
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.node import messages as m
from learningchain.chain.params import CREDIT, MAX_OPS
from learningchain.chain.types import TxBody, net_of
from tests.sim.attacks.base import Byzantine
from tests.sim.world import World

AT_ONCE = 12
MOST = 600
"""Transactions of one filler in a run."""
MEMO = b"x" * 64


class Filler(Byzantine):
    name = "filler"
    pace = 2
    brings = (CREDIT + 10_000, 0, 0)
    """The first holds one credit and what its transfers to the others take."""

    def __init__(self, world: World, index: int, key: SigningKey) -> None:
        super().__init__(world, index, key)
        self._turn = 0
        """Whose credits they are now, and who writes."""

    def act(self) -> None:
        if self.world.faults[f"attack: {self.name}, sent"] >= MOST:
            return
        writer, following = self._turn, (self._turn + 1) % len(self.brings)
        account = self.node.state.get(account_key(self.others[writer][0]))
        if not isinstance(account, Account):
            return
        kind = self.whim.choice(["refused", "self-made"])
        wasted = [Transfer(self.others[following][0], int(kind == "self-made"), MEMO)] * MAX_OPS
        clock = chain_record(self.node.state).clock
        left = bandwidth.left(self.world.params, account.balance, account.arrival, clock)
        raw = self._signed(writer, account.sequences[0], wasted)
        if left > 2 * len(raw):
            self._send(kind, [raw, *(self._signed(writer, account.sequences[0] + i, wasted) for i in range(1, AT_ONCE))])
        elif account.balance >= CREDIT:
            self._send(
                "passed on", [self._signed(writer, account.sequences[0], [Transfer(self.others[following][0], CREDIT, b"")])]
            )
        else:
            self.did("dry")
            self._turn = following

    def _send(self, what: str, raws: list[bytes]) -> None:
        self.did(what)
        self.did("sent", len(raws))
        self.tell_all(encode(m.Txs(raws)))

    def _signed(self, who: int, sequence: int, ops: list[Transfer]) -> bytes:
        identity, key = self.others[who]
        body = TxBody(net_of(self.chain_id), identity, 0, sequence, self.node.height + 60, [msgspec.Raw(encode(op)) for op in ops])
        return sign_tx(key, self.chain_id, body)
