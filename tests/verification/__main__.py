"""`python -m tests.verification`: the second settlement beside the real handlers, the Monte Carlo, and docs/verification.md."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from .figures import Results, play_all
from .page import PAGE, PICTURE, write

HERE = Path(__file__).parent
FIGURES, SETTLEMENT = HERE / "results" / "figures.json", HERE / "results" / "settlement.txt"
COMMAND = ("-m", "tests.settlement", "--real")
SEEDS = 1_000_000
"""Between the first seeds of two parts of the second settlement."""


def say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


def version() -> str:
    """The commit, with a plus where something is changed that is not committed."""
    found = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    changed = subprocess.run(
        ["git", "status", "--porcelain", "chain", "tests/settlement"], capture_output=True, text=True, check=True
    )
    return found + ("+" if changed.stdout.strip() else "")


def settlement(jobs: int, processes: int) -> str:
    """What the differential run says, in parts with seeds of their own. Raises RuntimeError where model and handlers part."""
    ranges = [["--jobs", str(-(-jobs // processes)), "--first", str(number * SEEDS)] for number in range(processes)]
    parts = [subprocess.Popen([sys.executable, *COMMAND, *one], stdout=subprocess.PIPE, text=True) for one in ranges]
    told = [f"python {' '.join([*COMMAND, *one])}\n{part.communicate()[0]}" for one, part in zip(ranges, parts, strict=True)]
    if any(part.returncode for part in parts):
        raise RuntimeError("\n".join(told))
    return f"version {version()}\n\n" + "\n".join(told)


def written(results: Results) -> str:
    """JSON with a line for each cell, so that a run can be compared with another."""
    head = {name: value for name, value in results.items() if name != "cells"}
    cells = [f"  {json.dumps(key)}: {json.dumps(cell, sort_keys=True)}" for key, cell in sorted(results["cells"].items())]
    return json.dumps(head)[:-1] + ',\n "cells": {\n' + ",\n".join(cells) + "\n}}\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.verification", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="of a cell of the Monte Carlo; 0: leave it out")
    parser.add_argument("--settlement", type=int, default=50_000, help="jobs of the second settlement; 0: leave it out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="cells whose names begin with this; the others stay what they were")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    began = time.time()
    if options.settlement:
        SETTLEMENT.write_text(settlement(options.settlement, options.processes))
        say(f"{options.settlement} jobs of the second settlement, and no difference")
    if options.jobs:
        kept = json.loads(FIGURES.read_text())["cells"] if options.only else {}
        cells = kept | play_all(options.jobs, options.seed, options.processes, say, options.only)
        results = Results(version=version(), seed=options.seed, jobs=options.jobs, cells=cells)
        FIGURES.write_text(written(results))
    write(json.loads(FIGURES.read_text()), SETTLEMENT.read_text() if SETTLEMENT.exists() else "")
    say(f"{PAGE.name} and {PICTURE.name} are written, after {time.time() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
