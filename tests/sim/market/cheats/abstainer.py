"""Verifiers that answer and never judge: as many as the honest ones, so that committees might decide nothing."""

from __future__ import annotations

from learningchain.chain.ledger.state import State
from learningchain.chain.verification.votes import BallotCode
from tests.sim.market.cheats.base import Cheat
from tests.sim.market.sealed import Sealed


class Abstainer(Cheat):
    verifier = True

    @staticmethod
    def members(machines: int) -> int:
        return machines // 2

    def tick(self, state: State, clock: int) -> None:
        for s in self.seats(state, clock):
            sealed = Sealed(self.random_bytes())
            for _ in s.seat.candidates:
                sealed.said(BallotCode.ABSTAIN)
            self.vote(state, s, sealed, "abstention")
