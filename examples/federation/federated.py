# ruff: noqa: T201
"""What the federated examples share: the container contract around three functions of a job.

    main(train, losses, answer)

    train(model, rows, truths, job)   the model that an owner's rows make of this one; `job` is job.json
    losses(model, rows, truths)       how wrong the model is about each row
    answer(model, row)                (class, score) of a row, or (None, value) of a model that says numbers

A model is arrays of float32 by their names, in a file of the form safetensors with names and shapes of the initial model.
In the image the job is `/lc/job`, this file and `tabular.py` lie in `/lc/learningchain/examples`, beside the job `schema.json`,
`shapes.json` and `eval.csv`. An owner's data are tables: a line of names, then a row a line, what the schema names and the truth.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learningchain.examples.tabular import MAX_SCORE, MODEL_INVALID, UNSUPPORTED, Stop, predict, read_table

Model = dict[str, NDArray[np.float32]]
Floats = NDArray[np.float64]
Train = Callable[[Model, Floats, Floats, dict[str, Any]], Model]
Losses = Callable[[Model, Floats, Floats], Floats]
Answer = Callable[[Model, list[float]], tuple[int | None, float]]


def model_bytes(model: Model) -> bytes:
    """The file of a model."""
    header, at = {}, 0
    for name, values in model.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, at + 4 * values.size]}
        at += 4 * values.size
    text = json.dumps(header, separators=(",", ":")).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(values.astype("<f4").tobytes() for values in model.values())


def read_model(raw: bytes, shapes: dict[str, list[int]]) -> Model:
    """Raises Stop(MODEL_INVALID) for anything but a model of these shapes, of finite numbers."""
    blank = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    head = model_bytes(blank)[: -4 * sum(values.size for values in blank.values())]
    values = np.frombuffer(raw[len(head) :], "<f4") if raw.startswith(head) and (len(raw) - len(head)) % 4 == 0 else np.zeros(0)
    if values.size != sum(one.size for one in blank.values()) or not np.isfinite(values).all():
        raise Stop(
            MODEL_INVALID, f"a model has the tensors {', '.join(shapes)}, in the form of the initial one, and finite numbers"
        )
    cuts = np.cumsum([one.size for one in blank.values()])[:-1]
    return {name: part.reshape(shapes[name]).copy() for name, part in zip(shapes, np.split(values, cuts), strict=True)}


def models_in(raw: bytes, shapes: dict[str, list[int]]) -> list[bytes]:
    """The files of several models, which lie one behind the other."""
    size = len(model_bytes({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}))
    return [raw[at : at + size] for at in range(0, len(raw), size)]


def tables(paths: list[Path], inputs: list[dict[str, Any]]) -> tuple[Floats, Floats]:
    """Features and truths of files, one after the other. Raises Stop, ValueError, OSError."""
    found = [read_table(path.read_text().splitlines(), inputs) for path in paths]
    rows, truths = [row for part, _ in found for row in part], [truth for _, part in found for truth in part]
    if not rows:
        raise Stop(1, "there is no row to learn from")
    return np.array(rows), np.array(truths)


def run(phase: str, lc: Path, train: Train, losses: Losses, answer: Answer) -> None:
    job = json.loads((lc / "in/job.json").read_bytes())
    inputs = json.loads((lc / "schema.json").read_bytes())["inputs"]
    shapes = json.loads((lc / "shapes.json").read_bytes())
    if phase == "evaluates":
        found = [
            lines_of(one, shapes, losses, *eval_rows(lc, inputs)) for one in models_in((lc / "in/models").read_bytes(), shapes)
        ]
        (lc / "out/losses").write_text("\n".join(found))
        return
    model = read_model((lc / "in/model").read_bytes(), shapes)
    if phase == "predict":
        predict(lc, inputs, model, answer)  # type: ignore[arg-type]
        return
    rows, truths = tables(sorted((lc / "in/data").rglob("*.csv")), inputs) if phase == "local" else eval_rows(lc, inputs)
    # Of the model as it came, in `local` too: the owner sees how the common model does on its own rows.
    each = losses(model, rows, truths)
    if phase == "local":
        (lc / "out/model").write_bytes(model_bytes(train(model, rows, truths, job)))
    (lc / "out/losses").write_text(lines(each))
    print(f'LC {{"step":1,"of":1,"loss":{math.fsum(np.nan_to_num(each)) / len(each):.9f}}}', flush=True)


def eval_rows(lc: Path, inputs: list[dict[str, Any]]) -> tuple[Floats, Floats]:
    """The hidden rows, or where there are none those of the image."""
    hidden = lc / "in/eval"
    return tables([hidden if hidden.exists() else lc / "eval.csv"], inputs)


def lines(each: Floats) -> str:
    """Losses as they are written."""
    return "".join(f"{min(max(one, 0.0), MAX_SCORE - 1):.9f}\n" for one in np.nan_to_num(each, nan=MAX_SCORE - 1))


def lines_of(raw: bytes, shapes: dict[str, list[int]], losses: Losses, rows: Floats, truths: Floats) -> str:
    """Of one of several models: one that is none is `nan`."""
    try:
        return lines(losses(read_model(raw, shapes), rows, truths))
    except Stop:
        return "nan\n"


def main(train: Train, losses: Losses, answer: Answer, lc: Path = Path("/lc")) -> None:
    """Runs the phase that the command line names, and ends the program. `lc`: another folder, in tests."""
    try:
        if sys.argv[1:] not in (["local"], ["evaluate"], ["evaluates"], ["predict"]):
            raise Stop(UNSUPPORTED, "this image knows local, evaluate, evaluates and predict")
        run(sys.argv[1], lc, train, losses, answer)
    except Stop as stop:
        print(f"error: {stop}", file=sys.stderr)
        sys.exit(stop.code)
    sys.exit(0)
