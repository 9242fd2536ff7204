"""The formulas of predictions against numbers worked by hand from the page, and the bounds that they keep."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from learningchain.chain.contracts.prediction import formulas
from learningchain.chain.contracts.prediction.formulas import MAX_TIP, Amounts

AMOUNTS = st.builds(
    Amounts,
    st.sampled_from(range(1, 16, 2)),
    st.integers(1, 256),
    st.integers(0, MAX_TIP),
    st.integers(0, 10**12),
    st.integers(1, 10**12),
)


def test_a_request_locks_tip_royalty_and_a_twentieth_rounded_up() -> None:
    assert [Amounts(1, 1, tip, p, 1, 0).locked for tip, p in ((20, 0), (21, 0), (15, 5), (1, 0))] == [21, 23, 21, 2]
    priced = [Amounts(1, rows, tip, 0, 1, 5) for rows, tip in ((1, 1), (1, 1_701), (256, 256))]
    assert [(one.kept, one.burned) for one in priced] == [(85, 85), (85, 86), (1_360, 1_360)], "what is kept costs at least F"
    carried = [Amounts(1, 1, 1, 0, 1, 5, inline).kept for inline in (0, 1, 8, 9, 2_048)]
    assert carried == [85, 90, 90, 95, 1_365], "eight bytes that a request carries are paid as a row"
    found = Amounts(5, 10, 1_003, 7, 2, 0)
    assert (found.least_tip, found.royalty, found.burned, found.locked) == (100, 70, 54, 1_127)
    assert (found.share, found.quarter) == (200, 50)


def test_near_and_equal_take_their_edges_in() -> None:
    assert [formulas.near(0, y, 5) for y in (10, -10, 11, -11)] == [True, True, False, False]
    assert [formulas.equal(0, y, 5) for y in (20, -20, 21, -21)] == [True, True, False, False]


def test_windows() -> None:
    assert formulas.answer_window(3_000, 1, 10, 100, 2_000_001) == 3_000 + 2_000 + 2_000 + 2_001
    assert formulas.answered_by(1_000, 60_000, 5_000, 7_000, 2_000) == 1_000 + 60_000 + 24_000 + 2_000


@given(st.integers(0, 2**48), st.integers(1, MAX_TIP), st.integers(1, MAX_TIP), st.integers(1, 10**15))
def test_no_tip_overtakes_what_was_posted_a_minute_before(posted: int, tip: int, other: int, least: int) -> None:
    tip, other = max(tip, least), max(other, least)
    assert formulas.place(posted, other, least) <= formulas.place(posted + formulas.RANK_SPAN, tip, least)


def test_the_pump_stops_at_two_thirds_of_the_slots_and_at_what_stakes_answer_for() -> None:
    assert [formulas.open_seats(4, pool, 5) for pool in (1, 3, 10)] == [5, 8, 26]
    assert formulas.covered_seats([100, 30, 1_000, 200], 1, 5) == 40
    assert formulas.covered_seats([9, 9, 9], 1, 3) == 3


def test_a_subsidy_is_at_most_a_half_of_what_burns_and_ends_with_its_epoch() -> None:
    assert [formulas.epoch(now, 3_600_000) for now in (0, 3_599_999, 3_600_000)] == [0, 0, 1]
    dear, cheap = Amounts(5, 1, 2_000, 0, 1, 0), Amounts(5, 1, 180, 0, 1, 0)
    assert [formulas.subsidy(20_000, 1_000, minted, dear) for minted in (0, 950, 996, 1_000, 1_001)] == [10, 10, 0, 0, 0]
    assert formulas.subsidy(20_000, 1_000, 0, cheap) == 0
    assert formulas.subsidy(3, 1_000, 0, dear) == 3


def test_of_the_payees_of_one_request_each_sees_what_was_minted_before_it_and_a_banned_one_gets_nothing() -> None:
    dear = Amounts(3, 1, 10**6, 0, 1, 0)
    assert formulas.subsidies(20_000, 10_000, 0, dear, [False, True, False]) == [3_333, 0, 2_222]


@given(AMOUNTS, st.integers(0, 10**6), st.integers(0, 10**9), st.integers(0, 10**9), st.lists(st.booleans(), max_size=15))
def test_a_request_never_mints_more_than_half_of_what_it_burns(
    amounts: Amounts, most: int, epoch_most: int, minted: int, banned: list[bool]
) -> None:
    found = formulas.subsidies(most, epoch_most, minted, amounts, banned[: amounts.n])
    assert 2 * sum(found) <= amounts.burned
    assert minted + sum(found) <= max(minted, epoch_most)


@given(st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=128), st.lists(st.integers(0, 10**15), max_size=20))
def test_shares_have_their_part_of_all_that_ever_came_in_whatever_portions(weights: list[int], royalties: list[int]) -> None:
    had, left, carried = [0] * len(weights), 0, 0
    for royalty in royalties:
        parts, carried = formulas.shared(left + royalty, carried, weights)
        had, left = [a + b for a, b in zip(had, parts, strict=True)], left + royalty - sum(parts)
        assert min(parts) >= 0 <= left < len(weights)
    assert had == [sum(royalties) * weight // sum(weights) for weight in weights]
