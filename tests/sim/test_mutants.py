"""Every broken node is caught within a few seeds, in runs in which the real node is good."""

from __future__ import annotations

from typing import Any

import pytest

from learningchain.chain.types import LogEvent, Receipt, quorum
from tests.sim.mutants import MUTANTS, applied
from tests.sim.mutants.hunt import hunt, unseen
from tests.sim.mutants.patch import DoesNotApply, Edit, Mutant
from tests.sim.mutants.scenes import SCENES
from tests.sim.signatures import SIMULATED, signatures
from tests.tiers import sampled

SEEDS = 40

SLOW = ("receipts of an outcome believed", "log not replayed", "allowance spent again and again")
"""They need the longest runs before somebody notices."""
QUICK = [name for name in MUTANTS if name not in SLOW]


@pytest.mark.parametrize(
    "name",
    [
        *sampled(QUICK, 3, "every third mutant runs here"),
        *(pytest.param(name, marks=pytest.mark.full("its runs are the longest")) for name in SLOW),
    ],
)
def test_a_broken_node_is_caught(name: str) -> None:
    caught = hunt(name, SEEDS)
    assert caught.seed is not None, f"survived {SEEDS} seeds; it changed nothing in {unseen(name, 10)} of 10"


def test_every_edit_still_fits() -> None:
    for mutant in MUTANTS.values():
        with applied(mutant):
            pass


def test_an_edit_that_no_longer_fits_is_an_error() -> None:
    gone = Mutant("gone", (Edit("learningchain.chain.types", "return 2 * n // 3 + 7", "return 1"),))
    twice = Mutant("twice", (Edit("learningchain.chain.types", "return", "return"),))
    nothing = Mutant("nothing", (Edit("learningchain.chain.types", "return 2 * n // 3 + 1", "return 2 * n // 3 + 1  # the same"),))
    for stale in (gone, twice, nothing):
        with pytest.raises(DoesNotApply), applied(stale):
            pass


def test_afterwards_the_node_is_whole_again() -> None:
    with applied(MUTANTS["quorum off by one"]):
        assert quorum(4) == 2
    assert quorum(4) == 3


def test_the_rough_market_is_rough() -> None:
    """Nobody should trust an empty simulation: what the contracts know happens, and much of what they refuse."""
    seen: set[int | str] = set()
    topics = {"paid", "refunded", "suspended", "case.judged", "case.lapsed", "silent", "strike", "bond", "key", "key.missing"}
    topics |= {"second.round", "unrepeatable", "verifier.rests", "cancelled", "capacity"}
    for seed in range(SEEDS):
        if topics <= seen:
            break
        with signatures(SIMULATED):
            world = SCENES["rough market"].make(seed)
            look = world.checks.chain.receipts

            def noted(height: int, receipts: list[Receipt], look: Any = look) -> None:
                seen.update(int(r.code) for r in receipts)
                seen.update(event.topic for r in receipts for event in r.events if isinstance(event, LogEvent))
                look(height, receipts)

            world.checks.chain.receipts = noted  # type: ignore[method-assign]
            world.run()
    assert not topics - seen
    assert len([code for code in seen if isinstance(code, int)]) > 20
