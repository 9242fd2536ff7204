"""Devices on a real engine that gives them by name (Debian 13's): a training that asks for one has exactly that one, everybody else
has none, and no hook of a CDI file runs. The devices are this machine's null and zero under other paths: no GPU is needed, and
nothing here says that one computes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from learningchain.sandbox import RunResult, RunSpec, RunStatus, Sandbox
from learningchain.sandbox.images import build_python_image

from .conftest import LIMITS
from .newer import FIRST, HOOKED, NODES, SECOND, newer_engine

pytestmark = pytest.mark.full("tests/unit/test_sandbox_devices.py asks the double for the same; this fetches another engine")

LOOK = b"""#!/usr/local/bin/python3
import json, os, sys
found = sorted(name for name in os.listdir("/dev") if name.startswith("lctest"))
told = {"nodes": found, "nvidia": [name for name in os.environ if name.startswith(("NVIDIA_", "LD_", "CUDA_"))]}
told |= {"device": os.environ.get("TEST_DEVICE"), "library": os.path.exists("/usr/lib/lctest.so")}
told["read"] = [len(open("/dev/" + name, "rb", buffering=0).read(3)) for name in found]
if sys.argv[1] == "train":
    open("/lc/out/model", "w").write(json.dumps(told))
else:
    open("/lc/out/losses", "w").write("%d\\n" % len(found))
"""
GIVEN: list[tuple[tuple[str, ...], str]] = [
    ((), '{"nodes": [], "nvidia": ["LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"], "device": null, "library": false, "read": []}'),
    ((FIRST,), '{"nodes": ["lctest0"], "nvidia": [], "device": "first", "library": true, "read": [0]}'),
    ((SECOND,), '{"nodes": ["lctest1"], "nvidia": [], "device": null, "library": false, "read": [3]}'),
    ((FIRST, SECOND), '{"nodes": ["lctest0", "lctest1"], "nvidia": [], "device": "first", "library": true, "read": [0, 3]}'),
]
"""What a training of `LOOK` finds by what it asked for."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("newer")


@pytest.fixture(scope="module")
def room(place: Path) -> Iterator[Sandbox]:
    engine = newer_engine(place)
    sandbox = Sandbox(place / "node", base_url=engine.url, node_tag=f"gpu-{os.getpid()}", devices=(FIRST, SECOND, HOOKED))
    try:
        info = sandbox.check_engine()
        print(f"engine {info.version}, CDI files in {info.device_folders}")
        yield sandbox
        assert sandbox.cleanup().problems == ()
    finally:
        sandbox.close()
        engine.stop()


@pytest.fixture(scope="module")
def image(room: Sandbox, place: Path) -> str:
    asks = ["NVIDIA_VISIBLE_DEVICES=all", "LD_LIBRARY_PATH=/x", "LD_PRELOAD=/x.so", "CUDA_VISIBLE_DEVICES=0"]
    made = build_python_image(
        place / "look.tar", {"/lc/job": LOOK}, with_packages=(), config={"Env": ["PATH=/usr/local/bin", *asks]}
    )
    return room.load_archive(place / "look.tar", made)


def look(room: Sandbox, image: str, *devices: str) -> RunResult:
    spec = RunSpec(
        run_id=f"look-{os.urandom(3).hex()}", image_id=image, phase="train", seed=1, budget_s=5, limits=LIMITS, devices=devices
    )
    return room.run(spec)


def told(result: RunResult) -> str:
    assert result.status is RunStatus.OK, (result.reason, result.log_tail)
    return result.outputs["model"].path.read_text()


def test_the_self_test_proves_each_device_and_refuses_the_one_with_a_hook(room: Sandbox, place: Path) -> None:
    report = room.self_test()
    assert report.failures == (), "without asking there is none, whatever the image says"
    first, hooked, second = report.devices
    assert (first.name, first.ok, first.detail) == (FIRST, True, f"{NODES[FIRST]}, and nothing else")
    assert (second.name, second.ok) == (SECOND, True)
    assert (hooked.name, hooked.ok) == (HOOKED, False)
    assert "hooks, programs that the engine would run as root" in hooked.detail
    assert not (place / "ran").exists()


@pytest.mark.parametrize(("devices", "there"), GIVEN)
def test_a_training_has_exactly_what_it_asked_for(room: Sandbox, image: str, devices: tuple[str, ...], there: str) -> None:
    assert told(look(room, image, *devices)) == there


def test_no_hook_runs_and_no_other_device_is_given(room: Sandbox, image: str, place: Path) -> None:
    refused = look(room, image, HOOKED)
    assert (refused.status, "hooks" in refused.reason) == (RunStatus.ENGINE_ERROR, True)
    assert "does not offer it" in look(room, image, "learningchain.test/gpu=third").reason
    assert not (place / "ran").exists()


def test_an_engine_that_runs_the_hook_is_seen_to(room: Sandbox, image: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is what keeps it from running: an engine that is asked runs it as root, whatever the container may do."""
    monkeypatch.setattr(room, "edits_of", lambda device: None)
    look(room, image, HOOKED)
    assert (place / "ran").exists()
