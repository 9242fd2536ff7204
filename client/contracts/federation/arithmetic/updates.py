"""A member's update (LC-FILE-7, 8, 11 to 15): the difference of two models as whole numbers, and the file that carries it.

    U = "LCFU1" 0 0 0 || federation || r || attempt || member || commitments of 3 seeds || 3 boxes || d masked numbers

Each box gives one aggregator the two seeds that are not its own, so none opens an update alone. The seeds are committed to in the
file: a member that gives two aggregators two seeds for one mask is turned away by one of them, before anything is added up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic.masks import Words, known_masks, masked, pieces
from learningchain.client.contracts.federation.arithmetic.places import CQ, MASKS, ROWS, SEED, AttemptPlace, seed_commitment
from learningchain.client.contracts.federation.arithmetic.tensors import Buffer
from learningchain.client.keys.boxes import CannotOpen, CannotSeal, open_box, seal_box

MAGIC: Final = b"LCFU1\0\0\0"
BOX: Final = 32 + 2 * SEED + 16
OVERHEAD: Final = len(MAGIC) + 40 + 20 + MASKS * 32 + MASKS * BOX
"""LC-FILE-11: bytes before the masked numbers: 500."""
_LABEL: Final = b"learningchain update box 1"
_LANES: Final = 8192
COMMITMENTS: Final = len(MAGIC) + 60
BOXES: Final = COMMITMENTS + 32 * MASKS
"""Where they begin in the file."""
Random = Callable[[int], bytes]


class BadUpdate(ValueError):
    """An update file that cannot be used. `answer`, what its member is told: SIZE, HEADER or BOX."""

    def __init__(self, answer: str, why: str) -> None:
        super().__init__(why)
        self.answer = answer


class SealedSeeds(NamedTuple):
    """The file up to its numbers, and the seeds of its masks by their numbers."""

    head: bytes
    seeds: dict[int, bytes]


# --- x -------------------------------------------------------------------------------------------------------------------------


def most_attempts(dims: int) -> int:
    """LC-FILE-8: attempts on one base whose rows were drawn, for one member: each shows 64 numbers of the same update."""
    return max(3, dims // (8 * ROWS))


def least_changed(dims: int) -> int:
    """LC-FILE-8: half as many values as numbers of one update may be shown: these determine one that changes fewer."""
    return most_attempts(dims) * ROWS // 2


def changed_values(x: Iterable[NDArray[np.int32]]) -> int:
    return sum(int(np.count_nonzero(piece)) for piece in x)


def norm_of(base: NDArray[np.float32], local: NDArray[np.float32]) -> float:
    """LC-FILE-7: the length of local - base. 8,192 sums, then halves: the same on every machine."""
    lanes = np.zeros(_LANES)
    for at, length in pieces(len(base), _LANES):
        g = local[at : at + length].astype(np.float64) - base[at : at + length].astype(np.float64)
        lanes[:length] += g * g
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = lanes[:half] + lanes[half:]
    return math.sqrt(float(lanes[0]))


def update_of(base: NDArray[np.float32], local: NDArray[np.float32], clip: int) -> Iterator[NDArray[np.int32]]:
    """LC-FILE-7: x in pieces. Both models are finite and as long as each other; `clip` in units of 1e-9."""
    if len(base) != len(local):
        raise ValueError(f"the base has {len(base)} values, the local model {len(local)}")
    bound, norm = clip / 1e9, norm_of(base, local)
    scale, shorten = CQ / bound, min(1.0, bound / norm) if norm else 0.0
    for at, length in pieces(len(base)):
        g = local[at : at + length].astype(np.float64) - base[at : at + length].astype(np.float64)
        yield np.clip(np.rint(g * scale * shorten), -CQ, CQ).astype(np.int32)


# --- the file ------------------------------------------------------------------------------------------------------------------


def update_size(dims: int) -> int:
    """LC-FILE-11: bytes of an update file."""
    return OVERHEAD + 4 * dims


def seal_seeds(
    place: AttemptPlace, member: bytes, keys: Sequence[bytes], secret: bool, rng: Random, magic: bytes = MAGIC
) -> SealedSeeds:
    """LC-FILE-11 to LC-FILE-14. `keys`: of the aggregators of this attempt, two or three, in the order of their places."""
    if len(keys) not in (2, MASKS):
        raise ValueError(f"an attempt has two or three aggregators, not {len(keys)}")
    seeds = {mask: rng(SEED) for mask in (range(1, MASKS + 1) if secret else (1,))}
    commitments = [seed_commitment(place, member, n, seeds[n]) if n in seeds else bytes(32) for n in range(1, MASKS + 1)]
    boxes = []
    for position, key in enumerate(keys, 1):
        told = b"".join(seeds[n] for n in known_masks(position)) if secret else seeds[1] + bytes(SEED)
        try:
            boxes.append(seal_box(told, key, rng(32), _LABEL, _context(place, member, position)))
        except CannotSeal:
            boxes.append(rng(BOX))
    boxes += [bytes(BOX)] * (MASKS - len(keys))
    return SealedSeeds(b"".join((magic, place.within, member, *commitments, *boxes)), seeds)


def update_file(sealed: SealedSeeds, x: Iterable[NDArray[np.int32]]) -> Iterator[bytes]:
    """LC-FILE-11: the file in pieces."""
    yield sealed.head
    for piece in masked(x, sealed.seeds):
        yield piece.astype("<u4").tobytes()


def read_update(file: Buffer, place: AttemptPlace, member: bytes, dims: int) -> Words:
    """LC-FILE-15: the masked numbers, where they lie in the file. Raises BadUpdate."""
    check_head(file, MAGIC + place.within + member, update_size(dims))
    return np.frombuffer(file, "<u4", dims, OVERHEAD)


def check_head(file: Buffer, begins: bytes, size: int) -> None:
    """LC-FILE-15: the file is as long as it should be, and says whose it is and of which attempt. Raises BadUpdate."""
    with memoryview(file) as raw:
        if len(raw) != size:
            raise BadUpdate("SIZE", f"an update of this model has {size} bytes, not {len(raw)}")
        if bytes(raw[:COMMITMENTS]) != begins:
            raise BadUpdate("HEADER", "the file is not this member's of this attempt")


def open_seeds(
    file: Buffer, place: AttemptPlace, member: bytes, position: int, private: bytes, secret: bool, aggregators: int = MASKS
) -> dict[int, bytes]:
    """LC-FILE-15: the seeds that the aggregator in this place may know, by the numbers of their masks. `read_update` comes first.
    Raises BadUpdate."""
    with memoryview(file) as raw:
        head = bytes(raw[:OVERHEAD])
    commitments = [head[at : at + 32] for at in range(COMMITMENTS, BOXES, 32)]
    boxes = [head[at : at + BOX] for at in range(BOXES, OVERHEAD, BOX)]
    if any(map(any, boxes[aggregators:])) or (not secret and any(map(any, commitments[1:]))):
        raise BadUpdate("HEADER", "a box or a commitment that this attempt has not is not zeros")
    try:
        told = open_box(boxes[position - 1], private, _LABEL, _context(place, member, position))
    except CannotOpen as bad:
        raise BadUpdate("BOX", str(bad)) from None
    seeds = dict(zip(known_masks(position) if secret else (1,), (told[:SEED], told[SEED:]), strict=False))
    if not secret and any(told[SEED:]):
        raise BadUpdate("BOX", "the box of an open update holds one seed and zeros")
    if any(seed_commitment(place, member, n, seed) != commitments[n - 1] for n, seed in seeds.items()):
        raise BadUpdate("BOX", "the box holds another seed than the file commits to")
    return seeds


def _context(place: AttemptPlace, member: bytes, position: int) -> bytes:
    return place.raw + member + bytes((position,))
