"""Pools with fewer than three neutral seats, where other finalists help: a hole of the rule, and what a symmetric rule would do.

Negative votes of finalists count only beside a neutral seat's negative vote and only where no neutral seat said OK. Their OK votes
count always: two colluding claimants that help a third one outvote the only neutral seat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from learningchain.chain.verification.committee import MIN_POOL, Committee, draw
from learningchain.chain.verification.votes import NEGATIVE, BallotCode, Judgement, OpenedVote, is_last, verdict

from .committees import NOT_PAID, PAID, SCALE, Wishes, opened

CANDIDATE = bytes(19) + b"\xff"


def committee(neutral: int) -> Committee:
    """Everybody of such a pool sits: the neutral ones first, then as many finalists as three seats want."""
    able = [i.to_bytes(20, "big") for i in range(MIN_POOL)]
    return draw([*able, CANDIDATE], {*able[neutral:], CANDIDATE}, CANDIDATE, (), 1, lambda identity: identity)


def symmetric(votes: Sequence[OpenedVote]) -> list[OpenedVote]:
    """Not the rule of the product: finalists' votes of either side count only beside a neutral one of the same side, and only where
    no neutral seat is on the other side."""
    neutral = {vote.code for vote in votes if vote.neutral}
    positive, negative = BallotCode.OK in neutral, not neutral.isdisjoint(NEGATIVE)

    def counts(vote: OpenedVote) -> bool:
        if vote.code == BallotCode.OK:
            return positive and not negative
        return vote.code not in NEGATIVE or (negative and not positive)

    return [vote for vote in votes if vote.neutral or counts(vote)]


@dataclass(frozen=True, slots=True)
class SmallPool:
    """`neutral` honest seats (1 or 2), each silent in `silent` of the rounds; the seats of finalists vote `helping` or nothing."""

    neutral: int
    honest: BallotCode
    helping: BallotCode
    wishes: Wishes
    silent: float = 0.02
    symmetric: bool = False


def false_claim(neutral: int, silent: float = 0.02, *, symmetric: bool = False) -> SmallPool:
    return SmallPool(neutral, BallotCode.FALSE, BallotCode.OK, PAID, silent, symmetric)


def true_claim(neutral: int, silent: float = 0.02, *, symmetric: bool = False) -> SmallPool:
    """Rivals, who help out, say FALSE or nothing of a true claim."""
    return SmallPool(neutral, BallotCode.OK, BallotCode.FALSE, NOT_PAID, silent, symmetric)


@cache
def judged(cell: SmallPool, round_: int, present: int, helping: int) -> Judgement:
    drawn = committee(cell.neutral)
    votes = [opened(i, cell.honest) for i in range(present)]
    votes += [opened(cell.neutral + i, cell.helping, neutral=False) for i in range(helping)]
    last = is_last(round_, len(drawn.seats), drawn.pool, len(votes))
    return verdict(symmetric(votes) if cell.symmetric else votes, len(drawn.seats), last, SCALE, False)[0]


def play(cell: SmallPool, jobs: int, rng: np.random.Generator) -> Counter[Judgement]:
    """Helpers see who opens and act last."""
    helpers = len(committee(cell.neutral).seats) - cell.neutral
    found: Counter[Judgement] = Counter({Judgement.NONE: jobs})
    for round_ in (1, 2):
        present = cell.neutral - rng.binomial(cell.neutral, cell.silent, found.pop(Judgement.NONE))
        for came, count in zip(*(part.tolist() for part in np.unique(present, return_counts=True)), strict=True):
            options = [judged(cell, round_, came, opening) for opening in range(helpers, -1, -1)]
            found[min(options, key=cell.wishes.index)] += count
        if not found[Judgement.NONE]:
            break
    return found
