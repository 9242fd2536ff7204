"""From the last byte of a published set to the first step of a training on it, in turns with a copy of the files to the engine.

python -m benchmarks.published_set [MEBIBYTES] [TURNS]

The copy is what `docker cp` does: an archive through the Engine's API into a volume. The set is hashed on the way, and read by the
training as it would be. A turn's files are new; a second run on them finds them there.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import docker

from learningchain.sandbox import ContainerLimits, DataSet, RunSpec, RunStatus, Sandbox
from learningchain.sandbox.data import joined, scan_folder
from learningchain.sandbox.images import build_python_image

JOB = b"""#!/usr/local/bin/python3
print('LC {"step":1}', flush=True)
open("/lc/out/model", "w").write("m")
"""
FILES = 16
_PIECE = 1 << 20


@dataclass(frozen=True)
class PublishedSetFigure:
    """Seconds, medians of the turns."""

    mebibytes: int
    first_step_s: float
    copy_s: float
    again_s: float
    """A second run on the set, which the engine has."""
    of_copy: float
    """First step / copy, the median of the ratios of neighbours."""


def published_set(mebibytes: int, turns: int) -> PublishedSetFigure:
    """Raises `SandboxUnavailable` without an engine, `RuntimeError` where a training fails."""
    with tempfile.TemporaryDirectory(prefix="learningchain-bench-") as name:
        folder = Path(name)
        image = build_python_image(folder / "job.tar", {"/lc/job": JOB}, with_packages=())
        room = Sandbox(folder / "room", node_tag=f"bench-{os.getpid()}", sets_cap=2 * mebibytes * _PIECE)
        try:
            room.check_engine()
            room.load_archive(folder / "job.tar", image)
            found = [_turn(room, image, folder / f"turn-{number}", mebibytes) for number in range(turns + 1)][1:]
        finally:
            room.cleanup()
            room.close()
    first, again, copy = (statistics.median(turn[at] for turn in found) for at in range(3))
    return PublishedSetFigure(mebibytes, first, copy, again, statistics.median(f / c for f, _, c in found))


def _turn(room: Sandbox, image: str, folder: Path, mebibytes: int) -> tuple[float, float, float]:
    folder.mkdir()
    for number in range(FILES):
        with (folder / f"{number:02}").open("wb") as file:
            for _ in range(max(1, mebibytes // FILES)):
                file.write(os.urandom(_PIECE))
            os.fsync(file.fileno())
    data = scan_folder(folder)
    began = time.monotonic()
    room.keep_set("data", data)
    first = _first_step(room, image, data) - began
    began = time.monotonic()
    again = _first_step(room, image, data) - began
    return first, again, copied(room._store.require(image), folder)


def _first_step(room: Sandbox, image: str, data: DataSet) -> float:
    """When it is made."""
    steps = list[float]()
    inputs = {"sets": joined({"data": data})}
    limits = ContainerLimits(mem_mb=128, model_cap=1 << 20)
    spec = RunSpec(run_id="step", image_id=image, phase="train", seed=1, budget_s=60, limits=limits, inputs={**inputs})
    result = room.run(spec, on_progress=lambda _: steps.append(time.monotonic()))
    if result.status is not RunStatus.OK or not steps:
        raise RuntimeError(f"a training ended as {result.status.value}: {result.reason}")
    return steps[0]


def copied(image: str, folder: Path) -> float:
    """Seconds of a copy into a new volume, whatever is done before and after it."""
    api: Any = docker.DockerClient.from_env(timeout=600).api  # type: ignore[no-untyped-call]
    with _volume(api, image) as container:
        began = time.monotonic()
        with subprocess.Popen(["tar", "-C", str(folder), "-c", "."], stdout=subprocess.PIPE) as packing:
            if not api.put_archive(container, "/data", packing.stdout):
                raise RuntimeError("the engine took no archive")
        return time.monotonic() - began


@contextmanager
def _volume(api: Any, image: str) -> Iterator[str]:
    volume = api.create_volume()["Name"]
    config = api.create_host_config(mounts=[{"Type": "volume", "Source": volume, "Target": "/data"}])
    container = api.create_container(image, entrypoint=["/lc/job"], host_config=config)["Id"]
    try:
        yield container
    finally:
        api.remove_container(container, force=True)
        api.remove_volume(volume, force=True)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:3]]
    for key, value in asdict(published_set(*(given or [256, 3]))).items():
        print(f"{key:20} {value:,.3f}")
