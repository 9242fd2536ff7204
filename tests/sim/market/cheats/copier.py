"""Copies others' commitments with a better loss, and once they reveal tries to reveal with their model and salt."""

from __future__ import annotations

from learningchain.chain.contracts.job import store
from learningchain.chain.contracts.job.messages import Claim, Reveal
from learningchain.chain.contracts.job.records import JobState as JobState
from learningchain.chain.ledger.state import State
from learningchain.client.contracts.job.roles.policy import own_claim
from tests.sim.market.cheats.base import Cheat


class Copier(Cheat):
    listens = True

    def tick(self, state: State, clock: int) -> None:
        if not self.alive(state):
            return
        for job, _, record in self.open_jobs(state, clock):
            others = [store.read_claim(state, job, index) for index in range(record.claimants)]
            if others:
                victim = self.rng.choice(others)
                self.say(state, Claim(job, victim.loss - 10**6, victim.commitment, True), "copied commitment", self.CLAIM)
        for job, _, record in self.live(state):
            own = own_claim(state, job, self.id)
            if own is None or record.state != JobState.REVEAL or clock >= record.deadline:
                continue
            if own.model:
                self.count("revealed a copy")
            for (of, who), reveal in self.world.reveals.items():
                if of == job and who != self.id:
                    copy = Reveal(job, own.count, reveal.model, reveal.size, reveal.salt)
                    self.say(state, copy, "reveal of a copy", self.REVEAL)
