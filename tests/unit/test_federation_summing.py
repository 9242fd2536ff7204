"""The reference's rows, sums and the next model (LC-FILE-18 to LC-FILE-20, 33 to 35), against Python's integers."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from math import isqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic import masks, reference, summing
from learningchain.client.contracts.federation.arithmetic.places import CQ, rows_key
from learningchain.client.contracts.federation.arithmetic.summing import NotFinite
from tests.unit.federation_kit import BEACON, PLACE, dithered, dots, x_of

KEY = rows_key(PLACE, BEACON)


# --- the reference -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "plain"),
    [
        ([0, 0], False),
        ([1], True),
        ([2**22, 2**22], True),
        ([2**22, 2**22, 1], False),
        ([2**23], False),
        ([-(2**31)], False),
        ([2**31 - 1] * 4, False),
        ([5_931_641], True),
        ([5_931_642], False),
    ],
)
def test_a_plain_vector_is_short_and_not_nothing(values: list[int], plain: bool) -> None:
    """LC-FILE-18: isqrt(2 CQ^2) = 5,931,641."""
    assert reference.is_plain(x_of(values)) == plain
    assert reference.is_plain(x_of([0] * 65_536 + values)) == plain


def test_a_reference_has_no_coordinate_that_is_most_of_it() -> None:
    """LC-FILE-18: otherwise its points would tell everybody that coordinate of each member's update."""
    assert reference.is_reference(x_of([100] * 16)) and reference.is_reference(x_of([-100] * 16))
    assert not reference.is_reference(x_of([100] * 15)) and not reference.is_reference(x_of([0] * 99 + [100]))
    assert not reference.is_reference(x_of([0] * 99 + [-(2**31)])) and not reference.is_reference(x_of([0] * 9))


def by_hand(rho: list[int], deltas: list[list[int]]) -> list[int]:
    """LC-FILE-19"""
    plain = [e for e in deltas[:3] if max(map(abs, e)) <= 2**23 and 0 < dots(e, e) <= 2 * CQ**2]
    found: list[list[int]] = []
    for vector in [*plain, rho]:
        for v in found:
            if square := dots(v, v):
                f = dots(vector, v) * 2**16 // square
                vector = [a - f * b // 2**16 for a, b in zip(vector, v, strict=True)]
        found.append(vector)
    left = found[-1]
    return rho if 64 * dots(left, left) < dots(rho, rho) else left


def vectors(numbers: random.Random, dims: int) -> list[list[int]]:
    """The first is the reference; some of the others are like it, or nothing, or no plain ones."""
    size = isqrt(2 * CQ**2 // dims) // 2
    first = [numbers.randint(-size, size) or 1 for _ in range(dims)]
    found = [first]
    for _ in range(numbers.randint(0, 4)):
        kind, new = numbers.randrange(5), [numbers.randint(-size, size) for _ in range(dims)]
        found.append(
            [
                new,
                [a // 2 + b // 9 for a, b in zip(numbers.choice(found), new, strict=True)],
                list(numbers.choice(found)),
                [0] * dims,
                [2**31 - 1] * dims,
            ][kind]
        )
    return found


@pytest.mark.parametrize("seed", range(60))
def test_what_is_new_in_a_reference_is_as_by_hand(seed: int) -> None:
    numbers = random.Random(seed)
    dims = numbers.choice((1, 2, 40, 700))
    rho, *deltas = vectors(numbers, dims)
    wanted = by_hand(rho, deltas)
    assert reference.new_direction(x_of(rho), [x_of(e) for e in deltas])(0, dims).tolist() == wanted


def reference_rows(rho: list[int], deltas: list[list[int]]) -> NDArray[np.int64]:
    return np.concatenate(list(reference.reference_rows(KEY, x_of(rho), [x_of(e) for e in deltas])), axis=1)


@pytest.mark.parametrize("dims", [1, 700, 8_192, 20_000])
def test_the_two_rows_are_as_by_hand(dims: int) -> None:
    """LC-FILE-20"""
    rho, *deltas = vectors(random.Random(dims), dims)
    found = reference_rows(rho, deltas)
    assert found[0].tolist() == dithered(KEY, 1, rho)
    assert found[1].tolist() == dithered(KEY, 2, by_hand(rho, deltas))
    assert abs(found).max() <= 256


# --- sums ----------------------------------------------------------------------------------------------------------------------


def pieces_of(values: list[int]) -> Iterator[NDArray[np.int32]]:
    whole = x_of(values)
    return (whole[at : at + length] for at, length in masks.pieces(len(whole)))


ANY = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=3, max_size=3), min_size=1, max_size=9)


@settings(max_examples=30)
@given(values=ANY)
def test_trimmed_and_median_are_of_the_middle_of_each_coordinate(values: list[list[int]]) -> None:
    """LC-FILE-34"""
    n = len(values)
    columns = [sorted(column) for column in zip(*values, strict=True)]
    trimmed = np.concatenate(list(summing.sorted_sum([pieces_of(one) for one in values], "trimmed")))
    assert trimmed.tolist() == [sum(column[n // 4 : n - n // 4]) for column in columns]
    median = np.concatenate(list(summing.sorted_sum([pieces_of(one) for one in values], "median")))
    assert median.tolist() == [sum(column[(n - 1) // 2 : n // 2 + 1]) for column in columns]


def f32(value: float) -> bytes:
    return struct.pack("<f", value)


@settings(max_examples=30)
@given(
    base=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=9),
    seed=st.integers(0, 2**32),
    clip=st.integers(10, 2**50),
    q=st.integers(1, 128),
)
def test_the_next_model_is_one_operation_after_the_other(base: list[float], seed: int, clip: int, q: int) -> None:
    """LC-FILE-35, with the floats of Python."""
    numbers = random.Random(seed)
    total = [numbers.randint(-(2**31), 2**31 - 1) for _ in base]
    step = clip / 10**9 / 2**22 / q
    ((delta, model),) = summing.next_model(np.array(base, "<f4"), [np.array(total, np.int64)], clip, q)
    assert delta == b"".join(struct.pack("<i", one // q) for one in total)
    assert model == b"".join(f32(b + float(s) * step) for b, s in zip(base, total, strict=True))


def test_a_model_that_is_not_finite_is_none() -> None:
    """From a finite base no sum leads there: a step is at most 6e8. It is looked at all the same."""
    most = np.finfo("<f4").max
    for base in (float("inf"), float("nan")):
        with pytest.raises(NotFinite):
            list(summing.next_model(np.array([0.0, base], "<f4"), [np.array([0, 1])], 10, 1))
    ((_, model),) = summing.next_model(np.array([most], "<f4"), [np.array([2**31 - 1])], 2**50, 1)
    assert model == most.tobytes()


def test_a_mapped_file_is_summed_without_being_read_as_a_whole(tmp_path: Path) -> None:
    """Two million values of two files: what is in memory at once is a piece."""
    import tracemalloc

    dims = 2_000_000
    paths = [tmp_path / str(n) for n in range(2)]
    for n, path in enumerate(paths):
        np.full(dims, 2**31 + n, "<u4").tofile(path)
    files = [np.memmap(path, "<u4", "r") for path in paths]
    seeds = [bytes([n]) * 32 for n in range(2)]
    base = np.zeros(dims, "<f4")
    tracemalloc.start()
    total = summing.masked_sum(files, [masks.mask_sum(seeds, dims)])
    size = sum(len(piece.delta) for piece in summing.next_model(base, total, 10**9, 2))
    assert size == 4 * dims and tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
