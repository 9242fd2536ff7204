"""A node that has other machines train, and the graph around it: what the tests of machines and of leases share."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learningchain.chain.contracts.job import job_id_of
from learningchain.chain.contracts.job.params import JobParams
from learningchain.client.contracts.job.http.postings import build_job
from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest, LimitsRequest
from learningchain.client.sdk.types import Json
from learningchain.sandbox.images import build_python_image
from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import ROOT, NodeProcess, Person, Role, eventually
from tests.processes.machines import engine
from tests.processes.terminal import Owner
from tests.unit.readme_kit import blocks

JUDGES = ("v1", "v2", "v3")
OWNER = Person("contractor", "5000")
BOUNTY = 100
SLOW_S = 180.0
"""Everything with containers: five nodes, a machine and their runs share two cores."""
LIMITS = LimitsRequest(cpus=0.5, mem_mb=64, train_s=300, eval_s=120, model_cap=1_000, tmp_mb=8)


@dataclass
class Lab:
    graph: ClockedGraph
    image: ImageRequest
    folder: Path
    host: str
    """The second engine."""

    @property
    def node(self) -> NodeProcess:
        return self.graph["w0"]

    async def post(self, params: Json, image: ImageRequest | None = None, **more: Any) -> str:
        node = self.graph["v0"]
        clock = (await node.api.status())["clock_now"]
        wanted = JobRequest(
            image=image or self.image, bounty=str(BOUNTY), expires_in_s=HOUR_MS / 1_000, params=params, limits=LIMITS, **more
        )
        done = await OWNER.send(node, build_job(wanted, clock, JobParams().job_rate))
        return job_id_of(bytes.fromhex(done["tx"]), 0).hex()

    async def runs(self, job: str, phase: str) -> list[Json]:
        return [dict(run) for run in await self.node.api.runs() if run["job"] == job and run["phase"] == phase]

    async def paid(self, job: str) -> Json:
        async def claimed() -> bool:
            return bool((await self.graph["v0"].api.job(job))["claims"])

        await eventually("the worker has claimed", claimed, SLOW_S)
        await self.graph.clock.advance(HOUR_MS)
        return dict(await self.node.job_in(job, "PAID", "REFUNDED", "EMPTY", within=SLOW_S))


@contextlib.asynccontextmanager
async def laboratory(
    folder: Path,
    typed: str,
    settings: Mapping[str, Any] | None = None,
    judge: str = "",
    own: Callable[[NodeProcess], None] = lambda node: None,
) -> AsyncIterator[Lab]:
    """`typed`: what the owner of the node types before its start; `settings`: what it has beside that; `own`: what else becomes of
    the node before that. `judge`: what the owner of v1 types, if that one has machines, too."""
    cache = {"sandbox.cache_dir": str(folder / "cache")}
    works = cache | {"work.enabled": True, "work.attempts": 1} | dict(settings or {})
    judges = [Role(name, validator=True, verifier=True, settings=cache | {"work.verify": True}) for name in JUDGES]
    roles = [Role("v0", validator=True), *judges, Role("w0", settings=works)]
    for name in ("cache", "graph", "setting"):
        (folder / name).mkdir()
    path, job = folder / "slow.tar", Path(__file__).with_name("slow_job.py")
    image_id = await asyncio.to_thread(build_python_image, path, {"/lc/job": job.read_bytes()}, with_packages=())
    async with engine(folder / "engine") as host, ClockedGraph(folder / "graph", roles, people=[OWNER]) as graph:
        for name, text in {"w0": typed, "v1": judge}.items():
            (folder / "setting" / name).mkdir()
            if text:
                graph[name].program = [sys.executable, "-m", "tests.processes.hasty", *graph[name].program[3:]]
                await Owner(graph[name], folder / "setting" / name).types(text)
        own(graph["w0"])
        await graph.start()
        await asyncio.gather(*(graph[name].logs("the sandbox is ready", within=SLOW_S) for name in (*JUDGES, "w0")))
        for name in JUDGES:
            await eventually(f"{name} says what it takes", lambda name=name: _can_judge(graph, name), SLOW_S)  # type: ignore[misc]
        yield Lab(graph, await upload(graph, path, image_id), folder, host)


async def upload(graph: ClockedGraph, path: Path, image_id: str) -> ImageRequest:
    stored = await graph["v0"].api.upload(path)
    return ImageRequest(cid=stored["cid"], image_id=image_id, size=stored["size"])


async def _can_judge(graph: ClockedGraph, name: str) -> bool:
    return (await graph["v0"].api.account(graph[name].address))["capacity"] is not None


def inline(path: str, words: str) -> str:
    """The first command in the running text of a page that has these words."""
    return next(found for found in re.findall(r"`(learningchain [^`]+)`", (ROOT / path).read_text()) if words in found)


def page(path: str, words: str) -> str:
    """The one block of a page to be typed that has these words."""
    (found,) = [block.text for block in blocks(path) if block.language == "sh" and words in block.text]
    return found
