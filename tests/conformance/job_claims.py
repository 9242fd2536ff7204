"""T0, T1, T2 (LC-JOB-31 to LC-JOB-33)."""

from __future__ import annotations

from tests.conformance import judging, membership
from tests.conformance.checks import step
from tests.conformance.job_ends import burn_stake, finish, turn_hidden_off
from tests.conformance.job_rounds import to_draw
from tests.conformance.job_state import EMPTY, KEY, ON, REVEAL, SILENT, Work


def close_claims(work: Work) -> None:
    """LC-JOB-31"""
    if not work.job.claimants:
        finish(work, EMPTY, None)
        return
    work.set(closing=work.s.beacon)
    must = work.ranked(list(range(work.job.claimants)))[: work.terms.finalists]
    work.enter(REVEAL, work.p.reveal, must=must)
    work.noted("reveal.open", work.job.deadline, *[work.claim(index).claimant for index in must])


@step("LC-JOB-32")
def silent_claimants_lose_their_stakes(work: Work, index: int) -> None:
    claim = work.claim(index)
    if not membership.is_banned(work.s, claim.claimant):
        burn_stake(work, claim.claimant)
        membership.strike(work.s, claim.claimant, work.poster, "claim.silent", work.id)


def close_reveals(work: Work) -> None:
    """LC-JOB-32"""
    for index in work.job.must:
        if not work.claim(index).model:
            work.set_claim(index, result=SILENT)
            work.noted("silent", work.claim(index).claimant)
            silent_claimants_lose_their_stakes(work, index)
    ranked = work.ranked([index for index in range(work.job.claimants) if work.claim(index).model])
    places = judging.finalists([work.claim(index).full for index in ranked], work.terms.finalists)
    work.set(finalists=[ranked[at] for at in places])
    if not places:
        finish(work, EMPTY, None)
    elif work.job.hidden == ON:
        work.enter(KEY, work.p.key)
        work.noted("key.open", work.job.deadline)
    else:
        to_draw(work, 0, 1)


@step("LC-JOB-22")
def with_the_last_reveal_t1_is_now(work: Work) -> None:
    work.end_window()


def key_missing(work: Work) -> None:
    """LC-JOB-33"""
    work.noted("key.missing")
    turn_hidden_off(work)
    to_draw(work, 0, 1)
