"""One run of the market, and what came of it."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.sim.attacks.table import BY_NAME, NAMES
from tests.sim.market.cheats.table import CHEATS
from tests.sim.market.graph import MarketWorld
from tests.sim.market.logs import overheard
from tests.sim.market.plan import Plan, draw
from tests.sim.run import _no_collections
from tests.sim.signatures import REAL, SIMULATED, signatures

MEMORY = "/dev/shm"
"""Nothing here is lost with the machine that simulates: files stay in memory where there is such a place."""


@dataclass(frozen=True)
class Outcome:
    seed: int
    plan: Plan
    fault: str
    """Empty for a good run."""
    digest: str
    height: int
    took: int
    """Virtual milliseconds."""
    steps: int
    faults: Counter[str]
    acts: Counter[str]
    tail: tuple[str, ...]

    def __str__(self) -> str:
        result = f"FAILED: {self.fault}" if self.fault else "good"
        return (
            f"seed {self.seed}: {result}\n  {self.plan}\n"
            f"  height {self.height}, {self.took} ms, {self.steps} events, digest {self.digest[:16]}"
        )


def one(seed: int, *, plan: Plan | None = None, real: bool = False, tail: int = 0) -> Outcome:
    """Run a seed. Whatever is raised, by a checker or by the node, is the run's fault."""
    place = MEMORY if os.path.isdir(MEMORY) else None
    kind = REAL if real else SIMULATED
    with signatures(kind), tempfile.TemporaryDirectory(dir=place) as folder, overheard() as heard, _no_collections():
        world = MarketWorld(seed, plan or draw(seed, tuple(sorted(CHEATS)), NAMES), Path(folder), BY_NAME, CHEATS)
        heard.world = world
        fault = ""
        try:
            world.run()
        except Exception as e:
            last = traceback.extract_tb(e.__traceback__)[-1]
            fault = f"{type(e).__name__}: {e} ({Path(last.filename).name}:{last.lineno})"
        height = max(world.checks.chosen, default=0)
        shown = tuple(world.tail(tail)) if tail else ()
        outcome = Outcome(seed, world.plan, fault, world.digest, height, world.now, world.steps, world.faults, world.acts, shown)
        world.close()
    return outcome
