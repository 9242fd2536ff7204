"""The checkpoints that a node keeps of its trainings: whose they are, and what they say of the next start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from learningchain.chain.crypto import sha256
from learningchain.client.work.checkpoints import Checkpoints
from learningchain.client.work.database import WorkDatabase
from learningchain.client.work.engine import RunLog
from learningchain.client.work.events import Attempt, StartRun
from learningchain.client.work.execution import Execution
from learningchain.sandbox import ContainerLimits, OutputFile, RunResult, RunSpec, RunStatus
from tests.unit.work_kit import Inline

REF, OTHER = b"j" * 32, b"k" * 32
ATTEMPT = ("job", REF, 1)
LIMITS = ContainerLimits(wall_s=1_000.0)
SPEC = RunSpec(run_id="train-1", image_id="sha256:" + "1" * 64, phase="train", budget_s=800, seed=7, limits=LIMITS)


def left(folder: Path, content: bytes) -> OutputFile:
    path = folder / "out.checkpoint"
    path.write_bytes(content)
    return OutputFile(path, len(content), sha256(content))


def names(kept: Checkpoints) -> list[str]:
    return sorted(path.name.split(".")[0] for path in kept._folder.iterdir())


def test_the_newest_one_of_the_same_work_is_given_back(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "kept")
    assert kept.newest(ATTEMPT, SPEC) is None
    for left_ms, content in ((900, b"early"), (300, b"late")):
        kept.keep(ATTEMPT, SPEC, left(tmp_path, content), left_ms)
    found = Checkpoints(tmp_path / "kept").newest(ATTEMPT, structs.replace(SPEC, run_id="train-2", budget_s=5))
    assert found is not None and (found.path.read_bytes(), found.left_ms) == (b"late", 300)
    assert len(names(kept)) == 1 and not (tmp_path / "out.checkpoint").exists()
    for other in ({"seed": 8}, {"params": '{"a":1}'}, {"image_id": "sha256:" + "2" * 64}):
        assert kept.newest(ATTEMPT, structs.replace(SPEC, **other)) is None
    assert kept.newest(("job", REF, 2), SPEC) is None


def test_one_that_the_disk_damaged_is_not_gone_on_from(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "kept")
    kept.keep(ATTEMPT, SPEC, left(tmp_path, b"weights"), 300)
    (path,) = (tmp_path / "kept").iterdir()
    path.write_bytes(b"weighty")
    assert kept.newest(ATTEMPT, SPEC) is None
    assert names(kept) == []


def test_they_go_with_their_attempt_their_job_and_what_nobody_knows_goes_at_the_start(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "kept")
    attempts = [("job", REF, 1), ("job", REF, 11), ("job", OTHER, 1), ("job", OTHER, 2)]
    for attempt in attempts:
        kept.keep(attempt, SPEC, left(tmp_path, b"weights"), 5)
    kept.drop(("job", REF, 1))
    assert names(kept) == [f"job-{REF.hex()}-11", f"job-{OTHER.hex()}-1", f"job-{OTHER.hex()}-2"]
    kept.forget(REF)
    (tmp_path / "kept" / "half.new").write_bytes(b"")
    kept.sweep([("job", OTHER, 2), ("job", REF, 1)])
    assert names(kept) == [f"job-{OTHER.hex()}-2"]


@pytest.mark.parametrize("lost", [False, True])
async def test_a_run_without_a_checkpoint_is_excused_where_its_machine_went(tmp_path: Path, lost: bool) -> None:
    class Gone:
        async def run(self, *_: Any) -> RunResult:
            return RunResult(status=RunStatus.ENGINE_ERROR, reason="why", lost=lost)

    engine: Any = Gone()
    database, nothing = WorkDatabase(tmp_path / "work.db", bytes(32), bytes(20)), object()
    kept, rest = Checkpoints(tmp_path / "kept"), (nothing, nothing, database, Inline(), nothing)
    execution = Execution(engine, RunLog(lambda: 1_000), *rest, kept)  # type: ignore[arg-type]
    start = StartRun("train-1", REF, SPEC, ("train", 1), Attempt("job", 1, True))
    assert (await execution.run(start, execution.begin(start))).excused is lost
    database.close()


class Engine:
    """Each run leaves a checkpoint after a minute and comes to the next end."""

    def __init__(self, folder: Path, clock: list[int], *ends: RunStatus) -> None:
        self.folder, self.clock, self.ends = folder, clock, list(ends)
        self.specs: list[RunSpec] = []

    async def run(self, spec: RunSpec, _: Any, __: Any, keep: Any) -> RunResult:
        self.specs.append(spec)
        self.clock[0] += 60_000
        keep(left(self.folder, b"after run %d" % len(self.specs)))
        self.clock[0] += 5_000
        return RunResult(status=self.ends.pop(0), reason="why")


@pytest.mark.parametrize(
    ("end", "goes_on"),
    [(RunStatus.ENGINE_ERROR, True), (RunStatus.FAILED, False), (RunStatus.TIMEOUT, False), (RunStatus.CANCELLED, False)],
)
async def test_the_next_run_of_an_attempt_goes_on_with_what_is_left_of_its_time(
    tmp_path: Path, end: RunStatus, goes_on: bool
) -> None:
    """A run that used its attempt up leaves nothing."""
    clock = [1_000]
    engine: Any = Engine(tmp_path, clock, end, RunStatus.ENGINE_ERROR, RunStatus.ENGINE_ERROR)
    database, nothing = WorkDatabase(tmp_path / "work.db", bytes(32), bytes(20)), object()
    kept, rest = Checkpoints(tmp_path / "kept"), (nothing, nothing, database, Inline(), nothing)
    execution = Execution(engine, RunLog(lambda: clock[0]), *rest, kept)  # type: ignore[arg-type]
    for number in (1, 2, 3):
        start = StartRun(
            f"train-{number}", REF, structs.replace(SPEC, run_id=f"train-{number}"), ("train", 1), Attempt("job", 1, True)
        )
        database.run_over(*ATTEMPT, lost=True)
        ended = await execution.run(start, execution.begin(start))
        assert ended.excused
        assert database.run_over(*ATTEMPT) == 0, "it came further: that it ended by itself before counts no more"
    first, *later = engine.specs
    assert (first.inputs, first.stays) == ({}, True)
    given = [(spec.limits.wall_s, spec.budget_s, "checkpoint" in spec.inputs) for spec in later]
    again = [(940.0, 752, True), (880.0, 704, True)]
    assert given == (again if goes_on else [(1_000.0, 800, False), again[0]])
    assert not later[1].stays, "its container ends with the node: the next start has the checkpoint"
    database.close()
