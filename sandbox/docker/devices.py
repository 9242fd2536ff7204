"""Devices of this machine, such as GPUs, that trainings may be given: what the engine would do to a container that asks for one.

    work.gpus -> a name of the Container Device Interface (CDI) -> the engine's files -> what they say -> understood, or refused

A CDI file tells the engine which nodes, mounts and variables a device brings, and which hooks: programs that run as root on this
machine for each container. A container of a stranger's image starts none: a hook that reads the image's environment or files has
been a way out of it (CVE-2025-23266). So a device is used only where everything that its file says is understood here and is one
of: nodes of character devices, single files mounted read-only, variables. Files are read anew before each run, for drivers and
their owners rewrite them.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from learningchain.sandbox.errors import DeviceRefused
from learningchain.sandbox.spec import EngineInfo

LEAST_ENGINE = 25
"""The first Docker Engine that gives devices by their names."""
OCI_ENGINE = "crun, "
"""How the version of the engine without Docker begins, which is this program's own."""
CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")
"""Where that one looks for CDI files."""
MAX_FILES, MAX_FILE_BYTES = 64, 1 << 20
_OWN_NODES = ("null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue", "fd")
"""What every container has in /dev, which no device may replace."""
_OWN_PLACES = ("/lc", "/tmp", "/dev", "/proc", "/sys")
_SWITCH = '{"features": {"cdi": true}} in daemon.json'
_JSON = "Write them as JSON, without hooks (docs/gpus.md)"


class DeviceEdits(msgspec.Struct, frozen=True):
    """What a device brings into a container: paths there, and names of variables. `source`: the file that says so, and by which
    version of CDI."""

    nodes: tuple[str, ...]
    mounts: tuple[str, ...]
    variables: tuple[str, ...]
    source: str


class DeviceParts(msgspec.Struct, frozen=True):
    """What an engine of ours puts into a container for a device: nodes and files, each by its place there and the one on this
    machine, and variables with their values."""

    nodes: tuple[tuple[str, str], ...]
    mounts: tuple[tuple[str, str], ...]
    variables: tuple[str, ...]


class _CdiNode(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    path: str
    host_path: str = ""
    type: str = ""
    major: int = 0
    minor: int = 0
    file_mode: int | None = None
    permissions: str = ""
    uid: int | None = None
    gid: int | None = None


class _CdiMount(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    host_path: str
    container_path: str
    options: list[str] = []
    type: str = ""


class _CdiEdits(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    env: list[str] = []
    device_nodes: list[_CdiNode] = []
    mounts: list[_CdiMount] = []
    hooks: list[Any] = []


class _CdiDevice(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    name: str
    container_edits: _CdiEdits
    annotations: dict[str, str] = {}


class _CdiName(msgspec.Struct):
    name: str


class _CdiHeading(msgspec.Struct):
    """Of a file that may be about other devices, which need not be understood."""

    kind: str
    devices: list[_CdiName]


class _CdiFile(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    cdi_version: str
    kind: str
    devices: list[dict[str, Any]]
    container_edits: _CdiEdits = msgspec.field(default_factory=_CdiEdits)
    annotations: dict[str, str] = {}


def why_no_devices(info: EngineInfo) -> str:
    """Why this engine gives no devices by name, and what to do; empty where it does."""
    if info.version.startswith(OCI_ENGINE):
        return ""
    major = info.version.partition(".")[0]
    if not major.isdecimal() or int(major) < LEAST_ENGINE:
        return f"engine {info.version} knows no devices by name (CDI): Docker Engine {LEAST_ENGINE} or a later one is needed"
    if not info.device_folders:
        return f"engine {info.version} does not look for devices by name (CDI): set {_SWITCH} and restart it"
    return ""


def edits_of(name: str, folders: Sequence[str]) -> DeviceEdits:
    """What the engine's CDI files say of a device. Raises DeviceRefused where that is nothing, or not all of it is understood."""
    path, version, edits = _found(name, folders)
    return DeviceEdits(
        tuple(sorted({node.path for one in edits for node in one.device_nodes})),
        tuple(sorted({mount.container_path for one in edits for mount in one.mounts})),
        tuple(variable.partition("=")[0] for one in edits for variable in one.env),
        f"{path} (CDI {version[:20]}, no hooks)",
    )


def parts_of(name: str, folders: Sequence[str]) -> DeviceParts:
    """The same, for an engine that is ours: it gives a node as the machine has it, to read and to write. Raises DeviceRefused."""
    path, _, edits = _found(name, folders)
    nodes = [node for one in edits for node in one.device_nodes]
    if narrow := [node.path for node in nodes if not {"r", "w"} <= set(node.permissions or "rw")]:
        raise DeviceRefused(name, f"{path}: {narrow[0]} is not to be read and written, which is not kept here", _JSON)
    return DeviceParts(
        tuple({node.path: node.host_path or node.path for node in nodes}.items()),
        tuple({mount.container_path: mount.host_path for one in edits for mount in one.mounts}.items()),
        tuple(variable for one in edits for variable in one.env),
    )


def _found(name: str, folders: Sequence[str]) -> tuple[Path, str, tuple[_CdiEdits, ...]]:
    """The file that has it, by which version of CDI, and what that says of all its devices and of this one."""
    kind, _, of = name.partition("=")
    found = [(path, raw) for path in _files(name, folders) if of in _named(name, path, raw := _read(name, path), kind)]
    if not found:
        where = ", ".join(folders)
        raise DeviceRefused(name, f"no CDI file in {where} has it", "docs/gpus.md shows how a file is made")
    if len(found) > 1:
        raise DeviceRefused(name, f"{found[0][0]} and {found[1][0]} both have it", "Leave it in one of them")
    path, raw = found[0]
    return _understood(name, path, raw, of)


def _files(name: str, folders: Sequence[str]) -> list[Path]:
    try:
        listed = [path for folder in folders if Path(folder).is_dir() for path in sorted(Path(folder).iterdir())]
    except OSError as problem:
        raise DeviceRefused(name, f"the engine's CDI files cannot be read: {problem}", "Let this user read them") from None
    files = [path for path in listed if path.suffix in (".json", ".yaml")]
    if len(files) > MAX_FILES:
        raise DeviceRefused(name, f"there are more than {MAX_FILES} CDI files", "Remove those that nothing uses")
    # An engine reads both, and a later folder's file outweighs an earlier one's.
    if yaml := [path for path in files if path.suffix == ".yaml"]:
        raise DeviceRefused(name, f"{yaml[0]} is YAML, which this node does not read, and may be about it too", _JSON)
    return files


def _read(name: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as problem:
        raise DeviceRefused(
            name, f"{path} cannot be read: {problem.strerror}", "Let this user read the engine's CDI files"
        ) from None
    if len(raw) > MAX_FILE_BYTES:
        raise DeviceRefused(name, f"{path} has more than {MAX_FILE_BYTES} bytes", _JSON)
    return raw


def _named(name: str, path: Path, raw: bytes, kind: str) -> list[str]:
    """The devices of this kind that a file has."""
    try:
        heading = msgspec.json.decode(raw, type=_CdiHeading)
    except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
        raise DeviceRefused(name, f"{path} is no CDI file: {problem}", "Repair or remove it") from None
    return [device.name for device in heading.devices] if heading.kind == kind else []


def _understood(name: str, path: Path, raw: bytes, of: str) -> tuple[Path, str, tuple[_CdiEdits, ...]]:
    try:
        file = msgspec.json.decode(raw, type=_CdiFile)
        (device,) = [one for one in file.devices if one["name"] == of]
        edits = (file.container_edits, msgspec.convert(device, _CdiDevice).container_edits)
    except (msgspec.MsgspecError, KeyError, ValueError) as problem:
        raise DeviceRefused(name, f"{path} says what is not understood here: {problem}", _JSON) from None
    if any(one.hooks for one in edits):
        why = f"{path} has hooks, programs that the engine would run as root for a stranger's container"
        raise DeviceRefused(name, why, "Make the file anew without them: nvidia-ctk cdi generate --disable-hooks (docs/gpus.md)")
    nodes = [node for one in edits for node in one.device_nodes]
    mounts = [mount for one in edits for mount in one.mounts]
    variables = [variable.partition("=")[0] for one in edits for variable in one.env]
    faults = [*map(_node_fault, nodes), *map(_mount_fault, mounts)]
    faults += [f"it sets {variable}" for variable in variables if variable.startswith("LC_")]
    if not nodes:
        faults.append("it has no node in /dev")
    if fault := next(filter(None, faults), ""):
        raise DeviceRefused(name, f"{path}: {fault}", _JSON)
    return path, file.cdi_version, edits


def _node_fault(node: _CdiNode) -> str:
    if not _is_plain(node.path) or not node.path.startswith("/dev/") or node.path.split("/")[2] in _OWN_NODES:
        return f"{node.path!r} is no place for a device"
    try:
        there = os.stat(node.host_path or node.path)
    except OSError as problem:
        return f"there is no {node.host_path or node.path} on this machine ({problem.strerror}): is the driver loaded?"
    if node.type not in ("", "c") or not stat.S_ISCHR(there.st_mode):
        return f"{node.host_path or node.path} is no character device"
    return ""


def _mount_fault(mount: _CdiMount) -> str:
    place = mount.container_path
    if not _is_plain(place) or place == "/" or f"/{place.split('/')[1]}" in _OWN_PLACES:
        return f"{place!r} is no place for a mount"
    if "ro" not in mount.options or mount.type not in ("", "bind", "none"):
        return f"it mounts {mount.host_path} so that a job could write to it"
    try:
        there = os.stat(mount.host_path)
    except OSError as problem:
        return f"there is no {mount.host_path} on this machine ({problem.strerror})"
    # A socket is a way to a service of this machine, read-only or not, and a folder may hold some.
    return "" if stat.S_ISREG(there.st_mode) else f"it mounts {mount.host_path}, which is no single file"


def _is_plain(path: str) -> bool:
    return path.startswith("/") and posixpath.normpath(path) == path and not path.startswith("//")
