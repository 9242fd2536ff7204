"""What a CDI file may say of a device that a stranger's container gets: understood whole, or refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.sandbox import DeviceRefused, RunSpec
from learningchain.sandbox.docker.devices import MAX_FILE_BYTES, DeviceEdits, DeviceParts, edits_of, parts_of, why_no_devices
from learningchain.sandbox.docker.isolation import MASKED_PATHS, device_variables, differences, job_config
from learningchain.sandbox.spec import EngineInfo
from tests.sandbox.newer import KIND, device, write_spec

from .test_sandbox_isolation import IMAGE, LIMITS, MOUNTS, reported

GPU = f"{KIND}=first"
NODE = {"path": "/dev/lctest0", "hostPath": "/dev/null"}


def test_nodes_single_files_and_variables_are_understood(tmp_path: Path) -> None:
    library = tmp_path / "library.so"
    library.write_bytes(b"x")
    mount = {"hostPath": str(library), "containerPath": "/usr/lib/lctest.so", "options": ["ro", "bind"]}
    common = {"env": ["B=1"], "deviceNodes": [{"path": "/dev/lctestctl", "hostPath": "/dev/zero"}]}
    write_spec(tmp_path, device("first", {"mounts": [mount], "env": ["A=1"]}), device("second"), containerEdits=common)
    write_spec(tmp_path, {"name": "first", "anything": 1}, file="other.json", kind="vendor.com/nic")
    found = edits_of(GPU, [str(tmp_path / "none"), str(tmp_path)])
    source = f"{tmp_path}/test.json (CDI 0.5.0, no hooks)"
    assert found == DeviceEdits(("/dev/lctest0", "/dev/lctestctl"), ("/usr/lib/lctest.so",), ("B", "A"), source)
    nodes = (("/dev/lctestctl", "/dev/zero"), ("/dev/lctest0", "/dev/null"))
    brought = DeviceParts(nodes, (("/usr/lib/lctest.so", str(library)),), ("B=1", "A=1"))
    assert parts_of(GPU, [str(tmp_path)]) == brought
    write_spec(tmp_path, device("first", {"deviceNodes": [NODE | {"permissions": "r"}]}))
    edits_of(GPU, [str(tmp_path)])
    with pytest.raises(DeviceRefused, match="is not to be read and written"):
        parts_of(GPU, [str(tmp_path)])


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"hooks": [{"hookName": "createContainer", "path": "/bin/sh"}]}, "hooks, programs that the engine would run as root"),
        ({"additionalGids": [44]}, "unknown field `additionalGids`"),
        ({"intelRdt": {}}, "unknown field `intelRdt`"),
        ({"deviceNodes": []}, "no node in /dev"),
        ({"deviceNodes": [NODE | {"path": "/dev/null"}]}, "no place for a device"),
        ({"deviceNodes": [NODE | {"path": "/dev/../etc/x"}]}, "no place for a device"),
        ({"deviceNodes": [NODE | {"path": "/lc/in/x"}]}, "no place for a device"),
        ({"deviceNodes": [NODE | {"hostPath": "/dev/no-such"}]}, "is the driver loaded"),
        ({"deviceNodes": [NODE | {"hostPath": "/etc/passwd"}]}, "no character device"),
        ({"deviceNodes": [NODE | {"type": "b"}]}, "no character device"),
        ({"deviceNodes": [NODE | {"cgroup": "x"}]}, "unknown field `cgroup`"),
        ({"mounts": [{"hostPath": "/etc/passwd", "containerPath": "/x", "options": ["bind"]}]}, "could write to it"),
        ({"mounts": [{"hostPath": "/etc/passwd", "containerPath": "/lc/in/x", "options": ["ro"]}]}, "no place for a mount"),
        ({"mounts": [{"hostPath": "/etc/passwd", "containerPath": "/", "options": ["ro"]}]}, "no place for a mount"),
        ({"mounts": [{"hostPath": "/etc", "containerPath": "/x", "options": ["ro"]}]}, "which is no single file"),
        ({"mounts": [{"hostPath": "/etc/no-such", "containerPath": "/x", "options": ["ro"]}]}, "no /etc/no-such"),
        ({"env": ["LC_SEED=1"]}, "it sets LC_SEED"),
    ],
)
@pytest.mark.parametrize("everywhere", [False, True])
def test_what_else_a_file_says_is_refused_for_one_device_and_for_all(
    tmp_path: Path, more: dict[str, Any], why: str, everywhere: bool
) -> None:
    if everywhere and more == {"deviceNodes": []}:
        more, why = {"hooks": [{}]}, "hooks"
    write_spec(tmp_path, device("first", None if everywhere else more), containerEdits=more if everywhere else {})
    with pytest.raises(DeviceRefused, match=r"the device learningchain\.test/gpu=first is given to no job") as refused:
        edits_of(GPU, [str(tmp_path)])
    assert why in str(refused.value)


def test_a_device_is_in_one_file_that_can_be_read(tmp_path: Path) -> None:
    def refused() -> str:
        with pytest.raises(DeviceRefused) as caught:
            edits_of(GPU, [str(tmp_path)])
        return str(caught.value)

    assert "no CDI file in" in refused()
    write_spec(tmp_path, device("second"))
    assert "no CDI file in" in refused()
    write_spec(tmp_path, device("first"), file="a.json")
    write_spec(tmp_path, device("first"), file="b.json")
    assert "both have it" in refused()
    (tmp_path / "b.json").write_text("{")
    assert "is no CDI file" in refused()
    (tmp_path / "b.json").write_bytes(b" " * (MAX_FILE_BYTES + 1))
    assert "more than" in refused()
    (tmp_path / "b.json").unlink()
    (tmp_path / "b.yaml").write_text("kind: vendor.com/nic")
    assert "is YAML" in refused(), "an engine reads it, and may find the device there"


@pytest.mark.parametrize(
    ("version", "folders", "why"),
    [
        ("20.10.24+dfsg1", ("/etc/cdi",), "Docker Engine 25 or a later one"),
        ("dev", ("/etc/cdi",), "Docker Engine 25 or a later one"),
        ("26.1.5+dfsg1", (), '{"features": {"cdi": true}} in daemon.json'),
        ("25.0.0", ("/etc/cdi",), ""),
        ("crun, as user 1", ("/etc/cdi",), ""),
    ],
)
def test_an_engine_that_gives_none_says_what_is_missing(version: str, folders: tuple[str, ...], why: str) -> None:
    told = why_no_devices(EngineInfo(version, "1", "amd64", ("runc",), 1, 1, False, device_folders=folders))
    assert why in told and bool(told) == bool(why)


def test_a_container_with_devices_is_asked_for_exactly_and_compared() -> None:
    spec = RunSpec(run_id="r", image_id=IMAGE, phase="train", seed=7, budget_s=5, limits=LIMITS, devices=(GPU,))
    with_, plain = (
        job_config(one, runtime="runc", uid=70_000, labels={"l": "1"}, mounts=MOUNTS, without=["LD_LIBRARY_PATH"])
        for one in (spec, msgspec.structs.replace(spec, devices=()))
    )
    assert with_["HostConfig"].pop("DeviceRequests") == [{"Driver": "cdi", "DeviceIDs": [GPU]}]
    shown = set(MASKED_PATHS) - set(with_["HostConfig"].pop("MaskedPaths"))
    assert shown == {"/proc/devices", "/proc/driver"}
    assert with_["HostConfig"] == {key: value for key, value in plain["HostConfig"].items() if key != "MaskedPaths"}
    assert with_["Env"][-1] == "LD_LIBRARY_PATH", "a name without a value takes it away"
    asked = job_config(spec, runtime="runc", uid=70_000, labels={"l": "1"}, mounts=MOUNTS)
    whole = {"Driver": "cdi", "Count": 0, "DeviceIDs": [GPU], "Capabilities": None, "Options": None}
    given = [[whole], [], [whole | {"Count": -1}], [whole | {"DeviceIDs": [GPU, "a.com/b=c"]}], [whole, whole]]
    for requests in given:
        facts = reported(asked)
        facts["HostConfig"]["DeviceRequests"] = requests
        assert bool(differences(asked, facts)) == (requests != [whole])


def test_of_an_images_environment_a_run_with_devices_lacks_what_loaders_and_drivers_obey() -> None:
    env = [
        "PATH=/bin",
        "LD_LIBRARY_PATH=/x",
        "LD_BIND_NOW=1",
        "CUDA_VISIBLE_DEVICES=",
        "CUDA_HOME=/c",
        "XLD_X=1",
        "LD_X=1",
        "LD_X=2",
    ]
    assert device_variables(env) == ["CUDA_VISIBLE_DEVICES", "LD_BIND_NOW", "LD_LIBRARY_PATH", "LD_X"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"phase": "evaluate", "seed": None, "inputs": {"model": Path("m")}},
        {"stays": True},
        {"devices": ("a.com/gpu=1", "a.com/gpu=0")},
        {"devices": ("a.com/gpu=0", "a.com/gpu=0")},
        {"devices": tuple(f"a.com/gpu={n}" for n in range(9))},
        *(
            {"devices": (name,)}
            for name in ("a.com/gpu=all", "gpu=0", "a.com/gpu", "/dev/nvidia0", "a.com/gpu=0 ", "a/b=" + "c" * 255)
        ),
    ],
)
def test_a_run_that_cannot_have_devices_is_no_run(wrong: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"run_id": "r", "image_id": IMAGE, "phase": "train", "seed": 1, "budget_s": 5, "devices": (GPU,)}
    RunSpec(**fields)
    with pytest.raises(ValueError, match="device"):
        RunSpec(**fields | wrong)
