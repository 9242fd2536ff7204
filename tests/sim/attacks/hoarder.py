"""Fills its peers' mempools with what its account may sign: what waits for a predecessor that never comes, more ready ones than
blocks take, messages with a deadline that are refused after all. Honest clients' messages enter all the same, and are decided.

The room is small while it runs, so that a short run can fill it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job.messages import Claim
from learningchain.chain.host import Account, account_key
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.node import messages as m
from learningchain.chain.node.space import COMMON, MIN_CHARGE, URGENT
from learningchain.chain.types import TxBody, net_of
from tests.sim.attacks.base import Byzantine

LANE = 3
"""Honest clients use the other ones, also for its account."""
AT_ONCE = 80
MOST = 3_000
"""Transactions of one hoarder in a run."""
CLAIMS = 30
"""Messages in one transaction: the first is refused."""
ROOM = tuple(room * MIN_CHARGE for room in (64, 80, 96, 112))
"""What honest clients have under way that is not ready never fills the first of them."""


class Hoarder(Byzantine):
    name = "hoarder"
    pace = 2
    limits = (
        ("learningchain.chain.node.space.LIMITS", ROOM),
        ("learningchain.chain.node.space.GAP_SHARE", 8 * MIN_CHARGE),
        ("learningchain.chain.node.space.GAP_BURST", 4 * MIN_CHARGE),
    )

    def act(self) -> None:
        if self.world.faults[f"attack: {self.name}, sent"] >= MOST:
            return
        account = self.node.state.get(account_key(self.id))
        first = account.sequences[LANE] if isinstance(account, Account) else 0
        pay = Transfer(self.world.ids[0], self.whim.randrange(1, 1_000), b"")
        claim = Claim(self.whim.randbytes(32), 0, bytes(32), True)
        kind = self.whim.choice(["gap", "far gap", "ready", "ready", "refused with a deadline"])
        if kind == "ready":
            raws = [self._signed(first + i, [pay]) for i in range(AT_ONCE)]
        elif kind == "refused with a deadline":
            raws = [self._signed(first + i, [claim] * CLAIMS) for i in range(AT_ONCE // 4)]
        else:
            gap = 1 if kind == "gap" else self.whim.randrange(2, 8_000)
            raws = [self._signed(first + gap + i, [self.whim.choice([pay, claim])]) for i in range(AT_ONCE)]
        self.did(kind)
        self.did("sent", len(raws))
        self.tell_all(encode(m.Txs(raws)))
        for victim in self.world.honest:
            if victim.up and any(victim.node.pool.space.short_of(kind, MIN_CHARGE) == kind for kind in (COMMON, URGENT)):
                self.did("room was taken")

    def _signed(self, sequence: int, ops: list[Any]) -> bytes:
        """For as long as can be."""
        packed = [msgspec.Raw(encode(op)) for op in ops]
        until = self.node.height + 99_000
        return sign_tx(self.key, self.chain_id, TxBody(net_of(self.chain_id), self.id, LANE, sequence, until, packed))
