#!/usr/local/bin/python3
"""Malignant (0) or benign (1): logistic regression over thirty measurements of the nuclei in a picture of cells."""

from collections.abc import Iterator
from math import exp, log1p
from random import Random

from learningchain.examples.tabular import Model, Row, dot, main


def train(rows: list[Row], truths: list[float], rng: Random) -> Iterator[Model]:
    model = [0.0] * len(rows[0])
    for step in range(40):
        for i in rng.sample(range(len(rows)), len(rows)):
            slope = 1 / (1 + exp(-dot(model, rows[i]))) - truths[i]
            model = [weight - slope * x / (2 + step / 4) for weight, x in zip(model, rows[i], strict=True)]
        yield model


def loss(model: Model, row: Row, truth: float) -> float:
    score = dot(model, row)
    return max(score, 0.0) - score * truth + log1p(exp(-abs(score)))


def answer(model: Model, row: Row) -> tuple[int, float]:
    """The score is the logarithm of the odds that it is benign: below 0 malignant, and far from 0 sure."""
    score = dot(model, row)
    return int(score > 0), score


if __name__ == "__main__":
    main(train, loss, answer)
