"""A verifier that evaluates a part of the examples, makes up the rest, and wants the fee.

Its ballot commits to every loss before the probe is drawn: 8 positions, and the greatest loss of each of 8 of the 16 subtrees, the
same places for all seats. At least 15 of these 16 must lie within 20 t of what the honest seats show. It says OK with the claimed
mean, which costs it no example: one made-up loss takes up the difference.

What it may know: the share that it evaluated; that losses of good models are mostly small; where another model of the same job
erred most, since hard examples are hard for all. Data: 360 handwritten digits (scikit-learn's) under five classifiers, and 10,000
losses of a made-up good classifier, nine tenths of them below 0.001. The position of each loss stands for nothing but itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from learningchain.chain.losses import SUBTREES, subtree_span
from learningchain.chain.verification.merits import PLACES, SPREADS
from learningchain.chain.verification.scale import FloatKind, tolerance
from learningchain.chain.verification.votes import Scale

UNIT = 10**9
LISTS = 1_000
"""Made-up lists of a cell; each is probed many times."""
SUBTREE_COUNT = 16

Losses = NDArray[np.int64]
Places = NDArray[np.bool_]
Guess = Callable[[Losses, Losses, Places], Losses]
"""From the true losses, those of another model, and where it evaluated, to what it commits to."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Losses of one model, and of another one on the same examples, in 1e-9."""

    name: str
    losses: Losses
    other: Losses


@cache
def digits() -> tuple[Evaluation, ...]:
    """Five classifiers, trained on the other 1,437 digits; of each the cross-entropy of every test example."""
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order] / 16.0, y[order]
    found = {}
    for model in (
        LogisticRegression(max_iter=2_000),
        MLPClassifier((32,), max_iter=300, random_state=0),
        RandomForestClassifier(100, random_state=0),
        KNeighborsClassifier(5),
        GaussianNB(),
    ):
        chances = model.fit(x[360:], y[360:]).predict_proba(x[:360])[np.arange(360), y[:360]]
        found[type(model).__name__] = np.ceil(-np.log(np.clip(chances, 1e-9, 1)) * UNIT).astype(np.int64)
    names = list(found)
    return tuple(Evaluation(name, found[name], found[names[i - 1]]) for i, name in enumerate(names))


@cache
def large() -> Evaluation:
    """10,000 losses exp(-9 + 3 z) of a good classifier; the other model errs on the same examples, by a factor exp(z)."""
    rng = np.random.default_rng(0)
    scale = -9.5 + 2.0 * rng.standard_normal(10_000)
    one, other = (np.exp(scale + rng.standard_normal(10_000)) for _ in range(2))
    return Evaluation("10,000 mostly near zero", np.ceil(one * UNIT).astype(np.int64), np.ceil(other * UNIT).astype(np.int64))


# --- what is made up ------------------------------------------------------------------------------------------------------------


def zeros(true: Losses, other: Losses, seen: Places) -> Losses:
    return np.where(seen, true, 0)


def medians(true: Losses, other: Losses, seen: Places) -> Losses:
    return np.where(seen, true, int(np.median(true[seen])) if seen.any() else 0)


def means(true: Losses, other: Losses, seen: Places) -> Losses:
    """What would make the claimed mean true."""
    left = int(true.sum() - true[seen].sum()) // max(1, int((~seen).sum()))
    return np.where(seen, true, left)


def others(true: Losses, other: Losses, seen: Places) -> Losses:
    """The other model's losses."""
    return np.where(seen, true, other)


GUESSES: dict[str, Guess] = {
    "zero": zeros,
    "the median of those": medians,
    "the mean that is left": means,
    "another model's": others,
}


def seen_at_random(evaluation: Evaluation, share: float, rng: np.random.Generator) -> Places:
    chosen = np.zeros(len(evaluation.losses), dtype=bool)
    chosen[rng.permutation(len(chosen))[: round(share * len(chosen))]] = True
    return chosen


def seen_where_hard(evaluation: Evaluation, share: float, rng: np.random.Generator) -> Places:
    """Where the other model's losses are greatest."""
    chosen = np.zeros(len(evaluation.losses), dtype=bool)
    chosen[np.argsort(-evaluation.other, kind="stable")[: round(share * len(chosen))]] = True
    return chosen


PLACES_SEEN = {"at random": seen_at_random, "where another model erred most": seen_where_hard}


# --- the probe ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lazy:
    """`widest`: the contractor posted the largest tolerance."""

    evaluation: Evaluation
    kind: FloatKind
    share: float
    chooses: str
    guess: str
    widest: bool = False


def limit(evaluation: Evaluation, kind: FloatKind, widest: bool) -> int:
    mean = -(-int(evaluation.losses.sum()) // len(evaluation.losses))
    scale = Scale(kind, tolerance(kind, 10**18, mean) if widest else 0, mean)
    return SPREADS * scale.spread([mean])


def matching(true: Losses, shown: Losses, most: int) -> tuple[Places, Places]:
    """Which positions, and which subtrees' greatest losses, would pass."""
    spans = [subtree_span(len(true), subtree) for subtree in range(SUBTREE_COUNT)]
    tops = [abs(int(true[slice(*span)].max()) - int(shown[slice(*span)].max())) <= most for span in spans]
    return np.abs(true - shown) <= most, np.array(tops)


def play(lazy: Lazy, jobs: int, rng: np.random.Generator) -> int:
    """In how many of so many jobs its fee is paid."""
    true, most = lazy.evaluation.losses, limit(lazy.evaluation, lazy.kind, lazy.widest)
    lists = LISTS if lazy.chooses == "at random" else 1
    paid = 0
    for _ in range(lists):
        seen = PLACES_SEEN[lazy.chooses](lazy.evaluation, lazy.share, rng)
        good, tops = matching(true, GUESSES[lazy.guess](true, lazy.evaluation.other, seen), most)
        # Positions are drawn with, subtrees without repetition.
        right = rng.binomial(PLACES - SUBTREES, good.mean(), jobs // lists)
        right += rng.hypergeometric(int(tops.sum()), int((~tops).sum()), SUBTREES, jobs // lists)
        paid += int((right >= PLACES - 1).sum())
    return paid
