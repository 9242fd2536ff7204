"""Set, parameters and members change by votes while the graph runs: it goes on deciding, and every checker agrees."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from learningchain.chain.types import LogEvent, Receipt
from tests.reached import reached
from tests.sim.attacks.table import BY_NAME
from tests.sim.council import CouncilWorld, profile_of
from tests.sim.profile import draw
from tests.sim.signatures import SIMULATED, signatures

SEEDS = 8
SEEN = Counter[str]()
"""Of all seeds that ran in this process."""


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_graph_that_is_governed_goes_on(seed: int) -> None:
    with signatures(SIMULATED):
        world = CouncilWorld(seed, profile_of(seed, draw(seed, ())), BY_NAME)
        look = world.checks.chain.receipts

        def noted(height: int, receipts: list[Receipt], look: Any = look) -> None:
            SEEN.update(event.topic for r in receipts for event in r.events if isinstance(event, LogEvent))
            SEEN.update(f"code {r.code}" for r in receipts)
            look(height, receipts)

        world.checks.chain.receipts = noted  # type: ignore[method-assign]
        world.run()
    assert {m.node.state.root for m in world.machines} == {world.machines[0].node.state.root}


def test_what_the_seeds_draw() -> None:
    """Nobody should trust an empty simulation."""
    wanted = {"proposal.made", "proposal.voted", "proposal.accepted", "validator.added", "validator.removed", "parameter.changed"}
    wanted |= {"joined", "verifier", "left", "banned", "ban.lifted", "code 600", "paid"}
    for seed in (10, 4, 2):
        if not wanted <= SEEN.keys():
            test_a_graph_that_is_governed_goes_on(seed)
    print(dict(SEEN))
    reached(wanted <= SEEN.keys(), f"{wanted - SEEN.keys()}; of code 600: a word of who is no validator")
