"""How far two honest measurements of one model may lie apart, at a loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum


class FloatKind(IntEnum):
    """What the job's losses are computed in: decides how much two honest machines may differ."""

    F64 = 1
    F32 = 2


def lower_median(values: Iterable[int]) -> int:
    """The middle value, the lower of two. At least one value."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2]


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def base(kind: int, loss: int) -> int:
    """What rounding alone may differ by, between honest machines, at this loss (LC-JOB-2)."""
    if kind == FloatKind.F64:
        return 10 + ceil_div(abs(loss), 10**6)
    return 1_000 + ceil_div(abs(loss), 10**4)


def tolerance(kind: int, posted: int, loss: int) -> int:
    """tol(L): the contractor's tolerance, but at least `base` and at most ten times it (LC-JOB-2)."""
    smallest = base(kind, loss)
    return max(smallest, min(posted, 10 * smallest))


def bound(kind: int, loss: int) -> int:
    """bound(L): above claim + bound a measured loss is a lie, not an accident (LC-JOB-2)."""
    return base(kind, loss) * (1_000 if kind == FloatKind.F64 else 100)


def spread(kind: int, posted: int, claimed: int, compared: Sequence[int]) -> int:
    """LC-JOB-47: t(c, S): honest ones of the measurements `compared` lie within twice this of each other. At least one measurement.

    It follows what was measured, too: of a loss far above the claim rounding leaves more.
    """
    return max(tolerance(kind, posted, claimed), base(kind, lower_median(compared)))
