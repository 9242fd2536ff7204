"""`python -m tests.verification`: the three models beside the real handlers, the Monte Carlo, and docs/verification.md."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from .figures import Results, play_all
from .page import PAGE, PICTURE, write

RESULTS = Path(__file__).parent / "results"
FIGURES = RESULTS / "figures.json"
SEEDS = 1_000_000
"""Between the first seeds of two parts of a model's run."""


class Model(NamedTuple):
    """An executable model that runs beside the real handlers, and how many of `what` are a whole run."""

    module: str
    what: str
    whole: int


MODELS = {
    "settlement": Model("tests.settlement", "jobs", 50_000),
    "predictions": Model("tests.predictions", "requests", 100_000),
    "federations": Model("tests.federation", "federations", 100_000),
}


def say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


def version() -> str:
    """The commit, with a plus where something is changed that is not committed."""
    found = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    changed = subprocess.run(
        ["git", "status", "--porcelain", "chain", "tests", ":!tests/*/results/*"], capture_output=True, text=True, check=True
    )
    return found + ("+" if changed.stdout.strip() else "")


def beside(model: Model, count: int, processes: int) -> str:
    """What the run beside the handlers says, in parts with seeds of their own. Raises RuntimeError where the two part."""
    command = ("-m", model.module, "--real", f"--{model.what}", str(-(-count // processes)), "--first")
    ranges = [(*command, str(number * SEEDS)) for number in range(processes)]
    parts = [subprocess.Popen([sys.executable, *one], stdout=subprocess.PIPE, text=True) for one in ranges]
    texts = [f"python {' '.join(one)}\n{part.communicate()[0]}" for one, part in zip(ranges, parts, strict=True)]
    if any(part.returncode for part in parts):
        raise RuntimeError("\n".join(texts))
    return f"version {version()}\n\n" + "\n".join(texts)


def told() -> dict[str, str]:
    """The last run of each model."""
    return {name: (RESULTS / f"{name}.txt").read_text() for name in MODELS}


def monte_carlo(jobs: int, seed: int, processes: int, only: str) -> Results:
    """Cells anew; where `only` some are, the others and their version stay, and the version of these is told beside it."""
    new = Results(version=version(), seed=seed, jobs=jobs, cells=play_all(jobs, seed, processes, say, only))
    if not only:
        return new
    old: Results = json.loads(FIGURES.read_text())
    apart = {name: of for name, of in old.get("apart", {}).items() if not name.startswith(only)} | {only: new["version"]}
    return Results(version=old["version"], apart=apart, seed=seed, jobs=jobs, cells=old["cells"] | new["cells"])


def written(results: Results) -> str:
    """JSON with a line for each cell, so that a run can be compared with another."""
    head = {name: value for name, value in results.items() if name != "cells"}
    cells = [f"  {json.dumps(key)}: {json.dumps(cell, sort_keys=True)}" for key, cell in sorted(results["cells"].items())]
    return json.dumps(head)[:-1] + ',\n "cells": {\n' + ",\n".join(cells) + "\n}}\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.verification", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="of a cell of the Monte Carlo; 0: leave it out")
    for name, model in MODELS.items():
        parser.add_argument(f"--{name}", type=int, default=model.whole, help=f"{model.what} beside the handlers; 0: leave it out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="cells whose names begin with this; the others stay what they were")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    began = time.time()
    for name, model in MODELS.items():
        if count := getattr(options, name):
            (RESULTS / f"{name}.txt").write_text(beside(model, count, options.processes))
            say(f"{count} {model.what} beside the handlers, and no difference")
    if options.jobs:
        FIGURES.write_text(written(monte_carlo(options.jobs, options.seed, options.processes, options.only)))
    write(json.loads(FIGURES.read_text()), told())
    say(f"{PAGE.name} and {PICTURE.name} are written, after {time.time() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
