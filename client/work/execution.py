"""Turns the machines' wishes into runs of the sandbox and their results into inputs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

import structlog
from msgspec import structs

from learningchain.client.work.artifacts import KeptLosses, Models, durably, in_thread
from learningchain.client.work.checkpoints import SAME, AttemptKey, Checkpoints
from learningchain.client.work.database import RunUnderWay, WorkDatabase
from learningchain.client.work.engine import Run, RunLog
from learningchain.client.work.events import Attempt, LateInputRefused, LateInputs, Model, RunEnded, StartRun, one_of_run
from learningchain.client.work.slots import MachineShare
from learningchain.client.work.vanished import RunMaker
from learningchain.client.work.warm_pool import LateRequest, WarmPool, finish
from learningchain.sandbox import Evaluated, EvaluatedModels, OutputFile, RunResult, RunSpec, RunStatus
from learningchain.sandbox.phases import CHECKPOINT
from learningchain.sandbox.spec import dump_run, known, load_run

log = structlog.get_logger(__name__)

MAX_STARTS = 2
"""An attempt whose run ended by itself so often, while nobody was there to see how, is not started again: it may be what kills this
machine. A start of the node that finds the run, and a run that somebody ended, count nothing."""


class Execution:
    """Runs what it is told to and remembers attempts in the database.

    run_began -> the container runs -> it left a model: run_trained -> ... -> attempt_done
                                    -> another end: attempt_done; by a fault of the engine, or by the owner: run_over
                                    -> this node ends; its next start: recall, then found
                                           -> the engine has the run, or its model is here: the attempt's next run is that one
                                           -> it is gone: run_over

    Whatever becomes of its container, an attempt's next run is given the newest checkpoint that its training left.
    """

    def __init__(
        self,
        engine: RunMaker,
        log_: RunLog,
        models: Models,
        losses: KeptLosses,
        database: WorkDatabase,
        executor: Executor,
        warm: WarmPool,
        checkpoints: Checkpoints,
    ) -> None:
        self._warm, self._checkpoints = warm, checkpoints
        self._engine, self._log, self._models, self._losses = engine, log_, models, losses
        self._database, self._executor = database, executor
        self._running: dict[str, MachineShare] = {}
        self._before: dict[tuple[str, bytes, int], tuple[RunSpec, RunUnderWay]] = {}
        """Runs of the process before this one, by their attempts."""
        self._going_on: dict[str, tuple[RunSpec, Model | None]] = {}
        """By the name of a run of this process, the earlier one that it goes on with, and what that left where it has ended."""
        self._spent: set[tuple[str, bytes, int]] = set()
        self._saved: set[str] = set()
        """Runs under way that left a checkpoint."""
        self.stopping = False
        """This node is stopping: runs that it kills now may be started again."""

    def taken(self) -> list[MachineShare]:
        """What the runs under way may take, each; but for those that a container of a served model was asked for."""
        return list(self._running.values())

    def recall(self, runs: Iterable[RunUnderWay]) -> set[Path]:
        """The runs whose attempts were not over when the process before this one ended; the files that they left."""
        for run in runs:
            try:
                self._before[run.attempt] = load_run(run.spec), run
            except (TypeError, ValueError) as problem:  # of another version of this program: it ends with the next clean-up
                log.warning("a run of an earlier start cannot be read", ref=run.ref.hex(), why=str(problem))
        return {run.model.path for _, run in self._before.values() if run.model is not None}

    def before(self) -> list[RunSpec]:
        """Those that the engine may still have."""
        return [spec for spec, run in self._before.values() if run.model is None]

    async def found(self, runs: Collection[str], lost: Collection[str]) -> None:
        """The engine has `runs` of them; `lost` ended by themselves, with nobody there."""
        for attempt, (spec, run) in list(self._before.items()):
            if spec.run_id in runs or (run.model is not None and run.model.path.is_file()):
                log.info("a run goes on", run=spec.run_id)
                continue
            del self._before[attempt]
            if await self._over(attempt, lost=spec.run_id in lost) >= MAX_STARTS:
                self._spent.add(attempt)

    async def _over(self, attempt: tuple[str, bytes, int], *, lost: bool = False) -> int:
        return int(await durably(self._executor, lambda: self._database.run_over(*attempt, lost=lost)))

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
        run = self._log.begin(
            start.run, start.ref, phase, number, None if isinstance(start.spec, str) or callable(start.spec) else start.spec.seed
        )
        if isinstance(start.spec, RunSpec) and (attempt := _first_of(start)) in self._before:
            spec, before = self._before.pop(attempt)
            if _is_same(start.spec, spec):
                self._going_on[start.run] = spec, before.model
                run.container, run.started = spec.run_id, before.began
        return run

    async def run(self, start: StartRun, run: Run) -> RunEnded:
        """One run to its end, whatever it comes to."""
        going_on, model = self._going_on.pop(start.run, (None, None))
        if model is not None:
            self._running.pop(start.run, None)
            result = RunResult(status=RunStatus.OK, reason="it ended before this start of the node")
            self._log.end(run, result)
            return RunEnded(start.run, result.status, result.reason, None, model)
        try:
            result = await self._result(start, run, going_on)
        finally:
            self._running.pop(start.run, None)
        if start.keep and result.status is RunStatus.OK and "model" in result.outputs:
            try:
                model = await self._models.adopt(result.outputs["model"].path, start.run)
            except OSError as problem:
                result = RunResult(status=RunStatus.ENGINE_ERROR, reason=f"the model could not be kept on this disk: {problem}")
        if start.keep:
            try:
                for name, one in _evaluated(start.run, result.result):
                    await self._losses.keep(start.ref, name, one.losses)
            except OSError as problem:
                result = RunResult(status=RunStatus.ENGINE_ERROR, reason=f"the losses could not be kept on this disk: {problem}")
        self._log.end(run, result)
        await self._note_end(start, result, model)
        log.info("run ended", run=start.run, status=result.status.value, why=run.reason, loss=result.loss)
        # The losses themselves, up to 8 MiB, are for the disk: no machine holds them.
        excused = result.lost or start.run in self._saved
        self._saved.discard(start.run)
        return RunEnded(start.run, result.status, run.reason, _measured(result.result), model, excused)

    async def _note_end(self, start: StartRun, result: RunResult, model: Model | None) -> None:
        attempt = _first_of(start)
        if result.left:
            return
        if attempt is not None and (model is not None or (result.status is not RunStatus.ENGINE_ERROR and not self.stopping)):
            await in_thread(self._executor, lambda: self._checkpoints.drop(attempt))
        if result.status is not RunStatus.ENGINE_ERROR and model is None and not self.stopping:
            await self._note(start, done=True)
        elif attempt is not None and model is None:
            await self._over(attempt)
        elif attempt is not None and model is not None:
            await durably(self._executor, lambda: self._database.run_trained(*attempt, model))

    async def _result(self, start: StartRun, run: Run, going_on: RunSpec | None) -> RunResult:
        """`going_on`: the run of an earlier process that this one is."""
        spec, attempt = start.spec, _first_of(start)
        if attempt in self._spent:
            why = f"it ended by itself {MAX_STARTS} times while this node was away: it may be what kills it"
            return RunResult(status=RunStatus.FAILED, reason=why)
        if going_on is not None:
            spec = going_on
        elif attempt is not None and isinstance(spec, RunSpec):
            spec = await self._begun(attempt, spec, run)
        else:
            await self._note(start, done=False)
        if isinstance(spec, str) or callable(spec):
            return RunResult(status=RunStatus.NOT_STARTED, reason=spec if isinstance(spec, str) else "its data were not looked up")
        if start.late is not None:
            return await self._asked(start, spec, start.late, run)
        try:
            keep = None if attempt is None or not spec.row.checkpoints else self._keeper(attempt, spec, run)
            return await self._engine.run(spec, lambda progress: self._log.progress(run, progress), run.cancel, keep)
        except Exception as problem:  # whatever the engine does, the machines must hear of an end
            log.error("a run failed outside its container", run=start.run, exc_info=problem)
            return RunResult(status=RunStatus.ENGINE_ERROR, reason=f"{type(problem).__name__}: {problem}")

    async def _begun(self, attempt: AttemptKey, given: RunSpec, run: Run) -> RunSpec:
        """The first run of an attempt as it is made, noted on the disk before its container is there."""
        spec = await in_thread(self._executor, lambda: self._from_checkpoint(attempt, given))
        if not spec.may_stay:
            await durably(self._executor, lambda: self._database.attempt_started(*attempt))
            return spec
        spec = structs.replace(spec, stays=True)
        began = RunUnderWay(*attempt, dump_run(spec), run.started)
        await durably(self._executor, lambda: self._database.run_began(began))
        return spec

    def _from_checkpoint(self, attempt: AttemptKey, spec: RunSpec) -> RunSpec:
        """The same run with what is left of its time, where an earlier one of its attempt left a checkpoint."""
        try:
            found = self._checkpoints.newest(attempt, spec) if spec.row.checkpoints else None
        except OSError as problem:
            log.warning("a checkpoint cannot be read", run=spec.run_id, why=str(problem))
            return spec
        if found is None:
            return spec
        log.info("a training goes on from its checkpoint", run=spec.run_id, left_s=found.left_ms / 1_000)
        wall_s = max(1.0, min(spec.limits.wall_s, found.left_ms / 1_000))
        return structs.replace(
            spec,
            inputs={**spec.inputs, CHECKPOINT: found.path},
            budget_s=max(1, int(spec.budget_s * wall_s / spec.limits.wall_s)),
            limits=structs.replace(spec.limits, wall_s=wall_s),
        )

    def _keeper(self, attempt: AttemptKey, spec: RunSpec, run: Run) -> Callable[[OutputFile], None]:
        """What takes the run's checkpoints, on the run's own thread."""

        def keep(file: OutputFile) -> None:
            left_ms = int(1_000 * spec.limits.wall_s) - self._log.lasted_ms(run)
            try:
                self._checkpoints.keep(attempt, spec, file, left_ms)
            except OSError as problem:
                log.warning("a checkpoint could not be kept on this disk", run=run.id, why=str(problem))
                return
            self._saved.add(run.id)
            self._executor.submit(self._database.run_saved, *attempt)

        return keep

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


def _is_same(now: RunSpec, before: RunSpec) -> bool:
    """Whether it is the work of an earlier run, on the same data sets to the byte."""
    same = all(getattr(before, name) == getattr(now, name) for name in SAME)
    return same and now.may_stay and known(now).inputs == before.inputs


def _first_of(start: StartRun) -> tuple[str, bytes, int] | None:
    """The attempt that a run begins."""
    attempt = start.attempt
    return (attempt.kind, start.ref, attempt.number) if attempt is not None and attempt.first else None


def _evaluated(run: str, result: object) -> list[tuple[str, Evaluated]]:
    """What was evaluated, each with the name under which its losses are kept."""
    if isinstance(result, EvaluatedModels):
        return [(one_of_run(run, place), one) for place, one in enumerate(result.each) if one is not None]
    return [(run, result)] if isinstance(result, Evaluated) else []


def _measured(result: object) -> object:
    """Without the losses themselves."""
    if isinstance(result, EvaluatedModels):
        return tuple(None if one is None else one.measurement for one in result.each)
    return result.measurement if isinstance(result, Evaluated) else result
