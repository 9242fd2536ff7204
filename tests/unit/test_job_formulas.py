"""The formulas of the job contract against the literal numbers of its rule; beside the model they stand in test_verification."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.contracts.job import messages
from chain.losses import MAX_LOSS
from chain.types import quorum
from chain.verification import committee, ranking, scale, votes, windows
from chain.verification.ranking import RankedClaim
from chain.verification.scale import FloatKind, lower_median
from chain.verification.votes import BallotCode
from tests.network import NetworkParams

F64, F32 = FloatKind.F64, FloatKind.F32
OK, NEAR, FALSE, *_ = BallotCode


def test_constants() -> None:
    assert (committee.FIRST_ROUND, committee.SECOND_ROUND, committee.MIN_POOL) == (7, 64, 3)
    assert (messages.MIN_FINALISTS, messages.MAX_FINALISTS, messages.DEFAULT_FINALISTS, messages.MAX_CLAIMS) == (2, 8, 4, 16)
    assert MAX_LOSS == 10**18
    assert windows.fees_locked(7, 8) == 7 * 71 * 8


@pytest.mark.parametrize(("c", "q"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (7, 5), (64, 43), (0, 1)])
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
def test_vote_code_at_its_edges(measured: int, code: BallotCode) -> None:
    # a claim of 1,000 with f64: base 11, tol 110 when the contractor asks for much, bound 11,000
    assert votes.code_of(1_000, measured, scale.tolerance(F64, 10**6, 1_000), scale.bound(F64, 1_000)) == code


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


def test_windows() -> None:
    # V0 + 2*e*b + cd(model_cap*b, 1 MB/s), in milliseconds
    assert windows.vote_window(120_000, 30, 10_000_000, 1) == 120_000 + 60_000 + 10_000
    assert windows.vote_window(120_000, 30, 10_000_001, 3) == 120_000 + 180_000 + 30_001
    assert windows.vote_window(0, 1, 1, 1) == 2_001
    # W_O for each column, and again for each sixteen seats that begin
    assert [windows.count_window(60, 1, seats) for seats in (0, 1, 16, 17, 64)] == [60, 60, 60, 120, 240]
    assert windows.count_window(60, 16, 64) == 60 * 16 * 4


@pytest.mark.parametrize("hidden", [False, True])
def test_latest_end_covers_single_audits_and_one_batch(hidden: bool) -> None:
    p, columns = NetworkParams(), 2 if hidden else 1
    for k, eval_s, cap in itertools.product(range(2, 9), (1, 77), (1, 999, 10**9)):
        latest = windows.latest_end(
            5,
            p.job_reveal,
            p.job_key,
            p.job_open_votes,
            p.job_vote_base,
            eval_s=eval_s,
            model_cap=cap,
            finalists=k,
            hidden=hidden,
        )
        e = windows.evaluation(eval_s, hidden)
        one, batch = (windows.vote_window(p.job_vote_base, e, cap, b) for b in (1, k))
        counts = [windows.count_window(p.job_open_votes, columns * b, 64) for b in (1, k)]
        assert latest == 5 + p.job_reveal + p.job_key + 2 * k * (one + counts[0])
        assert 2 * (batch + counts[1]) <= 2 * k * (one + counts[0])


@pytest.mark.parametrize(("values", "middle"), [([3], 3), ([1, 9], 1), ([9, 1, 5], 5), ([4, 3, 2, 1], 2)])
def test_lower_median(values: list[int], middle: int) -> None:
    assert lower_median(values) == middle


def test_a_thousand_claims_are_ranked_as_the_rule_says() -> None:
    """As many as a job takes; all equal is the longest way."""
    entries = [RankedClaim(i.to_bytes(2, "big"), 5_000, i) for i in range(1_024)]
    assert [entry.claim for entry in ranking.rank(entries, lambda _: 10, 1_024)] == list(range(1_024))


@given(st.lists(st.integers(0, 300), max_size=40))
def test_the_short_way_to_a_rank_is_the_one_of_the_rule(losses: list[int]) -> None:
    left = entries = [RankedClaim(i.to_bytes(2, "big"), loss, i) for i, loss in enumerate(losses)]
    order = []
    while left:
        order.append(ranking.leader(left, lambda _: 10))
        left = [entry for entry in left if entry != order[-1]]
    assert ranking.rank(entries, lambda _: 10, len(entries)) == order
