"""Containers on a real engine whose node is gone: kill -9, a restart, an owner's stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import msgspec
import pytest

from learningchain.sandbox import ContainerLimits, RunSpec, RunStatus, Sandbox
from learningchain.sandbox.data import scan_folder
from learningchain.sandbox.spec import dump_run, load_run

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0

LIMITS = ContainerLimits(cpus=1.0, mem_mb=96, pids=48, model_cap=256 * 1024, tmp_mb=8, wall_s=120)

NODE = """
import os, signal, sys
from pathlib import Path
from msgspec.structs import replace
from learningchain.sandbox import BackendSettings, Sandbox, make_backend
from learningchain.sandbox.data import scan_folder
from learningchain.sandbox.spec import load_run
folder, tag, archive, image, spec = sys.argv[1:]
wanted = os.environ.get("BACKEND")
room = make_backend(wanted, BackendSettings(data=Path(folder), node_tag=tag)) if wanted else Sandbox(Path(folder), node_tag=tag)
room.load_archive(Path(archive), image)
signal.signal(signal.SIGUSR1, lambda *_: room.leave())
run = load_run(spec.encode())
if sets := os.environ.get("SETS"):
    run = replace(run, inputs={"sets": scan_folder(Path(sets))})
room.run(run, on_progress=lambda _: print("running", flush=True))
room.close()
"""
"""A node as far as the sandbox goes: it runs one job, and on a signal leaves it."""


def training(image: str, *, mode: str = "long_training", stays: bool = True, steps_s: int = 10, wall_s: float = 120.0) -> RunSpec:
    limits = msgspec.structs.replace(LIMITS, wall_s=wall_s)
    params = f'{{"mode":"{mode}"}}'
    return RunSpec(run_id="t", image_id=image, phase="train", seed=0, budget_s=steps_s, params=params, limits=limits, stays=stays)


@pytest.fixture
def tag() -> str:
    return f"outlive-{os.getpid()}"


@contextmanager
def node(
    folder: Path, tag: str, archive: tuple[Path, str], spec: RunSpec, begin: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs a job, once it does. `begin`: words that start it as whom it is to be."""
    arguments = [*begin, sys.executable, "-c", NODE, str(folder), tag, str(archive[0]), archive[1], dump_run(spec).decode()]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"running\n"
            yield process
        finally:
            process.kill()


def jobs(tag: str) -> list[dict[str, Any]]:
    """The containers of jobs of a node, as the engine inspects them."""
    mine = {"label": [f"learningchain.node={tag}", "learningchain.until"]}
    return [one.attrs for one in docker.from_env().containers.list(all=True, filters=mine, ignore_removed=True)]


def wait_for(told: Callable[[], Any], what: str) -> Any:
    until = time.monotonic() + PATIENCE_S
    while not (found := told()):
        assert time.monotonic() < until, what
        time.sleep(0.1)
    return found


@pytest.fixture
def heir(tmp_path: Path, tag: str) -> Iterator[Sandbox]:
    """The next process of the node."""
    sandbox = Sandbox(tmp_path / "data", node_tag=tag)
    yield sandbox
    assert sandbox.cleanup().problems == ()
    sandbox.close()
    assert jobs(tag) == []


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"stays": False}, id="what does not stay, at once"),
        pytest.param({"mode": "forever", "wall_s": 5.0}, id="a training by its own deadline, and it can be looked at"),
    ],
)
def test_a_run_ends_though_its_node_was_killed(
    archive: tuple[Path, str], tmp_path: Path, tag: str, heir: Sandbox, spec: dict[str, Any]
) -> None:
    """Nobody starts the node again, and the job would run for minutes."""
    with node(tmp_path / "data", tag, archive, training(archive[1], **spec)) as process:
        assert [job["State"]["Status"] for job in jobs(tag)] == ["running"]
        process.send_signal(signal.SIGKILL)
        process.wait()
        left = ["exited"] if spec.get("stays", True) else []
        wait_for(lambda: [job["State"]["Status"] for job in jobs(tag)] == left, "its container runs on")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGUSR1])
def test_a_training_goes_on_with_the_next_start_of_its_node(
    archive: tuple[Path, str], tmp_path: Path, tag: str, heir: Sandbox, end: signal.Signals
) -> None:
    """The same container, which began once: its loss lines go on, and its model is that of all its steps."""
    spec = training(archive[1], steps_s=6)
    with node(tmp_path / "data", tag, archive, spec) as process:
        (before,) = jobs(tag)
        process.send_signal(end)
        process.wait()
    report = heir.cleanup(keep_images=[archive[1]], keep_runs=[spec])
    assert (report.runs, report.lost_runs, report.problems) == (("t",), (), ())
    (after,) = jobs(tag)
    assert [after[key] for key in ("Id", "Created")] == [before[key] for key in ("Id", "Created")]
    assert after["State"]["Running"] and after["State"]["StartedAt"] == before["State"]["StartedAt"]
    steps = list[int]()
    result = heir.run(spec, on_progress=lambda progress: steps.append(progress.step))
    heir.settle()
    assert (result.status, result.outputs["model"].path.read_bytes()) == (RunStatus.OK, b"trained for 60 steps")
    assert len(steps) > 2 and steps[0] > 1 and steps[-1] == 60
    assert jobs(tag) == [], "it is tidied as any other"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGUSR1])
def test_a_training_on_data_sets_goes_on_with_the_data_that_it_began_with(
    archive: tuple[Path, str], tmp_path: Path, tag: str, heir: Sandbox, end: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads them after its node came back; another run of the same sets finds them there, and they go with the last one."""
    for name, text in (("one/a", "A"), ("two/b/c", "B")):
        (tmp_path / "sets" / name).parent.mkdir(parents=True)
        (tmp_path / "sets" / name).write_text(text)
    monkeypatch.setenv("SETS", str(tmp_path / "sets"))
    given = {"sets": scan_folder(tmp_path / "sets")}
    spec = load_run(dump_run(msgspec.structs.replace(training(archive[1], steps_s=8), inputs=given)))
    with node(tmp_path / "data", tag, archive, spec) as process:
        (before,) = jobs(tag)
        process.send_signal(end)
        process.wait()
    kept = data_volumes(tag)
    assert len(kept) == 2
    report = heir.cleanup(keep_images=[archive[1]], keep_runs=[spec])
    assert (report.runs, report.lost_runs, report.problems) == (("t",), (), ())
    assert [job["Id"] for job in jobs(tag)] == [before["Id"]] and data_volumes(tag) == kept
    beside = msgspec.structs.replace(training(archive[1], steps_s=1, stays=False), run_id="beside", inputs=given)
    assert heir.run(beside).outputs["model"].path.read_bytes() == b"trained for 10 steps on AB"
    assert data_volumes(tag) == kept
    result = heir.run(spec)
    assert (result.status, result.outputs["model"].path.read_bytes()) == (RunStatus.OK, b"trained for 80 steps on AB")
    heir.settle()
    assert jobs(tag) == []
    heir.cleanup(keep_images=[archive[1]])
    assert data_volumes(tag) == []


def test_a_training_whose_data_are_other_than_they_were_is_not_gone_on_with(
    archive: tuple[Path, str], tmp_path: Path, tag: str, heir: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sets" / "one").mkdir(parents=True)
    (tmp_path / "sets" / "one" / "a").write_text("A")
    monkeypatch.setenv("SETS", str(tmp_path / "sets"))
    whole = msgspec.structs.replace(training(archive[1]), inputs={"sets": scan_folder(tmp_path / "sets")})
    with node(tmp_path / "data", tag, archive, whole) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    (tmp_path / "sets" / "one" / "a").write_text("B")
    other = load_run(dump_run(msgspec.structs.replace(whole, inputs={"sets": scan_folder(tmp_path / "sets")})))
    assert heir.cleanup(keep_images=[archive[1]], keep_runs=[other]).runs == ()
    assert jobs(tag) == [] and data_volumes(tag) == []


def data_volumes(tag: str) -> list[str]:
    mine = {"label": [f"learningchain.node={tag}", "learningchain.data"]}
    return sorted(one.name for one in docker.from_env().volumes.list(filters=mine))


def test_a_training_that_ended_while_its_node_was_away_is_collected(
    archive: tuple[Path, str], tmp_path: Path, tag: str, heir: Sandbox
) -> None:
    spec = training(archive[1], steps_s=2)
    with node(tmp_path / "data", tag, archive, spec) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_for(lambda: not any(job["State"]["Running"] for job in jobs(tag)), "it never ends")
    assert heir.cleanup(keep_images=[archive[1]], keep_runs=[spec]).runs == ("t",)
    result = heir.run(spec)
    assert (result.status, result.outputs["model"].path.read_bytes()) == (RunStatus.OK, b"trained for 20 steps")


def test_what_it_left_is_never_taken_for_nothing_once_its_sidecar_is_gone(
    archive: tuple[Path, str], tmp_path: Path, tag: str, heir: Sandbox
) -> None:
    """An empty volume would say that the job left no model, and use its attempt up."""
    spec = training(archive[1], steps_s=2)
    with node(tmp_path / "data", tag, archive, spec) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_for(lambda: not any(job["State"]["Running"] for job in jobs(tag)), "it never ends")
    for sidecar in docker.from_env().containers.list(filters={"label": f"learningchain.node={tag}"}):
        sidecar.kill()
    report = heir.cleanup(keep_images=[archive[1]], keep_runs=[spec])
    assert (report.runs, report.lost_runs) == ((), ("t",))


def test_a_training_that_nobody_comes_back_for_ends(archive: tuple[Path, str], tmp_path: Path, tag: str, heir: Sandbox) -> None:
    with node(tmp_path / "data", tag, archive, training(archive[1])) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    brief = Sandbox(tmp_path / "data", node_tag=tag, leave_s=1)
    assert brief.cleanup(keep_images=[archive[1]], keep_runs=[training(archive[1])]).runs == ("t",)
    wait_for(lambda: not jobs(tag), "nobody asks for it, and it runs on")
    brief.close()


@pytest.mark.parametrize(
    "changed",
    [{"seed": 1}, {"params": '{"mode":"forever"}'}, {"budget_s": 11}, {"limits": msgspec.structs.replace(LIMITS, pids=49)}],
)
def test_only_the_very_run_is_gone_on_with(
    archive: tuple[Path, str], tmp_path: Path, tag: str, heir: Sandbox, changed: dict[str, Any]
) -> None:
    spec = training(archive[1])
    with node(tmp_path / "data", tag, archive, spec) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    other = msgspec.structs.replace(spec, **changed)
    assert heir.cleanup(keep_images=[archive[1]], keep_runs=[other]).runs == ()
    assert jobs(tag) == []


def test_a_run_that_is_called_off_before_it_is_gone_on_with_ends(
    archive: tuple[Path, str], tmp_path: Path, tag: str, heir: Sandbox
) -> None:
    spec = training(archive[1])
    with node(tmp_path / "data", tag, archive, spec) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert heir.cleanup(keep_images=[archive[1]], keep_runs=[spec]).runs == ("t",)
    cancel = threading.Event()
    cancel.set()
    assert heir.run(spec, cancel=cancel).status is RunStatus.CANCELLED
    assert jobs(tag) == []
