"""A graph grows by tokens and votes and shrinks by votes, while jobs go on: newcomers work, verify and take validators' places."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from learningchain.client import config
from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest, LimitsRequest
from learningchain.client.keys.keystore import Keystore
from learningchain.sandbox import Sandbox, SandboxUnavailable
from learningchain.sandbox.images import build_python_image
from tests.network import NetworkParams
from tests.processes.harness import (
    PASSPHRASE,
    PATIENCE_S,
    Graph,
    NodeProcess,
    Role,
    credits,
    eventually,
    micro,
    validators,
    with_params,
)
from tests.processes.scripted import JUDGE, declare, terms
from tests.processes.test_governance import decide, the_set_is
from tests.processes.test_joining import Newcomer, token_of

JOB = Path(__file__).with_name("slow_job.py")
VERIFIES: dict[str, Any] = {"work.verify": True}
WORKS: dict[str, Any] = {"work.enabled": True, "work.attempts": 1, "work.min_time_left_s": 5}
PARAMS = with_params(job_min_open=5_000, job_reveal=6_000, job_vote_base=90_000, job_open_votes=60_000)
LIMITS = LimitsRequest(cpus=0.5, mem_mb=64, train_s=20, eval_s=20, model_cap=1_000, tmp_mb=8)
BOUNTY, GIFT, OPEN_S = 100, 50, 60
SLOW_S = 240.0
"""Everything with containers: the engine, too, is shared."""


async def joined(graph: Graph, name: str, inviter: NodeProcess, settings: dict[str, Any]) -> NodeProcess:
    """A machine that comes by a token, and its node, which runs."""
    newcomer = Newcomer(graph.folder, name)
    code, said = await newcomer.says(await token_of(inviter, credits=str(GIFT)))
    assert code == 0, said
    config.change(newcomer.data, settings)
    node = NodeProcess(name, newcomer.data, Keystore.open(newcomer.data / "keystore.json", PASSPHRASE))
    graph.nodes[name] = node
    await node.start()
    await node.reaches(await inviter.height())
    return node


async def flag(present: list[NodeProcess], node: NodeProcess) -> None:
    await decide(present, "verifier", account=node.address, on=True)
    await eventually(f"{node.name} verifies", lambda: _has_flag(node))


async def _has_flag(node: NodeProcess) -> bool:
    return bool((await node.api.account())["verifier"])


async def test_a_newcomer_by_a_token_verifies_and_takes_a_validator_s_place_while_a_job_is_open(tmp_path: Path) -> None:
    roles = validators(2)
    async with Graph(tmp_path, roles, people=[JUDGE], params=NetworkParams(heartbeat=200, job_min_open=1_000)) as graph:
        await graph.start()
        v0, v1 = graph["v0"], graph["v1"]
        new = await joined(graph, "n0", v0, {"work.verify": False})
        await declare(v0, [JUDGE])
        clock = (await v0.api.status())["clock_now"]
        await new.api.submit_tx([terms(clock + 3_600_000)], new.identity.key, wait=PATIENCE_S)
        await flag([v0, v1], new)
        await decide([v0, v1], "add-validator", account=new.address)
        await the_set_is([v0, v1, new])
        await decide([v0, new, v1], "remove-validator", account=v1.address)
        await the_set_is([v0, new])
        assert await v1.stop() == 0
        await new.grows(2)
        await graph.agree()
        await graph.conserved()


@pytest.fixture
def archive(tmp_path: Path) -> tuple[Path, str]:
    room = Sandbox(tmp_path / "room", node_tag=f"growing-{os.getpid()}")
    try:
        room.check_engine()
    except SandboxUnavailable as problem:
        pytest.fail(f"this test needs a Docker Engine: {problem}", pytrace=False)
    finally:
        room.close()
    path = tmp_path / "slow.tar"
    return path, build_python_image(path, {"/lc/job": JOB.read_bytes()}, with_packages=())


async def _post(contractor: NodeProcess, path: Path, image_id: str) -> str:
    stored = await contractor.api.upload(path)
    image = ImageRequest(cid=stored["cid"], image_id=image_id, size=stored["size"])
    steps = {"train": 3, "evaluate": 2}
    done = await contractor.api.submit_job(
        JobRequest(image=image, bounty=str(BOUNTY), expires_in_s=OPEN_S, params=steps, limits=LIMITS), wait=30
    )
    return str(done["job"])


@pytest.mark.full("the test above grows and shrinks without containers, test_kill has a job in containers")
@pytest.mark.timeout(900)
async def test_four_grow_to_nine_by_tokens_and_shrink_to_five_by_votes_while_jobs_run(
    tmp_path: Path, archive: tuple[Path, str]
) -> None:
    roles = [
        Role("v0", validator=True),
        *(Role(f"v{i}", validator=True, verifier=True, settings=VERIFIES) for i in (1, 2, 3)),
    ]
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", roles, params=PARAMS) as graph:
        await graph.start()
        old = [graph[f"v{i}"] for i in range(4)]
        await asyncio.gather(*(node.logs("the sandbox is ready", within=SLOW_S) for node in old[1:]))
        worker = await joined(graph, "n0", old[1], WORKS)
        await worker.logs("the sandbox is ready", within=SLOW_S)

        first = await _post(old[0], *archive)
        new = [worker, *[await joined(graph, f"n{i}", old[i % 4], {"work.verify": False}) for i in (2, 3, 4, 5)]]
        for node in new[1:3]:
            await flag(old, node)
        present = list(old)
        for node in new:
            await decide(present, "add-validator", account=node.address)
            present.append(node)
            await the_set_is(present)
        view = await old[0].job_in(first, "PAID", within=SLOW_S)
        assert view["winner"] == worker.address
        assert micro(await old[0].api.balance(worker.address)) == credits(GIFT + BOUNTY), "it worked at once and was paid"

        second = await _post(old[0], *archive)
        for node in old:
            present.remove(node)
            await decide([*present, node], "remove-validator", account=node.address)
            await the_set_is(present)
        assert len(present) == 5
        assert (await worker.job_in(second, "PAID", within=SLOW_S))["winner"] == worker.address
        await graph.agree()
        await graph.conserved(*new)
        await asyncio.gather(*(node.stop() for node in graph))
