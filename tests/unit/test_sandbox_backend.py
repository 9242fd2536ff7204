"""The Docker backend on the engine's double, through the suite that it also passes on a real engine: the double behaves alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from learningchain.sandbox import RunResult, RunStatus, Sandbox
from learningchain.sandbox.docker import engine as engine_module
from learningchain.sandbox.docker import runner, service, warm
from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.docker.reaper import Reaper
from tests.sandbox import suite_job
from tests.sandbox.backend_suite import LARGE, LIMITS, BackendSuite

from .docker_double import Box, Client, DockerDouble
from .test_sandbox_archive import GOOD, docker_archive, entry, tar


class InProcess:
    """A job's surroundings in a box of the double."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self.inside, self.outside = box.inside, box.outside
        self._lines = box.ours.makefile("rb")

    def say(self, data: bytes) -> None:
        self._box.say(data)

    def line(self) -> bytes:
        line = self._lines.readline()
        self.inside = self._box.inside
        return line

    def hang(self) -> None:
        self._box.killed.wait()


def run_job(box: Box) -> int:
    try:
        return suite_job.main(InProcess(box))
    except (OSError, ValueError):
        return 1  # as an interpreter ends


class Timers:
    """Timers that go off when the test says so."""

    def __init__(self) -> None:
        self.set: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, seconds: float, call: Callable[[], None]) -> SimpleNamespace:
        self.set.append((seconds, call))
        return SimpleNamespace(daemon=False, start=lambda: None, cancel=lambda: None)


class TestDouble(BackendSuite):
    def test_a_warm_run_that_nobody_uses_ends(self, backend: Sandbox, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
        timers = Timers()
        monkeypatch.setattr(warm.threading, "Timer", timers)  # type: ignore[attr-defined]
        spec = self.spec(image, "warm", "serve")
        run = self.warm(backend, spec)
        [(seconds, go_off), (look_s, _)] = timers.set
        assert (seconds, look_s) == (600, 10)
        go_off()
        assert not backend.cancel(spec.run_id), "nothing of it is under way"
        assert run.finish({"input": Path("x")}).status is RunStatus.CANCELLED
        go_off()

    def test_so_many_runs_are_warm_and_no_more(self, backend: Sandbox, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "MAX_WARM", 2)
        runs = [self.warm(backend, self.spec(image, "warm", "serve")) for _ in range(2)]
        refused = backend.start(self.spec(image, "warm", "serve"))
        assert isinstance(refused, RunResult)
        assert (refused.status, "2 runs wait" in refused.reason) == (RunStatus.ENGINE_ERROR, True), refused
        runs[0].close()
        self.warm(backend, self.spec(image, "warm", "serve")).close()
        runs[1].close()

    @pytest.fixture
    def archive(self, tmp_path: Path) -> tuple[Path, str]:
        return tmp_path / "suite.tar", docker_archive(tmp_path / "suite.tar", [GOOD, tar(entry("suite", b"x"))])

    @pytest.fixture
    def backend(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
        double = DockerDouble(tmp_path / "volumes")
        double.folder.mkdir()
        double.job = run_job
        sidecar = tmp_path / "sidecar.tar"
        sidecar_id = docker_archive(sidecar, [tar(entry("sidecar", b"x"))])
        monkeypatch.setattr(engine_module, "_PAUSE_S", 0)
        monkeypatch.setattr(Engine, "api", lambda self, **_: Client(double))
        monkeypatch.setattr(Reaper, "ensure", lambda self: None)
        monkeypatch.setattr(service, "sidecar_image", lambda cache, machine: (sidecar, sidecar_id))
        monkeypatch.setattr("os.umask", lambda mask: 0)  # the sidecars' program sets its own process's
        sandbox = Sandbox(tmp_path / "data", node_tag="n", disk_from=LARGE)
        yield sandbox
        sandbox.close()
        assert (double.boxes, double.volumes) == ({}, {})
        assert [box.name for box in double.made if box.attached and box.theirs.fileno() != -1] == [], "no connection stays open"

    def test_what_a_warm_run_waited_is_not_taken_from_its_wall_clock(
        self, backend: Sandbox, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waited = 0.0
        monkeypatch.setattr(runner, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + waited))
        (tmp_path / "i").write_text("2")
        run = self.warm(backend, self.spec(image, "warm", "serve"))
        waited = 2 * LIMITS.wall_s
        outcome = run.finish({"input": tmp_path / "i"})
        assert (outcome.status, outcome.result) == (RunStatus.OK, 2), outcome
