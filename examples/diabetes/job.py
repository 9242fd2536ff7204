#!/usr/local/bin/python3
"""How far diabetes will have gone within a year (25 to 346): linear regression over ten measurements of a patient."""

from collections.abc import Iterator
from random import Random

from learningchain.examples.tabular import Model, Row, dot, main


def train(rows: list[Row], truths: list[float], rng: Random) -> Iterator[Model]:
    model = [0.0] * len(rows[0])
    for step in range(60):
        for i in rng.sample(range(len(rows)), len(rows)):
            miss = dot(model, rows[i]) - truths[i]
            model = [weight - miss * x / (6 + step) for weight, x in zip(model, rows[i], strict=True)]
        yield model


def loss(model: Model, row: Row, truth: float) -> float:
    return (dot(model, row) - truth) ** 2


def answer(model: Model, row: Row) -> tuple[None, float]:
    return None, dot(model, row)


if __name__ == "__main__":
    main(train, loss, answer)
