"""Claims losses that its models do not have: far below (a lie), or just below what the tolerance forgives."""

from __future__ import annotations

from learningchain.chain.contracts.job import messages
from learningchain.chain.contracts.job.messages import PostJob
from learningchain.chain.ledger.state import State
from tests.sim.market.cheats.base import Cheat
from tests.sim.market.engine import model_of


class FalseLoss(Cheat):
    def tick(self, state: State, clock: int) -> None:
        if not self.alive(state):
            return
        for job, posting, _ in self.open_jobs(state, clock):
            if self.rng.random() < 0.3:
                loss = self.rng.randrange(10**6, 10**7)
                self.claim(state, job, loss, model_of(self.real(posting.terms, loss), self.name), label="false claim")
        for job in list(self.made):
            self.reveal(state, job, clock)

    def real(self, terms: PostJob, loss: int) -> int:
        """What its model has: mostly a lie, sometimes only near."""
        if self.rng.random() < 0.25:
            return loss + (messages.tolerance(terms, loss) + messages.bound(terms, loss)) // 2
        return 900_000_000
