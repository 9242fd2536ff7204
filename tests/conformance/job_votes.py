"""CommitVote, OpenVote (LC-JOB-7, 8, 24, 25, 57)."""

from __future__ import annotations

from typing import Any

from tests.conformance import judging, membership
from tests.conformance.checks import Refused, check, part, register
from tests.conformance.job_posts import in_state, load
from tests.conformance.job_rounds import with_the_last_commitment_the_deadline_is_now, with_the_last_opening_the_deadline_is_now
from tests.conformance.job_state import COMMIT, COUNT, Job, Round, Seat, Terms, Work
from tests.conformance.keys import tagged
from tests.conformance.ledger import State
from tests.conformance.losses import check_opening, mean, probe
from tests.conformance.wire import encode


@check("LC-JOB-24", 324)
def the_vote_is_of_the_present_round(job: Job, audit: int, round_: int) -> bool:
    return (audit, round_) == (job.audit, job.round)


@check("LC-JOB-24", 323)
def who_votes_has_a_seat(seat: Seat | None) -> bool:
    return seat is not None


@check("LC-JOB-24", 325)
def a_seat_commits_once(seat: Seat) -> bool:
    return not seat.commitment


def _seat_of(work: Work, sender: bytes, audit: int, round_: int) -> Seat:
    the_vote_is_of_the_present_round(work.job, audit, round_)
    seat = work.seat(audit, round_, sender)
    who_votes_has_a_seat(seat)
    if seat is None:
        raise membership.Disappeared(sender)
    return seat


def commit_vote(s: State, sender: bytes, job: bytes, audit: int, round_: int, commitment: bytes) -> None:
    """LC-JOB-24"""
    work = load(s, job)
    in_state(work, COMMIT)
    seat = _seat_of(work, sender, audit, round_)
    a_seat_commits_once(seat)
    work.set_seat(audit, round_, sender, seat._replace(commitment=commitment))
    work.set(committed=work.job.committed + 1)
    work.noted("commit", audit, round_, sender)
    record = work.round(audit, round_)
    if record is not None and work.job.committed == len(record.voters):
        with_the_last_commitment_the_deadline_is_now(work)


@check("LC-JOB-25", 326)
def who_opens_has_committed(seat: Seat) -> bool:
    return bool(seat.commitment)


@check("LC-JOB-57", 327)
def ballots_come_once(ballots: list[Any], salt: bytes) -> bool:
    return not ballots and not salt


@check("LC-JOB-57", 328)
def a_salt_has_32_bytes(salt: bytes) -> bool:
    return len(salt) == 32


@check("LC-JOB-57", 328)
def ballots_and_salt_open_the_commitment(seat: Seat, opened: bytes) -> bool:
    return seat.commitment == opened


@check("LC-JOB-57", 329)
def there_is_a_ballot_for_each_candidate(seat: Seat, ballots: list[Any]) -> bool:
    return len(ballots) == len(seat.candidates)


@check("LC-JOB-8", 329)
def the_code_is_known(code: int) -> bool:
    return 1 <= code <= 7


@check("LC-JOB-8", 329)
def a_measured_vote_has_a_measurement_and_no_other_has_one(code: int, public: list[Any], hidden: list[Any], bad: bool) -> bool:
    return bool(public) if code in judging.MEASURED else not public and not hidden and not bad


@check("LC-JOB-8", 329)
def the_code_is_that_of_the_measured_loss(terms: Terms, claim: int, code: int, public: list[Any]) -> bool:
    if code not in judging.MEASURED or not public:
        return True
    measured = mean(public[0][1], public[0][2])
    if measured <= claim + terms.tolerance(claim):
        return code == judging.OK
    return code == (judging.FALSE if measured > claim + judging.bound(terms.float_kind, claim) else judging.NEAR)


@check("LC-JOB-8", 329)
def the_hidden_column_is_that_of_the_round(code: int, hidden: list[Any], bad: bool, on: bool) -> bool:
    if code not in judging.MEASURED:
        return True
    return bool(hidden) != bad if on else not hidden and not bad


@check("LC-JOB-57", 334)
def without_an_opening_there_is_no_column(first: bool, columns: list[Any]) -> bool:
    return first and not columns


@check("LC-JOB-57", 334)
def the_column_is_one_of_the_seat_s(columns: list[Any], column: list[Any]) -> bool:
    return column in columns


@check("LC-JOB-57", 334)
def the_column_is_not_shown_yet(seat: Seat, column: list[Any]) -> bool:
    return all(shown[:2] != column for shown in seat.shown)


def _columns(ballots: list[list[Any]]) -> list[list[Any]]:
    found = []
    for place, (_, public, hidden, _) in enumerate(ballots):
        found += [[place, False]] * bool(public) + [[place, True]] * bool(hidden)
    return found


def _check_ballots(work: Work, seat: Seat, ballots: list[list[Any]], on: bool) -> None:
    there_is_a_ballot_for_each_candidate(seat, ballots)
    for index, (code, public, hidden, bad) in zip(seat.candidates, ballots, strict=False):
        the_code_is_known(code)
        a_measured_vote_has_a_measurement_and_no_other_has_one(code, public, hidden, bad)
        the_code_is_that_of_the_measured_loss(work.terms, work.claim(index).loss, code, public)
        the_hidden_column_is_that_of_the_round(code, hidden, bad, on)


OPENING = register("LC-JOB-57: an opening that does not hold is refused")


def open_vote(
    s: State,
    sender: bytes,
    job: bytes,
    audit: int,
    round_: int,
    ballots: list[Any],
    salt: bytes,
    candidate: int,
    hidden: bool,
    opening: list[Any],
) -> None:
    """LC-JOB-25, 57"""
    work = load(s, job)
    in_state(work, COUNT)
    seat = _seat_of(work, sender, audit, round_)
    who_opens_has_committed(seat)
    record = work.round(audit, round_)
    assert record is not None
    first = not seat.ballots
    if first:
        a_salt_has_32_bytes(salt)
        place = bytes([audit, round_])
        ballots_and_salt_open_the_commitment(seat, tagged("lc/ballots", s.chain_id, job, place, sender, salt, encode(ballots)))
        _check_ballots(work, seat, ballots, record.hidden)
        seat = seat._replace(ballots=ballots)
    else:
        ballots_come_once(ballots, salt)
    columns, column = _columns(seat.ballots), [candidate, hidden]
    if not opening:
        without_an_opening_there_is_no_column(first, columns)
    else:
        the_column_is_one_of_the_seat_s(columns, column)
        the_column_is_not_shown_yet(seat, column)
        measurement = seat.ballots[candidate][2 if hidden else 1][0]
        seat = seat._replace(shown=[*seat.shown, [*column, _shown(work, record, audit, round_, measurement, opening[0])]])
    seat = seat._replace(complete=len(seat.shown) == len(columns))
    work.set_seat(audit, round_, sender, seat)
    if first:
        for index, (code, public, _, _) in zip(seat.candidates, seat.ballots, strict=False):
            work.noted("vote", audit, round_, sender, index, code, mean(public[0][1], public[0][2]) if public else 0)
    if opening:
        work.noted("column", audit, round_, sender, seat.candidates[candidate], int(hidden))
    if seat.complete:
        work.noted("opened", audit, round_, sender)
        work.set(opened=work.job.opened + 1)
    if work.job.opened == work.job.committed:
        with_the_last_opening_the_deadline_is_now(work)


def _shown(work: Work, record: Round, audit: int, round_: int, measurement: list[Any], opening: list[Any]) -> list[int]:
    root, total, n = measurement
    try:
        return check_opening((root, total, n), probe(record.probe, work.id, audit, round_, n), encode(opening))
    except Refused as refused:
        if not part(OPENING):
            return [0] * 16
        raise Refused(str(refused), 335) from None
