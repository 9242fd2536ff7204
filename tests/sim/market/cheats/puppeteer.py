"""A contractor with a puppet: its image calls everybody a liar but the puppet, which claims what nobody else would and is paid.

`number` 0 posts, 1 is the puppet. So the bounty stays in the family, and the models that honest workers showed for it cost a stake.
"""

from __future__ import annotations

from learningchain.chain.ledger.state import State
from learningchain.sandbox import RunStatus
from tests.sim.market.cheats.lying_evaluator import FAR, Liar
from tests.sim.market.engine import Seen, model_of

WORST = 950_000_000
"""Worse than what any honest worker has: those are judged before it."""


class Puppeteer(Liar):
    @staticmethod
    def members(machines: int) -> int:
        return 2

    def tick(self, state: State, clock: int) -> None:
        if self.number == 0:
            super().tick(state, clock)
            return
        master = next(o for o in self.world.cheats if isinstance(o, Puppeteer) and o.number == 0)
        for job, posting, _ in self.open_jobs(state, clock):
            if posting.poster == master.id and self.rng.random() < 0.3:
                self.claim(state, job, WORST, model_of(WORST, self.name), label="puppet's claim")
        for job in list(self.made):
            self.reveal(state, job, clock)

    def lie(self, seen: Seen, truth: int, committee: bool) -> int | RunStatus:
        return truth if seen.by == self.name or not committee else truth + FAR
