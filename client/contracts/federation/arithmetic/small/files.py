"""The file of a small update (LC-FILE-54, 55): bits, blinds and proof under three masks, with boxes as any update has them.

    "LCFS1" 0 0 0 || federation || r || attempt || member || commitments of 3 seeds || 3 boxes || L masked numbers

Seeds and blinds are of one file. Whoever sees two files, or two views at two places, of one set of them opens the update.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic.places import MASKS, AttemptPlace, gates_key
from learningchain.client.contracts.federation.arithmetic.small.field import (
    Numbers,
    P,
    add,
    numbers_of,
    stream_numbers,
)
from learningchain.client.contracts.federation.arithmetic.small.proof import ProofShape, bits_of, content, proof_shape
from learningchain.client.contracts.federation.arithmetic.tensors import Buffer
from learningchain.client.contracts.federation.arithmetic.updates import (
    BOXES,
    COMMITMENTS,
    OVERHEAD,
    BadUpdate,
    Random,
    check_head,
    seal_seeds,
)

MAGIC: Final = b"LCFS1\0\0\0"


def small_size(dims: int) -> int:
    """LC-FILE-54: bytes of the file."""
    return OVERHEAD + 8 * proof_shape(dims).size


def small_file(place: AttemptPlace, member: bytes, keys: Sequence[bytes], x: NDArray[np.int64], rng: Random) -> bytes:
    """LC-FILE-54. `keys`: of the three aggregators, in the order of their places. Seeds and blinds are drawn here and not kept."""
    if len(keys) != MASKS:
        raise ValueError(f"a small update has three aggregators, not {len(keys)}")
    shape, bits = proof_shape(len(x)), bits_of(x)
    sealed = seal_seeds(place, member, keys, True, rng, MAGIC)
    masks = [stream_numbers(seed, shape.size) for seed in sealed.seeds.values()]
    covered = _masked(bits, masks)
    challenges = _challenges(place, member, sealed.head + covered.tobytes(), shape)
    blinds = numbers_of(rng(8 * 2 * shape.rows))
    return sealed.head + _masked(content(shape, bits, challenges, blinds), masks).astype("<u8").tobytes()


def read_small(file: Buffer, place: AttemptPlace, member: bytes, dims: int) -> Numbers:
    """LC-FILE-54: the masked numbers, where they lie in the file; `open_seeds` is for its box. Raises BadUpdate."""
    check_head(file, MAGIC + place.within + member, small_size(dims))
    numbers = np.frombuffer(file, "<u8", proof_shape(dims).size, OVERHEAD)
    if numbers.max() >= P:
        raise BadUpdate("HEADER", "a masked number is not below 2^61 - 1")
    return numbers


def challenges_of(file: Buffer, place: AttemptPlace, member: bytes, dims: int) -> Numbers:
    """LC-FILE-55: c_0 … c_nb of a file that `read_small` took."""
    shape = proof_shape(dims)
    with memoryview(file) as raw:
        return _challenges(place, member, bytes(raw[: OVERHEAD + 8 * shape.bits]), shape)


def _challenges(place: AttemptPlace, member: bytes, begun: bytes, shape: ProofShape) -> Numbers:
    """`begun`: the file up to the last masked bit."""
    return stream_numbers(gates_key(place, member, begun[COMMITMENTS:BOXES] + begun[OVERHEAD:]), shape.bits + 1)


def _masked(numbers: Numbers, masks: Sequence[Numbers]) -> Numbers:
    for mask in masks:
        numbers = add(numbers, mask[: len(numbers)])
    return numbers
