"""Sketches (LC-FILE-16, 17): what a few random rows say of an update that nobody has opened. Pure.

Rows are whole numbers, and so are updates and their masks: the sketch of a masked update less those of its masks is that of the
update. Products are float64, as those are fast; every sum on the way stays below 2^53, so it is exact in any order, on any machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic.masks import Keystream, Words, pieces
from learningchain.client.contracts.federation.arithmetic.places import ROWS, SKETCH

WIDTH: Final = 8192
"""LC-FILE-16: columns of a chunk."""
Sketches = NDArray[np.uint32]
"""One row for each vector, `SKETCH` numbers in it."""
_TILE: Final = 128
_TOGETHER: Final = 31
"""66 rows, 128 columns, 31 vectors: below 2^18 products."""
_OF_BITS: Final = (0.0, 0.0, 1.0, -1.0)
_OF_BYTE: Final = np.array([[_OF_BITS[byte >> shift & 3] for shift in (0, 2, 4, 6)] for byte in range(256)])


def write_rows(key: bytes, chunk: int, rows: NDArray[np.float64]) -> None:
    """LC-FILE-16: 64 rows of 8,192 coefficients, each 0, 1 or -1, where they are used: fresh memory of 4 MiB a chunk takes as
    long as what comes to stand there."""
    drawn = np.frombuffer(Keystream(key, chunk << 64).take(ROWS * WIDTH // 4), np.uint8)
    np.take(_OF_BYTE, drawn, axis=0, mode="clip", out=rows.reshape(-1, 4))


def _products(rows: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of each row with each vector. In tiles that no library of linear algebra gives to threads of its own: on a machine that
    others use, those wait for each other ten times as long as they compute."""
    tiles = rows.reshape(len(rows), -1, _TILE).transpose(1, 0, 2)
    parts = [values[at : at + _TOGETHER] for at in range(0, len(values), _TOGETHER)]
    found = [np.matmul(tiles, part.reshape(len(part), -1, _TILE).transpose(1, 2, 0)).sum(axis=0) for part in parts]
    return np.concatenate([np.zeros((len(rows), 0)), *found], axis=1).astype(np.int64)


def sketches(
    key: bytes, vectors: Sequence[Iterator[Words]], dims: int, reference: Iterable[NDArray[np.int64]] | None = None
) -> Sketches:
    """LC-FILE-17: of each vector. They come in pieces of `WIDTH`, as do the two rows of `reference` (LC-FILE-20)."""
    rows, values = np.zeros((SKETCH, WIDTH)), np.zeros((len(vectors), WIDTH))
    total, more = np.zeros((SKETCH, len(vectors)), np.int64), iter(reference or ())
    for chunk, (_, length) in enumerate(pieces(dims, WIDTH)):
        write_rows(key, chunk, rows[:ROWS])
        if reference is not None:
            rows[ROWS:, :length] = next(more)
        for row, vector in zip(values, vectors, strict=True):
            row[:length] = next(vector)
            row[length:] = 0
        total = total + _products(rows, values) & 0xFFFFFFFF
    return np.ascontiguousarray(total.T.astype(np.uint32))


def in_chunks(values: Words) -> Iterator[Words]:
    """A vector that lies in memory, or in a file that the system maps."""
    return (values[at : at + length] for at, length in pieces(len(values), WIDTH))


def unmasked_sketches(masked: Sketches, masks: Sequence[Sketches]) -> NDArray[np.int64]:
    """LC-FILE-17: of the updates, signed."""
    left = np.array(masked)
    for mask in masks:
        left -= mask
    return left.view(np.int32).astype(np.int64)


def part_bytes(masks: Sketches) -> bytes:
    """LC-FILE-22: what stage 1 pins of one mask: its sketches of every file that is judged, in the order of the commitments."""
    return masks.astype("<u4").tobytes()


def read_part(raw: bytes, files: int) -> Sketches:
    """LC-FILE-22. Raises ValueError."""
    if len(raw) != 4 * SKETCH * files:
        raise ValueError(f"the sketches of {files} files are {4 * SKETCH * files} bytes, not {len(raw)}")
    return np.frombuffer(raw, "<u4").reshape(files, SKETCH)
