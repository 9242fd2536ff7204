"""The sandbox as the event loop of a node sees it, and the record of what ran: the only place where threads and runs meet.

`ThreadedSandbox` is a backend as the driver sees it (`sandbox.backend.AsyncBackend`): in threads of its own, so that nothing here
holds up the loop that votes. `RunLog` is what people see: bounded, in memory.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from learningchain.chain.host.terms import Arch
from learningchain.chain.types import format_loss
from learningchain.client.work.events import EngineReady
from learningchain.client.work.transfers import PLACES
from learningchain.client.work.warm import MAX_STARTING
from learningchain.sandbox import (
    Backend,
    Check,
    DataSet,
    ImageLimits,
    OwnData,
    Progress,
    RunResult,
    RunSpec,
    SandboxUnavailable,
    SelfTestReport,
    WarmRun,
)
from learningchain.sandbox.backend import OnCheckpoint
from learningchain.sandbox.results import ResultReader

T = TypeVar("T")

MAX_RUNS = 200
"""Runs that are remembered; those under way always are."""
MAX_ANSWERS = 50
"""Of models that answered, so many more: a busy model does not push out what is known of jobs."""
MAX_NOT_FETCHED = 50
"""Refs of which it is remembered that their image was not to be had: anybody may post a job with such an image."""
MAX_PROGRESS = 200
"""Progress lines per run: when there are more, every second one goes."""


class ThreadedWarmRun:
    """A run that waits for its inputs, finished in a thread that it shares with no training."""

    def __init__(self, run: WarmRun, answering: Executor, closing: Executor) -> None:
        self._run, self._answering, self._closing = run, answering, closing

    async def alive(self) -> bool:
        return await asyncio.get_running_loop().run_in_executor(self._closing, self._run.alive)

    async def finish(
        self, late: Mapping[str, Path | bytes], *, wall_s: float, read: Callable[[], ResultReader], cancel: threading.Event
    ) -> RunResult:
        work = partial(self._run.finish, late, wall_s=wall_s, read=read, cancel=cancel)
        return await asyncio.get_running_loop().run_in_executor(self._answering, work)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._closing, self._run.close)


class ThreadedSandbox:
    """The real sandbox. `runs`: how many containers of jobs may run at a time, `answers`: how many of models that answer;
    `self_test`: prove its limits before the first. `lacking`: devices that are offered though no engine can give them, and why."""

    def __init__(self, sandbox: Backend, runs: int, self_test: bool, answers: int = 1, lacking: Collection[Check] = ()) -> None:
        self._sandbox, self._self_test, self._lacking = sandbox, self_test, lacking
        self._runs = ThreadPoolExecutor(runs, thread_name_prefix="work-run")
        # Threads of their own, made when they are needed: what is asked waits for no training, and no answer for a start.
        self._answers = ThreadPoolExecutor(answers, thread_name_prefix="work-answer")
        self._starts = ThreadPoolExecutor(answers + MAX_STARTING, thread_name_prefix="work-start")
        self._looks = ThreadPoolExecutor(2, thread_name_prefix="work-warm")
        self._watch = ThreadPoolExecutor(1, thread_name_prefix="work-engine")
        self._other = ThreadPoolExecutor(2, thread_name_prefix="work-image")
        # A registry may be slow for as long as it likes: nothing else waits for it.
        self._pulls = ThreadPoolExecutor(PLACES, thread_name_prefix="work-pull")

    async def prepare(self, keep_images: Collection[str], keep_runs: Collection[RunSpec]) -> dict[str, Any]:
        """Remove what a killed node left, but for `keep_runs`; where asked, prove every limit. Raises SandboxUnavailable naming
        what is wrong.

        `kept` of the answer: the images that are there of those to be kept. Asking for each would be a question to the engine for
        each posting that lives.
        """
        return await self._call(lambda: self._prepare(keep_images, keep_runs))

    def _prepare(self, keep_images: Collection[str], keep_runs: Collection[RunSpec]) -> dict[str, Any]:
        info = self._sandbox.check_engine()
        cleaned = self._sandbox.cleanup(keep_images=keep_images, keep_data=True, keep_runs=keep_runs)
        proved = self._proved() if self._self_test else None
        return {
            "ok": True,
            "engine": info.version,
            "arch": info.architecture,
            "cpus": info.cpus,
            "mem_mb": info.mem_mb,
            "checks": _told(proved.checks) if proved else [],
            "devices": _told([*(proved.devices if proved else ()), *self._lacking]),
            "cleaned": {"containers": cleaned.containers, "volumes": cleaned.volumes, "images": cleaned.images},
            "problems": list(cleaned.problems),
            "kept": cleaned.kept,
            "runs": cleaned.runs,
            "lost_runs": cleaned.lost_runs,
        }

    async def look(self, *, again: bool) -> None:
        def looked() -> None:
            self._sandbox.check_engine()
            if again and self._self_test:
                self._proved()

        await asyncio.get_running_loop().run_in_executor(self._watch, looked)

    def _proved(self) -> SelfTestReport:
        report = self._sandbox.self_test()
        if not report.ok:
            failed = "; ".join(f"{check.name}: {check.detail}" for check in report.failures) or "no check was made"
            raise SandboxUnavailable(f"the engine does not enforce every limit with the runtime {report.runtime} ({failed})")
        return report

    async def load(self, path: Path, image_id: str, limits: ImageLimits) -> str:
        return await self._call(lambda: self._sandbox.load_archive(path, image_id, limits))

    async def pull(self, reference: str, limits: ImageLimits) -> str:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pulls, lambda: self._sandbox.pull(reference, limits))

    async def keep_set(self, name: str, data: DataSet) -> None:
        # Beside the registry's: minutes that neither a look at the engine nor an image from the disk waits for.
        await asyncio.get_running_loop().run_in_executor(self._pulls, lambda: self._sandbox.keep_set(name, data))

    async def own_data(self) -> list[OwnData]:
        return await self._call(self._sandbox.list_data)

    async def remove_data(self, name: str) -> None:
        await self._call(lambda: self._sandbox.remove_data(name))

    async def has_image(self, image_id: str) -> bool:
        return await self._call(lambda: self._sandbox.has_image(image_id))

    async def remove(self, image_id: str) -> None:
        await self._call(lambda: self._sandbox.remove_image(image_id))

    async def run(
        self,
        spec: RunSpec,
        on_progress: Callable[[Progress], None],
        cancel: threading.Event,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> RunResult:
        """Progress arrives on the loop's thread."""
        loop = asyncio.get_running_loop()

        def tell(progress: Progress) -> None:
            loop.call_soon_threadsafe(on_progress, progress)

        work = partial(self._sandbox.run, spec, on_progress=tell, on_checkpoint=on_checkpoint, cancel=cancel)
        return await loop.run_in_executor(self._runs, work)

    def printed(self, run_id: str) -> str | None:
        return self._sandbox.printed(run_id)

    def leave(self) -> None:
        self._sandbox.leave()

    def elsewhere(self) -> int:
        return 0

    def evaluators(self) -> int:
        return 1

    def troubles(self) -> list[str]:
        return []

    async def start(self, spec: RunSpec, cancel: threading.Event) -> ThreadedWarmRun | RunResult:
        started = await asyncio.get_running_loop().run_in_executor(self._starts, lambda: self._sandbox.start(spec, cancel=cancel))
        return started if isinstance(started, RunResult) else ThreadedWarmRun(started, self._answers, self._looks)

    async def close(self) -> None:
        await self._call(self._sandbox.close)
        for pool in (self._runs, self._answers, self._starts, self._looks, self._watch, self._other, self._pulls):
            pool.shutdown(wait=False)

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._other, work)


def _told(checks: Iterable[Check]) -> list[dict[str, Any]]:
    return [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks]


ARCHITECTURES = {"x86_64": Arch.AMD64, "amd64": Arch.AMD64, "aarch64": Arch.ARM64, "arm64": Arch.ARM64}
"""Engines' words for processors."""


def engine_ready(report: dict[str, Any]) -> EngineReady:
    """What the engine's machine has, from its report."""
    arch = ARCHITECTURES.get(str(report.get("arch", "")).lower())
    devices = frozenset(str(one["name"]) for one in report.get("devices", ()) if one["ok"])
    return EngineReady(arch, 1_000 * int(report.get("cpus", 0)), int(report.get("mem_mb", 0)), devices)


@dataclass
class Run:
    """One run as people see it. `phase` and `number` are what its machine shows of it (`StartRun.shown`). An evaluation has no
    seed."""

    id: str
    ref: bytes
    phase: str
    number: int
    seed: int | None
    started: int
    state: str = "running"
    progress: list[dict[str, Any]] = field(default_factory=list)
    loss: int | None = None
    reason: str = ""
    log: str = ""
    ended: int | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    container: str = ""
    """What the sandbox calls it, where that is another name: an earlier process of this node began it."""

    def show(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "job": self.ref.hex(),
            "phase": self.phase,
            "state": self.state,
            "attempt": self.number,
            "seed": None if self.seed is None else str(self.seed),
            "progress": list(self.progress),
            "loss": None if self.loss is None else format_loss(self.loss),
            "reason": self.reason,
            "log": self.log,
            "started": self.started,
            "ended": self.ended,
        }


PREDICT = "predict"
NOT_FETCHED = "not-fetched"
"""How what could not even begin is shown: there was no image to run."""


class RunLog:
    """The runs of this node, in memory alone: the newest `MAX_RUNS`. Beside them, and never in their place, images that were not to
    be had: one entry for each ref, with what the last try came to."""

    def __init__(self, now: Callable[[], int], printed: Callable[[str], str | None] = lambda _: None) -> None:
        """`printed`: what a container has printed so far, where the engine still has it."""
        self._now, self._printed = now, printed
        self._runs: dict[str, Run] = {}
        self._not_fetched: dict[str, Run] = {}
        self.ended: Counter[tuple[str, str]] = Counter()
        """How many ended since the start, by phase and state: a few of each."""

    def not_fetched(self, ref: bytes, reason: str) -> None:
        name, now = f"image-{ref.hex()[:32]}", self._now()
        before = self._not_fetched.pop(name, None)
        tries, since = (before.number + 1, before.started) if before is not None else (1, now)
        self._not_fetched[name] = Run(name, ref, "image", tries, None, since, state=NOT_FETCHED, reason=reason, ended=now)
        while len(self._not_fetched) > MAX_NOT_FETCHED:
            del self._not_fetched[next(iter(self._not_fetched))]

    def fetched(self, ref: bytes) -> None:
        self._not_fetched.pop(f"image-{ref.hex()[:32]}", None)

    def begin(self, run_id: str, ref: bytes, phase: str, number: int, seed: int | None) -> Run:
        alike = [run for run in self._runs.values() if (run.phase == PREDICT) == (phase == PREDICT)]
        ended = [run.id for run in alike if run.ended is not None]
        for old in ended[: max(0, len(alike) + 1 - (MAX_ANSWERS if phase == PREDICT else MAX_RUNS))]:
            del self._runs[old]
        run = self._runs[run_id] = Run(run_id, ref, phase, number, seed, self._now())
        return run

    def progress(self, run: Run, progress: Progress) -> None:
        if run.ended is not None:
            return
        if len(run.progress) >= MAX_PROGRESS:
            del run.progress[::2]
        run.progress.append({"step": progress.step, "of": progress.of, "loss": progress.loss})

    def lasted_ms(self, run: Run) -> int:
        """So far, by the wall clock."""
        return max(0, self._now() - run.started)

    def end(self, run: Run, result: RunResult) -> None:
        run.state, run.loss, run.log, run.ended = result.status.value, result.loss, result.log_tail, self._now()
        run.reason = run.reason or result.reason
        self.ended[run.phase, run.state] += 1

    def list(self) -> list[dict[str, Any]]:
        """Newest first, without their logs."""
        both = sorted([*self._runs.values(), *self._not_fetched.values()], key=lambda run: run.started)
        return [run.show() | {"log": ""} for run in reversed(both)]

    def get(self, run_id: str) -> dict[str, Any] | None:
        """With its log: of one that runs, what it has printed so far."""
        run = self._runs.get(run_id) or self._not_fetched.get(run_id)
        if run is None or run.ended is not None:
            return None if run is None else run.show()
        return run.show() | {"log": self._printed(self._container(run_id)) or ""}

    def _container(self, run_id: str) -> str:
        """What the sandbox calls a run."""
        run = self._runs.get(run_id)
        return run_id if run is None else run.container or run_id

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
