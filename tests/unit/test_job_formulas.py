"""The formulas of the job contract against the literal numbers of its rule."""

from __future__ import annotations

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.contracts.job import rules
from chain.contracts.job.rules import Result, Rule, VoteCode
from chain.types import quorum
from chain.verification import ranking, scale
from chain.verification.ranking import RankedClaim
from chain.verification.scale import FloatKind, lower_median
from tests.network import NetworkParams

F64, F32 = FloatKind.F64, FloatKind.F32
OK, NEAR, FALSE, INVALID, NOMODEL, ABSTAIN = VoteCode


def test_constants() -> None:
    assert (rules.COMMITTEE, rules.COMMITTEE_2, rules.MAX_FINALISTS, rules.DEFAULT_FINALISTS, rules.MAX_CLAIMS) == (
        13,
        64,
        8,
        3,
        16,
    )
    assert rules.MAX_LOSS == 10**18
    assert rules.fees_locked(7, 8) == 7 * 13 * 8


@pytest.mark.parametrize(("c", "q"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (7, 5), (9, 7), (13, 9), (64, 43), (0, 1)])
def test_quorum(c: int, q: int) -> None:
    assert quorum(c) == q


@pytest.mark.parametrize(
    ("kind", "loss", "base", "bound"),
    [
        (F64, 0, 10, 10_000),
        (F64, 1, 11, 11_000),
        (F64, 10**6, 11, 11_000),
        (F64, 10**6 + 1, 12, 12_000),
        (F64, -(10**6), 11, 11_000),
        (F64, 10**9, 1_010, 1_010_000),
        (F64, 10**18, 10**12 + 10, 1_000 * (10**12 + 10)),
        (F32, 0, 1_000, 100_000),
        (F32, 1, 1_001, 100_100),
        (F32, 10**4, 1_001, 100_100),
        (F32, -(10**4) - 1, 1_002, 100_200),
        (F32, 10**9, 101_000, 10_100_000),
    ],
)
def test_base_and_bound(kind: int, loss: int, base: int, bound: int) -> None:
    assert scale.base(kind, loss) == base
    assert scale.bound(kind, loss) == bound


@pytest.mark.parametrize(
    ("kind", "posted", "loss", "tol"),
    [
        (F64, 0, 10**9, 1_010),
        (F64, 1_010, 10**9, 1_010),
        (F64, 5_000, 10**9, 5_000),
        (F64, 10_100, 10**9, 10_100),
        (F64, 10_101, 10**9, 10_100),
        (F64, 10**18, 0, 100),
        (F32, 999, 0, 1_000),
        (F32, 3_000, 0, 3_000),
        (F32, 10**18, 0, 10_000),
    ],
)
def test_tolerance_lies_between_base_and_ten_times_base(kind: int, posted: int, loss: int, tol: int) -> None:
    assert scale.tolerance(kind, posted, loss) == tol


@pytest.mark.parametrize(
    ("measured", "code"),
    [(-5, OK), (1_000, OK), (1_110, OK), (1_111, NEAR), (12_000, NEAR), (12_001, FALSE)],
)
def test_vote_code_at_its_edges(measured: int, code: VoteCode) -> None:
    # a claim of 1,000 with f64: base 11, tol 110 when the contractor asks for much, bound 11,000
    assert rules.vote_code(1_000, measured, scale.tolerance(F64, 10**6, 1_000), scale.bound(F64, 1_000)) == code


def ranked(losses: list[int], first: int = 8) -> list[int]:
    """Indices in rank order; chain order is list order; 2*tol is 20."""
    entries = [RankedClaim(bytes([i]), loss, i) for i, loss in enumerate(losses)]
    return [e.claim for e in ranking.rank(reversed(entries), lambda _: 10, first)]


@pytest.mark.parametrize(
    ("losses", "order"),
    [
        ([100], [0]),
        ([100, 100], [0, 1]),
        ([100, 81], [0, 1]),
        ([100, 80], [1, 0]),
        ([100, 85, 70], [2, 0, 1]),
        # 7 beats 10, not 8: who leads depends on who else stands, so a rank is made anew for every set
        ([100, 80, 70, 60], [3, 1, 2, 0]),
        ([100, 70, 60], [1, 2, 0]),
        ([50, 40, 30, 20, 10], [4, 2, 3, 0, 1]),
        ([-100, -121], [1, 0]),
    ],
)
def test_rank_takes_the_leader_and_repeats(losses: list[int], order: list[int]) -> None:
    assert ranked(losses) == order
    assert ranked(losses, 2) == order[:2]


@given(st.lists(st.integers(-(10**18), 10**18), min_size=1, max_size=20), st.integers(0, 10**18), st.sampled_from([F64, F32]))
def test_no_claim_ahead_in_rank_could_be_beaten_by_a_later_one_behind_it(losses: list[int], posted: int, kind: FloatKind) -> None:
    def tol(loss: int) -> int:
        return scale.tolerance(kind, posted, loss)

    entries = [RankedClaim(i.to_bytes(2, "big"), loss, i) for i, loss in enumerate(losses)]
    order = ranking.rank(entries, tol, len(entries))
    assert sorted(order) == entries
    for ahead, behind in itertools.combinations(order, 2):
        if behind.position > ahead.position:
            assert behind.loss + 2 * tol(ahead.loss) > ahead.loss
        else:
            # an earlier claim falls behind a later one only by being worse
            assert ahead.loss < behind.loss


def test_vote_window() -> None:
    # V0 + 2*eval_budget*b + cd(model_cap*b, 1 MB/s), in milliseconds
    assert rules.vote_window(120_000, 30, 10_000_000, 1) == 120_000 + 60_000 + 10_000
    assert rules.vote_window(120_000, 30, 10_000_001, 3) == 120_000 + 180_000 + 30_001
    assert rules.vote_window(0, 1, 1, 1) == 2_001


def test_latest_end_covers_single_audits_and_one_batch() -> None:
    p = NetworkParams()
    for k, eval_s, cap in itertools.product(range(1, 9), (1, 77), (1, 999, 10**9)):
        latest = rules.latest_end(
            5, p.job_reveal, p.job_key, p.job_open_votes, finalists=k, vote_base=p.job_vote_base, eval_s=eval_s, model_cap=cap
        )
        one, batch = (rules.vote_window(p.job_vote_base, eval_s, cap, b) for b in (1, k))
        assert latest == 5 + p.job_reveal + p.job_key + 2 * k * (one + p.job_open_votes)
        assert 2 * (batch + p.job_open_votes) <= 2 * k * (one + p.job_open_votes)


def test_ticket_is_the_plain_hash_that_the_rule_names() -> None:
    beacon, job, identity = b"b" * 32, b"j" * 32, b"i" * 20
    assert rules.ticket(beacon, job, 2, 1, identity) == hashlib.sha256(beacon + job + b"\x02\x01" + identity).digest()


def order_by_name(identity: bytes) -> bytes:
    return identity


@pytest.mark.parametrize(
    ("pool", "spare", "seats", "drawn", "size"),
    [
        (20, 5, 13, 13, 20),
        (13, 5, 13, 13, 13),
        (3, 5, 13, 3, 3),
        (2, 5, 13, 3, 3),
        (1, 1, 13, 2, 2),
        (0, 2, 13, 2, 2),
        (0, 5, 13, 3, 3),
        (0, 0, 13, 0, 0),
        (70, 0, 64, 64, 70),
    ],
)
def test_committee_sizes(pool: int, spare: int, seats: int, drawn: int, size: int) -> None:
    members, p = rules.draw([bytes([0, i]) for i in range(pool)], [bytes([1, i]) for i in range(spare)], seats, order_by_name)
    assert (len(members), p) == (drawn, size)


def test_committee_holds_the_lowest_tickets_and_spares_only_fill_up_to_three() -> None:
    members, _ = rules.draw([b"d", b"b"], [b"c", b"a"], 13, order_by_name)
    assert members == [b"a", b"b", b"d"]
    members, _ = rules.draw([b"d", b"b", b"e"], [b"c", b"a"], 2, order_by_name)
    assert members == [b"b", b"d"]


def test_probe_has_31_bits_and_differs_by_job_audit_and_round() -> None:
    probes = {rules.probe_of(b"b" * 32, bytes([j]) * 32, a, r) for j in range(8) for a in range(8) for r in (1, 2)}
    assert len(probes) == 128
    assert all(0 <= p < 2**31 for p in probes)
    assert max(probes) >= 2**30


@pytest.mark.parametrize(("values", "middle"), [([3], 3), ([1, 9], 1), ([9, 1, 5], 5), ([4, 3, 2, 1], 2)])
def test_lower_median(values: list[int], middle: int) -> None:
    assert lower_median(values) == middle


def outcome(seats: int, votes: str, *, round_: int = 1, pool: int | None = None, spread: int = 0) -> tuple[Result, Rule]:
    """`votes`: one letter each: o ok, n near, f false, i invalid, m no model, a abstain. FALSE votes lie `spread` apart."""
    codes = {"o": OK, "n": NEAR, "f": FALSE, "i": INVALID, "m": NOMODEL, "a": ABSTAIN}
    pairs = [(codes[v], 10_000 + spread * i) for i, v in enumerate(votes)]
    return rules.verdict(rules.tally(seats, pairs, 10), round_, seats if pool is None else pool)


@pytest.mark.parametrize(
    ("seats", "votes", "result", "rule"),
    [
        # n = 0
        (0, "", Result.UNDECIDED, Rule.NO_VOTES),
        # n = 1: one OK pays, one negative refuses, nobody can be banned
        (1, "o", Result.OK, Rule.QUORUM_OK),
        (1, "f", Result.REFUSED, Rule.QUORUM_NEGATIVE),
        (1, "n", Result.REFUSED, Rule.QUORUM_NEGATIVE),
        (1, "a", Result.UNDECIDED, Rule.NO_VOTES),
        (1, "", Result.UNDECIDED, Rule.NO_VOTES),
        # n = 2: two FALSE ban, 1-1 pays, one silent: the other decides
        (2, "ff", Result.FALSE, Rule.QUORUM_FALSE),
        (2, "fo", Result.OK, Rule.MAJORITY),
        (2, "o", Result.OK, Rule.MAJORITY),
        (2, "f", Result.REFUSED, Rule.MAJORITY),
        (2, "fi", Result.REFUSED, Rule.QUORUM_NEGATIVE),
        # n = 3: three FALSE ban, otherwise the majority of the opened
        (3, "fff", Result.FALSE, Rule.QUORUM_FALSE),
        (3, "ff", Result.REFUSED, Rule.MAJORITY),
        (3, "ffo", Result.REFUSED, Rule.MAJORITY),
        (3, "foo", Result.OK, Rule.MAJORITY),
        (3, "fo", Result.OK, Rule.MAJORITY),
        (3, "ooo", Result.OK, Rule.QUORUM_OK),
        # n = 4: three of four decide, three FALSE ban
        (4, "fffo", Result.FALSE, Rule.QUORUM_FALSE),
        (4, "fff", Result.FALSE, Rule.QUORUM_FALSE),
        (4, "ooof", Result.OK, Rule.QUORUM_OK),
        (4, "nnio", Result.REFUSED, Rule.QUORUM_NEGATIVE),
        (4, "oonn", Result.OK, Rule.MAJORITY),
        # 13
        (13, "o" * 9 + "f" * 4, Result.OK, Rule.QUORUM_OK),
        (13, "f" * 9 + "o" * 4, Result.FALSE, Rule.QUORUM_FALSE),
        (13, "f" * 8 + "n" + "o" * 4, Result.REFUSED, Rule.QUORUM_NEGATIVE),
        (13, "m" * 9, Result.REFUSED, Rule.QUORUM_NEGATIVE),
        (13, "a" * 13, Result.UNDECIDED, Rule.NO_VOTES),
        (13, "o" * 6 + "n" * 6, Result.OK, Rule.MAJORITY),
        (13, "o" * 6 + "n" * 7, Result.REFUSED, Rule.MAJORITY),
    ],
)
def test_verdicts_where_everybody_sits(seats: int, votes: str, result: Result, rule: Rule) -> None:
    assert outcome(seats, votes) == (result, rule)


def test_a_second_round_where_more_verifiers_than_seats_exist_and_no_quorum_spoke() -> None:
    assert outcome(13, "o" * 8 + "f" * 5, pool=14) == (Result.NONE, Rule.SECOND_ROUND)
    assert outcome(13, "", pool=14) == (Result.NONE, Rule.SECOND_ROUND)
    assert outcome(13, "o" * 9, pool=14) == (Result.OK, Rule.QUORUM_OK)
    assert outcome(13, "o" * 8 + "f" * 5, pool=14, round_=2) == (Result.OK, Rule.MAJORITY)
    assert outcome(64, "f" * 43, pool=70, round_=2) == (Result.FALSE, Rule.QUORUM_FALSE)
    assert outcome(64, "", pool=70, round_=2) == (Result.UNDECIDED, Rule.NO_VOTES)


def test_false_votes_must_agree_with_each_other_to_ban() -> None:
    # within 2*tol = 20 of the lower median
    assert outcome(3, "fff", spread=20) == (Result.FALSE, Rule.QUORUM_FALSE)
    assert outcome(3, "fff", spread=21) == (Result.REFUSED, Rule.QUORUM_NEGATIVE)
    assert outcome(2, "ff", spread=21) == (Result.REFUSED, Rule.QUORUM_NEGATIVE)


@pytest.mark.parametrize(("units", "each"), [(0, 0), (1, 100), (13, 100), (14, 92), (26, 50), (77, 16)])
def test_fee_never_exceeds_the_unit_nor_the_candidates_share(units: int, each: int) -> None:
    assert rules.fee_each(100, units) == each
    assert units * each <= 100 * 13


def test_probe_must_lie_within_twice_the_tolerance_of_its_sides_lower_median() -> None:
    assert rules.probes_good([(OK, 100), (OK, 120), (OK, 121), (OK, 79), (OK, 80)], 10) == [True, True, False, False, True]
    assert rules.probes_good([(FALSE, 100), (INVALID, 0), (NOMODEL, 0), (NEAR, 121)], 10) == [True, True, True, False]
    assert rules.probes_good([(INVALID, 0)], 10) == [True]
    assert rules.probes_good([], 10) == []


@pytest.mark.parametrize(
    ("result", "rule", "wrong"),
    [
        (Result.OK, Rule.QUORUM_OK, {FALSE, INVALID}),
        (Result.FALSE, Rule.QUORUM_FALSE, {OK}),
        (Result.REFUSED, Rule.QUORUM_NEGATIVE, set()),
        (Result.OK, Rule.MAJORITY, set()),
        (Result.REFUSED, Rule.MAJORITY, set()),
        (Result.UNDECIDED, Rule.NO_VOTES, set()),
    ],
)
def test_only_a_quorum_makes_a_wrong_vote_a_strike(result: Result, rule: Rule, wrong: set[VoteCode]) -> None:
    assert {code for code in VoteCode if rules.is_wrong(code, result, rule)} == wrong


@pytest.mark.parametrize(
    ("result", "weak"),
    [
        (Result.OK, {NEAR, NOMODEL, ABSTAIN}),
        (Result.REFUSED, {ABSTAIN}),
        (Result.FALSE, {ABSTAIN}),
        (Result.UNDECIDED, set()),
    ],
)
def test_weak_votes_on_the_losing_side(result: Result, weak: set[VoteCode]) -> None:
    assert {code for code in VoteCode if rules.is_weak(code, result)} == weak
