"""A tiny job on a real engine: trained, claimed, verified and paid by the work of several nodes over one ledger in this process."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from learningchain.chain.contracts.job import Image, ImageKind, Limits
from learningchain.chain.types import parse_loss
from learningchain.chain.verification.scale import FloatKind
from learningchain.client.work import WorkConfig, WorkDriver
from learningchain.client.work.engine import ThreadedSandbox
from learningchain.p2p.content.cid import parse
from learningchain.sandbox import Sandbox, SandboxUnavailable
from learningchain.sandbox.images import build_python_image
from tests.network import NetworkParams
from tests.unit.work_kit import START_MS, Chain, FilesDouble, LedgerDouble, Web, posting

JOB = Path(__file__).parents[2] / "examples" / "minimal" / "job.py"
PARAMS = NetworkParams(job_reveal=3_000, job_vote_base=40_000, job_open_votes=5_000, max_step=200_000)
WORKERS = ["a", "b", "c"]
SECOND_MS = 15_000
"""Before the expiry: an evaluation of ten seconds, and a margin."""
LIMITS = Limits(cpus_milli=1_000, mem_mb=96, train_s=20, eval_s=10, model_cap=4_096, tmp_mb=8, threads=1)


@pytest.fixture
def sandboxes(tmp_path: Path) -> Iterator[dict[str, Sandbox]]:
    """One per node, under tags of their own; at the end nothing of them is left on the engine."""
    made = {name: Sandbox(tmp_path / name / "sandbox", node_tag=f"work-{os.getpid()}-{name}") for name in WORKERS}
    try:
        made["a"].check_engine()
    except SandboxUnavailable as problem:
        pytest.fail(f"these tests need a Docker Engine: {problem}", pytrace=False)
    yield made
    for sandbox in made.values():
        assert sandbox.cleanup().problems == ()


async def drive(chain: Chain, began: float, job: bytes, works: list[WorkDriver]) -> None:
    """Blocks as real time goes by, until the job has ended. Once everybody claimed and nothing runs, it is at once so
    late that the second evaluations begin."""
    ahead = 0
    while not chain.ended(job):
        assert time.monotonic() - began < 200, chain.describe(job)
        found = chain.describe(job)
        idle = all(run["ended"] for work in works for run in work.run_log.list())
        if not ahead and idle and len(found["claims"]) == len(works) and all(len(w.run_log.list()) >= 4 for w in works):
            ahead = found["expiry"] - chain.clock - SECOND_MS
        chain.time = START_MS + int((time.monotonic() - began) * 1_000) + ahead
        chain.block(1)
        await asyncio.sleep(0.1)


async def test_a_real_job_is_trained_verified_and_paid(tmp_path: Path, sandboxes: dict[str, Sandbox]) -> None:
    began = time.monotonic()
    chain = Chain(WORKERS, ["boss"], PARAMS)
    web = Web()
    files = {name: FilesDouble(web, name, tmp_path / name / "files", chain.ids[name]) for name in (*WORKERS, "boss")}
    image_id = build_python_image(tmp_path / "image.tar", {"/lc/job": JOB.read_bytes()}, with_packages=())
    cid, size = await files["boss"].add(tmp_path / "image.tar", pin="own")
    works = [
        WorkDriver(
            WorkConfig(enabled=True, attempts=2),
            LedgerDouble(chain, name),
            files[name],
            tmp_path / name,
            ThreadedSandbox(sandboxes[name], runs=2, self_test=False),
            now=lambda: int(time.time() * 1_000),
            rng=random.Random(name).randbytes,
        )
        for name in WORKERS
    ]
    try:
        for work in works:
            await work.start()
        image = Image(ImageKind.ARCHIVE, "", parse(cid).to_bytes(), bytes.fromhex(image_id.removeprefix("sha256:")), size)
        chain.time = START_MS + int((time.monotonic() - began) * 1_000)
        terms = posting(chain.clock + 150_000, image=image, limits=LIMITS, float_kind=int(FloatKind.F64), floor=0)
        tx = chain.offer("boss", [terms])
        chain.block(1)
        assert chain.results[tx].code == 0
        job = next(key[2:] for key, _ in chain.state.scan(b"j/", 1))
        await drive(chain, began, job, works)

        found = chain.describe(job)
        assert found["state"] == "PAID", found
        votes = [vote for r in found["rounds"] for seat in r["committee"] for vote in seat["votes"]]
        assert votes
        assert {vote["vote"] for vote in votes} == {"OK"}
        won = next(claim for claim in found["claims"] if claim["claimant"] == found["winner"])
        assert {vote["measured"] for vote in votes} == {won["loss"]}
        assert {chain.strikes(name) for name in WORKERS} == {0}
        runs = [run for work in works for run in work.run_log.list()]
        assert {run["phase"] for run in runs} == {"train", "check", "again", "verify"}
        trained = [run for run in runs if run["phase"] == "train" and run["state"] == "ok"]
        assert len({run["seed"] for run in trained}) == len(trained) >= 3
        assert any(run["progress"] for run in trained)
        model = await files["boss"].fetch(found["model"]["cid"], max_size=4_096, timeout_s=5)
        assert parse_loss("0") < won["loss"] < parse_loss("10")
        assert model.stat().st_size == found["model"]["size"]
    finally:
        for work in works:
            await work.stop()
