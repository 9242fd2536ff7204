"""Verifiers, hidden data, payees in trouble: silence, lies, weak votes, second rounds, junk keys, frozen and burned shares."""

from __future__ import annotations

from typing import Any

import pytest

from chain.contracts.job import records
from chain.contracts.job.messages import Ballot
from chain.contracts.job.records import Hidden, Holdback
from chain.contracts.job.rules import HiddenVote, VoteCode
from chain.host import BANNED, SUSPENDED
from tests.unit.job_kit import GRANT, World, ballot, hidden_set, key_message, who
from tests.unit.test_job_settlement import CLOSE, FEES, LIE, YES, audit, everybody, paid, world

OK, NEAR, FALSE, INVALID, NOMODEL, ABSTAIN = VoteCode


# --- verifiers -----------------------------------------------------------------------------------------------------------------


def test_silent_verifiers_are_struck_and_the_others_decide() -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    committee = w.committee(job)
    w.vote(job, {v: [YES] if i < 3 else None for i, v in enumerate(committee)})
    assert w.state(job) == "PAID"
    assert sorted(w.membership.struck()) == sorted((v, "vote.silent") for v in committee[3:])


def test_a_commit_that_is_never_opened_is_silence() -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    committee = w.committee(job)
    for v in committee:
        assert w.commit(job, v, [YES]) == 0
    for v in committee[1:]:
        assert w.open(job, v, [YES]) == 0
    assert w.state(job) == "COUNT"
    w.deadline(job)
    assert w.state(job) == "PAID"
    assert w.membership.struck() == [(committee[0], "vote.silent")]
    assert w.free(committee[0]) == GRANT


def test_nobody_commits_and_the_count_ends_at_once() -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    w.deadline(job)
    assert w.state(job) == "REFUNDED"
    assert w.result(job, "a") == "UNDECIDED"
    assert len(w.membership.struck()) == 5


def test_a_suspended_verifier_is_not_struck_for_its_silence() -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    committee = w.committee(job)
    w.set_status(committee[0], SUSPENDED)
    w.vote(job, {v: [YES] for v in committee[1:]})
    assert w.membership.struck() == []


def test_a_wrong_probe_loses_the_fee_and_costs_a_strike_where_a_quorum_decided() -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    committee = w.committee(job)
    lazy = ballot(OK, 5_000, 4_023)  # tol(5000) is 11
    w.vote(job, {v: [lazy if i == 0 else YES] for i, v in enumerate(committee)})
    assert w.membership.struck() == [(committee[0], "vote.probe")]
    assert [w.free(v) - GRANT for v in committee] == [0, 10, 10, 10, 10]


def test_a_probe_at_twice_the_tolerance_is_good() -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    w.vote(job, {v: [ballot(OK, 5_000, 4_022 if i == 0 else 4_000)] for i, v in enumerate(w.committee(job))})
    assert w.membership.struck() == []
    assert w.job(job).fees_paid == 50


def test_without_a_quorum_a_wrong_probe_only_loses_the_fee() -> None:
    # one honest and one lazy voice out of five: nobody can tell which of them is which
    w = world()
    job = audit(w, {"a": 5_000})
    committee = w.committee(job)
    votes: dict[bytes, list[Ballot] | None] = dict.fromkeys(committee)
    votes |= {committee[0]: [YES], committee[1]: [ballot(OK, 5_000, 1)]}
    w.vote(job, votes)
    assert w.state(job) == "PAID"
    assert sorted(w.membership.struck()) == sorted((v, "vote.silent") for v in committee[2:])


@pytest.mark.parametrize(
    ("majority", "minority", "reason"),
    [
        (YES, LIE, "vote.wrong"),
        (YES, ballot(INVALID), "vote.wrong"),
        (YES, CLOSE, None),
        (YES, ballot(NOMODEL), None),
        (YES, ballot(ABSTAIN), None),
        (LIE, YES, "vote.wrong"),
        (LIE, ballot(ABSTAIN), None),
        (CLOSE, YES, None),
        (ballot(INVALID), YES, None),
    ],
)
def test_strikes_and_weak_votes_of_a_minority(majority: Ballot, minority: Ballot, reason: str | None) -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    committee = w.committee(job)
    w.vote(job, {v: [minority if i == 4 else majority] for i, v in enumerate(committee)})
    assert [(v, r) for v, r in w.membership.struck() if v != who("a")] == ([(committee[4], reason)] if reason else [])
    assert w.free(committee[4]) == GRANT
    weak = minority.code in ((NEAR, NOMODEL, ABSTAIN) if majority.code == OK else (ABSTAIN,))
    assert sorted(w.membership.draws) == sorted((v, not (weak and i == 4)) for i, v in enumerate(committee))


def test_one_seat_is_struck_once_however_many_lies_it_tells() -> None:
    w = world()
    job = audit(w, {"a": 5_000, "b": 7_000, "c": 9_000}, hidden=hidden_set())
    assert w.send(who("boss"), key_message(job)) == 0
    good = [ballot(OK, loss, 1, HiddenVote.VALUE, 1) for loss in (5_000, 7_000, 9_000)]
    committee = w.committee(job)
    w.vote(job, {v: [ballot(INVALID)] * 3 if i == 0 else good for i, v in enumerate(committee)})
    assert w.membership.struck() == [(committee[0], "vote.wrong")]
    assert len(w.membership.draws) == 15


# --- hidden data ---------------------------------------------------------------------------------------------------------------


def hidden_job(w: World, losses: dict[str, int], **changes: Any) -> bytes:
    job = audit(w, losses, hidden=hidden_set(), **changes)
    assert w.send(who("boss"), key_message(job)) == 0
    return job


def test_the_hidden_loss_chooses_the_winner_and_the_deposit_returns() -> None:
    w = world()
    job = hidden_job(w, {"a": 5_000, "b": 3_000})
    # finalists in rank order: b, a; b is worse on the hidden data
    for_b, for_a = ballot(OK, 3_000, 1, HiddenVote.VALUE, 8_000), ballot(OK, 5_000, 1, HiddenVote.VALUE, 6_000)
    w.vote(job, {v: [for_b, for_a] for v in w.committee(job)})
    assert w.state(job) == "PAID"
    assert paid(w, "a") == 10_000
    assert paid(w, "b") == 0
    assert paid(w, "boss") == -10_000 - 100
    assert (w.escrowed(job), w.burned()) == (0, 0)


def test_close_hidden_losses_go_to_the_earlier_claim() -> None:
    w = world()
    job = hidden_job(w, {"a": 5_000, "b": 3_000})
    for_b, for_a = ballot(OK, 3_000, 1, HiddenVote.VALUE, 5_990), ballot(OK, 5_000, 1, HiddenVote.VALUE, 6_000)
    w.vote(job, {v: [for_b, for_a] for v in w.committee(job)})
    assert paid(w, "a") == 10_000


def test_the_hidden_loss_is_the_lower_median_of_the_ok_voters() -> None:
    w = world(["v1", "v2", "v3", "v4"])
    job = hidden_job(w, {"a": 5_000})
    values = [900, 100, 400, 300]
    votes = {v: [ballot(OK, 5_000, 1, HiddenVote.VALUE, x)] for v, x in zip(w.committee(job), values, strict=True)}
    w.vote(job, votes)
    assert w.store.get(records.claim_key(job, 0)).hidden_loss == [300]


def test_a_key_that_opens_junk_burns_the_deposit_and_the_first_ok_in_rank_order_wins() -> None:
    w = world()
    job = hidden_job(w, {"a": 5_000, "b": 3_000})
    junk = [ballot(OK, 3_000, 1, HiddenVote.BADKEY), ballot(OK, 5_000, 1, HiddenVote.BADKEY)]
    value = [ballot(OK, 3_000, 1, HiddenVote.VALUE, 9_000), ballot(OK, 5_000, 1, HiddenVote.VALUE, 1)]
    w.vote(job, {v: value if i == 0 else junk for i, v in enumerate(w.committee(job))})
    assert w.job(job).hidden == Hidden.OFF
    assert w.burned() == 10_000
    assert paid(w, "b") == 10_000
    assert paid(w, "boss") == -20_000 - 100


def test_fewer_than_a_quorum_of_bad_keys_change_nothing() -> None:
    w = world()
    job = hidden_job(w, {"a": 5_000})
    junk, value = ballot(OK, 5_000, 1, HiddenVote.BADKEY), ballot(OK, 5_000, 1, HiddenVote.VALUE, 7)
    w.vote(job, {v: [value if i < 2 else junk] for i, v in enumerate(w.committee(job))})
    assert w.job(job).hidden == Hidden.ON
    assert w.burned() == 0
    assert w.store.get(records.claim_key(job, 0)).hidden_loss == [7]


def test_ok_claims_without_any_hidden_value_fall_back_to_the_rank() -> None:
    # 2 of 5 open, both BADKEY: no quorum for a bad key, none for OK; the majority passes both claims
    w = world()
    job = hidden_job(w, {"a": 5_000, "b": 3_000})
    junk = [ballot(OK, 3_000, 1, HiddenVote.BADKEY), ballot(OK, 5_000, 1, HiddenVote.BADKEY)]
    w.vote(job, {v: junk if i < 2 else None for i, v in enumerate(w.committee(job))})
    assert w.job(job).hidden == Hidden.ON
    assert paid(w, "b") == 10_000


def test_a_hidden_batch_bans_the_liar_and_pays_the_honest() -> None:
    w = world()
    job = hidden_job(w, {"a": 5_000, "b": 100})
    votes = [ballot(FALSE, 90_000, 1, HiddenVote.VALUE, 1), ballot(OK, 5_000, 1, HiddenVote.VALUE, 9)]
    w.vote(job, dict.fromkeys(w.committee(job), votes))
    assert (w.result(job, "a"), w.result(job, "b"), w.state(job)) == ("OK", "FALSE", "PAID")
    assert paid(w, "a") == 10_000
    assert w.membership.corroborated[who("b")]


def test_a_hidden_batch_goes_into_round_two_with_the_undecided_only() -> None:
    names = [f"m{i}" for i in range(20)]
    w = World(["boss", "a", "b", *names], names)
    job = hidden_job(w, {"a": 5_000, "b": 3_000})
    ok_b, ok_a = ballot(OK, 3_000, 1, HiddenVote.VALUE, 10), ballot(OK, 5_000, 1, HiddenVote.VALUE, 5)
    near_a = ballot(NEAR, 9_000, 1, HiddenVote.VALUE, 5)
    w.vote(job, {v: [ok_b, ok_a if i < 7 else near_a] for i, v in enumerate(w.committee(job))})
    assert (w.result(job, "b"), w.result(job, "a"), w.job(job).round) == ("OK", "NONE", 2)
    second = w.store.get(records.round_key(job, 0, 2))
    assert second.batch == [0]
    everybody(w, job, near_a)
    assert (w.state(job), w.result(job, "a")) == ("PAID", "REFUSED")
    assert w.free(who("b")) == GRANT + 10_000


def test_a_hidden_batch_of_lies_is_refunded_whatever_the_contractor_chose() -> None:
    w = world()
    job = hidden_job(w, {"a": 5_000, "b": 100}, on_cheat=1)
    lie = ballot(FALSE, 90_000, 1, HiddenVote.VALUE, 1)
    w.vote(job, {v: [lie, lie] for v in w.committee(job)})
    assert w.state(job) == "REFUNDED"
    assert w.job(job).holdback == Holdback.HELD
    w.close_case(who("a"), banned=False)
    assert w.job(job).holdback == Holdback.HELD
    w.close_case(who("b"), banned=True)
    assert w.job(job).holdback == Holdback.RETURNED
    assert w.escrowed(job) == 0


def test_a_wrong_probe_of_a_round_that_did_not_decide_is_no_strike() -> None:
    names = [f"m{i}" for i in range(30)]
    w = World(["boss", "a", *names], names)
    job = audit(w, {"a": 5_000})
    first = w.committee(job)
    odd = ballot(OK, 5_000, 1)
    w.vote(job, {v: [odd if i == 0 else YES if i < 7 else ballot(NOMODEL)] for i, v in enumerate(first)})
    everybody(w, job, YES)
    assert w.state(job) == "PAID"
    assert w.membership.struck() == []
    # 6 + 30 units share 130; the odd probe earns nothing for its round
    assert w.free(first[0]) - GRANT == 130 // 36
    assert w.free(first[1]) - GRANT == 2 * (130 // 36)


def test_undecided_gets_its_stake_back_while_the_job_goes_on() -> None:
    w = world()
    job = audit(w, {"a": 4_000, "b": 5_000})
    everybody(w, job, ballot(ABSTAIN))
    assert w.state(job) == "COMMIT"
    assert (paid(w, "a"), paid(w, "b")) == (0, -1_000)


def test_round_two_takes_all_undecided_even_when_the_key_was_junk() -> None:
    names = [f"m{i}" for i in range(20)]
    w = World(["boss", "a", "b", *names], names)
    job = hidden_job(w, {"a": 5_000, "b": 3_000})
    ok = [ballot(OK, 3_000, 1, HiddenVote.BADKEY), ballot(OK, 5_000, 1, HiddenVote.BADKEY)]
    no = [ballot(NOMODEL, 0, 0, HiddenVote.BADKEY)] * 2
    w.vote(job, {v: ok if i < 7 else no for i, v in enumerate(w.committee(job))})
    assert w.job(job).hidden == Hidden.OFF
    second = w.store.get(records.round_key(job, 0, 2))
    assert (second.batch, second.hidden) == ([1, 0], False)
    w.vote(job, {v: [ballot(INVALID), ballot(OK, 5_000)] for v in w.committee(job)})
    assert (w.result(job, "a"), w.result(job, "b"), w.state(job)) == ("OK", "REFUSED", "PAID")
    assert w.free("a") == GRANT + 10_000


# --- suspended and banned payees -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [SUSPENDED, BANNED])
def test_a_poster_that_was_suspended_or_banned_gets_its_share_frozen_or_burned(status: int) -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    w.set_status(who("boss"), status)
    burned = w.burned()
    everybody(w, job, ballot(NOMODEL))
    assert w.state(job) == "REFUNDED"
    share = 9_000 + FEES - 50
    if status == SUSPENDED:
        assert w.account("boss").frozen == GRANT - 10_000 - FEES + share
        assert w.burned() == burned + 1_000 + 1_000
    else:
        assert w.burned() == burned + share + 1_000 + 1_000
    assert w.escrowed(job) == 0


def test_a_winner_suspended_by_another_job_gets_its_bounty_frozen() -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    w.set_status(who("a"), SUSPENDED)
    everybody(w, job, YES)
    assert w.state(job) == "PAID"
    assert w.account("a").frozen == GRANT + 10_000


def test_a_false_verdict_on_one_who_is_banned_already_is_final_at_once() -> None:
    w = world()
    job = audit(w, {"a": 100})
    w.set_status(who("a"), BANNED)
    everybody(w, job, LIE)
    assert (w.state(job), w.job(job).holdback) == ("REFUNDED", Holdback.RETURNED)
    assert w.escrowed(job) == 0


def test_a_false_verdict_on_a_suspended_one_joins_its_case() -> None:
    w = world()
    one, two = w.post("boss"), w.post("boss")
    for job in (one, two):
        assert w.claim(job, "a", 100) == 0
    w.deadline(one)
    for job in (one, two):
        assert w.reveal(job, "a") == 0
    w.deadline(one)
    everybody(w, one, LIE)
    everybody(w, two, LIE)
    assert [w.job(j).holdback for j in (one, two)] == [Holdback.HELD, Holdback.HELD]
    w.close_case(who("a"), banned=True)
    assert [w.job(j).holdback for j in (one, two)] == [Holdback.RETURNED, Holdback.RETURNED]
