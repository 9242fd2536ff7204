"""What cheaters share: claims with the models behind them, reveals, and seats in committees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from learningchain.chain.contracts.job import messages, records, store
from learningchain.chain.contracts.job.messages import Claim, Reveal
from learningchain.chain.contracts.job.records import AuditRound, ClaimRecord, Job, Posting, Seat
from learningchain.chain.contracts.job.records import JobState as JobState
from learningchain.chain.host import ACTIVE, Account, account_key, terms
from learningchain.chain.ledger.state import State
from learningchain.client.contracts.job.roles.policy import own_claim
from tests.sim.market.contractor import HARDER
from tests.sim.market.engine import losses_of, truth_of
from tests.sim.market.outsider import Outsider
from tests.sim.market.sealed import Place, Sealed


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

    @property
    def place(self) -> Place:
        return self.job, self.record.audit, self.record.round


class Cheat(Outsider):
    CLAIM, REVEAL, VOTE, OTHER = range(4)
    """Lanes."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.made: dict[bytes, Made] = {}
        self.votes: dict[Place, Sealed] = {}

    def alive(self, state: State) -> bool:
        account: Any = state.get(account_key(self.id))
        return isinstance(account, Account) and account.status == ACTIVE

    # --- claims -------------------------------------------------------------------------------------------------------------------

    def open_jobs(self, state: State, clock: int) -> list[tuple[bytes, Posting, Job]]:
        """Where it could claim, and has not."""
        jobs = [j for j in self.live(state) if j[2].state == JobState.OPEN and clock < j[2].deadline]
        return [j for j in jobs if j[1].poster != self.id and own_claim(state, j[0], self.id) is None]

    def claim(
        self, state: State, job: bytes, loss: int, data: bytes, *, lane: int = CLAIM, label: str = "claim", stake: bool = True
    ) -> bool:
        """Claim a loss for a model."""
        made = Made(self.keep(data), len(data), self.random_bytes(), loss)
        chain, digest = self.world.chain_id, terms.model_id(made.cid)
        sealed = messages.claim_commitment(chain, job, self.id, digest, made.salt)
        if not self.say(state, Claim(job, loss, sealed, stake), label, lane):
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

    def candidates(self, state: State, s: Seated) -> list[ClaimRecord]:
        return [store.read_claim(state, s.job, index) for index in s.seat.candidates]

    def true_losses(self, claim: ClaimRecord) -> list[int] | None:
        """What an honest evaluation writes, where the model is one."""
        data = self.world.web.known.get(claim.model)
        truth = None if data is None else truth_of(data)
        return None if data is None or truth is None else losses_of(data, truth)

    def vote(self, state: State, s: Seated, sealed: Sealed, label: str = "vote") -> None:
        """Commit these ballots once, and open them column by column when it is time."""
        mine = self.votes.setdefault(s.place, sealed)
        if s.record.state == JobState.COMMIT and not s.seat.commitment:
            self.say(state, mine.commit(self.world.chain_id, s.place, self.id), f"commit {label}", self.VOTE)
        elif s.record.state == JobState.COUNT and s.seat.commitment:
            opening = mine.opening(s.place, s.seat, s.round.probe)
            if opening is not None:
                self.say(state, opening, f"open {label}", self.VOTE)

    def measure(self, s: Seated, sealed: Sealed, claimed: int, losses: list[int]) -> None:
        """A ballot with these losses; those on the hidden data, where there is some, are what an honest evaluation adds."""
        hidden = [loss + HARDER for loss in losses] if s.round.hidden else None
        sealed.measured(s.posting.terms, claimed, losses, hidden, False)
