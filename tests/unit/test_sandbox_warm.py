"""Runs that wait for an input, and what every run leaves behind: at the bounds, called off on each way, and used a second time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from learningchain.sandbox import RunResult, RunStatus, Sandbox, WarmRun
from learningchain.sandbox.data import DataSet, measure
from learningchain.sandbox.docker import service, sidecar, warm
from learningchain.sandbox.errors import EngineError
from learningchain.sandbox.output import TAIL_CAP, OutputReader
from learningchain.sandbox.phases import PHASES, InputRow, OutputRow, PhaseRow
from learningchain.sandbox.spec import MIB

from .docker_double import Box, DockerDouble, refusal
from .test_sandbox_service import LIMITS, double, image, left, room, spec

__all__ = ["double", "image", "room"]

CAP = 10


class NumberReader:
    def __init__(self) -> None:
        self._raw = b""

    def take(self, piece: bytes) -> None:
        self._raw += piece

    def finish(self) -> object:
        return int(self._raw)


@pytest.fixture(autouse=True)
def phases(monkeypatch: pytest.MonkeyPatch) -> None:
    late = (InputRow("input", late=True, cap=CAP), InputRow("more", needed=False, late=True, cap=CAP))
    monkeypatch.setitem(PHASES, "serve", PhaseRow(late, (OutputRow("answer", 100, NumberReader),)))
    kept = (OutputRow("answer", 100, NumberReader), OutputRow("one", 100), OutputRow("two", 100))
    monkeypatch.setitem(PHASES, "pair", PhaseRow((InputRow("data", needed=False, folder=True),), kept))


def serve(box: Box) -> int:
    """Answers with the sum of its late inputs."""
    box.say(b'LC {"ready":1}\n')
    with box.ours.makefile("rb") as lines:
        if lines.readline() != b"go\n":
            return 0
    given = [path for path in box.inside.iterdir() if path.name != "job.json"]
    (box.outside / "answer").write_text(str(sum(int(path.read_text()) for path in given)))
    return 0


def hang(box: Box) -> int:
    box.say(b'LC {"ready":1}\n')
    with box.ours.makefile("rb") as lines:
        lines.readline()
    box.say(b'LC {"step":1}\n')
    box.killed.wait(60)
    return 0


def started(room: Sandbox, image: str, run_id: str = "r", **more: Any) -> WarmRun:
    run = room.start(spec(image, run_id, phase="serve"), **more)
    assert not isinstance(run, RunResult), run
    return run


# --- late inputs ------------------------------------------------------------------------------------------------------------------


def test_a_late_input_of_exactly_its_limit_is_taken_and_one_that_is_not_needed_may_miss(
    room: Sandbox, double: DockerDouble, image: str, tmp_path: Path
) -> None:
    double.job = serve
    (tmp_path / "i").write_text("7".rjust(CAP))
    (tmp_path / "m").write_text("4")
    outcome = started(room, image).finish({"input": tmp_path / "i"})
    assert (outcome.status, outcome.result) == (RunStatus.OK, 7), outcome
    outcome = started(room, image).finish({"input": tmp_path / "i", "more": tmp_path / "m"})
    assert (outcome.status, outcome.result) == (RunStatus.OK, 11), outcome
    (tmp_path / "m").write_text("4".rjust(CAP + 1))
    outcome = started(room, image).finish({"input": tmp_path / "i", "more": tmp_path / "m"})
    assert (outcome.status, outcome.reason) == (RunStatus.NOT_STARTED, f"more is larger than {CAP} bytes")


def test_whoever_gives_a_warm_run_the_wrong_inputs_may_try_again(
    room: Sandbox, double: DockerDouble, image: str, tmp_path: Path
) -> None:
    double.job = serve
    (tmp_path / "i").write_text("7")
    run = started(room, image)
    for wrong in ({}, {"more": tmp_path / "i"}, {"input": tmp_path / "i", "other": tmp_path / "i"}):
        with pytest.raises(ValueError, match="this run waits for input, more"):
            run.finish(wrong)
    assert run.finish({"input": tmp_path / "i"}).result == 7


def test_a_warm_run_has_room_for_what_comes_later(
    room: Sandbox, double: DockerDouble, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cap = 100 * MIB
    row = PhaseRow((InputRow("input", late=True, cap=cap),), (OutputRow("answer", 100, NumberReader),))
    monkeypatch.setitem(PHASES, "serve", row)
    double.job = serve
    run = started(room, image)
    options = double.boxes["lc-n-r"].mounts["/lc/in"]["VolumeOptions"]["DriverConfig"]["Options"]["o"]
    assert int(options.partition("size=")[2].partition(",")[0]) >= cap
    run.close()


# --- how a warm run is called off -------------------------------------------------------------------------------------------------


def test_a_sandbox_that_closes_ends_what_is_warm(room: Sandbox, double: DockerDouble, image: str, tmp_path: Path) -> None:
    double.job = serve
    run = started(room, image)
    room.close()
    assert left(double) == (0, 0)
    (tmp_path / "i").write_text("7")
    assert run.finish({"input": tmp_path / "i"}).status is RunStatus.CANCELLED


def test_a_sandbox_that_closes_ends_what_is_not_ready_yet(room: Sandbox, double: DockerDouble, image: str) -> None:
    double.job, shown = never_ready, threading.Event()
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(room.start, spec(image, phase="serve"), on_progress=lambda _: shown.set())
        assert shown.wait(20)
        room.close()
        outcome = starting.result(timeout=15)
        assert isinstance(outcome, RunResult) and outcome.status is RunStatus.CANCELLED, outcome
    assert left(double) == (0, 0), "no sidecar is made for a run that will not come"


def test_a_run_with_its_inputs_counts_among_the_warm_ones_until_it_ends(
    room: Sandbox, double: DockerDouble, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds its memory until then. Whoever was refused may come again under the same name."""
    monkeypatch.setattr(service, "MAX_WARM", 1)
    double.job = hang
    (tmp_path / "i").write_text("7")
    shown = threading.Event()
    run = started(room, image, on_progress=lambda _: shown.set())
    with ThreadPoolExecutor(1) as pool:
        finishing = pool.submit(run.finish, {"input": tmp_path / "i"})
        assert shown.wait(20)
        for _ in range(2):
            refused = room.start(spec(image, "s", phase="serve"))
            assert isinstance(refused, RunResult) and "1 runs wait" in refused.reason, refused
        assert room.cancel("r")
        assert finishing.result(timeout=30).status is RunStatus.CANCELLED
    started(room, image, "s").close()


class Timer:
    """A timer that runs until it is cancelled."""

    running: ClassVar[set[int]] = set()

    def __init__(self, seconds: float, call: Callable[[], None]) -> None:
        self.daemon = False

    def start(self) -> None:
        self.running.add(id(self))

    def cancel(self) -> None:
        self.running.discard(id(self))


def never_ready(box: Box) -> int:
    box.say(b'LC {"step":1}\n')
    box.killed.wait(60)
    return 0


def test_a_run_on_its_way_to_be_warm_counts_among_them(
    room: Sandbox, double: DockerDouble, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_WARM", 1)
    double.job, shown = never_ready, threading.Event()
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(room.start, spec(image, phase="serve"), on_progress=lambda _: shown.set())
        assert shown.wait(20)
        double.job = serve
        refused = room.start(spec(image, "s", phase="serve"))
        assert isinstance(refused, RunResult) and "1 runs wait" in refused.reason, refused
        assert room.cancel("r")
        assert isinstance(starting.result(timeout=15), RunResult)
    started(room, image, "s").close()


@pytest.mark.parametrize(("seconds", "ends"), [(0.0, False), (2.4, False), (2.6, True), (600.0, True)])
def test_a_run_that_goes_on_computing_while_it_waits_is_ended(
    room: Sandbox, double: DockerDouble, image: str, monkeypatch: pytest.MonkeyPatch, seconds: float, ends: bool
) -> None:
    """After ten seconds it may have used two, and a twentieth of the time; what it used to get ready does not count."""
    timers: list[tuple[float, Callable[[], None]]] = []

    def timer(seconds: float, call: Callable[[], None]) -> Any:
        timers.append((seconds, call))
        return SimpleNamespace(daemon=False, start=lambda: None, cancel=lambda: None)

    clock = 1_000.0
    monkeypatch.setattr(warm.threading, "Timer", timer)  # type: ignore[attr-defined]
    monkeypatch.setattr(warm, "time", SimpleNamespace(monotonic=lambda: clock))
    double.job, double.computed_ns = serve, 50 * 10**9
    run = started(room, image)
    clock += warm.LOOK_S
    double.computed_ns += int(seconds * 1e9)
    assert timers[-1][0] == warm.LOOK_S
    timers[-1][1]()
    assert run.alive() is not ends
    assert len(timers) == (2 if ends else 3), "it is looked at again"
    run.close()


@pytest.mark.parametrize(("more", "ends"), [(0, False), (1, True)])
def test_a_run_that_floods_its_output_while_it_waits_is_ended(
    room: Sandbox, double: DockerDouble, image: str, more: int, ends: bool
) -> None:
    """Its limit of output holds before it has its inputs, too."""
    ready, waits, said = b'LC {"ready":1}\n', threading.Event(), threading.Event()

    def flood(box: Box) -> int:
        box.say(ready)
        waits.wait(20)
        box.say(b"x" * (LIMITS.log_cap - len(ready) + more))
        said.set()
        box.killed.wait(60)
        return 0

    double.job = flood
    run = started(room, image)
    waits.set()
    assert said.wait(20)
    assert run.alive() is not ends
    if not ends:
        run.close()
    assert not room.cancel("r"), "nothing of it is under way"


# --- what a run is given ----------------------------------------------------------------------------------------------------------


def test_no_run_is_promised_more_processors_than_there_are(room: Sandbox, double: DockerDouble, image: str) -> None:
    for cpus, given in ((64.0, 2.0), (1.5, 1.5)):
        assert room.run(spec(image, cpus=cpus)).status is RunStatus.OK
        job = [box for box in double.made if box.name == "lc-n-r"][-1]
        assert job.config["HostConfig"]["NanoCpus"] == given * 1e9


def test_data_of_a_run_that_never_began_are_given_back(room: Sandbox, double: DockerDouble, image: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    data = DataSet((measure("a", tmp_path / "a"),))
    room.keep_data(data)
    double.faults["create_container_from_config"] = [refusal(400)]
    outcome = room.run(spec(image, phase="pair", inputs={"data": data}))
    assert outcome.status is RunStatus.ENGINE_ERROR
    assert room.cleanup(keep_images=[image]).volumes == 0, "the data went before, as what no run holds"


def test_a_view_that_the_engine_made_otherwise_goes_with_its_run(
    room: Sandbox, double: DockerDouble, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("1")
    data = DataSet((measure("a", tmp_path / "a"),))
    room.keep_data(data)
    honest = sidecar.check_volume

    def other(engine: Any, name: str, *more: Any) -> str:
        if name.endswith("-view"):
            raise EngineError("looking at a volume", "it is another one")
        return honest(engine, name, *more)

    monkeypatch.setattr(sidecar, "check_volume", other)
    outcome = room.run(spec(image, phase="pair", inputs={"data": data}))
    assert (outcome.status, "another one" in outcome.reason) == (RunStatus.ENGINE_ERROR, True), outcome
    assert [name for name in double.volumes if name.endswith("-view")] == []


# --- what a run leaves ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("two", "kept"), [(b"2", {"one", "two"}), (b"", set()), (None, set()), (bytes(101), set())])
def test_of_several_outputs_the_caller_gets_all_or_none(
    room: Sandbox, double: DockerDouble, image: str, tmp_path: Path, two: bytes | None, kept: set[str]
) -> None:
    def job(box: Box) -> int:
        (box.outside / "answer").write_text("5")
        (box.outside / "one").write_bytes(b"1")
        if two is not None:
            (box.outside / "two").write_bytes(two)
        return 0

    double.job = job
    outcome = room.run(spec(image, phase="pair"))
    assert (outcome.status is RunStatus.OK, set(outcome.outputs)) == (bool(kept), kept), outcome
    assert {file.name for file in (tmp_path / "data" / "out").iterdir()} == {f"r.{name}" for name in kept}


def test_a_run_under_the_name_of_one_that_has_just_ended_keeps_its_container(
    room: Sandbox, double: DockerDouble, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first one left is removed by name, and in the background."""
    chores: list[tuple[Future[None], Callable[[], None]]] = []
    waits, tidied = threading.Event(), threading.Event()

    def put_off(chore: Callable[[], None]) -> Future[None]:
        chores.append((Future(), chore))
        return chores[-1][0]

    def note(futures: set[Future[None]]) -> None:
        waits.set()
        wait(futures)

    def job(box: Box) -> int:
        waits.set()
        assert tidied.wait(20)
        box.leave()
        return 0

    with monkeypatch.context() as late:
        late.setattr(room._janitor, "submit", put_off)
        assert room.run(spec(image)).status is RunStatus.OK
    monkeypatch.setattr(service, "wait", note)
    double.job = job
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(room.run, spec(image))
        assert waits.wait(20)
        for future, chore in chores:
            chore()
            future.set_result(None)
        tidied.set()
        assert again.result(timeout=30).status is RunStatus.OK


# --- what a job says --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "ready"),
    [
        ([(1, b'LC {"ready":1}\n')], True),
        ([(1, b'LC {"rea'), (2, b"a warning\n"), (1, b'dy":1}'), (1, b"\r\n")], True),
        ([(1, b'hello\nLC {"ready":1}\nmore\n')], True),
        ([(2, b'LC {"ready":1}\n')], False),
        ([(1, b'LC {"ready":1}')], False),
        ([(1, b' LC {"ready":1}\n')], False),
        ([(1, b'LC {"ready":1} \n')], False),
        ([(1, b"x" * 2_000), (1, b'LC {"ready":1}\n')], False),
        ([(1, b'LC {"ready":1}' + b"x" * 600), (1, b"\n")], False),
    ],
)
def test_a_job_is_ready_by_one_whole_line_of_its_standard_output(pieces: list[tuple[int, bytes]], ready: bool) -> None:
    reader = OutputReader()
    for stream, piece in pieces:
        reader.take(stream, piece)
    assert reader.ready is ready
    assert reader.total == sum(len(piece) for _, piece in pieces)
    reader.take(1, b"and then\n")
    assert reader.ready is ready, "it stays so"


def test_of_what_a_job_says_the_end_is_kept_fit_for_a_terminal() -> None:
    reader = OutputReader()
    reader.take(2, b"lost" + b"x" * (TAIL_CAP - 4))
    reader.take(1, b"\x1b[2J\xff\n")
    assert len(reader.tail()) == TAIL_CAP
    assert reader.tail().endswith("x\ufffd[2J\ufffd\n") and "lost" not in reader.tail()
