"""kill -9, twenty times, of whatever a training hangs on: the node, its machine's program, what guards that one's containers, or
several of them at once. Whatever happens no attempt is used up, and each job is claimed and paid.

The seed says who dies and when; another one: LC_KILL_SEED=n.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.processes.harness import eventually, free_port
from tests.processes.machine_lab import SLOW_S, Lab, laboratory, page
from tests.processes.machines import Machine

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1_500)]

SEED = int(os.environ.get("LC_KILL_SEED", "1"))
KILLS = 20
LENGTH_S = 60
VICTIMS = (("node",), ("machine",), ("guard",), ("node", "machine"), ("machine", "guard"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    typed = page("docs/machines.md", "cluster.kind").replace("10.0.0.7:7403", f"127.0.0.1:{free_port()}")
    async with laboratory(tmp_path_factory.mktemp("lab"), typed) as made:
        yield made


def _guards(machine: Machine) -> list[int]:
    """The processes that end the containers of a machine's dead program."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words, parent = path.read_bytes(), path.with_name("stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if b"reaper_program" in words and int(parent) == machine.pid:
            found.append(int(path.parent.name))
    return found


async def _dies(lab: Lab, machine: Machine, victims: tuple[str, ...]) -> None:
    """All of them at once; then the node and the machine are started again, as a service would."""
    for pid in _guards(machine) if "guard" in victims else ():
        os.kill(pid, signal.SIGKILL)
    if "machine" in victims:
        await machine.kill()
    if "node" in victims:
        await lab.node.kill()
        await lab.node.start()
    if "machine" in victims:
        machine.run()


@pytest.mark.full("unit/test_machines.py and unit/test_work_worker.py have each end alone; this takes minutes")
async def test_twenty_kills_lose_no_training(lab: Lab) -> None:
    rng, told = random.Random(SEED), list[tuple[str, ...]]()
    machine = Machine("gpu1", lab.folder, lab.host)
    await machine.join((await lab.node.api.add_machine(machine.name))["token"])
    machine.run()
    jobs: list[str] = []
    try:
        await machine.ready(lab.node, SLOW_S)
        while len(told) < KILLS:
            job = await lab.post({"train": LENGTH_S, "evaluate": 0.2, "examples": 40})
            jobs.append(job)

            async def runs_or_ended(job: str = job) -> str:
                if (await lab.graph["v0"].api.job(job))["claims"]:
                    return "claimed"
                return "runs" if any(not run["ended"] for run in await lab.runs(job, "train")) else ""

            while len(told) < KILLS and await eventually(f"a training, after {told}", runs_or_ended, SLOW_S) == "runs":
                await asyncio.sleep(rng.uniform(0, 6))
                told.append(rng.choice(VICTIMS))
                await _dies(lab, machine, told[-1])
            assert (await lab.paid(job))["state"] == "PAID", told
            runs = await lab.runs(job, "train")
            assert {run["attempt"] for run in runs} <= {1}, "it was the one attempt all the time"
        assert {who for victims in told for who in victims} == {"node", "machine", "guard"}
    finally:
        await machine.stop()
    assert not [name for name in machine.containers() if "-train-" in name]
