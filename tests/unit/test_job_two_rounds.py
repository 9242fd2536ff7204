"""What is judged in two rounds, or beside other candidates: whose round a vote is compared with, what burns, what stays. LC-JOB-11,
12, 48, 55, 56, 58."""

from __future__ import annotations

from typing import Any

from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.messages import Ballot
from learningchain.chain.contracts.job.records import CaseState
from learningchain.chain.host import SUSPENDED
from learningchain.chain.verification.votes import BallotCode
from tests.unit.job_kit import World, ballot, hidden_set, who
from tests.unit.test_job_rows import LIE, YES, audit, record, world
from tests.unit.test_job_verdicts import big, losses

OK, NEAR, FALSE, INVALID, BROKEN, NOMODEL, ABSTAIN = BallotCode
ODD = ballot(OK, losses(*range(10)))
"""An OK whose losses nobody else saw."""


def votes(w: World, job: bytes, *first: Ballot, rest: Ballot = YES) -> dict[bytes, list[Ballot] | None]:
    """Of the committee, in draw order: these, and the rest alike."""
    seats = w.committee(job)
    return {v: [first[i] if i < len(first) else rest] for i, v in enumerate(seats)}


def bad_draws(w: World) -> set[bytes]:
    return {v for v, bad, _ in w.membership.draws if bad}


def test_a_second_round_that_repeats_spares_nobody_though_the_first_one_did_not() -> None:
    """LC-JOB-12, 48: the round that decided says whether the evaluation can be repeated; a draw is bad by its own round."""
    w = big()
    job = audit(w, {"a": 5_000})
    first = w.committee(job)
    w.vote(job, votes(w, job, ODD, ODD, ballot(INVALID)))
    w.everybody(job, YES)
    assert w.state(job) == "PAID" and record(w).unrepeatable == 0
    expected = [(first[0], "vote.leaves"), (first[1], "vote.leaves"), (first[2], "vote.wrong")]
    assert sorted(w.membership.struck()) == sorted(expected)
    assert bad_draws(w) == set(), "three of the first seven were off: their round is no measure of them"


def test_a_second_round_that_does_not_repeat_spares_those_of_the_first_one_too() -> None:
    """LC-JOB-12, 48: the contractor's evaluation is at fault; a draw is bad by its own round all the same."""
    w = big()
    job = audit(w, {"a": 5_000})
    first = w.committee(job)
    w.vote(job, votes(w, job, ballot(INVALID)))
    w.vote(job, votes(w, job, *[ODD] * 11))
    assert w.state(job) == "PAID" and record(w).unrepeatable == 1
    assert w.membership.struck() == []
    assert bad_draws(w) == {first[0]}


def test_a_seat_tells_the_first_of_two_different_strikes() -> None:
    """LC-JOB-49"""
    w = world()
    job = audit(w, {"a": 5_000, "b": 3_000}, hidden=hidden_set())
    w.show_key(job)
    good = [ballot(OK, 3_000, 1), ballot(OK, 5_000, 1)]
    odd = Ballot(int(OK), ODD.public, good[1].hidden, False)
    seats = w.committee(job)
    w.vote(job, {v: [ballot(INVALID), odd] if i == 0 else good for i, v in enumerate(seats)})
    assert w.membership.struck() == [(seats[0], "vote.wrong"), (seats[0], "vote.leaves")]
    assert w.seat(job, seats[0]).struck == "vote.wrong"


def test_the_end_of_a_later_case_changes_nothing_of_one_that_ended() -> None:
    """LC-JOB-58"""
    w = world()
    job = audit(w, {"a": 100})
    w.everybody(job, LIE)
    refs: Any = list(w.membership.cases[who("a")])
    w.close_case(who("a"), banned=False)
    w.membership.cases[who("a")] = refs
    w.set_status(who("a"), SUSPENDED)
    w.close_case(who("a"), banned=True)
    assert w.job(job).cases == [records.JobCase(who("a"), CaseState.DISMISSED)]
