"""Discrete Gaussian noise (LC-FILE-36 to LC-FILE-39): as by hand, distributed as it should be, equal at both aggregators."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from learningchain.client.contracts.federation.arithmetic import masks, noise
from learningchain.client.contracts.federation.arithmetic.noise import sigma_of
from learningchain.client.contracts.federation.arithmetic.places import CQ, noise_key
from tests.unit.federation_kit import PLACE, prg, signed, tagged


class Coordinate:
    """The chapter's stages of one coordinate, as what it still has to try."""

    def __init__(self, sigma: int) -> None:
        self.sigma = sigma
        self.restart()

    def restart(self) -> None:
        self.name = "start"
        self.end: int | None = None

    def word(self, w: int) -> None:
        below = 2 * self.sigma if self.name == "start" else self.i * self.den
        if w >= 2**64 - 2**64 % below:
            return
        drawn = w % below
        if self.name == "start":
            self.minus, self.u, self.v = drawn % 2, drawn // 2, 0
            self.start("laplace", self.u, self.sigma)
        elif drawn < self.num:
            self.i += 1
        else:
            self.ended(self.i % 2 == 1)

    def start(self, name: str, num: int, den: int) -> None:
        self.name, self.num, self.den, self.i = name, num, den, 1

    def ended(self, holds: bool) -> None:
        s = self.sigma
        if self.name == "geometric":
            if holds:
                self.v += 1
                self.start("geometric", 1, 1)
                return
            if self.minus and self.u == self.v == 0:
                self.restart()
                return
            self.a, self.b = divmod(abs(self.u + s * self.v - s), s)
            self.left = [(1, 2)] * self.a**2 + [(self.b, s)] * self.a + [(self.b**2, 2 * s**2)]
        elif not holds:
            self.restart()
            return
        elif self.name == "laplace":
            self.start("geometric", 1, 1)
            return
        if self.left:
            self.start("rest", *self.left.pop(0))
        else:
            self.end = -(self.u + s * self.v) if self.minus else self.u + s * self.v


def by_hand(key: bytes, sigma: int, count: int) -> list[int]:
    lanes, at = [Coordinate(sigma) for _ in range(count)], 0
    stream = prg(key, 8 * count * 400)
    while waiting := [lane for lane in lanes if lane.end is None]:
        for lane in waiting:
            lane.word(int.from_bytes(stream[at : at + 8], "little"))
            at += 8
    return [lane.end for lane in lanes if lane.end is not None]


@pytest.mark.parametrize(("sigma", "count"), [(1, 200), (2, 200), (5, 100), (4_194, 60), (CQ, 60), (2**25, 40)])
def test_it_is_as_by_hand(sigma: int, count: int) -> None:
    key = bytes([sigma % 251]) * 32
    (found,) = noise.noise(key, sigma, count)
    assert found.tolist() == by_hand(key, sigma, count)


@pytest.mark.parametrize("sigma", [1, 3, 8])
def test_it_is_distributed_as_exp_of_minus_half_a_square(sigma: int) -> None:
    """Chi-squared over what is likely, at forty thousand draws: 5 deviations."""
    count = 40_000
    found = Counter(int(n) for piece in noise.noise(b"k" * 32, sigma, count) for n in piece)
    weight = {n: math.exp(-(n**2) / (2 * sigma**2)) for n in range(-12 * sigma, 12 * sigma + 1)}
    total = sum(weight.values())
    likely = [n for n in weight if count * weight[n] / total > 20]
    squares = sum((found[n] - count * weight[n] / total) ** 2 / (count * weight[n] / total) for n in likely)
    assert abs(squares - len(likely)) < 5 * (2 * len(likely)) ** 0.5
    assert set(found) <= set(weight)


def test_of_a_sigma_as_used() -> None:
    found = np.concatenate(list(noise.noise(b"n" * 32, CQ, 70_000))).astype(float) / CQ
    assert found.std() == pytest.approx(1, abs=0.015) and found.mean() == pytest.approx(0, abs=0.02)
    assert np.abs(found).max() < 7 and np.unique(found).size > 69_000


def test_pieces_have_streams_of_their_own() -> None:
    whole = list(noise.noise(b"n" * 32, 7, 65_536 + 10))
    assert [len(piece) for piece in whole] == [65_536, 10]
    assert whole[1].tolist() != whole[0][:10].tolist()
    (first,) = noise.noise(b"n" * 32, 7, 65_536)
    assert (first == whole[0]).all()


@pytest.mark.parametrize(("milli", "sigma"), [(1, 4_194), (1_000, CQ), (8_000, 2**25), (1_500, 6_291_456)])
def test_sigma_is_a_whole_number(milli: int, sigma: int) -> None:
    assert sigma_of(milli) == sigma


@pytest.mark.parametrize("milli", [0, -1, 8_001])
def test_sigma_has_bounds(milli: int) -> None:
    with pytest.raises(ValueError, match="1 to 8,000"):
        sigma_of(milli)


def test_two_aggregators_add_the_same_noise() -> None:
    """LC-FILE-36: it is made of the seeds, which both know, in the order of the commitments."""
    seeds = [bytes([n]) * 32 for n in (1, 2, 3)]
    key = noise_key(PLACE, 2, b"".join(seeds))
    assert key == tagged(b"lc/fed-noise", PLACE.chain, PLACE.within, b"\x02", *seeds)
    assert key not in (noise_key(PLACE, 1, b"".join(seeds)), noise_key(PLACE, 2, b"".join(seeds[::-1])))

    def summed() -> list[int]:
        return np.concatenate(list(masks.mask_sum(seeds, 9_000, noise.noise(key, 1_000, 9_000)))).tolist()

    clean = np.concatenate(list(masks.mask_sum(seeds, 9_000))).tolist()
    added = np.concatenate(list(noise.noise(key, 1_000, 9_000))).tolist()
    assert summed() == summed()
    assert [signed(a - b) for a, b in zip(summed(), clean, strict=True)] == added and min(added) < 0
