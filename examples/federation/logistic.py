#!/usr/local/bin/python3
"""Malignant (0) or benign (1), lost (0) or paid back (1): logistic regression over a row, on an owner's own cases. numpy alone."""

from typing import Any

import numpy as np

from learningchain.examples.federation.federated import Floats, Model, main
from learningchain.examples.tabular import dot


def train(model: Model, rows: Floats, truths: Floats, job: dict[str, Any]) -> Model:
    steps, rate, batch = (job["params"].get(name, usual) for name, usual in (("steps", 100), ("rate", 2.0), ("batch", 16)))
    rng, weights = np.random.default_rng(job["seed"]), model["weights"].astype(float)
    for _ in range(steps):
        taken = rng.integers(0, len(rows), batch)
        slope = 1 / (1 + np.exp(-np.clip(rows[taken] @ weights, -50, 50))) - truths[taken]
        weights -= rate / batch * (slope @ rows[taken])
    return {"weights": weights.astype(np.float32)}


def losses(model: Model, rows: Floats, truths: Floats) -> Floats:
    scores: Floats = rows @ model["weights"].astype(float)
    lost: Floats = np.logaddexp(0, scores) - scores * truths
    return lost


def answer(model: Model, row: list[float]) -> tuple[int, float]:
    """The score is the logarithm of the odds that it is benign. It is a sum that is rounded once: the same on every machine."""
    score = dot(model["weights"].tolist(), row)
    return int(score > 0), score


if __name__ == "__main__":
    main(train, losses, answer)
