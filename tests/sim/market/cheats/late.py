"""Trains well and claims as late as it can: some claims come before the expiry, some after; and it reveals at the last moment."""

from __future__ import annotations

from learningchain.chain.contracts.job import messages
from learningchain.chain.contracts.job.records import JobState as JobState
from learningchain.chain.ledger.state import State
from learningchain.client.contracts.job.roles.policy import own_claim
from tests.sim.market.cheats.base import Cheat
from tests.sim.market.engine import model_of

EARLY_MS = 500
LATE_MS = 300


class Late(Cheat):
    def tick(self, state: State, clock: int) -> None:
        for job, posting, record in self.live(state):
            expiry = posting.terms.expiry
            if record.state == JobState.OPEN and expiry - EARLY_MS <= clock < expiry + LATE_MS:
                own = own_claim(state, job, self.id)
                loss = 50_000_000 if own is None else messages.improved(posting.terms, own.loss)
                self.claim(state, job, loss, model_of(loss, self.name), lane=self.rng.choice([0, 3]), label="late claim")
            elif record.state == JobState.REVEAL and record.deadline - clock < EARLY_MS:
                self.reveal(state, job, clock)
