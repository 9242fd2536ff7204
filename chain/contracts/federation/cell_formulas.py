"""The formulas of federations with cells: integers in, integers out. LC-FED-55, 58, 61, 62."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import NamedTuple

from learningchain.chain.contracts.federation.formulas import tol
from learningchain.chain.contracts.federation.messages import AggregationRule, FederationTerms, PaySplit
from learningchain.chain.verification.scale import lower_median

LEAST_IN_CELL, MOST_IN_CELL, MOST_CELL_ROUNDS = 3, 7, 20
CELL_ROUND_MS = 600_000
"""A member that is offline for less than a round's time misses nothing: minutes, not seconds."""
RADIUS = 10**6, 64 * 10**9
"""The first and every later one, in units of 1e-9."""
MISSES, LOOKED_AT = 3, 16


def least_noise(dims: int) -> int:
    """LC-FED-55: twice the length of an update, on each sum: in thousandths of an update's length, for each value of each mask."""
    return isqrt(4_000_000 // (3 * dims))


def cell_fault(terms: FederationTerms) -> str:
    """LC-FED-55: what is wrong with the terms of a federation with a cell; nothing: empty."""
    bounds = {
        "min_members": (LEAST_IN_CELL, MOST_IN_CELL),
        "max_members": (LEAST_IN_CELL, MOST_IN_CELL),
        "min_sum": (LEAST_IN_CELL, MOST_IN_CELL),
        "rounds": (1, MOST_CELL_ROUNDS),
        "round_ms": (CELL_ROUND_MS, terms.round_ms),
        "clip": RADIUS,
        "rule": (AggregationRule.MEAN, AggregationRule.MEAN),
        "split": (PaySplit.EQUAL, PaySplit.EQUAL),
        "dp_milli": (least_noise(max(1, terms.dims)), terms.dp_milli),
    }
    for name, (low, high) in bounds.items():
        value = getattr(terms, name)
        if not low <= value <= high:
            allowed = f"from {low} on" if high < low or high == value else f"{int(low)} to {int(high)}"
            return f"with secrecy sum and {terms.dims} values {name} is {int(value)}, it may be {allowed}"
    return "" if terms.reference else f"with secrecy sum and {terms.dims} values a reference is needed"


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
