"""One run, and what came of it."""

from __future__ import annotations

import gc
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.sim import mutants
from tests.sim.attacks.table import BY_NAME, NAMES
from tests.sim.profile import Profile, draw
from tests.sim.signatures import REAL, SIMULATED, signatures
from tests.sim.world import World


@dataclass(frozen=True)
class Outcome:
    seed: int
    profile: Profile
    fault: str
    """Empty for a good run."""
    digest: str
    height: int
    took: int
    """Virtual milliseconds."""
    steps: int
    job: int | None
    faults: Counter[str]
    tail: tuple[str, ...]

    def __str__(self) -> str:
        result = f"FAILED: {self.fault}" if self.fault else "good"
        return (
            f"seed {self.seed}: {result}\n  {self.profile}\n"
            f"  height {self.height}, {self.took} ms, {self.steps} events, digest {self.digest[:16]}"
        )


def _place(fault: Exception) -> str:
    last = traceback.extract_tb(fault.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"


@contextmanager
def _no_collections() -> Iterator[None]:
    """A run makes few cycles, and they go with its world: looking for them takes a tenth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def one(
    seed: int, *, profile: Profile | None = None, real: bool = False, sign: str = SIMULATED, mutant: str = "", tail: int = 0
) -> Outcome:
    """Run a seed. Whatever is raised, by a checker or by the node, is the run's fault.

    `sign` says which signatures (see `tests.sim.signatures`); `real` is short for real ones that every machine verifies.
    """
    kind = REAL if real else sign
    with signatures(kind), mutants.BY_NAME[mutant]() if mutant else nullcontext(), _no_collections():
        world = World(seed, profile or draw(seed, NAMES), BY_NAME)
        fault = ""
        try:
            world.run()
        except Exception as e:
            fault = f"{type(e).__name__}: {e} ({_place(e)})"
    height = max(world.checks.chosen, default=0)
    shown = tuple(world.tail(tail)) if tail else ()
    job = world.market.job_state
    outcome = Outcome(seed, world.profile, fault, world.digest, height, world.now, world.steps, job, world.faults, shown)
    world.close()
    return outcome


def seed_range(text: str) -> range:
    """`A..B`, B excluded. Raises ValueError."""
    first, last = text.split("..")
    return range(int(first), int(last))
