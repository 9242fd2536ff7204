"""Verifiers, hidden data, payees in trouble: silence, lies, losses that differ, second rounds, junk keys, burned shares."""

from __future__ import annotations

from typing import Any

import pytest

from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.messages import Ballot
from learningchain.chain.contracts.job.records import CaseState, Hidden
from learningchain.chain.host import BANNED, SUSPENDED
from learningchain.chain.verification.votes import BallotCode
from tests.unit.job_kit import FEE, GRANT, World, ballot, hidden_set, who
from tests.unit.test_job_rows import BOND, CLOSE, FEES, LIE, YES, audit, gained, record, world

OK, NEAR, FALSE, INVALID, BROKEN, NOMODEL, ABSTAIN = BallotCode
BIG = [f"m{i}" for i in range(30)]


def big() -> World:
    return World(["boss", "a", "b", *BIG], BIG)


# --- verifiers -----------------------------------------------------------------------------------------------------------------


def test_silent_verifiers_are_struck_and_the_others_decide_in_round_two() -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    committee = w.committee(job)
    w.vote(job, {v: [YES] if i < 3 else None for i, v in enumerate(committee)})
    assert sorted(w.membership.struck()) == sorted((v, "vote.silent") for v in committee[3:])
    assert [(v, True, True) for v in committee[3:]] == w.membership.draws
    assert w.job(job).round == 2
    w.vote(job, {v: [YES] if v in committee[:3] else None for v in w.committee(job)})
    # three of five are no quorum: the majority decides
    assert (w.state(job), w.store.get(records.claim_key(job, 0)).line) == ("PAID", 6)


def test_a_commit_that_is_never_opened_is_silence() -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    committee = w.committee(job)
    for v in committee:
        assert w.commit(job, v, [YES]) == 0
    w.next(job)
    for v in committee[1:]:
        assert w.open(job, v, [YES]) == 0
    assert w.state(job) == "COUNT"
    w.deadline(job)
    assert w.state(job) == "PAID", "four of five are a quorum, and nobody was negative"
    assert w.membership.struck() == [(committee[0], "vote.silent")]
    assert w.free(committee[0]) == GRANT
    assert w.seat(job, committee[0]).struck == "vote.silent"


def losses(*changed: int) -> tuple[int, ...]:
    """Twenty losses of 5,000 in the mean, some pairs of which lie far from that."""
    found = [5_000] * 20
    for pair in changed:
        found[2 * pair] += 100_000
        found[2 * pair + 1] -= 100_000
    return tuple(found)


def test_losses_that_nobody_else_saw_lose_the_fee_and_cost_a_strike_where_a_quorum_decided() -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    committee = w.committee(job)
    lazy = ballot(OK, losses(*range(10)))
    w.vote(job, {v: [lazy if i == 0 else YES] for i, v in enumerate(committee)})
    assert w.membership.struck() == [(committee[0], "vote.leaves")]
    assert [w.free(v) - GRANT for v in committee] == [0, *[FEE] * 4]
    assert w.membership.draws == [(v, i == 0, False) for i, v in enumerate(committee)]
    assert w.membership.votes == [(v, i == 0) for i, v in enumerate(committee)]


@pytest.mark.parametrize(("apart", "off"), [(20 * 11, False), (20 * 11 + 1, True)])
def test_a_shown_loss_may_lie_twenty_t_from_the_median(apart: int, off: bool) -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    committee = w.committee(job)
    other = ballot(OK, tuple(5_000 + (apart if i % 2 else -apart) for i in range(20)))
    w.vote(job, {v: [other if i == 0 else YES] for i, v in enumerate(committee)})
    assert (w.membership.struck() == [(committee[0], "vote.leaves")]) is off


def test_an_evaluation_that_does_not_repeat_strikes_nobody_and_is_counted_with_the_contractor() -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    committee = w.committee(job)
    votes = {v: [ballot(OK, losses(*range(10))) if i < 2 else YES] for i, v in enumerate(committee)}
    w.vote(job, votes)
    assert w.state(job) == "PAID"
    assert w.membership.struck() == []
    assert not any(bad for _, bad, _ in w.membership.draws)
    assert record(w).unrepeatable == 1
    assert "unrepeatable" in w.topics(job)
    # they are not paid all the same
    assert sorted(w.free(v) - GRANT for v in committee) == [0, 0, FEE, FEE, FEE]


def test_without_a_quorum_losses_that_differ_only_lose_the_fee() -> None:
    # the last round, two of five: nobody can tell which of them is lazy
    w = world()
    job = audit(w, {"a": 5_000})
    w.vote(job, dict.fromkeys(w.committee(job)))
    w.membership.strikes.clear()
    votes: dict[bytes, list[Ballot] | None] = dict.fromkeys(w.committee(job))
    first, second, third, *silent = votes
    w.vote(job, votes | {first: [YES], second: [YES], third: [ballot(OK, losses(*range(10)))]})
    assert w.state(job) == "PAID"
    assert sorted(w.membership.struck()) == sorted((v, "vote.silent") for v in silent)


@pytest.mark.parametrize(
    ("majority", "minority", "reason"),
    [
        (YES, LIE, "vote.wrong"),
        (YES, ballot(INVALID), "vote.wrong"),
        (YES, CLOSE, None),
        (YES, ballot(NOMODEL), None),
        (YES, ballot(BROKEN), None),
        (YES, ballot(ABSTAIN), None),
        (LIE, YES, "vote.wrong"),
        (LIE, ballot(ABSTAIN), None),
        (CLOSE, YES, None),
        (ballot(INVALID), YES, None),
    ],
)
def test_strikes_draws_and_marks_of_a_minority(majority: Ballot, minority: Ballot, reason: str | None) -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    committee = w.committee(job)
    w.vote(job, {v: [minority if i == 4 else majority] for i, v in enumerate(committee)})
    loser = committee[4]
    assert [(v, r) for v, r in w.membership.struck() if v != who("a")] == ([(loser, reason)] if reason else [])
    assert w.free(loser) == GRANT
    assert w.membership.draws == [(v, v == loser, False) for v in committee]
    counted = majority.code in (OK, FALSE)
    expected = [(v, v == loser) for v in committee if v != loser or minority.code != ABSTAIN] if counted else []
    assert w.membership.votes == expected


# --- hidden data ---------------------------------------------------------------------------------------------------------------


def hidden_job(w: World, claims: dict[str, int], **changes: Any) -> bytes:
    job = audit(w, claims, hidden=hidden_set(), **changes)
    w.show_key(job)
    return job


def test_the_hidden_loss_chooses_the_winner_and_the_deposit_returns() -> None:
    w = world()
    job = hidden_job(w, {"a": 5_000, "b": 3_000})
    # finalists in rank order: b, a; b is worse on the hidden data
    w.everybody(job, ballot(OK, 3_000, 8_000), ballot(OK, 5_000, 6_000))
    assert w.state(job) == "PAID"
    assert (gained(w, "a"), gained(w, "b")) == (10_000, 0)
    assert gained(w, "boss") == -10_000 - 10 * 2 * FEE
    assert (w.escrowed(job), w.burned()) == (0, 0)


def test_the_hidden_loss_is_the_lower_median_of_the_ok_voters() -> None:
    w = world(["v1", "v2", "v3", "v4"])
    job = hidden_job(w, {"a": 5_000})
    values = [310, 300, 305, 301]
    w.vote(job, {v: [ballot(OK, 5_000, x)] for v, x in zip(w.committee(job), values, strict=True)})
    assert w.store.get(records.claim_key(job, 0)).hidden_loss == [301]


def test_a_key_that_opens_junk_burns_the_deposit_and_the_first_ok_in_rank_order_wins() -> None:
    w = world()
    job = hidden_job(w, {"a": 5_000, "b": 3_000})
    junk = [ballot(OK, 3_000, badkey=True), ballot(OK, 5_000, badkey=True)]
    value = [ballot(OK, 3_000, 9_000), ballot(OK, 5_000, 1)]
    w.vote(job, {v: value if i == 0 else junk for i, v in enumerate(w.committee(job))})
    assert w.job(job).hidden == Hidden.OFF
    assert w.burned() == 10_000
    assert gained(w, "b") == 10_000
    assert gained(w, "boss") == -20_000 - 10 * 2 * FEE


def test_a_hidden_batch_goes_into_round_two_with_those_that_need_it_alone() -> None:
    w = big()
    job = hidden_job(w, {"a": 5_000, "b": 3_000})
    ok_b, ok_a, near_a = ballot(OK, 3_000, 10), ballot(OK, 5_000, 5), ballot(NEAR, 9_000, 5)
    w.vote(job, {v: [ok_b, ok_a if i < 4 else near_a] for i, v in enumerate(w.committee(job))})
    assert (w.result(job, "b"), w.result(job, "a"), w.job(job).round) == ("OK", "NONE", 2)
    assert (w.round(job).batch, w.job(job).again) == ([0], [0])
    w.everybody(job, near_a)
    assert (w.state(job), w.result(job, "a")) == ("PAID", "REFUSED")
    assert gained(w, "b") == 10_000


def test_finalists_negative_votes_alone_do_nothing() -> None:
    """With two neutral verifiers a rival joins: it cannot refuse alone, only beside a neutral voice."""
    w = world(["v1", "v2", "b"])
    job = audit(w, {"a": 3_000, "b": 5_000})
    neutral = [who("v1"), who("v2")]
    votes: dict[bytes, list[Ballot] | None] = {who("b"): [LIE], neutral[0]: [ballot(OK, 3_000)], neutral[1]: [ballot(ABSTAIN)]}
    w.vote(job, votes)
    assert (w.state(job), gained(w, "a")) == ("PAID", 10_000)


# --- suspended and banned payees -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [SUSPENDED, BANNED])
def test_a_suspended_poster_is_paid_as_usual_and_a_banned_ones_share_burns(status: int) -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    w.set_status(who("boss"), status)
    burned = w.burned()
    w.everybody(job, ballot(NOMODEL))
    assert w.state(job) == "REFUNDED"
    share, stake = 10_000 + FEES - 5 * FEE + BOND - 1_000, 1_000
    if status == SUSPENDED:
        assert w.free("boss") == GRANT - 5 * FEE - 1_000
        assert w.burned() == burned + 2 * stake
    else:
        assert w.burned() == burned + share + 2 * stake
    assert w.escrowed(job) == 0


def test_a_false_verdict_on_a_suspended_one_joins_its_case() -> None:
    w = world()
    one, two = w.post("boss"), w.post("boss")
    for job in (one, two):
        assert w.claim(job, "a", 100) == 0
    w.deadline(one)
    for job in (one, two):
        assert w.reveal(job, "a") == 0
    w.draw(one)
    w.everybody(one, LIE)
    w.everybody(two, LIE)
    assert w.account("a").frozen == 2 * 9_000
    w.close_case(who("a"), banned=True)
    assert [w.job(j).cases[0].state for j in (one, two)] == [CaseState.BANNED, CaseState.BANNED]
