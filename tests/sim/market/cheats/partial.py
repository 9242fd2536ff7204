"""A verifier that evaluates an eighth of the examples and makes up the rest, so that the mean is what was claimed."""

from __future__ import annotations

from learningchain.chain.ledger.state import State
from learningchain.chain.verification.votes import BallotCode
from tests.sim.market.cheats.base import Cheat, Seated
from tests.sim.market.sealed import Sealed

SHARE = 8


class PartialRunner(Cheat):
    verifier = True

    def tick(self, state: State, clock: int) -> None:
        for s in self.seats(state, clock):
            if s.place not in self.votes:
                self.votes[s.place] = self._ballots(state, s)
            self.vote(state, s, self.votes[s.place])

    def _ballots(self, state: State, s: Seated) -> Sealed:
        sealed = Sealed(self.random_bytes())
        for claim in self.candidates(state, s):
            losses = self.true_losses(claim)
            if losses is None:
                sealed.said(BallotCode.NOMODEL)
                continue
            run = len(losses) // SHARE
            rest, missing = claim.loss * len(losses) - sum(losses[:run]), len(losses) - run
            made_up = [rest // missing + (k < rest % missing) for k in range(missing)]
            self.measure(s, sealed, claim.loss, losses[:run] + made_up)
        return sealed
