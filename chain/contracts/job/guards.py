"""What every message asks before it does anything: the job, its state, and whether the sender may. Spec: LC-JOB-20 to 25."""

from __future__ import annotations

from learningchain.chain.contracts.job import records, store
from learningchain.chain.contracts.job.messages import JobCode
from learningchain.chain.contracts.job.records import JobState, Seat
from learningchain.chain.contracts.job.store import JobContext
from learningchain.chain.errors import Reject
from learningchain.chain.host import STANDING, Host
from learningchain.chain.host.deadlines import is_open


def load(host: Host, job_id: bytes) -> JobContext:
    work = store.load(host, job_id)
    if work is None:
        text = f"there is no job {job_id.hex()} in the state: there never was, or it ended long ago and left (LC-JOB-45)"
        raise Reject(JobCode.NO_SUCH_JOB, text)
    return work


def require_state(work: JobContext, state: JobState, what: str) -> None:
    """The job is in `state` and its deadline has not passed, even when the deadline event is still waiting its turn."""
    if work.job.state != state:
        late = work.job.state > state
        text = f"{what} {'came too late' if late else 'came too early'}: the job is {JobState(work.job.state).name}"
        raise Reject(JobCode.TOO_LATE if late else JobCode.WRONG_STATE, text)
    if not is_open(work.host, work.job.deadline):
        raise Reject(JobCode.TOO_LATE, f"the time for {what} ended at {work.job.deadline} of the chain clock")


def require_active(host: Host, sender: bytes, what: str) -> None:
    """Neither suspended nor banned. Transactions of banned accounts never come this far."""
    if not host.is_active(sender):
        raise Reject(JobCode.SUSPENDED, f"while a case against you is open you may not {what}")


def require_standing(host: Host, sender: bytes, what: str) -> None:
    """LC-JOB-13: live strikes from the jobs of three contractors bar from posting and claiming."""
    if not host.service(STANDING).stands(sender):
        raise Reject(JobCode.NO_STANDING, f"you have live strikes from three contractors: you may not {what} until one ends")


def require_poster(work: JobContext, sender: bytes, what: str) -> None:
    if sender != work.posting.poster:
        raise Reject(JobCode.NOT_POSTER, f"only the contractor of the job {what}")


def require_seat(work: JobContext, sender: bytes, audit: int, round_: int) -> Seat:
    if (audit, round_) != (work.job.audit, work.job.round):
        raise Reject(JobCode.WRONG_ROUND, f"the job is in round {work.job.round} of audit {work.job.audit}")
    seat = work.host.get(records.seat_key(work.id, audit, round_, sender), Seat)
    if seat is None:
        raise Reject(JobCode.NOT_IN_COMMITTEE, "you do not sit on this committee")
    return seat
