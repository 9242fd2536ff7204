"""A cluster without Docker: in a job of a real Slurm that keeps jobs to what they asked for, crun separates and bounds a training,
and nothing of it outlives the job."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from learningchain.sandbox.images import build_python_image
from tests.processes.harness import eventually
from tests.processes.slurm import Cluster, slurm
from tests.sandbox.oci_room import NOBODY, readable

needs = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(shutil.which("crun") is None, reason="there is no crun: apt-get install crun"),
    pytest.mark.skipif(not Path("/sys/fs/cgroup/memory").is_dir(), reason="Slurm's groups of version 2 need systemd"),
]
pytestmark = needs

SLOW_S = 180.0
GONE_S = 10.0


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where every user gets to, with this program."""
    made = Path(tempfile.mkdtemp(prefix="lc-slurm-oci-", dir="/tmp"))
    made.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch, readable(patch):
        yield made
    shutil.rmtree(made)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    async with slurm(folder / "slurm", bounded=True) as made:
        yield made


def _groups(job: str) -> list[Path]:
    return list(Path("/sys/fs/cgroup/memory").glob(f"slurm*/uid_{NOBODY}/job_{job}"))


def _processes(job: str) -> set[int]:
    found = set[int]()
    for group in _groups(job):
        for path in group.rglob("cgroup.procs"):
            with suppress(OSError):
                found |= {int(line) for line in path.read_text().split()}
    return found


def _lives(process: int) -> bool:
    with suppress(OSError):
        return Path("/proc", str(process), "cmdline").read_bytes() != b""
    return False


@pytest.mark.full("sandbox/test_oci.py has each limit in a group as a cluster's job has one; a cluster takes minutes")
@pytest.mark.parametrize("how", ["scancel", "kill -9 of the program", "kill -9 of the engine"])
async def test_a_job_without_docker_holds_every_limit_and_leaves_nothing(cluster: Cluster, folder: Path, how: str) -> None:
    place = folder / how.replace(" ", "-")
    place.mkdir()
    archive, said = place / "slow.tar", place / "said"
    code = Path(__file__).with_name("slow_job.py").read_bytes()
    image_id = build_python_image(archive, {"/lc/job": code}, with_packages=())
    os.chown(place, NOBODY, NOBODY)
    archive.chmod(0o644)
    script = f"#!/bin/sh\ncd {sys.path[0]}\nexec {sys.executable} -m tests.processes.oci_lease {place}/data {archive} {image_id}\n"
    (place / "script").write_text(script)
    words = [
        "--parsable",
        "--no-requeue",
        "--export=ALL",
        "--nodes=1",
        "--ntasks=1",
        "--cpus-per-task=1",
        "--mem=1000M",
        f"--uid={NOBODY}",
        f"--gid={NOBODY}",
    ]
    job = cluster.say("sbatch", *words, "--time=20", f"--output={said}", str(place / "script"))

    def told() -> dict[str, Any]:
        lines = said.read_text("utf-8", "replace").splitlines() if said.exists() else []
        return {name: value for line in lines if line.startswith("{") for name, value in json.loads(line).items()}

    async def trains() -> bool:
        assert "ended" not in told() and "COMPLETED" not in cluster.say("squeue", "-h", "-t", "all", "-j", job, "-o", "%T"), (
            said.read_text()
        )
        return "step" in told()

    await eventually("the container of the job runs", trains, SLOW_S)
    assert told()["failures"] == [] and told()["cpus"] == 1 and told()["mem_mb"] <= 1_000
    before = _processes(job)
    assert len(before) > 3, "the program, its engine, the container"
    if how == "scancel":
        cluster.say("scancel", job)
    else:
        mark = b"oci_lease" if "program" in how else b"engine_program"
        for process in before:
            with suppress(OSError):
                if mark in Path("/proc", str(process), "cmdline").read_bytes():
                    os.kill(process, signal.SIGKILL)

    async def nothing_is_left() -> bool:
        return not [process for process in before | _processes(job) if _lives(process)]

    await eventually("nothing of the job is left", nothing_is_left, GONE_S)
