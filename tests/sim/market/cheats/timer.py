"""Holds the last message of every step: its reveal, its commitment, its opening come when all the others are there, so that the
block which handles it, and the beacon of that block, are of its choosing."""

from __future__ import annotations

from learningchain.chain.contracts.job.records import JobState as JobState
from learningchain.chain.ledger.state import State
from learningchain.chain.verification.votes import BallotCode
from tests.sim.market.cheats.base import Cheat, Seated
from tests.sim.market.engine import model_of
from tests.sim.market.sealed import Sealed

LAST_MS = 900
"""With so much left it speaks in any case."""


class LastMessage(Cheat):
    verifier = True

    @staticmethod
    def members(machines: int) -> int:
        """One that claims, and so may sit on no committee, and one that does not."""
        return 2

    def tick(self, state: State, clock: int) -> None:
        for job, _, _ in self.open_jobs(state, clock) if self.number == 0 else ():
            if self.alive(state) and self.rng.random() < 0.3:
                loss = self.rng.randrange(10**7, 10**8)
                self.claim(state, job, loss, model_of(loss, self.name))
        for job, _, record in self.live(state):
            mine = job in self.made and record.state == JobState.REVEAL
            if mine and self._is_time(record.revealed + 1 >= record.claimants, record.deadline - clock, "reveal"):
                self.reveal(state, job, clock)
        for s in self.seats(state, clock):
            done = s.record.committed + 1 if s.record.state == JobState.COMMIT else s.record.opened + 1
            among = len(s.round.voters) if s.record.state == JobState.COMMIT else s.record.committed
            if self._is_time(done >= among, s.record.deadline - clock, "vote"):
                self.vote(state, s, self._ballots(state, s))

    def _is_time(self, last: bool, left: int, what: str) -> bool:
        if last:
            self.count(f"held the last {what}")
        return last or left < LAST_MS

    def _ballots(self, state: State, s: Seated) -> Sealed:
        if s.place in self.votes:
            return self.votes[s.place]
        sealed = Sealed(self.random_bytes())
        for claim in self.candidates(state, s):
            losses = self.true_losses(claim)
            if losses is None:
                sealed.said(BallotCode.NOMODEL)
            else:
                self.measure(s, sealed, claim.loss, losses)
        return sealed
