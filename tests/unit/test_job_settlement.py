"""What deadlines and verdicts do, row by row: silence, audits, committees, verdicts, fees, strikes, the three ends."""

from __future__ import annotations

from typing import Any

import pytest

from chain.contracts.job import CONTRACT, records, rules
from chain.contracts.job.messages import Ballot
from chain.contracts.job.records import CaseState, Hidden, Holdback
from chain.contracts.job.rules import VoteCode
from chain.host import ACTIVE, BANNED, SUSPENDED
from tests.unit.job_kit import GRANT, PARAMS, World, ballot, hidden_set, key_message, replaced, sha, who

CLAIMANTS = ["a", "b", "c", "d"]
VERIFIERS = [f"v{i}" for i in range(1, 6)]
MEMBERS = ["boss", *CLAIMANTS, *VERIFIERS]
OK, NEAR, FALSE, INVALID, NOMODEL, ABSTAIN = VoteCode
FEES = 10 * 13 * 3

YES = ballot(OK, 5_000, 4_000)
LIE = ballot(FALSE, 90_000, 80_000)
"""Against claims of 5,000 and less: far above the bound of 11,000."""
CLOSE = ballot(NEAR, 6_000, 4_000)


def world(verifiers: list[str] = VERIFIERS, members: list[str] = MEMBERS, **changes: Any) -> World:
    return World(members, verifiers, params=replaced(PARAMS, **changes))


def audit(w: World, losses: dict[Any, int], **changes: Any) -> bytes:
    job = w.post("boss", **changes)
    w.open_to(job, losses)
    return job


def everybody(w: World, job: bytes, vote: Ballot) -> None:
    w.vote(job, {voter: [vote] for voter in w.committee(job)})


def paid(w: World, name: str) -> int:
    return w.free(name) - GRANT


# --- T0 ------------------------------------------------------------------------------------------------------------------------


def test_without_a_claim_the_job_is_empty_and_everything_returns() -> None:
    w = world()
    job = w.post("boss", hidden=hidden_set())
    w.deadline(job)
    assert w.state(job) == "EMPTY"
    assert paid(w, "boss") == 0
    assert (w.escrowed(job), w.burned(), w.unsettled_due()) == (0, 0, None)
    assert w.store.get(records.contractor_key(who("boss"))) == records.ContractorRecord(1, 0, 0, 1, 0)


def test_the_best_k_claims_must_be_revealed() -> None:
    w = world()
    job = w.post("boss", finalists=2)
    for name, loss in (("a", 5_000), ("b", 3_000), ("c", 4_000), ("d", 4_500)):
        assert w.claim(job, name, loss) == 0
    w.deadline(job)
    assert (w.state(job), w.job(job).must) == ("REVEAL", [1, 2])
    assert w.job(job).deadline == w.clock + PARAMS.job_reveal


def test_a_late_deadline_still_leaves_the_whole_window_to_reveal() -> None:
    w = world()
    job = w.post("boss")
    assert w.claim(job, "a", 1) == 0
    w.block(100_000 + PARAMS.job_reveal)
    assert w.state(job) == "REVEAL"
    assert w.job(job).deadline == w.clock + PARAMS.job_reveal


# --- T1 ------------------------------------------------------------------------------------------------------------------------


def test_silence_of_the_best_costs_stake_and_strike_and_the_others_go_on() -> None:
    w = world()
    job = w.post("boss", finalists=2)
    for name, loss in (("a", 5_000), ("b", 1), ("c", 4_000), ("d", 9_000)):
        assert w.claim(job, name, loss) == 0
    w.deadline(job)
    for name in ("a", "c"):
        assert w.reveal(job, name) == 0
    w.deadline(job)
    assert w.membership.struck() == [(who("b"), "claim.silent")]
    assert paid(w, "b") == -1_000
    assert w.burned() == 1_000
    assert w.job(job).finalists == [2, 0]
    assert w.result(job, "b") == "SILENT"
    # d was not asked to reveal
    assert w.result(job, "d") == "NONE"


def test_nobody_reveals_and_the_job_is_empty() -> None:
    w = world()
    job = w.post("boss", hidden=hidden_set())
    assert w.claim(job, "a", 5_000) == 0
    w.deadline(job)
    w.deadline(job)
    assert w.state(job) == "EMPTY"
    assert paid(w, "boss") == 0
    assert w.burned() == 1_000


@pytest.mark.parametrize("status", [SUSPENDED, BANNED])
def test_who_cannot_send_is_not_struck_for_silence(status: int) -> None:
    w = world()
    job = w.post("boss")
    assert w.claim(job, "a", 5_000) == 0
    w.set_status(who("a"), status)
    w.deadline(job)
    w.deadline(job)
    assert w.state(job) == "EMPTY"
    assert w.membership.struck() == []
    assert w.account("a").frozen == (GRANT if status == SUSPENDED else 0)


def test_finalists_are_ranked_among_the_revealed() -> None:
    # a, who led, stays silent: the rank is made again for what was revealed, and c is not better enough than b to pass it
    w = world()
    job = w.post("boss", finalists=2)
    for name, loss in (("b", 5_000), ("c", 4_990), ("a", 100)):
        assert w.claim(job, name, loss) == 0
    w.deadline(job)
    assert w.job(job).must == [2, 0]
    assert w.reveal(job, "c") == 0
    assert w.reveal(job, "b") == 0
    w.deadline(job)
    assert w.job(job).finalists == [0, 1]


# --- T2 ------------------------------------------------------------------------------------------------------------------------


def test_no_key_burns_the_deposit_and_the_public_loss_decides() -> None:
    w = world()
    job = audit(w, {"a": 5_000, "b": 4_000}, hidden=hidden_set())
    assert w.state(job) == "KEY"
    assert w.job(job).deadline == w.clock + PARAMS.job_key
    w.deadline(job)
    assert w.job(job).hidden == Hidden.OFF
    assert w.burned() == 10_000
    record = w.store.get(records.round_key(job, 0, 1))
    assert (w.state(job), record.batch, record.hidden) == ("COMMIT", [1], False)
    everybody(w, job, ballot(OK, 4_000))
    assert w.state(job) == "PAID"
    assert paid(w, "b") == 10_000
    assert paid(w, "boss") == -10_000 - 10_000 - 50


# --- AUDIT ---------------------------------------------------------------------------------------------------------------------


def test_a_public_audit_serves_one_candidate_a_hidden_one_all() -> None:
    w = world()
    public = audit(w, {"a": 5_000, "b": 4_000, "c": 3_000})
    assert w.store.get(records.round_key(public, 0, 1)).batch == [2]
    hidden = audit(w, {"a": 5_000, "b": 4_000, "c": 3_000}, hidden=hidden_set())
    assert w.send(who("boss"), key_message(hidden)) == 0
    assert w.store.get(records.round_key(hidden, 0, 1)).batch == [2, 1, 0]


@pytest.mark.parametrize("b", [1, 2, 3])
def test_the_committee_has_time_for_every_model_of_the_batch(b: int) -> None:
    w = world()
    job = audit(
        w, dict(zip(CLAIMANTS[:b], (9_000, 7_000, 5_000), strict=False)), hidden=hidden_set(), eval_s=30, model_cap=7_000_001
    )
    assert w.send(who("boss"), key_message(job)) == 0
    assert w.job(job).deadline == w.clock + 100_000 + 2 * 30_000 * b + -(-7_000_001 * b // 1_000)


def test_suspended_and_banned_finalists_are_dropped() -> None:
    w = world()
    job = w.post("boss")
    for name, loss in (("a", 3_000), ("b", 4_000), ("c", 5_000)):
        assert w.claim(job, name, loss) == 0
    w.deadline(job)
    for name in ("a", "b", "c"):
        assert w.reveal(job, name) == 0
    w.set_status(who("a"), SUSPENDED)
    w.set_status(who("b"), BANNED)
    w.deadline(job)
    assert [w.result(job, n) for n in "abc"] == ["DROPPED", "DROPPED", "NONE"]
    assert w.account("a").frozen == GRANT
    assert w.burned() == GRANT
    assert w.store.get(records.round_key(job, 0, 1)).batch == [2]


def test_all_finalists_dropped_is_empty_not_refunded() -> None:
    w = world()
    job = w.post("boss")
    assert w.claim(job, "a", 3_000) == 0
    w.deadline(job)
    assert w.reveal(job, "a") == 0
    w.set_status(who("a"), SUSPENDED)
    w.deadline(job)
    assert w.state(job) == "EMPTY"
    assert paid(w, "boss") == 0


def test_the_committee_is_drawn_from_old_active_unstruck_verifiers_that_have_no_part_in_the_job() -> None:
    w = world([*VERIFIERS, "boss", "a", "d"])
    w.membership.flags[who("v1")] = w.clock + 100_000  # set at T0: too young
    w.membership.flags[who("v5")] = w.clock + 99_999
    w.membership.strikes += [(who("v2"), "test", w.clock + 10**9)] * 3
    w.set_status(who("v3"), SUSPENDED)
    job = audit(w, {"a": 3_000, "d": 9_000, "b": 8_000}, finalists=2)
    # a and b are finalists; d is a claimant that stays in
    assert w.job(job).finalists == [0, 2]
    assert sorted(w.committee(job)) == sorted(map(who, ("v4", "v5", "d")))
    members = w.committee(job)
    assert members == sorted(members, key=lambda i: rules.ticket(w.store.get(records.round_key(job, 0, 1)).beacon, job, 0, 1, i))


def test_thirteen_of_many_by_lowest_ticket() -> None:
    names = [f"m{i}" for i in range(40)]
    w = World(["boss", "a", *names], names)
    job = audit(w, {"a": 5_000})
    record = w.store.get(records.round_key(job, 0, 1))
    assert record.beacon == w.beacon
    lowest = sorted(map(who, names), key=lambda i: rules.ticket(record.beacon, job, 0, 1, i))[:13]
    assert (record.voters, record.pools, record.seats) == (lowest, [40], [13])


def test_below_three_verifiers_other_finalists_that_verify_join_but_never_the_candidate_nor_the_poster() -> None:
    w = world(["v1", "a", "b", "c", "boss"])
    job = audit(w, {"a": 3_000, "b": 5_000, "c": 7_000, "d": 9_000}, finalists=4)
    committee = w.committee(job)
    assert sorted(committee) == sorted(map(who, ("v1", "b", "c")))
    assert w.store.get(records.round_key(job, 0, 1)).pools == [3]


def test_in_a_hidden_batch_each_candidate_has_its_own_committee() -> None:
    w = world(["v1", "a", "b"])
    job = audit(w, {"a": 3_000, "b": 5_000}, hidden=hidden_set())
    assert w.send(who("boss"), key_message(job)) == 0
    record = w.store.get(records.round_key(job, 0, 1))
    assert (record.pools, record.seats) == ([2, 2], [2, 2])
    seats = {v: w.store.get(records.seat_key(job, 0, 1, v)).candidates for v in record.voters}
    assert seats == {who("v1"): [0, 1], who("b"): [0], who("a"): [1]}


def test_without_any_verifier_nobody_can_judge_and_the_job_ends_at_once() -> None:
    w = world([])
    job = audit(w, {"a": 5_000, "b": 4_000})
    assert w.state(job) == "REFUNDED"
    assert [w.result(job, n) for n in "ab"] == ["UNDECIDED", "UNDECIDED"]
    assert paid(w, "a") == 0
    assert paid(w, "boss") == -1_000
    assert w.burned() == 1_000


# --- verdicts and money --------------------------------------------------------------------------------------------------------


def test_an_honest_winner_is_paid_and_its_verifiers_too() -> None:
    w = world()
    job = audit(w, {"a": 5_000, "b": 9_000})
    everybody(w, job, YES)
    assert w.state(job) == "PAID"
    assert paid(w, "a") == 10_000
    assert paid(w, "b") == 0
    assert [paid(w, v) for v in VERIFIERS] == [10] * 5
    assert paid(w, "boss") == -10_000 - 50
    assert (w.escrowed(job), w.burned(), w.unsettled_due()) == (0, 0, None)
    assert w.membership.struck() == []
    assert w.store.get(records.contractor_key(who("boss"))) == records.ContractorRecord(1, 1, 0, 0, 0)
    assert "paid" in w.topics(job)
    assert [m for m in w.moves(job) if m[0] in ("bounty", "fee", "fees.returned")] == [
        *[("fee", 10)] * 5,
        ("bounty", 10_000),
        ("fees.returned", FEES - 50),
    ]


def test_a_false_claim_is_suspended_its_stake_burned_and_the_bounty_returned_but_for_a_tenth() -> None:
    w = world()
    job = audit(w, {"a": 100, "b": 9_000})
    everybody(w, job, LIE)
    assert w.state(job) == "REFUNDED"
    assert w.result(job, "a") == "FALSE"
    account = w.account("a")
    assert (account.status, account.balance, account.frozen) == (SUSPENDED, 0, GRANT - 1_000)
    assert w.burned() == 1_000
    assert w.membership.struck() == []
    assert paid(w, "b") == 0
    assert [paid(w, v) for v in VERIFIERS] == [10] * 5
    assert paid(w, "boss") == -1_000 - 50
    assert w.escrowed(job) == 1_000
    assert w.job(job).holdback == Holdback.HELD
    w.close_case(who("a"), banned=True)
    assert paid(w, "boss") == -50
    assert w.job(job).holdback == Holdback.RETURNED
    assert (w.escrowed(job), w.unsettled_due()) == (0, None)
    assert w.account("a").status == BANNED


def test_the_last_tenth_burns_when_the_verdict_does_not_become_a_ban() -> None:
    w = world()
    job = audit(w, {"a": 100})
    everybody(w, job, LIE)
    w.close_case(who("a"), banned=False)
    assert paid(w, "boss") == -1_000 - 50
    assert w.burned() == 1_000 + 1_000
    assert (w.job(job).holdback, w.escrowed(job)) == (Holdback.BURNED, 0)
    assert w.account("a").status == ACTIVE


@pytest.mark.parametrize(("ban", "back"), [(True, 1_000), (False, 0)])
def test_the_last_tenth_is_settled_even_if_nobody_reports_the_cases_end(ban: bool, back: int) -> None:
    w = world()
    job = audit(w, {"a": 100})
    everybody(w, job, LIE)
    before = w.free("boss")
    w.until(w.clock + 2 * PARAMS.appeal)
    assert w.job(job).holdback == Holdback.HELD
    w.set_status(who("a"), BANNED if ban else ACTIVE)
    w.until(w.clock + PARAMS.appeal + 1)
    assert w.free("boss") == before + back
    assert (w.escrowed(job), w.unsettled_due()) == (0, None)


def test_next_best_goes_on_after_a_cheater_and_the_honest_claim_corroborates_the_case() -> None:
    w = world()
    job = audit(w, {"a": 100, "b": 5_000}, on_cheat=1)
    everybody(w, job, LIE)
    assert (w.state(job), w.job(job).audit) == ("COMMIT", 1)
    assert not w.membership.corroborated[who("a")]
    everybody(w, job, YES)
    assert w.state(job) == "PAID"
    assert paid(w, "b") == 10_000
    assert w.membership.corroborated[who("a")]
    assert paid(w, "boss") == -10_000 - 100
    # a paid job holds no tenth: the case's end changes nothing
    w.close_case(who("a"), banned=True)
    assert w.escrowed(job) == 0
    assert w.job(job).cases[0].state == CaseState.BANNED


def test_refused_claims_lose_stake_and_get_a_strike_and_the_next_is_audited_either_way() -> None:
    w = world()
    job = audit(w, {"a": 4_000, "b": 5_000})
    everybody(w, job, CLOSE)
    assert w.result(job, "a") == "REFUSED"
    assert w.membership.struck() == [(who("a"), "claim.refused")]
    assert w.burned() == 1_000
    assert (w.state(job), w.job(job).audit) == ("COMMIT", 1)
    everybody(w, job, YES)
    assert w.state(job) == "PAID"
    assert paid(w, "b") == 10_000


def test_all_refused_is_refunded_and_the_tenth_burned() -> None:
    w = world()
    job = audit(w, {"a": 4_000, "b": 5_000})
    everybody(w, job, ballot(INVALID))
    everybody(w, job, ballot(NOMODEL))
    assert w.state(job) == "REFUNDED"
    assert w.job(job).holdback == Holdback.BURNED
    assert w.burned() == 3 * 1_000
    assert paid(w, "boss") == -1_000 - 100
    assert [paid(w, v) for v in VERIFIERS] == [20] * 5
    assert w.store.get(records.contractor_key(who("boss"))) == records.ContractorRecord(1, 0, 1, 0, 0)


def test_undecided_releases_the_stake_pays_no_fee_and_is_no_strike_for_the_claimant() -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    everybody(w, job, ballot(ABSTAIN))
    assert w.result(job, "a") == "UNDECIDED"
    assert w.state(job) == "REFUNDED"
    assert paid(w, "a") == 0
    assert w.membership.struck() == []
    assert all(good for _, good in w.membership.draws)
    assert paid(w, "boss") == -1_000


def test_one_round_more_where_thirteen_cannot_agree_and_others_are_left() -> None:
    names = [f"m{i}" for i in range(30)]
    w = World(["boss", "a", *names], names)
    job = audit(w, {"a": 5_000})
    first = w.committee(job)
    probe = rules.probe_of(w.store.get(records.round_key(job, 0, 1)).beacon, job, 0, 1)
    w.vote(job, {v: [YES if i < 7 else ballot(INVALID)] for i, v in enumerate(first)})
    assert (w.state(job), w.job(job).audit, w.job(job).round) == ("COMMIT", 0, 2)
    second = w.store.get(records.round_key(job, 0, 2))
    assert (second.seats, second.pools, second.batch) == ([30], [30], [0])
    assert rules.probe_of(second.beacon, job, 0, 2) != probe
    everybody(w, job, YES)
    assert w.state(job) == "PAID"
    # 7 + 30 units share 130: min(10, 130 // 37) each; who voted twice rightly gets two units
    assert {w.free(i) - GRANT for i in first[:7]} == {6}
    assert {w.free(i) - GRANT for i in first[7:]} == {3}
    # INVALID against an OK by quorum: one strike each
    assert sorted(w.membership.struck()) == sorted((v, "vote.wrong") for v in first[7:])


def test_round_two_seats_sixty_four() -> None:
    names = [f"m{i}" for i in range(70)]
    w = World(["boss", "a", *names], names)
    job = audit(w, {"a": 5_000})
    w.vote(job, dict.fromkeys(w.committee(job)))
    second = w.store.get(records.round_key(job, 0, 2))
    # 13 were silent once: one strike each, still eligible
    assert (second.seats, second.pools) == ([64], [70])
    everybody(w, job, LIE)
    assert w.result(job, "a") == "FALSE"
    assert w.job(job).fees_paid == 64 * (130 // 64)


def test_a_candidate_suspended_before_round_two_is_dropped() -> None:
    names = [f"m{i}" for i in range(20)]
    w = World(["boss", "a", *names], names)
    job = audit(w, {"a": 5_000})
    w.set_status(who("a"), SUSPENDED)
    w.vote(job, {v: [YES if i < 7 else LIE] for i, v in enumerate(w.committee(job))})
    assert w.result(job, "a") == "DROPPED"
    assert w.state(job) == "EMPTY"
    assert w.account("a").frozen == GRANT


# --- deadlines -----------------------------------------------------------------------------------------------------------------


def test_a_thousand_stakes_are_released_over_several_events() -> None:
    names = [f"m{i}" for i in range(300)]
    w = World(["boss", "v1", *names], ["v1"])
    job = w.post("boss", finalists=1)
    for name in names:
        assert w.claim(job, name, 5_000) == 0
    w.deadline(job)
    assert w.reveal(job, "m0") == 0
    w.deadline(job)
    w.vote(job, {who("v1"): [YES]})
    assert w.state(job) == "PAID"
    assert w.escrowed(job) == (300 - 128) * 1_000
    w.block(1)
    assert w.escrowed(job) == (300 - 256) * 1_000
    w.block(1)
    assert (w.escrowed(job), w.unsettled_due()) == (0, None)
    assert w.free("m299") == GRANT


def test_a_stale_deadline_and_an_unknown_job_change_nothing() -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    before = dict(w.store.records)
    assert CONTRACT.on_due is not None
    assert CONTRACT.on_case_closed is not None
    CONTRACT.on_due(w.host(), job, w.job(job).deadline - 1)
    CONTRACT.on_due(w.host(), sha("no job"), w.clock)
    CONTRACT.on_case_closed(w.host(), sha("no job"), who("a"), True)
    CONTRACT.on_case_closed(w.host(), job, who("a"), True)
    assert w.store.records == before


def test_every_job_leaves_the_list_of_live_ones() -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    assert [key for key, _ in w.store.scan(b"j/", 10)] == [b"j/" + job]
    everybody(w, job, YES)
    assert list(w.store.scan(b"j/", 10)) == []
