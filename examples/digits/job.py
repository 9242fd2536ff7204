#!/usr/local/bin/python3
# ruff: noqa: T201
"""A training job for the graph: a small neural network that reads handwritten digits (container contract, version 2).

In the image this file is `/lc/job`, called with the name of a phase; numpy is all it needs. Beside it
lie the examples, `/lc/train.csv` and `/lc/eval.csv`: one digit a line, 64 pixels from 0 to 16 and the digit itself.

    train     learns from train.csv, starting from random weights drawn by the job's seed, and writes the model
    evaluate  writes the model's loss on each digit of eval.csv, or of /lc/in/eval where the contractor kept examples hidden
    predict   loads the model, waits for one request of rows `[[64 pixels]]`, and says of each which digit it is and how clearly:
              by how much the digit's score stands above the next one's

The loss of a digit is the cross-entropy in natural units: 0 is perfect, ln 10 = 2.3 is guessing. Their mean is the model's.
The same model gives the same loss everywhere: one thread, double precision, a fixed order. Between kinds of processors numpy's
sums may differ in the sixteenth digit, so a model that answers for pay is registered with a tolerance of 1,000 (0.000001).

The contractor may set in `params`: epochs, hidden (units), batch, learning_rate, weight_decay, and seconds, over which
a training spreads its work so that people can watch it.
"""

from __future__ import annotations

import json
import math
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

DONE, FAILED, UNSUPPORTED, MODEL_INVALID, BAD_INPUT, OUT_OF_RESOURCES = 0, 1, 64, 65, 66, 75

PIXELS, DIGITS, DARKEST = 64, 10, 16
MAX_DATA_BYTES, MAX_EXAMPLES = 8 << 20, 50_000
MAX_ROWS, MAX_SCORE = 256, 999_999_999.0
MAX_HIDDEN = 1024
MAX_LOSS = 999_999_999.0
PROGRESS_LINES = 50
BUDGET_SHARE = 0.8
"""The share of the job's time after which a training stops learning: a claim made late is worth nothing."""

# What a contractor may set: default, smallest, largest.
PARAMS: dict[str, tuple[float, float, float]] = {
    "epochs": (120, 1, 100_000),
    "hidden": (64, 1, MAX_HIDDEN),
    "batch": (32, 1, 4096),
    "learning_rate": (0.1, 1e-6, 10.0),
    "weight_decay": (1e-4, 0.0, 1.0),
    "seconds": (0, 0, 3600),
}
WHOLE_NUMBERS = ("epochs", "hidden", "batch")

# A model file: this mark, the number of hidden units, then the weights as little-endian doubles. Nothing in it is code.
MAGIC = b"LCDIGIT1"
HEADER = struct.Struct("<8sI")


class Failure(Exception):
    """The run ends with this exit code; the text says why."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


@dataclass
class Model:
    """A network of one hidden layer (ReLU) and a softmax over the ten digits."""

    w1: Floats
    b1: Floats
    w2: Floats
    b2: Floats

    @property
    def parts(self) -> tuple[Floats, ...]:
        return self.w1, self.b1, self.w2, self.b2

    def hidden(self, pixels: Floats) -> Floats:
        return np.maximum(pixels @ self.w1 + self.b1, 0.0)

    def scores(self, pixels: Floats) -> Floats:
        """One for each digit, one row an example: the largest is the answer."""
        return np.add(self.hidden(pixels) @ self.w2, self.b2)

    def log_chances(self, pixels: Floats) -> Floats:
        """The logarithm of each digit's probability, one row an example."""
        scores = self.scores(pixels)
        scores -= scores.max(axis=1, keepdims=True)
        sums: Floats = np.exp(scores).sum(axis=1, keepdims=True)
        return np.subtract(scores, np.log(sums))


def shapes(hidden: int) -> tuple[tuple[int, ...], ...]:
    return (PIXELS, hidden), (hidden,), (hidden, DIGITS), (DIGITS,)


def save_model(model: Model) -> bytes:
    return HEADER.pack(MAGIC, len(model.b1)) + b"".join(part.astype("<f8").tobytes() for part in model.parts)


def load_model(raw: bytes) -> Model:
    """The model in a file that a stranger made. Raises Failure(MODEL_INVALID)."""
    if len(raw) < HEADER.size:
        raise Failure(MODEL_INVALID, f"the model has {len(raw)} bytes, fewer than its header")
    magic, hidden = HEADER.unpack_from(raw)
    if magic != MAGIC:
        raise Failure(MODEL_INVALID, "the file is not a model of this job")
    if not 1 <= hidden <= MAX_HIDDEN:
        raise Failure(MODEL_INVALID, f"the model claims {hidden} hidden units; 1 to {MAX_HIDDEN} are possible")
    wanted = HEADER.size + 8 * sum(math.prod(shape) for shape in shapes(hidden))
    if len(raw) != wanted:
        raise Failure(MODEL_INVALID, f"the model has {len(raw)} bytes instead of {wanted}")
    weights = np.frombuffer(raw, "<f8", offset=HEADER.size).astype(np.float64)
    if not np.isfinite(weights).all():
        raise Failure(MODEL_INVALID, "the model holds weights that are not finite numbers")
    parts, start = [], 0
    for shape in shapes(hidden):
        parts.append(weights[start : start + math.prod(shape)].reshape(shape))
        start += math.prod(shape)
    return Model(*parts)


def read_examples(path: Path) -> tuple[Floats, Ints]:
    """Pixels from 0 to 1, one row an example, and the digits. Raises Failure(FAILED) for anything else in the file."""
    raw = read_bounded(path, MAX_DATA_BYTES)
    rows: list[list[int]] = []
    for number, line in enumerate(raw.splitlines(), start=1):
        fields = line.split(b",")
        if len(rows) == MAX_EXAMPLES or len(fields) != PIXELS + 1 or not all(f.isdigit() and len(f) < 3 for f in fields):
            raise Failure(FAILED, f"{path} is no list of digits: line {number}")
        rows.append([int(field) for field in fields])
    if not rows:
        raise Failure(FAILED, f"{path} holds no examples")
    table = np.array(rows, dtype=np.int64)
    pixels, digits = table[:, :PIXELS], table[:, PIXELS]
    if pixels.max() > DARKEST or digits.max() >= DIGITS:
        raise Failure(FAILED, f"{path} is no list of digits: a pixel above {DARKEST} or a digit above 9")
    return pixels / float(DARKEST), digits


def read_bounded(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(limit + 1)
    except OSError as problem:
        raise Failure(FAILED, f"cannot read {path}: {problem.strerror}") from None
    if len(raw) > limit:
        raise Failure(FAILED, f"{path} has more than {limit} bytes")
    return raw


def losses(model: Model, pixels: Floats, digits: Ints) -> Floats:
    """The cross-entropy of each example. Raises Failure(MODEL_INVALID) where the model yields no number."""
    with np.errstate(all="ignore"):
        each = -model.log_chances(pixels)[np.arange(len(digits)), digits]
    if not np.isfinite(each).all() or each.max() > MAX_LOSS:
        raise Failure(MODEL_INVALID, "the model's loss is no finite number")
    # Rounding may leave a perfect answer a hair below zero.
    return np.maximum(each, 0.0)


def read_params(job: dict[str, object]) -> dict[str, float]:
    """What the contractor chose, defaults filled in. Raises Failure(UNSUPPORTED)."""
    given = job.get("params", {})
    if not isinstance(given, dict):
        raise Failure(UNSUPPORTED, "params must be a JSON object")
    chosen = {name: default for name, (default, _, _) in PARAMS.items()}
    for name, value in given.items():
        if name not in PARAMS:
            raise Failure(UNSUPPORTED, f"unknown parameter {str(name)[:40]!r}; known: {', '.join(PARAMS)}")
        _, low, high = PARAMS[name]
        if type(value) not in ((int,) if name in WHOLE_NUMBERS else (int, float)) or not low <= value <= high:
            kind = "whole number" if name in WHOLE_NUMBERS else "number"
            raise Failure(UNSUPPORTED, f"{name} must be a {kind} from {low:g} to {high:g}")
        chosen[name] = value
    return chosen


def fresh_model(rng: np.random.Generator, hidden: int) -> Model:
    """Random weights of the size that keeps signals even through ReLU layers (He et al. 2015)."""
    w1 = rng.normal(0.0, math.sqrt(2.0 / PIXELS), (PIXELS, hidden))
    w2 = rng.normal(0.0, math.sqrt(2.0 / hidden), (hidden, DIGITS))
    return Model(w1, np.zeros(hidden), w2, np.zeros(DIGITS))


def gradients(model: Model, pixels: Floats, digits: Ints, weight_decay: float) -> tuple[Floats, ...]:
    """The slope of the mean cross-entropy over one batch, with weight decay on the weights."""
    hidden = model.hidden(pixels)
    slope = np.exp(model.log_chances(pixels))
    slope[np.arange(len(digits)), digits] -= 1.0
    slope /= len(digits)
    back = (slope @ model.w2.T) * (hidden > 0.0)
    return (
        pixels.T @ back + weight_decay * model.w1,
        back.sum(axis=0),
        hidden.T @ slope + weight_decay * model.w2,
        slope.sum(axis=0),
    )


def fit(pixels: Floats, digits: Ints, seed: int, params: dict[str, float], after_epoch: Callable[[int, Model], bool]) -> Model:
    """Stochastic gradient descent with momentum and a falling step. `after_epoch` says whether there is time to go on."""
    rng = np.random.default_rng(seed)
    model = fresh_model(rng, int(params["hidden"]))
    speeds = [np.zeros_like(part) for part in model.parts]
    epochs, batch = int(params["epochs"]), int(params["batch"])
    for epoch in range(epochs):
        step = params["learning_rate"] * 0.5 * (1.0 + math.cos(math.pi * epoch / epochs))
        order = rng.permutation(len(digits))
        for start in range(0, len(digits), batch):
            chosen = order[start : start + batch]
            slopes = gradients(model, pixels[chosen], digits[chosen], params["weight_decay"])
            for part, speed, slope in zip(model.parts, speeds, slopes, strict=True):
                speed *= 0.9
                speed -= step * slope
                part += speed
        if not after_epoch(epoch + 1, model):
            break
    return model


def train(job: dict[str, object], lc: Path, started: float) -> None:
    params = read_params(job)
    seed, budget = number(job, "seed", 1 << 64), number(job, "budget_s", 1 << 32)
    pixels, digits = read_examples(lc / "train.csv")
    shown_pixels, shown_digits = read_examples(lc / "eval.csv")
    epochs, report_every = int(params["epochs"]), max(1, int(params["epochs"]) // PROGRESS_LINES)

    def after_epoch(epoch: int, model: Model) -> bool:
        if epoch % report_every == 0 or epoch == epochs:
            loss = losses(model, shown_pixels, shown_digits).mean()
            print("LC " + json.dumps({"step": epoch, "of": epochs, "loss": round(float(loss), 6)}), flush=True)
        end = started + BUDGET_SHARE * budget
        pace = started + params["seconds"] * epoch / epochs
        time.sleep(max(0.0, min(pace, end) - time.monotonic()))
        return time.monotonic() < end

    with np.errstate(all="ignore"):
        model = fit(pixels, digits, seed, params, after_epoch)
    losses(model, shown_pixels, shown_digits)  # a model that yields no numbers is not worth handing in
    (lc / "out/model").write_bytes(save_model(model))


def given_model(lc: Path) -> Model:
    largest = HEADER.size + 8 * sum(math.prod(shape) for shape in shapes(MAX_HIDDEN))
    path = lc / "in/model"
    if path.is_file() and path.stat().st_size > largest:
        raise Failure(MODEL_INVALID, f"the model has more than {largest} bytes")
    return load_model(read_bounded(path, largest))


def evaluate(lc: Path) -> None:
    model = given_model(lc)
    hidden_data = lc / "in/eval"
    pixels, digits = read_examples(hidden_data if hidden_data.exists() else lc / "eval.csv")
    (lc / "out/losses").write_text("".join(f"{loss:.9f}\n" for loss in losses(model, pixels, digits)))


class UnfitRow(Exception):
    """A row that is none, counted from 0: whoever gives it a value all the same is found out by it."""

    def __init__(self, row: int, why: str) -> None:
        super().__init__(f"row {row} {why}")
        self.row = row


def asked_rows(raw: bytes, announced: int) -> Floats:
    """The pixels that somebody asks about, from 0 to 1, one row an example. Raises UnfitRow, Failure(BAD_INPUT)."""
    lines = raw.removesuffix(b"\n").split(b"\n")
    rows: list[list[int]] = []
    if len(lines) != announced:
        raise Failure(BAD_INPUT, f"{announced} rows were announced, the input has {len(lines)}")
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise UnfitRow(len(rows), "is not JSON") from None
        pixels = row[0] if isinstance(row, list) and len(row) == 1 else None
        if not isinstance(pixels, list) or len(pixels) != PIXELS or not all(type(p) is int and 0 <= p <= DARKEST for p in pixels):
            raise UnfitRow(len(rows), f"is not [[{PIXELS} whole numbers from 0 to {DARKEST}]]")
        rows.append(pixels)
    return np.array(rows, dtype=np.float64) / float(DARKEST)


def answers(model: Model, pixels: Floats) -> tuple[Ints, Floats]:
    """The digit of each row, and by how much its score stands above the next one's. Raises Failure(MODEL_INVALID)."""
    with np.errstate(all="ignore"):
        scores = model.scores(pixels)
        best = np.sort(scores, axis=1)
        margins: Floats = best[:, -1] - best[:, -2]
    if not np.isfinite(margins).all() or margins.max() > MAX_SCORE:
        raise Failure(MODEL_INVALID, "the model's score is no finite number")
    return scores.argmax(axis=1), margins


def predict(lc: Path) -> None:
    """Waits for one request and answers it. The end of the input instead: nobody asked."""
    model = given_model(lc)
    print('LC {"ready":1}', flush=True)
    if sys.stdin.readline() != "go\n":
        return
    try:
        request = json.loads(read_bounded(lc / "in/request.json", 1 << 20))
    except (ValueError, RecursionError):
        raise Failure(FAILED, "request.json is not JSON") from None
    announced, challenge = number(request, "rows", MAX_ROWS + 1), number(request, "challenge", 1 << 64)
    try:
        pixels = asked_rows(read_bounded(lc / "in/input", MAX_DATA_BYTES), announced)
    except UnfitRow as unfit:
        print(unfit, file=sys.stderr)
        (lc / "out/answer").write_text(f"unfit {unfit.row}\n")
        print('LC {"done":1}', flush=True)
        return
    digits, margins = answers(model, pixels)
    # The changed rows are known to nobody before the draw: who answers their sum has the model, and ran it.
    _, changed = answers(model, pixels * (1 + (1 + challenge % 997) / 100_000))
    lines = [f"{digit} {margin:.9f}\n" for digit, margin in zip(digits, margins, strict=True)]
    (lc / "out/answer").write_text("".join(lines) + f"check {math.fsum(changed):.9f}\n")
    print('LC {"done":1}', flush=True)


def number(job: dict[str, object], key: str, limit: int) -> int:
    value = job.get(key)
    if type(value) is not int or not 0 <= value < limit:
        raise Failure(FAILED, f"the host's file needs {key} as a whole number below {limit}")
    return value


def read_job(path: Path, phase: str) -> dict[str, object]:
    try:
        job = json.loads(read_bounded(path, 1 << 20))
    except (ValueError, RecursionError):
        raise Failure(FAILED, "job.json is not JSON") from None
    if not isinstance(job, dict):
        raise Failure(FAILED, "job.json is not a JSON object")
    if job.get("v") != 2:
        raise Failure(UNSUPPORTED, f"version {str(job.get('v'))[:20]} of the contract; this image knows version 2")
    if job.get("phase") != phase:
        raise Failure(FAILED, f"called for the phase {phase}, but job.json says {str(job.get('phase'))[:20]!r}")
    return job


def call(argv: list[str], phases: dict[str, Callable[[dict[str, object], Path], None]], root: Path) -> int:
    """Runs the phase that is asked for with job.json and the folder of the contract, and returns the exit code."""
    lc, known = root / "lc", list(phases)
    try:
        if len(argv) != 1 or argv[0] not in phases:
            listed = f"{', '.join(known[:-1])} and {known[-1]}"
            raise Failure(UNSUPPORTED, f"this image knows the phases {listed}, not {' '.join(argv)[:40]!r}")
        phases[argv[0]](read_job(lc / "in/job.json", argv[0]), lc)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        # A training that produced no usable model has failed; only a model that was handed in can be invalid.
        return FAILED if failure.code == MODEL_INVALID and argv[0] == "train" else failure.code
    except MemoryError:
        print("error: out of memory", file=sys.stderr)
        return OUT_OF_RESOURCES
    except OSError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return FAILED
    return DONE


def main(argv: list[str], root: Path = Path("/")) -> int:
    """Runs one phase and returns the exit code. `root` is the image's root directory; tests use another."""
    started = time.monotonic()
    phases = {
        "train": lambda job, lc: train(job, lc, started),
        "evaluate": lambda _, lc: evaluate(lc),
        "predict": lambda _, lc: predict(lc),
    }
    return call(argv, phases, root)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
