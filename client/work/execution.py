"""Turns the machines' wishes into runs of the sandbox and their results into inputs."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace

import structlog

from learningchain.client.work.artifacts import KeptLosses, Models, durably, in_thread
from learningchain.client.work.database import WorkDatabase
from learningchain.client.work.engine import Run, RunLog
from learningchain.client.work.events import Attempt, LateInputRefused, LateInputs, Model, RunEnded, StartRun
from learningchain.client.work.slots import MachineShare
from learningchain.client.work.vanished import RunMaker
from learningchain.client.work.warm_pool import LateRequest, WarmPool, finish
from learningchain.sandbox import Evaluated, RunResult, RunSpec, RunStatus

log = structlog.get_logger(__name__)


class Execution:
    """Runs what it is told to and remembers attempts in the database."""

    def __init__(
        self,
        engine: RunMaker,
        log_: RunLog,
        models: Models,
        losses: KeptLosses,
        database: WorkDatabase,
        executor: Executor,
        warm: WarmPool,
    ) -> None:
        self._warm = warm
        self._engine, self._log, self._models, self._losses = engine, log_, models, losses
        self._database, self._executor = database, executor
        self._running: dict[str, MachineShare] = {}
        self.stopping = False
        """This node is stopping: runs that it kills now may be started again."""

    def taken(self) -> list[MachineShare]:
        """What the runs under way may take, each; but for those that a container of a served model was asked for."""
        return list(self._running.values())

    async def on_own_data(self, start: StartRun) -> StartRun:
        """The same, with the run that the owner's own data make of it."""
        make = start.spec
        if not callable(make):
            return start
        try:
            return replace(start, spec=make({own.name: own for own in await self._engine.own_data()}))
        except Exception as problem:
            log.error("the owner's own data cannot be looked at", run=start.run, exc_info=problem)
            return replace(start, spec=f"the owner's own data cannot be looked at: {problem}")

    def begin(self, start: StartRun) -> Run:
        """The record of a run that is about to start: it can be cancelled from now on."""
        phase, number = start.shown
        if isinstance(start.spec, RunSpec) and (start.late is None or not self._warm.serves(start.warm)):
            limits = start.spec.limits
            self._running[start.run] = MachineShare(int(1_000 * limits.cpus), limits.mem_mb)
        return self._log.begin(
            start.run, start.ref, phase, number, None if isinstance(start.spec, str) or callable(start.spec) else start.spec.seed
        )

    async def run(self, start: StartRun, run: Run) -> RunEnded:
        """One run to its end, whatever it comes to."""
        try:
            result = await self._result(start, run)
        finally:
            self._running.pop(start.run, None)
        model: Model | None = None
        if start.keep and result.status is RunStatus.OK and "model" in result.outputs:
            try:
                model = await self._models.adopt(result.outputs["model"].path, start.run)
            except OSError as problem:
                result = RunResult(status=RunStatus.ENGINE_ERROR, reason=f"the model could not be kept on this disk: {problem}")
        if start.keep and isinstance(result.result, Evaluated):
            try:
                await self._losses.keep(start.ref, start.run, result.result.losses)
            except OSError as problem:
                result = RunResult(status=RunStatus.ENGINE_ERROR, reason=f"the losses could not be kept on this disk: {problem}")
        self._log.end(run, result)
        if result.status is not RunStatus.ENGINE_ERROR and model is None and not self.stopping:
            await self._note(start, done=True)
        log.info("run ended", run=start.run, status=result.status.value, why=run.reason, loss=result.loss)
        # The losses themselves, up to 8 MiB, are for the disk: no machine holds them.
        measured = result.result.measurement if isinstance(result.result, Evaluated) else result.result
        return RunEnded(start.run, result.status, run.reason, measured, model)

    async def _result(self, start: StartRun, run: Run) -> RunResult:
        await self._note(start, done=False)
        spec = start.spec
        if isinstance(spec, str) or callable(spec):
            return RunResult(status=RunStatus.NOT_STARTED, reason=spec if isinstance(spec, str) else "its data were not looked up")
        if start.late is not None:
            return await self._asked(start, spec, start.late, run)
        try:
            return await self._engine.run(spec, lambda progress: self._log.progress(run, progress), run.cancel)
        except Exception as problem:  # whatever the engine does, the machines must hear of an end
            log.error("a run failed outside its container", run=start.run, exc_info=problem)
            return RunResult(status=RunStatus.ENGINE_ERROR, reason=f"{type(problem).__name__}: {problem}")

    async def _asked(self, start: StartRun, spec: RunSpec, late: LateInputs, run: Run) -> RunResult:
        """One request: to a container that waits for one, or to one of its own."""
        try:
            request = LateRequest(await in_thread(self._executor, late.given), late.form, late.wall_s)
        except LateInputRefused as refused:
            return RunResult(status=RunStatus.NOT_STARTED, reason=str(refused), result=refused)
        except OSError as problem:
            return RunResult(status=RunStatus.ENGINE_ERROR, reason=f"its inputs could not be read: {problem}")
        if self._warm.serves(start.warm):
            return await self._warm.ask(start.run, start.warm, request, run.cancel, start.wait_s)
        try:
            started = await self._engine.start(spec, run.cancel)
            if isinstance(started, RunResult):
                return started
            try:
                return await finish(started, request, run.cancel)
            finally:
                await started.close()
        except Exception as problem:
            log.error("a request failed outside its container", run=start.run, exc_info=problem)
            return RunResult(status=RunStatus.ENGINE_ERROR, reason=f"{type(problem).__name__}: {problem}")

    async def _note(self, start: StartRun, *, done: bool) -> None:
        """An attempt begins with its first run; with `done` it is used up."""
        attempt: Attempt | None = start.attempt
        if attempt is None or not (done or attempt.first):
            return
        write = self._database.attempt_done if done else self._database.attempt_started
        await durably(self._executor, lambda: write(attempt.kind, start.ref, attempt.number))
