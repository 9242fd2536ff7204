"""What a trial says of a model, by the answers of its two runs and its owner's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from learningchain.client.work.tries import Trial, try_model
from learningchain.sandbox import AnswerForm, AnswerOutcome, Backend, ParsedAnswer, RunResult, RunSpec, RunStatus

FORM = AnswerForm(rows=2, classes=3)
TOL = 100
SAMPLE = {"request.json": b"{}", "input": b"1\n2\n"}


def answer(*classes: int, scores: tuple[int, ...] = (5, 6), check: int = 0) -> ParsedAnswer:
    return ParsedAnswer(classes or (0, 1), scores, check)


class Runs:
    """A backend whose runs come to what is listed."""

    def __init__(self, *ends: ParsedAnswer | RunResult, ready: bool = True) -> None:
        self.ends, self.ready = list(ends), ready
        self.started: list[str] = []
        self.closed = 0
        self.given: list[Mapping[str, bytes | Path]] = []

    def start(self, spec: RunSpec) -> Any:
        self.started.append(spec.run_id)
        return self if self.ready else self.ends.pop(0)

    def finish(self, late: Mapping[str, bytes | Path], *, wall_s: float, read: Any) -> RunResult:
        self.given.append(late)
        end = self.ends.pop(0)
        return end if isinstance(end, RunResult) else RunResult(status=RunStatus.OK, reason="done", result=end)

    def close(self) -> None:
        self.closed += 1


def tried(runs: Runs, tmp_path: Path, owner: ParsedAnswer | None = None) -> Trial:
    inputs: dict[str, Any] = {"model": tmp_path}
    spec = RunSpec(run_id="try", image_id="sha256:" + "0" * 64, phase="predict", budget_s=1, seed=1, inputs=inputs)
    return try_model(cast(Backend, runs), spec, SAMPLE, FORM, tol=TOL, wall_s=1.0, owner=owner)


def test_a_model_that_answers_twice_alike_and_as_its_owner_said_may_be_served(tmp_path: Path) -> None:
    runs = Runs(answer(scores=(5, 6)), answer(scores=(5 + 2 * TOL, 6), check=-4 * TOL))
    trial = tried(runs, tmp_path, answer(scores=(6, 6)))
    assert (trial.why, trial.from_owner is not None and trial.from_owner.furthest) == ("", 1)
    assert trial.between is not None and (trial.between.within, trial.between.furthest) == (True, 2 * TOL)
    assert (runs.started, runs.closed, runs.given) == (["try-1", "try-2"], 2, [SAMPLE, SAMPLE])
    assert tried(Runs(answer(), answer()), tmp_path).from_owner is None


@pytest.mark.parametrize(
    ("second", "owner", "why"),
    [
        (answer(0, 2), None, "two runs of the sample on this machine differ in 1 rows (2)"),
        (answer(scores=(5, 7 + 2 * TOL)), None, "two runs of the sample on this machine differ in 1 rows (2)"),
        (answer(check=4 * TOL + 1), None, "two runs of the sample on this machine differ in the check"),
        (answer(1, 2, check=10**9), None, "two runs of the sample on this machine differ in 2 rows (1, 2) and in the check"),
        (answer(0, 2), answer(1, 1), "two runs of the sample on this machine differ in 1 rows (2)"),
        (answer(), answer(1, 1), "this machine's answers to the sample and the owner's differ in 1 rows (1)"),
        (answer(), ParsedAnswer((0,), (5,), 0), "the owner's answers do not fit the sample: one answers 2 rows and the other 1"),
        (answer(), ParsedAnswer((), (5, 6), 0), "the owner's answers do not fit the sample"),
    ],
)
def test_what_differs_is_said(tmp_path: Path, second: ParsedAnswer, owner: ParsedAnswer | None, why: str) -> None:
    assert tried(Runs(answer(), second), tmp_path, owner).why.startswith(why)


def test_an_end_without_an_answer_says_which_and_no_second_one_is_tried(tmp_path: Path) -> None:
    runs = Runs(RunResult(status=RunStatus.TIMEOUT, reason="still running after 1 s", log_tail="loading"), ready=False)
    trial = tried(runs, tmp_path)
    assert trial.why == "run 1 of the sample gave no answer (overrun): still running after 1 s"
    assert (trial.runs[0].outcome, trial.runs[0].log_tail, len(trial.runs)) == (AnswerOutcome.OVERRUN, "loading", 1)
    trial = tried(Runs(answer(), RunResult(status=RunStatus.MODEL_INVALID, reason="exit 65")), tmp_path)
    assert trial.why == "run 2 of the sample gave no answer (fault): exit 65"
