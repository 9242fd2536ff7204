"""A model is tried before it is served: its sample is put to two fresh containers, and their answers are compared with each other
and with those that its owner registered. It needs no ledger and no node.

    spec, sample --> try_model --> two runs --> compare --> Trial: `why` it should not be served, empty where it may

Answers that differ between two runs on one machine will differ between machines, and cost whoever serves the model its fee.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from learningchain.sandbox import AnswerForm, AnswerOutcome, Backend, ParsedAnswer, RunResult, RunSpec, RunStatus
from learningchain.sandbox.answers import AnswerReader

RUNS = 2
MAX_NAMED = 8
"""Rows that are named where many differ."""


class AnswerDifference(msgspec.Struct, frozen=True):
    """How far two answers to the same rows are apart. Scores in units of 1e-9."""

    rows: tuple[int, ...]
    """Rows, from 0, of another class, or of scores further apart than 2·tol (LC-PRE-2)."""
    check: bool
    """Whether the checks are further apart than 2·tol for each row."""
    furthest: int
    """The largest distance of two scores of one row and class."""

    @property
    def within(self) -> bool:
        """Whether a tally would take both for the same answer."""
        return not self.rows and not self.check

    def describe(self, what: str) -> str:
        """In words, for people; empty where a tally would take both for the same."""
        if self.within:
            return ""
        named = ", ".join(str(row + 1) for row in self.rows[:MAX_NAMED]) + (" …" if len(self.rows) > MAX_NAMED else "")
        rows = [f"in {len(self.rows)} rows ({named})"] if self.rows else []
        return f"{what} differ {' and '.join([*rows, *(['in the check'] if self.check else [])])}"


class TriedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One of the runs. `ready_s`: seconds until the model was loaded; `answer_s`: from then until its answer was here."""

    outcome: AnswerOutcome
    reason: str
    answer: ParsedAnswer | None
    ready_s: float
    answer_s: float
    log_tail: str


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's trial came to."""

    runs: tuple[TriedRun, ...]
    between: AnswerDifference | None = None
    """Of the two runs, where both answered."""
    from_owner: AnswerDifference | None = None
    """Of the first run and the owner's answers, where both are there."""
    why: str = ""
    """Why the model should not be served here; empty where it may."""


def compare(one: ParsedAnswer, other: ParsedAnswer, tol: int) -> AnswerDifference:
    """Raises ValueError where they do not answer the same number of rows in the same form."""
    if len(one.scores) != len(other.scores) or len(one.classes) != len(other.classes):
        raise ValueError(f"one answers {len(one.scores)} rows and the other {len(other.scores)}, or one of them names no classes")
    rows, furthest = [], 0
    for row, (left, right) in enumerate(zip(one.scores, other.scores, strict=True)):
        if one.classes and one.classes[row] != other.classes[row]:
            rows.append(row)
            continue
        furthest = max(furthest, abs(left - right))
        if abs(left - right) > 2 * tol:
            rows.append(row)
    return AnswerDifference(tuple(rows), abs(one.check - other.check) > 2 * tol * len(one.scores), furthest)


def judge(runs: tuple[TriedRun, ...], owner: ParsedAnswer | None, tol: int) -> Trial:
    """What the runs say, the first one that gave no answer before all else."""
    for number, run in enumerate(runs, 1):
        if run.answer is None:
            return Trial(runs=runs, why=f"run {number} of the sample gave no answer ({run.outcome.value}): {run.reason}")
    answers = [run.answer for run in runs if run.answer is not None]
    between = compare(answers[0], answers[-1], tol)
    try:
        from_owner = None if owner is None else compare(answers[0], owner, tol)
    except ValueError as problem:
        return Trial(runs=runs, between=between, why=f"the owner's answers do not fit the sample: {problem}")
    why = between.describe("two runs of the sample on this machine")
    if not why and from_owner is not None:
        why = from_owner.describe("this machine's answers to the sample and the owner's")
    return Trial(runs=runs, between=between, from_owner=from_owner, why=why)


def try_model(
    backend: Backend,
    spec: RunSpec,
    sample: Mapping[str, bytes | Path],
    form: AnswerForm,
    *,
    tol: int,
    wall_s: float,
    owner: ParsedAnswer | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Trial:
    """Runs the sample twice, each time in a container of its own, and compares; blocks meanwhile. A second run is not made where
    the first one gave no answer. `sample`: the late inputs, by name; `owner`: what the owner registered, where it did; `tell` hears
    what is done. Raises ValueError where `spec` waits for other inputs."""
    runs: list[TriedRun] = []
    while len(runs) < RUNS and (not runs or runs[-1].answer is not None):
        tell(f"run {len(runs) + 1} of {RUNS}: loading the model")
        runs.append(
            _run(backend, msgspec.structs.replace(spec, run_id=f"{spec.run_id}-{len(runs) + 1}"), sample, form, wall_s, tell)
        )
    return judge(tuple(runs), owner, tol)


def _run(
    backend: Backend,
    spec: RunSpec,
    sample: Mapping[str, bytes | Path],
    form: AnswerForm,
    wall_s: float,
    tell: Callable[[str], None],
) -> TriedRun:
    began = time.monotonic()
    warm = backend.start(spec)
    ready = time.monotonic()
    if isinstance(warm, RunResult):
        return _tried(warm, ready - began, 0.0)
    try:
        tell(f"ready after {ready - began:.2f} s; asking it for {form.rows} rows")
        result = warm.finish(sample, wall_s=wall_s, read=lambda: AnswerReader(form))
    finally:
        warm.close()
    return _tried(result, ready - began, time.monotonic() - ready)


def _tried(result: RunResult, ready_s: float, answer_s: float) -> TriedRun:
    answer = result.result if result.status is RunStatus.OK and isinstance(result.result, ParsedAnswer) else None
    return TriedRun(
        outcome=result.status.answer,
        reason=result.reason,
        answer=answer,
        ready_s=ready_s,
        answer_s=answer_s,
        log_tail=result.log_tail,
    )
