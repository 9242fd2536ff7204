"""What a Screen says (LC-FILE-23 to LC-FILE-32): each code at its bound, then against Python's integers over random sketches."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import isqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic import screening
from learningchain.client.contracts.federation.arithmetic.places import CQ, ROWS
from learningchain.client.contracts.federation.arithmetic.screening import (
    AWAY,
    COPY,
    EMPTY,
    LARGE,
    OUTLIER,
    STALE,
    USED,
    WRONG,
    Screening,
    ScreenRule,
    screen,
)
from tests.unit.federation_kit import PLACE, dots, tagged

Sketch = list[int]
REFERENCE = ScreenRule(reference=True)
KRUM = ScreenRule(reference=True, krum=True)
ALIGNED = ScreenRule(reference=True, aligned=True)


def screened(files: Sequence[Sketch | None], rule: ScreenRule = REFERENCE, deltas: Sequence[Sketch] = ()) -> Screening:
    def array(one: Sketch) -> NDArray[np.int64]:
        return np.array(one, np.int64)

    return screen(PLACE, rule, [None if one is None else array(one) for one in files], [array(one) for one in deltas])


def sketch(seed: int, size: int = 2**20, along: int = 1, new: int = 0) -> Sketch:
    """64 numbers of about that size, and those of the reference's rows."""
    numbers = random.Random(seed)
    return [int(numbers.gauss(0, size)) for _ in range(ROWS)] + [along, new]


def of(*numbers: int, along: int = 1, new: int = 0) -> Sketch:
    return [*numbers, *[0] * (ROWS - len(numbers)), along, new]


# --- each code -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
def test_large_is_one_number_at_its_bound_or_their_squares_beyond_theirs(sign: int) -> None:
    """LC-FILE-24: 54 CQ^2 is what 64 squares may be."""
    most = isqrt(54 * CQ**2)
    assert screened([of(sign * most)]).codes == (USED,)
    assert screened([of(sign * (most + 1))]).codes == (LARGE,)
    assert 54 * CQ**2 < 2 ** (2 * 27)
    assert screened([of(sign * 2**27)]).codes == screened([of(-(2**31))]).codes == screened([of(2**31 - 1)]).codes == (LARGE,)
    assert screened([[sign * (2**31 - 1)] * ROWS + [1, 1]]).codes == (LARGE,)


def test_empty_is_a_sixteenth_of_the_lower_median() -> None:
    """LC-FILE-25, over those that are neither AWAY nor LARGE."""
    others = [of(0, 1600), of(0, 0, 1600), of(0, 0, 0, 1600)]
    assert screened([of(100), *others]).codes == (EMPTY, USED, USED, USED)
    assert screened([of(101), *others]).codes == (USED, USED, USED, USED)
    assert screened([of(), of(), of()]).codes == (EMPTY, EMPTY, EMPTY)
    assert screened([None, of(2**28), of(0, 2**28), of(100), *others]).codes == (AWAY, LARGE, LARGE, EMPTY, USED, USED, USED)


def test_wrong_is_an_eighth_of_its_length_against_the_reference() -> None:
    """LC-FILE-26"""
    files = [sketch(n) for n in range(4)]
    for file, beyond in zip(files, (-5, 0, 0, 1), strict=True):
        file[ROWS] = -32 * isqrt(2 * dots(file[:ROWS], file[:ROWS]) // ROWS) - beyond
    assert screened(files).codes == (USED, USED, USED, WRONG)
    assert screened([of(0, along=-1), of(0)]).codes == (EMPTY, EMPTY)


def _alike(a: Sketch, b: Sketch) -> bool:
    product = dots(a[:ROWS], b[:ROWS])
    return product > 0 and 1000 * product**2 >= 999 * dots(a[:ROWS], a[:ROWS]) * dots(b[:ROWS], b[:ROWS])


def test_alike_is_a_cosine_from_the_root_of_0_999_on() -> None:
    """LC-FILE-27: cos^2 = 1/(1 + t^2), so t = sqrt(1/999) is the bound."""
    big = 10**7
    beside = isqrt(big**2 // 999)
    assert screening.alike(np.array(of(big)), np.array(of(big, beside)))
    assert not screening.alike(np.array(of(big)), np.array(of(big, beside + 2)))
    assert not screening.alike(np.array(of(big)), np.array(of(-big)))
    assert not screening.alike(np.zeros(ROWS, np.int64), np.zeros(ROWS, np.int64))


def test_a_copy_is_alike_to_an_earlier_one_also_to_a_copy() -> None:
    """LC-FILE-28"""
    a, b, c = of(10**6), of(10**6, 30_000), of(10**6, 60_000)
    assert _alike(a, b) and _alike(b, c) and not _alike(a, c)
    assert screened([a, b, c]).codes == (USED, COPY, COPY)
    assert screened([c, b, a]).codes == (USED, COPY, COPY)
    assert screened([[*a[:ROWS], -(10**8), 0], a]).codes == (WRONG, USED)


def test_stale_is_alike_to_one_of_the_last_three_sums() -> None:
    old = [sketch(n) for n in range(4)]
    assert screened([*old, sketch(9)], deltas=old).codes == (STALE, STALE, STALE, USED, USED)
    assert screened([of(10**6)], deltas=[of(3)]).codes == (STALE,)
    assert screened([of(-(10**6))], deltas=[of(3)]).codes == (USED,)


def test_outliers_are_a_quarter_and_later_ones_of_equals() -> None:
    """LC-FILE-29"""
    near = [of(*[0] * n, 1000) for n in range(4)]
    assert screened(near, KRUM).codes == (USED, USED, USED, OUTLIER)
    assert screened([of(0, 0, 0, 0, 0, 9000), *near[:3]], KRUM).codes == (OUTLIER, USED, USED, USED)
    assert screened(near[:3], KRUM).codes == (USED, USED, USED)
    assert screened(near, REFERENCE).codes == (USED,) * 4


# --- norm, points, digest ------------------------------------------------------------------------------------------------------


def test_points_are_sixteenths_of_the_greatest() -> None:
    """LC-FILE-32"""
    files = [sketch(n, size=100, new=new) for n, new in enumerate((320, 319, 20, 19, 0, -5))]
    assert screened(files, ALIGNED).points == (16, 15, 1, 0, 0, 0)
    assert screened(files, REFERENCE).points == ()
    assert screened([sketch(1, new=0), sketch(2, new=-3)], ALIGNED).points == (0, 0)
    files[0][ROWS] = -(10**5)
    assert screened(files, ALIGNED).points == (0, 16, 1, 0, 0, 0)


def test_the_digest_covers_place_codes_points_and_sketches() -> None:
    """LC-FILE-31"""
    files = [sketch(1, new=3), None, sketch(2, along=-(2**28), new=-2)]
    found = screened(files, ALIGNED)
    assert found.codes == (USED, AWAY, WRONG) and found.points == (16, 0, 0)
    told = b""
    for code, points, file in zip(found.codes, found.points, files, strict=True):
        told += bytes((code, points)) + b"".join(n.to_bytes(4, "little", signed=True) for n in file or [0] * 66)
    assert found.digest == tagged(b"lc/fed-screen", PLACE.chain, PLACE.within, told)


# --- all of it -----------------------------------------------------------------------------------------------------------------


def by_hand(files: Sequence[Sketch | None], rule: ScreenRule, deltas: Sequence[Sketch]) -> list[int]:
    """The chapter's sentences, one after the other."""
    codes = [AWAY if file is None else USED for file in files]
    y = [[0] * ROWS if file is None else file[:ROWS] for file in files]
    along = [0 if file is None else file[ROWS] for file in files]
    square = [dots(one, one) for one in y]

    def left() -> list[int]:
        return [n for n, code in enumerate(codes) if code == USED]

    def mark(code: int, found: list[int]) -> None:
        for n in found:
            codes[n] = code

    mark(LARGE, [n for n in left() if max(map(abs, y[n])) >= 2**27 or 2 * square[n] > 108 * CQ**2])
    if left():
        middle = sorted(square[n] for n in left())[(len(left()) - 1) // 2]
        mark(EMPTY, [n for n in left() if 256 * square[n] <= middle])
    total = [sum(y[n][row] for n in left()) for row in range(ROWS)]
    against = [-32 * isqrt(2 * one // ROWS) for one in square]
    mark(WRONG, [n for n in left() if (along[n] < against[n] if rule.reference else dots(y[n], total) < 0)])
    old = [delta for delta in deltas[:3] if max(map(abs, delta[:ROWS])) < 2**27]
    mark(STALE, [n for n in left() if any(_alike(y[n], delta) for delta in old)])
    began = left()
    mark(COPY, [n for n in began if any(_alike(y[n], y[m]) for m in began if m < n)])
    n = len(left())
    if rule.krum and n // 4:
        far = {}
        for one in left():
            apart = sorted(sum((p - q) ** 2 for p, q in zip(y[one], y[m], strict=True)) for m in left() if m != one)
            far[one] = sum(apart[: n - n // 4 - 2])
        mark(OUTLIER, sorted(left(), key=lambda one: (far[one], one))[n - n // 4 :])
    return codes


@pytest.mark.parametrize("seed", range(80))
def test_random_screens_are_as_by_hand(seed: int) -> None:
    numbers = random.Random(seed)
    files: list[Sketch | None] = []
    for n in range(numbers.randint(0, 14)):
        kind = numbers.random()
        size = numbers.choice((0, 1, 2**10, 2**20, 2**22, 2**24, 2**27, 2**29))
        if kind < 0.1:
            files.append(None)
        elif kind < 0.3 and files and (earlier := numbers.choice(files)):
            files.append([value + numbers.randint(-2, 2) for value in earlier])
        else:
            files.append(sketch(seed * 100 + n, size if kind < 0.5 else 2**20, numbers.randint(-1, 9), numbers.randint(-9, 9)))
    some = [file for file in files if file] or [sketch(seed)]
    deltas = [numbers.choice(some) for _ in range(numbers.randint(0, 4))] if seed % 3 == 0 else [sketch(n) for n in range(2)]
    rule = ScreenRule(seed % 2 == 0, seed % 5 < 2, seed % 4 == 0)
    assert list(screened(files, rule, deltas).codes) == by_hand(files, rule, deltas)


def test_sixty_files_at_the_bounds_of_their_numbers() -> None:
    """Nothing wraps: 64 numbers of 2^27 - 1 each would be LARGE, so most of them are as great as 54 CQ^2 allow."""
    most = isqrt(54 * CQ**2 // ROWS)
    numbers = random.Random(0)
    files: list[Sketch | None] = [[numbers.choice((-most, most)) for _ in range(ROWS)] + [1, 1] for _ in range(60)]
    rule = KRUM._replace(reference=False)
    assert list(screened(files, rule).codes) == by_hand(files, rule, [])
