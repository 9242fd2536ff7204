"""What the state says about this node's messages of the job contract: whether one stands, still can, or no longer can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.messages import Claim, CommitVote, OpenVote, Reveal, RevealKey
from learningchain.chain.contracts.job.records import Job, JobState
from learningchain.chain.contracts.job.records import Seat as SeatRecord
from learningchain.chain.host import Reader
from learningchain.client.contracts.job.roles.policy import own_claim
from learningchain.client.work.machine import LedgerStatus, LedgerStatusOf


def _of_job(says: Callable[[Reader, bytes, Job, Any], LedgerStatus]) -> LedgerStatusOf:
    """All of them are about a job, and none takes effect once that job's present deadline has passed."""

    def status(reader: Reader, me: bytes, clock: int, op: Any) -> tuple[LedgerStatus, int | None]:
        job = reader.get(records.job_key(op.job))
        if not isinstance(job, Job):
            return LedgerStatus.TOO_LATE, None
        found = says(reader, me, job, op)
        return (LedgerStatus.TOO_LATE if found is LedgerStatus.OPEN and clock >= job.deadline else found), job.deadline

    return status


def _while(job: Job, state: JobState) -> LedgerStatus:
    return LedgerStatus.OPEN if job.state == state else LedgerStatus.TOO_LATE


def _claim(reader: Reader, me: bytes, job: Job, op: Claim) -> LedgerStatus:
    own = own_claim(reader, op.job, me)
    return LedgerStatus.STANDS if own is not None and own.commitment == op.commitment else _while(job, JobState.OPEN)


def _reveal(reader: Reader, me: bytes, job: Job, op: Reveal) -> LedgerStatus:
    own = own_claim(reader, op.job, me)
    return LedgerStatus.STANDS if own is not None and own.model else _while(job, JobState.REVEAL)


def _key(reader: Reader, me: bytes, job: Job, op: RevealKey) -> LedgerStatus:
    return LedgerStatus.STANDS if job.key else _while(job, JobState.KEY)


def _commit(reader: Reader, me: bytes, job: Job, op: CommitVote) -> LedgerStatus:
    seat = reader.get(records.seat_key(op.job, op.audit, op.round, me))
    if not isinstance(seat, SeatRecord):
        return LedgerStatus.TOO_LATE
    if seat.commitment:
        return LedgerStatus.STANDS if seat.commitment == op.commitment else LedgerStatus.DISPLACED
    return _while(job, JobState.COMMIT) if (job.audit, job.round) == (op.audit, op.round) else LedgerStatus.TOO_LATE


def _open(reader: Reader, me: bytes, job: Job, op: OpenVote) -> LedgerStatus:
    seat = reader.get(records.seat_key(op.job, op.audit, op.round, me))
    if not isinstance(seat, SeatRecord):
        return LedgerStatus.TOO_LATE
    shown = any((column.candidate, column.hidden) == (op.candidate, op.hidden) for column in seat.shown)
    if shown or (not op.opening and seat.ballots):
        return LedgerStatus.STANDS
    return _while(job, JobState.COUNT) if (job.audit, job.round) == (op.audit, op.round) else LedgerStatus.TOO_LATE


LEDGER_STATUSES: dict[type, LedgerStatusOf] = {
    Claim: _of_job(_claim),
    Reveal: _of_job(_reveal),
    RevealKey: _of_job(_key),
    CommitVote: _of_job(_commit),
    OpenVote: _of_job(_open),
}
