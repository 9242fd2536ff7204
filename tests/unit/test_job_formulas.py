"""The formulas of the job contract against the literal numbers of its rule; beside the model they stand in test_verification."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learningchain.chain.types import quorum
from learningchain.chain.verification import ranking, scale
from learningchain.chain.verification.ranking import RankedClaim
from learningchain.chain.verification.scale import FloatKind
from learningchain.chain.verification.votes import BallotCode

F64, F32 = FloatKind.F64, FloatKind.F32
OK, NEAR, FALSE, *_ = BallotCode


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


@given(st.lists(st.integers(0, 300), max_size=40))
def test_the_short_way_to_a_rank_is_the_one_of_the_rule(losses: list[int]) -> None:
    left = entries = [RankedClaim(i.to_bytes(2, "big"), loss, i) for i, loss in enumerate(losses)]
    order = []
    while left:
        order.append(ranking.leader(left, lambda _: 10))
        left = [entry for entry in left if entry != order[-1]]
    assert ranking.rank(entries, lambda _: 10, len(entries)) == order
