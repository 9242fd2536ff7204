"""The price of isolation: one sandbox run against `docker run --rm --network none` of the same image and program."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from sandbox import RunSpec, Sandbox, Status
from sandbox.images import build_python_image

JOB = b"""#!/usr/local/bin/python3
import os
os.makedirs("/lc/out", exist_ok=True)
open("/lc/out/model", "wb").write(b"model" * 200)
open("/lc/out/result.json", "w").write('{"v":1,"loss":"0.5","n":10,"probe_loss":"0.1"}')
"""


@dataclass(frozen=True)
class SandboxFigure:
    runs: int
    docker_ms: float
    sandbox_ms: float
    overhead_ms: float
    """Median of the differences of neighbouring runs."""
    docker_quartiles_ms: list[float]
    sandbox_quartiles_ms: list[float]


def sandbox_overhead(runs: int) -> SandboxFigure:
    """Raises `SandboxUnavailable` without an engine, `RuntimeError` when the job does not do its work."""
    with tempfile.TemporaryDirectory(prefix="learningchain-bench-") as folder:
        archive = Path(folder) / "job.tar"
        image = build_python_image(archive, {"/lc/job": JOB}, with_packages=())
        room = Sandbox(Path(folder), node_tag=f"bench-{os.getpid()}")
        try:
            room.check_engine()
            room.load_archive(archive, image)
            pairs = [(_docker(image), _sandbox(room, image, i)) for i in range(runs + 1)][1:]
        finally:
            room.cleanup()
            room.close()
    docker, boxed = [p[0] for p in pairs], [p[1] for p in pairs]
    return SandboxFigure(
        runs,
        statistics.median(docker),
        statistics.median(boxed),
        statistics.median(b - d for d, b in pairs),
        statistics.quantiles(docker, n=4),
        statistics.quantiles(boxed, n=4),
    )


def _docker(image: str) -> float:
    began = time.perf_counter()
    subprocess.run(["docker", "run", "--rm", "--network", "none", image], check=True, capture_output=True, timeout=120)
    return (time.perf_counter() - began) * 1000


def _sandbox(room: Sandbox, image: str, number: int) -> float:
    """Cleaning up behind the run before goes on in the background and is waited for, outside of the time."""
    room.settle()
    spec = RunSpec(run_id=f"bench{number}", image_id=image, phase="train", seed=1, probe=5, budget_s=10)
    began = time.perf_counter()
    outcome = room.run(spec)
    spent = (time.perf_counter() - began) * 1000
    if outcome.status is not Status.OK:
        raise RuntimeError(f"the sandbox run failed: {outcome}")
    return spent
