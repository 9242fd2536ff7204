"""What the state says about this node's messages of the job contract: whether one stands, still can, or no longer can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chain.contracts.job import records
from chain.contracts.job.messages import Claim, CommitVote, OpenVote, Reveal, RevealKey
from chain.contracts.job.records import Job, State
from chain.contracts.job.records import Seat as SeatRecord
from chain.host import Reader
from client.contracts.job.policy import own_claim
from client.work.machine import Fate, FateOf


def _of_job(says: Callable[[Reader, bytes, Job, Any], Fate]) -> FateOf:
    """All of them are about a job, and none takes effect once that job's present deadline has passed."""

    def fate(reader: Reader, me: bytes, clock: int, op: Any) -> tuple[Fate, int | None]:
        job = reader.get(records.job_key(op.job))
        if not isinstance(job, Job):
            return Fate.TOO_LATE, None
        found = says(reader, me, job, op)
        return (Fate.TOO_LATE if found is Fate.OPEN and clock >= job.deadline else found), job.deadline

    return fate


def _while(job: Job, state: State) -> Fate:
    return Fate.OPEN if job.state == state else Fate.TOO_LATE


def _claim(reader: Reader, me: bytes, job: Job, op: Claim) -> Fate:
    own = own_claim(reader, op.job, me)
    return Fate.STANDS if own is not None and own.commitment == op.commitment else _while(job, State.OPEN)


def _reveal(reader: Reader, me: bytes, job: Job, op: Reveal) -> Fate:
    own = own_claim(reader, op.job, me)
    return Fate.STANDS if own is not None and own.model else _while(job, State.REVEAL)


def _key(reader: Reader, me: bytes, job: Job, op: RevealKey) -> Fate:
    return Fate.STANDS if job.key else _while(job, State.KEY)


def _commit(reader: Reader, me: bytes, job: Job, op: CommitVote) -> Fate:
    seat = reader.get(records.seat_key(op.job, op.audit, op.round, me))
    if not isinstance(seat, SeatRecord):
        return Fate.TOO_LATE
    if seat.commitment:
        return Fate.STANDS if seat.commitment == op.commitment else Fate.DISPLACED
    return _while(job, State.COMMIT) if (job.audit, job.round) == (op.audit, op.round) else Fate.TOO_LATE


def _open(reader: Reader, me: bytes, job: Job, op: OpenVote) -> Fate:
    seat = reader.get(records.seat_key(op.job, op.audit, op.round, me))
    if not isinstance(seat, SeatRecord):
        return Fate.TOO_LATE
    if seat.ballots:
        return Fate.STANDS
    return _while(job, State.COUNT) if (job.audit, job.round) == (op.audit, op.round) else Fate.TOO_LATE


FATES: dict[type, FateOf] = {
    Claim: _of_job(_claim),
    Reveal: _of_job(_reveal),
    RevealKey: _of_job(_key),
    CommitVote: _of_job(_commit),
    OpenVote: _of_job(_open),
}
