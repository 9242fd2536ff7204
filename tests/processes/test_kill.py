"""kill -9 in the middle of a real job in real containers: it settles as if nothing had happened."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest, LimitsRequest
from learningchain.client.sdk.types import Json
from learningchain.sandbox import Sandbox, SandboxUnavailable
from learningchain.sandbox.images import build_python_image
from tests.processes import scripted
from tests.processes.harness import Graph, NodeProcess, Person, Role, credits, eventually, micro, with_params

JOB = Path(__file__).with_name("slow_job.py")
VERIFIES = {"work.verify": True}
WORKS = {"work.enabled": True, "work.attempts": 1, "work.min_time_left_s": 5}
ROLES = [
    Role("v0", validator=True),
    *(Role(f"v{i}", validator=True, verifier=True, settings=VERIFIES) for i in (1, 2, 3)),
    Role("worker", settings=WORKS),
]
PARAMS = with_params(job_min_open=5_000, job_reveal=6_000, job_vote_base=90_000, job_open_votes=60_000)
STEPS = {"train": 3, "evaluate": 2}
LIMITS = LimitsRequest(cpus=0.5, mem_mb=64, train_s=20, eval_s=20, model_cap=1_000, tmp_mb=8)
OPEN_S = 45
BOUNTY = 100
SLOW_S = 120.0
"""Everything with containers: the engine, too, is shared."""
RIVAL = Person("rival")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    room = Sandbox(tmp_path_factory.mktemp("room"), node_tag=f"kill-{os.getpid()}")
    try:
        room.check_engine()
    except SandboxUnavailable as problem:
        pytest.fail(f"this test needs a Docker Engine: {problem}", pytrace=False)
    finally:
        room.close()
    path = tmp_path_factory.mktemp("image") / "slow.tar"
    return path, build_python_image(path, {"/lc/job": JOB.read_bytes()}, with_packages=())


@pytest.mark.full("the soak kills nodes, and the demo runs real jobs")
async def test_a_job_survives_kill_9_of_a_validator_and_of_the_working_node(tmp_path: Path, archive: tuple[Path, str]) -> None:
    async with Graph(tmp_path, ROLES, people=[RIVAL], params=PARAMS) as graph:
        contractor, worker, v1 = graph["v0"], graph["worker"], graph["v1"]
        await graph.start()
        await asyncio.gather(*(_is_ready(graph[name]) for name in ("v1", "v2", "v3", "worker")))

        job = await _post(contractor, *archive)
        rival = scripted.announcement(graph.genesis.chain_id, job, RIVAL, "0.9")
        await RIVAL.send(contractor, rival.claim)
        await _in_the_middle_of(worker, "train")
        await asyncio.gather(worker.kill(), v1.kill())
        await asyncio.gather(worker.start(), v1.start())

        await contractor.job_in(job, "REVEAL", within=SLOW_S)
        await RIVAL.send(contractor, rival.opening)
        await _in_the_middle_of(v1, "verify")
        await asyncio.gather(worker.kill(), v1.kill())
        await asyncio.gather(worker.start(), v1.start())

        await contractor.job_in(job, "PAID", "REFUNDED", "EMPTY", within=SLOW_S)
        await graph.agree()
        for node in graph:
            await _settled_correctly(graph, node, job)
        assert await graph.conserved() == credits(5 * 1000 + 100), "nothing was burned: nobody did wrong"
        await graph.no_fork()
        await asyncio.gather(*(node.stop() for node in graph))


async def _is_ready(node: NodeProcess) -> None:
    await node.logs("the sandbox is ready", within=SLOW_S)


async def _post(contractor: NodeProcess, path: Path, image_id: str) -> str:
    stored = await contractor.api.upload(path)
    image = ImageRequest(cid=stored["cid"], image_id=image_id, size=stored["size"])
    job = JobRequest(image=image, bounty=str(BOUNTY), expires_in_s=OPEN_S, params=STEPS, limits=LIMITS)
    done = await contractor.api.submit_job(job, wait=30)
    return done["job"]


async def _in_the_middle_of(node: NodeProcess, phase: str) -> None:
    """A container of this node is at work: it has reported progress, and has not ended."""

    async def running() -> bool:
        return any(r["phase"] == phase and r["state"] == "running" and r["progress"] for r in await node.api.runs())

    await eventually(f"{node.name} is in the middle of {phase}", running, SLOW_S)


async def _settled_correctly(graph: Graph, node: NodeProcess, job: str) -> None:
    """Paid to the lowest loss, found true by every verifier, nobody struck."""
    worker, view = graph["worker"], await node.api.job(job)
    assert (view["state"], view["winner"]) == ("PAID", worker.address)
    claims: dict[str, Json] = {claim["claimant"]: dict(claim) for claim in view["claims"]}
    assert claims[worker.address]["result"] == "OK"
    assert claims[RIVAL.address]["result"] is None and claims[RIVAL.address]["stake_is"] == "released"
    committee = {v["voter"]: v for v in view["rounds"][0]["committee"]}
    assert set(committee) == {graph[name].address for name in ("v1", "v2", "v3")}
    assert [vote["vote"] for v in committee.values() for vote in v["votes"]] == ["OK"] * 3
    assert not any(v["struck"] for v in committee.values())
    assert micro(await node.api.balance(worker.address)) == credits(1000 + BOUNTY)
    assert micro(await node.api.balance(RIVAL.address)) == credits(100)
    fees = sum(micro(v["fee"]) for v in committee.values())
    assert micro(await node.api.balance(graph["v0"].address)) == credits(1000 - BOUNTY) - fees
    for other in graph:
        assert not (await node.api.account(other.address))["strikes"]
