"""A real engine, and one image whose job misbehaves as its parameters ask. No engine is a failure, never a skip."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from learningchain.sandbox import ContainerLimits, RunResult, RunSpec, Sandbox, SandboxUnavailable
from learningchain.sandbox.images import build_python_image
from learningchain.sandbox.spec import MIB

from .hostile.engine import OwnEngine, lacking

JOB = Path(__file__).with_name("hostile_job.py")
LIMITS = ContainerLimits(cpus=1.0, mem_mb=96, pids=48, model_cap=256 * 1024, tmp_mb=8, file_cap=4 * MIB, wall_s=30)

RunJob = Callable[..., RunResult]


@pytest.fixture(scope="session", autouse=True)
def engine_of_this_process(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Of several processes that run tests at once the first takes the machine's engine and each other one an engine of its own:
    these tests look at all that an engine has. Those of hostile/ start theirs themselves."""
    process = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    if process == "gw0" or lacking() or all("hostile" in item.path.parts for item in request.session.items):
        yield
        return
    engine = OwnEngine(tmp_path_factory.mktemp("engine"))
    os.environ["DOCKER_HOST"] = engine.url
    try:
        yield
    finally:
        del os.environ["DOCKER_HOST"]
        engine.stop()


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox under a tag of its own; at the end it must have left nothing behind."""
    sandbox = Sandbox(tmp_path_factory.mktemp("room"), node_tag=f"test-{os.getpid()}")
    try:
        sandbox.check_engine()
    except SandboxUnavailable as problem:
        pytest.fail(f"these tests need a Docker Engine: {problem}", pytrace=False)
    yield sandbox
    assert sandbox.cleanup().problems == ()
    sandbox.close()


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("images") / "hostile.tar"
    return path, build_python_image(path, {"/lc/job": JOB.read_bytes()}, with_packages=())


@pytest.fixture
def image(room: Sandbox, archive: tuple[Path, str]) -> str:
    return room.load_archive(*archive)


@pytest.fixture
def run_job(room: Sandbox, image: str) -> RunJob:
    """run_job("mode", ...) runs the hostile job so; further arguments are fields of RunSpec or Limits."""

    def run(
        mode: str,
        *,
        limits: ContainerLimits = LIMITS,
        model: Path | None = None,
        eval_file: Path | None = None,
        cancel: threading.Event | None = None,
        on_progress: Callable[..., None] | None = None,
    ) -> RunResult:
        spec = RunSpec(
            run_id=f"{mode.replace('_', '-')}-{os.urandom(4).hex()}",
            image_id=image,
            phase="train" if model is None else "evaluate",
            seed=(1 << 64) - 1 if model is None else None,
            budget_s=5,
            params=f'{{"mode":"{mode}"}}',
            limits=limits,
            inputs={name: path for name, path in (("model", model), ("eval", eval_file)) if path is not None},
        )
        return room.run(spec, cancel=cancel, on_progress=on_progress)

    return run
