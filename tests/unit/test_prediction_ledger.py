"""The real handlers beside the executable model of the page: after every block of random graphs both say the same.

Refusals, balances, escrows, strikes, draws of judges, servers, seats, values, outcomes, what is burned and minted.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.prediction_driver import RealNaming, part, play_seed
from tests.predictions import holes
from tests.predictions.generate import Player
from tests.predictions.rows import ROWS

SEEDS = (*range(70), 76, 113, 134, 142, 163, 184, 245, 3_623)
"""The first ones, and those that reach what few do; the last, more strikes than are kept. `make verification` plays many more."""


def test_random_requests_end_as_the_rules_say() -> None:
    """With private ones, policies, appeals, liars, silence, bans and suspensions: every sentence of the page is played."""
    rows: Counter[str] = Counter()
    for seed in SEEDS:
        played = play_seed(seed)
        assert played.parted is None, (seed, played.parted)
        rows += played.rows
    assert [row for row in ROWS if not rows[row]] == []


def test_sixty_three_judges_are_told_of() -> None:
    """One event has no room for them all: what a receipt cannot carry would park the request."""
    naming = RealNaming()
    played = Player(5, naming=naming).run()
    assert part(played, naming) is None


@pytest.mark.full("of the model alone; it is played beside the handlers above")
@pytest.mark.parametrize("hole", holes.HOLES, ids=[str(hole.number) for hole in holes.HOLES])
def test_an_attack_on_the_rules_brings_nothing_any_more(hole: holes.Hole) -> None:
    assert holes.once(hole) > hole.most >= holes.now(hole)
