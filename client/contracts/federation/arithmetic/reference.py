"""The two rows of a reference (LC-FILE-18 to LC-FILE-20): the direction of the sponsor's own update, and what is new in it. Pure.

Vectors are read in pieces, as often as they are needed, so that nothing derived from them lies in memory as a whole. All are
checked to be *plain* first: then the dot product of any two fits int64, whatever a stranger has put in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic.masks import Keystream, pieces
from learningchain.client.contracts.federation.arithmetic.places import CQ, DELTAS, dither_key
from learningchain.client.contracts.federation.arithmetic.rows import WIDTH

Vector = Callable[[int, int], NDArray[np.int64]]
"""Numbers from a place on, so many."""
GREATEST = 2**23
LONGEST = 2 * CQ**2
SHIFT = 16


def is_plain(x: NDArray[np.int32]) -> bool:
    """LC-FILE-18: each |x_j| <= 2^23, and 0 < |x|^2 <= 2 CQ^2."""
    square = 0
    for at, length in pieces(len(x)):
        piece = x[at : at + length].astype(np.int64)
        if piece.max() > GREATEST or piece.min() < -GREATEST:
            return False
        square += int(piece.dot(piece))
    return 0 < square <= LONGEST


def is_reference(x: NDArray[np.int32]) -> bool:
    """LC-FILE-18, 21: plain, and no coordinate has more than a sixteenth of its square: points would show that of the members."""
    return is_plain(x) and 16 * max(int(x.max()) ** 2, int(x.min()) ** 2) <= dot(_vector(x), _vector(x), len(x))


def dot(a: Vector, b: Vector, dims: int) -> int:
    """Of vectors that are no longer than plain ones."""
    return sum(int(a(*piece).dot(b(*piece))) for piece in pieces(dims))


def new_direction(rho: NDArray[np.int32], deltas: Sequence[NDArray[np.int32]]) -> Vector:
    """LC-FILE-19: rho without what the last sums had, the latest one first; rho itself where little is left."""
    dims, basis = len(rho), [_vector(delta) for delta in deltas[:DELTAS] if is_plain(delta)]
    found: list[tuple[Vector, int]] = []
    for vector in [*basis, _vector(rho)]:
        for other, square in found:
            vector = _less(vector, (dot(vector, other, dims) << SHIFT) // square, other)
        left = dot(vector, vector, dims)
        found += [(vector, left)] if left else []
        last = vector, left
    return last[0] if 64 * last[1] >= dot(_vector(rho), _vector(rho), dims) else _vector(rho)


def reference_rows(key: bytes, rho: NDArray[np.int32], deltas: Sequence[NDArray[np.int32]]) -> Iterator[NDArray[np.int64]]:
    """LC-FILE-20: both rows in chunks of `WIDTH`; a dot product with one is 256 times that with its direction of length 1."""
    dims = len(rho)
    ways = [(way, isqrt(dot(way, way, dims))) for way in (_vector(rho), new_direction(rho, deltas))]
    dithers = [Keystream(dither_key(key, row)) for row in (1, 2)]
    for at, length in pieces(dims, WIDTH):
        rows = [
            ((way(at, length) << 24) // norm + np.frombuffer(dither.take(2 * length), "<u2")) >> SHIFT
            for (way, norm), dither in zip(ways, dithers, strict=True)
        ]
        yield np.stack(rows)


def _vector(x: NDArray[np.int32]) -> Vector:
    return lambda at, length: x[at : at + length].astype(np.int64)


def _less(a: Vector, factor: int, b: Vector) -> Vector:
    """a - factor * b / 2^16, rounded towards what is less after the product."""
    return lambda at, length: a(at, length) - (factor * b(at, length) >> SHIFT)
