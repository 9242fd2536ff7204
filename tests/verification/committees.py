"""What committees decide that collude in part: the product's rules on committees that are drawn at random.

A cell is a pool of accounts that can judge, some of which collude. A job is one claim before one or two committees. Who sits is
drawn from a hypergeometric distribution, as `chain.verification.committee.draw` does with tickets of a hash
(test_verification_figures compares the two); what the opened votes come to is asked of `chain.verification.votes.verdict`, once for
each count of votes.

Colluders know one another, see who else commits and opens, and act last: how many of them open is what serves them best, and those
who do not open stay silent. So a colluding minority brings round two where round one would go against it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

import numpy as np

from learningchain.chain.verification.committee import FIRST_ROUND, SECOND_ROUND
from learningchain.chain.verification.scale import FloatKind, bound
from learningchain.chain.verification.votes import MEASURED, BallotCode, Column, Judgement, OpenedVote, Scale, is_last, verdict

CLAIMED = 100_000_000
"""A loss of 0.1."""
SCALE = Scale(FloatKind.F32, 0, CLAIMED)
SHOWN = {
    BallotCode.OK: CLAIMED,
    BallotCode.NEAR: CLAIMED + bound(SCALE.kind, CLAIMED),
    BallotCode.FALSE: 23 * CLAIMED,
}

Wishes = tuple[Judgement, ...]
"""What colluders want of a round, the best first. NONE is round two."""
PAID = (Judgement.OK, Judgement.NONE, Judgement.UNDECIDED, Judgement.REFUSED, Judgement.FALSE)
NOT_PAID = (Judgement.FALSE, Judgement.REFUSED, Judgement.UNDECIDED, Judgement.NONE, Judgement.OK)
SUSPENDED = (Judgement.FALSE, Judgement.NONE, Judgement.REFUSED, Judgement.UNDECIDED, Judgement.OK)


@dataclass(frozen=True, slots=True)
class Cell:
    """`silent` and `abstaining` are shares of honest seats; who opens votes `honest`, colluders `colluding` or nothing."""

    pool: int
    colluders: int
    silent: float = 0.02
    honest: BallotCode = BallotCode.FALSE
    colluding: BallotCode = BallotCode.OK
    wishes: Wishes = PAID
    abstaining: float = 0.0

    def seats(self, round_: int) -> int:
        return min(FIRST_ROUND if round_ == 1 else SECOND_ROUND, self.pool)


def false_claim(pool: int, colluders: int, silent: float = 0.02, honest: BallotCode = BallotCode.FALSE) -> Cell:
    """A claim below what its model reaches: the honest measure FALSE, or NOMODEL where the model is served to friends only."""
    return Cell(pool, colluders, silent, honest)


def accusation(pool: int, colluders: int, silent: float = 0.02, wishes: Wishes = NOT_PAID) -> Cell:
    """A true claim, which colluders measure as FALSE."""
    return Cell(pool, colluders, silent, BallotCode.OK, BallotCode.FALSE, wishes)


def opened(voter: int, code: BallotCode, neutral: bool = True) -> OpenedVote:
    column = Column(SHOWN[code], 16, (SHOWN[code],) * 16) if code in MEASURED else None
    return OpenedVote(voter.to_bytes(20, "big"), neutral, code, column)


@cache
def judged(seats: int, last: bool, counts: tuple[tuple[BallotCode, int], ...]) -> Judgement:
    """The verdict of the product on so many opened votes of neutral seats."""
    codes = [code for code, count in counts for _ in range(count)]
    return verdict([opened(i, code) for i, code in enumerate(codes)], seats, last, SCALE, False)[0]


def best(cell: Cell, round_: int, colluding: int, honest: int, abstaining: int) -> Judgement:
    """What comes of a round in which so many seats collude and so many honest ones opened, to vote or to abstain."""
    seats = cell.seats(round_)

    def outcome(opening: int) -> Judgement:
        last = is_last(round_, seats, cell.pool, opening + honest + abstaining)
        return judged(seats, last, ((cell.colluding, opening), (cell.honest, honest), (BallotCode.ABSTAIN, abstaining)))

    return min(map(outcome, range(colluding, -1, -1)), key=cell.wishes.index)


def play_round(cell: Cell, round_: int, jobs: int, rng: np.random.Generator) -> Counter[Judgement]:
    """So many committees of one round, and what they decide."""
    seats = cell.seats(round_)
    colluding = rng.hypergeometric(cell.colluders, cell.pool - cell.colluders, seats, jobs)
    present = seats - colluding - rng.binomial(seats - colluding, cell.silent)
    abstaining = rng.binomial(present, cell.abstaining)
    side = seats + 1
    keys, counts = np.unique((colluding * side + present) * side + abstaining, return_counts=True)
    found: Counter[Judgement] = Counter()
    for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
        rest, abstained = divmod(key, side)
        sitting, came = divmod(rest, side)
        found[best(cell, round_, sitting, came - abstained, abstained)] += count
    return found


def play(cell: Cell, jobs: int, rng: np.random.Generator) -> Counter[Judgement]:
    """So many jobs, and their verdicts. What round one leaves open goes before a committee of its own."""
    first = play_round(cell, 1, jobs, rng)
    if again := first.pop(Judgement.NONE, 0):
        first += play_round(cell, 2, again, rng)
    return first
