"""A node that is killed, restarted and stopped in the middle of a training, and a container that is killed, on a real engine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import docker
import pytest

from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest, LimitsRequest
from learningchain.sandbox.images import build_python_image
from tests.processes.harness import Graph, NodeProcess, Role, eventually, with_params
from tests.processes.scripted import JUDGE, declare
from tests.processes.test_kill import JOB, SLOW_S, WORKS

ROLES = [Role("v0", validator=True), Role("worker", settings=WORKS)]
TRAIN_S = 80
LIMITS = LimitsRequest(cpus=0.5, mem_mb=64, train_s=400, eval_s=20, model_cap=1_000, tmp_mb=8)


@pytest.mark.full("unit/test_work_restart.py has the rules, sandbox/test_outliving.py the containers")
async def test_a_training_goes_on_over_kill_9_a_restart_and_its_containers_end_but_not_over_the_owners_stop(tmp_path: Path) -> None:
    archive = tmp_path / "job.tar"
    image_id = await asyncio.to_thread(build_python_image, archive, {"/lc/job": JOB.read_bytes()}, with_packages=())
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", ROLES, people=[JUDGE], params=with_params(job_min_open=5_000)) as graph:
        contractor, worker = graph["v0"], graph["worker"]
        await graph.start()
        await declare(contractor, [JUDGE])
        await worker.logs("the sandbox is ready", within=SLOW_S)
        stored = await contractor.api.upload(archive)
        image = ImageRequest(cid=stored["cid"], image_id=image_id, size=stored["size"])

        first = await _post(contractor, image)
        step, began, container = await _trains(worker, first, beyond=0)
        await worker.kill()
        await worker.start()
        step, again, same = await _trains(worker, first, beyond=step)
        assert (again, same) == (began, container), "the run and its container are those of before"
        await restart(worker)
        step, again, same = await _trains(worker, first, beyond=step)
        assert (again, same) == (began, container)
        docker.from_env().containers.get(container[0]).kill()
        step, again, other = await _trains(worker, first, beyond=step)
        newest = max(await worker.api.runs(), key=lambda run: run["started"])
        assert (again > began, newest["job"], newest["progress"][0]["step"] > 1) == (True, first, True), "from its checkpoint"
        assert other[0] != container[0]
        await eventually("it is claimed", lambda: _claimed(contractor, first), SLOW_S + TRAIN_S)

        second = await _post(contractor, image)
        await _trains(worker, second, beyond=0)
        assert await worker.stop() == 0
        assert _containers(worker) == []


async def _post(contractor: NodeProcess, image: ImageRequest) -> str:
    params = {"train": TRAIN_S, "evaluate": 0.5}
    job = JobRequest(image=image, bounty="10", expires_in_s=1_000, params=params, limits=LIMITS)
    return (await contractor.api.submit_job(job, wait=30))["job"]


async def _trains(worker: NodeProcess, job: str, beyond: int) -> tuple[int, int, tuple[str, str]]:
    """The step that a training has come to, since when it runs, and its container's id and start."""

    async def now() -> Any:
        runs = [run for run in await worker.api.runs() if (run["job"], run["phase"], run["state"]) == (job, "train", "running")]
        return runs[0] if runs and runs[0]["progress"] and runs[0]["progress"][-1]["step"] > beyond else None

    run = await eventually(f"the training of {worker.name} goes on beyond step {beyond}", now, SLOW_S)
    (found,) = _containers(worker)
    return run["progress"][-1]["step"], run["started"], (found["Id"], found["State"]["StartedAt"])


def _containers(worker: NodeProcess) -> list[dict[str, Any]]:
    """Of its jobs, as the engine inspects them; not those of a self-test."""
    mine = {"label": [f"learningchain.node={worker.address[:20]}", "learningchain.until"]}
    found = docker.from_env().containers.list(all=True, filters=mine, ignore_removed=True)
    return [one.attrs for one in found if one.labels["learningchain.run"].startswith("train")]


async def restart(worker: NodeProcess) -> None:
    """By the command: it asks the node that runs to leave."""
    before, worker._process = worker._process, None
    assert before is not None
    await worker.start("--restart")
    assert await asyncio.to_thread(before.wait) == 0


async def _claimed(node: NodeProcess, job: str) -> bool:
    return bool((await node.api.job(job))["claims"])
