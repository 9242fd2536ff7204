"""Floods the ledger with cheap jobs, with jobs that pay best and whose image nobody has, and with claims that it never opens."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.job import messages
from learningchain.chain.contracts.job.messages import Claim
from learningchain.chain.contracts.job.records import JobState as JobState
from learningchain.chain.ledger.state import State
from learningchain.client.contracts.job.roles.policy import own_claim
from tests.sim.market.cheats.base import Cheat
from tests.sim.market.contractor import terms
from tests.sim.market.engine import NOBODY
from tests.sim.market.plan import JobPlan

BATCH = 5
"""Postings in one transaction."""
JOBS = 40
MOST = 20_000_000
"""More than any honest contractor pays."""
FIRST = 10**6
"""Better than every honest loss: it must be revealed, and never is."""


class Spammer(Cheat):
    def tick(self, state: State, clock: int) -> None:
        posted = sum(posting.poster == self.id for posting in self.world.postings.values())
        if posted < JOBS and self.world.now > 300:
            bait = posted % (2 * BATCH) >= BATCH
            plan = JobPlan(0, bounty=MOST if bait else self.rng.choice([10, 30, 100]), finalists=2)
            ops: list[Any] = [terms(clock, plan, 1_000 + posted + i, []) for i in range(BATCH)]
            if bait:
                ops = [replace(op, image=replace(op.image, reference=NOBODY)) for op in ops]
            self.world.desk.say(self, state, ops, "bait" if bait else "batch of jobs", self.OTHER, queue=2)
        for job, posting, record in self.live(state):
            if posting.poster == self.id or record.state != JobState.OPEN or clock >= record.deadline:
                continue
            own = own_claim(state, job, self.id)
            loss = FIRST if own is None else messages.improved(posting.terms, own.loss)
            self.world.desk.say(self, state, [Claim(job, loss, self.random_bytes(), True)], "empty claim", self.CLAIM, queue=4)
