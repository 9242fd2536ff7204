"""Control groups of version 2: a kernel that has no others, started as a program over this machine's files (User Mode Linux).

The files are read-only there, and what is written is in its own memory. One processor, no network, no Docker.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .oci_room import NOBODY, PROGRAM

pytestmark = [
    pytest.mark.skipif(shutil.which("linux.uml") is None, reason="there is no linux.uml: apt-get install user-mode-linux"),
    pytest.mark.skipif(shutil.which("crun") is None, reason="there is no crun: apt-get install crun"),
    pytest.mark.full("it boots a kernel, and tries every limit twice on one slow processor"),
]

BOOT_S = 500.0
PLACE = "/mnt/program"
INIT = """#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs -o mode=1777,size=8g room /mnt
mkdir {place} && mount --bind {program} {place} && cd {place}
{python} -c 'import ctypes, glob, os
for path in glob.glob("/usr/lib/uml/modules/*/kernel/fs/overlayfs/overlay.ko"):
    ctypes.CDLL(None).syscall(313, os.open(path, os.O_RDONLY), b"", 0)'
ip link set lo up
cd /sys/fs/cgroup
echo "+memory +cpu +pids" > cgroup.subtree_control
mkdir delegated job nothing
chown {nobody}:{nobody} delegated delegated/cgroup.procs delegated/cgroup.subtree_control delegated/cgroup.threads
echo $((800 << 20)) > job/memory.max
cd {place}
for name in delegated job nothing; do
    echo $$ > /sys/fs/cgroup/$name/cgroup.procs
    mkdir -m 777 /mnt/$name
    [ $name = delegated ] || export SLURM_CPUS_ON_NODE=1
    HOME=/mnt TMPDIR=/mnt XDG_RUNTIME_DIR=/mnt setpriv --reuid {nobody} --regid {nobody} --clear-groups \\
        {python} -c "$(cat {tries})" $name
    echo $$ > /sys/fs/cgroup/cgroup.procs
done
echo o > /proc/sysrq-trigger
sleep 60
"""
TRIES = """
import json, sys, time
from pathlib import Path
from learningchain.sandbox import BackendSettings, SandboxUnavailable
from learningchain.sandbox.oci.service import OciSandbox
name, told = sys.argv[1], {}
sandbox = OciSandbox(BackendSettings(data=Path("/mnt", name, "data"), node_tag="v2", cache_dir=Path("/mnt/cache")))
try:
    info, began = sandbox.check_engine(), time.monotonic()
    report = sandbox.self_test()
    told = {"checks": len(report.checks), "failures": [f"{one.name}: {one.detail}" for one in report.failures]}
    told |= {"mem_mb": info.mem_mb, "whole": info.whole_processors, "took_s": round(time.monotonic() - began)}
except SandboxUnavailable as why:
    told = {"refused": str(why)}
finally:
    sandbox.close()
groups = sorted(path.name for path in Path("/sys/fs/cgroup", name).iterdir() if path.is_dir())
print(json.dumps(told | {"name": name, "groups": groups}), flush=True)
"""
"""What one user does in its group."""


def test_every_limit_holds_in_groups_of_version_2(tmp_path: Path) -> None:
    """In a group that was delegated to the user, as systemd does; in one of somebody else's that bounds it, as a cluster's job is;
    and where nothing binds the engine says so."""
    python = sys.executable.replace(str(PROGRAM), PLACE, 1)
    (tmp_path / "tries").write_text(TRIES)
    words = {"place": PLACE, "program": PROGRAM, "python": python, "nobody": NOBODY, "tries": tmp_path / "tries"}
    (tmp_path / "init").write_text(INIT.format(**words))
    (tmp_path / "init").chmod(0o755)
    kernel = ["linux.uml", "mem=1500M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", f"init={tmp_path}/init"]
    own = ["con0=null,fd:1", "con=null", "quiet", f"umid=lc-{os.getpid()}", f"uml_dir={tmp_path}/uml"]
    done = subprocess.run(
        [*kernel, *own],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=BOOT_S,
        env={"TMPDIR": "/dev/shm", "PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        check=False,
    )
    said = done.stdout.decode("utf-8", "replace")
    told: dict[str, Any] = {one["name"]: one for line in said.splitlines() if line.startswith("{") for one in (json.loads(line),)}
    assert told.keys() == {"delegated", "job", "nothing"}, said[-3_000:]
    print({name: one.get("took_s") for name, one in told.items()})
    for name, whole, groups in (("delegated", False, ["lc-engine"]), ("job", True, [])):
        assert told[name]["failures"] == [] and told[name]["checks"] > 25, told[name]
        assert (told[name]["whole"], told[name]["groups"]) == (whole, groups), "every container's own group is gone"
    assert told["job"]["mem_mb"] == 800 < told["delegated"]["mem_mb"]
    assert "cannot limit memory" in told["nothing"]["refused"] and "Delegate=yes" in told["nothing"]["refused"]
