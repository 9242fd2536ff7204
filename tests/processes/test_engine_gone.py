"""A real engine that goes away and comes back under a node: the node says so wherever it says how it is, and takes it back; a
training goes on from its checkpoint. And a self-test that is told to end leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest, LimitsRequest
from learningchain.client.sdk.types import Json
from learningchain.sandbox.images import build_python_image
from tests.processes.harness import PASSPHRASE, ROOT, Graph, NodeProcess, Role, eventually, with_params
from tests.processes.scripted import JUDGE, declare
from tests.processes.test_kill import JOB, WORKS
from tests.sandbox.hostile.engine import OwnEngine, lacking

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]
MINUTE_S = 60.0
START_S = 120.0
WELL, AWAY = (200, 200, 1.0, set[str]()), (503, 503, 0.0, {"engine.gone"})
SCRATCH = "learningchain-selftest-*"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnEngine]:
    if why := lacking():
        pytest.skip(why)
    made = await asyncio.to_thread(OwnEngine, tmp_path_factory.mktemp("engine"))
    try:
        yield made
    finally:
        await asyncio.to_thread(made.stop)


@pytest.fixture(scope="module")
def settings(engine: OwnEngine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    cache = str(tmp_path_factory.mktemp("cache"))
    return {"sandbox.engine": engine.url, "sandbox.cache_dir": cache, "work.enabled": True}


async def said(node: NodeProcess) -> tuple[int, int, float, set[str]]:
    """What monitors read, what inference clients read, the gauge, and what the operator is told of the engine."""
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {(node.data / 'api.token').read_text().strip()}"}
    ) as session:
        found = []
        for path in ("/readyz", "/v2/health/ready", "/metrics"):
            async with session.get(node.api.url + path) as answer:
                found.append((answer.status, await answer.text()))
    (gauge,) = [line.split()[1] for line in found[2][1].splitlines() if line.startswith("lc_sandbox_ok ")]
    topics = {one["topic"] for one in (await node.api.status())["notices"]}
    return found[0][0], found[1][0], float(gauge), topics & {"engine.gone"}


async def test_an_engine_that_goes_and_comes_back_is_told_and_taken_back(
    engine: OwnEngine, settings: dict[str, object], tmp_path: Path
) -> None:
    async with Graph(tmp_path, [Role("v0", validator=True, settings=settings)]) as graph:
        node = graph["v0"]
        await node.start()

        async def is_well() -> bool:
            return await said(node) == WELL

        async def is_away() -> bool:
            return await said(node) == AWAY

        await eventually("its sandbox is ready", is_well, START_S)
        await asyncio.to_thread(engine.end)
        await eventually("it says that the engine is gone", is_away, MINUTE_S)
        await asyncio.to_thread(engine.begin)
        await eventually("it says that the engine is back", is_well, MINUTE_S)
        assert await node.stop() == 0


@pytest.mark.full("its training lasts longer than the minute after which a checkpoint is looked for")
async def test_a_training_goes_on_from_its_checkpoint_when_the_engine_is_killed(
    engine: OwnEngine, settings: dict[str, object], tmp_path: Path
) -> None:
    archive = tmp_path / "job.tar"
    image_id = await asyncio.to_thread(build_python_image, archive, {"/lc/job": JOB.read_bytes()}, with_packages=())
    roles = [Role("v0", validator=True), Role("worker", settings=settings | WORKS)]
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", roles, people=[JUDGE], params=with_params(job_min_open=5_000)) as graph:
        contractor, worker = graph["v0"], graph["worker"]
        await graph.start()
        await declare(contractor, [JUDGE])
        await worker.logs("the sandbox is ready", within=START_S)
        stored = await contractor.api.upload(archive)
        job = JobRequest(
            image=ImageRequest(cid=stored["cid"], image_id=image_id, size=stored["size"]),
            bounty="10",
            expires_in_s=1_000,
            params={"train": 150, "evaluate": 0.5},
            limits=LimitsRequest(cpus=0.5, mem_mb=64, train_s=600, eval_s=20, model_cap=1_000, tmp_mb=8),
        )
        posted = (await contractor.api.submit_job(job, wait=30))["job"]

        async def kept() -> list[Path]:
            return list((worker.data / "work" / "checkpoints").glob("*"))

        (checkpoint,) = await eventually("a checkpoint is on the node's disk", kept, START_S + MINUTE_S)
        saved, (killed,) = int(checkpoint.read_text()), await _trainings(worker, posted)
        os.kill(engine.pid, signal.SIGKILL)
        await asyncio.to_thread(engine.end)
        await asyncio.to_thread(engine.begin)

        async def again() -> Json | None:
            other = [run for run in await _trainings(worker, posted) if run["started"] > killed["started"] and run["progress"]]
            return other[0] if other else None

        found = await eventually("the training goes on", again, START_S + MINUTE_S)
        assert (found["attempt"], found["seed"], found["progress"][0]["step"]) == (killed["attempt"], killed["seed"], saved + 1)

        async def claimed() -> bool:
            return bool((await contractor.api.job(posted))["claims"])

        await eventually("it is claimed", claimed, 2 * START_S)


async def _trainings(worker: NodeProcess, job: str) -> list[Json]:
    return [dict(run) for run in await worker.api.runs() if (run["job"], run["phase"]) == (job, "train")]


@pytest.mark.parametrize("words", [["node"], ["doctor", "--self-test"]], ids=" ".join)
async def test_a_self_test_that_is_told_to_end_leaves_no_folder(
    engine: OwnEngine, settings: dict[str, object], words: list[str], tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    async with Graph(tmp_path, [Role("v0", validator=True, settings=settings)]) as graph:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LEARNINGCHAIN_")}
        environment = kept | {"TMPDIR": str(scratch), "LEARNINGCHAIN_PASSPHRASE": PASSPHRASE}
        command = [sys.executable, "-m", "learningchain", *words, "--data", str(graph["v0"].data)]
        with (tmp_path / "log").open("wb") as log:
            child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:

            async def began() -> bool:
                return bool([*scratch.rglob(SCRATCH), *(graph["v0"].data / "sandbox").rglob(SCRATCH)])

            await eventually("the self-test has begun", began, START_S)
            child.send_signal(signal.SIGTERM)
            await asyncio.to_thread(child.wait, START_S)
        finally:
            child.kill()
        assert not await began() and not list(scratch.iterdir()), (tmp_path / "log").read_text()
        assert child.returncode == (0 if words == ["node"] else -signal.SIGTERM), (tmp_path / "log").read_text()
