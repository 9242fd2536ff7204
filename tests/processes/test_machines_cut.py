"""A machine behind a cable of its own: cut while it trains and mended in time, nothing is lost; cut for longer, the run alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.processes.harness import eventually, free_port
from tests.processes.hasty import LOST_S
from tests.processes.machine_lab import SLOW_S, Lab, laboratory, page
from tests.processes.machines import Cable, Machine

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(cable: Cable, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    typed = page("docs/machines.md", "cluster.kind").replace("10.0.0.7:7403", f"{cable.NODE}:{free_port()}")
    async with laboratory(tmp_path_factory.mktemp("lab"), typed) as made:
        yield made


async def _trains(machine: Machine) -> None:
    async def there() -> bool:
        names = machine.containers("--filter", "status=running")
        return any("-train-" in name and "-selftest-" not in name for name in names)

    await eventually("the machine trains", there, SLOW_S)


async def _is(lab: Lab, name: str, state: str) -> None:
    async def there() -> bool:
        return any(one["name"] == name and one["state"] == state for one in await lab.node.api.machines())

    await eventually(f"{name} is {state}", there, SLOW_S)


@pytest.mark.parametrize("how", ["mended in time", "mended too late"])
async def test_a_cable_is_cut_while_a_machine_trains(lab: Lab, cable: Cable, how: str) -> None:
    machine = Machine(f"gpu-{how[-4:]}", lab.folder, lab.host, place=cable.place)
    await machine.join((await lab.node.api.add_machine(machine.name))["token"])
    machine.run()
    try:
        await machine.ready(lab.node, SLOW_S)
        job = await lab.post({"train": 20, "evaluate": 0.2, "examples": 40})
        await _trains(machine)
        cable.cut()
        await _is(lab, machine.name, "away")
        if how == "mended too late":

            async def is_over() -> bool:
                return any(run["ended"] for run in await lab.runs(job, "train"))

            await eventually("the run is over for the node", is_over, SLOW_S)
        cable.mend()
        await _is(lab, machine.name, "ready")
        assert (await lab.paid(job))["state"] == "PAID"
        first, *more = sorted(await lab.runs(job, "train"), key=lambda run: run["started"])
        assert first["attempt"] == 1 and all(run["attempt"] == 1 for run in more), "it was the one attempt all the time"
        if how == "mended in time":
            assert first["state"] == "ok" and not more and machine.said().count("run begins") == 1
        else:
            assert first["state"] == "engine-error" and more[-1]["state"] == "ok"
            assert f"has been away for {LOST_S:g} s" in first["reason"]
            out = machine.data / "machine" / "sandbox" / "out"

            async def let_go() -> bool:
                return not list(out.iterdir())

            await eventually("the machine let go of what nobody needs", let_go, SLOW_S)
    finally:
        cable.mend()
        await machine.stop()
    await lab.node.api.remove_machine(machine.name)
