"""The Docker backend on a real engine, through the suite that every backend must pass."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from learningchain.sandbox import Sandbox, SandboxUnavailable
from learningchain.sandbox.images import build_python_image

from .backend_suite import LARGE, BackendSuite

JOB = Path(__file__).with_name("suite_job.py")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("images") / "suite.tar"
    return path, build_python_image(path, {"/lc/job": JOB.read_bytes()}, with_packages=())


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path_factory.mktemp("suite"), node_tag=f"suite-{os.getpid()}", disk_from=LARGE)
    try:
        sandbox.check_engine()
    except SandboxUnavailable as problem:
        pytest.fail(f"these tests need a Docker Engine: {problem}", pytrace=False)
    yield sandbox
    sandbox.close()
    report = sandbox.cleanup()
    assert (report.containers, report.volumes, report.problems) == (0, 0, ())


class TestDocker(BackendSuite):
    """Every test of the suite, on this machine's engine."""
