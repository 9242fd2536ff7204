"""Sums of cells and what is proposed of them (LC-FILE-59 to LC-FILE-63): against Python's numbers, and at their edges."""

from __future__ import annotations

import random
import struct
from math import isqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic import noise
from learningchain.client.contracts.federation.arithmetic.small import candidates, field, files, proof, sums
from learningchain.client.contracts.federation.arithmetic.small.candidates import Direction
from learningchain.client.contracts.federation.arithmetic.small.field import Numbers
from learningchain.client.contracts.federation.arithmetic.small.proof import ProofShape, proof_shape
from learningchain.client.contracts.federation.arithmetic.small.sums import BadSums, CellSum, Sums
from learningchain.client.contracts.federation.arithmetic.small.unit import H, unit_update
from learningchain.client.contracts.federation.arithmetic.summing import NotFinite
from tests.small_updates import Made, as_numbers, made
from tests.unit.federation_kit import BEACON, PLACE, rng, tagged

D21 = 251
"""Least dp_milli of 21 values: isqrt(4,000,000 // 63)."""


def updates(dims: int, count: int) -> tuple[list[NDArray[np.int64]], list[Made]]:
    numbers = np.random.default_rng(dims)
    xs = [unit_update(np.zeros(dims, "<f4"), numbers.normal(size=dims).astype("<f4"), rng().randbytes) for _ in range(count)]
    return xs, [made(PLACE, bytes([n]) * 20, proof.bits_of(x), rng(n)) for n, x in enumerate(xs)]


def pinned(shape: ProofShape, owners: list[Made], sigma: int, cell: int = 1, beacon: bytes = BEACON) -> list[Numbers]:
    seeds = [[one.seeds[mask] for one in owners] for mask in (1, 2, 3)]
    return [sums.mask_of_cell(PLACE, beacon, shape, cell, mask, seeds[mask - 1], sigma) for mask in (1, 2, 3)]


def masked(shape: ProofShape, owners: list[Made]) -> list[Numbers]:
    return [files.read_small(one.file, PLACE, one.member, shape.dims) for one in owners]


@pytest.mark.parametrize(("dims", "count"), [(1, 3), (21, 5), (200, 16)])
def test_what_is_summed_is_the_updates_and_three_noises_that_their_seeds_make(dims: int, count: int) -> None:
    """LC-FILE-59, 60"""
    shape, sigma = proof_shape(dims), sums.cell_sigma(D21, again=False)
    xs, owners = updates(dims, count)
    wanted = np.sum(xs, axis=0)
    for mask in (1, 2, 3):
        seeds = b"".join(one.seeds[mask] for one in owners)
        key = tagged(b"lc/fed-noise", PLACE.raw, BEACON, bytes((4, mask)), seeds)
        wanted = wanted - np.concatenate(list(noise.noise(key, sigma, dims)))
    found = sums.cell_sum(shape, masked(shape, owners), pinned(shape, owners, sigma, cell=4))
    assert found == tuple(wanted.tolist())


def test_noise_is_twice_as_long_as_an_update_and_eight_times_where_a_set_comes_again() -> None:
    """At the least dp_milli of 21 values: over 60 sums, four deviations of what 21 normal numbers give."""
    shape, (xs, owners) = proof_shape(21), updates(21, 3)
    wanted, given_ = np.sum(xs, axis=0), masked(shape, owners)
    for again, times in ((False, 2), (True, 8)):
        away = []
        for n in range(60):
            told = pinned(shape, owners, sums.cell_sigma(D21, again), beacon=bytes([n]) * 32)
            away.append(float(((np.array(sums.cell_sum(shape, given_, told)) - wanted).astype(float) ** 2).sum()) / H**2)
        assert np.mean(away) == pytest.approx(times**2, rel=4 * (2 / 21 / 60) ** 0.5)


def test_noise_is_another_one_for_each_cell_mask_beacon_and_set() -> None:
    """LC-FILE-59: whoever saw one cannot take it off elsewhere."""
    shape, owners, sigma = proof_shape(21), updates(21, 4)[1], sums.cell_sigma(D21, again=False)
    clean = pinned_without_noise(shape, owners)
    seen = [field.subtract(told, mask).tolist() for told, mask in zip(pinned(shape, owners, sigma), clean, strict=True)]
    seen += [field.subtract(pinned(shape, owners, sigma, cell=2)[0], clean[0]).tolist()]
    seen += [field.subtract(pinned(shape, owners, sigma, beacon=b"o" * 32)[0], clean[0]).tolist()]
    few = owners[:3]
    seen += [field.subtract(pinned(shape, few, sigma)[0], pinned_without_noise(shape, few)[0]).tolist()]
    assert len({tuple(one) for one in seen}) == len(seen) and all(map(any, seen))


def pinned_without_noise(shape: ProofShape, owners: list[Made]) -> list[Numbers]:
    found = []
    for mask in (1, 2, 3):
        each = [proof.values_of_bits(shape, field.stream_numbers(one.seeds[mask], shape.bits)) for one in owners]
        found.append(field.total(np.stack(each).T))
    return found


@pytest.mark.parametrize("away", [2**32, 2**40, field.P // 2])
def test_a_part_that_is_false_by_far_gives_no_sum(away: int) -> None:
    """LC-FILE-60"""
    shape, owners = proof_shape(3), updates(3, 3)[1]
    told = pinned(shape, owners, sums.cell_sigma(D21, again=False))
    for by in (away, -away):
        false = [field.subtract(told[0], as_numbers([0, by, 0])), *told[1:]]
        with pytest.raises(NotFinite):
            sums.cell_sum(shape, masked(shape, owners), false)


def test_noise_has_its_bounds() -> None:
    assert [sums.cell_sigma(8_000, again) for again in (False, True)] == [2**18, 2**20]
    for dp_milli in (0, 8_001):
        with pytest.raises(ValueError, match="dp_milli"):
            sums.cell_sigma(dp_milli, again=False)


# --- files ---------------------------------------------------------------------------------------------------------------------


def test_a_part_is_read_back_as_numbers_below_p() -> None:
    parts = [as_numbers([1, field.P - 1]), as_numbers([0, 7])]
    raw = sums.part_bytes(parts)
    assert sums.read_part(raw, 2).tolist() == [[1, field.P - 1], [0, 7]] and len(raw) == 32
    for bad, count in ((raw[:-1], 2), (raw, 3), (raw, 0), (b"", 1), (field.P.to_bytes(8, "little"), 1), (b"\xff" * 8, 1)):
        with pytest.raises(BadSums):
            sums.read_part(bad, count)


I32 = st.integers(-(2**31), 2**31 - 1)


@settings(max_examples=40)
@given(data=st.data(), dims=st.integers(1, 5), cells=st.sets(st.integers(1, 255), min_size=1, max_size=10))
def test_sums_are_read_back_and_nothing_that_is_cut_or_longer(data: st.DataObject, dims: int, cells: set[int]) -> None:
    """LC-FILE-60"""
    numbers = st.lists(I32, min_size=dims, max_size=dims).map(tuple)
    told = Sums(
        tuple(CellSum(cell, data.draw(st.integers(3, 16)), data.draw(numbers)) for cell in sorted(cells)),
        data.draw(st.none() | numbers),
    )
    raw = sums.sums_file(PLACE, told)
    assert sums.read_sums(raw, PLACE, dims) == told
    cut = data.draw(st.integers(0, len(raw) - 1))
    for bad, place in ((raw[:cut], PLACE), (raw + b"\0", PLACE), (raw, PLACE._replace(attempt=8))):
        with pytest.raises(BadSums):
            sums.read_sums(bad, place, dims)


# --- candidates ----------------------------------------------------------------------------------------------------------------


def unit(*numbers: int) -> tuple[int, ...]:
    length = isqrt(sum(n * n for n in numbers))
    return tuple(n * (H - 1) // length for n in numbers)


@pytest.mark.parametrize(
    ("rho", "is_one"),
    [
        ((2**14,), True),
        ((2**14 - 1,), False),
        ((H - 1, 255), True),
        ((H - 1, 256), False),
        ((0, 0), False),
        ((-(2**31),) * 1_023, False),
    ],
)
def test_a_reference_is_as_long_as_an_update(rho: tuple[int, ...], is_one: bool) -> None:
    """LC-FILE-61: 32,767^2 + 255^2 is below 2^30 by 512."""
    assert candidates.is_small_reference(rho) == is_one


def test_directions_are_the_whole_each_cell_the_reference_and_half_way_to_it() -> None:
    """LC-FILE-62"""
    one, two, rho = CellSum(2, 3, (30, -40)), CellSum(5, 4, (0, 10)), (24_000, 0)
    assert candidates.directions(Sums((one,), None)) == [Direction((30, -40), 3)]
    found = candidates.directions(Sums((one, two), rho))
    assert found[:4] == [Direction((30, -30), 7), Direction((30, -40), 3), Direction((0, 10), 4), Direction(rho, 1)]
    q = (24_000 + 30 * H // 42, -30 * H // 42)
    length = isqrt(q[0] ** 2 + q[1] ** 2)
    assert found[4:] == [Direction((q[0] * H // length, q[1] * H // length), 1)]


@pytest.mark.parametrize(("rho", "last"), [(unit(3, 4), (19_660, 26_213)), ((H - 1, 0), (H, 0))])
def test_half_way_from_nothing_is_the_reference(rho: tuple[int, ...], last: tuple[int, ...]) -> None:
    found = candidates.directions(Sums((CellSum(1, 3, (0, 0)),), rho))
    assert found[1].numbers == rho and max(abs(a - b) for a, b in zip(found[2].numbers, last, strict=True)) <= 2


def test_half_way_between_opposites_is_nothing_and_no_error() -> None:
    """q is all zeros, and D as well."""
    found = candidates.directions(Sums((CellSum(1, 3, (-5, 0)),), (H, 0)))
    assert found[2] == Direction((0, 0), 1)


@settings(max_examples=40)
@given(
    base=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
    radius=st.integers(10**6, 64 * 10**9),
    updates_=st.integers(1, 160),
    step=st.sampled_from(candidates.STEPS),
)
def test_a_candidate_is_one_operation_after_the_other(base: list[float], seed: int, radius: int, updates_: int, step: int) -> None:
    """LC-FILE-63, with the floats of Python."""
    draw = random.Random(seed)
    numbers = tuple(draw.randint(-(2**31), 2**31) for _ in base)
    length = float(radius * step) / float(10**12 * updates_ * H)
    wanted = [struct.unpack("<f", struct.pack("<f", b + float(n) * length))[0] for b, n in zip(base, numbers, strict=True)]
    found = candidates.candidate(np.array(base, "<f4"), Direction(numbers, updates_), radius, step)
    assert found is not None and found.tolist() == wanted


def test_a_step_of_a_thousand_is_a_radius_long_where_all_agree() -> None:
    found = candidates.candidate(np.zeros(2, "<f4"), Direction((3 * H, 0), 3), 2 * 10**9, 1000)
    assert found is not None and found.tolist() == [2.0, 0.0]


def test_a_model_that_is_not_finite_is_no_candidate() -> None:
    for base in (float("inf"), float("nan")):
        assert candidates.candidate(np.array([0.0, base], "<f4"), Direction((1, 1), 3), 10**9, 250) is None
    most = float(np.finfo("<f4").max)
    found = candidates.candidate(np.array([most], "<f4"), Direction((2**31 - 1,), 1), 64 * 10**9, 2000)
    assert found is not None and found.tolist() == [most]
