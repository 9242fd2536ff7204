"""A member that alone has the image of the best-paying job and sends it as slowly as it likes: the worker trains and claims for
others meanwhile, and gives the slow one up when it falls below what a transfer has to bring."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from pathlib import Path

import pytest

from learningchain.chain.codec import encode
from learningchain.chain.contracts.job import job_id_of
from learningchain.chain.contracts.job.params import JobParams
from learningchain.client.contracts.job.http.postings import build_job
from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest, LimitsRequest
from learningchain.client.work.transfers import LEAST, STEP_S, WINDOW_S
from learningchain.p2p.content.cid import Cid, Codec, cid_of, from_bytes
from learningchain.p2p.content.dag import CHUNK, Builder
from learningchain.p2p.content.messages import ContentBlock, Has, WantBlocks, WhoHas, decode_message
from learningchain.p2p.wire import CONTENT, QUEUE_VOTES
from learningchain.sandbox.images import build_python_image
from tests.processes.asker import Asker
from tests.processes.harness import Graph, NodeProcess, Person, Role, eventually, with_params
from tests.processes.scripted import JUDGE, declare
from tests.unit.content_kit import pieces

LEAVES = 800
"""200 MiB: at its slowest it would take an hour and a half, at its fastest longer than all waits of this test."""
GOES_ON_S, DRIPS_S = 1.0, 7.0
"""Seconds from block to block: more than twice what goes on where nobody waits, and a third of it. Neither is ever a stall."""
GIVEN_UP_AFTER = 20
"""Blocks at most, of those that are sent at the slower rate: three are a window."""
SLOW_S = 90.0
"""Everything with containers: the engine, too, is shared."""
STRANGER, HONEST = Person("stranger", "500"), Person("honest contractor", "500")
LIMITS = LimitsRequest(cpus=0.5, mem_mb=64, train_s=300, eval_s=120, model_cap=1_000, tmp_mb=8)
WORKS = {"work.enabled": True, "work.attempts": 1, "work.min_time_left_s": 5}
ROLES = [Role("v0", validator=True), Role("worker", settings=WORKS), Role("slow")]


class SlowServer(Asker):
    """Says that it has a file and sends what is wanted of it block by block, one every `pause_s`."""

    def __init__(self, graph: Graph, member: NodeProcess, nodes: list[NodeProcess]) -> None:
        super().__init__(graph, member, nodes)
        self.pause_s, self.sent = GOES_ON_S, 0
        self._wanted: deque[tuple[bytes, Cid]] = deque()
        self._nodes: dict[Cid, bytes] = {}
        self._leaves: dict[Cid, int] = {}
        builder = Builder(self._nodes.__setitem__)
        for number, piece in enumerate(pieces(LEAVES * CHUNK)):
            builder.feed(piece)
            self._leaves[cid_of(Codec.RAW, piece)] = number
        self.root = builder.finish()

    def _answer(self, peer: bytes, channel: int, payload: bytes) -> None:
        message = decode_message(payload) if channel == CONTENT else None
        match message:
            case WhoHas() if message.root == self.root.to_bytes():
                self.network.send(peer, CONTENT, encode(Has(message.root)), QUEUE_VOTES)
            case WantBlocks():
                self._wanted += [(peer, from_bytes(cid)) for cid in message.blocks]

    async def drip(self) -> None:
        while True:
            await asyncio.sleep(self.pause_s)
            if self._wanted:
                peer, cid = self._wanted.popleft()
                block = ContentBlock(self.root.to_bytes(), cid.to_bytes(), self._block(cid))
                self.sent += self.network.send(peer, CONTENT, encode(block), QUEUE_VOTES)

    def _block(self, cid: Cid) -> bytes:
        if cid in self._nodes:
            return self._nodes[cid]
        number = self._leaves[cid]
        return next(itertools.islice(pieces(LEAVES * CHUNK), number, None))


@pytest.mark.full("unit/test_work_transfers.py has the same downloads in virtual time")
async def test_one_image_that_drips_holds_up_no_other_job_of_a_worker(tmp_path: Path) -> None:
    assert CHUNK / DRIPS_S < LEAST < CHUNK / GOES_ON_S / 2 and WINDOW_S / DRIPS_S + STEP_S / DRIPS_S < GIVEN_UP_AFTER / 4
    archive = tmp_path / "job.tar"
    image_id = await asyncio.to_thread(
        build_python_image, archive, {"/lc/job": Path(__file__).with_name("slow_job.py").read_bytes()}, with_packages=()
    )
    (tmp_path / "graph").mkdir()
    people, params = [JUDGE, STRANGER, HONEST], with_params(job_min_open=5_000)
    async with Graph(tmp_path / "graph", ROLES, people=people, params=params) as graph:
        node, worker = graph["v0"], graph["worker"]
        await graph.start("v0", "worker")
        await declare(node, [JUDGE])
        await worker.logs("the sandbox is ready", within=SLOW_S)
        slow = SlowServer(graph, graph["slow"], [worker])
        dripping = asyncio.create_task(slow.drip())
        try:
            await slow.connect()
            size = LEAVES * CHUNK
            hog = await _post(STRANGER, node, ImageRequest(cid=str(slow.root), image_id="11" * 32, size=size), 100)
            await eventually("the slow image is on its way", lambda: _has_sent(slow, 3))

            stored = await node.api.upload(archive)
            honest = await _post(HONEST, node, ImageRequest(cid=stored["cid"], image_id=image_id, size=stored["size"]), 1)
            await eventually("the worker has claimed for the other job", lambda: _claimed(node, honest, worker), SLOW_S)
            assert not worker.says("an image is not to be had"), "the slow one was on its way all the time"
            before = slow.sent

            slow.pause_s = DRIPS_S
            await worker.logs(f"less than {LEAST}", within=SLOW_S)
            assert slow.sent - before < GIVEN_UP_AFTER
            await eventually("the operator is told", lambda: _told(worker, hog))
            assert not (await node.api.job(hog))["claims"]
            await worker.grows(1)
        finally:
            dripping.cancel()
            await slow.network.stop()
        assert await worker.stop() == 0


async def _post(poster: Person, node: NodeProcess, image: ImageRequest, bounty: int) -> str:
    clock = (await node.api.status())["clock_now"]
    params = {"train": 1, "evaluate": 0.1, "examples": 40}
    wanted = JobRequest(image=image, bounty=str(bounty), expires_in_s=3_600, params=params, limits=LIMITS)
    done = await poster.send(node, build_job(wanted, clock, JobParams().job_rate))
    return job_id_of(bytes.fromhex(done["tx"]), 0).hex()


async def _has_sent(slow: SlowServer, blocks: int) -> bool:
    return slow.sent >= blocks


async def _claimed(node: NodeProcess, job: str, worker: NodeProcess) -> bool:
    return worker.address in {claim["claimant"] for claim in (await node.api.job(job))["claims"]}


async def _told(worker: NodeProcess, job: str) -> bool:
    return any(run["job"] == job and run["state"] == "not-fetched" for run in await worker.api.runs())
