"""Every broken node is caught within a few seeds, and the same runs of the real node are good."""

from __future__ import annotations

import pytest

from tests.sim.mutants import MUTANTS, PROFILES
from tests.sim.run import one

SEEDS = 20


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_node_is_caught(name: str) -> None:
    assert any(one(seed, profile=PROFILES.get(name), mutant=name).fault for seed in range(SEEDS))


@pytest.mark.parametrize("name", PROFILES)
def test_the_real_node_is_good_where_they_are_caught(name: str) -> None:
    assert one(1, profile=PROFILES[name]).fault == ""
