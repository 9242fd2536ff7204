#!/usr/local/bin/python3
# ruff: noqa: T201
"""A training job in torch: a convolutional network that reads handwritten digits (container contract, version 2).

In the image this file is `/lc/job`. It has the network of `examples/federation/pictures.py` and reads the files of
`examples/digits/job.py`, both in `/lc/learningchain/examples`; beside it lie `/lc/train.csv` and `/lc/eval.csv`.

    train     learns from train.csv, from random weights drawn by the job's seed, on as many threads as the job has
    evaluate  writes the model's loss on each digit of eval.csv, or of /lc/in/eval where the contractor kept examples hidden

A training leaves a checkpoint after each epoch. One that goes on from it makes the model that it would have made without a break.

A model is a file of the form safetensors. Training is float32, so two processors may train different models of one seed; the losses
are measured in double precision on one thread, and are the same everywhere but for the sixteenth digit.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

from learningchain.examples.digits.job import (
    BUDGET_SHARE,
    MAX_LOSS,
    MODEL_INVALID,
    UNSUPPORTED,
    Failure,
    call,
    number,
    read_bounded,
    read_examples,
)
from learningchain.examples.digits_torch.shapes import SHAPES
from learningchain.examples.federation import pictures
from learningchain.examples.federation.federated import Model, model_bytes, read_model
from learningchain.examples.tabular import Stop

MAX_MODEL_BYTES = 1 << 20
MOMENTUM = 0.9
"""By hand: `torch.optim` wants packages beside torch that nothing else here needs."""
PARAMS: dict[str, tuple[float, float, float]] = {"epochs": (15, 1, 10_000), "batch": (32, 1, 4096), "rate": (0.05, 1e-6, 10.0)}
"""What a contractor may set: default, smallest, largest."""


def read_params(job: dict[str, object]) -> dict[str, float]:
    """Raises Failure(UNSUPPORTED) for anything that is not among `PARAMS`."""
    given = job.get("params", {})
    if not isinstance(given, dict) or not set(given) <= set(PARAMS):
        raise Failure(UNSUPPORTED, f"params must be a JSON object of {', '.join(PARAMS)}")
    chosen = {name: given.get(name, usual) for name, (usual, _, _) in PARAMS.items()}
    for name, value in chosen.items():
        _, low, high = PARAMS[name]
        if type(value) not in ((int, float) if name == "rate" else (int,)) or not low <= value <= high:
            raise Failure(UNSUPPORTED, f"{name} must be a number from {low:g} to {high:g}, whole but for rate")
    return chosen


def fresh_model() -> Model:
    """Drawn by torch's generator, of the size that keeps signals even through ReLU layers (He et al. 2015)."""
    model = {}
    for name, shape in SHAPES.items():
        scale = math.sqrt(2.0 / math.prod(shape[1:])) if name.endswith("weight") else 0.0
        model[name] = (torch.randn(shape) * scale).numpy()
    return model


def losses(model: Model, path: Path) -> list[float]:
    """Of each example of a file. Raises Failure(MODEL_INVALID) where the model yields no number."""
    pixels, digits = read_examples(path)
    each: list[float] = pictures.losses(model, pixels, digits.astype(np.float64)).tolist()
    if not all(math.isfinite(loss) and loss <= MAX_LOSS for loss in each):
        raise Failure(MODEL_INVALID, "the model's loss is no finite number")
    return [max(0.0, loss) for loss in each]


def train(job: dict[str, object], lc: Path, started: float) -> None:
    params, threads = read_params(job), number(job, "threads", 1 << 16)
    end = started + BUDGET_SHARE * number(job, "budget_s", 1 << 32)
    torch.manual_seed(number(job, "seed", 1 << 64) % 2**63)
    pixels, digits = read_examples(lc / "train.csv")
    x, y = pictures.pixels(pixels).float(), torch.from_numpy(digits)
    net = pictures.network(fresh_model())
    speeds = [torch.zeros_like(values) for values in net.parameters()]
    epochs, begin = int(params["epochs"]), 1
    if (before := lc / "in/checkpoint").exists():  # this training's own, of a container that was lost
        begin, weights, speeds, drawn = torch.load(before, weights_only=True)
        net.load_state_dict(weights)
        torch.set_rng_state(drawn)
    for epoch in range(begin, epochs + 1):
        torch.set_num_threads(max(1, threads))
        for chosen in torch.randperm(len(y)).split(int(params["batch"])):
            net.zero_grad()
            torch.nn.functional.cross_entropy(net(x[chosen]), y[chosen]).backward()
            with torch.no_grad():
                for values, speed in zip(net.parameters(), speeds, strict=True):
                    speed.mul_(MOMENTUM).add_(values.grad)
                    values -= params["rate"] * speed
        model = {name: values.numpy() for name, values in net.state_dict().items()}
        shown = losses(model, lc / "eval.csv")  # a model that yields no numbers is not worth handing in
        print("LC " + json.dumps({"step": epoch, "of": epochs, "loss": round(sum(shown) / len(shown), 6)}), flush=True)
        torch.save((epoch + 1, net.state_dict(), speeds, torch.get_rng_state()), lc / "out/new")
        os.replace(lc / "out/new", lc / "out/checkpoint")
        if time.monotonic() >= end:
            break
    (lc / "out/model").write_bytes(model_bytes(model))


def evaluate(lc: Path) -> None:
    try:
        model = read_model(read_bounded(lc / "in/model", MAX_MODEL_BYTES), SHAPES)
    except Stop as stop:
        raise Failure(MODEL_INVALID, str(stop)) from None
    hidden = lc / "in/eval"
    each = losses(model, hidden if hidden.exists() else lc / "eval.csv")
    (lc / "out/losses").write_text("".join(f"{loss:.9f}\n" for loss in each))


def main(argv: list[str], root: Path = Path("/")) -> int:
    """Runs one phase and returns the exit code. `root` is the image's root directory; tests use another."""
    started = time.monotonic()
    return call(argv, {"train": lambda job, lc: train(job, lc, started), "evaluate": lambda _, lc: evaluate(lc)}, root)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
