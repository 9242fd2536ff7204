"""The proof that an update is short (LC-FILE-51 to LC-FILE-53, 56, 57), by whom none of its values is learnt. Pure.

x stands in bits, and so does the *slack*, by which its square is less than it may be. Two things are claimed, weighed by challenge
numbers c that nobody knows before the masked bits are fixed, and proved as one sum of products, the *gates*:

    sum of c_(i+1) b_i (b_i - 1)  +  c_0 (sum of x_j^2 + slack - (2^30 - 1))  =  0

The gates lie in rows of N. A polynomial f_i goes through the left factors of row i, g_i through the right ones, each through a
random number at 0 besides; G is the sum of the f_i g_i. All of this is linear in what the file holds but for the products, so each
aggregator computes its *view* of a mask, and the sum of views shows f_i, g_i and G at one random place r. If G is right there it
is right everywhere, and its sum over the gates is the claim. The random numbers at 0 make what is shown random, too.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic.small.field import (
    Numbers,
    P,
    add,
    extended,
    multiply,
    powers_of_two,
    subtract,
    total,
    values_at,
    weights,
    whole,
)
from learningchain.client.contracts.federation.arithmetic.small.unit import LONGEST, H

VALUE: Final = 16
"""Bits of a value."""
SLACK: Final = 30
MAX_SMALL: Final = 1_023
"""LC-FILE-51: most values of a small model."""


class ProofShape(NamedTuple):
    """LC-FILE-51 to LC-FILE-53: how many numbers there are of what, for a model of `dims` values."""

    dims: int
    bits: int
    points: int
    """N: gates in a row."""
    rows: int
    """M"""
    size: int
    """L: numbers of the content."""

    @property
    def view(self) -> int:
        """Numbers of a view."""
        return 2 * self.rows + 2


def proof_shape(dims: int) -> ProofShape:
    if not 1 <= dims <= MAX_SMALL:
        raise ValueError(f"a small model has 1 to {MAX_SMALL:,} values, not {dims:,}")
    bits = VALUE * dims + SLACK
    points = 8 if bits + dims < 2_000 else 32
    rows = -(-(bits + dims) // points)
    return ProofShape(dims, bits, points, rows, bits + 2 * rows + 2 * points + 1)


def bits_of(x: NDArray[np.int64]) -> Numbers:
    """LC-FILE-51, of an x that is short enough."""
    slack = LONGEST - int(x.dot(x))
    if slack < 0 or x.max() >= H or x.min() < -H:
        raise ValueError("a value lies outside of its 16 bits, or the update is longer than it may be")
    values = (x + H).astype(np.uint64)[:, None] >> np.arange(VALUE, dtype=np.uint64)
    return np.concatenate([values.ravel(), np.uint64(slack) >> np.arange(SLACK, dtype=np.uint64)]) & np.uint64(1)


def values_of_bits(shape: ProofShape, bits: Numbers) -> Numbers:
    """LC-FILE-51: each 16 of them as one number, without the constant: of a mask, or of several summed, as of x + H."""
    return total(multiply(bits[: VALUE * shape.dims].reshape(shape.dims, VALUE), powers_of_two(VALUE)))


def content(shape: ProofShape, bits: Numbers, challenges: Numbers, blinds: Numbers) -> Numbers:
    """LC-FILE-53: what stands in the file under three masks. `blinds`: 2 M random numbers, used for this alone."""
    left, right = extended(_polynomials(shape, bits, challenges, blinds, masked=True)).reshape(2, shape.rows, -1)
    return np.concatenate([bits, blinds, total(multiply(left, right).T)])


def view(shape: ProofShape, share: Numbers, challenges: Numbers, r: int, masked: bool) -> Numbers:
    """LC-FILE-56: of the masked numbers, which all constants enter, or of a mask."""
    bits, blinds, product = np.split(share, [shape.bits, shape.size - 2 * shape.points - 1])
    slack = total(multiply(bits[VALUE * shape.dims :], powers_of_two(SLACK)))
    if masked:
        slack = subtract(slack, whole(LONGEST))
    claim = add(total(product[1 : shape.points + 1]), multiply(challenges[:1], slack))
    shown = values_at(_polynomials(shape, bits, challenges, blinds, masked), weights(shape.points, r))
    return np.concatenate([claim, shown, values_at(product[None], weights(2 * shape.points, r))])


def is_proved(shape: ProofShape, opened: Numbers) -> bool:
    """LC-FILE-57"""
    left, right = opened[1:-1].reshape(2, shape.rows)
    return not opened[0] and bool(total(multiply(left, right)) == opened[-1])


def query(digest: bytes, shape: ProofShape) -> int:
    """LC-FILE-56: r, a place where the file says nothing directly."""
    known = 2 * shape.points + 1
    return known + int.from_bytes(digest, "big") % (P - known)


def _polynomials(shape: ProofShape, bits: Numbers, challenges: Numbers, blinds: Numbers, masked: bool) -> Numbers:
    """LC-FILE-52: the values of f_1 … f_M, g_1 … g_M at 0 … N."""
    x, minus = values_of_bits(shape, bits), bits
    if masked:
        x, minus = subtract(x, whole(H)), subtract(bits, whole(1))
    gates = np.zeros((2, shape.rows * shape.points), np.uint64)
    gates[0, : shape.bits + shape.dims] = np.concatenate([multiply(challenges[1:], bits), multiply(challenges[:1], x)])
    gates[1, : shape.bits + shape.dims] = np.concatenate([minus, x])
    return np.concatenate([blinds[:, None], gates.reshape(2 * shape.rows, shape.points)], axis=1)
