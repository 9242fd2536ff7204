"""The formulas of federations with cells: integers in, integers out. LC-FED-55, 58, 61, 62."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import NamedTuple

from learningchain.chain.contracts.federation.formulas import shares, tol
from learningchain.chain.contracts.federation.messages import (
    MOST_CELL_ROUNDS,
    MOST_CELLS,
    AggregationRule,
    FederationTerms,
    PaySplit,
)
from learningchain.chain.verification.scale import lower_median

LEAST_IN_CELL, MOST_IN_CELL = 3, 16
FEWEST_WITHOUT_REFERENCE = 12
"""Three cells: with fewer, a bad owner that nothing is held against halves what is reached."""
USUAL_IN_CELL = 4
"""A sum of so few is read by everybody, with noise: where min_sum is more, that many."""
CELL_ROUND_MS = 600_000
"""A member that is offline for less than a round's time misses nothing: minutes, not seconds."""
RADIUS = 10**6, 64 * 10**9
"""The first and every later one, in units of 1e-9."""
MISSES, LOOKED_AT = 3, 16
MOST_GAINED = 2**59


def least_noise(dims: int) -> int:
    """LC-FED-55: twice the length of an update, on each sum: in thousandths of an update's length, for each value of each mask."""
    return isqrt(4_000_000 // (3 * dims))


def cell_fault(terms: FederationTerms) -> str:
    """LC-FED-55: what is wrong with the terms of a federation with cells; nothing: empty."""
    bounds = {
        "min_members": (LEAST_IN_CELL, terms.max_members),
        "min_sum": (LEAST_IN_CELL, MOST_IN_CELL),
        "rounds": (1, MOST_CELL_ROUNDS),
        "round_ms": (CELL_ROUND_MS, terms.round_ms),
        "clip": RADIUS,
        "rule": (AggregationRule.MEAN, AggregationRule.MEAN),
        "dp_milli": (least_noise(max(1, terms.dims)), terms.dp_milli),
    }
    for name, (low, high) in bounds.items():
        value = getattr(terms, name)
        if not low <= value <= high:
            allowed = f"from {low} on" if high < low or high == value else f"{int(low)} to {int(high)}"
            return f"with secrecy sum and {terms.dims} values {name} is {int(value)}, it may be {allowed}"
    if terms.split not in (PaySplit.EQUAL, PaySplit.HALF):
        return f"with secrecy sum and {terms.dims} values split is {int(terms.split)}, it may be 1 (equal) or 4 (half)"
    if terms.reference or terms.min_members >= FEWEST_WITHOUT_REFERENCE:
        return ""
    return f"with secrecy sum and {terms.dims} values a reference is needed, or min_members from {FEWEST_WITHOUT_REFERENCE} on"


def usual_size(terms: FederationTerms) -> int:
    """LC-FED-56: of a cell, at least, where there are others."""
    return max(USUAL_IN_CELL, terms.min_sum)


def cells_of(terms: FederationTerms, members: int, counted: int) -> int:
    """LC-FED-56: c"""
    return max(1, min(members // usual_size(terms), counted // terms.min_sum, MOST_CELLS))


def dealt(members: int, cells: int) -> list[list[int]]:
    """LC-FED-56: places of an order that begins with those that count, for each cell. Who is beyond its bound is in none."""
    inside = min(members, cells * MOST_IN_CELL)
    return [list(range(first, inside, cells)) for first in range(cells)]


def directions(cells: int, with_reference: bool) -> int:
    """LC-FILE-62: the whole, each of several cells, the reference and what lies between."""
    return 1 + (cells if cells > 1 else 0) + (2 if with_reference else 0)


def gained(base: int, loss: int | None, members: int) -> int:
    """LC-FED-62: of each member of a cell whose own direction has this loss."""
    return 0 if loss is None else min(MOST_GAINED, max(0, base - loss)) // members


def half_shares(pot: int, points: Sequence[int], gains: Sequence[int]) -> list[int]:
    """LC-FED-62: half by what was gained, where anything was, the rest by points, all above 0; remainders are the first one's."""
    half = pot // 2 if any(gains) else 0
    parts = shares(pot - half, points)
    if half:
        first = next(place for place, one in enumerate(gains) if one)
        whole = sum(gains)
        by_gain = [half * one // whole for one in gains]
        by_gain[first] += half - sum(by_gain)
        parts = [one + other for one, other in zip(parts, by_gain, strict=True)]
    return parts


def next_radius(radius: int, step: int) -> int:
    """LC-FED-62: behind a candidate of this step that is trained on."""
    return max(RADIUS[0], min(RADIUS[1], radius * step // 1_000))


def shorter_radius(radius: int) -> int:
    """LC-FED-62: where the best model is the base again."""
    return max(RADIUS[0], radius // 4)


def after_attempt(attempts: int, missed: bool) -> int:
    """LC-FED-58: the row of a member's last attempts, one further."""
    return (attempts << 1 | missed) & ((1 << LOOKED_AT) - 1)


def is_gone(attempts: int) -> bool:
    return attempts.bit_count() >= MISSES


# --- lists of measurements (LC-FED-61) -------------------------------------------------------------------------------------------

Losses = Sequence[int | None]
"""Of one seat, one for each direction: None is INVALID."""


class MeasuredLists(NamedTuple):
    """`side`: places of the votes that agree on all directions; `losses` and `seats`: of each direction its loss, and the place
    of the earliest vote that has it."""

    side: list[int]
    losses: list[int | None]
    seats: list[int]


def measured_lists(terms: FederationTerms, votes: Sequence[Losses], enough: int) -> MeasuredLists | None:
    """One vote is about all directions. None: it is measured again."""
    side, losses, seats = set(range(len(votes))), list[int | None](), list[int]()
    for column in zip(*votes, strict=True):
        found = [loss for loss in column if loss is not None]
        middle = lower_median(found) if found else 0
        near = {place for place, loss in enumerate(column) if loss is not None and abs(loss - middle) <= 2 * tol(terms, middle)}
        invalid = {place for place, loss in enumerate(column) if loss is None}
        if found and len(near) >= enough:
            side &= near
            losses.append(middle)
            seats.append(column.index(middle))
        elif len(invalid) >= enough:
            side &= invalid
            losses.append(None)
            seats.append(0)
        else:
            return None
    return MeasuredLists(sorted(side), losses, seats) if votes else None


def largest_agreeing(terms: FederationTerms, votes: Sequence[Losses]) -> list[int]:
    """LC-FED-38, 61: places of the largest set around one vote, in all directions; of equals the earliest one's."""
    best: list[int] = []
    for centre in votes:
        found = [place for place, vote in enumerate(votes) if _agree(terms, centre, vote)]
        if len(found) > len(best):
            best = found
    return best


def _agree(terms: FederationTerms, centre: Losses, vote: Losses) -> bool:
    for own, other in zip(centre, vote, strict=True):
        if own is None or other is None:
            if own is not other:
                return False
        elif abs(own - other) > 2 * tol(terms, own):
            return False
    return True


def chosen_direction(losses: Losses) -> int | None:
    """The least loss, of equals the first; None where all are INVALID."""
    known = [(loss, place) for place, loss in enumerate(losses) if loss is not None]
    return min(known)[1] if known else None
