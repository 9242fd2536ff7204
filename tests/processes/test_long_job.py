"""A job of 25 minutes in real time, whose image has 3 GB: three workers, who are its committee and train for a federation beside
it. Each node ends once in the middle, and no file descriptor, thread or memory piles up in any of them. `LC_LONG_MINUTES` and
`LC_LONG_IMAGE_MIB`: another length, another size."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import Counter
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
IMAGE_MIB = int(os.environ.get("LC_LONG_IMAGE_MIB", "3072"))
TRAIN_S = int(MINUTES * 60 * 0.7)
ARRIVES_S = 60 + IMAGE_MIB // 5
"""Three downloads at a time, and what the engine and the disk have to do for each."""
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
    kinds: Counter[str]
    """Descriptors by what they are of."""


@pytest.mark.full("unit/test_work_composed.py and sim/test_lasting.py have the same in virtual time")
@pytest.mark.timeout(60 * MINUTES + 2 * ARRIVES_S + 900)
async def test_a_long_job_beside_a_federation_is_paid_over_an_end_of_each_node_and_nothing_piles_up(
    tmp_path: Path, made: tuple[Path, str, list[bytes]]
) -> None:
    archive = tmp_path / "job.tar"
    files: dict[str, bytes | Path] = {
        "/lc/job": JOB.read_bytes(),
        "/lc/ballast": await asyncio.to_thread(ballast, tmp_path / "ballast"),
    }
    image_id = await asyncio.to_thread(build_python_image, archive, files, with_packages=())
    (tmp_path / "ballast").unlink()
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", ROLES, params=PARAMS) as graph:
        federation = await begin(graph, made, tmp_path, OWNERS, [0.0] * 31, target=1, rounds=min(10, int(MINUTES)), patience=5)
        contractor, workers = graph["v0"], [graph[name] for name in OWNERS]
        stored = await contractor.api.upload(archive)
        image = ImageRequest(cid=stored["cid"], image_id=image_id, size=stored["size"])
        params = {"train": TRAIN_S, "evaluate": 5}
        open_s = int(60 * MINUTES) + ARRIVES_S
        posted = JobRequest(image=image, bounty="10", expires_in_s=open_s, params=params, limits=LIMITS)
        job = (await contractor.api.submit_job(posted, wait=30))["job"]
        watch = asyncio.create_task(watched(list(graph)))
        began = {worker.name: await trains(worker, job, ARRIVES_S) for worker in workers}
        await asyncio.sleep(TRAIN_S / 2)
        for number, node in enumerate(graph):
            if number % 2:
                await node.kill()
                await node.start()
            else:
                await restart(node)
        for worker in workers:
            assert await trains(worker, job, SLOW_S) == began[worker.name], "it is the training of before"

        found = await contractor.job_in(job, "PAID", "REFUNDED", "EMPTY", within=open_s + 300)
        assert found["state"] == "PAID" and len(found["claims"]) == len(workers)
        votes = [vote["vote"] for one in found["rounds"] for seat in one["committee"] for vote in seat["votes"]]
        assert votes and set(votes) == {"OK"}
        over = (await ended(federation))["v0"]
        assert EndReason(over.end) in (EndReason.ROUNDS, EndReason.MET) and over.r > 1
        watch.cancel()
        for name, used in (await asyncio.gather(watch))[0].items():
            early, late = level(used)
            print(f"{name}: descriptors, threads, KiB {early[2:5]}, then {late[2:5]}; more {late.kinds - early.kinds}")
            assert late.descriptors <= early.descriptors + 8 and late.threads <= early.threads + 4, (name, early, late)
            assert late.rss_kb <= 1.1 * early.rss_kb, (name, early, late)
        await graph.agree()


def ballast(path: Path) -> Path:
    """What makes the image large, and no smaller where it is packed."""
    with path.open("wb") as file:
        for _ in range(IMAGE_MIB):
            file.write(os.urandom(2**20))
    return path


async def trains(worker: NodeProcess, job: str, within_s: float) -> int:
    """Since when its training runs, by its own book."""

    async def now() -> int | None:
        runs = [run for run in await worker.api.runs() if (run["job"], run["phase"], run["state"]) == (job, "train", "running")]
        return runs[0]["started"] if runs else None

    return await eventually(f"{worker.name} trains", now, within_s)


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
        kinds = Counter(kind_of(proc, number) for number in os.listdir(proc / "fd"))
        return Used(time.monotonic(), node.pid, kinds.total(), threads, rss, kinds)
    except (OSError, KeyError, RuntimeError):
        return None


def kind_of(proc: Path, number: str) -> str:
    """What a descriptor is of, without numbers that are another for each: `socket`, or a path below the node's folder."""
    try:
        return re.sub(r"[0-9a-f]{8,}|(?<=:)\[\d+\]", "*", os.readlink(proc / "fd" / number))
    except OSError:
        return "closed a moment ago"


def level(used: list[Used]) -> tuple[Used, Used]:
    """What is usual in the first half of the process's last life, its beginning apart, and in the second: a container that begins
    or is looked at has some of each for a moment."""
    last = [one for one in used if one.pid == used[-1].pid]
    last = [one for one in last if one.at > last[0].at + WARM_S]
    middle = (last[0].at + last[-1].at) / 2
    return usual([one for one in last if one.at <= middle]), usual([one for one in last if one.at > middle])


def usual(half: list[Used]) -> Used:
    *counts, kinds = zip(*half, strict=True)
    at, pid, descriptors, threads, rss_kb = map(median_low, counts)
    names = {name for one in kinds for name in one}
    return Used(at, pid, descriptors, threads, rss_kb, Counter({name: median_low([one[name] for one in kinds]) for name in names}))
