"""A curve in a terminal: braille dots, two across and four down a character, or stars where the terminal has ASCII alone. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

BRAILLE: Final = 0x2800
_BITS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Of the dots of a character, by column and row (Unicode 15, chapter 21.1)."""
Point = tuple[float, float]


def curve(points: Sequence[Point], width: int, height: int, *, ascii_only: bool = False) -> list[str]:
    """`height` lines of `width` characters for points in ascending order of their first number, all finite. Each point has its dot;
    between them the line is straight. Fewer than two different places have no curve: then there are no lines."""
    if len(points) < 2 or points[0][0] == points[-1][0] or width < 1 or height < 1:
        return []
    across, down = (1, 1) if ascii_only else (2, 4)
    cells = [[0] * width for _ in range(height)]
    for x, y in _dots(points, width * across, height * down):
        cells[y // down][x // across] |= 1 if ascii_only else _BITS[x % 2][y % 4]
    if ascii_only:
        return ["".join("*" if cell else " " for cell in row).rstrip() for row in cells]
    return ["".join(chr(BRAILLE + cell) if cell else " " for cell in row).rstrip() for row in cells]


def _dots(points: Sequence[Point], columns: int, rows: int) -> Iterator[tuple[int, int]]:
    """Column and row of each dot, the lowest value in the last row. Neighbours of a steep line are joined."""
    xs = [x for x, _ in points]
    low, high = min(y for _, y in points), max(y for _, y in points)
    tall, wide = high - low, xs[-1] - xs[0]

    def row(y: float) -> int:
        return round((high - y) / tall * (rows - 1)) if tall else rows - 1

    before = None
    for column in range(columns):
        here = row(_value_at(points, xs, xs[0] + wide * column / max(1, columns - 1)))
        first, last = (here, here) if before is None else (min(before, here), max(before, here))
        yield from ((column, y) for y in range(first, last + 1))
        before = here
    yield from ((round((x - xs[0]) / wide * (columns - 1)), row(y)) for x, y in points)


def _value_at(points: Sequence[Point], xs: Sequence[float], x: float) -> float:
    at = min(bisect_left(xs, x), len(points) - 1)
    (right, value), (left, before) = points[at], points[max(0, at - 1)]
    return value if right == left or x >= right else before + (value - before) * (x - left) / (right - left)
