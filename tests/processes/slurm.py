"""A real Slurm of the tests' own: munge, a controller and two machines (`slurmd -N`), in one folder and on this host alone.

    async with slurm(folder) as cluster:      # its commands are found through SLURM_CONF, which is set meanwhile
        cluster.say("scontrol", "update", ...)
        await cluster.stop("slurmctld"); cluster.start("slurmctld")

No daemon of the system is started, stopped or asked. Its programs are Debian's packages slurmctld, slurmd, slurm-client and munge.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.processes.harness import _die_with_parent, eventually, free_port
from tests.slow import SLOW

START_S = 60.0
MACHINES = ("n1", "n2")
ADDRESS = "198.18.255.1"
"""Of a range set aside for tests of networks: a machine of Slurm needs an address that is not of the loopback network."""


def lacking() -> str:
    """Why this machine has no Slurm; empty where it has one."""
    for program in ("slurmctld", "slurmd", "munged", "sbatch"):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            return f"there is no {program}: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge"
    return "" if os.geteuid() == 0 else "only root starts Slurm's daemons"


BOUNDED = {"ProctrackType": "proctrack/cgroup", "TaskPlugin": "task/cgroup"}
"""A cluster that keeps jobs to what they asked for, and ends all of a job's processes."""
BOUNDS = "CgroupPlugin=cgroup/v1\nConstrainRAMSpace=yes\nConstrainCores=yes\nConstrainDevices=yes\nAllowedSwapSpace=0\n"


NO_GPUS: Mapping[str, Sequence[Path]] = MappingProxyType({})


class Cluster:
    def __init__(self, folder: Path, bounded: bool = False, gpus: Mapping[str, Sequence[Path]] = NO_GPUS) -> None:
        self.folder, self.settings, self._bounded, self._gpus = folder, folder / "slurm.conf", bounded, gpus
        conf = ("-f", str(self.settings))
        key, gate = folder / "munge.key", folder / "munge.sock"
        own = [f"--{name}-file={folder / f'munge.{name}'}" for name in ("pid", "log", "seed")]
        self._programs = {
            "munged": ("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={gate}", *own),
            "slurmctld": ("slurmctld", "-D", *conf),
            **{name: ("slurmd", "-D", "-N", name, *conf) for name in MACHINES},
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        self.settings.write_text(self._written(gate))

    def _written(self, gate: Path) -> str:
        host, cpus = socket.gethostname(), os.cpu_count() if self._bounded else 4
        machine = f"NodeHostname=localhost NodeAddr={{}} Port={{}} CPUs={cpus} RealMemory=2000"
        tracked = BOUNDED if self._bounded else {"ProctrackType": "proctrack/linuxproc", "TaskPlugin": "task/none"}
        if self._bounded:
            (self.folder / "cgroup.conf").write_text(BOUNDS)
        for name in ("state", *MACHINES):
            (self.folder / name).mkdir()
        given = [
            f"NodeName={MACHINES[0]} Name=gpu Type={kind} File={path}\n" for kind, paths in self._gpus.items() for path in paths
        ]
        (self.folder / "gres.conf").write_text("".join(given))
        gres = (
            {MACHINES[0]: " Gres=" + ",".join(f"gpu:{kind}:{len(paths)}" for kind, paths in self._gpus.items())}
            if self._gpus
            else {}
        )
        lines = [
            "ClusterName=test",
            f"SlurmctldHost={host}({ADDRESS})",
            f"SlurmctldPort={free_port()}",
            f"AuthInfo=socket={gate}",
            "SlurmUser=root",
            f"StateSaveLocation={self.folder / 'state'}",
            f"SlurmdSpoolDir={self.folder}/%n",
            f"SlurmctldPidFile={self.folder / 'slurmctld.pid'}",
            f"SlurmdPidFile={self.folder}/%n.pid",
            *(f"{setting}={value}" for setting, value in tracked.items()),
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_CPU_Memory",
            "MpiDefault=none",
            "SlurmdParameters=config_overrides",
            f"SlurmdTimeout={math.ceil(5 * SLOW)}",  # a machine that is slow is not gone
            "KillWait=10",
            "ReturnToService=2",
            *(["GresTypes=gpu"] if gres else []),
            *(f"NodeName={name} {machine.format(ADDRESS, free_port())}{gres.get(name, '')}" for name in MACHINES),
            f"PartitionName=main Nodes={','.join(MACHINES)} Default=YES MaxTime=600 State=UP",
        ]
        return "\n".join(lines) + "\n"

    def start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(self._programs[name], stdout=log, stderr=log, preexec_fn=_die_with_parent)

    async def stop(self, name: str, *, kill: bool = False) -> None:
        process = self._running.pop(name, None)
        if process is not None:
            process.kill() if kill else process.terminate()
            await asyncio.to_thread(process.wait)

    def say(self, *words: str) -> str:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout.strip()

    def jobs(self) -> list[str]:
        """State and machine of each job, those that have ended too."""
        return self.say("squeue", "--noheader", "--states=all", "--format=%T %N").splitlines()

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")

    async def idle(self, *names: str) -> None:
        async def are() -> bool:
            done = subprocess.run(["sinfo", "-h", "-N", "-o", "%N %T"], capture_output=True, text=True, timeout=60, check=False)
            return all(f"{name} idle" in done.stdout.splitlines() for name in names)

        await eventually(f"{', '.join(names)} wait for jobs", are, START_S)


@contextlib.asynccontextmanager
async def slurm(folder: Path, *, bounded: bool = False, gpus: Mapping[str, Sequence[Path]] = NO_GPUS) -> AsyncIterator[Cluster]:
    """`bounded`: it keeps jobs to what they asked for; `gpus`: character devices by type, all of the first machine."""
    if why := lacking():
        pytest.skip(why)
    folder.mkdir()
    subprocess.run(["ip", "address", "replace", f"{ADDRESS}/32", "dev", "lo"], check=True, capture_output=True)
    cluster = Cluster(folder, bounded, gpus)
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(cluster.settings)
    try:
        cluster.start("munged")
        await eventually("munge answers", lambda: _is_there(folder / "munge.sock"), START_S)
        for name in ("slurmctld", *MACHINES):
            cluster.start(name)
        await cluster.idle(*MACHINES)
        yield cluster
    finally:
        for name in (*MACHINES, "slurmctld", "munged"):
            await cluster.stop(name)
        os.environ.pop("SLURM_CONF") if before is None else os.environ.update(SLURM_CONF=before)
        subprocess.run(["ip", "address", "del", f"{ADDRESS}/32", "dev", "lo"], check=False, capture_output=True)


async def _is_there(path: Path) -> bool:
    return path.exists()
