"""The first jobs of docs/start-model.md, in real containers: trained, evaluated twice to the same losses, not fooled by junk."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from learningchain.sandbox import ContainerLimits, Evaluated, RunResult, RunSpec, RunStatus, Sandbox
from learningchain.sandbox.images import build_python_image
from tests.unit.readme_kit import STARTS, blocks

LIMITS = ContainerLimits(cpus=1.0, mem_mb=96, model_cap=4096, tmp_mb=8, wall_s=60)
JUNK = {"python": b"[1, null]", "shell": b"x 1\n"}


def programs(*names: str) -> dict[str, bytes | Path]:
    """Programs of this machine with their libraries, by path in an image: what a small base image of a distribution has."""
    files: dict[str, bytes | Path] = {}
    for name in names:
        found = shutil.which(name)
        if found is None:
            pytest.fail(f"this test needs {name} (Debian package mawk or gawk for awk)", pytrace=False)
        files[f"/bin/{name}"] = Path(found).resolve()
        listed = subprocess.run(["ldd", files[f"/bin/{name}"]], capture_output=True, text=True, check=True).stdout
        files |= {word: Path(word).resolve() for line in listed.splitlines() for word in line.split() if word.startswith("/")}
    return files


@pytest.fixture(params=["python", "shell"])
def job(request: pytest.FixtureRequest, room: Sandbox, tmp_path: Path) -> tuple[str, str]:
    """The language, and the image of the first block in it."""
    language = str(request.param)
    program = next(block.text for block in blocks(STARTS[0]) if block.language == language).encode()
    archive = tmp_path / "job.tar"
    more = programs("sh", "awk") if language == "shell" else {}
    return language, room.load_archive(archive, build_python_image(archive, {"/lc/job": program, **more}, with_packages=()))


def test_a_job_of_readme_keeps_the_contract(room: Sandbox, job: tuple[str, str], tmp_path: Path) -> None:
    language, image = job

    def run(phase: str, **inputs: Path) -> RunResult:
        seed = 2**64 - 1 if phase == "train" else None
        name = f"readme-{phase}-{os.urandom(3).hex()}"
        spec = RunSpec(run_id=name, image_id=image, phase=phase, seed=seed, budget_s=9, limits=LIMITS, inputs=inputs)
        return room.run(spec)

    trained = run("train")
    assert trained.status is RunStatus.OK, trained
    model = trained.outputs["model"].path
    first, second = run("evaluate", model=model).result, run("evaluate", model=model).result
    assert isinstance(first, Evaluated)
    assert first == second
    assert first.measurement.count == 40
    assert 0 < first.measurement.mean < 10**8
    (tmp_path / "junk").write_bytes(JUNK[language])
    outcome = run("evaluate", model=tmp_path / "junk")
    assert (outcome.status, outcome.exit_code) == (RunStatus.MODEL_INVALID, 65), outcome
    model.unlink()
    room.settle()
    room.remove_image(image)
