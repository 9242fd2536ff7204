"""Codes, points, norm and digest of a Screen (LC-FILE-23 to LC-FILE-31): what sketches say of updates that nobody has opened. Pure.

All is whole numbers of at most 2^62, so whoever has the same sketches says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import isqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learningchain.chain.contracts.federation.messages import FileCode
from learningchain.client.contracts.federation.arithmetic.places import CQ, DELTAS, ROWS, SKETCH, AttemptPlace, screen_digest

USED, AWAY, LARGE, EMPTY, WRONG, STALE, COPY, OUTLIER = (int(code) for code in FileCode if code <= FileCode.OUTLIER)
"""LC-FED-26, as the ledger has them."""
BOUND: Final = 2**27
"""LC-FILE-24: what each number of a sketch stays below."""
LONGEST: Final = (ROWS + 4 * isqrt(2 * ROWS)) * CQ**2
POINTS: Final = 16
AGAINST: Final = 32
"""LC-FILE-26: an eighth, where a row's product is 256 times that with the direction (LC-FILE-20)."""
Numbers = NDArray[np.int64]


class Screening(NamedTuple):
    """What an aggregator says in SCREEN, in the order of the commitments."""

    codes: tuple[int, ...]
    points: tuple[int, ...]
    norm: int
    digest: bytes


class ScreenRule(NamedTuple):
    """What the terms say, and whether the deciding have a reference."""

    reference: bool
    krum: bool = False
    aligned: bool = False


def screen(place: AttemptPlace, rule: ScreenRule, files: Sequence[Numbers | None], deltas: Sequence[Numbers]) -> Screening:
    """LC-FILE-23 to LC-FILE-32. `files`: of each its sketch, signed, or nothing where it is AWAY. `deltas`: sketches of the last
    sums, the latest one first."""
    codes = {n: AWAY if file is None else USED for n, file in enumerate(files)}
    seen = {n: file for n, file in enumerate(files) if file is not None}
    y = {n: file[:ROWS] for n, file in seen.items()}
    steps: tuple[tuple[int, Callable[[list[int]], Iterable[int]]], ...] = (
        (LARGE, lambda left: (n for n in left if _is_large(y[n]))),
        (EMPTY, lambda left: _empty(left, y)),
        (WRONG, lambda left: (n for n in left if _opposes(seen[n])) if rule.reference else _against(left, y)),
        (STALE, lambda left: _stale(left, y, deltas)),
        (COPY, lambda left: _copies(left, y)),
        (OUTLIER, lambda left: _outliers(left, y) if rule.krum else ()),
    )
    for code, found in steps:
        codes |= dict.fromkeys(list(found([n for n in codes if codes[n] == USED])), code)
    used = [n for n in codes if codes[n] == USED]
    points = _points(used, seen, rule)
    told = b"".join(_told(codes[n], points.get(n, 0), seen.get(n)) for n in codes)
    middle = lower_median([_length(y[n]) for n in used]) if used else 1
    listed = tuple(points.get(n, 0) for n in codes) if rule.aligned else ()
    return Screening(tuple(codes.values()), listed, max(1, middle), screen_digest(place, told))


def lower_median(values: Sequence[int]) -> int:
    return sorted(values)[(len(values) - 1) // 2]


def _square(y: Numbers) -> int:
    """Of numbers below 2^28: their squares add up to less than 2^62."""
    return int(y.dot(y))


def _length(y: Numbers) -> int:
    """About |x| (LC-FILE-30)."""
    return isqrt(2 * _square(y) // ROWS)


def _beyond(y: Numbers) -> bool:
    return bool((np.abs(y) >= BOUND).any())


def _is_large(y: Numbers) -> bool:
    """LC-FILE-24"""
    return _beyond(y) or 2 * _square(y) > LONGEST


def _empty(left: list[int], y: dict[int, Numbers]) -> list[int]:
    """LC-FILE-25"""
    squares = {n: _square(y[n]) for n in left}
    return [n for n in left if 256 * squares[n] <= lower_median(list(squares.values()))]


def _opposes(sketch: Numbers) -> bool:
    """LC-FILE-26, with a reference: by more than an eighth of its length. Near the end a direction is chance: of honest updates one
    in eight lies on the other side by less."""
    return int(sketch[ROWS]) < -AGAINST * _length(sketch[:ROWS])


def _against(left: list[int], y: dict[int, Numbers]) -> list[int]:
    """LC-FILE-26, without a reference: up to 128 numbers below 2^27 are below 2^34, and products with them below 2^61."""
    return [] if not left else _turned(left, y, np.sum([y[n] for n in left], axis=0))


def _turned(left: list[int], y: dict[int, Numbers], total: Numbers) -> list[int]:
    return [n for n in left if sum(int(a) * int(b) for a, b in zip(y[n], total, strict=True)) < 0]


def alike(a: Numbers, b: Numbers) -> bool:
    """LC-FILE-27: a cosine of 0.9995 and more."""
    product = int(a.dot(b))
    return product > 0 and 1000 * product**2 >= 999 * _square(a) * _square(b)


def _stale(left: list[int], y: dict[int, Numbers], deltas: Sequence[Numbers]) -> list[int]:
    """LC-FILE-28"""
    old = [delta[:ROWS] for delta in deltas[:DELTAS] if not _beyond(delta[:ROWS])]
    return [n for n in left if any(alike(y[n], one) for one in old)]


def _copies(left: list[int], y: dict[int, Numbers]) -> list[int]:
    """LC-FILE-28"""
    return [n for at, n in enumerate(left) if any(alike(y[n], y[other]) for other in left[:at])]


def _outliers(left: list[int], y: dict[int, Numbers]) -> list[int]:
    """LC-FILE-29"""
    out = len(left) // 4
    near = len(left) - out - 2
    apart = {n: sum(sorted(_square(y[n] - y[other]) for other in left if other != n)[:near]) for n in left} if out else {}
    return sorted(apart, key=lambda n: (apart[n], n))[len(left) - out :] if out else []


def _points(used: list[int], seen: dict[int, Numbers], rule: ScreenRule) -> dict[int, int]:
    """LC-FILE-32"""
    if not (rule.reference and rule.aligned):
        return {}
    raw = {n: max(0, int(seen[n][ROWS + 1])) * CQ // max(CQ, _length(seen[n][:ROWS])) for n in used}
    most = max(raw.values(), default=0)
    return {n: POINTS * one // most for n, one in raw.items()} if most else {}


def _told(code: int, points: int, sketch: Numbers | None) -> bytes:
    numbers = bytes(4 * SKETCH) if sketch is None else sketch.astype("<i4").tobytes()
    return bytes((code, points)) + numbers
