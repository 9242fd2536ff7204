"""A worker loses its machine with an open claim: from a backup it comes back elsewhere, shows its model and is paid."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from learningchain.client import config
from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest, LimitsRequest
from learningchain.sandbox import Sandbox, SandboxUnavailable
from learningchain.sandbox.images import build_python_image
from tests.processes.harness import (
    PASSPHRASE,
    Graph,
    NodeProcess,
    Role,
    command,
    credits,
    eventually,
    free_port,
    micro,
    with_params,
)

JOB = Path(__file__).with_name("slow_job.py")
VERIFIES = {"work.verify": True}
WORKS = {"work.enabled": True, "work.attempts": 1, "work.min_time_left_s": 5}
ROLES = [
    Role("v0", validator=True),
    *(Role(f"v{i}", validator=True, verifier=True, settings=VERIFIES) for i in (1, 2, 3)),
    Role("worker", settings=WORKS),
]
PARAMS = with_params(job_min_open=5_000, job_reveal=20_000, job_vote_base=90_000, job_open_votes=60_000)
LIMITS = LimitsRequest(cpus=0.5, mem_mb=64, train_s=20, eval_s=20, model_cap=1_000, tmp_mb=8)
OPEN_S = 32
BOUNTY = 100
SLOW_S = 120.0
WORD = {"LEARNINGCHAIN_PASSPHRASE": PASSPHRASE}
pytestmark = pytest.mark.timeout(500)


@pytest.fixture
def archive(tmp_path: Path) -> tuple[Path, str]:
    room = Sandbox(tmp_path / "room", node_tag=f"restore-{os.getpid()}")
    try:
        room.check_engine()
    except SandboxUnavailable as problem:
        pytest.fail(f"this test needs a Docker Engine: {problem}", pytrace=False)
    finally:
        room.close()
    path = tmp_path / "slow.tar"
    return path, build_python_image(path, {"/lc/job": JOB.read_bytes()}, with_packages=())


@pytest.mark.full("minutes: test_backup.py puts a validator back, unit/test_backup.py has an open claim in a backup")
async def test_a_lost_machine_comes_back_with_its_open_claim_and_is_paid(tmp_path: Path, archive: tuple[Path, str]) -> None:
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", ROLES, params=PARAMS) as graph:
        contractor, worker = graph["v0"], graph["worker"]
        await graph.start()
        await asyncio.gather(*(graph[name].logs("the sandbox is ready", within=SLOW_S) for name in ("v1", "v2", "v3", "worker")))
        stored = await contractor.api.upload(archive[0])
        image = ImageRequest(cid=stored["cid"], image_id=archive[1], size=stored["size"])
        terms = JobRequest(image=image, bounty=str(BOUNTY), expires_in_s=OPEN_S, params={"train": 1, "evaluate": 1}, limits=LIMITS)
        job = (await contractor.api.submit_job(terms, wait=30))["job"]

        async def claimed() -> bool:
            return any(claim["claimant"] == worker.address for claim in (await contractor.api.job(job))["claims"])

        await eventually("the worker claims", claimed, SLOW_S)
        file = tmp_path / "worker.backup"
        code, _, err = await command(worker, "backup", str(file), environment=WORD)
        assert code == 0, err
        await worker.kill()
        shutil.rmtree(worker.data)

        restored = NodeProcess("restored", graph.folder / "elsewhere", worker.identity)
        code, _, err = await command(restored, "restore", str(file), environment=WORD)
        assert code == 0, err
        config.change(restored.data, {"network.listen": f"127.0.0.1:{free_port()}", "api.listen": f"127.0.0.1:{free_port()}"})
        graph.nodes["worker"] = restored
        await restored.start()

        found = await contractor.job_in(job, "PAID", "REFUNDED", "EMPTY", within=SLOW_S + 100)
        assert (found["state"], found["winner"]) == ("PAID", restored.address)
        await graph.agree()
        assert micro(await contractor.api.balance(restored.address)) == credits(1000 + BOUNTY)
        assert await graph.conserved() == credits(5 * 1000)
        await graph.no_fork()
        await asyncio.gather(*(node.stop() for node in graph))
