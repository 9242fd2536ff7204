"""Federations with cells on the simulated graph: every block does what the second implementation says, and keeps the credits."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from learningchain.chain.types import LogEvent, Receipt
from tests.reached import reached
from tests.sim.mutants.scenes import SCENES
from tests.sim.signatures import SIMULATED, signatures
from tests.tiers import sampled

SEEDS = tuple(range(12))
SOON = (2, 3)
"""Somebody is late, lies, is silent or leaves in one of both."""
WANTED = {"fed.cells.summed", "fed.settled", "fed.missed", "fed.silent", "fed.excluded", "fed.differs", "fed.disputed", "fed.void"}
WANTED |= {"fed.left", "fed.gone.cell"}


@pytest.mark.parametrize("seeds", sampled((SOON, SEEDS), 2, "two seeds run here, with everything in them"), ids=("soon", "all"))
def test_cells_are_dealt_summed_and_paid_as_the_rules_say(seeds: tuple[int, ...]) -> None:
    seen, summed = Counter[str](), set[int]()
    for seed in seeds:
        with signatures(SIMULATED):
            world = SCENES["cells"].make(seed)
            look = world.checks.chain.receipts

            def noted(height: int, receipts: list[Receipt], look: Any = look) -> None:
                for event in (event for one in receipts for event in one.events if isinstance(event, LogEvent)):
                    seen[event.topic] += 1
                    if event.topic == "fed.cells.summed":
                        summed.add(event.data[3])  # type: ignore[arg-type]
                look(height, receipts)

            world.checks.chain.receipts = noted  # type: ignore[method-assign]
            world.run()
    reached(seen.keys() >= WANTED, f"not seen: {WANTED - seen.keys()}")
    reached(summed >= {1, 2}, f"sums of {summed} cells")
