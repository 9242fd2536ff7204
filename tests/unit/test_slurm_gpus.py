"""GPUs of a Slurm cluster: what is asked for, which names a job's run gets, and what is refused, with the doubles of test_slurm."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from learningchain.client.config import ConfigError, own_gpus, parse_gpus
from learningchain.client.config_change import change
from learningchain.client.machines.lease_file import LeaseOrder, given_devices, read_lease
from learningchain.client.machines.leases import gres_of, shape_of
from learningchain.client.machines.slurm import Slurm
from learningchain.sandbox import RunStatus
from tests.unit.machines_kit import spec
from tests.unit.test_slurm import SHAPE, TERMS, Cluster, LeasedEngine, Played
from tests.unit.test_slurm import cluster as cluster
from tests.unit.test_slurm import played as played

GPUS = ("slurm/gpu.a100=0", "slurm/gpu.a100=1")
NO_GRES = "Batch job submission failed: Invalid generic resource (gres) specification"


def order(devices: int, cdi: str = "nvidia.com/gpu={}") -> LeaseOrder:
    return LeaseOrder("token", "oci", "runc", devices, cdi)


async def test_a_job_asks_for_the_gpus_of_its_training(played: Played, tmp_path: Path) -> None:
    assert gres_of(["slurm/gpu=x"]) == "gpu:1" and gres_of(GPUS) == "gpu:a100:2" and gres_of([]) == ""
    assert shape_of(spec(devices=GPUS), 0).gres == "gpu:a100:2" and shape_of(spec(), 0).gres == ""
    await Slurm(TERMS).ask("slurm-1", structs.replace(SHAPE, gres="gpu:a100:2"), tmp_path / "order", tmp_path / "log")
    assert "--gres=gpu:a100:2" in played.given("sbatch")[0]


@pytest.mark.parametrize(
    ("given", "said", "names"),
    [
        (order(0), "0,1", ()),
        (order(1), "3", ("nvidia.com/gpu=3",)),
        (order(2), "1,0", ("nvidia.com/gpu=0", "nvidia.com/gpu=1")),
        (order(1), None, "asked Slurm for 1 GPUs, and it was given 'none'"),
        (order(1), "0,1", "asked Slurm for 1 GPUs, and it was given '0,1'"),
        (order(1), "0-1", "was given '0-1'"),
        (order(1), "٣", "was given"),
        (order(2), "1,1", "no names of their own"),
        (order(1, "gpu={}"), "1", "no names of their own"),
    ],
)
def test_a_run_gets_exactly_what_slurm_gave_its_job(given: LeaseOrder, said: str | None, names: tuple[str, ...] | str) -> None:
    environ = {"CUDA_VISIBLE_DEVICES": "0"} | ({} if said is None else {"SLURM_JOB_GPUS": said})
    if isinstance(names, tuple):
        assert given_devices(given, environ) == names
    else:
        with pytest.raises(ValueError, match=names.replace("(", r"\(")):
            given_devices(given, environ)


def test_what_the_owner_names_is_a_gpu_here_or_of_slurm(tmp_path: Path) -> None:
    texts = ["nvidia.com/gpu=0 cuda 24000", "slurm/gpu=0 cuda 8000", "slurm/gpu.a100=0 cuda 40000"]
    assert [gpu.place for gpu in parse_gpus(texts)] == ["", "slurm/gpu", "slurm/gpu.a100"]
    assert own_gpus(texts) == ("nvidia.com/gpu=0",)
    for wrong in ("slurm/shard=0 cuda 1", "slurm/gpu.a.b=0 cuda 1"):
        with pytest.raises(ValueError, match="no GPU of Slurm"):
            parse_gpus([wrong])
    for wrong in ("nvidia.com/gpu=0", "{}", "nvidia.com/gpu={}{}", "nvidia.com/gpu={} "):
        with pytest.raises(ConfigError, match=r"slurm\.cdi"):
            change(tmp_path, "slurm.cdi", wrong)


def offering(cluster: Cluster, *devices: str) -> None:
    cluster.leases._terms = structs.replace(cluster.leases._terms, devices=devices, cdi="a.com/gpu={}")


async def test_a_type_that_the_partition_has_not_is_refused_by_name_at_the_start(cluster: Cluster) -> None:
    offering(cluster, *GPUS[:1])
    (proved,) = (await cluster.site.backend.prepare((), ()))["devices"]
    assert proved["ok"] and "--gres=gpu:a100:1" in cluster.played.given("test-only")[0]
    cluster.played.says("test-only", err=NO_GRES, code=1)
    (refused,) = (await cluster.site.backend.prepare((), ()))["devices"]
    assert not refused["ok"] and refused["detail"].startswith(
        f"the device {GPUS[0]} is given to no job: sbatch ended with 1: {NO_GRES}"
    )


async def test_a_training_with_gpus_of_the_cluster_runs_nowhere_else(cluster: Cluster) -> None:
    cluster.played.says("test-only", err=NO_GRES, code=1)
    result = await cluster.site.run(spec(devices=GPUS))
    assert (result.status, result.lost) == (RunStatus.ENGINE_ERROR, True) and NO_GRES in result.reason
    assert not cluster.site.own.ran
    cluster.site.backend._archives.clear()
    assert "its image's archive is not here" in (await cluster.site.run(spec(devices=GPUS))).reason


class Proving(LeasedEngine):
    """An engine that gives devices, and notes which."""

    refused = ""
    devices: tuple[str, ...] = ()

    async def prepare(self, *given: Any) -> dict[str, Any]:
        told = [{"name": "a.com/gpu=3", "ok": not self.refused, "detail": self.refused or "/dev/x, and nothing else"}]
        return await super().prepare(*given) | {"devices": told}

    async def run(self, given: Any, *more: Any) -> Any:
        self.devices = given.devices
        return await super().run(given, *more)


@pytest.mark.parametrize("refused", ["", "the device a.com/gpu=3 is given to no job: its file has hooks"])
async def test_a_lease_gives_its_run_the_gpus_that_it_has(cluster: Cluster, refused: str) -> None:
    offering(cluster, *GPUS)
    cluster.engine, cluster.gpus = Proving(cluster.site.folder / "leased"), ("a.com/gpu=3",)
    cluster.engine.refused = refused
    running = asyncio.create_task(cluster.site.run(spec(devices=GPUS[:1])))
    name = await cluster.asked()
    asked = read_lease(cluster.folder / f"{name}.json")
    assert (asked.devices, asked.cdi) == (1, "a.com/gpu={}")
    await cluster.begins()
    result = await running
    if refused:
        # The next lease would say the same: no excuse.
        assert (result.status, result.lost) == (RunStatus.ENGINE_ERROR, False) and refused in result.reason
    else:
        assert result.status is RunStatus.OK and cluster.engine.devices == ("a.com/gpu=3",)
    await cluster.over()
