"""What a training leaves on its way: which files are taken, how often, and what becomes of a run whose container is killed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.crypto import sha256
from learningchain.sandbox import EngineError, OutputFile, RunStatus, Sandbox
from learningchain.sandbox.disk import leave_room
from learningchain.sandbox.docker import checkpoints
from learningchain.sandbox.docker.checkpoints import SHARE, CheckpointCopier
from learningchain.sandbox.results import BadResult

from .docker_double import Box, DockerDouble
from .test_sandbox_service import double, image, load, room, spec

__all__ = ["double", "image", "room"]

CAP = 3_000
"""Of a checkpoint, where a model has 1,000 bytes."""


class Taken:
    """What was handed over."""

    def __init__(self) -> None:
        self.contents: list[bytes] = []
        self.seen = threading.Event()

    def __call__(self, file: OutputFile) -> None:
        content = file.path.read_bytes()
        assert (file.size, file.sha256) == (len(content), sha256(content))
        file.path.unlink()
        self.contents.append(content)
        self.seen.set()


@pytest.fixture
def often(double: DockerDouble, tmp_path: Path) -> Iterator[Sandbox]:
    """It looks at once, and all the time."""
    sandbox = Sandbox(tmp_path / "often", node_tag="o", checkpoint_s=0.0)
    yield sandbox
    sandbox.close()
    assert list((tmp_path / "often" / "out").glob("*.checkpoint")) == []


def leave(box: Box, content: bytes) -> None:
    """As programs replace a file."""
    (box.outside / "checkpoint.new").write_bytes(content)
    os.replace(box.outside / "checkpoint.new", box.outside / "checkpoint")


def test_each_new_checkpoint_is_taken_once_while_the_job_goes_on(often: Sandbox, double: DockerDouble, tmp_path: Path) -> None:
    taken = Taken()

    def job(box: Box) -> int:
        for content in (b"one", b"x" * CAP):
            taken.seen.clear()
            leave(box, content)
            assert taken.seen.wait(20)
        box.leave()
        return 0

    double.job = job
    outcome = often.run(spec(load(often, tmp_path)), on_checkpoint=taken)
    assert (outcome.status, list(outcome.outputs)) == (RunStatus.OK, ["model"])
    assert taken.contents == [b"one", b"x" * CAP]


def large(box: Box) -> None:
    leave(box, bytes(CAP + 1))


def sparse(box: Box) -> None:
    with (box.outside / "checkpoint").open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda box: (box.outside / "checkpoint").symlink_to("/etc/passwd"), id="a link"),
        pytest.param(lambda box: os.mkfifo(box.outside / "checkpoint"), id="a pipe"),
        pytest.param(lambda box: (box.outside / "checkpoint").mkdir(), id="a folder"),
        pytest.param(lambda box: leave(box, b""), id="an empty file"),
        pytest.param(large, id="a byte too much"),
        pytest.param(sparse, id="a terabyte of nothing"),
    ],
)
def test_what_is_no_checkpoint_is_not_taken_and_costs_the_run_nothing(
    often: Sandbox, double: DockerDouble, tmp_path: Path, make: Callable[[Box], Any]
) -> None:
    taken = Taken()

    def job(box: Box) -> int:
        make(box)
        box.killed.wait(0.5)
        box.leave()
        return 0

    double.job = job
    outcome = often.run(spec(load(often, tmp_path)), on_checkpoint=taken)
    assert (outcome.status, outcome.outputs["model"].size, taken.contents) == (RunStatus.OK, 7, [])


def test_a_killed_training_goes_on_from_what_it_left_and_another_end_is_its_own(
    room: Sandbox, double: DockerDouble, image: str, tmp_path: Path
) -> None:
    """It is looked at once a minute: what it left a moment before its end is taken then."""
    taken, code = Taken(), [137]

    def job(box: Box) -> int:
        if (box.inside / "checkpoint").exists():
            box.leave(model=(box.inside / "checkpoint").read_bytes() + b" and on")
            return 0
        leave(box, b"half way")
        return code[0]

    double.job = job
    outcome = room.run(spec(image), on_checkpoint=taken)
    assert (outcome.status, taken.contents) == (RunStatus.ENGINE_ERROR, [b"half way"])
    assert "goes on from its checkpoint" in outcome.reason
    (tmp_path / "kept").write_bytes(taken.contents[0])
    outcome = room.run(spec(image, inputs={"checkpoint": tmp_path / "kept"}), on_checkpoint=taken)
    assert outcome.outputs["model"].path.read_bytes() == b"half way and on"
    for code[0], on_checkpoint in ((3, taken), (137, None)):
        assert room.run(spec(image), on_checkpoint=on_checkpoint).status is RunStatus.FAILED
    assert len(taken.contents) == 1


def test_a_cancelled_training_leaves_its_last_checkpoint(room: Sandbox, double: DockerDouble, image: str) -> None:
    """Perhaps its node stops."""
    taken, cancel = Taken(), threading.Event()

    def job(box: Box) -> int:
        leave(box, b"so far")
        cancel.set()
        box.killed.wait(60)
        return 0

    double.job = job
    outcome = room.run(spec(image), on_checkpoint=taken, cancel=cancel)
    assert (outcome.status, taken.contents) == (RunStatus.CANCELLED, [b"so far"])


class Beside:
    """A sidecar with these checkpoints, each in pieces: one after another, and the last one for ever. A piece that is no bytes is
    raised."""

    def __init__(self, *found: list[bytes | Exception]) -> None:
        self.found, self.asked = list(found), list[str]()

    def copy_output(self, name: str, cap: int, seen: str) -> tuple[str, int, Iterator[bytes]]:
        self.asked.append(seen)
        if not self.found:
            raise BadResult(f"{name} is the same")
        pieces = self.found.pop(0)

        def sent() -> Iterator[bytes]:
            for piece in pieces:
                if isinstance(piece, Exception):
                    raise piece
                yield piece

        return f"stamp-{len(self.asked)}", sum(len(piece) for piece in pieces if isinstance(piece, bytes)), sent()


def copier(beside: Beside, tmp_path: Path, now: list[float], taken: Taken) -> CheckpointCopier:
    sidecar: Any = beside
    return CheckpointCopier(sidecar, tmp_path / "c", CAP, taken, every_s=60.0, now=lambda: now[0])


def test_a_copy_is_made_piece_by_piece_and_the_next_look_waits_longer_the_longer_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "_STEP", 1)
    now, taken, beside = [0.0], Taken(), Beside([b"a", b"b", b"c"])
    one = copier(beside, tmp_path, now, taken)
    assert not one.step() and beside.asked == [], "not before a minute"
    now[0] = 60.0
    steps = 0
    while one.step():
        steps += 1
        now[0] += 10.0
    assert (steps, taken.contents) == (3, [b"abc"])
    for later, asked in ((60.0 + SHARE * 30.0, 1), (91.0 + SHARE * 30.0, 2)):
        now[0] = later
        assert not one.step() and len(beside.asked) == asked
    assert beside.asked == ["-", "stamp-1"], "it says which one it has"


def test_one_that_was_changed_while_it_was_read_is_read_again_and_a_full_disk_keeps_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, taken = [0.0], Taken()
    beside = Beside([b"torn", BadResult("changed")], [b"whole"], [b"no room"], [b"room"])
    one = copier(beside, tmp_path, now, taken)
    honest = leave_room

    def full(*_: Any) -> None:
        raise EngineError("keeping a checkpoint", "the disk is full")

    for look in range(1, 5):
        monkeypatch.setattr(checkpoints, "leave_room", full if look == 3 else honest)
        now[0] = 60.0 * look
        assert not one.step()
        assert not (tmp_path / "c").exists()
    assert taken.contents == [b"whole", b"room"]
    assert beside.asked == ["-", "-", "stamp-2", "-"]


def test_a_sidecar_that_fails_is_the_runs_trouble(tmp_path: Path) -> None:
    now = [60.0]
    one = copier(Beside([b"a", EngineError("the sidecar", "it has ended")]), tmp_path, now, Taken())
    now[0] = 120.0
    with pytest.raises(EngineError):
        one.step()
    one.close()
    assert not (tmp_path / "c").exists()


def test_what_takes_too_long_after_the_end_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_STEP", 1)
    now, taken = [0.0], Taken()

    def slow() -> float:
        now[0] += 1.0
        return now[0]

    sidecar: Any = Beside([b"x"] * 1_000)
    one = CheckpointCopier(sidecar, tmp_path / "c", CAP, taken, now=slow)
    assert not one.take_last()
    one.close()
    assert taken.contents == [] and not (tmp_path / "c").exists()
