"""A verifier that runs nothing and always says that the claim is right, with losses that it makes up."""

from __future__ import annotations

from learningchain.chain.ledger.state import State
from tests.sim.market.cheats.base import Cheat, Seated
from tests.sim.market.engine import EXAMPLES
from tests.sim.market.sealed import Sealed


class Lazy(Cheat):
    verifier = True

    def tick(self, state: State, clock: int) -> None:
        for s in self.seats(state, clock):
            self.vote(state, s, self._ballots(state, s))

    def _ballots(self, state: State, s: Seated) -> Sealed:
        sealed = Sealed(self.random_bytes())
        for claim in self.candidates(state, s):
            self.measure(s, sealed, claim.loss, [claim.loss] * EXAMPLES)
        return sealed
