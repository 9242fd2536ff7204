"""The price of isolation: one sandbox run against `docker run --rm --network none` of the same image and program."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learningchain.sandbox import RunSpec, RunStatus, Sandbox
from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.images import build_python_image

JOB = b"""#!/usr/local/bin/python3
import os
os.makedirs("/lc/out", exist_ok=True)
open("/lc/out/model", "wb").write(b"model" * 200)
"""


@dataclass(frozen=True)
class SandboxFigure:
    """In milliseconds, medians; the two kinds of runs take turns, so that the ratios are of neighbours."""

    runs: int
    docker_ms: float
    """`docker run --rm --network none`, until it returns."""
    sandbox_ms: float
    """From the call to its result: inputs, container, program, guarded outputs."""
    overhead_ms: float
    """Median of the differences of neighbouring runs."""
    docker_quartiles_ms: list[float]
    sandbox_quartiles_ms: list[float]
    ratio: float
    """Sandbox to docker: median of the ratios of neighbouring runs."""
    whole_ms: float
    """Also waiting until everything of the run is removed and the next run's sidecar is ready."""
    whole_ratio: float
    steps_ms: dict[str, float]
    """The engine's calls within a run, by what they are for."""


def sandbox_overhead(runs: int) -> SandboxFigure:
    """Raises `SandboxUnavailable` without an engine, `RuntimeError` when the job does not do its work."""
    with tempfile.TemporaryDirectory(prefix="learningchain-bench-") as folder:
        archive = Path(folder) / "job.tar"
        image = build_python_image(archive, {"/lc/job": JOB}, with_packages=())
        room = Sandbox(Path(folder), node_tag=f"bench-{os.getpid()}")
        try:
            room.check_engine()
            room.load_archive(archive, image)
            steps = _Steps(room._engine)
            loaded = room._store.require(image)
            pairs = [(_docker(loaded), *_sandbox(room, image, i)) for i in range(runs + 1)][1:]
        finally:
            room.cleanup()
            room.close()
    docker, boxed, whole = ([pair[at] for pair in pairs] for at in range(3))
    return SandboxFigure(
        runs,
        statistics.median(docker),
        statistics.median(boxed),
        statistics.median(b - d for d, b, _ in pairs),
        statistics.quantiles(docker, n=4),
        statistics.quantiles(boxed, n=4),
        statistics.median(b / d for d, b, _ in pairs),
        statistics.median(whole),
        statistics.median(w / d for d, _, w in pairs),
        steps.medians(),
    )


class _Steps:
    """Listens to the engine's calls made by this thread, which is the one that waits for the runs."""

    def __init__(self, engine: Engine) -> None:
        self._times: dict[str, list[float]] = {}
        self._call = engine.call
        self._thread = threading.get_ident()
        setattr(engine, "call", self._timed)  # noqa: B010

    def _timed(self, what: str, action: Callable[[Any], Any], **more: Any) -> Any:
        began = time.perf_counter()
        try:
            return self._call(what, action, **more)
        finally:
            if threading.get_ident() == self._thread:
                self._times.setdefault(what, []).append((time.perf_counter() - began) * 1000)

    def medians(self) -> dict[str, float]:
        return {what: statistics.median(times) for what, times in self._times.items()}


def _docker(image: str) -> float:
    began = time.perf_counter()
    run = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "/lc/job", image]
    subprocess.run(run, check=True, capture_output=True, timeout=120)
    return (time.perf_counter() - began) * 1000


def _sandbox(room: Sandbox, image: str, number: int) -> tuple[float, float]:
    """The time until the result, and until nothing of the run is left and the next one is prepared."""
    spec = RunSpec(run_id=f"bench{number}", image_id=image, phase="train", seed=1, budget_s=10)
    began = time.perf_counter()
    result = room.run(spec)
    spent = time.perf_counter() - began
    room.settle()
    whole = time.perf_counter() - began
    if result.status is not RunStatus.OK:
        raise RuntimeError(f"the sandbox run failed: {result}")
    return spent * 1000, whole * 1000
