"""The sidecar's two ends without an engine: the program beside the volumes, and the node that believes it nothing."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests

from learningchain.sandbox import EngineError
from learningchain.sandbox.docker import sidecar as sidecar_module
from learningchain.sandbox.docker import sidecar_program
from learningchain.sandbox.docker.attached import Dialogue
from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.docker.sidecar import Sidecar, SidecarSize, wait_dead
from learningchain.sandbox.results import BadResult


@pytest.fixture
def volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(sidecar_program, name.upper(), str(tmp_path / name))
    return tmp_path


def said(*requests: bytes) -> bytes:
    """What the program answers to these requests."""
    answers = io.BytesIO()
    before = os.umask(0o077)
    try:
        sidecar_program.serve(cast(Any, io.BytesIO(b"".join(requests))), cast(Any, answers))
    finally:
        os.umask(before)
    return answers.getvalue()


def test_inputs_are_written_readable_for_all_and_outputs_read(volumes: Path) -> None:
    (volumes / "out" / "model").write_bytes(b"weights")
    assert said(b"put job.json 2\n{}", b"put model 0\n", b"get model 7\n", b"ping\n") == b"ok\nok\nok 7\nweightsok\n"
    assert (volumes / "in" / "job.json").read_bytes() == b"{}"
    assert (volumes / "in" / "job.json").stat().st_mode & 0o777 == 0o444
    assert said(b"start model 4\n", b"ping\n", b"start model 99\n") == b"ok 4\nweigok\nok 7\nweights"
    with pytest.raises(EOFError):
        said(b"put eval 5\nabc")


def test_only_a_regular_file_within_its_limit_is_read(volumes: Path) -> None:
    out = volumes / "out"
    (volumes / "secret").write_text("secret")
    (out / "link").symlink_to(volumes / "secret")
    (out / "folder").mkdir()
    os.mkfifo(out / "pipe")
    (out / "large").write_bytes(bytes(101))
    for name, why in [
        ("link", b"no is a symbolic link, not a regular file\n"),
        ("folder", b"no is a folder, not a regular file\n"),
        ("pipe", b"no is a pipe, not a regular file\n"),
        ("large", b"no has 101 bytes; the limit is 100\n"),
        ("missing", b"no is missing\n"),
    ]:
        assert said(f"get {name} 100\n".encode()) == why
        for how in ("start", "take"):
            assert said(f"{how} {name} 100\n".encode()) == (why if name != "large" else b"ok 100\n" + bytes(100))


@pytest.mark.parametrize("how", ["start", "take"])
def test_what_a_job_that_lives_makes_a_pipe_of_meanwhile_is_not_read(
    volumes: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    (volumes / "out" / "answer").write_bytes(b"7")
    honest = os.open

    def opened(path: str, *more: Any) -> int:
        os.unlink(path)
        os.mkfifo(path)
        return honest(path, *more)

    monkeypatch.setattr(os, "open", opened)
    assert said(f"{how} answer 100\n".encode()) == b"no is a pipe, not a regular file\n"


def test_a_file_that_becomes_shorter_while_it_is_sent_ends_the_program(volumes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node has been told how much comes: it would wait for the rest."""
    (volumes / "out" / "model").write_bytes(bytes(5))
    honest = os.fstat

    def longer(file: int) -> os.stat_result:
        facts = list(honest(file))
        return os.stat_result([*facts[:6], 7, *facts[7:]])

    monkeypatch.setattr(os, "fstat", longer)
    with pytest.raises(EOFError, match="model became shorter"):
        said(b"start model 9\n")


@pytest.mark.parametrize("seconds", [3.0, 20.0])
def test_a_long_wait_notices_an_engine_that_has_gone_before_its_end(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now, waits = 1_000.0, list[float]()

    class Waiting:
        def wait(self, name: str, timeout: float) -> dict[str, int]:
            nonlocal now
            waits.append(timeout)
            now += timeout
            raise requests.exceptions.ConnectionError("Read timed out.")

    monkeypatch.setattr(sidecar_module, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(Engine, "api", lambda self, **_: Waiting())
    assert wait_dead(Engine("unix:///nowhere.sock"), "k", seconds) is None
    assert sum(waits) == seconds and max(waits) <= 5.0


class Line:
    """A connection on which a sidecar says what it likes, and then nothing, or hangs up."""

    def __init__(self, *pieces: bytes | None) -> None:
        self.pieces = list(pieces)
        self.sent = b""

    def send(self, data: bytes) -> None:
        self.sent += data

    def receive(self) -> bytes | None:
        return self.pieces.pop(0) if self.pieces else b""

    def close(self) -> None: ...


def frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def sidecar(line: Line) -> Sidecar:
    sidecar = Sidecar(Engine("unix:///nowhere.sock"), "k", 1, SidecarSize.for_inputs(0, 1024))
    sidecar._dialogue = Dialogue(cast(Any, line), "the sidecar of a run")
    return sidecar


def test_an_answer_in_any_pieces_is_read() -> None:
    whole = frame(1, b"ok 7\nwei") + frame(1, b"ghts")
    for pieces in ([whole], [bytes([byte]) for byte in whole]):
        assert b"".join(sidecar(Line(*pieces)).read_output("model", 7)) == b"weights"


@pytest.mark.parametrize(
    ("pieces", "error", "why"),
    [
        ([frame(1, b"no is a folder\n")], BadResult, "model is a folder"),
        ([frame(1, b"no \x1b[2J\n")], BadResult, r"model \?\[2J"),
        ([frame(1, b"ok 101\n" + bytes(101))], EngineError, "the limit is 100"),
        ([frame(1, b"ok -1\n")], EngineError, "the limit is 100"),
        ([frame(1, b"ok many\n")], EngineError, "'many'"),
        ([frame(1, b"o" * 300)] * 2, EngineError, "a line of more than 256 bytes"),
        ([frame(1, b"ok 5\nab")], EngineError, "it has ended"),
        ([frame(2, b"Killed"), b""], EngineError, "it has ended Killed"),
        ([frame(1, b"ok 5\nab"), None], EngineError, "it does not answer"),
    ],
)
def test_a_sidecar_that_lies_or_falls_silent_is_found(pieces: list[bytes | None], error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        list(sidecar(Line(*pieces)).read_output("model", 100))
    with pytest.raises(error, match=why):
        list(sidecar(Line(*pieces)).read_start("model", 100))


def test_a_sidecar_that_is_gone_is_not_taken() -> None:
    assert sidecar(Line(frame(1, b"ok\n"))).running()
    assert not sidecar(Line()).running()
    gone = sidecar(Line(frame(1, b"ok\n")))
    gone.let_go()
    assert not gone.running()


def test_inputs_are_sent_as_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"weights")
    line = Line(frame(1, b"ok\nok\n"))
    sidecar(line).put({"job.json": b"{}", "model": tmp_path / "model"})
    assert line.sent == b"put job.json 2\n{}put model 7\nweights"
    with pytest.raises(EngineError, match="handing a run its inputs: no space"):
        sidecar(Line(frame(1, b"no space\n"))).put({"job.json": b"{}"})
    (tmp_path / "planted").symlink_to(tmp_path / "model")
    line = Line(frame(1, b"ok\nok\n"))
    with pytest.raises(OSError, match="it is a link"):
        sidecar(line).put({"model": tmp_path / "planted"})
    assert line.sent == b"", "nothing of the file behind it went to the container"


def test_a_copy_of_a_job_that_lives_says_whether_it_is_whole(volumes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many bytes come as were announced, whatever the job does to the file meanwhile: what is asked next is answered."""
    file = volumes / "out" / "c"
    file.write_bytes(b"weights")
    head, _, rest = said(b"copy c 7 -\n", b"ping\n").partition(b"\n")
    stamp = head.removeprefix(b"ok 7 ")
    assert rest == b"weightswhole\nok\n"
    assert said(b"copy c 7 %s\n" % stamp) == b"no is the same\n"
    assert said(b"copy c 6 -\n") == b"no has 7 bytes; the limit is 6\n"
    honest = sidecar_program.mark

    def while_it_is_read(change: Any) -> bytes:
        def mark(facts: os.stat_result) -> str:
            monkeypatch.setattr(sidecar_program, "mark", honest)
            change()
            return honest(facts)

        monkeypatch.setattr(sidecar_program, "mark", mark)
        return said(b"copy c 99 -\n", b"ping\n").partition(b"\n")[2]

    def shorter() -> None:
        os.truncate(file, 2)

    def longer() -> None:
        with file.open("ab") as more:
            more.write(b"!")

    def replaced() -> None:
        (volumes / "out" / "new").write_bytes(b"others!!")
        os.replace(volumes / "out" / "new", file)

    assert while_it_is_read(shorter) == b"we" + bytes(5) + b"changed\nok\n"
    assert while_it_is_read(longer) == b"wechanged\nok\n"
    assert while_it_is_read(replaced) == b"we!whole\nok\n"
