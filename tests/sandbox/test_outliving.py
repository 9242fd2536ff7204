"""Containers on a real engine whose node is gone: kill -9, a restart, an owner's stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from learningchain.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0

NODE = """
import sys, threading
from pathlib import Path
from learningchain.sandbox import ContainerLimits, RunSpec, Sandbox
folder, tag, archive, image = sys.argv[1:]
room = Sandbox(Path(folder), node_tag=tag)
room.load_archive(Path(archive), image)
spec = RunSpec(run_id="orphan", image_id=image, phase="train", seed=0, budget_s=60, params='{"mode":"forever"}')
room.run(spec, on_progress=lambda _: print("running", flush=True))
"""


@pytest.fixture
def tag() -> str:
    return f"outlive-{os.getpid()}"


@contextmanager
def node(program: str, *words: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs a container, once it does."""
    arguments = [sys.executable, "-c", program, *map(str, words)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"running\n"
            yield process
        finally:
            process.kill()


def jobs(tag: str) -> list[dict[str, Any]]:
    """The containers of jobs of a node, as the engine inspects them."""
    found = docker.from_env().containers.list(all=True, filters={"label": [f"learningchain.node={tag}", "learningchain.until"]})
    return [one.attrs for one in found]


def wait_for(told: Callable[[], Any], what: str) -> Any:
    until = time.monotonic() + PATIENCE_S
    while not (found := told()):
        assert time.monotonic() < until, what
        time.sleep(0.1)
    return found


def test_a_run_ends_though_its_node_was_killed(archive: tuple[Path, str], tmp_path: Path, tag: str) -> None:
    """Nobody starts the node again, and the job would run for ten minutes."""
    with node(NODE, tmp_path / "data", tag, *archive) as process:
        assert [job["State"]["Status"] for job in jobs(tag)] == ["running"]
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_for(lambda: not jobs(tag), "its container runs on")
    heir = Sandbox(tmp_path / "data", node_tag=tag)
    assert heir.cleanup().problems == ()
    heir.close()
