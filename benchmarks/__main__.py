"""`python -m benchmarks`: everything in one run, in turns, with a table, a plot and all figures in a file. README.md says more."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import structlog
import uvloop
from rich.console import Console

from benchmarks.figures import Figure, Run, figures
from benchmarks.peers.base import Unavailable
from benchmarks.plot import svg
from benchmarks.registry import FULL, MEASURES, QUICK, Measure, Size
from benchmarks.report import markdown, placed, show
from benchmarks.rows import ROWS

PLACE = Path(".run/bench")


def say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


async def measure(size: Size, measures: tuple[Measure, ...]) -> Run:
    """Everything in turns: round by round, and in each round with another system first. Only one of them runs at any time."""
    run: Run = {"size": asdict(size), "machine": machine(), "rounds": [], "once": {}, "left_out": {}, "failed": []}
    every = [one for one in measures if not one.once]
    for number in range(size.rounds):
        found: dict[str, Any] = {}
        run["rounds"].append(found)
        # The limits stay first; the others change places, so that none has the best moment of every round.
        turn = number % max(1, len(every) - 1)
        for one in [*every[:1], *every[1 + turn :], *every[1 : 1 + turn]]:
            await take(run, found, one, size, f"round {number + 1} of {size.rounds}: {one.name}")
    for one in measures:
        if one.once:
            await take(run, run["once"], one, size, one.name)
    run["seconds"] = time.time() - run["machine"]["time"]
    return run


async def take(run: Run, found: dict[str, Any], one: Measure, size: Size, title: str) -> None:
    """A peer that cannot be had is left out for the rest of the run, with its reason."""
    if one.name in run["left_out"]:
        return
    say(title)
    try:
        found[one.name] = asdict(await one.run(size, say))
    except Unavailable as problem:
        run["left_out"][one.name] = str(problem)
        say(f"not measured: {problem}")
    except Exception as problem:
        # What else was measured is kept, but the run has failed: wrong or missing results make its figures worth nothing.
        run["failed"].append(f"{title}: {type(problem).__name__}: {problem}")
        say(f"FAILED: {run['failed'][-1]}")


def machine() -> dict[str, Any]:
    return {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count(), "time": time.time()}


def load(path: Path) -> tuple[Run, list[Figure]]:
    run = json.loads(path.read_text())
    return run, figures(run, ROWS)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measures the ledger beside its peers on this machine."
    )
    parser.add_argument("--quick", action="store_true", help="one short round: shows that everything works")
    parser.add_argument("--only", help="names of measurements, with commas between them: " + ",".join(m.name for m in MEASURES))
    parser.add_argument("--rounds", type=int, help="another number of rounds")
    parser.add_argument("--json", type=Path, help=f"where every figure goes (default: {PLACE}/figures.json)")
    parser.add_argument("--plot", type=Path, help=f"where the SVG goes (default: {PLACE}/figures.svg)")
    parser.add_argument("--from", dest="source", type=Path, help="measure nothing: take the figures of this JSON file")
    parser.add_argument("--page", type=Path, help="write the table into this page, between its marks")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    given = parser.parse_args()
    if given.source is not None:
        run, rows = load(given.source)
    else:
        run = measured(given)
        rows = figures(run, ROWS)
        given.json, given.plot = given.json or PLACE / "figures.json", given.plot or PLACE / "figures.svg"
    if given.json is not None:
        write(given.json, json.dumps(run | {"figures": [asdict(one) | {"reached": one.reached} for one in rows]}, indent=2) + "\n")
    if given.plot is not None:
        write(given.plot, svg(run, rows))
    if given.page is not None:
        picture = os.path.relpath(given.plot, given.page.parent) if given.plot is not None else ""
        write(given.page, placed(given.page.read_text(), markdown(run, rows), picture))
    if given.markdown:
        print(markdown(run, rows), end="")
    else:
        show(run, rows, Console(width=None if sys.stdout.isatty() else 140))
    return 1 if run["failed"] else 0


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    say(f"wrote {path}")


def measured(given: argparse.Namespace) -> Run:
    size = QUICK if given.quick else FULL
    if given.rounds is not None:
        size = replace(size, rounds=given.rounds)
    wanted = given.only.split(",") if given.only else [one.name for one in MEASURES]
    if unknown := set(wanted) - {one.name for one in MEASURES}:
        raise SystemExit(f"there is no measurement {', '.join(sorted(unknown))}")
    # A member that asks for too much runs in this process: its connections are no part of what is told.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    # As Ctrl-C does: what runs is stopped and folders are removed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure(size, tuple(one for one in MEASURES if one.name in wanted)))
    raise SystemExit("stopped: nothing was written")


if __name__ == "__main__":
    sys.exit(main())
