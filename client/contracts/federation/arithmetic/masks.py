"""Key streams as numbers, masks and their sums (LC-FILE-9, 10, 33). Pure; all numbers are modulo 2^32."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic.places import MASKS
from learningchain.client.contracts.federation.arithmetic.tensors import PIECE

Words = NDArray[np.uint32]
_ZEROS = memoryview(bytes(1 << 20))


class Keystream:
    """LC-FILE-9: AES-256 in counter mode from counter block `first` on, read in order."""

    def __init__(self, key: bytes, first: int = 0) -> None:
        self._stream = Cipher(algorithms.AES(key), modes.CTR(first.to_bytes(16, "big"))).encryptor()

    def take(self, size: int) -> bytes:
        """The next bytes, at most 2^20."""
        if size > len(_ZEROS):
            raise ValueError(f"at most {len(_ZEROS)} bytes at once, not {size}")
        return self._stream.update(_ZEROS[:size])

    def words(self, count: int) -> Words:
        """The next u32, at most 2^18."""
        return np.frombuffer(self.take(4 * count), "<u4")


def pieces(dims: int, width: int = PIECE) -> Iterator[tuple[int, int]]:
    """Where each piece begins and how long it is."""
    return ((at, min(width, dims - at)) for at in range(0, dims, width))


def stream_pieces(seed: bytes, dims: int, width: int = PIECE) -> Iterator[Words]:
    """A mask."""
    stream = Keystream(seed)
    return (stream.words(length) for _, length in pieces(dims, width))


def masked(x: Iterable[NDArray[np.int32]], seeds: Mapping[int, bytes]) -> Iterator[Words]:
    """LC-FILE-10: x under the masks of these seeds. `x` comes in pieces of `PIECE`, the last one shorter."""
    streams = [Keystream(seeds[mask]) for mask in sorted(seeds)]
    for piece in x:
        covered = np.array(piece.view(np.uint32))
        for stream in streams:
            covered += stream.words(len(covered))
        yield covered


def unmasked(file: Words, seed: bytes) -> Iterator[NDArray[np.int32]]:
    """LC-FILE-10: x of an open update. Raises nothing: every key gives some x."""
    for (at, length), mask in zip(pieces(len(file)), stream_pieces(seed, len(file)), strict=True):
        yield (file[at : at + length] - mask).view(np.int32)


def mask_sum(seeds: Sequence[bytes], dims: int, noise: Iterable[NDArray[np.int64]] = ()) -> Iterator[Words]:
    """LC-FILE-33: the sum of one mask over the accepted, whose seeds these are, with noise where there is some (LC-FILE-36)."""
    streams = [Keystream(seed) for seed in seeds]
    noises = iter(noise)
    for _, length in pieces(dims):
        total = np.zeros(length, np.uint32)
        for stream in streams:
            total += stream.words(length)
        added = next(noises, None)
        yield total if added is None else total + added.astype(np.uint32)


def known_masks(position: int) -> tuple[int, int]:
    """LC-FILE-12: the two masks that the aggregator in this place (1, 2, 3) knows."""
    first, second = (mask for mask in range(1, MASKS + 1) if mask != position)
    return first, second
