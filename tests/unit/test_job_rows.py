"""What deadlines and verdicts do, row by row: silence, draws, committees, verdicts, what they cost, the three ends."""

from __future__ import annotations

from typing import Any

import pytest

from learningchain.chain.contracts.job import CONTRACT, records
from learningchain.chain.contracts.job.messages import OnCheat
from learningchain.chain.contracts.job.records import NO_JOBS, CaseState, ContractorRecord, Hidden
from learningchain.chain.host import BANNED, K_VALIDATORS, SUSPENDED, Validators
from learningchain.chain.params import MAX_INT
from learningchain.chain.types import Validator
from learningchain.chain.verification import committee
from learningchain.chain.verification.votes import BallotCode, Judgement
from learningchain.client.contracts.job.http import views
from tests.unit.job_kit import FEE, GRANT, PARAMS, World, ballot, hidden_set, replaced, roundtrip, sha, who

CLAIMANTS = ["a", "b", "c", "d"]
VERIFIERS = [f"v{i}" for i in range(1, 6)]
MEMBERS = ["boss", *CLAIMANTS, *VERIFIERS]
OK, NEAR, FALSE, INVALID, BROKEN, NOMODEL, ABSTAIN = BallotCode
FEES = FEE * 71 * 3
BOND = 3 * 1_000

YES = ballot(OK, 5_000)
LIE = ballot(FALSE, 90_000)
"""Against claims of 5,000 and less: far above the bound of 11,000."""
CLOSE = ballot(NEAR, 6_000)


def world(verifiers: list[str] = VERIFIERS, members: list[str] = MEMBERS, **changes: Any) -> World:
    return World(members, verifiers, params=replaced(PARAMS, **changes))


def audit(w: World, losses: dict[Any, int], stakeless: str = "", **changes: Any) -> bytes:
    job = w.post("boss", **changes)
    w.open_to(job, losses, frozenset(stakeless))
    return job


def gained(w: World, name: str) -> int:
    account = w.account(name)
    return account.balance + account.frozen - GRANT


def record(w: World, name: str = "boss") -> ContractorRecord:
    found = w.store.get(records.contractor_key(who(name)))
    assert isinstance(found, ContractorRecord)
    return found


# --- T0 ------------------------------------------------------------------------------------------------------------------------


def test_a_late_deadline_still_leaves_the_whole_window_to_reveal() -> None:
    w = world()
    job = w.post("boss")
    assert w.claim(job, "a", 1) == 0
    w.block(100_000 + PARAMS.job_reveal)
    assert w.state(job) == "REVEAL"
    assert w.job(job).deadline == w.clock + PARAMS.job_reveal


def test_inside_one_block_the_beacon_that_closes_the_claims_draws_their_order() -> None:
    seen = set()
    for seed in range(8):
        w = world()
        job = w.post("boss", finalists=2)
        w.beacon = sha("seed", seed)
        w.height += 1
        for name in ("a", "b", "c"):
            w.height -= 1
            assert w.claim(job, name, 5_000) == 0
        w.deadline(job)
        seen.add(tuple(w.job(job).must))
    assert len(seen) > 1


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
    assert gained(w, "b") == -1_000
    assert w.burned() == 1_000
    assert w.job(job).finalists == [2, 0]
    assert w.result(job, "b") == "SILENT"
    # d was not asked to reveal
    assert w.result(job, "d") == "NONE"


@pytest.mark.parametrize("verdict", ["paid", "refunded"])
def test_a_job_ends_whose_bounty_the_contractors_record_cannot_count(verdict: str) -> None:
    """The same credits are posted again and again: where all there are is near 2^63, three jobs bring it there."""
    w = world()
    w.store.put(records.contractor_key(who("boss")), replaced(NO_JOBS, paid=MAX_INT - 9_999, refunded=MAX_INT - 9_999))
    job = audit(w, {"a": 5_000})
    w.everybody(job, YES if verdict == "paid" else LIE)
    assert w.state(job) == verdict.upper()
    assert getattr(roundtrip(record(w)), verdict) == MAX_INT


def test_a_banned_claimant_is_not_struck_for_silence_and_its_stake_burns_at_the_end() -> None:
    w = world()
    job = w.post("boss")
    assert w.claim(job, "a", 5_000) == 0
    w.set_status(who("a"), BANNED)
    w.deadline(job)
    w.deadline(job)
    assert (w.state(job), w.result(job, "a")) == ("EMPTY", "SILENT")
    assert w.membership.struck() == []
    assert w.burned() == GRANT
    assert w.job(job).bond_burned == 0


# --- T2 ------------------------------------------------------------------------------------------------------------------------


def test_no_key_burns_the_deposit_and_the_public_loss_decides() -> None:
    w = world()
    job = audit(w, {"a": 5_000, "b": 4_000}, hidden=hidden_set())
    assert w.state(job) == "KEY"
    assert w.job(job).deadline == w.clock + PARAMS.job_key
    w.deadline(job)
    assert w.job(job).hidden == Hidden.OFF
    assert w.burned() == 10_000
    assert (w.state(job), w.round(job).batch, w.round(job).hidden) == ("COMMIT", [1], False)
    w.everybody(job, ballot(OK, 4_000))
    assert w.state(job) == "PAID"
    assert gained(w, "b") == 10_000
    assert gained(w, "boss") == -10_000 - 10_000 - 5 * 2 * FEE


# --- DRAW ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("validators", "blocks"), [(1, 1), (4, 1), (6, 1), (7, 2), (10, 3)])
def test_a_committee_is_drawn_d_blocks_after_what_asked_for_it(validators: int, blocks: int) -> None:
    w = world()
    members = [Validator(who(("validator", i)), b"\x02" * 33) for i in range(validators)]
    w.store.put(K_VALIDATORS, Validators(1, members))
    job = w.post("boss")
    assert w.claim(job, "a", 5_000) == 0
    w.deadline(job)
    assert w.reveal(job, "a") == 0
    w.block(1)
    asked, clock = w.height, w.clock
    assert (w.job(job).deadline, w.job(job).draw_height) == (clock, asked + blocks)
    for _ in range(blocks):
        assert w.state(job) == "DRAW"
        w.block(0)
    assert (w.state(job), w.round(job).beacon) == ("COMMIT", w.beacon)


@pytest.mark.parametrize("b", [1, 2, 3])
def test_the_committee_has_time_for_every_model_of_the_batch(b: int) -> None:
    w = world()
    losses = dict(zip(CLAIMANTS[:b], (9_000, 7_000, 5_000), strict=False))
    job = audit(w, losses, hidden=hidden_set(), eval_s=30, model_cap=7_000_001)
    w.show_key(job)
    # two evaluations, each of the public and of the hidden data
    assert w.job(job).deadline == w.clock + 100_000 + 2 * 60_000 * b + -(-7_000_001 * b // 1_000)


def test_banned_finalists_are_dropped_and_suspended_ones_are_not() -> None:
    w = world()
    job = w.post("boss")
    for name, loss in (("a", 3_000), ("b", 4_000), ("c", 5_000)):
        assert w.claim(job, name, loss) == 0
    w.deadline(job)
    for name in ("a", "b", "c"):
        assert w.reveal(job, name) == 0
    w.set_status(who("a"), BANNED)
    w.set_status(who("b"), SUSPENDED)
    w.draw(job)
    assert [w.result(job, n) for n in "abc"] == ["DROPPED", "NONE", "NONE"]
    assert w.round(job).batch == [1]


def test_the_committee_is_drawn_from_those_who_can_judge_and_have_no_part_in_the_job() -> None:
    w = world([*VERIFIERS, "boss", "a", "d"])
    w.membership.flags[who("v1")] = w.clock + 100_000  # set at T0: too young
    w.membership.flags[who("v5")] = w.clock + 99_999
    w.membership.barred.add(who("v2"))
    w.membership.weak.add(who("v3"))
    w.set_status(who("v4"), SUSPENDED)
    job = audit(w, {"a": 3_000, "d": 9_000, "b": 8_000}, finalists=2)
    # a and b are finalists; d is a claimant that stays in, and suspension takes no seat away
    assert w.job(job).finalists == [0, 2]
    assert sorted(w.committee(job)) == sorted(map(who, ("v4", "v5", "d")))
    beacon = w.round(job).beacon
    assert w.committee(job) == sorted(w.committee(job), key=lambda i: committee.ticket(beacon, job, 0, 1, i))
    needed, before = w.membership.asked[0]
    assert (needed.cpus_milli, needed.mem_mb, needed.eval_s, needed.image, before) == (1_000, 512, 10, 10_000, 1_100_000)


def test_seven_of_many_by_lowest_ticket() -> None:
    names = [f"m{i}" for i in range(40)]
    w = World(["boss", "a", *names], names)
    job = audit(w, {"a": 5_000})
    drawn = w.round(job)
    assert drawn.beacon == w.beacon
    lowest = sorted(map(who, names), key=lambda i: committee.ticket(drawn.beacon, job, 0, 1, i))[:7]
    assert (drawn.voters, drawn.pools, drawn.seats) == (lowest, [40], [7])


def test_who_bears_the_contractors_mark_is_not_drawn_for_it_in_round_one() -> None:
    names = [f"m{i}" for i in range(20)]
    w = World(["boss", "a", *names], names)
    w.membership.marks = {who(name) for name in names[:8]}
    job = audit(w, {"a": 5_000})
    assert not set(w.committee(job)) & w.membership.marks
    w.vote(job, {voter: [YES if i else LIE] for i, voter in enumerate(w.committee(job))})
    assert w.job(job).round == 2
    assert set(w.committee(job)) >= w.membership.marks


# --- verdicts and money --------------------------------------------------------------------------------------------------------


def test_an_honest_winner_is_paid_and_its_verifiers_too() -> None:
    w = world()
    job = audit(w, {"a": 5_000, "b": 9_000})
    w.everybody(job, YES)
    assert w.state(job) == "PAID"
    assert gained(w, "a") == 10_000
    assert gained(w, "b") == 0
    assert [gained(w, v) for v in VERIFIERS] == [FEE] * 5
    assert gained(w, "boss") == -10_000 - 5 * FEE
    assert (w.escrowed(job), w.burned(), w.unsettled_due()) == (0, 0, None)
    assert w.membership.struck() == []
    assert w.membership.judged == [(who("a"), Judgement.OK)]
    assert record(w) == ContractorRecord(1, 0, 0, 10_000, 0, 0, 0, [who("a")], 0)
    assert [m for m in w.moves(job) if m[0] not in ("bounty.locked", "fees.locked", "bond.locked", "stake.locked", "stake")] == [
        *[("fee", FEE)] * 5,
        ("bounty", 10_000),
        ("bond.returned", BOND),
        ("fees.returned", FEES - 5 * FEE),
    ]


def test_a_false_claim_costs_its_stake_freezes_the_bounty_less_it_and_the_contractor_as_much() -> None:
    w = world()
    job = audit(w, {"a": 100, "b": 9_000})
    w.everybody(job, LIE)
    assert w.state(job) == "REFUNDED"
    assert w.result(job, "a") == "FALSE"
    account = w.account("a")
    assert (account.status, account.balance, account.frozen) == (SUSPENDED, GRANT - 10_000, 9_000)
    assert w.burned() == 2 * 1_000
    assert w.job(job).bond_burned == 1_000
    assert w.membership.struck() == []
    assert w.membership.judged == [(who("a"), Judgement.FALSE)]
    assert gained(w, "b") == 0
    assert [gained(w, v) for v in VERIFIERS] == [FEE] * 5
    assert gained(w, "boss") == -1_000 - 5 * FEE
    assert (w.escrowed(job), w.unsettled_due()) == (0, None)
    w.close_case(who("a"), banned=True)
    assert gained(w, "boss") == -1_000 - 5 * FEE
    assert w.job(job).cases == [records.JobCase(who("a"), CaseState.BANNED)]
    assert w.account("a").status == BANNED


def test_a_false_claim_of_one_who_is_banned_already_counts_as_a_ban() -> None:
    w = world()
    job = audit(w, {"a": 100})
    w.set_status(who("a"), BANNED)
    w.everybody(job, LIE)
    assert w.job(job).cases == [records.JobCase(who("a"), CaseState.BANNED)]
    # its stake burned by verdict: the bond follows
    assert w.job(job).bond_burned == 1_000


def test_after_a_stakeless_lie_the_next_best_is_judged_though_the_contractor_wants_its_bounty_back() -> None:
    """LC-JOB-38, 3: with an account that risks nothing nobody ends the job for those that are left."""
    w = world()
    job = audit(w, {"a": 100, "b": 5_000, "c": 9_000}, stakeless="a", on_cheat=OnCheat.REFUND, finalists=4)
    for number, said in enumerate((LIE, ballot(NOMODEL), ballot(OK, 9_000))):
        assert (w.state(job), w.job(job).audit, w.round(job).batch) == ("COMMIT", number, [number])
        w.everybody(job, said)
    assert w.state(job) == "PAID"
    assert gained(w, "c") == 10_000


def test_finalists_that_are_judged_one_after_the_other_in_two_rounds_each_end_in_time() -> None:
    """LC-JOB-14, 34: no window ends early, as one commits and opens nothing."""
    w = world()
    job = audit(w, {"a": 9_000, "b": 8_000, "c": 7_000, "d": 6_000}, stakeless="cd", finalists=4)
    shown, rounds = views.describe(w.store, job), []
    while w.state(job) != "REFUNDED":
        if w.state(job) == "COMMIT":
            rounds.append((w.job(job).audit, w.job(job).round, w.round(job).batch))
            assert w.commit(job, w.committee(job)[0], [ballot(ABSTAIN)]) == 0
        w.deadline(job)
    assert rounds == [(number, round_, [3 - number]) for number in range(4) for round_ in (1, 2)]
    assert shown is not None and w.clock <= shown["latest_end"]


def test_all_refused_is_refunded_and_the_bond_burns_what_the_stakes_did() -> None:
    w = world()
    job = audit(w, {"a": 4_000, "b": 5_000})
    w.everybody(job, ballot(INVALID))
    w.everybody(job, ballot(BROKEN))
    assert w.state(job) == "REFUNDED"
    assert w.burned() == 4 * 1_000
    assert gained(w, "boss") == -2_000 - 10 * FEE
    assert [gained(w, v) for v in VERIFIERS] == [2 * FEE] * 5
    assert record(w) == ContractorRecord(1, 0, 0, 0, 10_000, 0, 0, [], 0)


def test_undecided_releases_the_stake_burns_the_fees_and_is_no_strike_for_anybody() -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    w.everybody(job, ballot(ABSTAIN))
    assert w.result(job, "a") == "UNDECIDED"
    assert w.state(job) == "REFUNDED"
    assert gained(w, "a") == 0
    assert w.membership.struck() == w.membership.draws == []
    assert gained(w, "boss") == -w.burned() == -5 * FEE
    assert w.job(job).fees_burned == 5 * FEE
    assert record(w).undecided == 1


def test_any_dissent_among_seven_brings_a_second_round_of_all_others() -> None:
    names = [f"m{i}" for i in range(30)]
    w = World(["boss", "a", *names], names)
    job = audit(w, {"a": 5_000})
    first = w.committee(job)
    w.vote(job, {v: [YES if i else ballot(INVALID)] for i, v in enumerate(first)})
    assert (w.state(job), w.job(job).round, w.round(job).seats) == ("COMMIT", 2, [30])
    w.everybody(job, YES)
    assert w.state(job) == "PAID"
    # INVALID against an OK by quorum: a strike; the others are paid for both rounds
    assert w.membership.struck() == [(first[0], "vote.wrong")]
    assert w.job(job).fees_paid == 36 * FEE
    assert {gained(w, n) for n in names if who(n) in first[1:]} == {2 * FEE}


# --- deadlines -----------------------------------------------------------------------------------------------------------------


def test_a_thousand_stakes_are_released_over_several_events() -> None:
    names = [f"m{i}" for i in range(300)]
    w = World(["boss", "v1", *names], ["v1"])
    job = w.post("boss", finalists=2)
    for name in names:
        assert w.claim(job, name, 5_000) == 0
    w.deadline(job)
    assert w.reveal(job, "m0") == 0
    w.deadline(job)
    w.vote(job, {who("v1"): [YES]})
    assert w.state(job) == "PAID"
    # m1 had to reveal as well
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


def test_a_draw_that_rings_too_early_changes_nothing() -> None:
    w = world()
    job = w.post("boss")
    assert w.claim(job, "a", 5_000) == 0
    w.deadline(job)
    assert w.reveal(job, "a") == 0
    w.next(job)
    before = dict(w.store.records)
    assert CONTRACT.on_due is not None
    CONTRACT.on_due(w.host(), job, w.job(job).deadline)
    assert w.store.records == before
