"""A claimant that tells its friends the losses of its model, and friends who vote by what they hear and run nothing.

`number` 0 is the teller, the others listen. Where it tells the truth they save their runs; where it lies they lie with it.
"""

from __future__ import annotations

from typing import Any

from learningchain.chain.ledger.state import State
from learningchain.chain.verification.votes import BallotCode
from tests.sim.market.cheats.base import Cheat, Seated
from tests.sim.market.engine import EXAMPLES, model_of
from tests.sim.market.sealed import Sealed


class Teller(Cheat):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.verifier = self.number > 0
        self.lies = self.world.seed % 2 == 1

    @staticmethod
    def members(machines: int) -> int:
        return 3

    def tick(self, state: State, clock: int) -> None:
        if self.number == 0:
            self._claim(state, clock)
        for s in self.seats(state, clock):
            self.vote(state, s, self._heard(state, s))

    def _claim(self, state: State, clock: int) -> None:
        for job, _, _ in self.open_jobs(state, clock):
            if self.alive(state) and self.rng.random() < 0.3:
                loss = self.rng.randrange(10**6, 10**7)
                has = 900_000_000 if self.lies else loss
                self.claim(state, job, loss, model_of(has, self.name), label="false claim" if self.lies else "true claim")
        for job in list(self.made):
            self.reveal(state, job, clock)

    def _heard(self, state: State, s: Seated) -> Sealed:
        if s.place in self.votes:
            return self.votes[s.place]
        sealed, teller = Sealed(self.random_bytes()), self._teller()
        for claim in self.candidates(state, s):
            if claim.claimant != teller:
                sealed.said(BallotCode.ABSTAIN)
                continue
            told = [claim.loss] * EXAMPLES if self.lies else self.true_losses(claim)
            self.count("voted by what it heard")
            self.measure(s, sealed, claim.loss, told or [claim.loss] * EXAMPLES)
        return sealed

    def _teller(self) -> bytes:
        return next(o.id for o in self.world.cheats if isinstance(o, Teller) and o.number == 0)
