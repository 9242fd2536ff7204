"""Liars about peers cost dials and nothing else: strangers stay out, what is verified stays, the honest ones find each other."""

from __future__ import annotations

import os
from collections import Counter

from tests.reached import reached
from tests.sim.attacks.rumours import Rumours

SEEDS = int(os.environ.get("LC_SIM_SEEDS", "15"))


def test_honest_nodes_find_each_other_among_liars() -> None:
    counts: Counter[str] = Counter()
    for seed in range(SEEDS):
        world = Rumours(seed)
        world.run(restless_for=60, patience=600)
        counts.update(world.counts)
    reached(
        counts["lies"] > 10 * SEEDS and counts["dials in vain"] > SEEDS and counts["breaks"] > SEEDS,
        f"lies, dials in vain and breaks: {counts}",
    )
