#!/usr/local/bin/python3
# ruff: noqa: T201
"""A job that sorts sentences (container contract, version 2): a classifier on top of vectors of a language model.

In the image this file is `/lc/job`; the language model lies in `/lc/minilm` and stays as it is. Sentences come as a published data
set that the job has under the name `sentences`: `train.csv` and `eval.csv`, a sentence and the number of its class on each line.

    train     learns the classifier, beginning with small random weights drawn by the job's seed
    evaluate  writes the model's loss on each sentence of eval.csv: its cross-entropy
    predict   answers rows `["a sentence"]` with the class and by how much its score stands above the next one's

A model is the weights, as little-endian doubles: 385 for each class. Vectors are computed with 32-bit floats, whose sums differ
between kinds of processors in the sixth digit: post with `--float-kind f32`, and register a winner with a tolerance of 100,000
(0.0001).
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from learningchain.examples.digits.job import (
    BAD_INPUT,
    FAILED,
    MODEL_INVALID,
    Failure,
    UnfitRow,
    call,
    number,
    read_bounded,
)
from learningchain.examples.sentences.encoder import WIDTH, Encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]

STEPS, RATE, DECAY = 400, 4.0, 1e-3
MAX_CLASSES, MAX_DATA_BYTES, MAX_SENTENCE, MAX_ROWS = 100, 8 << 20, 2_000, 256
MAX_LOSS = 1_000.0


def read_sentences(path: Path) -> tuple[list[str], NDArray[np.int64]]:
    """Raises Failure(FAILED)."""
    try:
        rows = list(csv.reader(io.StringIO(read_bounded(path, MAX_DATA_BYTES).decode())))
        return [row[0][:MAX_SENTENCE] for row in rows], np.array([int(row[1]) for row in rows])
    except (ValueError, IndexError, csv.Error) as problem:
        raise Failure(FAILED, f"{path} is no list of sentences and classes: {problem}") from None


def log_chances(weights: Doubles, vectors: Doubles) -> Doubles:
    scores = vectors @ weights[:, :WIDTH].T + weights[:, WIDTH]
    scores -= scores.max(axis=1, keepdims=True)
    sums: Doubles = np.exp(scores).sum(axis=1, keepdims=True)
    return np.subtract(scores, np.log(sums))


def losses(weights: Doubles, vectors: Doubles, classes: NDArray[np.int64]) -> Doubles:
    """Raises Failure(MODEL_INVALID) where the model has too few classes, or yields no numbers."""
    if classes.min() < 0 or classes.max() >= len(weights):
        raise Failure(MODEL_INVALID, f"the model has {len(weights)} classes, the sentences more")
    with np.errstate(all="ignore"):
        each: Doubles = np.maximum(-log_chances(weights, vectors)[np.arange(len(classes)), classes], 0.0)
    if not np.isfinite(each).all() or each.max() > MAX_LOSS:
        raise Failure(MODEL_INVALID, "the model's loss is no finite number")
    return each


def fit(vectors: Doubles, classes: NDArray[np.int64], seed: int) -> Doubles:
    """Gradient descent with momentum on the mean cross-entropy."""
    weights = np.random.default_rng(seed).normal(0, 0.01, (int(classes.max()) + 1, WIDTH + 1))
    ones, speed = np.hstack([vectors, np.ones((len(vectors), 1))]), np.zeros_like(weights)
    for step in range(1, STEPS + 1):
        slope = np.exp(log_chances(weights, vectors))
        slope[np.arange(len(classes)), classes] -= 1.0
        speed = 0.9 * speed - RATE * 0.1 * (slope.T @ ones / len(classes) + DECAY * weights)
        weights += speed
        if step % 40 == 0:
            loss = float(losses(weights, vectors, classes).mean())
            print("LC " + json.dumps({"step": step, "of": STEPS, "loss": round(loss, 6)}), flush=True)
    return weights


def given_model(lc: Path) -> Doubles:
    path, each = lc / "in/model", 8 * (WIDTH + 1)
    size = path.stat().st_size
    if not 0 < size <= each * MAX_CLASSES or size % each:
        raise Failure(MODEL_INVALID, f"the model has {size} bytes, and not {each} for each of 1 to {MAX_CLASSES} classes")
    raw = read_bounded(path, each * MAX_CLASSES)
    weights = np.frombuffer(raw, "<f8").reshape(-1, WIDTH + 1).astype(np.float64)
    if not np.isfinite(weights).all():
        raise Failure(MODEL_INVALID, "the model holds weights that are not finite numbers")
    return weights


def encoded(lc: Path, sentences: list[str]) -> Doubles:
    return Encoder(lc / "minilm").vectors(sentences).astype(np.float64)


def train(lc: Path, job: dict[str, object]) -> None:
    sentences, classes = read_sentences(lc / "in/sets/sentences/train.csv")
    weights = fit(encoded(lc, sentences), classes, number(job, "seed", 1 << 64))
    (lc / "out/model").write_bytes(weights.astype("<f8").tobytes())


def evaluate(lc: Path) -> None:
    weights = given_model(lc)
    sentences, classes = read_sentences(lc / "in/sets/sentences/eval.csv")
    each = losses(weights, encoded(lc, sentences), classes)
    (lc / "out/losses").write_text("".join(f"{loss:.9f}\n" for loss in each))


def asked(raw: bytes, announced: int) -> list[str]:
    """Raises UnfitRow, Failure(BAD_INPUT)."""
    lines = raw.removesuffix(b"\n").split(b"\n")
    if len(lines) != announced:
        raise Failure(BAD_INPUT, f"{announced} rows were announced, the input has {len(lines)}")
    found = list[str]()
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise UnfitRow(len(found), "is not JSON") from None
        if not (isinstance(row, list) and len(row) == 1 and isinstance(row[0], str) and 0 < len(row[0]) <= MAX_SENTENCE):
            raise UnfitRow(len(found), f'is not ["a sentence of at most {MAX_SENTENCE} characters"]')
        found.append(row[0])
    return found


def predict(lc: Path) -> None:
    """Waits for one request and answers it. The end of the input instead: nobody asked."""
    weights, encoder = given_model(lc), Encoder(lc / "minilm")
    print('LC {"ready":1}', flush=True)
    if sys.stdin.readline() != "go\n":
        return
    request = json.loads(read_bounded(lc / "in/request.json", 1 << 20))
    challenge = number(request, "challenge", 1 << 64)
    try:
        sentences = asked(read_bounded(lc / "in/input", MAX_DATA_BYTES), number(request, "rows", MAX_ROWS + 1))
    except UnfitRow as unfit:
        (lc / "out/answer").write_text(f"unfit {unfit.row}\n")
    else:
        vectors = encoder.vectors(sentences).astype(np.float64)
        classes, margins = best(weights, vectors)
        # The changed rows are known to nobody before the draw: who answers their sum has the model, and ran it.
        _, changed = best(weights, vectors * (1 + (1 + challenge % 997) / 100_000))
        lines = [f"{found} {margin:.9f}\n" for found, margin in zip(classes, margins, strict=True)]
        (lc / "out/answer").write_text("".join(lines) + f"check {math.fsum(changed):.9f}\n")
    print('LC {"done":1}', flush=True)


def best(weights: Doubles, vectors: Doubles) -> tuple[NDArray[np.int64], Doubles]:
    """The class of each row, and by how much its score stands above the next one's; a model of one class has no next."""
    scores = vectors @ weights[:, :WIDTH].T + weights[:, WIDTH]
    ordered = np.sort(scores, axis=1)
    return scores.argmax(axis=1), ordered[:, -1] - ordered[:, -2] if len(weights) > 1 else ordered[:, -1]


def main(argv: list[str], root: Path = Path("/")) -> int:
    """Runs one phase and returns the exit code. `root` is the image's root directory; tests use another."""
    phases = {
        "train": lambda job, lc: train(lc, job),
        "evaluate": lambda _, lc: evaluate(lc),
        "predict": lambda _, lc: predict(lc),
    }
    return call(argv, phases, root)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
