"""Jobs, after `protocol_spec/job.md`: what their messages and deadlines do.

job_state   records             job_posts   postings, claims, reveals   job_claims   T0, T1, T2
job_ends    ends, leaving       job_votes   commits, openings           job_rounds   draws, verdicts, what follows
judging     the formulas
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.conformance import membership
from tests.conformance.checks import part, register
from tests.conformance.job_claims import close_claims, close_reveals, key_missing
from tests.conformance.job_ends import after_the_end, case_closed, give_back, next_page, remove_page
from tests.conformance.job_posts import cancel_job, claim_loss, extend_job, post_job, reveal, reveal_key
from tests.conformance.job_rounds import draw, evaluate_round, start_count
from tests.conformance.job_state import COMMIT, COUNT, DRAW, EMPTY, ENDED, KEY, OPEN, PAID, REFUNDED, REVEAL, Job, Work
from tests.conformance.job_votes import commit_vote, open_vote
from tests.conformance.judging import cd
from tests.conformance.ledger import State

ROWS: dict[int, Callable[[Work], None]] = {
    OPEN: close_claims,
    REVEAL: close_reveals,
    KEY: key_missing,
    DRAW: draw,
    COMMIT: start_count,
    COUNT: evaluate_round,
    PAID: after_the_end,
    REFUNDED: after_the_end,
    EMPTY: after_the_end,
}
STALE = register("LC-JOB-30: a deadline that is not the present one")


def on_due(s: State, job: bytes, at: int) -> None:
    """LC-JOB-30"""
    if s.get(b"jb/" + job) is None:
        leaving = s.get(b"jl/" + job)
        if leaving is not None:
            remove_page(s, job, *leaving)
        return
    work = Work(s, job)
    stale = work.job.deadline != at or (work.job.state == DRAW and s.height < work.job.draw_height)
    if stale and part(STALE):
        return
    work.set(deadline=0)
    ROWS[work.job.state](work)


def due_work(s: State, ref: bytes) -> int:
    """LC-BLK-31, without the 1"""
    found, leaving = s.get(b"jb/" + ref), s.get(b"jl/" + ref)
    if found is None:
        return 0 if leaving is None else next_page(s, ref, *leaving[1:4])[4]
    job = Job(*found)
    if job.state in ENDED:
        return next_page(s, ref, job.claimants, job.audit, job.round)[4]
    if job.state == DRAW:
        return 64 + cd(sum(key.startswith(b"m/") and s.get(key)[1] for key in s.records), 16)
    if job.state in (COMMIT, COUNT):
        rounds = [s.get(b"jr/" + ref + bytes([job.audit, r])) for r in range(1, job.round + 1)]
        return sum(sum(record[7]) for record in rounds if record is not None) + min(job.claimants, 128)
    return job.claimants


def work_of(message: list[Any]) -> int:
    """LC-JOB-25, LC-BLK-25"""
    if message[0] != 101 or not message[8]:
        return 32
    _, leaves, siblings = message[8][0]
    return 32 + cd(2 * len(leaves) + len(siblings) - 1 + 20, 10)


def is_party(s: State, ref: bytes, account: bytes) -> bool:
    """LC-MEM-20"""
    posting = s.get(b"jp/" + ref)
    return (posting is not None and posting[0] == account) or s.get(b"jm/" + ref + account) is not None


HANDLERS: dict[int, Callable[..., None]] = {
    96: post_job,
    97: claim_loss,
    98: reveal,
    99: reveal_key,
    100: commit_vote,
    101: open_vote,
    102: cancel_job,
    103: extend_job,
}
membership.PARTIES[3] = is_party
membership.TOLD[3] = case_closed
membership.GIVE_BACK[3] = give_back
