"""What owners come to by themselves: `python -m tests.federation_alone NAME ROUNDS TABLE...` with the program's packages in reach.

The program of the image, in one process: a container for each training and each measurement would import torch anew each time,
which takes a hundred times as long as what it then does. Prints, as JSON, the best loss that each owner's table gives in ROUNDS
trainings, and the SHA-256 of the model after the first training on the first table: that of a container must be the same.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from learningchain.examples.federation import wheel
from learningchain.examples.federation.build import EXAMPLES, initial, rows_schema, split_rows
from learningchain.examples.federation.federated import model_bytes
from learningchain.examples.tabular import read_table

ROOT = Path(__file__).resolve().parents[1]
FIRST_SEED = 1_000
LIMIT_S = 600


def train_alone(name: str, tables: list[Path], rounds: int) -> tuple[list[float], str]:
    """(losses, digest), from a process of its own. Raises TorchMissing, subprocess.SubprocessError."""
    folders = [str(ROOT), *([str(wheel.torch_folder())] if EXAMPLES[name].torch else [])]
    command = [sys.executable, "-m", "tests.federation_alone", name, str(rounds), *map(str, tables)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    found = json.loads(done.stdout)
    return found["best"], found["first"]


class Alone:
    """One example's program, here."""

    def __init__(self, name: str) -> None:
        self.program: Any = importlib.import_module(f"learningchain.examples.federation.{EXAMPLES[name].program}")
        self.params, self.initial = json.loads(EXAMPLES[name].params), initial(name)
        self.inputs = rows_schema(name)["inputs"]
        self.tested = self.read(split_rows(name)[1])

    def read(self, table: bytes) -> tuple[Any, Any]:
        rows, truths = read_table(table.decode().splitlines(), self.inputs)
        return np.array(rows), np.array(truths)

    def trained(self, model: Any, own: tuple[Any, Any], seed: int) -> Any:
        found = self.program.train(model, *own, {"params": self.params, "seed": seed, "threads": 1})
        return {name: values.copy() for name, values in found.items()}

    def loss(self, model: Any) -> float:
        each = self.program.losses(model, *self.tested)
        return math.fsum(each) / len(each)

    def best(self, table: bytes, rounds: int) -> float:
        model, own, losses = self.initial, self.read(table), []
        for r in range(rounds):
            model = self.trained(model, own, FIRST_SEED + r)
            losses.append(self.loss(model))
        return min(losses)


def main(argv: list[str]) -> int:
    name, rounds, paths = argv[0], int(argv[1]), argv[2:]
    alone = Alone(name)
    tables = [Path(path).read_bytes() for path in paths]
    first = model_bytes(alone.trained(alone.initial, alone.read(tables[0]), FIRST_SEED))
    print(json.dumps({"best": [alone.best(one, rounds) for one in tables], "first": hashlib.sha256(first).hexdigest()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
