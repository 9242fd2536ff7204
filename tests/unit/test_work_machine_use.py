"""Whether somebody uses the machine, as trainings that wait for that are told."""

from __future__ import annotations

import asyncio

import pytest

from learningchain.client.work.machine_use import LOOK_S, OLD_S, MachineUse, last_input
from tests.unit.work_kit import Inline


async def settled() -> None:
    """What a thread found is there."""
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("idle_s", "busy", "minutes", "alone", "why"),
    [
        (60, 0.0, 2, True, "1 minutes ago"),
        (180, 0.0, 2, True, ""),
        (180, 0.9, 2, True, "90% of this machine's processors"),
        (180, 0.9, 2, False, ""),
        (0, 0.9, 2, False, "0 minutes ago"),
    ],
    ids=["typed", "nobody", "other programs", "busy with our own runs", "typed beside our own runs"],
)
async def test_who_uses_it(idle_s: float, busy: float, minutes: int, alone: bool, why: str) -> None:
    use = MachineUse(lambda: (idle_s, busy), lambda: 0.0, Inline())
    assert "not known yet" in use.why(minutes, alone=alone), "nothing begins before somebody looked"
    await settled()
    told = use.why(minutes, alone=alone)
    assert (why in told) and bool(told) == bool(why)


async def test_it_looks_again_while_it_is_asked_and_counts_on_in_between() -> None:
    now, seen = [0.0], [(0.0, 0.0)]
    looks: list[float] = []

    def see() -> tuple[float, float]:
        looks.append(now[0])
        return seen[0]

    use = MachineUse(see, lambda: now[0], Inline())
    for at in (0.0, 1.0, LOOK_S - 1, LOOK_S + 2, LOOK_S + 3):
        now[0] = at
        assert use.why(1, alone=True)
        await settled()
    assert looks == [0.0, LOOK_S + 2]
    now[0] = LOOK_S + 3 + LOOK_S - 1
    assert use.why(1, alone=True), "29 seconds after a look that said just now"
    now[0] = LOOK_S + 3 + 60
    assert use.why(1, alone=True) == "", "a minute after the last look, which was of just now"


@pytest.mark.parametrize("taken", [True, False], ids=["the look was asked for", "the look that had begun was not"])
async def test_what_was_seen_hours_ago_says_nothing_of_now(taken: bool) -> None:
    """Outside the owner's hours nobody asks: when they begin, somebody may type."""
    now, seen = [0.0], [(3_600.0, 0.0)]
    use = MachineUse(lambda: seen[0], lambda: now[0], Inline())
    use.why(15, alone=True)
    await settled()
    if taken:
        assert use.why(15, alone=True) == ""
    now[0], seen[0] = 4 * OLD_S, (1.0, 0.0)
    assert "not known yet" in use.why(15, alone=True)
    await settled()
    assert "0 minutes ago" in use.why(15, alone=True)


@pytest.mark.parametrize(
    ("told", "at"),
    [
        ("IdleHint=no\nIdleSinceHint=1000000\n", 900.0),
        ("IdleHint=yes\nIdleSinceHint=500000000\n", 500.0),
        ("IdleHint=yes\nIdleSinceHint=0\n", 0.0),
        ("", 0.0),
    ],
    ids=["somebody is there", "since then", "nobody ever", "another system"],
)
def test_what_logind_says_of_all_sessions(told: str, at: float) -> None:
    assert last_input(told, 900.0) == at
