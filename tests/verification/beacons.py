"""A draw that somebody tries to choose: by the time of a last message, by withheld beacon secrets, by slots that time out.

A committee is drawn d blocks after what asks for it, with the beacon of that block (`windows.draw_delay`). Each block on the way
adds its proposer's secret. Proposers take turns in the order of their ids, so of d + 1 in a row one does not collude, and nobody
knows the beacon when the message has to be in. What is left to colluders are the last blocks before the draw where all of them are
theirs: each may leave its secret out (two beacons), and where slots may time out, the next of them can take the slot as well.

Colluders pick the time of their message so that the most of their own proposers come last, and then the beacon that seats the most
of them. Both rounds are chosen like this. The secrets left out and the slots timed out are in every block header.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import comb, factorial

import numpy as np
from numpy.typing import NDArray

from learningchain.chain.verification.votes import Judgement
from learningchain.chain.verification.windows import draw_delay

from .committees import Cell, best

HELD = 60
"""Blocks within which a last message can be held: W_O at a block a second."""


@dataclass(frozen=True, slots=True)
class Draw:
    """`adjacent`: the colluding validators have keys whose ids follow one another."""

    cell: Cell
    validators: int
    withhold: bool = False
    time_out: bool = False
    adjacent: bool = False

    @property
    def colluding(self) -> int:
        """A third of the validators would stop the chain: one less."""
        return (self.validators - 1) // 3

    def runs(self, jobs: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """How many colluding proposers in a row end at the best height for them within the time that a message can be held."""
        if not self.withhold:
            return np.zeros(jobs, dtype=np.int64)
        delay = draw_delay(self.validators)
        if self.adjacent:
            return np.full(jobs, min(self.colluding, delay))
        turns = np.tile(np.arange(self.validators) < self.colluding, (jobs, 1))
        turns = rng.permuted(turns, axis=1)
        heights = turns[:, np.arange(delay + HELD) % self.validators]
        run, longest = np.zeros(jobs, dtype=np.int64), np.zeros(jobs, dtype=np.int64)
        for column in range(heights.shape[1]):
            run = np.where(heights[:, column], run + 1, 0)
            longest = np.maximum(longest, run)
        return np.minimum(longest, delay)

    def beacons(self, run: int) -> float:
        """Two for each block of a run; with slots that time out, two for each colluder that may still take the slot."""
        return 2.0**run * (factorial(run) if self.time_out else 1)


def play(draw: Draw, jobs: int, rng: np.random.Generator) -> Counter[Judgement]:
    found: Counter[Judgement] = Counter({Judgement.NONE: jobs})
    for round_ in (1, 2):
        found += _round(draw, round_, found.pop(Judgement.NONE, 0), rng)
    return found


def _round(draw: Draw, round_: int, jobs: int, rng: np.random.Generator) -> Counter[Judgement]:
    cell, found = draw.cell, Counter[Judgement]()
    seats = cell.seats(round_)
    runs, counts = np.unique(np.concatenate([draw.runs(min(part, 20_000), rng) for part in _parts(jobs)]), return_counts=True)
    for run, count in zip(runs.tolist(), counts.tolist(), strict=True):
        sitting = _best_of(cell, seats, draw.beacons(run), count, rng)
        present = seats - sitting - rng.binomial(seats - sitting, cell.silent)
        keys, times = np.unique(sitting * (seats + 1) + present, return_counts=True)
        for key, many in zip(keys.tolist(), times.tolist(), strict=True):
            colluding, honest = divmod(key, seats + 1)
            found[best(cell, round_, colluding, honest, 0)] += many
    return found


def _parts(jobs: int) -> list[int]:
    """In parts that fit into memory."""
    return [20_000] * (jobs // 20_000) + [jobs % 20_000]


def _best_of(cell: Cell, seats: int, beacons: float, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The most colluders in any of so many committees: by the distribution of the greatest."""
    least = max(0, seats - cell.pool + cell.colluders)
    sitting = np.arange(least, min(seats, cell.colluders) + 1)
    share = np.array([hypergeometric(cell, seats, int(k)) for k in sitting])
    # From the top, since the chance of the rarest counts: 1 - (1 - tail)^beacons without losing its digits.
    tail = np.cumsum(share[::-1])[::-1]
    reached = -np.expm1(beacons * np.log1p(-np.minimum(tail, 1 - 1e-16)))
    reached[0] = 1.0
    picked = np.searchsorted(-reached, -rng.random(count), side="right") - 1
    return sitting[picked]


def hypergeometric(cell: Cell, seats: int, sitting: int) -> float:
    return comb(cell.colluders, sitting) * comb(cell.pool - cell.colluders, seats - sitting) / comb(cell.pool, seats)
