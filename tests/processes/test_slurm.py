"""A Slurm cluster that trains for a node, as docs/slurm.md types it: a real controller and two real machines of it, on this host.

The cluster's machines have a Docker Engine of their own, which both share; the node has another. What Slurm knows as GPUs are
harmless character devices.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.processes.harness import ROOT, NodeProcess, eventually, free_port
from tests.processes.machine_lab import SLOW_S, Lab, inline, laboratory, page
from tests.processes.machines import docker
from tests.processes.slurm import Cluster, slurm
from tests.processes.terminal import Owner
from tests.unit.readme_kit import blocks

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = "docs/slurm.md"


@dataclass
class Site:
    lab: Lab
    cluster: Cluster

    def containers(self) -> list[str]:
        """Of trainings that run, on the cluster's engine."""
        names = docker(self.lab.host, "ps", "--format", "{{.Names}}").splitlines()
        return [name for name in names if "-train-" in name and "-selftest-" not in name]

    async def trains(self) -> None:
        async def there() -> bool:
            return bool(self.containers())

        await eventually("a job of Slurm trains", there, SLOW_S)

    async def empty(self) -> None:
        """Nothing of a lease is left: no job, no machine, no container, no file."""

        spool = self.lab.node.data / "machines" / "leases"

        async def is_empty() -> bool:
            live = [job for job in self.cluster.jobs() if job.split()[0] in ("PENDING", "RUNNING", "COMPLETING")]
            return not (live or self.containers() or any(spool.iterdir()) or await self.lab.node.api.machines())

        await eventually("the leases are over", is_empty, SLOW_S)
        kept = docker(self.lab.host, "images", "--format", "{{.Tag}}")
        assert str(self.lab.image.image_id).removeprefix("sha256:") not in kept


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    program = folder / "learningchain"
    typed = page(PAGE, "cluster.kind").replace("10.0.0.7:7403", f"127.0.0.1:{free_port()}")
    gpus = [folder / f"gpu{number}" for number in range(2)]
    for path in gpus:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    async with slurm(folder / "slurm", gpus={"a100": gpus}) as cluster:
        (folder / "lab").mkdir()
        host = f"unix://{folder / 'lab' / 'engine' / 'engine.sock'}"
        program.write_text(
            f"#!/bin/sh\ncd {ROOT}\nexport PATH=/usr/bin:/bin DOCKER_HOST={host} TMPDIR={folder}\n"
            f'exec {sys.executable} -m tests.processes.hasty "$@"\n'
        )
        program.chmod(0o755)
        async with laboratory(folder / "lab", typed, {"slurm.command": [str(program)]}) as lab:
            assert lab.host == host
            yield Site(lab, cluster)


async def test_a_training_is_a_job_of_slurm_and_is_paid(site: Site, tmp_path: Path) -> None:
    job = await site.lab.post({"train": 15, "evaluate": 0.2, "examples": 40})
    await site.trains()
    (lease,) = await site.lab.node.api.machines()
    assert lease["name"] in await Owner(site.lab.node, tmp_path).types(inline(PAGE, "learningchain machines"))
    assert lease["name"].startswith("slurm-") and lease["state"] == "ready" and len(lease["runs"]) == 1
    view = await site.lab.paid(job)
    assert view["state"] == "PAID" and view["winner"] == site.lab.node.address
    (run,) = await site.lab.runs(job, "train")
    assert run["state"] == "ok" and f"on the machine {lease['name']}" in run["reason"]
    await site.empty()
    assert [state.split()[0] for state in site.cluster.jobs()] == ["COMPLETED"], "its program ended in order"


@pytest.mark.full("unit/test_slurm.py plays each state of a job that its engine ends")
async def test_a_job_that_somebody_cancels_ends_its_container_and_costs_no_attempt(site: Site) -> None:
    job = await site.lab.post({"train": 15, "evaluate": 0.2, "examples": 40})
    await site.trains()
    (before,) = site.containers()

    async def has_left_something() -> bool:
        return any(run["progress"] and run["progress"][-1]["step"] > 1 for run in await site.lab.runs(job, "train"))

    await eventually("its second step is told, after the first checkpoint", has_left_something, SLOW_S)
    (lease,) = await site.lab.node.api.machines()
    site.cluster.say("scancel", f"--name={lease['name']}")

    async def is_gone() -> bool:
        return before not in site.containers()

    await eventually("the container of the job is gone", is_gone, SLOW_S)
    await _is_paid_at_the_second_try(site, job)
    _, second = sorted(await site.lab.runs(job, "train"), key=lambda run: run["started"])
    assert second["progress"][0]["step"] > 1, "it went on from what the first one left"


@pytest.mark.full("unit/test_slurm.py has NODE_FAIL with a process that goes on; Slurm takes half a minute to say it")
async def test_a_machine_that_slurm_gives_up_costs_no_attempt_though_its_job_runs_on(site: Site) -> None:
    job = await site.lab.post({"train": 30, "evaluate": 0.2, "examples": 40})
    await site.trains()
    (machine,) = [words.split()[1] for words in site.cluster.jobs() if words.startswith("RUNNING")]
    await site.cluster.stop(machine, kill=True)

    async def is_over() -> bool:
        return any(run["ended"] for run in await site.lab.runs(job, "train"))

    await eventually("the first run is over", is_over, SLOW_S)
    first = min(await site.lab.runs(job, "train"), key=lambda run: run["started"])
    assert "NODE_FAIL" in first["reason"]
    await _is_paid_at_the_second_try(site, job)
    site.cluster.start(machine)
    await site.cluster.idle(machine)


@pytest.mark.full("unit/test_slurm.py has a controller that is down, and leases over a start of the node")
async def test_a_training_goes_on_without_its_node_and_without_slurm_s_controller(site: Site) -> None:
    job = await site.lab.post({"train": 12, "evaluate": 0.2, "examples": 40})
    await site.trains()
    await site.cluster.stop("slurmctld")
    await site.lab.node.kill()
    await site.lab.node.start()
    assert (await site.lab.paid(job))["state"] == "PAID"
    (run,) = await site.lab.runs(job, "train")
    assert run["state"] == "ok" and run["attempt"] == 1
    site.cluster.start("slurmctld")
    await site.empty()


@pytest.mark.full("the fixture types the first block in the first tier; a full cluster and two starts of a node take two minutes")
async def test_a_job_that_waits_is_in_the_table_with_slurm_s_reason_and_ends_by_its_name(site: Site, tmp_path: Path) -> None:
    owner = Owner(site.lab.node, tmp_path)
    full = ("--job-name=full", "--exclusive", "--nodes=2", "--time=1", "--output=/dev/null", "--wrap=sleep 600")
    site.cluster.say("sbatch", *full)
    job = await site.lab.post({"train": 15, "evaluate": 0.2, "examples": 40})

    async def waits() -> bool:
        told = await owner.types(inline(PAGE, "learningchain machines"))
        return "queued" in told and any(reason in told for reason in ("Resources", "Priority"))

    await eventually("the table has a job that waits, and why", waits, SLOW_S)
    site.cluster.say("scancel", "--name=full")
    await site.trains()
    (lease,) = await site.lab.node.api.machines()
    await owner.types(inline(PAGE, "machine remove").replace("NAME", lease["name"]))
    await _is_paid_at_the_second_try(site, job)


@pytest.mark.full("unit/test_slurm_gpus.py asks a played Slurm; test_slurm_oci_paid.py gives a GPU to a training")
async def test_gpus_of_the_page_are_offered_and_a_type_that_the_partition_has_not_is_told(site: Site, tmp_path: Path) -> None:
    node, owner = site.lab.node, Owner(site.lab.node, tmp_path)
    (shown,) = [block.text for block in blocks(PAGE) if block.language == "toml"]
    settings = node.data / "config.toml"
    before = settings.read_text()
    for text, refused in ((shown, ()), (shown.replace("gpu.a100=1", "gpu.h100=1"), ("slurm/gpu.h100=1",))):
        await node.stop()
        settings.write_text(before.replace("[work]\n", text))
        await node.start()
        await eventually("the node has tried its GPUs", lambda: _is_ready(node), SLOW_S)
        told = await owner.types("learningchain status")
        assert [name for name in ("slurm/gpu.a100=0", "slurm/gpu.a100=1", "slurm/gpu.h100=1") if name in told] == list(refused)
    await node.stop()
    settings.write_text(before)
    await node.start()


async def _is_paid_at_the_second_try(site: Site, job: str) -> None:
    assert (await site.lab.paid(job))["state"] == "PAID"
    first, second = sorted(await site.lab.runs(job, "train"), key=lambda run: run["started"])
    assert (first["state"], second["state"]) == ("engine-error", "ok")
    assert {first["attempt"], second["attempt"]} == {1}, "it was the one attempt all the time"
    await site.empty()


async def _is_ready(node: NodeProcess) -> bool:
    return (await node.api.ready())["ready"]
