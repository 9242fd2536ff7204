"""Contractors whose evaluation lies: to committees by the clock, to some machines, at random, a little, or by breaking down.

A worker that evaluates its model gets the truth; whoever looks later, or elsewhere, hears that it lied. Nothing in a container can
stop that: what it costs is bounded instead, and the contractor loses as much.
"""

from __future__ import annotations

from learningchain.chain.contracts.job.messages import OnCheat
from learningchain.chain.ledger.state import State
from learningchain.chain.verification.scale import base
from learningchain.sandbox import RunStatus
from tests.sim.market.cheats.base import Cheat
from tests.sim.market.contractor import terms
from tests.sim.market.engine import Program, Seen
from tests.sim.market.plan import OPEN_MS, JobPlan

JOBS = 2
AFTER_T0 = 300
"""Milliseconds by which everybody has looked at its own model for the last time."""
FAR = 500_000_000


class Liar(Cheat):
    """Posts jobs whose image lies in the way of its kind."""

    jobs = JOBS
    on_cheat = OnCheat.NEXT_BEST

    def tick(self, state: State, clock: int) -> None:
        posted = [p for p in self.world.postings.values() if p.poster == self.id]
        mine = [job for job, posting, _ in self.live(state) if posting.poster == self.id]
        if not self.alive(state) or len(posted) >= self.jobs or mine or self.rng.random() > 0.2:
            return
        plan = JobPlan(0, bounty=5_000_000, finalists=2, on_cheat=int(self.on_cheat))
        name = f"lies/{self.name.replace(' ', '-')}{self.number}-"
        posting = terms(clock, plan, len(posted), [], name)
        if self.say(state, posting, "post", self.OTHER):
            self.world.web.programs[f"{name}{len(posted)}"] = self.program(self.world.now + OPEN_MS + AFTER_T0)

    def program(self, since: int) -> Program:
        """What its image says. `since`: when committees look, in virtual time."""

        def lies(seen: Seen, truth: int) -> int | RunStatus:
            said = self.lie(seen, truth, seen.clock >= since)
            if said != truth:
                self.count("its image lied")
                self.world.lied[seen.by].add(self.id)
            return said

        return lies

    def lie(self, seen: Seen, truth: int, committee: bool) -> int | RunStatus:
        return truth


class ByClock(Liar):
    def lie(self, seen: Seen, truth: int, committee: bool) -> int | RunStatus:
        return truth + FAR if committee else truth


class ByMachine(Liar):
    def lie(self, seen: Seen, truth: int, committee: bool) -> int | RunStatus:
        return truth + FAR if seen.machine % 2 else truth


class AtRandom(Liar):
    def lie(self, seen: Seen, truth: int, committee: bool) -> int | RunStatus:
        return truth + seen.dice.choice([0, 0, FAR // 2, FAR])


class Near(Liar):
    """Above the tolerance, below what would be a lie of the worker."""

    def lie(self, seen: Seen, truth: int, committee: bool) -> int | RunStatus:
        return truth + 100 * base(1, truth) if committee else truth


class Exits75(Liar):
    """Says that it lacks memory, to committees only."""

    def lie(self, seen: Seen, truth: int, committee: bool) -> int | RunStatus:
        return RunStatus.OUT_OF_RESOURCES if committee else truth
