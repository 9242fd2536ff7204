"""Turns the machines' wishes into runs of the sandbox and their outcomes into inputs."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path

import structlog

from chain.contracts.job import records
from chain.contracts.job.messages import PostJob
from chain.contracts.job.records import Posting
from chain.host import Reader
from client.work import policy
from client.work.book import Book
from client.work.engine import Run, RunLog
from client.work.events import Model, RunEnded, StartEvaluate, StartSelfCheck, StartTrain
from client.work.material import Models, durably
from sandbox import AsyncBackend, DataSet, RunOutcome, RunSpec, Status

log = structlog.get_logger(__name__)

Start = StartTrain | StartSelfCheck | StartEvaluate

BUDGET = 0.9
"""The part of the wall clock that a training is told to use: the rest is for stopping in order."""


def train_spec(terms: PostJob, start: StartTrain) -> RunSpec:
    """Raises ValueError for a posting that no container can be started for."""
    return RunSpec(
        run_id=start.run,
        image_id=start.image_id,
        phase="train",
        seed=start.seed,
        probe=0,
        budget_s=max(1, int(start.wall_s * BUDGET)),
        threads=terms.limits.threads,
        params=terms.params,
        limits=policy.run_limits(terms, start.wall_s),
    )


def evaluate_spec(terms: PostJob, start: StartSelfCheck | StartEvaluate) -> RunSpec:
    """Everything that the job can see is the same for every verifier of a round. Raises ValueError."""
    inputs: dict[str, Path | DataSet] = {"model": start.model.path if isinstance(start, StartSelfCheck) else start.model}
    if isinstance(start, StartEvaluate) and start.eval_file is not None:
        inputs["eval"] = start.eval_file
    return RunSpec(
        run_id=start.run,
        image_id=start.image_id,
        phase="evaluate",
        seed=int.from_bytes(start.job[:8], "big") if isinstance(start, StartSelfCheck) else start.seed,
        probe=start.probe,
        budget_s=terms.limits.eval_s,
        threads=terms.limits.threads,
        params=terms.params,
        limits=policy.run_limits(terms, start.wall_s),
        inputs=inputs,
    )


class Execution:
    """Runs what it is told to and remembers attempts in the book."""

    def __init__(self, engine: AsyncBackend, log_: RunLog, models: Models, book: Book, executor: Executor) -> None:
        self._engine, self._log, self._models, self._book, self._executor = engine, log_, models, book, executor
        self.stopping = False
        """This node is stopping: runs that it kills now may be started again."""

    def begin(self, start: Start) -> Run:
        """The record of a run that is about to start: it can be cancelled from now on."""
        if isinstance(start, StartTrain):
            return self._log.begin(start.run, start.job, "train", start.attempt, start.seed)
        if isinstance(start, StartSelfCheck):
            return self._log.begin(start.run, start.job, "check", start.attempt, int.from_bytes(start.job[:8], "big"))
        phase = "verify" if start.eval_file is None else "hidden"
        return self._log.begin(start.run, start.seat[0], phase, start.index, start.seed)

    async def run(self, reader: Reader, start: Start, run: Run) -> RunEnded:
        """One run to its end, whatever it comes to. An attempt is used up by every end but a fault of the engine."""
        outcome = await self._outcome(reader, start, run)
        model: Model | None = None
        if isinstance(start, StartTrain) and outcome.status is Status.OK and "model" in outcome.outputs:
            try:
                model = await self._models.adopt(outcome.outputs["model"].path, start.run)
            except OSError as problem:
                outcome = RunOutcome(status=Status.ENGINE_ERROR, reason=f"the model could not be kept on this disk: {problem}")
        self._log.end(run, outcome)
        over = outcome.status is not Status.ENGINE_ERROR and model is None and not self.stopping
        if over and not isinstance(start, StartEvaluate):
            await durably(self._executor, lambda: self._book.attempt_done(start.job, start.attempt))
        log.info("run ended", run=start.run, status=outcome.status.value, why=run.reason, loss=outcome.loss)
        return RunEnded(start.run, outcome.status, run.reason, outcome.loss, outcome.probe_loss, model)

    async def _outcome(self, reader: Reader, start: Start, run: Run) -> RunOutcome:
        try:
            if isinstance(start, StartTrain):
                await durably(self._executor, lambda: self._book.attempt_started(start.job, start.attempt))
            posting = reader.get(records.posting_key(run.job))
            if not isinstance(posting, Posting):
                return RunOutcome(status=Status.FAILED, reason="there is no such job")
            spec = train_spec(posting.terms, start) if isinstance(start, StartTrain) else evaluate_spec(posting.terms, start)
        except ValueError as problem:
            return RunOutcome(status=Status.FAILED, reason=f"the posting cannot be run: {problem}")
        try:
            return await self._engine.run(spec, lambda progress: self._log.progress(run, progress), run.cancel)
        except Exception as problem:  # whatever the engine does, the machines must hear of an end
            log.error("a run failed outside its container", run=start.run, exc_info=problem)
            return RunOutcome(status=Status.ENGINE_ERROR, reason=f"{type(problem).__name__}: {problem}")
