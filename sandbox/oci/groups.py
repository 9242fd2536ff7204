"""Control groups: what keeps a container to its memory, its processors and its number of processes.

An engine without root may make groups only below one that somebody delegated to this user: a systemd unit with Delegate=yes, or,
with control groups of version 1, a folder of each controller that belongs to the user. Where nobody did, the group of the whole
engine bounds all its containers together, as that of a cluster's job does, and the self-test shows whether it binds.

In version 2 a group has limits for groups below it only while no process is in it. So whoever starts an engine first moves what is
in its group, itself too, into one below it (`make_room`); the engine, in a process namespace of its own, could move only itself.

Their folders are opened before the engine hides /sys/fs/cgroup from its runtime, which takes no mixture of both versions.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
WANTED = ("memory", "cpu", "pids")
_PERIOD = 100_000
"""Microseconds over which a share of the processors is kept."""
GIVEN = "SLURM_CPUS_ON_NODE"
"""How many processors of this machine a cluster's job has."""
OWN = "lc-engine"
"""In version 2 the group of the engine itself, and of whoever starts it."""
_TRIES = 20
_GONE_S = 5.0
_UNLIMITED = 1 << 60


class ControlGroups:
    """The groups below which this process may make others. `controllers`: an open folder for each, the same one in version 2."""

    def __init__(self, controllers: dict[str, int], *, unified: bool) -> None:
        self.controllers, self._unified = controllers, unified

    def has(self, controller: str) -> bool:
        return controller in self.controllers

    def make(self, name: str, *, memory: int, cpus: float, pids: int, processors: str = "") -> ControlGroup:
        """A group for one container. Raises OSError."""
        group = ControlGroup(name, self._unified)
        wanted = self._unified_limits(memory, cpus, pids) if self._unified else self._limits(memory, cpus, pids)
        for controller, place in self.controllers.items():
            if place not in group.parents:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=place)
                group.parents.append(place)
            for file, value in wanted[controller]:
                _write(place, f"{name}/{file}", value)
        return group

    def _unified_limits(self, memory: int, cpus: float, pids: int) -> dict[str, list[tuple[str, str]]]:
        return {
            "memory": [("memory.max", str(memory)), ("memory.swap.max?", "0"), ("memory.oom.group?", "0")],
            "cpu": [("cpu.max", f"{max(1000, int(cpus * _PERIOD))} {_PERIOD}")],
            "pids": [("pids.max", str(pids))],
        }

    def _limits(self, memory: int, cpus: float, pids: int) -> dict[str, list[tuple[str, str]]]:
        return {
            "memory": [("memory.limit_in_bytes", str(memory)), ("memory.memsw.limit_in_bytes?", str(memory))],
            "cpu": [("cpu.cfs_period_us", str(_PERIOD)), ("cpu.cfs_quota_us", str(max(1000, int(cpus * _PERIOD))))],
            "pids": [("pids.max", str(pids))],
        }


class ControlGroup:
    """The group of one container, in each controller."""

    def __init__(self, name: str, unified: bool) -> None:
        self._name, self._unified = name, unified
        self.parents: list[int] = []

    def enter(self) -> None:
        """This process, and what it starts, is in it. Raises OSError."""
        for place in self.parents:
            _write(place, f"{self._name}/cgroup.procs", "0")

    def killed_for_memory(self) -> bool:
        """Whether the kernel ended a process in it because its memory was used up."""
        file = "memory.events" if self._unified else "memory.oom_control"
        return any(_read_field(place, f"{self._name}/{file}", "oom_kill") > 0 for place in self.parents)

    def memory(self) -> int | None:
        """Bytes that it holds, without what the kernel would drop first; None where nothing counts them."""
        usage, dropped = ("memory.current", "inactive_file") if self._unified else ("memory.usage_in_bytes", "total_inactive_file")
        for place in self.parents:
            with suppress(OSError, ValueError):
                held = int(_read(place, f"{self._name}/{usage}"))
                return max(0, held - max(0, _read_field(place, f"{self._name}/memory.stat", dropped)))
        return None

    def remove(self) -> None:
        """Its processes are dead, or dying."""
        until = time.monotonic() + _GONE_S
        for place in self.parents:
            while True:
                try:
                    os.rmdir(self._name, dir_fd=place)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    if time.monotonic() > until:
                        break
                    time.sleep(0.01)


def find_groups() -> ControlGroups:
    """Those that were delegated to this user, and none where none were."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    if (place := _unified_place()) is not None:
        return _unified(place)
    found: dict[str, int] = {}
    for _, names, path in lines:
        for controller in names.split(","):
            place = ROOT / controller / path.lstrip("/")
            if controller in WANTED and place != ROOT / controller and _may_make(place):
                found[controller] = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    return ControlGroups(found, unified=False)


def _unified_place() -> Path | None:
    """Where this process may have groups made, in version 2; None where there is no such version."""
    if not (ROOT / "cgroup.controllers").exists():
        return None
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    place = ROOT / next(path for number, _, path in lines if number == "0").lstrip("/")
    return place.parent if place.name == OWN else place


def make_room() -> None:
    """Before an engine is started. Where nothing was delegated to this user nothing changes, and its engine says so."""
    place = _unified_place()
    if place is None or not _may_make(place):
        return
    own = place / OWN
    with suppress(OSError):
        own.mkdir(exist_ok=True)
        for _ in range(_TRIES):  # some start others meanwhile
            pids = (place / "cgroup.procs").read_text().split()
            for pid in pids:
                with suppress(ProcessLookupError):
                    (own / "cgroup.procs").write_text(pid)
            if not pids:
                break
        there = [name for name in (place / "cgroup.controllers").read_text().split() if name in WANTED]
        (place / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in there))


def _unified(place: Path) -> ControlGroups:
    if not _may_make(place):
        return ControlGroups({}, unified=True)
    there = [name for name in (place / "cgroup.subtree_control").read_text().split() if name in WANTED]
    opened = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    return ControlGroups(dict.fromkeys(there, opened), unified=True)


def _may_make(place: Path) -> bool:
    return place != ROOT and os.access(place, os.W_OK | os.X_OK) and os.access(place / "cgroup.procs", os.W_OK)


def memory_bound() -> int:
    """Bytes that the group of this process and those above it leave it at most; 0 where none bounds it."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    unified = (ROOT / "cgroup.controllers").exists()
    bounds = []
    for number, names, path in lines:
        if not (number == "0" if unified else "memory" in names.split(",")):
            continue
        top, file = (ROOT, "memory.max") if unified else (ROOT / "memory", "memory.limit_in_bytes")
        place = top / path.lstrip("/")
        for folder in (place, *place.parents):
            with suppress(OSError, ValueError):
                bounds.append(int((folder / file).read_text()))
            if folder == top:
                break
    return min((bound for bound in bounds if bound < _UNLIMITED), default=0)


def processors_bound() -> bool:
    """Whether this process may run on some of the machine's processors alone, or on all since they were given to it."""
    mine = len(os.sched_getaffinity(0))
    return mine < (os.cpu_count() or 1) or mine <= int(os.environ.get(GIVEN) or 0)


def _write(place: int, file: str, value: str) -> None:
    """A name that ends in "?" is one that a kernel may lack."""
    try:
        opened = os.open(file.rstrip("?"), os.O_WRONLY, dir_fd=place)
    except FileNotFoundError:
        if file.endswith("?"):
            return
        raise
    try:
        os.write(opened, value.encode())
    finally:
        os.close(opened)


def _read(place: int, file: str) -> str:
    opened = os.open(file, os.O_RDONLY, dir_fd=place)
    try:
        return os.read(opened, 1 << 16).decode("ascii", "replace")
    finally:
        os.close(opened)


def _read_field(place: int, file: str, name: str) -> int:
    with suppress(OSError, ValueError):
        words = dict(line.split(" ", 1) for line in _read(place, file).splitlines() if " " in line)
        return int(words[name])
    return -1
