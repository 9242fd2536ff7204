"""Reading and changing a job's records: what messages, deadlines and views share. Nothing here decides anything."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from learningchain.chain.contracts.job import messages, records
from learningchain.chain.contracts.job.messages import PostJob
from learningchain.chain.contracts.job.params import JobParams
from learningchain.chain.contracts.job.records import AuditRound, ClaimRecord, Job, JobState, Posting, Seat
from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.host import Host, Reader, Won, params_at
from learningchain.chain.host.deadlines import Deadline
from learningchain.chain.losses import Measurement
from learningchain.chain.verification import ranking, windows
from learningchain.chain.verification.ranking import RankedClaim
from learningchain.chain.verification.votes import BallotCode, Column, OpenedVote, Scale


@dataclass
class JobContext:
    """One job under one handler: its id, its posting and its record, which `change` keeps equal to the state."""

    host: Host
    id: bytes
    posting: Posting
    job: Job

    @property
    def terms(self) -> PostJob:
        return self.posting.terms

    @property
    def params(self) -> JobParams:
        """Those of its posting: a vote that changes them shortens no window of a job that stands (LC-BLK-35)."""
        return self.host.params_at(JobParams, self.posting.posted)

    def change(self, **fields: Any) -> None:
        self.job = msgspec.structs.replace(self.job, **fields)
        self.host.put(records.job_key(self.id), self.job)

    # claims

    def tol(self, loss: int) -> int:
        return messages.tolerance(self.terms, loss)

    def scale(self, claim: ClaimRecord) -> Scale:
        return messages.scale_of(self.terms, claim.loss)

    def claim(self, index: int) -> ClaimRecord:
        return read_claim(self.host.store, self.id, index)

    def change_claim(self, index: int, **fields: Any) -> None:
        record = msgspec.structs.replace(self.claim(index), **fields)
        self.host.put(records.claim_key(self.id, index), record)

    def entries(self, indices: Iterable[int]) -> list[RankedClaim]:
        """These claims as the ranking sees them; once claims are closed."""
        return ranked_claims(self.job, ((index, self.claim(index)) for index in indices))

    def of(self, indices: Iterable[int]) -> list[bytes]:
        """The claimants of these claims."""
        return [self.claim(index).claimant for index in indices]

    # seats

    def change_seat(self, round_: int, voter: bytes, **fields: Any) -> Seat:
        seat = msgspec.structs.replace(read_seat(self.host.store, self.id, self.job.audit, round_, voter), **fields)
        self.host.put(records.seat_key(self.id, self.job.audit, round_, voter), seat)
        return seat

    # deadlines

    def stop(self) -> None:
        """Take back the deadline, if one is set."""
        if not self.job.deadline:
            return
        if self.job.state == JobState.DRAW:
            at = self.job.deadline
            self.host.cancel_at_height(self.job.draw_height, at, records.NUMBER, self.id, self.posting.poster)
            self.change(deadline=0)
        else:
            self.change(deadline=self._deadline.clear(self.job.deadline))

    def move_to(self, state: int, window: int, **fields: Any) -> None:
        """Enter a state that lasts at most `window` from now. Replaces the deadline that was set."""
        self.change(state=int(state), deadline=self._deadline.window(self.job.deadline, window), **fields)

    def end_window(self) -> None:
        """Nobody is left who could do anything in the present state: its deadline comes in the next block."""
        self.change(deadline=self._deadline.come(self.job.deadline))

    def to_draw(self, audit: int, round_: int, again: Iterable[int] = ()) -> None:
        """LC-JOB-34: a committee is drawn d blocks from now. The deadline keeps when that was asked for."""
        self.stop()
        height = self.host.height + windows.draw_delay(len(self.host.validators()))
        self.change(
            state=JobState.DRAW,
            deadline=self.host.schedule_at_height(height, records.NUMBER, self.id, self.posting.poster),
            draw_height=height,
            audit=audit,
            round=round_,
            again=list(again),
            committed=0,
            opened=0,
        )
        self.host.emit("draw", self.id, audit, round_, height)

    @property
    def _deadline(self) -> Deadline:
        return Deadline(self.host, records.NUMBER, self.id, self.posting.poster)


def load(host: Host, job_id: bytes) -> JobContext | None:
    job = host.get(records.job_key(job_id), Job)
    posting = host.get(records.posting_key(job_id), Posting)
    return JobContext(host, job_id, posting, job) if job and posting else None


def read_claim(reader: Reader, job_id: bytes, index: int) -> ClaimRecord:
    record = reader.get(records.claim_key(job_id, index))
    if not isinstance(record, ClaimRecord):
        raise BrokenInvariant(f"job {job_id.hex()} has no claim {index}")
    return record


def params_of(reader: Reader, job_id: bytes) -> JobParams:
    """The parameters that a job of the state runs by: those of its posting (LC-BLK-35)."""
    posting: Any = reader.get(records.posting_key(job_id))
    return params_at(reader, records.NUMBER, JobParams, posting.posted)


def ranked_claims(job: Job, claims: Iterable[tuple[int, ClaimRecord]]) -> list[RankedClaim]:
    """LC-JOB-5: claims in their order: by height, and inside a block by the beacon that closed the claims."""
    return [
        RankedClaim(ranking.position(claim.height, job.closing, claim.tx, claim.op), claim.loss, index) for index, claim in claims
    ]


def read_round(reader: Reader, job_id: bytes, audit: int, round_: int) -> AuditRound:
    record = reader.get(records.round_key(job_id, audit, round_))
    if not isinstance(record, AuditRound):
        raise BrokenInvariant(f"job {job_id.hex()} has no round {round_} of audit {audit}")
    return record


def read_seat(reader: Reader, job_id: bytes, audit: int, round_: int, voter: bytes) -> Seat:
    record = reader.get(records.seat_key(job_id, audit, round_, voter))
    if not isinstance(record, Seat):
        raise BrokenInvariant(f"job {job_id.hex()}: a voter of round {round_} of audit {audit} has no seat")
    return record


class Finished:
    """Service `winners`."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def of(self, job: bytes) -> Won | None:
        work = load(self._host, job)
        if work is None or not work.job.winner:
            return None
        claim = work.claim(work.job.winner[0])
        terms = work.terms
        ran = (terms.image, terms.arch, terms.params, terms.limits)
        return Won(work.posting.poster, claim.claimant, claim.model, claim.size, *ran)


# --- votes ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RoundSeats:
    """One round of an audit with everybody who sits, as they stand now."""

    record: AuditRound
    seats: dict[bytes, Seat]

    def opened(self, index: int, finalists: Collection[bytes]) -> list[OpenedVote]:
        """The votes on one candidate of those seats all of whose columns are open, in draw order."""
        return [
            _vote(voter, seat, seat.candidates.index(index), voter not in finalists)
            for voter, seat in self.seats.items()
            if seat.complete and index in seat.candidates
        ]


def read_seats(reader: Reader, job_id: bytes, audit: int, round_: int) -> RoundSeats | None:
    """None where that round was not drawn."""
    record = reader.get(records.round_key(job_id, audit, round_))
    if not isinstance(record, AuditRound):
        return None
    return RoundSeats(record, {voter: read_seat(reader, job_id, audit, round_, voter) for voter in record.voters})


def _vote(voter: bytes, seat: Seat, place: int, neutral: bool) -> OpenedVote:
    ballot = seat.ballots[place]
    public, hidden = _column(seat, place, False, ballot.public), _column(seat, place, True, ballot.hidden)
    return OpenedVote(voter, neutral, BallotCode(ballot.code), public, hidden, ballot.badkey)


def _column(seat: Seat, place: int, hidden: bool, measured: list[Measurement]) -> Column | None:
    if not measured:
        return None
    shown = next(column for column in seat.shown if (column.candidate, column.hidden) == (place, hidden))
    return Column(measured[0].mean, measured[0].count, tuple(shown.losses))


def measured_columns(ballots: messages.Ballots) -> list[tuple[int, bool]]:
    """What a seat with these ballots has to open: index of the candidate among its own, and whether the hidden column."""
    return [
        (place, hidden)
        for place, ballot in enumerate(ballots)
        for hidden, column in ((False, ballot.public), (True, ballot.hidden))
        if column
    ]
