"""A contractor that races its own job: it claims on it itself, and through a puppet with a loss that nobody can beat, so that it
sees the bounty again and perhaps a model besides. `number` 0 posts, 1 is the puppet."""

from __future__ import annotations

from learningchain.chain.contracts.job.messages import OnCheat
from learningchain.chain.ledger.state import State
from tests.sim.market.cheats.base import Cheat
from tests.sim.market.contractor import terms
from tests.sim.market.engine import model_of
from tests.sim.market.plan import JobPlan

JOBS = 2


class Racer(Cheat):
    @staticmethod
    def members(machines: int) -> int:
        return 2

    def tick(self, state: State, clock: int) -> None:
        poster = next(o for o in self.world.cheats if isinstance(o, Racer) and o.number == 0)
        mine = [(job, posting, record) for job, posting, record in self.live(state) if posting.poster == poster.id]
        if self.number == 0:
            posted = sum(posting.poster == self.id for posting in self.world.postings.values())
            if posted < JOBS and not mine and self.rng.random() < 0.2:
                plan = JobPlan(0, bounty=5_000_000, finalists=2, on_cheat=int(OnCheat.REFUND))
                self.say(state, terms(clock, plan, 900 + posted, []), "post", self.OTHER)
            for job, _, _ in mine:
                if job not in self.made:
                    self.claim(state, job, 10**6, model_of(10**6, self.name), label="claim on its own job")
            return
        for job, _, _ in mine:
            if job in {j for j, _, _ in self.open_jobs(state, clock)} and self.rng.random() < 0.3:
                self.claim(state, job, 10**6, model_of(900_000_000, self.name), label="puppet's claim")
            self.reveal(state, job, clock)
