"""Exact discrete Gaussian noise (LC-FILE-36 to LC-FILE-39) from a key: who has it has the same noise. Pure, in whole numbers.

Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (2020), algorithms 1 to 3, with a scale of the Laplace
distribution that is sigma itself: so |Y| - sigma^2/t is a whole number, and every probability exp(-p/q) has small p and q.

Each coordinate goes through the stages by itself; a *wave* gives one word of the key stream to each that has not ended:

    START --U, sign--> LAPLACE exp(-U/s) --> GEOMETRIC exp(-1), V times --> SQUARE exp(-1/2), a^2 times --> CROSS exp(-b/s), a times
       ^                                                                                                         |
       +---- whoever fails a stage, GEOMETRIC apart: that ends V ------------------------------------  REST exp(-b^2/2s^2) --> ends
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic.masks import Keystream, pieces
from learningchain.client.contracts.federation.arithmetic.places import CQ

_START, _LAPLACE, _GEOMETRIC, _SQUARE, _CROSS, _REST, _END = range(7)
_MAX = np.uint64(2**64 - 1)
MAX_DP = 8_000
"""LC-FED-7: largest dp_milli."""


def sigma_of(dp_milli: int) -> int:
    """LC-FILE-36: in units of an update's numbers."""
    if not 1 <= dp_milli <= MAX_DP:
        raise ValueError(f"dp_milli is 1 to {MAX_DP:,}, not {dp_milli}")
    return dp_milli * CQ // 1000


def noise(key: bytes, sigma: int, dims: int) -> Iterator[NDArray[np.int64]]:
    """LC-FILE-36: in pieces of `PIECE`, each from a part of the key stream of its own. `sigma` is at most 2^25."""
    return (_Lanes(sigma, length).run(Keystream(key, chunk << 64)) for chunk, (_, length) in enumerate(pieces(dims)))


class _Lanes:
    """The coordinates of one piece, each with its stage and its trial, exp(-num/den), of which k - 1 draws were less."""

    def __init__(self, sigma: int, count: int) -> None:
        self._sigma = sigma
        self._stage = np.zeros(count, np.int8)
        self._k, self._num, self._den = (np.ones(count, np.uint64) for _ in range(3))
        self._u, self._v, self._a, self._b, self._left = (np.zeros(count, np.int64) for _ in range(5))
        self._minus = np.zeros(count, bool)
        self._restart(np.arange(count))

    def run(self, stream: Keystream) -> NDArray[np.int64]:
        waiting = np.arange(len(self._stage))
        while len(waiting):
            self._wave(waiting, np.frombuffer(stream.take(8 * len(waiting)), "<u8"))
            waiting = waiting[self._stage[waiting] != _END]
        found = self._u + self._sigma * self._v
        return np.where(self._minus, -found, found)

    def _wave(self, lanes: NDArray[np.intp], words: NDArray[np.uint64]) -> None:
        """LC-FILE-37, 38: a word that would make some remainders likelier is passed over. k is never 2^12: its chance is 1/k!."""
        below = self._k[lanes] * self._den[lanes]
        taken = words <= _MAX - (_MAX - below + np.uint64(1)) % below
        lanes, drawn = lanes[taken], (words % below)[taken]
        start = self._stage[lanes] == _START
        self._begin(lanes[start], drawn[start].astype(np.int64))
        less = drawn < self._num[lanes]
        self._k[lanes[less & ~start]] += np.uint64(1)
        ended = lanes[~less & ~start]
        self._decide(ended, self._k[ended] % np.uint64(2) == 1)

    def _begin(self, lanes: NDArray[np.intp], drawn: NDArray[np.int64]) -> None:
        self._minus[lanes], self._u[lanes], self._v[lanes] = drawn % 2 == 1, drawn // 2, 0
        self._try(lanes, _LAPLACE, self._u[lanes], self._sigma)

    def _decide(self, lanes: NDArray[np.intp], passed: NDArray[np.bool_]) -> None:
        """LC-FILE-39: a trial of each ended."""
        stage = self._stage[lanes]
        self._restart(lanes[~passed & (stage != _GEOMETRIC)])
        self._v[lanes[passed & (stage == _GEOMETRIC)]] += 1
        self._try(lanes[passed & ((stage == _LAPLACE) | (stage == _GEOMETRIC))], _GEOMETRIC, 1, 1)
        drawn = lanes[~passed & (stage == _GEOMETRIC)]
        zero = self._minus[drawn] & (self._u[drawn] == 0) & (self._v[drawn] == 0)
        self._restart(drawn[zero])
        squares = np.concatenate([self._measure(drawn[~zero]), self._one_less(lanes[passed & (stage == _SQUARE)])])
        more = self._left[squares] > 0
        self._try(squares[more], _SQUARE, 1, 2)
        crossing = squares[~more]
        self._left[crossing] = self._a[crossing]
        crosses = np.concatenate([crossing, self._one_less(lanes[passed & (stage == _CROSS)])])
        more = self._left[crosses] > 0
        self._try(crosses[more], _CROSS, self._b[crosses[more]], self._sigma)
        rest = crosses[~more]
        self._try(rest, _REST, self._b[rest] ** 2, 2 * self._sigma**2)
        self._stage[lanes[passed & (stage == _REST)]] = _END

    def _measure(self, lanes: NDArray[np.intp]) -> NDArray[np.intp]:
        """|Y| = U + s V lies a whole s and b away from s."""
        away = np.abs(self._u[lanes] + self._sigma * (self._v[lanes] - 1))
        self._a[lanes], self._b[lanes] = away // self._sigma, away % self._sigma
        self._left[lanes] = self._a[lanes] ** 2
        return lanes

    def _one_less(self, lanes: NDArray[np.intp]) -> NDArray[np.intp]:
        self._left[lanes] -= 1
        return lanes

    def _restart(self, lanes: NDArray[np.intp]) -> None:
        self._try(lanes, _START, 0, 2 * self._sigma)

    def _try(self, lanes: NDArray[np.intp], stage: int, num: int | NDArray[np.int64], den: int) -> None:
        self._stage[lanes], self._k[lanes], self._num[lanes], self._den[lanes] = stage, 1, num, den
