"""A contract that fails at every deadline: its job is parked alike on every node, the graph goes on, and later the job ends."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from learningchain.chain.errors import Code
from learningchain.chain.types import LogEvent, Receipt
from tests.sim.attacks.table import BY_NAME, NAMES
from tests.sim.fence import MEND, PATCH, FenceWorld, live
from tests.sim.profile import Profile, draw
from tests.sim.signatures import SIMULATED, signatures
from tests.tiers import sampled


def run(seed: int, profile: Profile) -> tuple[FenceWorld, dict[str, int], set[int]]:
    """The world after its run, the height at which each topic was told first, and the codes of its receipts."""
    topics, codes = dict[str, int](), set[int]()
    with signatures(SIMULATED), mock.patch(*PATCH):
        world = FenceWorld(seed, profile, BY_NAME)
        look = world.checks.chain.receipts

        def noted(height: int, receipts: list[Receipt], look: Any = look) -> None:
            codes.update(int(r.code) for r in receipts)
            for event in (event for r in receipts for event in r.events if isinstance(event, LogEvent)):
                topics.setdefault(event.topic, height)
            look(height, receipts)

        world.checks.chain.receipts = noted  # type: ignore[method-assign]
        world.run()
    return world, topics, codes


def test_a_job_at_which_a_program_fails_is_parked_and_goes_on_once_it_is_mended() -> None:
    world, topics, codes = run(1, Profile(transfers=40))
    assert topics["parked"] < MEND <= topics["released"] < topics["paid"]
    assert Code.PARKED in codes
    assert {m.node.state.root for m in world.machines} == {world.machines[0].node.state.root}
    assert not live(world.machines[0].node.state)
    assert not any(m.node.faults for m in world.machines)
    assert world.machines[0].node.height > topics["parked"] + 3, "the graph went on meanwhile"


@pytest.mark.parametrize("seed", sampled(range(6), 2, "every second seed runs here"))
def test_whatever_else_goes_wrong(seed: int) -> None:
    """Crashes, bad disks, liars, nodes that catch up by roots or by snapshot: all park the same, and the checkers see it."""
    profile = draw(seed, NAMES)
    if not profile.job or profile.heights:
        profile = Profile(validators=profile.validators, attacks=profile.attacks, loss=profile.loss, crashes=profile.crashes)
    _, topics, _ = run(seed, profile)
    assert topics["parked"] < topics["released"]
