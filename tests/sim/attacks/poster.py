"""Posts as many jobs as one account may have, so that they expire just before the others' jobs, and tries to post more.

What it postpones is its own: a block shares its deadlines by account, and runs few of them here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.messages import PostJob
from learningchain.chain.contracts.job.params import JobParams
from learningchain.chain.contracts.job.records import NUMBER
from learningchain.chain.host import Account, account_key, read_params
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.node import messages as m
from learningchain.chain.types import TxBody, net_of
from tests.sim.attacks.base import Byzantine
from tests.unit.job_kit import posting

LANE = 3
"""Honest clients use the other ones, also for its account."""
AT_ONCE = 20
MOST = 60
"""Transactions of one poster in a run."""


class Poster(Byzantine):
    name = "poster"
    pace = 2

    def act(self) -> None:
        if self.world.faults[f"attack: {self.name}, sent"] >= MOST:
            return
        state = self.node.state
        params = read_params(state, NUMBER, JobParams)
        clock = chain_record(state).clock
        others = [at - 1 for at in self._expiries(state) if at - 1 - clock > params.job_min_open]
        expiry = min(others, default=clock + 5 * params.job_min_open)
        record: Any = state.get(records.contractor_key(self.id))
        live = record.live if record is not None else 0
        self.did("bound reached" if live + AT_ONCE > params.job_max_live else "posted", AT_ONCE)
        if others:
            self.did("just before another's")
        self.did("sent")
        account = state.get(account_key(self.id))
        sequence = account.sequences[LANE] if isinstance(account, Account) else 0
        one = posting(expiry=expiry, bounty=10, fee=70, finalists=2, eval_s=1)
        self.tell_all(encode(m.Txs([self._signed(sequence, [one] * AT_ONCE)])))

    def _expiries(self, state: State) -> list[int]:
        """Of the others' jobs that are open."""
        found = []
        for key, live in state.scan(records.live_key(b""), 1_000):
            posted: Any = state.get(records.posting_key(key[len(records.live_key(b"")) :]))
            if posted.poster != self.id:
                found.append(live.expiry)
        return found

    def _signed(self, sequence: int, ops: list[PostJob]) -> bytes:
        packed = [msgspec.Raw(encode(op)) for op in ops]
        until = self.node.height + 60
        return sign_tx(self.key, self.chain_id, TxBody(net_of(self.chain_id), self.id, LANE, sequence, until, packed))
