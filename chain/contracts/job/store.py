"""Reading and changing a job's records: what handlers, settlement and views share. Nothing here decides anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from chain.contracts.job import messages, records
from chain.contracts.job.messages import PostJob
from chain.contracts.job.params import JobParams
from chain.contracts.job.records import AuditRound, ClaimRecord, Job, Posting, Seat
from chain.errors import BrokenInvariant
from chain.host import Host, Reader, Won
from chain.host.deadlines import Deadline
from chain.verification.ranking import RankedClaim


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
        return self.host.params_of(JobParams)

    def change(self, **fields: Any) -> None:
        self.job = msgspec.structs.replace(self.job, **fields)
        self.host.put(records.job_key(self.id), self.job)

    def reload(self) -> None:
        """Read the record again after another contract ran: it may have called back into this one."""
        job = self.host.get(records.job_key(self.id), Job)
        if job is None:
            raise BrokenInvariant(f"job {self.id.hex()} vanished")
        self.job = job

    def tol(self, loss: int) -> int:
        return messages.tolerance(self.terms, loss)

    def claim(self, index: int) -> ClaimRecord:
        return read_claim(self.host.store, self.id, index)

    def change_claim(self, index: int, **fields: Any) -> None:
        record = msgspec.structs.replace(self.claim(index), **fields)
        self.host.put(records.claim_key(self.id, index), record)

    def entries(self, indices: list[int]) -> list[RankedClaim]:
        """These claims as the ranking sees them."""
        return [RankedClaim(claim.position, claim.loss, index) for index, claim in ((i, self.claim(i)) for i in indices)]

    def stop(self) -> None:
        """Take back the deadline, if one is set."""
        if self.job.deadline:
            self.change(deadline=self._deadline.clear(self.job.deadline))

    def move_to(self, state: int, window: int, **fields: Any) -> None:
        """Enter a state that lasts at most `window` from now. Replaces the deadline that was set."""
        self.change(state=int(state), deadline=self._deadline.window(self.job.deadline, window), **fields)

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
        return Won(work.posting.poster, claim.claimant, claim.model, claim.size)


@dataclass(frozen=True)
class OpenedBallot:
    """One opened ballot on one candidate."""

    round: int
    voter: bytes
    ballot: messages.Ballot


def opened_ballots(reader: Reader, job_id: bytes, audit: int, round_: int, candidate: int) -> list[OpenedBallot]:
    """The opened ballots on a candidate in one round, in draw order."""
    found = []
    for voter in read_round(reader, job_id, audit, round_).voters:
        seat = read_seat(reader, job_id, audit, round_, voter)
        if seat.ballots and candidate in seat.candidates:
            found.append(OpenedBallot(round_, voter, seat.ballots[seat.candidates.index(candidate)]))
    return found


def votes_of(opened: list[OpenedBallot]) -> list[tuple[int, int]]:
    """(code, measured) pairs for `rules.tally`."""
    return [(o.ballot.code, o.ballot.measured) for o in opened]
