"""How several measurements become one. More than two thirds of n are `chain.types.quorum(n)`, for seats as for validators."""

from __future__ import annotations

from collections.abc import Iterable


def lower_median(values: Iterable[int]) -> int:
    """The middle value, the lower of two. At least one value."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2]
