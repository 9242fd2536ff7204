"""Sums of cells (LC-FILE-59, 60): what is told of a mask, what follows from all three, and the file of the sums. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic.noise import MAX_DP, noise
from learningchain.client.contracts.federation.arithmetic.places import AttemptPlace, cell_noise_key
from learningchain.client.contracts.federation.arithmetic.small.field import (
    Numbers,
    P,
    add,
    signed,
    stream_numbers,
    subtract,
    whole,
)
from learningchain.client.contracts.federation.arithmetic.small.proof import ProofShape, values_of_bits
from learningchain.client.contracts.federation.arithmetic.small.unit import H
from learningchain.client.contracts.federation.arithmetic.summing import NotFinite

MAGIC: Final = b"LCFS2\0\0\0"
MAX_CELLS: Final = 10
MAX_CELL: Final = 16
_HEAD: Final = len(MAGIC) + 72 + 1


class BadSums(ValueError):
    """Not the file of sums of this attempt."""


class CellSum(NamedTuple):
    """LC-FILE-60: the sum of a cell's updates, with noise; each number is an i32."""

    cell: int
    members: int
    numbers: tuple[int, ...]


class Sums(NamedTuple):
    cells: tuple[CellSum, ...]
    reference: tuple[int, ...] | None


def cell_sigma(dp_milli: int, again: bool) -> int:
    """LC-FILE-59. `again`: another set with a common member was summed on this base before."""
    if not 1 <= dp_milli <= MAX_DP:
        raise ValueError(f"dp_milli is 1 to {MAX_DP:,}, not {dp_milli}")
    return dp_milli * H // 1000 * (4 if again else 1)


def mask_of_cell(
    place: AttemptPlace, beacon: bytes, shape: ProofShape, cell: int, mask: int, seeds: Sequence[bytes], sigma: int
) -> Numbers:
    """LC-FILE-59: of one mask, what two aggregators pin: the sum over the members of a cell, whose seeds these are, with noise."""
    drawn = np.concatenate(list(noise(cell_noise_key(place, beacon, cell, mask, b"".join(seeds)), sigma, shape.dims)))
    found = np.where(drawn < 0, drawn + P, drawn).astype(np.uint64)
    for seed in seeds:
        found = add(found, values_of_bits(shape, stream_numbers(seed, shape.bits)))
    return found


def cell_sum(shape: ProofShape, files: Sequence[Numbers], pinned: Sequence[Numbers]) -> tuple[int, ...]:
    """LC-FILE-60: of the masked numbers of a cell's files and what was pinned of the three masks. Raises NotFinite."""
    found = np.zeros(shape.dims, np.uint64)
    for file in files:
        found = add(found, subtract(values_of_bits(shape, file), whole(H)))
    for mask in pinned:
        found = subtract(found, mask)
    numbers = tuple(map(signed, found.tolist()))
    if max(numbers) >= 2**31 or min(numbers) < -(2**31):
        raise NotFinite("a number of the sum is none of 32 bits: what was pinned of a mask is false")
    return numbers


# --- files ---------------------------------------------------------------------------------------------------------------------


def part_bytes(parts: Sequence[Numbers]) -> bytes:
    """LC-FILE-58, 59: what is pinned of a share: its views, or its sums."""
    return np.concatenate(parts).astype("<u8").tobytes()


def read_part(file: bytes, count: int) -> NDArray[np.uint64]:
    """`count` rows of what another pinned. Raises BadSums."""
    numbers = np.frombuffer(file, "<u8") if len(file) % 8 == 0 else np.zeros(0, np.uint64)
    if not count or not len(numbers) or len(numbers) % count or numbers.max() >= P:
        raise BadSums(f"a part of {len(file)} bytes does not hold numbers below 2^61 - 1 of {count} files or cells")
    return numbers.reshape(count, -1)


def sums_file(place: AttemptPlace, sums: Sums) -> bytes:
    """LC-FILE-60"""
    cells = b"".join(bytes((one.cell, one.members)) + _packed(one.numbers) for one in sums.cells)
    told = b"\0" if sums.reference is None else b"\1" + _packed(sums.reference)
    return MAGIC + place.raw + bytes((len(sums.cells),)) + cells + told


def read_sums(file: bytes, place: AttemptPlace, dims: int) -> Sums:
    """LC-FILE-60. Raises BadSums."""
    count, width = int.from_bytes(file[_HEAD - 1 : _HEAD], "big"), 2 + 4 * dims
    end = _HEAD + width * count
    said = file[end : end + 1]
    size = end + 1 + (4 * dims if said == b"\1" else 0)
    if file[: _HEAD - 1] != MAGIC + place.raw or not 1 <= count <= MAX_CELLS or len(file) != size or said > b"\1":
        raise BadSums(f"{len(file)} bytes are not the sums of a model of {dims} values in this attempt")
    found = [CellSum(file[one], file[one + 1], _read(file[one + 2 : one + width])) for one in range(_HEAD, end, width)]
    numbers, members = [one.cell for one in found], [one.members for one in found]
    if not numbers[0] or sorted(set(numbers)) != numbers or not 3 <= min(members) <= max(members) <= MAX_CELL:
        raise BadSums("the cells do not ascend from 1 on, or one has not 3 to 16 members")
    return Sums(tuple(found), _read(file[end + 1 :]) if said == b"\1" else None)


def _packed(numbers: Sequence[int]) -> bytes:
    return np.array(numbers, "<i4").tobytes()


def _read(raw: bytes) -> tuple[int, ...]:
    return tuple(np.frombuffer(raw, "<i4").tolist())
