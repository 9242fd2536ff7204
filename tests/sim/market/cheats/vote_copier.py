"""A verifier that runs nothing: it commits to what another committed to, and once votes are opened it opens the other's ballots."""

from __future__ import annotations

from typing import Any

from learningchain.chain.contracts.job import store
from learningchain.chain.contracts.job.messages import CommitVote
from learningchain.chain.contracts.job.records import JobState as JobState
from learningchain.chain.ledger.state import State
from tests.sim.market.cheats.base import Cheat, Seated


class VoteCopier(Cheat):
    verifier = True
    listens = True

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.blind = self.world.seed % 2 == 1
        """It commits to a salt of its own instead of another's commitment."""

    def tick(self, state: State, clock: int) -> None:
        for s in self.seats(state, clock):
            if s.seat.complete:
                self.count("opened a copied vote")
            elif s.record.state == JobState.COMMIT and not s.seat.commitment:
                self._commit(state, s)
            elif s.record.state == JobState.COUNT and s.seat.commitment:
                self._open(state, s)

    def _commit(self, state: State, s: Seated) -> None:
        place = s.place
        others = [store.read_seat(state, *place, voter).commitment for voter in s.round.voters if voter != self.id]
        copied = self.random_bytes() if self.blind else next((c for c in others if c), b"")
        if copied:
            self.say(state, CommitVote(*place, copied), "copied commitment", self.VOTE)

    def _open(self, state: State, s: Seated) -> None:
        place = s.place
        for voter in s.round.voters:
            heard = self.world.opened.get((*place, voter))
            if heard is not None and voter != self.id:
                self.say(state, heard, "copied ballots", self.VOTE)
