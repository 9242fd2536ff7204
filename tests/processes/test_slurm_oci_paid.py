"""A node of an ordinary user whose trainings are jobs of a real Slurm, on machines without Docker: crun runs them, they are paid.

The node has no Docker either: its own check of the model is crun's too, in control groups that were delegated to its user. The
cluster's GPUs are harmless character devices: what is shown is which one a job gets, and that it gets no other.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from learningchain.client.contracts.job.http.schema import DevicesRequest
from learningchain.sandbox.images import build_python_image
from tests.processes.harness import eventually, free_port
from tests.processes.machine_lab import SLOW_S, Lab, laboratory, page, upload
from tests.processes.slurm import Cluster, slurm
from tests.processes.test_slurm_oci import needs
from tests.sandbox.newer import KIND, write_spec
from tests.sandbox.oci_room import NOBODY, cdi_folder, make_nobodys, nobodys_groups, readable

pytestmark = [
    *needs,
    pytest.mark.full("unit/test_slurm.py has the lease, sandbox/test_oci.py the sandbox and its devices; here they are one"),
]

RANDOM, OTHER = os.makedev(1, 9), os.makedev(1, 8)
"""What Slurm knows as GPUs: nothing needs them, and whoever may open one may read it and write to it."""
OFFERS = ["slurm/gpu.plain=0 cuda 8000", "slurm/gpu.hooked=0 cuda 40000", "slurm/gpu.none=0 cuda 80000"]


class Site:
    def __init__(self, lab: Lab, cluster: Cluster, folder: Path) -> None:
        self.lab, self.cluster, self.folder = lab, cluster, folder

    async def over(self) -> None:
        async def is_over() -> bool:
            return not await self.lab.node.api.machines() and not any((self.lab.node.data / "machines" / "leases").iterdir())

        await eventually("the lease is over", is_over, SLOW_S)


@contextmanager
def _home() -> Iterator[Path]:
    """A folder that every user gets to, and in it what is nobody's."""
    folder = Path(tempfile.mkdtemp(prefix="lc-slurm-paid-", dir="/tmp"))
    folder.chmod(0o755)
    for name in ("home", "cache", "lab"):
        (folder / name).mkdir()
    for name in ("home", "cache"):
        shutil.chown(folder / name, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)  # of a failed test it stays


def _gpus(folder: Path, specs: Path) -> dict[str, list[Path]]:
    """Two, numbered as Slurm does: of the second one its CDI file says that a program is to be run as root."""
    found = {"plain": folder / "gpu0", "hooked": folder / "gpu1"}
    for path, number in zip(found.values(), (RANDOM, OTHER), strict=True):
        os.mknod(path, stat.S_IFCHR | 0o666, number)
        path.chmod(0o666)
    hooks = {"hooks": [{"hookName": "createContainer", "path": "/bin/sh"}]}
    edits = [{"deviceNodes": [{"path": "/dev/lctest0", "hostPath": str(path)}]} for path in found.values()]
    devices: list[dict[str, object]] = [
        {"name": str(number), "containerEdits": one} for number, one in enumerate((edits[0], edits[1] | hooks))
    ]
    write_spec(specs, *devices)
    return {kind: [path] for kind, path in found.items()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[Site]:
    with ExitStack() as held:
        folder, patch = held.enter_context(_home()), held.enter_context(pytest.MonkeyPatch.context())
        held.enter_context(readable(patch))
        enter = held.enter_context(nobodys_groups())
        gpus = _gpus(folder, held.enter_context(cdi_folder()))
        program = folder / "learningchain"
        program.write_text(
            f"#!/bin/sh\ncd {sys.path[0]}\nexport PATH=/usr/bin:/bin HOME={folder}/home TMPDIR=/tmp\n"
            f'exec {sys.executable} -m tests.processes.hasty "$@"\n'
        )
        program.chmod(0o755)
        settings = {
            "slurm.command": [str(program)],
            "slurm.cdi": f"{KIND}={{}}",
            "work.gpus": OFFERS,
            "sandbox.backend": "oci",
            "sandbox.cache_dir": str(folder / "cache"),
        }

        typed = page("docs/slurm.md", "cluster.kind").replace("10.0.0.7:7403", f"127.0.0.1:{free_port()}")
        async with (
            slurm(folder / "slurm", bounded=True, gpus=gpus) as cluster,
            laboratory(folder / "lab", typed, settings, own=lambda node: make_nobodys(node, enter, folder / "home")) as lab,
        ):
            yield Site(lab, cluster, folder)


async def test_a_training_without_docker_is_a_job_of_slurm_and_is_paid(site: Site) -> None:
    lab = site.lab
    job = await lab.post({"train": 10, "evaluate": 0.2, "examples": 40})

    async def trains() -> bool:
        return any(run["progress"] for run in await lab.runs(job, "train"))

    await eventually("a job of Slurm trains", trains, SLOW_S)
    (lease,) = await lab.node.api.machines()
    assert lease["name"].startswith("slurm-") and lease["state"] == "ready"
    owners = site.cluster.say("squeue", "--noheader", "--states=running", "--format=%U")
    assert owners == str(NOBODY), "the job is of the node's own user"
    view = await lab.paid(job)
    assert (view["state"], view["winner"]) == ("PAID", lab.node.address)
    (run,) = await lab.runs(job, "train")
    assert run["state"] == "ok" and f"on the machine {lease['name']}" in run["reason"]
    await site.over()
    assert [state.split()[0] for state in site.cluster.jobs()] == ["COMPLETED"], "its program ended in order"


async def test_a_training_with_a_gpu_gets_the_one_that_slurm_gave_its_job_and_is_paid(site: Site) -> None:
    lab, archive = site.lab, site.folder / "gpu.tar"
    code = Path(__file__).with_name("gpu_job.py").read_bytes()
    image_id = await asyncio.to_thread(build_python_image, archive, {"/lc/job": code}, with_packages=())
    image = await upload(lab.graph, archive, image_id)
    job = await lab.post({}, image, devices=DevicesRequest(count=1, mem_mb=8_000))
    view = await lab.paid(job)
    assert (view["state"], view["winner"]) == ("PAID", lab.node.address)
    (run,) = await lab.runs(job, "train")
    assert run["state"] == "ok" and "on the machine slurm-" in run["reason"]
    given = site.cluster.say("squeue", "--noheader", "--states=all", "--format=%b %N")
    assert given.splitlines().count("gres:gpu:plain:1 n1") == 1
    await site.over()

    # Slurm gives it, and its CDI file names a program to be run as root: the lease takes no training.
    job = await lab.post({}, image, devices=DevicesRequest(count=1, mem_mb=40_000))

    async def refused() -> str:
        return " ".join(run["reason"] for run in await lab.runs(job, "train") if run["ended"])

    said = await eventually("the run on the other GPU is over", refused, SLOW_S)
    assert f"the device {KIND}=1 is given to no job" in said and "hooks, programs that the engine would run as root" in said
    # And of this type the partition has none: Slurm said so at the node's start.
    (notice,) = [one for one in (await lab.node.api.status())["notices"] if one["topic"] == "device.refused"]
    assert "slurm/gpu.none=0 is given to no job: sbatch ended with 1" in notice["text"]
