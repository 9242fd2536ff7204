"""The sandbox as the event loop of a node sees it, and the record of what ran: the only place where threads and runs meet.

`ThreadedSandbox` is a backend as the driver sees it (`sandbox.backend.AsyncBackend`): in threads of its own, so that nothing here
holds up the loop that votes. `RunLog` is what people see: bounded, in memory.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from chain.types import format_loss
from client.work.transfers import PLACES
from sandbox import Backend, ImageLimits, Progress, RunResult, RunSpec, SandboxUnavailable

T = TypeVar("T")

MAX_RUNS = 200
"""Runs that are remembered; those under way always are."""
MAX_PROGRESS = 200
"""Progress lines per run: when there are more, every second one goes."""


class ThreadedSandbox:
    """The real sandbox. `runs`: how many containers may run at a time; `self_test`: prove its limits before the first."""

    def __init__(self, sandbox: Backend, runs: int, self_test: bool) -> None:
        self._sandbox, self._self_test = sandbox, self_test
        self._runs = ThreadPoolExecutor(runs, thread_name_prefix="work-run")
        self._other = ThreadPoolExecutor(2, thread_name_prefix="work-image")
        # A registry may be slow for as long as it likes: nothing else waits for it.
        self._pulls = ThreadPoolExecutor(PLACES, thread_name_prefix="work-pull")

    async def prepare(self, keep_images: Collection[str]) -> dict[str, Any]:
        """Remove what a killed node left; where asked, prove every limit. Raises SandboxUnavailable naming what is wrong."""
        return await self._call(lambda: self._prepare(keep_images))

    def _prepare(self, keep_images: Collection[str]) -> dict[str, Any]:
        info = self._sandbox.check_engine()
        cleaned = self._sandbox.cleanup(keep_images=keep_images)
        return {
            "ok": True,
            "engine": info.version,
            "cpus": info.cpus,
            "mem_mb": info.mem_mb,
            "checks": self._proved() if self._self_test else [],
            "cleaned": {"containers": cleaned.containers, "volumes": cleaned.volumes, "images": cleaned.images},
            "problems": list(cleaned.problems),
        }

    def _proved(self) -> list[dict[str, Any]]:
        report = self._sandbox.self_test()
        if not report.ok:
            failed = "; ".join(f"{check.name}: {check.detail}" for check in report.failures) or "no check was made"
            raise SandboxUnavailable(f"the engine does not enforce every limit with the runtime {report.runtime} ({failed})")
        return [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in report.checks]

    async def load(self, path: Path, image_id: str, limits: ImageLimits) -> str:
        return await self._call(lambda: self._sandbox.load_archive(path, image_id, limits))

    async def pull(self, reference: str, limits: ImageLimits) -> str:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pulls, lambda: self._sandbox.pull(reference, limits))

    async def has_image(self, image_id: str) -> bool:
        return await self._call(lambda: self._sandbox.has_image(image_id))

    async def remove(self, image_id: str) -> None:
        await self._call(lambda: self._sandbox.remove_image(image_id))

    async def run(self, spec: RunSpec, on_progress: Callable[[Progress], None], cancel: threading.Event) -> RunResult:
        """Progress arrives on the loop's thread."""
        loop = asyncio.get_running_loop()

        def tell(progress: Progress) -> None:
            loop.call_soon_threadsafe(on_progress, progress)

        return await loop.run_in_executor(self._runs, lambda: self._sandbox.run(spec, on_progress=tell, cancel=cancel))

    async def close(self) -> None:
        await self._call(self._sandbox.close)
        self._runs.shutdown(wait=False)
        self._other.shutdown(wait=False)
        self._pulls.shutdown(wait=False)

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._other, work)


@dataclass
class Run:
    """One run as people see it. `phase` and `number` are what its machine shows of it (`StartRun.shown`)."""

    id: str
    ref: bytes
    phase: str
    number: int
    seed: int
    started: int
    state: str = "running"
    progress: list[dict[str, Any]] = field(default_factory=list)
    loss: int | None = None
    reason: str = ""
    log: str = ""
    ended: int | None = None
    cancel: threading.Event = field(default_factory=threading.Event)

    def show(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "job": self.ref.hex(),
            "phase": self.phase,
            "state": self.state,
            "attempt": self.number,
            "seed": str(self.seed),
            "progress": list(self.progress),
            "loss": None if self.loss is None else format_loss(self.loss),
            "reason": self.reason,
            "log": self.log,
            "started": self.started,
            "ended": self.ended,
        }


class RunLog:
    """The runs of this node, in memory alone: the newest `MAX_RUNS`."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._runs: dict[str, Run] = {}

    def begin(self, run_id: str, ref: bytes, phase: str, number: int, seed: int) -> Run:
        ended = [run.id for run in self._runs.values() if run.ended is not None]
        for old in ended[: max(0, len(self._runs) + 1 - MAX_RUNS)]:
            del self._runs[old]
        run = self._runs[run_id] = Run(run_id, ref, phase, number, seed, self._now())
        return run

    def progress(self, run: Run, progress: Progress) -> None:
        if run.ended is not None:
            return
        if len(run.progress) >= MAX_PROGRESS:
            del run.progress[::2]
        run.progress.append({"step": progress.step, "of": progress.of, "loss": progress.loss})

    def end(self, run: Run, result: RunResult) -> None:
        run.state, run.loss, run.log, run.ended = result.status.value, result.loss, result.log_tail, self._now()
        run.reason = run.reason or result.reason

    def list(self) -> list[dict[str, Any]]:
        """Newest first, without their logs."""
        return [run.show() | {"log": ""} for run in reversed(self._runs.values())]

    def get(self, run_id: str) -> dict[str, Any] | None:
        run = self._runs.get(run_id)
        return run.show() if run else None

    def cancel(self, run_id: str, reason: str) -> bool:
        """Kill a run; false when there is no such run or it has ended."""
        run = self._runs.get(run_id)
        if run is None or run.ended is not None:
            return False
        run.reason = run.reason or reason
        run.cancel.set()
        return True

    def cancel_all(self, reason: str) -> None:
        for run_id in list(self._runs):
            self.cancel(run_id, reason)
