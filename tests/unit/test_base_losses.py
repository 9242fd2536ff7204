"""The Merkle-sum tree over an evaluation's losses, its probe and its openings (LC-LOSS-1 to LC-LOSS-14)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from learningchain.chain import losses
from learningchain.chain.codec import decode, encode
from learningchain.chain.errors import Malformed
from learningchain.chain.losses import (
    MAX_EXAMPLES,
    MAX_LOSS,
    MAX_TOTAL,
    BadOpening,
    LossesOutOfRange,
    LossNode,
    LossTree,
    Measurement,
    Opening,
    Probe,
    check_opening,
    draw_probe,
    open_losses,
    opening_hashes,
    subtree_span,
)
from tests.conformance import losses as plain
from tests.hashes import tagged
from tests.unit.loss_kit import JOB, Liar, beacon, opened, showing, some_losses

MAX_OPENING_BYTES = 13_056


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Their number, as the tree counts them."""
    taken = [0]

    def counted(data: bytes) -> Any:
        taken[0] += 1
        return hashlib.sha256(data)

    monkeypatch.setattr(losses, "short_sha256", counted)
    return taken  # type: ignore[return-value]


# --- the tree -----------------------------------------------------------------------------------------------------------------

LOSSES = st.lists(st.integers(-MAX_LOSS, MAX_LOSS) | st.integers(-2, 2), min_size=1, max_size=70)


@given(LOSSES)
@settings(max_examples=150, deadline=None)
def test_the_tree_is_the_one_of_the_spec(values: list[int]) -> None:
    """LC-LOSS-2, 3"""
    try:
        expected = plain.tree(values)
    except plain.Invalid:
        with pytest.raises(LossesOutOfRange):
            LossTree(values)
        return
    assert LossTree(values).measurement == Measurement(expected.hash, expected.total, len(values))
    assert LossTree(values).node((0, len(values))).greatest == expected.greatest


@pytest.mark.parametrize("count", [255, 256, 257, 511, 512, 513, 1_000, 4_097])
def test_a_tree_of_which_nodes_are_kept_is_the_same(count: int) -> None:
    values = some_losses(count)
    assert LossTree(values).measurement.root == plain.tree(values).hash


def test_a_node_by_hand() -> None:
    """LC-LOSS-2: three losses, the first alone on the left."""

    def leaf(loss: int) -> bytes:
        return tagged(b"lc/loss", loss.to_bytes(8, "big", signed=True))

    def numbers(total: int, greatest: int) -> bytes:
        return total.to_bytes(8, "big", signed=True) + greatest.to_bytes(8, "big", signed=True)

    right = tagged(b"lc/loss-node", b"\0\0\0\2", leaf(-7), numbers(-7, -7), leaf(2), numbers(2, 2))
    root = tagged(b"lc/loss-node", b"\0\0\0\3", leaf(5), numbers(5, 5), right, numbers(-5, 2))
    assert LossTree([5, -7, 2]).measurement == Measurement(root, 0, 3)


@pytest.mark.parametrize(
    ("total", "count", "mean"),
    [(0, 1, 0), (7, 2, 4), (8, 2, 4), (-7, 2, -3), (-8, 2, -4), (1, 2**20, 1), (-1, 2**20, 0), (MAX_TOTAL, 2**20, 2**43)],
)
def test_a_mean_is_rounded_up(total: int, count: int, mean: int) -> None:
    """LC-LOSS-4"""
    assert Measurement(bytes(32), total, count).mean == mean == plain.mean(total, count)


@pytest.mark.parametrize("count", [0, MAX_EXAMPLES + 1])
def test_no_tree_has_another_number_of_losses(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 1,048,576 losses") as caught:
        LossTree(range(count))
    assert not isinstance(caught.value, LossesOutOfRange)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_loss_is_bounded_on_both_sides(sign: int) -> None:
    """LC-LOSS-1"""
    assert LossTree([sign * MAX_LOSS]).measurement.mean == sign * MAX_LOSS
    for beyond in (MAX_LOSS + 1, 2**63, 10**40):
        with pytest.raises(LossesOutOfRange, match="a loss lies from"):
            LossTree([0, sign * beyond, 0])


@pytest.mark.parametrize("sign", [1, -1])
def test_the_total_of_every_node_is_bounded_on_both_sides(sign: int) -> None:
    """LC-LOSS-1: also where the total of all would do."""
    most = [sign * MAX_LOSS] * 9 + [sign * (MAX_TOTAL - 9 * MAX_LOSS)]
    assert LossTree(most).measurement.total == sign * MAX_TOTAL
    beyond = [*most[:-1], most[-1] + sign]
    with pytest.raises(LossesOutOfRange, match="the losses of 10 examples"):
        LossTree(beyond)
    with pytest.raises(LossesOutOfRange, match="the losses of 10 examples"):
        LossTree(beyond + [-loss for loss in beyond])


# --- the probe ----------------------------------------------------------------------------------------------------------------


@given(st.integers(1, MAX_EXAMPLES) | st.integers(1, 40), st.integers(0, 255), st.integers(0, 255), st.integers())
@settings(max_examples=150, deadline=None)
def test_the_probe_is_the_one_of_the_spec(count: int, audit: int, round_: int, seed: int) -> None:
    """LC-LOSS-5, 6, 7"""
    drawn = draw_probe(beacon(seed), JOB, audit, round_, count)
    expected = plain.probe(beacon(seed), JOB, audit, round_, count)
    assert drawn == Probe(count, tuple(expected.positions), tuple(expected.subtrees))
    assert len(drawn.positions) + len(drawn.subtrees) == 16
    assert all(0 <= position < count for position in drawn.positions)
    assert len(set(drawn.subtrees)) == len(drawn.subtrees) == (8 if count >= 16 else 0)


@given(st.integers(16, 100) | st.integers(16, MAX_EXAMPLES))
@settings(max_examples=100, deadline=None)
def test_the_subtrees_part_the_losses_and_each_holds_one(count: int) -> None:
    """LC-LOSS-7"""
    spans = [subtree_span(count, subtree) for subtree in range(16)]
    assert (spans[0][0], spans[-1][1]) == (0, count)
    assert all(left[1] == right[0] for left, right in pairwise(spans))
    assert all(first < end for first, end in spans)
    assert spans == [plain.subtree(count, subtree) for subtree in range(16)]


# --- openings -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [*range(1, 50), 63, 64, 65, 360, 1_023, 1_500])
def test_an_opening_shows_what_the_probe_asks_for(count: int) -> None:
    """LC-LOSS-9"""
    values = some_losses(count)
    for seed in range(3):
        tree, probe, opening = opened(values, seed)
        shown = check_opening(tree.measurement, probe, decode(Opening, encode(opening), MAX_OPENING_BYTES))
        greatest = [max(values[slice(*subtree_span(count, subtree))]) for subtree in probe.subtrees]
        assert shown == [values[position] for position in probe.positions] + greatest
        measurement = tree.measurement.root, tree.measurement.total, count
        assert shown == plain.check_opening(measurement, plain.Probe(list(probe.positions), list(probe.subtrees)), encode(opening))


def test_the_greatest_loss_is_the_first_of_equals() -> None:
    """LC-LOSS-7"""
    tree, probe, opening = opened([3] * 100)
    assert opening.greatest == [subtree_span(100, subtree)[0] for subtree in probe.subtrees]
    assert check_opening(tree.measurement, probe, opening) == [3] * 16


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        (lambda span: span[1] - 1, "not the first of the greatest"),
        (lambda span: span[0] + 1, "not the first of the greatest"),
        (lambda span: (span[0] + 50) % 160, "outside its subtree"),
    ],
)
def test_another_loss_of_a_subtree_is_not_shown_as_its_greatest(choice: Any, why: str) -> None:
    """LC-LOSS-10, 14: also not one of the same size."""
    with pytest.raises(BadOpening, match=why):
        check_opening(*showing([3] * 160, choice))


def test_a_greater_loss_cannot_be_hidden() -> None:
    """LC-LOSS-14: whoever shows the second greatest has the greatest beside its path."""
    values = some_losses(200, seed=5)

    def second(span: tuple[int, int]) -> int:
        return sorted(range(*span), key=lambda at: (-values[at], at))[1]

    with pytest.raises(BadOpening, match="not the first of the greatest"):
        check_opening(*showing(values, second))


@given(st.integers(1, 400), st.integers(0, 9), st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_is_changed_is_found(count: int, seed: int, data: st.DataObject) -> None:
    """LC-LOSS-10 to LC-LOSS-14: any leaf, sum, maximum, sibling, count or position."""
    tree, probe, good = opened(some_losses(count, seed), seed)
    measurement = tree.measurement
    check_opening(measurement, probe, good)
    by = data.draw(st.integers(-3, 3).filter(bool) | st.sampled_from([2**31, -(2**31), MAX_LOSS]))
    for what, changed in _changed(good, data, by):
        with pytest.raises(BadOpening):
            check_opening(measurement, probe, changed)
            raise AssertionError(what)
    for other in (
        replace(measurement, total=measurement.total + by),
        replace(measurement, root=hashlib.sha256(measurement.root).digest()),
    ):
        with pytest.raises(BadOpening):
            check_opening(other, probe, good)


def _changed(good: Opening, data: st.DataObject, by: int) -> Iterator[tuple[str, Opening]]:
    """Every part of an opening, each in one place."""

    def with_item(items: list[Any], change: Callable[[Any], Any]) -> list[Any]:
        at = data.draw(st.integers(0, len(items) - 1))
        return [*items[:at], change(items[at]), *items[at + 1 :]]

    yield "a leaf", replace(good, leaves=with_item(good.leaves, lambda loss: loss + by))
    yield "a leaf more", replace(good, leaves=[*good.leaves, 0])
    yield "a leaf less", replace(good, leaves=good.leaves[1:])
    yield "a leaf instead of a sibling", Opening(good.greatest, [*good.leaves, 0], good.siblings[:-1])
    if len(set(good.leaves)) > 1:
        yield "other order", replace(good, leaves=sorted(good.leaves, reverse=good.leaves == sorted(good.leaves)))
    yield "a sibling more", replace(good, siblings=[*good.siblings, LossNode(bytes(32), 0, 0)])
    if good.siblings:
        yield "a sibling less", replace(good, siblings=good.siblings[:-1])
        yield "a hash", replace(good, siblings=with_item(good.siblings, lambda n: replace(n, hash=n.hash[1:] + b"x")))
        yield "a sum", replace(good, siblings=with_item(good.siblings, lambda n: replace(n, total=n.total + by)))
        yield "a maximum", replace(good, siblings=with_item(good.siblings, lambda n: replace(n, greatest=n.greatest + by)))
    if good.greatest:
        yield "a position", replace(good, greatest=with_item(good.greatest, lambda at: at + by))
        yield "a position less", replace(good, greatest=good.greatest[:-1])
        yield "positions in another order", replace(good, greatest=[*good.greatest[1:], good.greatest[0]])
    yield "a position more", replace(good, greatest=[*good.greatest, 0])


@given(st.integers(17, 400), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_an_opening_fits_no_other_number_of_losses(count: int, seed: int) -> None:
    """The count is in every hash: with the positions of another one an opening leads elsewhere."""
    tree, probe, good = opened(some_losses(count, seed), seed)
    for other in (count - 1, count + 1, 2 * count):
        given_ = replace(tree.measurement, count=other), draw_probe(beacon(seed), JOB, 0, 1, other)
        with pytest.raises(BadOpening):
            check_opening(*given_, good)
        with pytest.raises(BadOpening):
            check_opening(given_[0], probe._replace(examples=other), good)


def test_an_opening_does_not_answer_another_probe() -> None:
    tree, probe, good = opened(some_losses(300))
    for seed in range(1, 20):
        other = draw_probe(beacon(seed), JOB, 0, 1, 300)
        assert other != probe
        with pytest.raises(BadOpening):
            check_opening(tree.measurement, other, good)


BESIDE = Probe(1_600, (0,) * 8, tuple(range(8)))
"""Nothing of the right half is looked at: one sibling of 800 losses."""


@pytest.mark.parametrize(
    ("lie", "good"),
    [
        ({}, True),
        ({"total": 800 * 100}, True),
        ({"total": 800 * 100 + 1}, False),
        ({"total": 100 - 9 * MAX_LOSS}, True),
        ({"greatest": 99}, False),
        ({"greatest": 101}, True),
        ({"greatest": -1, "total": -800}, True),
        ({"greatest": -1, "total": -799}, False),
        ({"greatest": MAX_LOSS, "total": 9 * MAX_LOSS}, True),
    ],
)
def test_a_sibling_says_nothing_impossible(lie: dict[str, int], good: bool) -> None:
    """LC-LOSS-12: what no losses could add up to. A lie that could be true is bound, and not found by this opening."""
    liar = Liar([100] * 1_600, (800, 1_600), **lie)
    if good:
        check_opening(*liar.opened(BESIDE))
    else:
        with pytest.raises(BadOpening, match="no 800 losses up to"):
            check_opening(*liar.opened(BESIDE))


@pytest.mark.parametrize(("total", "good"), [(100 - MAX_LOSS, True), (100 - MAX_LOSS - 1, False)])
def test_a_sibling_is_not_smaller_than_its_losses_can_be(total: int, good: bool) -> None:
    """LC-LOSS-12: two losses, one of which is 100."""
    liar = Liar([100] * 64, (62, 64), total=total)
    probe = Probe(64, (60,) * 8, tuple(range(8)))
    if good:
        check_opening(*liar.opened(probe))
    else:
        with pytest.raises(BadOpening, match="no 2 losses up to 100"):
            check_opening(*liar.opened(probe))


def test_a_lie_about_a_maximum_is_found_where_the_subtree_is_drawn() -> None:
    """LC-LOSS-14: a verifier cannot make a loss that it knows the greatest: the way leads to where it said the greatest lies."""
    right_of_first = (50, 100)
    liar = Liar([100] * 1_600, right_of_first, greatest=101)
    with pytest.raises(BadOpening, match="not the first of the greatest from 0 to 99"):
        check_opening(*liar.opened(BESIDE))


def test_totals_that_leave_the_bounds_on_the_way_up_are_refused() -> None:
    """LC-LOSS-13: siblings may say what no root could hold."""
    tree = LossTree([0] * 1_600)
    opening = open_losses(tree, BESIDE)
    largest = LossNode(bytes(32), MAX_TOTAL, MAX_LOSS)
    huge = replace(opening, siblings=[*opening.siblings[:-2], largest, largest])
    with pytest.raises(BadOpening, match="more than 63 bits"):
        check_opening(tree.measurement, BESIDE, huge)


# --- what it costs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 15, 16, 17, 360, 3_000])
def test_the_work_of_a_check_is_known_before(count: int, hashes: list[int]) -> None:
    tree, probe, opening = opened(some_losses(count))
    hashes[0] = 0
    check_opening(tree.measurement, probe, opening)
    assert hashes[0] == opening_hashes(opening)


@pytest.mark.parametrize(
    ("count", "leaves", "siblings", "work"), [(MAX_EXAMPLES, 32, 240, 303), (3 * 2**18, 48, 224, 319)], ids=["2^20", "3*2^18"]
)
def test_the_largest_openings_keep_the_bounds(count: int, leaves: int, siblings: int, work: int) -> None:
    """LC-LOSS-9: sixteen leaves, each in a subtree of its own at depth four, the longest ways down."""
    values = list(some_losses(16)) * (count // 16)
    tree = LossTree(values)
    probe = Probe(count, tuple(subtree_span(count, subtree)[1] - 1 for subtree in range(8)), tuple(range(8, 16)))
    opening = open_losses(tree, probe)
    assert (len(opening.leaves), len(opening.siblings), opening_hashes(opening)) == (leaves, siblings, work)
    assert len(check_opening(tree.measurement, probe, decode(Opening, encode(opening), MAX_OPENING_BYTES))) == 16


def test_an_opening_is_as_long_as_its_bounds_allow_and_no_longer() -> None:
    widest = Opening([MAX_EXAMPLES - 1] * 8, [-MAX_LOSS] * 48, [LossNode(bytes(32), -MAX_TOTAL, -MAX_LOSS)] * 240)
    assert len(encode(replace(widest, leaves=widest.leaves[:32]))) == MAX_OPENING_BYTES
    decode(Opening, encode(widest), 20_000)
    for wrong in (
        replace(widest, greatest=[0] * 9),
        replace(widest, greatest=[MAX_EXAMPLES]),
        replace(widest, leaves=[]),
        replace(widest, leaves=[0] * 49),
        replace(widest, leaves=[MAX_LOSS + 1]),
        replace(widest, siblings=[LossNode(bytes(32), 0, 0)] * 241),
        replace(widest, siblings=[LossNode(bytes(31), 0, 0)]),
        replace(widest, siblings=[LossNode(bytes(32), MAX_TOTAL + 1, 0)]),
    ):
        with pytest.raises(Malformed):
            decode(Opening, encode(wrong), 20_000)
