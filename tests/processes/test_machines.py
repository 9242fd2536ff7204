"""Many machines under one identity, on real nodes and two real engines, as docs/machines.md types it: a training runs on the second
one, is claimed and paid.

The worker's node is one place, the machine another with a Docker Engine of its own; windows end when the test says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.processes.clocked import HOUR_MS
from tests.processes.harness import eventually, free_port
from tests.processes.machine_lab import SLOW_S, Lab, laboratory, page
from tests.processes.machines import Machine
from tests.processes.terminal import Owner

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = "docs/machines.md"
LONG = pytest.mark.full("unit/test_machines.py has a model that is too long, and every other lie")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    typed = page(PAGE, "cluster.kind").replace("10.0.0.7:7403", f"127.0.0.1:{free_port()}")
    async with laboratory(tmp_path_factory.mktemp("lab"), typed) as made:
        yield made


async def test_a_training_runs_on_the_second_machine_and_is_paid(lab: Lab, tmp_path: Path) -> None:
    owner = Owner(lab.node, tmp_path)
    machine = Machine("gpu1", lab.folder, lab.host)
    await machine.join((await owner.types(page(PAGE, "machine add"))).splitlines()[0])
    machine.run()
    try:
        await machine.ready(lab.node, SLOW_S)
        table = await owner.types(page(PAGE, "learningchain machines"))
        assert "gpu1" in table and "ready" in table
        job = await lab.post({"train": 4, "evaluate": 0.2, "examples": 40})

        async def trains_there() -> bool:
            return any("-train-" in name for name in machine.containers())

        await eventually("the second engine trains", trains_there, SLOW_S)
        view = await lab.paid(job)
        assert view["state"] == "PAID" and view["winner"] == lab.node.address
        assert "an image was fetched" in machine.said() and "status=ok" in machine.said().replace("'", "")
        (run,) = await lab.runs(job, "train")
        assert lab.node.says("a run was placed on a machine") and "on the machine gpu1" in run["reason"]
        assert run["state"] == "ok" and run["progress"], "what it printed is shown on the node"
        assert not (machine.data / "keystore.json").exists()
        assert not list((machine.data / "machine" / "sandbox" / "out").iterdir()), "what the node has, the machine let go"
    finally:
        await machine.stop()
    await lab.node.api.remove_machine("gpu1")


@pytest.mark.full("unit/test_machines.py has a machine that started anew and holds its run no more")
async def test_a_machine_that_is_killed_costs_no_attempt(lab: Lab) -> None:
    machine = Machine("gpu2", lab.folder, lab.host)
    await machine.join((await lab.node.api.add_machine(machine.name))["token"])
    machine.run()
    try:
        await machine.ready(lab.node, SLOW_S)
        job = await lab.post({"train": 8, "evaluate": 0.2, "examples": 40})

        async def trains_there() -> bool:
            return any("-train-" in name for name in machine.containers("--filter", "status=running"))

        await eventually("the second engine trains", trains_there, SLOW_S)
        await machine.kill()
        machine.run()
        view = await lab.paid(job)
        assert view["state"] == "PAID" and view["winner"] == lab.node.address
        first, *more = sorted(await lab.runs(job, "train"), key=lambda run: run["started"])
        assert first["state"] == "engine-error" and more[-1]["state"] == "ok"
        assert {run["attempt"] for run in (first, *more)} == {1}, "it was the one attempt all the time"
    finally:
        await machine.stop()
    await lab.node.api.remove_machine("gpu2")


async def test_a_training_goes_on_while_its_node_is_killed_and_starts_again(lab: Lab) -> None:
    machine = Machine("gpu3", lab.folder, lab.host)
    await machine.join((await lab.node.api.add_machine(machine.name))["token"])
    machine.run()
    try:
        await machine.ready(lab.node, SLOW_S)
        job = await lab.post({"train": 10, "evaluate": 0.2, "examples": 40})

        async def trains_there() -> bool:
            return any("-train-" in name for name in machine.containers("--filter", "status=running"))

        await eventually("the second engine trains", trains_there, SLOW_S)
        await lab.node.kill()
        await lab.node.start()
        view = await lab.paid(job)
        assert view["state"] == "PAID" and view["winner"] == lab.node.address
        (run,) = await lab.runs(job, "train")
        assert run["state"] == "ok" and run["attempt"] == 1
        assert machine.said().count("run begins") == 1, "it began once"
    finally:
        await machine.stop()
    await lab.node.api.remove_machine("gpu3")


@pytest.mark.parametrize("how", ["changed", pytest.param("long", marks=LONG)])
async def test_a_lying_machine_costs_no_more_than_the_run(lab: Lab, how: str) -> None:
    machine = Machine(f"liar-{how}", lab.folder, lab.host, ["-m", "tests.processes.lying_machine", how])
    await machine.join((await lab.node.api.add_machine(machine.name))["token"])
    machine.run()
    before = (await lab.node.api.account(lab.node.address))["balance"]
    try:
        await machine.ready(lab.node, SLOW_S)
        job = await lab.post({"train": 1, "evaluate": 0.2, "examples": 40})
        if how == "changed":

            async def found_out() -> bool:
                return any(run["ended"] for run in await lab.runs(job, "check"))

            await eventually("the node's own check ended", found_out, SLOW_S)
            (check,) = await lab.runs(job, "check")
            assert check["state"] != "ok"
            assert not (await lab.node.api.job(job))["claims"], "nothing was claimed, so no stake was laid"
            await lab.graph.clock.advance(HOUR_MS)
            await lab.node.job_in(job, "EMPTY", "REFUNDED", within=SLOW_S)
            assert (await lab.node.api.account(lab.node.address))["balance"] == before
        else:
            assert (await lab.paid(job))["state"] == "PAID", "the node trained by itself then"
            first = min(await lab.runs(job, "train"), key=lambda run: run["started"])
            assert first["state"] == "engine-error" and "1 to 1000 are allowed" in first["reason"]
    finally:
        await machine.stop()
    await lab.node.api.remove_machine(machine.name)
