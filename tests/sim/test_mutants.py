"""Every broken node is caught within a few seeds, in runs in which the real node is good."""

from __future__ import annotations

import pytest

from tests.sim.mutants import MUTANTS
from tests.sim.mutants.hunt import hunt, unseen

SEEDS = 40


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_node_is_caught(name: str) -> None:
    caught = hunt(name, SEEDS)
    assert caught.seed is not None, f"survived {SEEDS} seeds; it changed nothing in {unseen(name, 10)} of 10"


def test_there_are_as_many_as_were_promised() -> None:
    assert len(MUTANTS) >= 30
