"""How a job ends, and how its records leave the state (LC-JOB-39 to LC-JOB-41, 44 to 46, 53, 58)."""

from __future__ import annotations

from tests.conformance import judging
from tests.conformance.checks import step
from tests.conformance.job_state import (
    BECAME_A_BAN,
    DISMISSED,
    EMPTY,
    ENDED,
    KEPT_WINNERS,
    OFF,
    PAGE,
    PENDING,
    REFUNDED,
    Claim,
    Work,
)
from tests.conformance.ledger import BANNED, SUSPENDED, State, burn, escrowed, pay, schedule
from tests.conformance.wire import encode


def finish(work: Work, state: int, winner: int | None) -> None:
    """LC-JOB-39"""
    s, bounty = work.s, work.terms.bounty
    work.stop()
    s.drop(b"j/" + work.id)
    work.set(state=state, ended=s.clock, winner=[] if winner is None else [winner])
    if winner is None:
        pay(s, work.id + b"B", work.poster, bounty, "bounty.returned", work.id)
        work.noted("refunded" if state == REFUNDED else "empty", work.poster, bounty)
    else:
        claim = work.claim(winner)
        pay(s, work.id + b"B", claim.claimant, bounty, "bounty", work.id)
        work.noted("paid", claim.claimant, bounty, claim.model, claim.loss)
    the_bond_burns_what_verdicts_burned(work)
    _return_rest(work)
    _count_end(work, winner)
    release_stakes(work)
    _await_leaving(work)


@step("LC-JOB-40")
def the_bond_burns_what_verdicts_burned(work: Work) -> None:
    held = escrowed(work.s, work.id + b"G")
    burned = min(work.job.burned, held)
    burn(work.s, work.id + b"G", burned, "bond.burned", work.id)
    work.set(bond_burned=burned)
    work.noted("bond", burned, held - burned)


def _return_rest(work: Work) -> None:
    for what, suffix in (("bond", b"G"), ("fees", b"F"), ("deposit", b"D")):
        pay(work.s, work.id + suffix, work.poster, escrowed(work.s, work.id + suffix), f"{what}.returned", work.id)


def _count_end(work: Work, winner: int | None) -> None:
    """LC-JOB-53"""
    old, bounty = work.contractor(), work.terms.bounty
    results = [work.claim(index).result for index in work.job.finalists]
    new = old._replace(live=old.live - 1, live_bytes=old.live_bytes - len(encode(work.terms.raw)))
    new = new._replace(undecided=old.undecided + (judging.IS_UNDECIDED in results))
    if winner is not None:
        claimant = work.claim(winner).claimant
        winners = [*(one for one in old.winners if one != claimant), claimant]
        older = old.older_winners + max(0, len(winners) - KEPT_WINNERS)
        new = new._replace(paid=old.paid + bounty, winners=winners[-KEPT_WINNERS:], older_winners=older)
    elif work.job.revealed:
        new = new._replace(refunded=old.refunded + bounty)
    work.set_contractor(new)


def release_stakes(work: Work) -> None:
    """LC-JOB-39"""
    job = work.job
    end = min(job.released + PAGE, job.claimants)
    for index in range(job.released, end):
        release_stake(work, work.claim(index).claimant)
    work.set(released=end)
    if end < job.claimants:
        work.enter(job.state, 1)


def burn_stake(work: Work, claimant: bytes) -> int:
    amount = escrowed(work.s, work.id + claimant)
    burn(work.s, work.id + claimant, amount, "stake.burned", work.id)
    return amount


def release_stake(work: Work, claimant: bytes) -> None:
    pay(work.s, work.id + claimant, claimant, escrowed(work.s, work.id + claimant), "stake", work.id)


def turn_hidden_off(work: Work) -> None:
    """LC-JOB-10, 33"""
    burn(work.s, work.id + b"D", escrowed(work.s, work.id + b"D"), "deposit.burned", work.id)
    work.set(hidden=OFF)


# --- after the end: LC-JOB-41, 44 to 46, 58 -------------------------------------------------------------------------------------


def give_back(s: State, job: bytes) -> None:
    """LC-JOB-41, 46"""
    if s.get(b"jb/" + job) is None:
        poster, claims, audit, round_, _ = s.get(b"jl/" + job)
        s.put(b"jl/" + job, [poster, claims, audit, round_, True])
        schedule(s, poster, s.clock + 1, 3, job)
        return
    work = Work(s, job)
    work.stop()
    pay(s, job + b"B", work.poster, escrowed(s, job + b"B"), "bounty.returned", job)
    _return_rest(work)
    if work.job.state not in ENDED:
        s.drop(b"j/" + job)
        work.set(state=EMPTY, ended=s.clock)
        work.noted("empty", work.poster, work.terms.bounty)
        _count_end(work, None)
    release_stakes(work)
    _await_leaving(work)


def _await_leaving(work: Work) -> None:
    """LC-JOB-44"""
    if not work.job.deadline:
        _last_deadline(work)


def _last_deadline(work: Work) -> None:
    work.enter(work.job.state, max(1, work.job.ended + work.p.keep - work.s.clock))


def case_closed(s: State, job: bytes, account: bytes, banned: bool) -> None:
    """LC-JOB-58"""
    if s.get(b"jb/" + job) is None:
        return
    work = Work(s, job)
    became = BECAME_A_BAN if banned else DISMISSED
    work.set(cases=[[who, became if who == account and state == PENDING else state] for who, state in work.job.cases])
    if work.job.state in ENDED and work.job.released == work.job.claimants:
        _last_deadline(work)


def after_the_end(work: Work) -> None:
    """LC-JOB-44"""
    s, before = work.s, work.job
    for who, state in list(work.job.cases):
        account = s.account(who)
        if state == PENDING and account is not None and account.status != SUSPENDED:
            became = BECAME_A_BAN if account.status == BANNED else DISMISSED
            work.set(cases=[[w, became if w == who and x == PENDING else x] for w, x in work.job.cases])
    if work.job.released < work.job.claimants:
        release_stakes(work)
    if work.job.deadline:
        return
    if any(state == PENDING for _, state in work.job.cases):
        work.enter(work.job.state, 4 * s.member_params.appeal + 1)
    elif work.job != before or s.clock < work.job.ended + work.p.keep:
        _last_deadline(work)
    else:
        _leave(work)


def _leave(work: Work) -> None:
    """LC-JOB-45"""
    s, job = work.s, work.job
    work.noted("job.left", job.state, job.ended)
    for key in (b"jp/" + work.id, b"jb/" + work.id, b"jn/" + work.number.to_bytes(8, "big")):
        s.drop(key)
    remove_page(s, work.id, work.poster, job.claimants, job.audit, job.round, False)


def next_page(
    s: State, job: bytes, claims: int, audit: int, round_: int
) -> tuple[int, list[tuple[int, int, list[bytes]]], int, int, int]:
    """LC-JOB-45: the first claim that goes, the rounds that go, the last round that is left, how many records go."""
    first = max(0, claims - PAGE)
    size, rounds = claims - first, []
    while round_:
        votes = s.get(b"jr/" + job + bytes([audit, round_]))
        if votes is not None:
            if size >= PAGE:
                break
            rounds.append((audit, round_, votes[8]))
            size += 1 + len(votes[8])
        audit, round_ = (audit, 1) if round_ == 2 else (audit - 1, 2) if audit else (0, 0)
    return first, rounds, audit, round_, size


def remove_page(s: State, job: bytes, poster: bytes, claims: int, audit: int, round_: int, given_back: bool) -> None:
    first, rounds, audit, round_, _ = next_page(s, job, claims, audit, round_)
    for index in range(first, claims):
        key = b"jc/" + job + index.to_bytes(4, "big")
        claimant = Claim(*s.get(key)).claimant
        if given_back:
            pay(s, job + claimant, claimant, escrowed(s, job + claimant), "stake", job)
        s.drop(key)
        s.drop(b"jm/" + job + claimant)
    for at, number, voters in rounds:
        for voter in voters:
            s.drop(b"js/" + job + bytes([at, number]) + voter)
        s.drop(b"jr/" + job + bytes([at, number]))
    if first or round_:
        s.put(b"jl/" + job, [poster, first, audit, round_, given_back])
        schedule(s, poster, s.clock + 1, 3, job)
    else:
        s.drop(b"jl/" + job)
