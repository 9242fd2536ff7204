"""Whether a program can tell a worker's own evaluation from a committee's: by nothing that a run's caller can choose.

What does differ between any two runs, whoever starts them (clock, load, user, numbers of inodes and mounts), says docs/sandbox.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from learningchain.sandbox import ContainerLimits, RunResult, RunSpec, RunStatus, Sandbox
from learningchain.sandbox.images import build_python_image

from .conftest import LIMITS

LOOK = rb"""#!/usr/local/bin/python3
import glob, hashlib, os, resource, socket, sys

def tell(name, fact):
    print(name, hashlib.sha256(repr(fact).encode()).hexdigest()[:12] if len(repr(fact)) > 60 else repr(fact))

def read(path):
    with open(path, "rb") as file:
        return file.read()

me = str(os.getuid())
tell("argv", sys.argv)
tell("env", list(os.environ.items()))
tell("where", (os.getcwd(), socket.gethostname(), os.umask(0), os.getsid(0), os.getppid(), os.isatty(0)))
tell("processors", (sorted(os.sched_getaffinity(0)), os.cpu_count(), os.getpriority(os.PRIO_PROCESS, 0)))
tell("limits", [resource.getrlimit(number) for number in range(16)])
for place in ("/", "/dev", "/lc", "/lc/in", "/lc/out", "/tmp", "/dev/shm"):
    # The runtime makes devices in an order that it draws each time.
    tell("names in " + place, sorted(os.listdir(place)) if place == "/dev" else os.listdir(place))
    facts = os.statvfs(place)
    tell("room in " + place, (facts.f_blocks, facts.f_files, facts.f_flag, facts.f_bsize))
for path in sorted(glob.glob("/lc/in/*")):
    facts = os.stat(path)
    tell(path, (read(path), oct(facts.st_mode), facts.st_nlink, facts.st_size, facts.st_uid == facts.st_gid))
for path in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/proc/self/limits", "/proc/1/cmdline", "/proc/self/cmdline"):
    tell(path, read(path))
mounts = [line.replace(me, "ME").split()[1:4] for line in open("/proc/self/mounts")]
tell("mounts", sorted(mount for mount in mounts if mount[1] != "overlay"))  # the engine makes some in an order that it draws, too
kept = ("Cap", "Seccomp", "NoNewPrivs", "Threads", "Cpus", "Mems", "SigIgn", "SigBlk")
tell("status", [line for line in open("/proc/self/status") if line.startswith(kept)])
for path in glob.glob("/sys/fs/cgroup/**/*", recursive=True):
    if path.rpartition("/")[2] in ("cpu.max", "memory.max", "pids.max", "cpu.cfs_quota_us", "cpu.shares", "cpuset.cpus"):
        tell(path, read(path))
# Every name that the node chose, of the run and of itself, begins so.
ours = b"lcz" + b"q"
for path in [*glob.glob("/proc/self/*"), *glob.glob("/proc/1/*"), *glob.glob("/etc/*"), "/proc/mounts"]:
    try:
        found = read(path) if os.path.isfile(path) and not path.endswith(("mem", "pagemap", "exe")) else b""
    except OSError:
        continue
    if ours in found:
        print("FOUND in", path)
with open("/lc/out/losses", "w") as out:
    out.write("0.5\n")
"""


@pytest.fixture
def image(own: Sandbox, tmp_path: Path) -> str:
    return own.load_archive(*_built(tmp_path))


def _built(folder: Path) -> tuple[Path, str]:
    path = folder / "look.tar"
    return path, build_python_image(path, {"/lc/job": LOOK}, with_packages=())


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Sandbox]:
    """A node of its own: its tag is a word to look for."""
    room = Sandbox(tmp_path / "room", node_tag=f"lczq-{os.getpid()}", disk_from=1 << 20)
    room.check_engine()
    yield room
    assert room.cleanup().problems == ()
    room.close()


def evaluate(room: Sandbox, image: str, run: str, wall_s: float, **inputs: Path) -> RunResult:
    limits = ContainerLimits(**{name: getattr(LIMITS, name) for name in LIMITS.__struct_fields__} | {"wall_s": wall_s})
    spec = RunSpec(run_id=run, image_id=image, phase="evaluate", budget_s=9, threads=2, limits=limits, inputs=inputs)
    outcome = room.run(spec)
    assert outcome.status is RunStatus.OK, outcome
    return outcome


@pytest.mark.parametrize("size", [1000, 2 << 20], ids=["inputs in memory", "inputs on the disk"])
@pytest.mark.parametrize("hidden", [False, True], ids=["public", "hidden"])
def test_nothing_tells_a_workers_evaluation_from_a_committees(
    own: Sandbox, image: str, tmp_path: Path, size: int, hidden: bool
) -> None:
    """The first of a node, one with a sidecar that waited, and those of others: other names, other clocks, another order."""
    for name in ("model", "eval"):
        (tmp_path / name).write_bytes(os.urandom(size))
    inputs = {"model": tmp_path / "model"} | ({"eval": tmp_path / "eval"} if hidden else {})
    seen = []
    for run, wall_s in (("lczq-check-1", 30.0), ("lczq-verify-22-second-round", 52.5), ("lczq-verify-3", 20.0)):
        seen.append(evaluate(own, image, run, wall_s, **dict(reversed(inputs.items()) if run.endswith("3") else inputs)).log_tail)
        own.settle()
    assert "names in /lc/in" in seen[0]
    assert len(seen[0].splitlines()) > 30
    assert "FOUND" not in seen[0], "a name of the node or of the run"
    first = seen[0].splitlines()
    for other in seen[1:]:
        assert [line for line in other.splitlines() if line not in first] == []
