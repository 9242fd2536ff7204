"""The same probabilities without chance: sums over every committee. They check the Monte Carlo, to about twelve digits."""

from __future__ import annotations

from collections.abc import Iterator
from math import comb

from learningchain.chain.verification.votes import Judgement

from .committees import Cell, best


def _binomial(n: int, share: float) -> Iterator[tuple[int, float]]:
    for k in range(n + 1) if share else (0,):
        yield k, comb(n, k) * share**k * (1 - share) ** (n - k)


def of_round(cell: Cell, round_: int) -> dict[Judgement, float]:
    seats, found = cell.seats(round_), dict.fromkeys(Judgement, 0.0)
    for sitting in range(max(0, seats - cell.pool + cell.colluders), min(seats, cell.colluders) + 1):
        drawn = comb(cell.colluders, sitting) * comb(cell.pool - cell.colluders, seats - sitting) / comb(cell.pool, seats)
        for silent, missing in _binomial(seats - sitting, cell.silent):
            present = seats - sitting - silent
            for abstaining, share in _binomial(present, cell.abstaining):
                found[best(cell, round_, sitting, present - abstaining, abstaining)] += drawn * missing * share
    return found


def of_job(cell: Cell) -> dict[Judgement, float]:
    first = of_round(cell, 1)
    again = first.pop(Judgement.NONE)
    second = of_round(cell, 2)
    return {judgement: share + again * second[judgement] for judgement, share in first.items()}
