"""A container as an OCI runtime takes it, made of the description that every engine gets (`docker.isolation`). Pure.

    description of the container + environment of its image + where its files lie -> config.json

Each limit of `docker.isolation` has its place here or in the container's control group (`groups`); what is not named is not there:
no capability, no hook, no device of the host but the harmless ones, which `/dev` of the engine holds, and those that are asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from learningchain.sandbox.docker.devices import DeviceParts

NAMESPACES = ("pid", "mount", "ipc", "uts", "network", "cgroup", "user")
_SECCOMP = "seccomp="
_CAPABILITIES = ("bounding", "effective", "permitted", "inheritable", "ambient")
_RLIMITS = {"core": "RLIMIT_CORE", "fsize": "RLIMIT_FSIZE", "nofile": "RLIMIT_NOFILE", "msgqueue": "RLIMIT_MSGQUEUE"}
_RLIMITS |= {"memlock": "RLIMIT_MEMLOCK"}
INIT = "/lc/init"
"""The first process of a container that asks for one: it ends with the job's, and waits for what the job left behind."""
NODES = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty"))
"""Devices that every container has. None of them holds anything."""


def environment(image: Sequence[str], asked: Sequence[str]) -> list[str]:
    """The image's, with what the description sets; a name without a value takes the image's variable away."""
    merged = {item.partition("=")[0]: item for item in image}
    for item in asked:
        name, equals, _ = item.partition("=")
        if equals:
            merged[name] = item
        else:
            merged.pop(name, None)
    return list(merged.values())


def seccomp(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Our list of system calls, in the runtime's words."""
    architectures = [arch for known in profile["archMap"] for arch in (known["architecture"], *known["subArchitectures"])]
    words = ("names", "action", "errnoRet", "args")
    calls = [{word: rule[word] for word in words if word in rule} for rule in profile["syscalls"]]
    return {"defaultAction": profile["defaultAction"], "architectures": architectures, "syscalls": calls}


def runtime_config(
    asked: Mapping[str, Any],
    *,
    image_env: Sequence[str],
    rootfs: str,
    dev: str,
    places: Mapping[str, str],
    init: str = "",
    devices: Sequence[DeviceParts] = (),
) -> dict[str, Any]:
    """config.json. `dev`: the folder that is /dev; `places`: the folder of each volume by its name; `init`: a program that stands
    before the job's, where there is one; `devices`: what those bring that it asks for. Raises ValueError for a description that
    cannot be kept."""
    host = asked["HostConfig"]
    user, _, group = asked["User"].partition(":")
    mapped = [{"containerID": int(user), "hostID": 0, "size": 1}]
    profile = next((option for option in host["SecurityOpt"] if option.startswith(_SECCOMP)), "")
    if (
        not profile
        or user != group
        or "no-new-privileges:true" not in host["SecurityOpt"]
        or host["CapDrop"] != ["ALL"]
        or not host["ReadonlyRootfs"]
    ):
        raise ValueError("this engine runs containers of our own isolation alone")
    masked, folders = list(host["MaskedPaths"]), list(host["ReadonlyPaths"])
    return {
        "ociVersion": "1.0.0",
        "process": {
            "terminal": False,
            "user": {"uid": int(user), "gid": int(group)},
            "args": [*([INIT, "--"] if init else []), *asked["Entrypoint"], *asked["Cmd"]],
            "env": environment(image_env, [*asked["Env"], *(one for device in devices for one in device.variables)]),
            "cwd": asked["WorkingDir"],
            "capabilities": {name: [] for name in _CAPABILITIES},
            "rlimits": _rlimits(host),
            "noNewPrivileges": True,
            **({"oomScoreAdj": host["OomScoreAdj"]} if "OomScoreAdj" in host else {}),
        },
        "root": {"path": rootfs, "readonly": True},
        "hostname": asked.get("Hostname", "job"),
        "mounts": [*_mounts(host, dev, places, init), *_device_mounts(devices)],
        "linux": {
            "namespaces": [{"type": name} for name in NAMESPACES],
            "uidMappings": mapped,
            "gidMappings": mapped,
            "seccomp": seccomp(json.loads(profile.removeprefix(_SECCOMP))),
            "maskedPaths": masked,
            # What is masked below a folder that is made read-only is mounted anew with it, and could be written to.
            "readonlyPaths": [*folders, *(path for path in masked if any(path.startswith(f"{folder}/") for folder in folders))],
        },
    }


def _device_mounts(devices: Sequence[DeviceParts]) -> list[dict[str, Any]]:
    """Writing to a node is no writing to the file system that it lies in: that is read-only here as everywhere."""
    nodes = {place: (there, "noexec") for one in devices for place, there in one.nodes}
    files = {place: (there, "nodev") for one in devices for place, there in one.mounts}
    return [
        {"destination": place, "type": "bind", "source": there, "options": ["bind", "ro", "nosuid", without]}
        for place, (there, without) in sorted((nodes | files).items())
    ]


def _rlimits(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"type": _RLIMITS[one["Name"]], "soft": one["Soft"], "hard": one["Hard"]} for one in host.get("Ulimits", ())]


def _mounts(host: Mapping[str, Any], dev: str, places: Mapping[str, str], init: str) -> list[dict[str, Any]]:
    locked = ["nosuid", "nodev", "noexec"]
    found = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": locked},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*locked, "ro"]},
        {"destination": "/dev", "type": "bind", "source": dev, "options": ["bind", "ro", "nosuid", "noexec"]},
    ]
    # One by one: crun 1.8 binds no tree of mounts where the container has a user namespace.
    for node in NODES:
        found.append({"destination": node, "type": "bind", "source": node, "options": ["bind", "ro", "nosuid", "noexec"]})
    if init:
        found.append({"destination": INIT, "type": "bind", "source": init, "options": ["bind", "ro", "nosuid", "nodev"]})
    for place, options in sorted(host.get("Tmpfs", {}).items()):
        found.append({"destination": place, "type": "tmpfs", "source": "tmpfs", "options": options.split(",")})
    for mount in host["Mounts"]:
        writable = ["ro"] if mount["ReadOnly"] else []
        source = places[mount["Source"]]
        found.append({"destination": mount["Target"], "type": "bind", "source": source, "options": ["bind", *locked, *writable]})
    return found
