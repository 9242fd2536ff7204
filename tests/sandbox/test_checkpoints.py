"""Checkpoints of trainings on a real engine: what is taken while they go on, and what a next container goes on from."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest

from learningchain.sandbox import OutputFile, Progress, RunResult, RunSpec, RunStatus, Sandbox

from .conftest import LIMITS

CAP = 3 * LIMITS.model_cap


class Shelf:
    """What was handed over, the newest as a file."""

    def __init__(self, folder: Path) -> None:
        self.newest, self.sizes, self.filled = folder / "newest", list[int](), threading.Event()

    def __call__(self, file: OutputFile) -> None:
        os.replace(file.path, self.newest)
        self.sizes.append(file.size)
        self.filled.set()


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture
def often(tmp_path: Path, archive: tuple[Path, str]) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path / "data", node_tag=f"often-{os.getpid()}", checkpoint_s=0.2)
    sandbox.load_archive(*archive)
    yield sandbox
    assert list((tmp_path / "data" / "out").glob("*.checkpoint")) == []
    assert sandbox.cleanup().problems == ()
    sandbox.close()


def training(image: str, mode: str, checkpoint: Path | None = None) -> RunSpec:
    inputs = {} if checkpoint is None else {"checkpoint": checkpoint}
    params = f'{{"mode":"{mode}"}}'
    return RunSpec(run_id="t", image_id=image, phase="train", seed=0, budget_s=60, params=params, limits=LIMITS, inputs={**inputs})


def killed(often: Sandbox, image: str, shelf: Shelf) -> RunResult:
    """A training whose container somebody kills once it is half way."""
    half_way = threading.Event()

    def told(progress: Progress) -> None:
        if progress.step == 5:
            half_way.set()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(often.run, training(image, "checkpoints"), on_progress=told, on_checkpoint=shelf)
        assert half_way.wait(LIMITS.wall_s)
        docker.from_env().containers.get(often.container("t")).kill()
        return running.result(LIMITS.wall_s)


def test_a_training_whose_container_is_killed_goes_on_from_its_checkpoint(
    often: Sandbox, archive: tuple[Path, str], shelf: Shelf
) -> None:
    outcome = killed(often, archive[1], shelf)
    assert (outcome.status, outcome.exit_code, shelf.newest.read_bytes()) == (RunStatus.ENGINE_ERROR, 137, b"5"), outcome
    outcome = often.run(training(archive[1], "checkpoints", shelf.newest), on_checkpoint=shelf)
    assert outcome.outputs["model"].path.read_bytes() == b"from 5 to 9", outcome


def test_a_checkpoint_is_taken_while_the_training_goes_on(often: Sandbox, archive: tuple[Path, str], shelf: Shelf) -> None:
    """What is taken survives whatever becomes of the machine."""
    cancel = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(often.run, training(archive[1], "checkpoints"), on_checkpoint=shelf, cancel=cancel)
        assert shelf.filled.wait(LIMITS.wall_s) and not running.done()
        cancel.set()
        assert running.result(LIMITS.wall_s).status is RunStatus.CANCELLED


@pytest.mark.parametrize("mode", ["checkpoint_torn", "checkpoint_sparse"])
def test_a_hostile_checkpoint_costs_nobody_but_its_job(often: Sandbox, archive: tuple[Path, str], shelf: Shelf, mode: str) -> None:
    outcome = often.run(training(archive[1], mode), on_checkpoint=shelf)
    assert outcome.status is RunStatus.OK, outcome
    assert all(0 < size <= CAP for size in shelf.sizes)
    if shelf.sizes:
        assert len(set(shelf.newest.read_bytes())) == 1, "it is of one piece"
