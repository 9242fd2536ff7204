"""kill -9, twenty times, of whatever a training hangs on: the node, its machine's program, what guards that one's containers, or
several of them at once. Whatever happens no attempt is used up, and each job is claimed and paid.

Four parts of five kills, each part a test that can be run alone (`-k part0`). The seed says who dies and when: LC_KILL_SEED=n. What
each kill came to is printed (`-rP`).
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.processes.harness import eventually, free_port
from tests.processes.machine_lab import SLOW_S, Lab, laboratory, page
from tests.processes.machines import Machine

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]

SEED = int(os.environ.get("LC_KILL_SEED", "1"))
PARTS = 4
LENGTH_S = 60
VICTIMS = (("node",), ("machine",), ("guard",), ("node", "machine"), ("machine", "guard"))
DEATHS = sum("machine" in victims for victims in VICTIMS)


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


async def _came_back(lab: Lab, machine: Machine) -> float:
    """Seconds from the node's first answer until it has heard of its machine, and of the runs there."""
    since = time.monotonic()

    async def heard() -> bool:
        return any(one["name"] == machine.name and one["heard"] for one in await lab.node.api.machines())

    await eventually("the machine is back", heard, SLOW_S)
    return time.monotonic() - since


@pytest.mark.full("unit/test_machines.py and unit/test_work_worker.py have each end alone; this takes minutes")
@pytest.mark.parametrize("part", range(PARTS), ids=[f"part{part}" for part in range(PARTS)])
async def test_kills_lose_no_training(lab: Lab, part: int) -> None:
    rng, told, jobs = random.Random(f"{SEED} {part}"), list[str](), list[str]()
    left = rng.sample(VICTIMS, len(VICTIMS))
    machine = Machine(f"gpu{part}", lab.folder, lab.host)
    await machine.join((await lab.node.api.add_machine(machine.name))["token"])
    machine.run()
    try:
        await machine.ready(lab.node, SLOW_S)
        while left:
            jobs.append(job := await lab.post({"train": LENGTH_S, "evaluate": 0.2, "examples": 40}))

            async def runs_or_ended(job: str = job) -> str:
                if (await lab.graph["v0"].api.job(job))["claims"]:
                    return "claimed"
                ready = any(one["name"] == machine.name and one["state"] == "ready" for one in await lab.node.api.machines())
                return "runs" if ready and any(not run["ended"] for run in await lab.runs(job, "train")) else ""

            while left and await eventually(f"a training, after {told}", runs_or_ended, SLOW_S) == "runs":
                await asyncio.sleep(rng.uniform(0, 6))
                victims, since = left.pop(), time.monotonic()
                await _dies(lab, machine, victims)
                back = await _came_back(lab, machine) if victims == ("node",) else None
                told.append(
                    f"{'+'.join(victims)}, {time.monotonic() - since:.1f} s" + (f", adopted in {back:.2f} s" if back else "")
                )
            assert (await lab.paid(job))["state"] == "PAID", told
            runs = await lab.runs(job, "train")
            assert {run["attempt"] for run in runs} <= {1}, "it was the one attempt all the time"
        begun = re.findall(r"run begins.* run=(\S+)", machine.said())
        assert 0 < len(begun) == len(set(begun)) <= len(jobs) + DEATHS, f"none began anew but by its machine's end: {told}"
    finally:
        await machine.stop()
        print(f"part {part}, {len(jobs)} jobs: {'; '.join(told)}")
    await lab.node.api.remove_machine(machine.name)
    assert not [name for name in machine.containers() if "-train-" in name]
