"""`@learningchain.job`: a function that trains becomes a job. This file is also the whole module `learningchain` in the image.

    import learningchain

    @learningchain.job(lock="requirements.lock", files=["data"])
    def line(task):                       # trains; returns the model's bytes
        return fit(task.seed, task.folder / "data/train.csv")

    @line.evaluate
    def losses(task, model):              # a stranger's bytes; one loss for each example
        return [loss(model, row) for row in read(task.hidden or task.folder / "data/eval.csv")]

    @line.predict                         # where others may ask a paid model
    def answer(task, model):
        a, b = read(model)                # once; then for each row
        return lambda row, factor: a * row[0] * factor + b

    line.build("line.tar")                # or: learningchain job build FILE.py

What goes into the image is the text of the module's file and the files that `files` names, never a pickle. In the image `/lc/job`
calls `run` below, which imports that module and calls these functions. It needs nothing but Python's own library.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LC = Path("/lc")
_UNSUPPORTED, _INVALID_MODEL = 64, 65
_NO_MODEL = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
"""What a function raises that reads a stranger's bytes and finds no model in them."""


@dataclass(frozen=True)
class Task:
    """What a run is asked for: `seed` has 64 bits and is 0 in an evaluation, `budget_s` seconds are left for a training."""

    seed: int = 0
    budget_s: int = 60
    threads: int = 1
    mem_mb: int = 1024
    params: Mapping[str, Any] = field(default_factory=dict)
    """As the job was posted with."""
    folder: Path = _LC
    """Where the module and the files lie that went into the image."""
    hidden: Path | None = None
    """The hidden examples, in an evaluation of a job that has them: they take the place of the image's own."""

    def progress(self, step: int, of: int, loss: float) -> None:
        """Says how far the training is, for people who watch."""
        print("LC", json.dumps({"step": step, "of": of, "loss": loss}), flush=True)  # noqa: T201


Train = Callable[[Task], bytes]
Evaluate = Callable[[Task, bytes], Iterable[float]]
Score = float | tuple[int, float]
"""A value, or a class and its score: the raw margin, never a saturating probability."""
Answer = Callable[[Any, float], Score]
"""What the model says of a row, which is a JSON list. `factor` is 1 for the answer. For the check it is another number, by which
the function scales what it computes with: nobody who did not compute knows the check."""
Predict = Callable[[Task, bytes], Answer]


@dataclass
class FunctionJob:
    """A job of two functions. Called, it trains here: `line(Task(seed=1))`."""

    train: Train
    losses: Evaluate | None = None
    answers: Predict | None = None

    def __call__(self, task: Task) -> bytes:
        return self.train(task)

    def evaluate(self, function: Evaluate) -> Evaluate:
        """A decorator: this function says how wrong a model is on each example. It raises ValueError for what is no model."""
        self.losses = function
        return function

    def predict(self, function: Predict) -> Predict:
        """A decorator: this function loads a model and returns one that answers a row, and raises ValueError for what is none."""
        self.answers = function
        return function

    def build(self, dest: str | Path, *, base: Path | None = None, wheels: Path | None = None) -> str:
        """Writes the job's image as a docker-archive and returns its id, as `learningchain job build` does.

        Raises ImageBuildError, OSError.
        """
        from learningchain.sandbox.building import build_folder, open_base, own_base

        file = Path(self.train.__code__.co_filename)
        with open_base(base or own_base()) as opened:
            return build_folder(file, Path(dest), opened, wheels).image_id


def job(*, lock: str = "", files: Iterable[str] = ()) -> Callable[[Train], FunctionJob]:
    """A decorator that makes a job of a function at the top of its module.

    `lock`: the locked list of packages, `files`: what else goes in, both beside the module. They are read from the file's text, so
    they are written out, not computed.
    """
    del lock, files
    return FunctionJob


def run(module: str, name: str) -> None:
    """What `/lc/job` does in a container, by the container contract. Ends the process."""
    found = getattr(importlib.import_module(module), name)
    phase, said = sys.argv[1], json.loads((_LC / "in/job.json").read_text())
    hidden = _LC / "in/eval"
    known = {key: said[key] for key in ("seed", "budget_s", "threads", "mem_mb", "params") if key in said}
    task = Task(**known, hidden=hidden if hidden.exists() else None)
    if phase == "train":
        model = found.train(task)
        if not isinstance(model, bytes) or not model:
            sys.exit(f"{name} returned no bytes: that is the model")
        (_LC / "out/model").write_bytes(model)
    elif phase == "evaluate":
        try:
            lines = [f"{float(loss):.9f}\n" for loss in found.losses(task, (_LC / "in/model").read_bytes())]
        except _NO_MODEL:
            traceback.print_exc()
            sys.exit(_INVALID_MODEL)
        (_LC / "out/losses").write_text("".join(lines))
    elif phase == "predict" and found.answers is not None:
        try:
            answer = found.answers(task, (_LC / "in/model").read_bytes())
        except _NO_MODEL:
            traceback.print_exc()
            sys.exit(_INVALID_MODEL)
        _answer(answer)
    else:
        sys.exit(_UNSUPPORTED)


def _answer(answer: Answer) -> None:
    """Answers one request, or none where nobody asks."""
    print('LC {"ready":1}', flush=True)  # noqa: T201
    if sys.stdin.readline() != "go\n":
        return
    factor = 1 + json.loads((_LC / "in/request.json").read_text())["challenge"] % 997 / 100_000
    said, check = [], 0.0
    try:
        for line in (_LC / "in/input").read_bytes().removesuffix(b"\n").split(b"\n"):
            row = json.loads(line)
            label, score = _parts(answer(row, 1.0))
            check += _parts(answer(row, factor))[1]
            said.append(f"{label}{score:.9f}\n")
        told = "".join(said) + f"check {check:.9f}\n"
    except _NO_MODEL:
        told = f"unfit {len(said)}\n"  # this row, counted from 0, is none
    (_LC / "out/answer").write_text(told)
    print('LC {"done":1}', flush=True)  # noqa: T201


def _parts(score: Score) -> tuple[str, float]:
    """The class as an answer writes it, and the score. Raises ValueError for more digits than an answer may have."""
    label, value = ("", float(score)) if not isinstance(score, tuple) else (f"{int(score[0])} ", float(score[1]))
    if not abs(value) < 1e9:
        raise ValueError(score)
    return label, value
