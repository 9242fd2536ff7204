"""Whole numbers modulo p = 2^61 - 1, many at once, and polynomials through 0, 1, 2, … (LC-FILE-49). Pure.

A product of two has 122 bits and numpy's integers 64: each factor is split at bit 32. As 2^61 is 1, what lies above bit 61 is
added to what lies below.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic.masks import Keystream

P: Final = 2**61 - 1
Numbers = NDArray[np.uint64]
"""Each below p."""
_P, _BITS = np.uint64(P), np.uint64(61)
_2_TO_32: Final = np.array(2**32, np.uint64)
_HALF, _LOW, _29, _LOW_29, _3 = np.uint64(32), np.uint64(2**32 - 1), np.uint64(29), np.uint64(2**29 - 1), np.uint64(3)


def numbers_of(raw: bytes) -> Numbers:
    """LC-FILE-49: random bytes as numbers, eight each."""
    return np.asarray(np.frombuffer(raw, "<u8") & _P, np.uint64) % _P


def stream_numbers(key: bytes, count: int) -> Numbers:
    """LC-FILE-49: the first numbers of a key stream, at most 2^17."""
    return numbers_of(Keystream(key).take(8 * count))


def whole(value: int) -> Numbers:
    """Any integer as a number."""
    return np.array([value % P], np.uint64)


def signed(number: int) -> int:
    """LC-FILE-49: a number as the integer nearest to 0 that it stands for."""
    return number - P if number > P // 2 else number


def folded(a: Numbers) -> Numbers:
    """Modulo p, of what is below 2^64."""
    a = (a & _P) + (a >> _BITS)
    return a - _P * (a >= _P)


def add(a: Numbers, b: Numbers) -> Numbers:
    return folded(a + b)


def subtract(a: Numbers, b: Numbers) -> Numbers:
    return folded(a + (_P - b))


def multiply(a: Numbers, b: Numbers) -> Numbers:
    high_a, low_a, high_b, low_b = a >> _HALF, a & _LOW, b >> _HALF, b & _LOW
    middle, low = high_a * low_b + low_a * high_b, low_a * low_b
    return folded(((high_a * high_b) << _3) + (middle >> _29) + ((middle & _LOW_29) << _HALF) + (low & _P) + (low >> _BITS))


def total(a: Numbers) -> Numbers:
    """Sums over the last axis, of at most 2^29 numbers."""
    return add(folded((a & _LOW).sum(axis=-1)), multiply(folded((a >> _HALF).sum(axis=-1)), _2_TO_32))


def powers_of_two(count: int) -> Numbers:
    return np.uint64(1) << np.arange(count, dtype=np.uint64)


# --- polynomials ---------------------------------------------------------------------------------------------------------------


def weights(last: int, at: int) -> Numbers:
    """What the values at 0 to `last` of a polynomial of degree `last` count in its value at `at` (Lagrange)."""
    before, behind = [1], [1]
    for k in range(last):
        before.append(before[-1] * (at - k) % P)
        behind.append(behind[-1] * (at - last + k) % P)
    return np.array([a * b * c % P for a, b, c in zip(before, reversed(behind), _inverses(last), strict=True)], np.uint64)


@lru_cache(8)
def _inverses(last: int) -> tuple[int, ...]:
    """Of the products of j - k over all k but j."""
    factorials = [1]
    for k in range(last):
        factorials.append(factorials[-1] * (k + 1) % P)
    return tuple(pow((-1) ** (last - j) * factorials[j] * factorials[last - j], -1, P) for j in range(last + 1))


@lru_cache(2)
def _further(last: int) -> Numbers:
    return np.stack([weights(last, at) for at in range(last + 1, 2 * last + 1)])


def values_at(values: Numbers, counted: Numbers) -> Numbers:
    """The value of each row's polynomial at the place that `counted` are the weights of."""
    return total(multiply(values, counted))


def extended(values: Numbers) -> Numbers:
    """The values at 0 to 2n of polynomials of degree n, of which each row has those at 0 to n."""
    last = values.shape[-1] - 1
    return np.concatenate([values, total(multiply(values[:, None, :], _further(last)))], axis=-1)
