"""Two contractors in collusion and an honest worker: how often the judges' default policy bans it.

Each of the two, of different roots, posts a job whose evaluator answers FALSE for the worker's model to (nearly) everybody. By
default a node confirms only what its own sandbox measured as FALSE in jobs of both. A corroborated case bans where more than half
of the judges confirm. The contractors let one seat of round one see the true loss: round two then seats up to 64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learningchain.chain.verification.committee import FIRST_ROUND, SECOND_ROUND


@dataclass(frozen=True, slots=True)
class Framing:
    """`verifiers` are the pool, of which `validators` are the judges; `jobs`: how many each contractor has under way at once."""

    verifiers: int
    validators: int
    two_rounds: bool = True
    jobs: int = 1


def measured(framing: Framing, already: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """How many of `already` validators sat in one of a contractor's committees."""
    left = already.copy()
    for _ in range(framing.jobs):
        for seats in (FIRST_ROUND, SECOND_ROUND)[: 2 if framing.two_rounds else 1]:
            left -= rng.hypergeometric(left, framing.verifiers - left, min(seats, framing.verifiers))
    return already - left


def play(framing: Framing, cases: int, rng: np.random.Generator) -> int:
    """In how many of so many cases more than half of the judges measured FALSE for both."""
    first = measured(framing, np.full(cases, framing.validators), rng)
    return int((2 * measured(framing, first, rng) > framing.validators).sum())
