"""Digits of scikit-learn, 1,797 of 8 x 8, and a network of 64, 32 and 10 units: 2,410 parameters, float32, in numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

SHAPES = ((64, 32), (32,), (32, 10), (10,))
DIMS = sum(int(np.prod(shape)) for shape in SHAPES)
CLASSES = 10
REFERENCE, MEASURED, REPORTED = 97, 100, 200
STEPS, BATCH, RATE = 12, 32, 0.3
Floats = NDArray[np.float64]
Model = NDArray[np.float32]


@dataclass(frozen=True)
class Examples:
    x: Floats
    y: NDArray[np.int64]

    def taken(self, places: NDArray[np.int64]) -> Examples:
        return Examples(self.x[places], self.y[places])


@dataclass(frozen=True)
class Problem:
    """`owners`: each one's own; `reference` is the sponsor's, `hidden` the panel's, `reported` nobody's."""

    owners: list[Examples]
    reference: Examples
    hidden: Examples
    reported: Examples
    initial: Model


@cache
def digits() -> Examples:
    found = load_digits()
    return Examples(found.data.astype(np.float64) / 16, found.target.astype(np.int64))


def problem(seed: int, owners: int, skew: float = 0.5) -> Problem:
    """Each class is dealt to the owners by a draw of Dirichlet(skew)."""
    rng = np.random.default_rng(seed)
    whole = digits()
    order = rng.permutation(len(whole.y))
    cuts = np.cumsum([REFERENCE, MEASURED, REPORTED])
    reference, hidden, reported, rest = (whole.taken(part) for part in np.split(order, cuts))
    dealt: list[list[int]] = [[] for _ in range(owners)]
    for digit in range(CLASSES):
        places = np.flatnonzero(rest.y == digit)
        shares = np.cumsum(rng.dirichlet([skew] * owners))[:-1]
        for owner, part in enumerate(np.split(places, (shares * len(places)).astype(int))):
            dealt[owner] += part.tolist()
    given = [rest.taken(np.array(places or [n], np.int64)) for n, places in enumerate(dealt)]
    start = [rng.normal(size=shape) * (2 / shape[0]) ** 0.5 if len(shape) == 2 else np.zeros(shape) for shape in SHAPES]
    return Problem(given, reference, hidden, reported, np.concatenate([part.ravel() for part in start]).astype(np.float32))


def _parts(model: Floats) -> list[Floats]:
    found, at = [], 0
    for shape in SHAPES:
        size = int(np.prod(shape))
        found.append(model[at : at + size].reshape(shape))
        at += size
    return found


def _forward(model: Floats, x: Floats) -> tuple[Floats, Floats]:
    w1, b1, w2, b2 = _parts(model)
    hidden = np.maximum(x @ w1 + b1, 0)
    scores = hidden @ w2 + b2
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return hidden, scores / scores.sum(axis=1, keepdims=True)


def trained(base: Model, own: Examples, seed: int) -> Model:
    """What `local` leaves: some steps of stochastic gradient descent from the base, with the seed that all get."""
    rng, model = np.random.default_rng(seed), base.astype(np.float64)
    for _ in range(STEPS):
        batch = own.taken(rng.integers(0, len(own.y), BATCH))
        hidden, likely = _forward(model, batch.x)
        wrong = likely.copy()
        wrong[np.arange(BATCH), batch.y] -= 1
        back = wrong @ _parts(model)[2].T * (hidden > 0)
        slope = [batch.x.T @ back, back.sum(axis=0), hidden.T @ wrong, wrong.sum(axis=0)]
        model -= RATE / BATCH * np.concatenate([part.ravel() for part in slope])
    return model.astype(np.float32)


def slopes(model: Model, of: Examples) -> Floats:
    """A row for each example: the slope of its own loss."""
    parts, count = _parts(model.astype(np.float64)), len(of.y)
    hidden, wrong = _forward(model.astype(np.float64), of.x)
    wrong[np.arange(count), of.y] -= 1
    back = wrong @ parts[2].T * (hidden > 0)
    outer = [np.einsum("ni,nj->nij", a, b).reshape(count, -1) for a, b in ((of.x, back), (hidden, wrong))]
    return np.concatenate([outer[0], back, outer[1], wrong], axis=1)


def loss(model: Model, of: Examples) -> int:
    """In units of 1e-9, as the panel measures it."""
    likely = _forward(model.astype(np.float64), of.x)[1]
    return int(np.mean(-np.log(np.maximum(likely[np.arange(len(of.y)), of.y], 1e-9))) * 1e9)


def accuracy(model: Model, of: Examples) -> float:
    """In percent."""
    return 100 * float(np.mean(_forward(model.astype(np.float64), of.x)[1].argmax(axis=1) == of.y))
