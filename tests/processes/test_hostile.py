"""Hostile images as jobs of a real node with a worker: each has a clear verdict, and the node goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest, LimitsRequest
from learningchain.client.sdk.types import Json
from tests.processes.harness import Graph, NodeProcess, Role, eventually, with_params
from tests.processes.scripted import JUDGE, declare
from tests.sandbox.hostile.archives.kit import Base, digest, document, tar
from tests.sandbox.hostile.cases import ARCHIVES, PROGRAMS
from tests.sandbox.hostile.stage import build_image

WORKS = {"work.enabled": True, "work.attempts": 1, "work.min_time_left_s": 5}
ROLES = [Role("v0", validator=True), Role("worker", settings=WORKS)]
PARAMS = with_params(job_min_open=5_000)
LIMITS = LimitsRequest(cpus=0.5, mem_mb=64, train_s=20, eval_s=20, model_cap=1_000, tmp_mb=8)
OPEN_S = 3_600
"""No run is late: what is asked is how each ends."""
SLOW_S = 90.0
"""Everything with containers: the engine, too, is shared."""

AS_JOBS = [
    program
    for program in PROGRAMS.values()
    if program.sampled
    and program.phase == "train"
    and not program.limits
    and program.name not in ("canary", "abstract_sockets", "engine_sockets")  # told what of this machine to look for
]
"""One of each kind that a worker may be given as a job's training, with the limits of a job."""


@pytest.mark.timeout(1_200)
async def test_after_each_hostile_program_the_node_answers_and_its_worker_goes_on(tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.tar"
    image_id = build_image(hostile)
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", ROLES, people=[JUDGE], params=PARAMS) as graph:
        contractor, worker = graph["v0"], graph["worker"]
        await graph.start()
        await declare(contractor, [JUDGE])
        await worker.logs("the sandbox is ready", within=SLOW_S)
        for program in AS_JOBS:
            run = await _run_of(worker, await _post(contractor, hostile, image_id, program.name))
            state, words = program.ends
            assert run["state"] == state and words in run["reason"], f"{program.name}: {run}"
            status, ready = await worker.api.status(), await worker.api.ready()
            assert (status["working"], status["failing"], ready["ready"]) == (True, [], True), program.name
            await worker.grows(1)
        well = await _run_of(worker, await _post(contractor, hostile, image_id, "good"))
        assert (well["state"], well["reason"]) == ("ok", "done")
        assert await worker.stop() == 0


async def test_hostile_images_get_a_clear_verdict_and_the_node_goes_on(tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.tar"
    image_id = build_image(hostile)
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", ROLES, people=[JUDGE], params=PARAMS) as graph:
        contractor, worker = graph["v0"], graph["worker"]
        await graph.start()
        await declare(contractor, [JUDGE])
        await worker.logs("the sandbox is ready", within=SLOW_S)

        refused = {
            name: await _post_archive(contractor, tmp_path / f"{name}.tar", name)
            for name in ("pipe_with_a_size", "users_are_random")
        }
        flood = await _post(contractor, hostile, image_id, "output_flood")
        ended = await _run_of(worker, flood)
        assert (ended["state"], ended["reason"]) == ("failed", "wrote more than 4194304 bytes of output")

        for name, job in refused.items():
            why = f"the image breaks a rule: {ARCHIVES[name].refused}"
            await eventually(f"the log says of {name}: {why}", lambda job=job, name=name: _told(worker, job, name), SLOW_S)
        states = {run["state"] for run in await worker.api.runs() if run["job"] in refused.values()}
        assert states <= {"not-fetched"}, "nothing of them ran"

        well = await _run_of(worker, await _post(contractor, hostile, image_id, "good"))
        assert (well["state"], well["reason"]) == ("ok", "done")
        await worker.grows(2)
        assert await worker.stop() == 0


async def _told(node: NodeProcess, job: str, name: str) -> bool:
    lines = [line for line in node.log.read_text("utf-8", "replace").splitlines() if job in line]
    return any("the image breaks a rule: " in line and ARCHIVES[name].refused in line for line in lines)


async def _post_archive(node: NodeProcess, path: Path, name: str) -> str:
    """A contractor that skips the command's own check of what it uploads."""
    layer = Base((tar(),), {})
    path.write_bytes(ARCHIVES[name].write(layer))
    return await _post(node, path, digest(document([])), "good")


async def _post(node: NodeProcess, path: Path, image_id: str, mode: str) -> str:
    stored = await node.api.upload(path)
    image = ImageRequest(cid=stored["cid"], image_id=image_id, size=stored["size"])
    job = JobRequest(image=image, bounty="1", expires_in_s=OPEN_S, params={"mode": mode}, limits=LIMITS)
    return (await node.api.submit_job(job, wait=30))["job"]


async def _run_of(node: NodeProcess, job: str) -> Json:
    """The first run of a job that has ended."""

    async def over() -> Json | None:
        return next((run for run in await node.api.runs() if run["job"] == job and run["phase"] == "train" and run["ended"]), None)

    return await eventually(f"a run of job {job[:8]} has ended", over, SLOW_S)
