"""Who does what in the lasting graph, for a day or for a month: the same program with other numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.network import NetworkParams
from tests.sim.lasting.graph import HOUR_MS, Lasting, idle_looks
from tests.sim.lasting.people import HIDDEN, HOUR_S, HOURS, LARGE, LIMIT, LONG, MINUTES, Kind, People, until_hour
from tests.sim.market.logs import overheard
from tests.unit.composed_kit import holdings, left
from tests.unit.test_work_composed import LOGS, OWN_FEDERATIONS, OWN_REQUESTS, PINS
from tests.unit.work_kit import run_virtual

OWN = OWN_FEDERATIONS | OWN_REQUESTS | {"contractor.keys", "capacity.said"}
"""What users keep: a contractor its keys, too, as long as it may post its sealed data once more. And what a newcomer declared."""
BOUNDED = LOGS - {"table intents"}
"""As full as their own bound, sooner or later."""
RESTS = frozenset({"capacity.notices", "driver.notices.noticed"})
"""What a verifier says while it rests, as it slept when it was asked."""
WEEKS = 12
"""Days from which on sizes are compared: after four of them everything that is kept for two days has been let go of once."""


@dataclass(frozen=True)
class Plan:
    """`jobs`: of each kind, the hours at which it is posted. `rounds`: of each federation, one after the other."""

    days: int
    validators: str
    members: tuple[str, ...]
    jobs: tuple[tuple[Kind, tuple[float, ...]], ...]
    rounds: tuple[int, ...]
    owners: str
    servers: str
    ask_every_h: float
    keep_ms: int
    """How long what ended stays in the ledger's state."""
    sleeps: tuple[tuple[str, float, float], ...] = ()
    """Who is off from which hour to which."""
    jumps: tuple[tuple[str, float, int, float], ...] = ()
    """Who comes back at which hour with a clock that is so many milliseconds ahead, for how many minutes."""
    leaves: tuple[tuple[str, float], ...] = ()
    joins: tuple[tuple[str, float], ...] = ()
    replaced: tuple[tuple[str, str, float], ...] = ()
    """Which validator gives its place to whom, and when."""
    small: tuple[str, ...] = ()
    """Whose disk takes no large image."""


DAY = Plan(
    days=1,
    validators="abcd",
    members=("mia",),
    jobs=((MINUTES, (1, 2, 9, 15)), (HOURS, (1,)), (HIDDEN, (3, 12)), (LIMIT, (4,)), (LARGE, (6,))),
    rounds=(3, 3),
    owners="abc",
    servers="abcd",
    ask_every_h=5,
    keep_ms=2 * HOUR_MS,
    sleeps=(("d", 10, 14.5),),
    jumps=(("mia", 16, 2 * HOUR_MS, 120), ("c", 18, -2 * HOUR_MS, 60)),
    leaves=(("mia", 20),),
    small=("mia",),
    joins=(("nia", 5),),
    replaced=(("d", "nia", 19),),
)


def weeks(days: int) -> Plan:
    """The same every day, but for the long trainings of each third one, with a last day in which only that ends what was begun. At
    weekends some sleep, and once a week a clock is wrong, somebody comes and goes, and a validator is replaced and comes back."""
    full = range(days - 1)

    def daily(*hours: float, every: int = 1) -> tuple[float, ...]:
        return tuple(24 * day + hour for day in full if day % every == 0 for hour in hours)

    saturdays = [24 * day for day in full if day % 7 == 4]
    return Plan(
        days=days,
        validators="abcdefg",
        members=("hal", "ida", "joe", "kay"),
        jobs=(
            (MINUTES, daily(1, 9, 15)),
            (HOURS, daily(4, 13)),
            (HIDDEN, daily(3, 18)),
            (LIMIT, daily(5)),
            (LARGE, daily(6, every=2)),
            (LONG, tuple(hour for hour in daily(8, every=3) if hour < 24 * days - 72)),
        ),
        rounds=(30,) * (days - 3),
        owners="abc",
        servers="bcde",
        ask_every_h=5,
        keep_ms=48 * HOUR_MS,
        small=("joe",),
        sleeps=tuple((who, hour + 18, hour + 80) for hour in saturdays for who in ("g", "kay")),
        jumps=tuple(
            one
            for week, hour in enumerate(saturdays)
            for one in (
                ("hal", hour + 2.5, (2, -2, 24 * 400, -24 * 400)[week % 4] * HOUR_MS, 90.0),
                ("f", hour + 14, (-3, 24 * 400, -24 * 400, 3)[week % 4] * HOUR_MS, 200.0),
            )
        ),
        joins=tuple((f"guest{week}", hour + 1) for week, hour in enumerate(saturdays)),
        leaves=tuple((f"guest{week}", hour + 60) for week, hour in enumerate(saturdays) if hour + 96 < 24 * days),
        replaced=tuple(one for hour in saturdays for one in (("f", "ida", hour + 20), ("ida", "f", hour + 50))),
    )


def params(plan: Plan) -> Any:
    """An idle graph makes a block each ten minutes, and what is asked is answered within the blocks that come then."""
    keep = {"job_keep": plan.keep_ms, "fed_keep": plan.keep_ms, "pred_keep": plan.keep_ms}
    quick = {"pred_a0": 15_000, "pred_keys": 15_000, "pred_open": 10_000, "pred_row": 0}
    return NetworkParams(heartbeat=600_000, max_step=600_000, **keep, **quick)


def play(plan: Plan, folder: Path, tell: Callable[[str], None] = lambda _: None) -> People:
    """All of it. The faults that were found stand in the checks of what is returned; `tell` hears of them as they are found."""

    async def main() -> People:
        graph = Lasting(folder, plan.validators, list(plan.members), params(plan))
        for name in plan.small:
            graph.nodes[name].files.bound = 2**30
        graph.run()
        await graph.start()
        await graph.settle()
        before = {name: holdings(node) for name, node in graph.nodes.items()}
        people = People(graph)
        people.checks.tell = tell
        heard.world = people.checks
        await asyncio.gather(*scenes(plan, people))
        await graph.minutes(2 * plan.keep_ms / 60_000 + 60)
        for name, node in graph.nodes.items():
            rests = RESTS if graph.rests(name) else frozenset()
            stays = left(holdings(node), before.get(name, before["a"]), LOGS | OWN | PINS | rests)
            if stays or node.engine.images or node.engine.waiting:
                people.checks.fault(f"{name} still has {stays}, {node.engine.images}, {node.engine.waiting}")
        for run in (run for node in graph.nodes.values() for run in node.engine.ended_by_a_start):
            people.checks.fault(f"a start of its node ended {run}")
        guests = {name for name, _ in plan.joins}
        third = 8 * HOUR_S * plan.days
        for grown in people.checks.grown(third, 2 * third, 3 * third, guests, OWN | BOUNDED) if plan.days >= WEEKS else ():
            people.checks.fault(f"it grows: {grown}")
        for owed in people.checks.owed():
            people.checks.fault(f"an escrow is not settled: {owed}")
        await graph.stop()
        return people

    with idle_looks(), overheard() as heard:
        found: People = run_virtual(main())
        return found


def scenes(plan: Plan, people: People) -> list[Coroutine[Any, Any, None]]:
    return [
        *(_at(hour, people.job(kind)) for kind, hours in plan.jobs for hour in hours),
        _one_after_the_other(plan, people),
        people.serve(plan.servers, plan.ask_every_h, 24 * plan.days - 4),
        people.nights(plan.days),
        *(people.sleep(*one) for one in plan.sleeps),
        *(people.jump(*one) for one in plan.jumps),
        *(people.leave(*one) for one in plan.leaves),
        *(people.join(*one) for one in plan.joins),
        *(people.replace_validator(*one) for one in plan.replaced),
        _sizes(plan, people),
    ]


async def _at(hour: float, scene: Coroutine[Any, Any, None]) -> None:
    await until_hour(hour)
    await scene


async def _one_after_the_other(plan: Plan, people: People) -> None:
    for rounds in plan.rounds:
        await people.federation(plan.owners, rounds, HOUR_MS)


async def _sizes(plan: Plan, people: People) -> None:
    for _ in range(4 * plan.days):
        await asyncio.sleep(6 * HOUR_S)
        people.checks.measure()
