"""A verifier that runs nothing and always says that the claim is right, with a probe that it makes up."""

from __future__ import annotations

from chain.contracts.job import store
from chain.contracts.job.messages import Ballot
from chain.contracts.job.rules import HiddenVote, VoteCode
from chain.ledger.state import State
from tests.sim.market.cheats.base import Cheat, Seated


class Lazy(Cheat):
    verifier = True

    def tick(self, state: State, clock: int) -> None:
        for s in self.seats(state, clock):
            self.vote(state, s, [self.ballot(state, s, index) for index in s.seat.candidates])

    def ballot(self, state: State, s: Seated, index: int) -> Ballot:
        loss = store.read_claim(state, s.job, index).loss
        value = (HiddenVote.VALUE, loss) if s.round.hidden else (HiddenVote.NONE, 0)
        return Ballot(int(VoteCode.OK), loss, loss, int(value[0]), value[1])
