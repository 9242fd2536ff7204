"""A real GPU of NVIDIA's in containers without Docker, by the CDI file that docs/gpus.md writes.

CUDA's driver computes there, and a container that asked for none finds neither GPU nor driver.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from learningchain.sandbox import ContainerLimits, RunResult, RunSpec, RunStatus
from learningchain.sandbox.building.base import open_base, own_base
from learningchain.sandbox.image_writer import LayerFiles, files_layer, write_archive
from learningchain.sandbox.oci.service import OciSandbox
from learningchain.sandbox.spec import MIB
from tests.unit.readme_kit import blocks

from .driver_job import COUNT
from .oci_room import cdi_folder, oci_room

GPU = "nvidia.com/gpu=0"
needs = [
    pytest.mark.skipif(not Path("/dev/nvidia0").exists(), reason="this machine has no GPU of NVIDIA's"),
    pytest.mark.skipif(shutil.which("crun") is None, reason="there is no crun: apt-get install crun"),
]
pytestmark = needs
LIMITS = ContainerLimits(cpus=2.0, mem_mb=2_000, pids=200, model_cap=MIB, tmp_mb=8, file_cap=64 * MIB, wall_s=60)


@contextmanager
def documented_file() -> Iterator[None]:
    """What the page's program writes, where the engine looks for it."""
    (program,) = [block.text for block in blocks("docs/gpus.md") if block.language == "python"]
    with cdi_folder() as folder:
        (folder / "nvidia.json").write_text(
            subprocess.run(["python3", "-c", program], capture_output=True, text=True, check=True).stdout
        )
        yield


def based_image(dest: Path, job: str, packages: LayerFiles | None = None) -> str:
    """This program on the base that `job build` takes: NVIDIA's libraries need some of every Linux's, as wheels do."""
    layers = [files_layer({"/lc/job": Path(__file__).parents[1] / job}), *([packages] if packages else [])]
    with open_base(own_base(dest.parent)) as base:
        config = base.image.config
        return write_archive(dest, [*base.layers, *reversed(layers)], {"Env": list(config.env)}, config.architecture)


def run(sandbox: OciSandbox, image: str, phase: str, *devices: str, **inputs: Path) -> RunResult:
    seed, name = 1 if phase == "train" else None, f"gpu-{os.urandom(3).hex()}"
    spec = RunSpec(run_id=name, image_id=image, phase=phase, seed=seed, budget_s=50, limits=LIMITS, devices=devices, inputs=inputs)
    return sandbox.run(spec)


def test_the_driver_computes_in_a_container_and_another_finds_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = based_image(tmp_path / "job.tar", "sandbox/driver_job.py")
    with documented_file(), oci_room(monkeypatch, devices=(GPU,)) as sandbox:
        report = sandbox.self_test()
        assert (report.failures, [(one.name, one.ok) for one in report.devices]) == ((), [(GPU, True)]), report.devices
        image = sandbox.load_archive(tmp_path / "job.tar", made)
        trained = run(sandbox, image, "train", GPU)
        assert trained.status is RunStatus.OK, (trained.reason, trained.log_tail)
        model = trained.outputs["model"].path
        told = json.loads(model.read_text())
        print(told)
        assert told["gpus"] == 1 and told["sum"] == COUNT // 256 * sum(number * number for number in range(256))
        assert {"nvidia0", "nvidiactl", "nvidia-uvm"} <= set(told["nodes"])
        without = run(sandbox, image, "train")
        assert without.status is RunStatus.FAILED and "libcuda.so.1" in without.log_tail, without
        assert run(sandbox, image, "evaluate", model=model).loss == 250_000_000
        assert sandbox.cleanup().problems == ()
