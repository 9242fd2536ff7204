"""What an end of a run is: which ends use an attempt up, which models are this node's, and what a disk that refuses means."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec import structs

from learningchain.chain.crypto import sha256
from learningchain.client.work.checkpoints import Checkpoints
from learningchain.client.work.database import RunUnderWay
from learningchain.client.work.engine import RunLog
from learningchain.client.work.events import Attempt, Model, RunEnded, StartRun
from learningchain.client.work.execution import Execution
from learningchain.sandbox import DataSet, RunResult, RunSpec, RunStatus
from learningchain.sandbox.data import DataFile
from learningchain.sandbox.spec import dump_run, known
from tests.unit.work_kit import Inline

REF = b"j" * 32
KEPT = Model(Path("/models/train-1.model"), b"cid", 7)


class Disk:
    """Attempts and models as the database and the disk get them."""

    def __init__(self, fault: OSError | None = None) -> None:
        self.noted: list[tuple[str, str, bytes, int]] = []
        self.adopted: list[Path] = []
        self.fault = fault

    def attempt_started(self, kind: str, ref: bytes, number: int) -> None:
        self.noted.append(("started", kind, ref, number))

    def attempt_done(self, kind: str, ref: bytes, number: int) -> None:
        self.noted.append(("done", kind, ref, number))

    def run_over(self, kind: str, ref: bytes, number: int, *, lost: bool = False) -> int:
        self.noted.append(("over", kind, ref, number))
        return 0

    def run_trained(self, kind: str, ref: bytes, number: int, model: Model) -> None:
        self.noted.append(("trained", kind, ref, number))

    async def adopt(self, path: Path, run: str) -> Model:
        if self.fault is not None:
            raise self.fault
        self.adopted.append(path)
        return KEPT


async def ended(
    disk: Disk, result: RunResult | Exception, *, keep: bool = True, stopping: bool = False, first: bool = True, spec: Any = None
) -> RunEnded:
    class Engine:
        async def run(self, *_: Any) -> RunResult:
            execution.stopping = stopping
            if isinstance(result, Exception):
                raise result
            return result

    nothing: Any = None
    execution = Execution(
        cast(Any, Engine()),
        RunLog(lambda: 1),
        cast(Any, disk),
        nothing,
        cast(Any, disk),
        Inline(),
        nothing,
        Checkpoints(Path("/nowhere")),
    )
    spec = SimpleNamespace(seed=5, row=SimpleNamespace(checkpoints=False)) if spec is None else spec
    start = StartRun("train-1", REF, spec, ("train", 1), Attempt("job", 3, first), keep)
    return await execution.run(start, execution.begin(start))


def result(status: RunStatus, *, model: bool = False) -> RunResult:
    outputs: Any = {"model": SimpleNamespace(path=Path("/out/model"))} if model else {}
    return RunResult(status=status, reason="why", outputs=outputs)


STARTED, DONE, OVER, TRAINED = ((word, "job", REF, 3) for word in ("started", "done", "over", "trained"))


@pytest.mark.parametrize("status", [s for s in RunStatus if s not in (RunStatus.ENGINE_ERROR, RunStatus.NOT_STARTED)])
async def test_every_end_without_a_model_uses_an_attempt_up(status: RunStatus) -> None:
    disk = Disk()
    assert (await ended(disk, result(status))).status is status
    assert disk.noted == [STARTED, DONE]


@pytest.mark.parametrize("fault", [result(RunStatus.ENGINE_ERROR), RuntimeError("the engine is gone")])
async def test_a_fault_of_the_engine_uses_no_attempt_up(fault: RunResult | Exception) -> None:
    disk = Disk()
    assert (await ended(disk, fault)).status is RunStatus.ENGINE_ERROR
    assert disk.noted == [STARTED, OVER]


async def test_an_attempt_begins_once_and_what_cannot_be_started_uses_it_up() -> None:
    disk = Disk()
    await ended(disk, result(RunStatus.OK), first=False)
    assert disk.noted == [DONE], "its second run begins nothing"
    disk = Disk()
    found = await ended(disk, result(RunStatus.OK), spec="no container can have that")
    assert (found.status, found.reason) == (RunStatus.NOT_STARTED, "no container can have that")
    assert disk.noted == [STARTED, DONE]


IMAGE = "sha256:" + "1" * 64


def on_sets(run: str, content: bytes, inputs: str = "sets") -> RunSpec:
    """A training on one published set with one file, or what else may not outlive its node."""
    file = Path("/kept") / run
    data = DataSet((DataFile("digits/a", file, len(content), sha256(content)),))
    if inputs == "sets":
        return RunSpec(run_id=run, image_id=IMAGE, phase="train", budget_s=5, seed=1, inputs={"sets": data})
    return RunSpec(run_id=run, image_id=IMAGE, phase="evaluate", budget_s=5, inputs={"model": file, "sets": data})


@pytest.mark.parametrize(("now", "goes_on"), [(b"digits", True), (b"others", False)])
def test_a_training_on_data_sets_is_gone_on_with_while_they_are_the_same_to_the_byte(now: bytes, goes_on: bool) -> None:
    """Where their files lie, and what they are called on this disk, does not matter."""
    nothing: Any = None
    execution = Execution(nothing, RunLog(lambda: 1), nothing, nothing, nothing, Inline(), nothing, nothing)
    before = structs.replace(on_sets("train-1", b"digits"), stays=True)
    execution.recall([RunUnderWay("job", REF, 3, dump_run(before), 7)])
    assert execution.before() == [known(before)]
    run = execution.begin(StartRun("train-2", REF, on_sets("train-2", now), ("train", 1), Attempt("job", 3, True), True))
    assert (run.container, run.started) == ("train-1", 7) if goes_on else run.container != "train-1"


def test_a_run_that_has_anything_but_data_sets_does_not_outlive_its_node() -> None:
    assert on_sets("train-1", b"digits").may_stay
    assert not on_sets("check-1", b"digits", "a model too").may_stay
    with pytest.raises(ValueError, match="does not outlive its node"):
        structs.replace(on_sets("check-1", b"digits", "a model too"), stays=True)
