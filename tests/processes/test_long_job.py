"""A job of 25 minutes in real time: three workers, who are its committee and train for a federation beside it. Each node ends once
in the middle, and no file descriptor, thread or memory piles up in any of them. `LC_LONG_MINUTES`: another length."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from statistics import median_low
from typing import NamedTuple

import pytest

from learningchain.chain.contracts.federation.records import EndReason
from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest, LimitsRequest
from learningchain.sandbox.images import build_python_image
from tests.processes.harness import Graph, NodeProcess, Role, eventually, with_params
from tests.processes.test_federation import OWNERS, SERVES, begin, ended, made
from tests.processes.test_kill import JOB, SLOW_S, WORKS
from tests.processes.test_training_goes_on import restart

__all__ = ["made"]

MINUTES = float(os.environ.get("LC_LONG_MINUTES", "25"))
TRAIN_S = int(MINUTES * 60 * 0.7)
ROLES = [Role("v0", validator=True), *(Role(name, validator=True, verifier=True, settings=WORKS | SERVES) for name in OWNERS)]
PARAMS = with_params(job_min_open=5_000, fed_base=60_000, fed_ready=30_000, fed_open=30_000, fed_least=1_000)
LIMITS = LimitsRequest(cpus=0.25, mem_mb=64, train_s=int(1.2 * TRAIN_S) + 60, eval_s=60, model_cap=1_000, tmp_mb=8)
EVERY_S = 5.0
WARM_S = 60.0
"""After its start a node still loads what it needs."""


class Used(NamedTuple):
    at: float
    pid: int
    descriptors: int
    threads: int
    rss_kb: int


@pytest.mark.full("unit/test_work_composed.py and sim/test_lasting.py have the same in virtual time")
@pytest.mark.timeout(60 * MINUTES + 900)
async def test_a_long_job_beside_a_federation_is_paid_over_an_end_of_each_node_and_nothing_piles_up(
    tmp_path: Path, made: tuple[Path, str, list[bytes]]
) -> None:
    archive = tmp_path / "job.tar"
    image_id = await asyncio.to_thread(build_python_image, archive, {"/lc/job": JOB.read_bytes()}, with_packages=())
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", ROLES, params=PARAMS) as graph:
        federation = await begin(graph, made, tmp_path, OWNERS, [0.0] * 31, target=1, rounds=int(MINUTES), patience=5)
        contractor, workers = graph["v0"], [graph[name] for name in OWNERS]
        stored = await contractor.api.upload(archive)
        image = ImageRequest(cid=stored["cid"], image_id=image_id, size=stored["size"])
        params = {"train": TRAIN_S, "evaluate": 5}
        posted = JobRequest(image=image, bounty="10", expires_in_s=int(60 * MINUTES), params=params, limits=LIMITS)
        job = (await contractor.api.submit_job(posted, wait=30))["job"]
        watch = asyncio.create_task(watched(list(graph)))
        began = {worker.name: await trains(worker, job) for worker in workers}
        await asyncio.sleep(TRAIN_S / 2)
        for number, node in enumerate(graph):
            if number % 2:
                await node.kill()
                await node.start()
            else:
                await restart(node)
        for worker in workers:
            assert await trains(worker, job) == began[worker.name], "it is the training of before"

        found = await contractor.job_in(job, "PAID", "REFUNDED", "EMPTY", within=60 * MINUTES)
        assert found["state"] == "PAID" and len(found["claims"]) == len(workers)
        votes = [vote["vote"] for one in found["rounds"] for seat in one["committee"] for vote in seat["votes"]]
        assert votes and set(votes) == {"OK"}
        over = (await ended(federation))["v0"]
        assert EndReason(over.end) in (EndReason.ROUNDS, EndReason.MET) and over.r > 1
        watch.cancel()
        for name, used in (await asyncio.gather(watch))[0].items():
            early, late = level(used)
            print(f"{name}: descriptors, threads, KiB {early}, then {late}")
            assert late.descriptors <= early.descriptors + 8 and late.threads <= early.threads + 4, (name, early, late)
            assert late.rss_kb <= 1.1 * early.rss_kb, (name, early, late)
        await graph.agree()


async def trains(worker: NodeProcess, job: str) -> int:
    """Since when its training runs, by its own book."""

    async def now() -> int | None:
        runs = [run for run in await worker.api.runs() if (run["job"], run["phase"], run["state"]) == (job, "train", "running")]
        return runs[0]["started"] if runs else None

    return await eventually(f"{worker.name} trains", now, SLOW_S)


async def watched(nodes: list[NodeProcess]) -> dict[str, list[Used]]:
    """What each process has, until this is cancelled."""
    found: dict[str, list[Used]] = {node.name: [] for node in nodes}
    try:
        while True:
            for node in nodes:
                if (one := used_by(node)) is not None:
                    found[node.name].append(one)
            await asyncio.sleep(EVERY_S)
    except asyncio.CancelledError:
        return found


def used_by(node: NodeProcess) -> Used | None:
    """None where it is not running just now."""
    try:
        proc = Path(f"/proc/{node.pid}")
        lines = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        rss, threads = int(lines["VmRSS"].split()[0]), int(lines["Threads"])
        return Used(time.monotonic(), node.pid, len(os.listdir(proc / "fd")), threads, rss)
    except (OSError, KeyError, RuntimeError):
        return None


def level(used: list[Used]) -> tuple[Used, Used]:
    """What is usual in the first half of the process's last life, its beginning apart, and in the second: a container that begins
    or is looked at has some of each for a moment."""
    last = [one for one in used if one.pid == used[-1].pid]
    last = [one for one in last if one.at > last[0].at + WARM_S]
    middle = (last[0].at + last[-1].at) / 2
    halves = [one for one in last if one.at <= middle], [one for one in last if one.at > middle]
    early, late = (Used(*(median_low(values) for values in zip(*half, strict=True))) for half in halves)
    return early, late
