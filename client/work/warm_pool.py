"""Keeps containers of served models ready, and hands each request to one of its own.

    KeepWarm, LetCool, a request --> WarmPool --> Warmth (pure) --> start, finish, close on the engine
                                       |
                                       v
                         RunEnded of the request; ModelWarm, ModelFailed of the model

It lives on the node's event loop; containers are started, answered and killed in threads of the engine's. What the machines hear
of a model comes when it changes: the first container that is ready, and failures in a row.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import structlog

from learningchain.client.work.events import ModelFailed, ModelWarm
from learningchain.client.work.slots import MachineShare
from learningchain.client.work.vanished import RunMaker
from learningchain.client.work.warm import NOTED_FAILURES, Action, Close, Give, Refuse, Start, Warmth
from learningchain.sandbox import AnswerForm, AnswerOutcome, AsyncWarmRun, RunResult, RunSpec, RunStatus
from learningchain.sandbox.answers import AnswerReader

log = structlog.get_logger(__name__)

MIB = 1 << 20
TICK_S = 1.0
"""How late it may be noticed that a container has died, that a model is idle, or that a request has waited too long."""
ENGINE_S = 1.0
"""LC-ANS-2: what a request has beside its rows' time: for what the engine and this machine take."""
SPARE_MB = 8
"""Of a container's sidecar, beside the files that lie in it."""


class LateRequest(msgspec.Struct, frozen=True):
    """What a container is given: its late inputs, by name, what its answer must look like, and for how many seconds its rows may
    keep it busy."""

    inputs: Mapping[str, bytes]
    form: AnswerForm
    wall_s: float


async def finish(run: AsyncWarmRun, request: LateRequest, cancel: threading.Event) -> RunResult:
    """The answer of a container that has seen nothing before; it is dead, or being killed, when this returns. Raises whatever the
    engine raises."""
    wall_s = request.wall_s + ENGINE_S
    return await run.finish(request.inputs, wall_s=wall_s, read=lambda: AnswerReader(request.form), cancel=cancel)


async def _killed(run: AsyncWarmRun) -> None:
    try:
        await run.close()
    except Exception as problem:
        log.warning("a container of a served model may stay until the next start", why=str(problem))


def cost_mb(spec: RunSpec) -> int:
    """Memory that a container may use with everything beside it: its own, and the files of its sidecar. Raises OSError."""
    files = sum(path.stat().st_size for path in spec.inputs.values() if isinstance(path, Path))
    return spec.limits.mem_mb + -(-(files + spec.row.late_bytes) // MIB) + SPARE_MB


@dataclass
class _Asked:
    request: LateRequest
    cancel: threading.Event
    until: float
    answered: asyncio.Future[RunResult]


class WarmPool:
    """`slots`, `memory_mb`, `idle_s`: as in `Warmth`. `keep`: containers to have ready of each model. `tell(input)`: to the
    machine that has the model served. `now()`: seconds of a clock that never goes back."""

    def __init__(
        self,
        engine: RunMaker,
        *,
        slots: int,
        memory_mb: int,
        keep: int,
        idle_s: float,
        tell: Callable[[ModelWarm | ModelFailed], None],
        now: Callable[[], float],
    ) -> None:
        self._engine, self._tell, self._now, self._keep = engine, tell, now, keep
        self._warmth = Warmth(slots, memory_mb, idle_s)
        self._models: dict[bytes, RunSpec] = {}
        self._runs: dict[int, AsyncWarmRun] = {}
        """Those that are ready."""
        self._starting: dict[int, tuple[bytes, threading.Event]] = {}
        """Those that start, and what ends that."""
        self._asked: dict[str, _Asked] = {}
        self._told: dict[bytes, bool] = {}
        """What the machines know of a model: that it is warm, or that it is not to be had."""
        self._failed: dict[bytes, int] = {}
        """Starts that failed in a row."""
        self._names = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._beat: asyncio.Task[None] | None = None
        self._stopping = False

    # --- what is asked of it ---------------------------------------------------------------------------------------------------

    def serve(self, model: bytes, spec: RunSpec) -> None:
        """From now on. One that is too large for this node, or has nothing to wait for, is told as failed."""
        if self._stopping or self._models.get(model) == spec:
            return
        if model in self._models:
            self.unserve(model)
        try:
            if not spec.row.waits:
                raise ValueError(f"phase {spec.phase!r} has no late inputs")
            actions = self._warmth.serve(model, cost_mb(spec), self._keep, self._now())
        except (ValueError, OSError) as problem:
            self._tell(ModelFailed(model, f"it cannot be served here: {problem}", lasting=True))
            return
        self._models[model] = spec
        if self._beat is None:
            self._beat = asyncio.get_running_loop().create_task(self._beats())
        self._do(actions)

    def serves(self, model: bytes) -> bool:
        return model in self._models

    def unserve(self, model: bytes) -> None:
        """What waits of it ends; a request that has its container is answered."""
        if self._models.pop(model, None) is not None:
            self._told.pop(model, None)
            self._failed.pop(model, None)
            for of, cancel in self._starting.values():
                if of == model:
                    cancel.set()
            self._do(self._warmth.unserve(model, self._now()))

    def aside(self) -> MachineShare | None:
        """What no training may take: all memory for served models, and processors for one answer of whichever model wants most of
        them. None where no model is served."""
        if not self._models:
            return None
        return MachineShare(max(int(1_000 * spec.limits.cpus) for spec in self._models.values()), self._warmth.memory_mb)

    async def ask(self, name: str, model: bytes, request: LateRequest, cancel: threading.Event, wait_s: float) -> RunResult:
        """What the request comes to. `name`: another one for each that is under way; `wait_s`: how long it may wait for a
        container."""
        if name in self._asked:
            return RunResult(status=RunStatus.NOT_STARTED, reason=f"{name} is under way already")
        answered: asyncio.Future[RunResult] = asyncio.get_running_loop().create_future()
        now = self._now()
        self._asked[name] = _Asked(request, cancel, now + wait_s, answered)
        try:
            self._do(self._warmth.ask(name, model, now + wait_s, now))
            return await answered
        finally:
            self._do(self._warmth.call_off(name, self._now()))
            del self._asked[name]

    def engine_answers(self, *, back: bool) -> None:
        """The engine is there; `back`: it was not. Troubles that were this machine's own stand no longer than their cause."""
        for ref in self._warmth.forgive(self._now(), everything=back):
            self._failed.pop(ref, None)
            if self._told.get(ref) is False:
                del self._told[ref]
                self._tell(ModelWarm(ref))
        self._do(self._warmth.tick(self._now()))

    def notices(self) -> list[tuple[bytes, str]]:
        """What the operator should know of models: ref, and text."""
        return list(self._warmth.troubles(self._now()))

    def shown(self) -> list[dict[str, Any]]:
        """For the node's status: of each model, how many of its containers start, are ready, and answer."""
        return [
            {"model": ref.hex(), **dict(zip(("starting", "ready", "answering"), self._warmth.counts(ref), strict=True))}
            for ref in sorted(self._models)
        ]

    async def stop(self, within_s: float) -> None:
        """Nothing waits any more, and nothing is started. Requests that have their container end with it: cancel their runs."""
        self._stopping = True
        if self._beat is not None:
            self._beat.cancel()
        for ref in list(self._models):
            self.unserve(ref)
        until = self._now() + within_s
        while self._tasks and self._now() < until:
            await asyncio.wait(self._tasks, timeout=until - self._now())
        for task in self._tasks:
            task.cancel()

    # --- what the policy says --------------------------------------------------------------------------------------------------

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Start():
                    self._spawn(self._start(action))
                case Give():
                    run = self._runs.pop(action.container)
                    self._spawn(self._give(action.container, run, action.ask, self._asked[action.ask]))
                case Close():
                    self._spawn(self._close(action.container, self._runs.pop(action.container)))
                case Refuse():
                    self._refuse(action)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a part of serving models ended by a fault", exc_info=task.exception())

    async def _start(self, start: Start) -> None:
        cancel = threading.Event()
        self._starting[start.container] = start.ref, cancel
        result: AsyncWarmRun | RunResult
        try:
            self._names += 1
            spec = self._models[start.ref]
            result = await self._engine.start(msgspec.structs.replace(spec, run_id=f"{spec.run_id}-{self._names}"), cancel)
        except Exception as problem:  # whatever the engine does, the request must hear of an end
            result = RunResult(status=RunStatus.ENGINE_ERROR, reason=f"{type(problem).__name__}: {problem}")
        finally:
            del self._starting[start.container]
        if isinstance(result, RunResult):
            self._start_failed(start, result)
            return
        self._runs[start.container] = result
        self._failed.pop(start.ref, None)
        if start.ref in self._models and self._told.get(start.ref) is not True:
            self._told[start.ref] = True
            self._tell(ModelWarm(start.ref))
        self._do(self._warmth.started(start.container, self._now()))

    def _start_failed(self, start: Start, result: RunResult) -> None:
        here = result.status.answer is AnswerOutcome.ABSTAIN and result.status is not RunStatus.UNSUPPORTED
        why = f"no container of it got ready: {result.reason}"
        log.warning("a container of a served model did not get ready", model=start.ref.hex(), why=result.reason)
        self._do(self._warmth.start_failed(start.container, why, result, self._now(), here=here))
        if start.ref not in self._models:
            return
        self._failed[start.ref] = self._failed.get(start.ref, 0) + 1
        if self._failed[start.ref] == NOTED_FAILURES or (not here and self._told.get(start.ref) is None):
            self._told[start.ref] = False
            self._tell(ModelFailed(start.ref, why, lasting=False))

    async def _give(self, container: int, run: AsyncWarmRun, name: str, asked: _Asked) -> None:
        """One container, one request. One that has died meanwhile has seen nothing: the request goes to another one."""
        result: RunResult
        try:
            if not await run.alive():
                self._do(self._warmth.found_dead(container, name, asked.until, self._now()))
                await _killed(run)
                return
            result = await finish(run, asked.request, asked.cancel)
        except Exception as problem:
            await _killed(run)
            result = RunResult(status=RunStatus.ENGINE_ERROR, reason=f"{type(problem).__name__}: {problem}")
        if not asked.answered.done():
            asked.answered.set_result(result)
        proven = result.status.answer in (AnswerOutcome.OK, AnswerOutcome.BAD_INPUT)
        self._do(self._warmth.gone(container, self._now(), proven=proven))

    async def _close(self, container: int, run: AsyncWarmRun) -> None:
        await _killed(run)
        self._do(self._warmth.gone(container, self._now()))

    def _refuse(self, refused: Refuse) -> None:
        asked = self._asked.get(refused.ask)
        if asked is None or asked.answered.done():
            return
        if isinstance(refused.failure, RunResult):
            asked.answered.set_result(refused.failure)
        else:
            status = RunStatus.CANCELLED if asked.cancel.is_set() else RunStatus.NOT_STARTED
            asked.answered.set_result(RunResult(status=status, reason=refused.why))

    # --- between requests ------------------------------------------------------------------------------------------------------

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self.beat()
            except Exception:
                log.exception("looking after served models failed; again in a moment")

    async def beat(self) -> None:
        """One look at what waits. A container that has died is removed and, where it should be, replaced."""
        for container in self._warmth.ready():
            run = self._runs.get(container)
            if run is None:
                continue
            try:
                alive = await run.alive()
            except Exception as problem:
                log.warning("a warm container cannot be looked at", why=str(problem))
                alive = False
            if not alive and self._runs.get(container) is run:  # else it was given to a request meanwhile
                del self._runs[container]
                self._do(self._warmth.died(container, self._now()))
                await _killed(run)
        for name, asked in list(self._asked.items()):
            if asked.cancel.is_set():
                self._do(self._warmth.call_off(name, self._now()))
        self._do(self._warmth.tick(self._now()))
