"""Draws, votes that count, verdicts, and what follows (LC-JOB-6, 9 to 12, 34 to 38, 48, 49, 54 to 56)."""

from __future__ import annotations

from typing import Any

from tests.conformance import judging, membership
from tests.conformance.checks import step
from tests.conformance.job_ends import burn_stake, finish, release_stake, turn_hidden_off
from tests.conformance.job_state import (
    BECAME_A_BAN,
    COMMIT,
    COUNT,
    DRAW,
    DROPPED,
    EMPTY,
    ON,
    PAID,
    PENDING,
    REFUNDED,
    Round,
    Seat,
    Work,
)
from tests.conformance.judging import cd
from tests.conformance.ledger import burn, pay, schedule_at_height
from tests.conformance.losses import mean

# --- DRAW: LC-JOB-34, 56, 6 -----------------------------------------------------------------------------------------------------


def to_draw(work: Work, audit: int, round_: int, again: list[int] | None = None) -> None:
    """LC-JOB-34"""
    s = work.s
    work.stop()
    height = s.height + judging.delay(len(s.validators))
    schedule_at_height(s, height, work.poster, 3, work.id)
    fields = {"state": DRAW, "deadline": s.clock, "draw_height": height, "audit": audit, "round": round_}
    work.set(**fields, again=again or [], committed=0, opened=0)
    work.noted("draw", audit, round_, height)


@step("LC-JOB-56")
def banned_finalists_are_dropped(work: Work) -> None:
    for index in work.unjudged():
        claim = work.claim(index)
        if membership.is_banned(work.s, claim.claimant):
            work.set_claim(index, result=DROPPED)
            work.noted("dropped", claim.claimant)
            for round_, votes in _votes_on(work, index):
                for vote in votes:
                    _pay_fee(work, round_, vote.voter)


def _batch(work: Work) -> list[int]:
    job, unjudged = work.job, work.unjudged()
    if job.round == 2:
        return [index for index in job.again if index in unjudged]
    return unjudged if job.hidden == ON else unjudged[:1]


def draw(work: Work) -> None:
    """LC-JOB-34"""
    banned_finalists_are_dropped(work)
    batch = _batch(work)
    if not batch:
        next_step(work)
        return
    s, job, terms = work.s, work.job, work.terms
    committees = _committees(work, batch)
    b = len(batch)
    work.enter(COMMIT, work.p.vote_base + 2 * terms.e * 1000 * b + cd(terms.limits[4] * b, 1000) + cd(terms.evaluated, 10_000))
    sits: dict[bytes, list[int]] = {}
    for index, committee in zip(batch, committees, strict=True):
        for voter in committee.seats:
            sits.setdefault(voter, []).append(index)
    for voter, candidates in sits.items():
        work.set_seat(job.audit, job.round, voter, Seat(candidates, b"", [], [], False, "", 0))
    pools, seats = [one.pool for one in committees], [len(one.seats) for one in committees]
    on = job.hidden == ON
    record = Round(s.beacon, b"", s.clock, work.job.deadline, on, batch, pools, seats, list(sits))
    work.set_round(job.audit, job.round, record)
    work.noted("audit", job.audit, job.round, work.job.deadline, *[work.claim(index).model for index in batch])
    if not sits:
        evaluate_round(work)


def _committees(work: Work, batch: list[int]) -> list[judging.Committee]:
    """LC-JOB-6"""
    s, job = work.s, work.job
    able = [who for who in membership.able(s, work.terms.needed, work.terms.expiry) if who != work.poster]
    marked = set(membership.marked(s, able, work.poster))
    among = [work.claim(index).claimant for index in job.finalists]

    def order(who: bytes) -> bytes:
        return judging.ticket(s.beacon, work.id, job.audit, job.round, who)

    return [judging.draw(able, among, work.claim(index).claimant, marked, job.round, order) for index in batch]


# --- COMMIT, COUNT, verdicts: LC-JOB-35 to LC-JOB-37, 9, 10 ---------------------------------------------------------------------


def start_count(work: Work) -> None:
    """LC-JOB-35"""
    job = work.job
    if not job.committed:
        evaluate_round(work)
        return
    record = work.round(job.audit, job.round)
    assert record is not None
    columns = len(record.batch) * (2 if record.hidden else 1)
    work.enter(COUNT, work.p.open_votes * columns * max(1, cd(max(record.seats), 16)))
    work.set_round(job.audit, job.round, record._replace(probe=work.s.beacon))
    work.noted("count", job.audit, job.round, work.job.deadline)


@step("LC-JOB-24")
def with_the_last_commitment_the_deadline_is_now(work: Work) -> None:
    work.end_window()


@step("LC-JOB-25")
def with_the_last_opening_the_deadline_is_now(work: Work) -> None:
    work.end_window()


def _column(seat: Seat, place: int, hidden: bool, measured: list[Any]) -> judging.Column | None:
    if not measured:
        return None
    shown = next(one for at, of, one in seat.shown if [at, of] == [place, hidden])
    return judging.Column(mean(measured[0][1], measured[0][2]), measured[0][2], shown)


def _votes(work: Work, audit: int, round_: int, index: int) -> list[judging.Vote]:
    """Of the complete seats on a candidate, in the order of voters."""
    record, found = work.round(audit, round_), []
    among = {work.claim(one).claimant for one in work.job.finalists}
    for voter in record.voters if record is not None else []:
        seat = work.seat(audit, round_, voter)
        if seat is not None and seat.complete and index in seat.candidates:
            place = seat.candidates.index(index)
            code, public, hidden, bad = seat.ballots[place]
            columns = _column(seat, place, False, public), _column(seat, place, True, hidden)
            found.append(judging.Vote(voter, voter not in among, code, *columns, bad))
    return found


def _votes_on(work: Work, index: int) -> list[tuple[int, list[judging.Vote]]]:
    """Of the rounds of the present audit in which it was judged."""
    found = []
    for round_ in range(1, work.job.round + 1):
        record = work.round(work.job.audit, round_)
        if record is not None and index in record.batch:
            found.append((round_, _votes(work, work.job.audit, round_, index)))
    return found


@step("LC-JOB-36")
def the_silent_are_struck(work: Work, record: Round) -> None:
    job = work.job
    for voter in record.voters:
        seat = work.seat(job.audit, job.round, voter)
        if seat is not None and not seat.complete:
            _strike(work, job.round, voter, "vote.silent")
            membership.record_draw(work.s, voter, work.poster, True, True)


def evaluate_round(work: Work) -> None:
    """LC-JOB-36"""
    work.stop()
    job = work.job
    record = work.round(job.audit, job.round)
    assert record is not None
    the_silent_are_struck(work, record)
    votes = {index: _votes(work, job.audit, job.round, index) for index in record.batch}
    last = {
        index: judging.is_last(job.round, c, pool, len(votes[index]))
        for index, c, pool in zip(record.batch, record.seats, record.pools, strict=True)
    }
    asked_again = _judge_key(work, record, votes, last)
    again = []
    for index, c in zip(record.batch, record.seats, strict=True):
        scale, on = work.terms.scale(work.claim(index).loss), work.job.hidden == ON
        verdict = judging.decide(votes[index], c, last[index], scale, on)
        if index in asked_again or verdict.line == 4:
            again.append(index)
        else:
            loss = judging.hidden_loss(votes[index], c, scale) if on and verdict.verdict == judging.IS_OK else None
            _decide(work, index, verdict, [] if loss is None else [loss], len(votes[index]))
    if again:
        work.noted("second.round", job.audit, *again)
        to_draw(work, job.audit, 2, again)
    else:
        next_step(work)


def _judge_key(work: Work, record: Round, votes: dict[int, list[judging.Vote]], last: dict[int, bool]) -> list[int]:
    """LC-JOB-10"""
    if work.job.hidden != ON:
        return []
    said = {i: judging.bad_key(votes[i], c, last[i]) for i, c in zip(record.batch, record.seats, strict=True)}
    if "YES" in said.values():
        work.noted("key.bad")
        turn_hidden_off(work)
        return []
    return [index for index, judged in said.items() if judged == "AGAIN"]


def _decide(work: Work, index: int, verdict: judging.Verdict, hidden_loss: list[int], opened: int) -> None:
    """LC-JOB-37"""
    s, job = work.s, work.job
    work.set_claim(index, result=verdict.verdict, line=verdict.line, hidden_loss=hidden_loss)
    claim = work.claim(index)
    work.noted("verdict", job.audit, job.round, claim.claimant, verdict.verdict, verdict.line, opened)
    _settle(work, index, verdict)
    if verdict.verdict == judging.IS_UNDECIDED:
        release_stake(work, claim.claimant)
    elif verdict.verdict in (judging.IS_REFUSED, judging.IS_FALSE):
        amount = burn_stake(work, claim.claimant)
        work.set(burned=work.job.burned + amount)
    if verdict.verdict == judging.IS_FALSE:
        amount = max(0, work.terms.bounty - claim.stake)
        opens = membership.accuse(s, claim.claimant, work.poster, amount, work.id, 3)
        work.set(cases=[*work.job.cases, [claim.claimant, PENDING if opens else BECAME_A_BAN]])
    elif verdict.verdict == judging.IS_REFUSED:
        membership.strike(s, claim.claimant, work.poster, "claim.refused", work.id)
    membership.keep_verdict(s, claim.claimant, work.poster, verdict.verdict)


def _settle(work: Work, index: int, verdict: judging.Verdict) -> None:
    """LC-JOB-11, 12, 48, 49"""
    rounds = _votes_on(work, index)
    if verdict.verdict == judging.IS_UNDECIDED:
        amount = work.terms.fee * sum(len(votes) for _, votes in rounds)
        burn(work.s, work.id + b"F", amount, "fees.burned", work.id)
        work.set(fees_burned=work.job.fees_burned + amount)
        return
    claim, on = work.claim(index), work.job.hidden == ON
    seen = [(r, judging.merits(votes, verdict.verdict, work.terms.scale(claim.loss), on)) for r, votes in rounds]
    spared = not judging.repeatable(seen[-1][1])
    if spared:
        work.noted("unrepeatable", claim.claimant)
        record = work.contractor()
        work.set_contractor(record._replace(unrepeatable=record.unrepeatable + 1))
    for round_, merits in seen:
        own = judging.repeatable(merits)
        for merit in merits:
            _settle_vote(work, round_, merit, verdict.line, spared, own)


def _settle_vote(work: Work, round_: int, merit: judging.Merit, line: int, spared: bool, own: bool) -> None:
    s, voter = work.s, merit.vote.voter
    if merit.paid:
        _pay_fee(work, round_, voter)
    if not spared and merit.strike(line):
        _strike(work, round_, voter, merit.strike(line))
    membership.record_draw(s, voter, work.poster, merit.bad_draw(line, own), False)
    if merit.marks(line):
        membership.count_vote(s, voter, work.poster, merit.off or not merit.winning)


def _pay_fee(work: Work, round_: int, voter: bytes) -> None:
    audit, fee = work.job.audit, work.terms.fee
    seat = work.seat(audit, round_, voter)
    assert seat is not None
    work.set_seat(audit, round_, voter, seat._replace(fee=seat.fee + fee))
    pay(work.s, work.id + b"F", voter, fee, "fee", work.id)
    work.set(fees_paid=work.job.fees_paid + fee)


def _strike(work: Work, round_: int, voter: bytes, reason: str) -> None:
    seat = work.seat(work.job.audit, round_, voter)
    assert seat is not None
    if not seat.struck:
        work.set_seat(work.job.audit, round_, voter, seat._replace(struck=reason))
    membership.strike(work.s, voter, work.poster, reason, work.id)


# --- NEXT: LC-JOB-38 ------------------------------------------------------------------------------


def next_step(work: Work) -> None:
    """LC-JOB-38"""
    on, first = work.job.hidden == ON, work.first_ok()
    if first is not None:
        finish(work, PAID, _hidden_winner(work, first) if on else first)
        return
    claims = [work.claim(index) for index in work.job.finalists]
    cheated = work.terms.on_cheat == 0 and any(claim.full and claim.result == judging.IS_FALSE for claim in claims)
    if not on and cheated:
        finish(work, REFUNDED, None)
    elif not on and work.unjudged():
        to_draw(work, work.job.audit + 1, 1)
    else:
        judged = any(judging.IS_OK <= claim.result <= judging.IS_UNDECIDED for claim in claims)
        finish(work, REFUNDED if judged else EMPTY, None)


def _hidden_winner(work: Work, first: int) -> int:
    agreed = [index for index in work.in_order(work.job.finalists) if work.claim(index).hidden_loss]
    if not agreed:
        return first
    return agreed[judging.leader([work.claim(index).hidden_loss[0] for index in agreed], work.terms.tolerance)]
