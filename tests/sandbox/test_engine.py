"""The engine itself: self-test, images in and out, and cleaning up after a node that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from learningchain.sandbox import BadImage, Sandbox, SandboxUnavailable
from learningchain.sandbox.images import build_python_image

from .conftest import LIMITS, RunJob

ROOT = Path(__file__).resolve().parents[2]


def test_the_self_test_breaks_no_limit_on_this_engine(room: Sandbox) -> None:
    report = room.self_test()
    assert report.failures == ()
    assert report.ok
    assert {"network", "system_calls", "pids", "memory", "cpu", "clock", "log"} <= {check.name for check in report.checks}


def test_the_self_test_names_a_limit_that_gives_way(room: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that ignores two of our limits, as a runtime without control groups does."""
    from learningchain.sandbox.docker import isolation

    honest = isolation.locked_host_config

    def careless(runtime: str, memory: int, pids: int, cpus: float) -> dict[str, object]:
        return honest(runtime, memory, pids + 200, 16 * 0.1) | {"ReadonlyRootfs": False}

    monkeypatch.setattr(isolation, "locked_host_config", careless)
    failed = {check.name for check in room.self_test().failures}
    assert {"pids", "root_read_only"} <= failed
    assert "network" not in failed


def test_a_missing_engine_and_a_missing_runtime_are_named(tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match=r"no Docker Engine answers at unix:///nowhere\.sock"):
        Sandbox(tmp_path, base_url="unix:///nowhere.sock", node_tag="t").check_engine()
    with pytest.raises(SandboxUnavailable, match="no runtime 'runsc-unknown'"):
        Sandbox(tmp_path, runtime="runsc-unknown", node_tag="t").check_engine()


def test_the_same_content_gives_the_same_image_id(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from learningchain.sandbox.images import build_python_image\n"
        "print(build_python_image(Path(sys.argv[1]), {'/lc/job': b'#!x'}, with_packages=()))"
    )
    ids = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "a.tar")],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(ids) == 1


def test_an_image_under_the_wrong_id_is_refused_and_a_volume_left_out(
    room: Sandbox, archive: tuple[Path, str], tmp_path: Path
) -> None:
    with pytest.raises(BadImage, match="not sha256:00"):
        room.load_archive(archive[0], "sha256:" + "0" * 64)
    with_volume = build_python_image(tmp_path / "v.tar", {}, with_packages=(), config={"Volumes": {"/data": {}}})
    assert room.load_archive(tmp_path / "v.tar", with_volume) == with_volume
    room.remove_image(with_volume)
    with pytest.raises(BadImage, match="names no digest"):
        room.pull("debian:latest")


def test_removing_an_image_leaves_it_to_another_node(room: Sandbox, archive: tuple[Path, str], tmp_path: Path) -> None:
    image_id = room.load_archive(*archive)
    other = Sandbox(tmp_path, node_tag=f"other-{os.getpid()}")
    other.load_archive(*archive)
    other.cleanup()
    assert room.has_image(image_id)
    other.close()


KILLED_NODE = """
import os, sys
from pathlib import Path
from learningchain.sandbox import ContainerLimits, RunSpec, Sandbox
from learningchain.sandbox.docker.reaper import Reaper
Reaper._replace = lambda *_: None
room = Sandbox(Path(sys.argv[1]), node_tag=sys.argv[2])
image = room.load_archive(Path(sys.argv[3]), sys.argv[4])
spec = RunSpec(run_id="orphan", image_id=image, phase="train", seed=0, budget_s=60, params='{"mode":"forever"}')
room.run(spec, on_progress=lambda _: (room._reaper._process.kill(), print("running", flush=True)))
"""


def test_what_a_killed_node_and_its_reaper_left_is_found_and_removed_by_the_next(archive: tuple[Path, str], tmp_path: Path) -> None:
    tag = f"killed-{os.getpid()}"
    arguments = [sys.executable, "-c", KILLED_NODE, str(tmp_path / "data"), tag, str(archive[0]), archive[1]]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}) as node:
        assert node.stdout is not None
        assert node.stdout.readline() == b"running\n"
        node.send_signal(signal.SIGKILL)
    heir = Sandbox(tmp_path / "data", node_tag=tag)
    report = heir.cleanup(keep_images=[archive[1]])
    assert (report.containers, report.volumes, report.problems) == (2, 2, ())
    assert heir.has_image(archive[1])
    assert heir.cleanup().images == 1
    heir.close()


def test_nothing_is_left_of_finished_runs(room: Sandbox, run_job: RunJob) -> None:
    run_job("good", limits=LIMITS)
    run_job("forever", limits=LIMITS.__class__(wall_s=0.5))
    room.settle()
    room.cleanup()
    api = docker.from_env()
    mine = {"label": f"learningchain.node=test-{os.getpid()}"}
    assert api.containers.list(all=True, filters=mine) == []
    assert api.volumes.list(filters=mine) == []
