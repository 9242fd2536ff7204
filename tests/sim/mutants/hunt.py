"""Runs mutants until a checker catches them."""

from __future__ import annotations

import json
import re
import time
import traceback
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.sim.mutants import MUTANTS, applied
from tests.sim.mutants.scenes import SCENES
from tests.sim.signatures import SIMULATED, signatures

KNOWN = Path(__file__).with_name("known.json")


@dataclass(frozen=True)
class Run:
    """`fault` is empty for a good run; `checker` says who found it."""

    fault: str
    checker: str
    digest: str


@dataclass(frozen=True)
class Caught:
    """`seed` is None where no seed up to the limit showed the mutant; `touched` counts the runs that it made different from the
    real node's. `cpu` in seconds."""

    name: str
    seed: int | None
    run: Run | None
    tried: int
    cpu: float


def run(scene: str, seed: int, mutant: str = "") -> Run:
    where = SCENES[scene]
    with signatures(SIMULATED), where.tight(), applied(MUTANTS[mutant]) if mutant else nullcontext():
        world = where.make(seed)
        try:
            world.run()
            return Run("", "", world.digest)
        except Exception as e:
            return Run(f"{type(e).__name__}: {e}", _checker(e), world.digest)
        finally:
            world.close()


@cache
def good(scene: str, seed: int) -> str:
    """The digest of the real node's run, which must be good."""
    real = run(scene, seed)
    if real.fault:
        raise AssertionError(f"the real node fails in {scene!r} with seed {seed}: {real.fault}")
    return real.digest


@cache
def known() -> dict[str, int]:
    """The seed that caught each mutant when the table was made (`python -m tests.sim.mutants --note`); those that any seed catches
    first are not in it."""
    table: dict[str, int] = json.loads(KNOWN.read_text())
    return table


def hunt(name: str, seeds: int) -> Caught:
    """Until it is caught in a run in which the real node is good: the seed that did it before first, then all in turn."""
    started, scene = time.process_time(), MUTANTS[name].where
    first = known().get(name, 0)
    for tried, seed in enumerate([first, *(seed for seed in range(seeds) if seed != first)], 1):
        found = run(scene, seed, name)
        if found.fault:
            good(scene, seed)
            return Caught(name, seed, found, tried, time.process_time() - started)
    return Caught(name, None, None, seeds, time.process_time() - started)


def unseen(name: str, seeds: int) -> int:
    """In how many of the first runs the mutant made no difference at all: it was not executed, or changed nothing."""
    scene = MUTANTS[name].where
    return sum(run(scene, seed, name).digest == good(scene, seed) for seed in range(seeds))


def _checker(fault: Exception) -> str:
    """A word for who noticed: the file of the checks that raised, or the node's own halt."""
    place = traceback.extract_tb(fault.__traceback__)[-1]
    text = re.sub(r"^n\d+ at \d+ ms: ", "", str(fault))
    return f"{Path(place.filename).stem}: {text}"[:110]
