#!/usr/local/bin/python3
"""A score for a loan, above 0 where it will rather be paid back: logistic regression over what an applicant says."""

from collections.abc import Iterator
from math import exp, log1p
from random import Random

from learningchain.examples.tabular import Model, Row, dot, main


def train(rows: list[Row], truths: list[float], rng: Random) -> Iterator[Model]:
    model = [0.0] * len(rows[0])
    for step in range(30):
        for i in rng.sample(range(len(rows)), len(rows)):
            slope = 1 / (1 + exp(-dot(model, rows[i]))) - truths[i]
            model = [0.9999 * weight - slope * x / (10 + 4 * step) for weight, x in zip(model, rows[i], strict=True)]
        yield model


def loss(model: Model, row: Row, truth: float) -> float:
    score = dot(model, row)
    return max(score, 0.0) - score * truth + log1p(exp(-abs(score)))


def answer(model: Model, row: Row) -> tuple[None, float]:
    """A number, so that a policy can draw the line: the logarithm of the odds that the loan is paid back."""
    return None, dot(model, row)


if __name__ == "__main__":
    main(train, loss, answer)
