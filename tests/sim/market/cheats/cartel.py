"""Verifiers who vote together: for the false claim of one of them, and against the honest ones.

Their first member claims a loss that its model does not have. On its claim all the others say OK with one made-up measurement, on
everybody else's FALSE with one made-up measurement, so that their votes agree as the rules ask.
"""

from __future__ import annotations

from learningchain.chain.contracts.job import messages
from learningchain.chain.ledger.state import State
from tests.sim.market.cheats.base import Cheat, Seated
from tests.sim.market.engine import EXAMPLES, model_of
from tests.sim.market.sealed import Sealed


class Cartel(Cheat):
    verifier = True

    def tick(self, state: State, clock: int) -> None:
        if not self.number:
            self._claim(state, clock)
        for s in self.seats(state, clock):
            self.vote(state, s, self._ballots(state, s))

    def _claim(self, state: State, clock: int) -> None:
        if not self.alive(state):
            return
        for job, _, _ in self.open_jobs(state, clock):
            if self.rng.random() < 0.2:
                loss = self.rng.randrange(10**6, 10**7)
                self.claim(state, job, loss, model_of(900_000_000, self.name), label="false claim")
        for job in list(self.made):
            self.reveal(state, job, clock)

    def _ballots(self, state: State, s: Seated) -> Sealed:
        sealed, terms = Sealed(self.random_bytes()), s.posting.terms
        ours = {other.id for other in self.world.cheats if isinstance(other, Cartel)}
        for claim in self.candidates(state, s):
            measured = claim.loss if claim.claimant in ours else claim.loss + 2 * messages.bound(terms, claim.loss)
            self.measure(s, sealed, claim.loss, [measured] * EXAMPLES)
        return sealed


class SmallCartel(Cartel):
    """Below a third of every committee that has all the honest verifiers in it."""

    @staticmethod
    def members(machines: int) -> int:
        return 2


class ThirdCartel(Cartel):
    """A third or more, less than a half."""

    @staticmethod
    def members(machines: int) -> int:
        return machines // 2 + 1


class MajorityCartel(Cartel):
    """More than a half."""

    @staticmethod
    def members(machines: int) -> int:
        return machines + 2


class QuorumCartel(Cartel):
    """More than two thirds: whatever they say is a verdict."""

    @staticmethod
    def members(machines: int) -> int:
        return 2 * machines + 3
