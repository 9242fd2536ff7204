# ruff: noqa: T201
"""What the examples about tables share: the container contract around three functions of a job.

    main(train, loss, answer)

    train(rows, truths, rng)    yields the model, a list of numbers, each time that it learned a little more
    loss(model, row, truth)     how wrong the model is about one row
    answer(model, row)          (class, score) of a row, or (None, value) of a model that says numbers

In the image the job is `/lc/job`, this file is `/lc/learningchain/examples/tabular.py`, and beside the job lie `schema.json`, which
says what a row may hold, and the data, `train.csv` and `eval.csv`. The schema also makes features out of rows: a number becomes its
place between the least and the greatest one, a word of a list becomes a one among zeros, and the last feature is always 1.

Answers are the same to the last digit on every machine: they are sums of products, and `math.fsum` rounds a sum once. No
logarithm, no power, no library that adds in another order on another processor. So the least tolerance, 1, is the right one.
"""

from __future__ import annotations

import csv
import json
import math
import random
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

MODEL_INVALID, UNSUPPORTED, BAD_INPUT = 65, 64, 66
MAX_SCORE = 10**9
"""Of what can be answered, and of what is a loss."""
MAX_WEIGHT = 1e6

Model = list[float]
Row = list[float]
Train = Callable[[list[Row], list[float], random.Random], Iterable[Model]]
Loss = Callable[[Model, Row, float], float]
Answer = Callable[[Model, Row], tuple[int | None, float]]


class Stop(Exception):
    """The run ends with this exit code."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def dot(model: Model, row: Row) -> float:
    return math.fsum(map(float.__mul__, model, row))


def features(inputs: list[dict[str, Any]], values: Any, factor: float = 1.0) -> Row:
    """The features of one row, its numbers times `factor`. Raises Stop(BAD_INPUT)."""
    if not isinstance(values, list) or len(values) != len(inputs):
        raise Stop(BAD_INPUT, f"a row is a list of {len(inputs)} values")
    row: Row = []
    for field, value in zip(inputs, values, strict=True):
        if "values" in field:
            if value not in field["values"]:
                raise Stop(BAD_INPUT, f"{field['name']} is none of the schema's values")
            row += [float(value == one) for one in field["values"]]
        else:
            if type(value) not in (int, float) or not field["min"] <= value <= field["max"]:
                raise Stop(BAD_INPUT, f"{field['name']} must lie between {field['min']} and {field['max']}")
            row.append((value * factor - field["min"]) / (field["max"] - field["min"]))
    return [*row, 1.0]


def table(path: Path, inputs: list[dict[str, Any]]) -> tuple[list[Row], list[float]]:
    """Features and truths of a data file of the image: a line of names, then a row a line, the truth last."""
    with path.open(newline="") as file:
        return read_table(file, inputs)


def read_table(text: Iterable[str], inputs: list[dict[str, Any]]) -> tuple[list[Row], list[float]]:
    lines = list(csv.reader(text))[1:]
    words = ["values" in field for field in inputs]
    read = [[cell if word else float(cell) for cell, word in zip(line, words, strict=False)] for line in lines]
    return [features(inputs, values) for values in read], [float(line[-1]) for line in lines]


def load(path: Path, width: int) -> Model:
    """The model that somebody handed in. Raises Stop(MODEL_INVALID)."""
    try:
        model = json.loads(path.read_bytes())
        fits = isinstance(model, list) and len(model) == width and all(type(one) in (int, float) for one in model)
        if fits and all(abs(one) <= MAX_WEIGHT for one in model):
            return [float(one) for one in model]
    except (ValueError, RecursionError):
        pass
    raise Stop(MODEL_INVALID, f"a model is a JSON list of {width} numbers, at most {MAX_WEIGHT:g} in size")


def predict(lc: Path, inputs: list[dict[str, Any]], model: Model, answer: Answer) -> None:
    """Waits for one request and answers it. The end of the input instead: nobody asked."""
    print('LC {"ready":1}', flush=True)
    if sys.stdin.readline() != "go\n":
        return
    request = json.loads((lc / "in/request.json").read_bytes())
    rows = (lc / "in/input").read_bytes().removesuffix(b"\n").split(b"\n")
    if len(rows) != request["rows"]:
        raise Stop(BAD_INPUT, f"{request['rows']} rows were announced, the input has {len(rows)}")
    # The changed rows are known to nobody before the draw: who answers their sum has the model, and ran it.
    factor = 1 + (1 + request["challenge"] % 997) / 100_000
    lines, changed = [], []
    for number, row in enumerate(rows):
        try:
            values = json.loads(row)
            name, score = answer(model, features(inputs, values))
            changed.append(answer(model, features(inputs, values, factor))[1])
        except (ValueError, RecursionError, Stop) as problem:  # whoever gives it a value all the same is found out by this row
            print(f"row {number}: {problem}", file=sys.stderr)
            lines = [f"unfit {number}"]
            break
        lines.append(f"{score:.9f}" if name is None else f"{name} {score:.9f}")
    else:
        lines.append(f"check {math.fsum(changed):.9f}")
    (lc / "out/answer").write_text("".join(f"{line}\n" for line in lines))
    print('LC {"done":1}', flush=True)


def run(phase: str, lc: Path, train: Train, loss: Loss, answer: Answer) -> None:
    job = json.loads((lc / "in/job.json").read_bytes())
    inputs = json.loads((lc / "schema.json").read_bytes())["inputs"]
    rows, truths = table(lc / "eval.csv", inputs)
    if phase == "train":
        model: Model = []
        for step, model in enumerate(train(*table(lc / "train.csv", inputs), random.Random(job["seed"])), 1):
            mean = math.fsum(map(loss, [model] * len(rows), rows, truths)) / len(rows)
            print(f'LC {{"step":{step},"loss":{mean:.9f}}}', flush=True)
        (lc / "out/model").write_text(json.dumps(model))
        return
    model = load(lc / "in/model", len(rows[0]))
    if phase == "evaluate":
        losses = [min(loss(model, row, truth), MAX_SCORE - 1) for row, truth in zip(rows, truths, strict=True)]
        (lc / "out/losses").write_text("".join(f"{one:.9f}\n" for one in losses))
    else:
        predict(lc, inputs, model, answer)


def main(train: Train, loss: Loss, answer: Answer, lc: Path = Path("/lc")) -> None:
    """Runs the phase that the command line names, and ends the program. `lc`: another folder, in tests."""
    try:
        if sys.argv[1:] not in (["train"], ["evaluate"], ["predict"]):
            raise Stop(UNSUPPORTED, "this image knows train, evaluate and predict")
        run(sys.argv[1], lc, train, loss, answer)
    except Stop as stop:
        print(f"error: {stop}", file=sys.stderr)
        sys.exit(stop.code)
    sys.exit(0)
