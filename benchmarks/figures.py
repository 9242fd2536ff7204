"""From what was measured to figures: medians and spreads over the rounds, ratios taken within each round, targets.

A run is `{"rounds": [{measure: {...}}, ...], "once": {measure: {...}}}`; `ledger.transfers.per_s` is a path to a value in it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

Run = dict[str, Any]


class Values(Protocol):
    """One value per round of a run, or a single one of what is measured once."""

    @property
    def paths(self) -> tuple[str, ...]:
        """What of a run it reads."""

    def __call__(self, run: Run) -> list[float]: ...


@dataclass(frozen=True)
class Row:
    """A line of the table. `point` groups lines; `least` or `most` is the target, if there is one."""

    key: str
    point: str
    label: str
    values: Values
    digits: int = 0
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Figure:
    """One value per round, or a single one for what is measured once; `low` and `high` are the extremes."""

    key: str
    point: str
    label: str
    digits: int
    values: list[float]
    median: float
    low: float
    high: float
    least: float | None
    most: float | None

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the target; None without one."""
        if self.least is not None:
            return self.median >= self.least
        return self.median <= self.most if self.most is not None else None


@dataclass(frozen=True)
class pick:
    """`factor` x the value at `path` in every round, or the one that was measured once. Missing parts are left out."""

    path: str
    factor: float = 1.0

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.path,)

    def __call__(self, run: Run) -> list[float]:
        found = [at(one, self.path) for one in (*run["rounds"], run["once"])]
        return [self.factor * value for value in found if value is not None]


def at(tree: Any, path: str) -> Any:
    """None where the path leads nowhere."""
    for name in path.split("."):
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


class over:
    """`factor` x above / below, round by round. Where one side was measured once, the other side's median stands for its rounds."""

    def __init__(self, above: Values | str, below: Values | str, factor: float = 1.0) -> None:
        self._above = pick(above) if isinstance(above, str) else above
        self._below = pick(below) if isinstance(below, str) else below
        self._factor = factor

    @property
    def paths(self) -> tuple[str, ...]:
        return self._above.paths + self._below.paths

    def __call__(self, run: Run) -> list[float]:
        a, b = self._above(run), self._below(run)
        if not a or not b:
            return []
        if len(a) != len(b):
            a, b = [statistics.median(a)], [statistics.median(b)]
        return [self._factor * x / y for x, y in zip(a, b, strict=True) if y]


def figures(run: Run, rows: Iterable[Row]) -> list[Figure]:
    """In the order of `rows`; one that has no value is left out."""
    out = []
    for row in rows:
        if values := row.values(run):
            middle = statistics.median(values)
            out.append(
                Figure(row.key, row.point, row.label, row.digits, values, middle, min(values), max(values), row.least, row.most)
            )
    return out
