"""The models that a round of a small federation proposes (LC-FILE-61 to LC-FILE-63): each direction, at four lengths. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic.small.sums import Sums
from learningchain.client.contracts.federation.arithmetic.small.unit import LONGEST, H

STEPS: Final = (2000, 1000, 500, 250)
"""LC-FILE-63: lengths of a candidate's step, in thousandths of the radius."""
SHORTEST: Final = 2**28


class Direction(NamedTuple):
    """LC-FILE-62: D, and the number of unit updates that it is a sum of."""

    numbers: tuple[int, ...]
    updates: int


def is_small_reference(x: Sequence[int]) -> bool:
    """LC-FILE-61"""
    return SHORTEST <= _square(x) <= LONGEST


def directions(sums: Sums) -> list[Direction]:
    """LC-FILE-62: 1 to 13 of them."""
    cells = [Direction(one.numbers, one.members) for one in sums.cells]
    columns = zip(*(one.numbers for one in sums.cells), strict=True)
    summed = Direction(tuple(map(sum, columns)), sum(one.members for one in sums.cells))
    found = [summed, *cells] if len(cells) > 1 else [summed]
    if sums.reference is not None:
        found += [Direction(sums.reference, 1), _between(sums.reference, summed.numbers)]
    return found


def candidate(base: NDArray[np.float32], direction: Direction, radius: int, step: int) -> NDArray[np.float32] | None:
    """LC-FILE-63: a model's values, or None where one of them is not finite. `radius` is in units of 1e-9."""
    length = float(radius * step) / float(10**12 * direction.updates * H)
    with np.errstate(over="ignore", under="ignore"):
        moved = base.astype(np.float64) + np.array(direction.numbers, np.float64) * length
        found = moved.astype(np.float32)
    return found if np.isfinite(found).all() else None


def _between(reference: Sequence[int], summed: Sequence[int]) -> Direction:
    """Half way between the reference and the whole, of unit length."""
    length = isqrt(_square(summed))
    q = [own + (all_ * H // length if length else 0) for own, all_ in zip(reference, summed, strict=True)]
    width = max(1, isqrt(_square(q)))
    return Direction(tuple(n * H // width for n in q), 1)


def _square(x: Sequence[int]) -> int:
    return sum(int(n) * int(n) for n in x)
