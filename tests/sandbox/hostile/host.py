"""What of the host a hostile case could have changed, as one comparable value: files, settings, processes, and all that the
engine holds.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.docker.isolation import NODE_LABEL, RUN_LABEL

WATCHED = ("/etc", "/root", "/root/.ssh", "/boot", "/usr/local/bin", "/usr/local/sbin", "/var/spool", "/dev")
"""Folders of the host outside the engine's store: every entry's kind, size, owner, mode and time of change."""
_CHANGING = ("/dev/pts", "/dev/shm", "/dev/loop", "/dev/char", "/dev/block", "/dev/disk", "/dev/bsg")
_SHALLOW = frozenset({"/root"})
"""Only what lies directly in it."""
SETTINGS = (
    *("kernel/core_pattern", "kernel/modprobe", "kernel/hostname", "kernel/domainname", "kernel/sysrq", "kernel/panic"),
    *("vm/overcommit_memory", "vm/swappiness", "fs/suid_dumpable", "fs/file-max", "kernel/pid_max", "kernel/kptr_restrict"),
)
KERNEL_LISTS = ("/proc/modules", "/proc/swaps", "/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg")
_SPARE = "sidecar running"
SLACK = 192 << 20
"""Bytes by which the disk may fill up beside a case: on an engine that others use, they write too."""
CLOCK_SLACK_S = 2.0


class HostState(msgspec.Struct, frozen=True):
    """Equal before and after a case. Each field is a list of lines, so that a difference shows which."""

    files: dict[str, str]
    settings: dict[str, str]
    containers: list[str]
    volumes: list[str]
    images: list[str]
    networks: list[str]


class Host:
    """Looks at this machine and at one engine. `own` is the sandbox's node tag: objects of other nodes are theirs."""

    def __init__(self, engine: Engine, own: str, canary: Path, data: Path | None) -> None:
        """`data`: where the engine keeps what it holds, if nobody else uses that engine."""
        self._engine = engine
        self._own = own
        self._canary = canary
        self._data = data
        self._clock = time.time() - time.monotonic()
        self._known: set[str] = set()

    def state(self) -> HostState:
        return HostState(
            _files((*WATCHED, str(self._canary))) | {str(self._canary): hashlib.sha256(self._canary.read_bytes()).hexdigest()},
            _settings(),
            self._containers(),
            self._volumes(),
            self._images(),
            sorted(str(facts["Name"]) for facts in self._engine.call("networks", lambda api: api.networks())),
        )

    def _theirs(self, labels: dict[str, str] | None) -> bool:
        return (labels or {}).get(NODE_LABEL, self._own) != self._own

    def _containers(self) -> list[str]:
        """Without the one sidecar that may wait for the next run."""
        found = self._engine.call("containers", lambda api: api.containers(all=True))
        self._known |= {facts["Id"] for facts in found if not self._theirs(facts["Labels"])}
        lines = sorted(f"{facts['Labels'].get(RUN_LABEL)} {facts['State']}" for facts in found if not self._theirs(facts["Labels"]))
        return _without(lines, _SPARE, 1)

    def _volumes(self) -> list[str]:
        found = self._engine.call("volumes", lambda api: api.volumes()).get("Volumes") or []
        names = [(facts["Labels"] or {}).get(RUN_LABEL) or facts["Name"] for facts in found if not self._theirs(facts["Labels"])]
        return _without(sorted(names), "sidecar", 2)

    def _images(self) -> list[str]:
        found = self._engine.call("images", lambda api: api.images(all=True))
        lines = []
        for facts in found:
            tags = sorted(tag for tag in facts["RepoTags"] or [] if tag != "<none>:<none>")
            if not tags or any(tag.startswith(f"learningchain/{self._own}:") or "learningchain/" not in tag for tag in tags):
                lines.append(f"{facts['Id']} {facts['Size']} {tags}")
        return sorted(lines)

    def note_containers(self, since: float) -> None:
        """Takes in the ids of all containers that were made since then, however short they lived."""
        bounds = {"since": f"{since:.9f}", "until": f"{time.time():.9f}"}
        made = {"type": "container", "event": "create"}
        events = self._engine.call(
            "events",
            lambda api: list(api.events(**bounds, filters=made, decode=True)),
        )
        self._known |= {event["id"] for event in events if not self._theirs(event["Actor"]["Attributes"])}

    def strays(self) -> list[str]:
        """Processes of containers that are gone: the job's, and the runtime's that stood around it."""
        present = {facts["Id"] for facts in self._engine.call("containers", lambda api: api.containers(all=True))}
        return _processes_of(self._known - present)

    def used_bytes(self) -> int:
        """What the engine's data take of the disk; on an engine that others use, what anybody's take of its file system."""
        if self._data is not None:
            return _taken(self._data)
        root: Any = self._engine.call("info", lambda api: api.info())["DockerRootDir"]
        place = Path(root) if Path(root).is_dir() else Path("/")
        facts = os.statvfs(place)
        return (facts.f_blocks - facts.f_bfree) * facts.f_frsize

    def clock_moved(self) -> bool:
        return abs(time.time() - time.monotonic() - self._clock) > CLOCK_SLACK_S


def _without(lines: list[str], line: str, most: int) -> list[str]:
    """The lines but for up to `most` of one kind."""
    spare = min(lines.count(line), most)
    return [other for other in lines if other != line] + [line] * (lines.count(line) - spare)


def _taken(folder: Path) -> int:
    """Bytes on the disk of all files below, without what is mounted there."""
    total, device = 0, os.lstat(folder).st_dev
    for here, subfolders, names in os.walk(folder):
        kept = []
        for name in (*subfolders, *names):
            try:
                facts = os.lstat(f"{here}/{name}")
            except OSError:
                continue
            if facts.st_dev == device:
                total += facts.st_blocks * 512
                kept.append(name)
        subfolders[:] = [name for name in subfolders if name in kept]
    return total


def _files(places: Iterable[str]) -> dict[str, str]:
    found = {}
    for place in places:
        for folder, subfolders, names in os.walk(place):
            entries = [*subfolders, *names]
            kept = [name for name in subfolders if not f"{folder}/{name}".startswith(_CHANGING)]
            subfolders[:] = [] if folder in _SHALLOW else kept
            for name in entries:
                path = f"{folder}/{name}"
                if path.startswith(_CHANGING):
                    continue
                try:
                    facts = os.lstat(path)
                except FileNotFoundError:
                    continue
                changed = facts.st_mtime_ns if not path.startswith("/dev") else 0  # a terminal's time is its last key
                found[path] = f"{facts.st_mode:o} {facts.st_uid}:{facts.st_gid} {facts.st_size} {facts.st_nlink} {changed}"
    return found


def _settings() -> dict[str, str]:
    found = {name: Path("/proc/sys", name).read_text() for name in SETTINGS if Path("/proc/sys", name).exists()}
    for path in KERNEL_LISTS:
        if os.path.exists(path):
            # Sizes and use counts of modules come and go; names do not.
            found[path] = " ".join(sorted(line.split()[0] for line in Path(path).read_text().splitlines()))
    return found


def _processes_of(containers: set[str]) -> list[str]:
    found = []
    for process in (name for name in os.listdir("/proc") if name.isdigit()):
        try:
            groups = Path("/proc", process, "cgroup").read_text()
            words = Path("/proc", process, "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if any(container in groups or container in words for container in containers):
            found.append(f"{process}: {words[:200]}")
    return found
