"""What cheaters share: claims with the models behind them, reveals, and seats in committees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from chain.contracts.job import messages, records, store
from chain.contracts.job.messages import Ballot, Claim, CommitVote, OpenVote, Reveal
from chain.contracts.job.records import AuditRound, Job, Posting, Seat
from chain.contracts.job.records import JobState as JobState
from chain.host import ACTIVE, Account, account_key, terms
from chain.ledger.state import State
from client.contracts.job.policy import own_claim
from tests.sim.market.outsider import Outsider


@dataclass
class Made:
    """A claim and what it hides."""

    cid: bytes
    size: int
    salt: bytes
    loss: int


@dataclass
class Seated:
    """A seat of ours in the present round."""

    job: bytes
    posting: Posting
    record: Job
    round: AuditRound
    seat: Seat


@dataclass
class Ballots:
    ballots: list[Ballot]
    salt: bytes


class Cheat(Outsider):
    CLAIM, REVEAL, VOTE, OTHER = range(4)
    """Lanes."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.made: dict[bytes, Made] = {}
        self.votes: dict[tuple[bytes, int, int], Ballots] = {}

    def alive(self, state: State) -> bool:
        account: Any = state.get(account_key(self.id))
        return isinstance(account, Account) and account.status == ACTIVE

    # --- claims -------------------------------------------------------------------------------------------------------------------

    def open_jobs(self, state: State, clock: int) -> list[tuple[bytes, Posting, Job]]:
        """Where it could claim, and has not."""
        jobs = [j for j in self.live(state) if j[2].state == JobState.OPEN and clock < j[2].deadline]
        return [j for j in jobs if j[1].poster != self.id and own_claim(state, j[0], self.id) is None]

    def claim(self, state: State, job: bytes, loss: int, data: bytes, *, lane: int = CLAIM, label: str = "claim") -> bool:
        """Claim a loss for a model."""
        made = Made(self.keep(data), len(data), self.random_bytes(), loss)
        chain, digest = self.world.chain_id, terms.model_id(made.cid)
        sealed = messages.claim_commitment(chain, job, self.id, digest, made.salt)
        if not self.say(state, Claim(job, loss, sealed), label, lane):
            return False
        self.made[job] = made
        return True

    def reveal(self, state: State, job: bytes, clock: int) -> bool:
        """Open the standing claim, where it is time to."""
        record, own, made = state.get(records.job_key(job)), own_claim(state, job, self.id), self.made.get(job)
        if own is None or made is None or own.model or not isinstance(record, Job):
            return False
        if record.state != JobState.REVEAL or clock >= record.deadline:
            return False
        return self.say(state, Reveal(job, own.count, made.cid, made.size, made.salt), "reveal", self.REVEAL)

    # --- votes --------------------------------------------------------------------------------------------------------------------

    def seats(self, state: State, clock: int) -> Iterator[Seated]:
        for job, posting, record in self.live(state):
            if record.state not in (JobState.COMMIT, JobState.COUNT) or clock >= record.deadline:
                continue
            seat = state.get(records.seat_key(job, record.audit, record.round, self.id))
            if isinstance(seat, Seat):
                yield Seated(job, posting, record, store.read_round(state, job, record.audit, record.round), seat)

    def vote(self, state: State, s: Seated, ballots: list[Ballot], label: str = "vote") -> None:
        """Commit these ballots once, and open them when it is time."""
        place = (s.job, s.record.audit, s.record.round)
        mine = self.votes.setdefault(place, Ballots(ballots, self.random_bytes()))
        if s.record.state == JobState.COMMIT and not s.seat.commitment:
            sealed = messages.vote_commitment(self.world.chain_id, *place, self.id, mine.ballots, mine.salt)
            self.say(state, CommitVote(*place, sealed), f"commit {label}", self.VOTE)
        elif s.record.state == JobState.COUNT and s.seat.commitment and not s.seat.ballots:
            self.say(state, OpenVote(*place, mine.ballots, mine.salt), f"open {label}", self.VOTE)
