"""Turns the machines' wishes into runs of the sandbox and their results into inputs."""

from __future__ import annotations

from concurrent.futures import Executor

import structlog

from client.work.artifacts import Models, durably
from client.work.database import WorkDatabase
from client.work.engine import Run, RunLog
from client.work.events import Attempt, Model, RunEnded, StartRun
from sandbox import AsyncBackend, RunResult, RunStatus

log = structlog.get_logger(__name__)


class Execution:
    """Runs what it is told to and remembers attempts in the database."""

    def __init__(self, engine: AsyncBackend, log_: RunLog, models: Models, database: WorkDatabase, executor: Executor) -> None:
        self._engine, self._log, self._models, self._database, self._executor = engine, log_, models, database, executor
        self.stopping = False
        """This node is stopping: runs that it kills now may be started again."""

    def begin(self, start: StartRun) -> Run:
        """The record of a run that is about to start: it can be cancelled from now on."""
        phase, number = start.shown
        return self._log.begin(start.run, start.ref, phase, number, 0 if isinstance(start.spec, str) else start.spec.seed)

    async def run(self, start: StartRun, run: Run) -> RunEnded:
        """One run to its end, whatever it comes to."""
        result = await self._result(start, run)
        model: Model | None = None
        if start.keep and result.status is RunStatus.OK and "model" in result.outputs:
            try:
                model = await self._models.adopt(result.outputs["model"].path, start.run)
            except OSError as problem:
                result = RunResult(status=RunStatus.ENGINE_ERROR, reason=f"the model could not be kept on this disk: {problem}")
        self._log.end(run, result)
        if result.status is not RunStatus.ENGINE_ERROR and model is None and not self.stopping:
            await self._note(start, done=True)
        log.info("run ended", run=start.run, status=result.status.value, why=run.reason, loss=result.loss)
        return RunEnded(start.run, result.status, run.reason, result.result, model)

    async def _result(self, start: StartRun, run: Run) -> RunResult:
        await self._note(start, done=False)
        spec = start.spec
        if isinstance(spec, str):
            return RunResult(status=RunStatus.FAILED, reason=spec)
        try:
            return await self._engine.run(spec, lambda progress: self._log.progress(run, progress), run.cancel)
        except Exception as problem:  # whatever the engine does, the machines must hear of an end
            log.error("a run failed outside its container", run=start.run, exc_info=problem)
            return RunResult(status=RunStatus.ENGINE_ERROR, reason=f"{type(problem).__name__}: {problem}")

    async def _note(self, start: StartRun, *, done: bool) -> None:
        """An attempt begins with its first run; with `done` it is used up."""
        attempt: Attempt | None = start.attempt
        if attempt is None or not (done or attempt.first):
            return
        write = self._database.attempt_done if done else self._database.attempt_started
        await durably(self._executor, lambda: write(attempt.kind, start.ref, attempt.number))
