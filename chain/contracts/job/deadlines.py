"""What happens by itself: which row a deadline brings, what it costs, and how a case of this job ended. Spec: LC-JOB-30, 58.

Nothing here may raise `Reject`: a deadline has nobody to refuse.
"""

from __future__ import annotations

from collections.abc import Callable

from learningchain.chain.contracts.job import claims, draws, ends, leaving, records, store, verdicts
from learningchain.chain.contracts.job.records import ENDED, AuditRound, CaseState, Job, JobCase, JobState, Leaving
from learningchain.chain.contracts.job.store import JobContext
from learningchain.chain.host import BANNED, SUSPENDED, DueReader, Host, Reader
from learningchain.chain.verification.committee import SECOND_ROUND
from learningchain.chain.verification.scale import ceil_div

ROWS: dict[int, Callable[[JobContext], None]] = {
    JobState.OPEN: claims.close_claims,
    JobState.REVEAL: claims.close_reveals,
    JobState.KEY: claims.key_missing,
    JobState.DRAW: draws.draw,
    JobState.COMMIT: verdicts.start_count,
    JobState.COUNT: verdicts.evaluate_round,
}


def on_due(host: Host, job_id: bytes, at: int) -> None:
    """A deadline has come. A stale one (the state ended early) changes nothing (LC-JOB-30)."""
    work = store.load(host, job_id)
    if work is None:
        leaving.go_on(host, job_id)
        return
    if work.job.deadline != at or (work.job.state == JobState.DRAW and host.height < work.job.draw_height):
        return
    work.change(deadline=0)
    if work.job.state in ENDED:
        before = work.job
        _close_by_status(work)
        if work.job.released < work.job.claimants:
            ends.release_stakes(work)
        leaving.try_to_leave(work, before)
    else:
        ROWS[work.job.state](work)


HASHES_AT_ONCE = 16
"""LC-BLK-31: tickets that are drawn in less than the time that one vote of a verdict takes: 31 and 63 microseconds."""


def due_work(reader: DueReader, job_id: bytes) -> int:
    """LC-BLK-31: the records that the next deadline goes through.

    Claims are ranked at the end of two windows; a draw looks at everybody who has the flag, and seats at most a second round's
    committee; verdicts look at every seat of the audit, and where they end the job, the first stakes go back; of what ended, stakes
    go back and records leave, in pages.
    """
    record = reader.get(records.job_key(job_id)) or reader.get(records.leaving_key(job_id))
    if isinstance(record, Leaving) or (isinstance(record, Job) and record.state in ENDED):
        return leaving.page_size(reader, job_id, record)
    if not isinstance(record, Job):
        return 0
    if record.state == JobState.DRAW:
        return SECOND_ROUND + ceil_div(reader.flagged(), HASHES_AT_ONCE)
    if record.state in (JobState.COMMIT, JobState.COUNT):
        votes = sum(_votes(reader, job_id, record.audit, round_) for round_ in range(1, record.round + 1))
        return votes + min(record.claimants, ends.RELEASE_PAGE)
    return record.claimants


def _votes(reader: Reader, job_id: bytes, audit: int, round_: int) -> int:
    record = reader.get(records.round_key(job_id, audit, round_))
    return sum(record.seats) if isinstance(record, AuditRound) else 0


def on_case_closed(host: Host, job_id: bytes, account: bytes, banned: bool) -> None:
    """The membership contract closed a suspension that a verdict of this job caused (LC-JOB-58)."""
    work = store.load(host, job_id)
    if work is None:
        return
    state = CaseState.BANNED if banned else CaseState.DISMISSED
    cases = [JobCase(c.account, state) if c.account == account and c.state == CaseState.PENDING else c for c in work.job.cases]
    work.change(cases=cases)
    if work.job.state in ENDED:
        leaving.put_off(work)


def _close_by_status(work: JobContext) -> None:
    """A case of which nobody told the end is over once its account is not suspended any more."""
    cases = []
    for case in work.job.cases:
        account = work.host.account(case.account)
        if case.state == CaseState.PENDING and account is not None and account.status != SUSPENDED:
            state = CaseState.BANNED if account.status == BANNED else CaseState.DISMISSED
            cases.append(JobCase(case.account, state))
        else:
            cases.append(case)
    if cases != work.job.cases:
        work.change(cases=cases)
