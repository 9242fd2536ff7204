"""The federation contract's real handlers beside the executable model: state, money and refusals after every block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from tests.federation import holes
from tests.federation.fuzz import play_federations
from tests.federation.rows import CELLS, ROWS
from tests.federation_driver import play_cells, play_seed
from tests.side_by_side import PlaySeed

SEEDS = (*range(200), 206, 218, 228, 240, 295, 342, 370, 394)
CELL_SEEDS = (*range(40), 61, 70, 109, 118, 173, 196, 237, 251, 276, 1_069)
"""The first ones, and those that reach what few do; `make verification` plays many more."""


@pytest.mark.parametrize(
    ("play", "seeds", "wanted"), [(play_seed, SEEDS, ROWS), (play_cells, CELL_SEEDS, CELLS)], ids=["rows", "cells"]
)
def test_random_federations_go_on_as_the_rules_say(play: PlaySeed, seeds: Sequence[int], wanted: Sequence[str]) -> None:
    """With liars, silence, denial, bans, suspensions, benches and ends of every kind: every sentence of the model is played, and
    with cells every refusal."""
    rows: Counter[str] = Counter()
    for seed in seeds:
        played = play(seed)
        assert played.parted is None, (seed, played.parted)
        rows += played.rows
    assert [row for row in wanted if not rows[row]] == []


# --- the model alone ------------------------------------------------------------------------------------------------------------


@pytest.mark.full("of the model alone; it is played beside the handlers above")
@pytest.mark.parametrize("cells", [False, True])
def test_every_property_holds_in_two_thousand_random_federations(cells: bool) -> None:
    assert play_federations(2_000, cells=cells).missed() == []


@pytest.mark.full("of the model alone; it is played beside the handlers above")
@pytest.mark.parametrize("hole", holes.HOLES, ids=[hole.name for hole in holes.HOLES])
def test_an_attack_on_the_rules_brings_nothing_any_more(hole: holes.Hole) -> None:
    assert holes.once(hole) > hole.most >= holes.now(hole)
