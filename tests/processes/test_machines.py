"""Many machines under one identity, on real nodes and two real engines, as docs/machines.md types it: a training runs on the second
one, is claimed and paid.

The worker's node is one place, the machine another with a Docker Engine of its own; windows end when the test says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from learningchain.chain.contracts.job import job_id_of
from learningchain.chain.contracts.job.params import JobParams
from learningchain.client.contracts.job.http.postings import build_job
from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest, LimitsRequest
from learningchain.client.sdk.types import Json
from learningchain.sandbox.images import build_python_image
from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import NodeProcess, Person, Role, eventually, free_port
from tests.processes.machines import Machine, engine
from tests.processes.terminal import Owner
from tests.unit.readme_kit import blocks

pytestmark = pytest.mark.asyncio(loop_scope="module")

JUDGES = ("v1", "v2", "v3")
OWNER = Person("contractor", "500")
BOUNTY = 100
SLOW_S = 180.0
"""Everything with containers: five nodes, a machine and their runs share two cores."""
LIMITS = LimitsRequest(cpus=0.5, mem_mb=64, train_s=300, eval_s=120, model_cap=1_000, tmp_mb=8)


@dataclass
class Lab:
    graph: ClockedGraph
    image: ImageRequest
    folder: Path
    host: str
    """The second engine."""

    @property
    def node(self) -> NodeProcess:
        return self.graph["w0"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    folder, cache = tmp_path_factory.mktemp("lab"), {"sandbox.cache_dir": str(tmp_path_factory.mktemp("cache"))}
    works = cache | {"work.enabled": True, "work.attempts": 1}
    judges = [Role(name, validator=True, verifier=True, settings=cache | {"work.verify": True}) for name in JUDGES]
    roles = [Role("v0", validator=True), *judges, Role("w0", settings=works)]
    path, job = folder / "slow.tar", Path(__file__).with_name("slow_job.py")
    image_id = await asyncio.to_thread(build_python_image, path, {"/lc/job": job.read_bytes()}, with_packages=())
    async with engine(folder / "engine") as host, ClockedGraph(tmp_path_factory.mktemp("graph"), roles, people=[OWNER]) as graph:
        setting = page("cluster.kind").replace("10.0.0.7:7403", f"127.0.0.1:{free_port()}")
        await Owner(graph["w0"], tmp_path_factory.mktemp("setting")).types(setting)
        await graph.start()
        await asyncio.gather(*(graph[name].logs("the sandbox is ready", within=SLOW_S) for name in (*JUDGES, "w0")))
        for name in JUDGES:
            await eventually(f"{name} says what it takes", lambda name=name: _can_judge(graph, name), SLOW_S)  # type: ignore[misc]
        stored = await graph["v0"].api.upload(path)
        yield Lab(graph, ImageRequest(cid=stored["cid"], image_id=image_id, size=stored["size"]), folder, host)


async def _can_judge(graph: ClockedGraph, name: str) -> bool:
    return (await graph["v0"].api.account(graph[name].address))["capacity"] is not None


async def test_a_training_runs_on_the_second_machine_and_is_paid(lab: Lab, tmp_path: Path) -> None:
    owner = Owner(lab.node, tmp_path)
    machine = Machine("gpu1", lab.folder, lab.host)
    await machine.join((await owner.types(page("machine add"))).splitlines()[0])
    machine.run()
    try:
        await machine.ready(lab.node, SLOW_S)
        table = await owner.types(page("learningchain machines"))
        assert "gpu1" in table and "ready" in table
        job = await _post(lab, {"train": 4, "evaluate": 0.2, "examples": 40})

        async def trains_there() -> bool:
            return any("-train-" in name for name in machine.containers())

        await eventually("the second engine trains", trains_there, SLOW_S)
        view = await _paid(lab, job)
        assert view["state"] == "PAID" and view["winner"] == lab.node.address
        assert "an image was fetched" in machine.said() and "status=ok" in machine.said().replace("'", "")
        (run,) = await _runs(lab, job, "train")
        assert lab.node.says("a run was placed on a machine") and "on the machine gpu1" in run["reason"]
        assert run["state"] == "ok" and run["progress"], "what it printed is shown on the node"
        assert not (machine.data / "keystore.json").exists()
        assert not list((machine.data / "machine" / "sandbox" / "out").iterdir()), "what the node has, the machine let go"
    finally:
        await machine.stop()
    await lab.node.api.remove_machine("gpu1")


async def test_a_machine_that_is_killed_costs_no_attempt(lab: Lab) -> None:
    machine = Machine("gpu2", lab.folder, lab.host)
    await machine.join((await lab.node.api.add_machine(machine.name))["token"])
    machine.run()
    try:
        await machine.ready(lab.node, SLOW_S)
        job = await _post(lab, {"train": 8, "evaluate": 0.2, "examples": 40})

        async def trains_there() -> bool:
            return any("-train-" in name for name in machine.containers("--filter", "status=running"))

        await eventually("the second engine trains", trains_there, SLOW_S)
        await machine.kill()
        machine.run()
        view = await _paid(lab, job)
        assert view["state"] == "PAID" and view["winner"] == lab.node.address
        first, *more = sorted(await _runs(lab, job, "train"), key=lambda run: run["started"])
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
        job = await _post(lab, {"train": 20, "evaluate": 0.2, "examples": 40})

        async def trains_there() -> bool:
            return any("-train-" in name for name in machine.containers("--filter", "status=running"))

        await eventually("the second engine trains", trains_there, SLOW_S)
        await lab.node.kill()
        await lab.node.start()
        view = await _paid(lab, job)
        assert view["state"] == "PAID" and view["winner"] == lab.node.address
        (run,) = await _runs(lab, job, "train")
        assert run["state"] == "ok" and run["attempt"] == 1
        assert machine.said().count("run begins") == 1, "it began once"
    finally:
        await machine.stop()
    await lab.node.api.remove_machine("gpu3")


@pytest.mark.parametrize("how", ["changed", "long"])
async def test_a_lying_machine_costs_no_more_than_the_run(lab: Lab, how: str) -> None:
    machine = Machine(f"liar-{how}", lab.folder, lab.host, ["-m", "tests.processes.lying_machine", how])
    await machine.join((await lab.node.api.add_machine(machine.name))["token"])
    machine.run()
    before = (await lab.node.api.account(lab.node.address))["balance"]
    try:
        await machine.ready(lab.node, SLOW_S)
        job = await _post(lab, {"train": 1, "evaluate": 0.2, "examples": 40})
        if how == "changed":

            async def found_out() -> bool:
                return any(run["ended"] for run in await _runs(lab, job, "check"))

            await eventually("the node's own check ended", found_out, SLOW_S)
            (check,) = await _runs(lab, job, "check")
            assert check["state"] != "ok"
            assert not (await lab.node.api.job(job))["claims"], "nothing was claimed, so no stake was laid"
            await lab.graph.clock.advance(HOUR_MS)
            await lab.node.job_in(job, "EMPTY", "REFUNDED", within=SLOW_S)
            assert (await lab.node.api.account(lab.node.address))["balance"] == before
        else:
            assert (await _paid(lab, job))["state"] == "PAID", "the node trained by itself then"
            first = min(await _runs(lab, job, "train"), key=lambda run: run["started"])
            assert first["state"] == "engine-error" and "1 to 1000 are allowed" in first["reason"]
    finally:
        await machine.stop()
    await lab.node.api.remove_machine(machine.name)


def page(words: str) -> str:
    """The one block of the page to be typed that has these words."""
    (found,) = [block.text for block in blocks("docs/machines.md") if block.language == "sh" and words in block.text]
    return found


async def _post(lab: Lab, params: Json) -> str:
    node = lab.graph["v0"]
    clock = (await node.api.status())["clock_now"]
    wanted = JobRequest(image=lab.image, bounty=str(BOUNTY), expires_in_s=HOUR_MS / 1_000, params=params, limits=LIMITS)
    done = await OWNER.send(node, build_job(wanted, clock, JobParams().job_rate))
    return job_id_of(bytes.fromhex(done["tx"]), 0).hex()


async def _runs(lab: Lab, job: str, phase: str) -> list[Json]:
    return [dict(run) for run in await lab.node.api.runs() if run["job"] == job and run["phase"] == phase]


async def _paid(lab: Lab, job: str) -> Json:
    async def claimed() -> bool:
        return bool((await lab.graph["v0"].api.job(job))["claims"])

    await eventually("the worker has claimed", claimed, SLOW_S)
    await lab.graph.clock.advance(HOUR_MS)
    return dict(await lab.node.job_in(job, "PAID", "REFUNDED", "EMPTY", within=SLOW_S))
