"""What a container sees of its host, and what happens where an engine makes another one than was asked for."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import docker.api.client
import pytest

from learningchain.sandbox import RunSpec, RunStatus, Sandbox
from learningchain.sandbox.docker.isolation import MASKED_PATHS
from learningchain.sandbox.images import build_python_image

from .conftest import LIMITS, RunJob

DOCS = Path(__file__).resolve().parents[2] / "docs" / "sandbox.md"
LOOK = rb"""#!/usr/local/bin/python3
import json, os

def readable(folder):
    for name in sorted(os.listdir(folder)):
        path = f"{folder}/{name}"
        if os.path.islink(path) or (folder == "/proc" and name.isdigit()):
            continue
        try:
            if os.path.isdir(path):
                yield from readable(path)
                continue
            file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            found = os.read(file, 64)
            os.close(file)
        except OSError:
            continue
        if found:
            yield path

with open("/lc/out/model", "w") as out:
    json.dump([*readable("/proc"), *readable("/sys")], out)
"""


@pytest.fixture
def readable(room: Sandbox, tmp_path: Path) -> Iterator[list[str]]:
    """Every file of /proc and /sys from which a job gets a byte."""
    archive = tmp_path / "look.tar"
    image = build_python_image(archive, {"/lc/job": LOOK}, with_packages=())
    room.load_archive(archive, image)
    run = f"look-{os.urandom(4).hex()}"
    outcome = room.run(RunSpec(run_id=run, image_id=image, phase="train", seed=1, budget_s=9, limits=LIMITS))
    assert outcome.status is RunStatus.OK, outcome
    yield json.loads(outcome.outputs["model"].path.read_bytes())
    outcome.outputs["model"].path.unlink()
    room.settle()
    room.remove_image(image)


def test_a_job_reads_of_its_host_what_the_documentation_lists(readable: list[str]) -> None:
    rows = [line.split("|")[1] for line in DOCS.read_text().splitlines() if line.startswith(("| `/proc", "| `/sys"))]
    listed = tuple(path for row in rows for path in re.findall(r"`(/[^`<]+)`", row))
    assert len(listed) >= 8
    assert ", ".join(path for path in readable if not path.startswith(listed)) == ""
    assert [path for path in readable if path in MASKED_PATHS or path.startswith(tuple(f"{p}/" for p in MASKED_PATHS))] == []
    assert "/proc/cpuinfo" in readable
    assert Path("/proc/sys/kernel/random/boot_id").read_text().strip(), "the host has what the job must not see"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"PidsLimit": 4096}, "HostConfig.PidsLimit is 4096"),
        ({"Binds": ["/etc:/host"]}, "HostConfig.Binds"),
        ({"SecurityOpt": ["no-new-privileges:true"]}, "HostConfig.SecurityOpt"),
    ],
)
def test_an_engine_that_makes_another_container_runs_nothing(
    run_job: RunJob, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], told: str
) -> None:
    honest = docker.api.client.APIClient.create_container_from_config  # type: ignore[attr-defined]
    made: list[str] = []

    def create(self: Any, config: dict[str, Any], name: str) -> Any:
        if config["Entrypoint"] == ["/lc/job"]:
            made.append(name)
            config = config | {"HostConfig": config["HostConfig"] | change}
        return honest(self, config, name)

    monkeypatch.setattr(docker.api.client.APIClient, "create_container_from_config", create)
    outcome = run_job("good")
    assert outcome.status is RunStatus.ENGINE_ERROR
    assert "another container than was asked for, and nothing ran" in outcome.reason
    assert told in outcome.reason
    assert outcome.log_tail == ""
    names = {name for facts in docker.from_env().api.containers(all=True) for name in facts["Names"]}
    assert made
    assert not names & {f"/{name}" for name in made}


def test_an_image_is_known_by_the_id_that_its_maker_gave_it(room: Sandbox, image: str) -> None:
    """The engine's own name for it is another: nobody can run what the node did not write."""
    api = docker.from_env().api
    facts = api.inspect_image(f"learningchain/test-{os.getpid()}:{image.removeprefix('sha256:')}")
    assert facts["Id"] != image
    assert facts["Config"]["Labels"] == {"learningchain.image": image}
    with pytest.raises(docker.errors.ImageNotFound):
        api.inspect_image(image)
    spec = RunSpec(run_id="r", image_id=facts["Id"], phase="train", seed=1, budget_s=9, limits=LIMITS)
    outcome = room.run(spec)
    assert (outcome.status, outcome.log_tail) == (RunStatus.ENGINE_ERROR, "")
    assert "not on this engine" in outcome.reason


COMPUTE = rb"""#!/usr/local/bin/python3
import ctypes, multiprocessing, os, threading
from multiprocessing import shared_memory
import numpy

def work(seed):
    return float(numpy.linalg.norm(numpy.random.default_rng(seed).normal(size=(64, 64)) @ numpy.ones(64)))

if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        losses = pool.map(work, range(8))
    block = shared_memory.SharedMemory(create=True, size=4096)
    block.buf[0] = 7
    block.close(), block.unlink()
    order = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))(lambda a, b: a[0] - b[0])
    numbers = (ctypes.c_int * 3)(3, 1, 2)
    ctypes.CDLL(None).qsort(numbers, 3, ctypes.sizeof(ctypes.c_int), order)
    assert list(numbers) == [1, 2, 3] and os.cpu_count() and len(os.sched_getaffinity(0))
    thread = threading.Thread(target=numpy.save, args=("/tmp/a.npy", numpy.memmap("/tmp/m", float, "w+", shape=(100,))))
    thread.start(), thread.join()
    with open("/lc/out/model", "wb") as out:
        numpy.save(out, numpy.array(losses))
"""


def test_a_numerical_job_finds_all_that_it_needs(room: Sandbox, tmp_path: Path) -> None:
    """Worker processes, shared memory, code made at run time, threads, mapped files, sums over matrices."""
    archive = tmp_path / "compute.tar"
    image = build_python_image(archive, {"/lc/job": COMPUTE}, with_packages=("numpy",))
    room.load_archive(archive, image)
    limits = LIMITS.__class__(mem_mb=512, pids=64, model_cap=4096, tmp_mb=32, wall_s=60)
    run = f"compute-{os.getpid()}"
    outcome = room.run(RunSpec(run_id=run, image_id=image, phase="train", seed=1, budget_s=9, limits=limits))
    assert outcome.status is RunStatus.OK, outcome
    assert outcome.outputs["model"].size > 64
    room.settle()
    room.remove_image(image)
