"""A job in torch on real nodes and in real containers, from its posting to the pay: an image of 686 MB travels over the graph, is
written anew and loaded by each node, trained in by a worker and evaluated by every verifier.

What it takes is printed (`pytest -s`) and stands in docs/start-model.md.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from learningchain.chain.contracts.job import job_id_of
from learningchain.chain.contracts.job.params import JobParams
from learningchain.client.contracts.job.http.postings import build_job
from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest, LimitsRequest
from learningchain.examples.digits_torch import build
from learningchain.examples.digits_torch.shapes import SHAPES
from learningchain.examples.federation import wheel
from learningchain.examples.federation.federated import read_model
from learningchain.examples.federation.wheel import TorchMissing
from learningchain.sandbox import Sandbox, SandboxUnavailable
from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import NodeProcess, Person, Role, credits, eventually, micro

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1_800)]

ROOT = Path(__file__).resolve().parents[2]
JUDGES, WORKER = ("v1", "v2", "v3"), "w0"
CONTRACTOR = Person("contractor", "500")
BOUNTY = 100
SLOW_S = 400.0
"""Each node reads, writes anew and loads the image; torch is imported in each of the runs."""
LIMITS = LimitsRequest(cpus=1.0, mem_mb=512, train_s=600, eval_s=300, model_cap=20_000, tmp_mb=8)
GUESSED = 2.3
"""The loss of who knows nothing: ln 10."""


TRAIN = """
import os, sys
from pathlib import Path
from learningchain.examples.digits_torch import job
left, honest = int(sys.argv[2]), os.replace
def replace(*names):
    global left
    honest(*names)
    left -= 1
    if not left:
        os._exit(9)
os.replace = replace
sys.exit(job.main(["train"], Path(sys.argv[1])))
"""
"""A training that ends of a sudden after so many checkpoints."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def graph(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClockedGraph]:
    room = Sandbox(tmp_path_factory.mktemp("room"), node_tag=f"torch-{os.getpid()}")
    try:
        room.check_engine()
    except SandboxUnavailable as problem:
        pytest.fail(f"this test needs a Docker Engine: {problem}", pytrace=False)
    finally:
        room.close()
    common = {"sandbox.cache_dir": str(tmp_path_factory.mktemp("cache"))}
    roles = [
        Role("v0", validator=True),
        *(Role(name, validator=True, verifier=True, settings=common | {"work.verify": True}) for name in JUDGES),
        Role(WORKER, settings=common | {"work.enabled": True, "work.attempts": 1}),
    ]
    async with ClockedGraph(tmp_path_factory.mktemp("graph"), roles, people=[CONTRACTOR]) as made:
        await made.start()
        await asyncio.gather(*(made[name].logs("the sandbox is ready", within=SLOW_S) for name in (*JUDGES, WORKER)))
        await asyncio.gather(*(_can_judge(made["v0"], made[name]) for name in JUDGES))
        yield made


async def test_a_network_in_torch_is_trained_verified_and_paid(graph: ClockedGraph, tmp_path: Path) -> None:
    node, archive = graph["v0"], tmp_path / "image.tar"
    try:
        image_id = await asyncio.to_thread(build.build, archive)
    except TorchMissing as missing:
        pytest.skip(f"it needs torch: {missing}")
    watch = Watch()
    stored = await node.api.upload(archive)
    watch.tell(f"upload of {stored['size']} bytes into the contractor's node")
    image = ImageRequest(cid=stored["cid"], image_id=image_id, size=stored["size"])
    clock = (await node.api.status())["clock_now"]
    wanted = JobRequest(image=image, bounty=str(BOUNTY), expires_in_s=HOUR_MS / 1_000, params={"epochs": 5}, limits=LIMITS)
    done = await CONTRACTOR.send(node, build_job(wanted, clock, JobParams().job_rate))
    job = job_id_of(bytes.fromhex(done["tx"]), 0).hex()

    async def trains() -> bool:
        return any(run["job"] == job and run["phase"] == "train" for run in await graph[WORKER].api.runs())

    await eventually("the worker has the image and trains", trains, SLOW_S)
    watch.tell("the image is fetched, written anew, and a training begins")

    async def claimed() -> float | None:
        claims = (await node.api.job(job))["claims"]
        return float(claims[0]["loss"]) if claims else None

    loss = await eventually("the worker has claimed", claimed, SLOW_S)
    watch.tell("trained, evaluated and claimed")
    await graph.clock.advance(HOUR_MS)
    view = await node.job_in(job, "PAID", "REFUNDED", "EMPTY", within=2 * SLOW_S)
    watch.tell("verified by three and paid")

    seats = [seat for round_ in view["rounds"] for seat in round_["committee"]]
    assert (view["state"], view["winner"]) == ("PAID", graph[WORKER].address), view
    assert {seat["voter"] for seat in seats} == {graph[name].address for name in JUDGES}
    assert [vote["vote"] for seat in seats for vote in seat["votes"]] == ["OK"] * len(JUDGES)
    assert loss < GUESSED / 4, "it learned to read"
    model = await node.api.fetch_model(job, tmp_path / "model")
    assert set(read_model(model.path.read_bytes(), SHAPES)) == set(SHAPES)
    fees = sum(micro(seat["fee"]) for seat in seats)
    balances = await graph.balances(node)
    assert balances[graph[WORKER].address] == credits(1000 + BOUNTY)
    assert balances[CONTRACTOR.address] == credits(500 - BOUNTY) - fees
    watch.tell(f"fees of the verifiers: {fees} micro-credits")
    await graph.agree()


class Watch:
    """Says how long each step took: figures for the documentation, on which nothing depends."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def tell(self, what: str) -> None:
        now = time.monotonic()
        print(f"{now - self._last:7.1f} s  {what}")
        self._last = now


async def _can_judge(node: NodeProcess, verifier: NodeProcess) -> None:
    async def declared() -> bool:
        return (await node.api.account(verifier.address))["capacity"] is not None

    await eventually(f"{verifier.name} says what its machine takes", declared, SLOW_S)


async def test_a_training_that_was_cut_short_makes_the_model_that_it_would_have_made(tmp_path: Path) -> None:
    rows = [",".join(str((row * 7 + pixel) % 17) for pixel in range(64)) + f",{row % 10}\n" for row in range(300)]
    job = {"v": 2, "phase": "train", "seed": 3, "budget_s": 600, "threads": 1, "mem_mb": 512, "params": {"epochs": 4}}
    try:
        python_path = os.pathsep.join([str(ROOT), str(await asyncio.to_thread(wheel.torch_folder))])
    except TorchMissing as missing:
        pytest.skip(f"it needs torch: {missing}")

    def train(name: str, checkpoints: int, before: Path | None = None) -> tuple[int, Path]:
        lc = tmp_path / name / "lc"
        for folder in ("in", "out"):
            (lc / folder).mkdir(parents=True)
        (lc / "train.csv").write_text("".join(rows[:250]))
        (lc / "eval.csv").write_text("".join(rows[250:]))
        (lc / "in/job.json").write_text(json.dumps(job))
        if before is not None:
            (lc / "in/checkpoint").write_bytes(before.read_bytes())
        command = [sys.executable, "-c", TRAIN, str(tmp_path / name), str(checkpoints)]
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": python_path}, timeout=SLOW_S, check=False)
        return done.returncode, lc / "out"

    code, whole = await asyncio.to_thread(train, "whole", 100)
    assert code == 0
    code, cut = await asyncio.to_thread(train, "cut", 2)
    assert (code, (cut / "model").exists()) == (9, False)
    assert (cut / "checkpoint").stat().st_size <= 3 * LIMITS.model_cap
    code, rest = await asyncio.to_thread(train, "rest", 3, cut / "checkpoint")
    assert code == 0, "two epochs are left of four"
    assert (rest / "model").read_bytes() == (whole / "model").read_bytes()
