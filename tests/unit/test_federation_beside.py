"""The federation contract's real handlers beside the executable model: state, money and refusals after every block."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.federation import holes
from tests.federation.fuzz import play_federations
from tests.federation.rows import ROWS
from tests.federation_driver import play_seed

SEEDS = (*range(200), 206, 218, 228, 240, 295, 342, 370, 394)
"""The first ones, and those that reach what few do; `make verification` plays many more."""


def test_random_federations_go_on_as_the_rules_say() -> None:
    """With liars, silence, denial, bans, suspensions, benches and ends of every kind: every sentence of the model is played."""
    rows: Counter[str] = Counter()
    for seed in SEEDS:
        played = play_seed(seed)
        assert played.parted is None, (seed, played.parted)
        rows += played.rows
    assert [row for row in ROWS if not rows[row]] == []


# --- the model alone ------------------------------------------------------------------------------------------------------------


@pytest.mark.full("of the model alone; it is played beside the handlers above")
def test_every_property_holds_in_two_thousand_random_federations() -> None:
    assert play_federations(2_000).missed() == []


@pytest.mark.full("of the model alone; it is played beside the handlers above")
@pytest.mark.parametrize("hole", holes.HOLES, ids=[hole.name for hole in holes.HOLES])
def test_an_attack_on_the_rules_brings_nothing_any_more(hole: holes.Hole) -> None:
    assert holes.once(hole) > hole.most >= holes.now(hole)
