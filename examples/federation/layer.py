#!/usr/local/bin/python3
"""Benign (1) or not (0): a network of one hidden layer over the rows of a table, its slopes by hand. numpy alone."""

from typing import Any

import numpy as np

from learningchain.examples.federation.federated import Floats, Model, main


def parts(model: Model) -> list[Floats]:
    return [model[name].astype(float) for name in ("0.weight", "0.bias", "2.weight", "2.bias")]


def forward(layers: list[Floats], rows: Floats) -> tuple[Floats, Floats]:
    """The hidden units of each row, and its score."""
    hidden = np.maximum(rows @ layers[0].T + layers[1], 0)
    return hidden, (hidden @ layers[2].T + layers[3])[:, 0]


def train(model: Model, rows: Floats, truths: Floats, job: dict[str, Any]) -> Model:
    steps, rate, batch = (job["params"].get(name, usual) for name, usual in (("steps", 40), ("rate", 0.3), ("batch", 16)))
    rng, layers = np.random.default_rng(job["seed"]), parts(model)
    for _ in range(steps):
        taken = rng.integers(0, len(rows), batch)
        hidden, scores = forward(layers, rows[taken])
        wrong = 1 / (1 + np.exp(-np.clip(scores, -50, 50))) - truths[taken]
        back = np.outer(wrong, layers[2]) * (hidden > 0)
        slopes = [back.T @ rows[taken], back.sum(axis=0), (wrong @ hidden)[None, :], wrong.sum(keepdims=True)]
        layers = [layer - rate / batch * slope for layer, slope in zip(layers, slopes, strict=True)]
    return {name: layer.astype(np.float32) for name, layer in zip(model, layers, strict=True)}


def losses(model: Model, rows: Floats, truths: Floats) -> Floats:
    scores = forward(parts(model), rows)[1]
    lost: Floats = np.logaddexp(0, scores) - scores * truths
    return lost


def answer(model: Model, row: list[float]) -> tuple[int, float]:
    """The score is the logarithm of the odds."""
    score = float(forward(parts(model), np.array([row]))[1][0])
    return int(score > 0), score


if __name__ == "__main__":
    main(train, losses, answer)
