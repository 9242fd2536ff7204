"""What a container may do: the one description of the isolation, used for jobs and for our own keeper alike.

Everything is said to the engine on creation; nothing of what the image declares about itself is used.
"""

from __future__ import annotations

import json
import os
from importlib import resources
from typing import Any

from sandbox.images import KEEPER_PROGRAM
from sandbox.spec import MIB, RunSpec

NODE_LABEL = "learningchain.node"
RUN_LABEL = "learningchain.run"

OUT_INODES = 64
_SHM_MB = 64
SHM_INODES = 1024
KEEPER_MEMORY = 64 * MIB
_LOCKED = "nosuid,nodev,noexec"


def seccomp_profile() -> str:
    """Our allow-list of system calls, as the text that the engine takes."""
    text = resources.files("sandbox").joinpath("seccomp.json").read_text("utf-8")
    return json.dumps(json.loads(text), separators=(",", ":"))


def new_uid(*, rootless: bool) -> int:
    """A user id that nobody on the host has and no other run shares. It doubles as the group id.

    With remapped users only the first 65,536 ids exist.
    """
    number = int.from_bytes(os.urandom(4), "big")
    return 20_000 + number % 40_000 if rootless else (1 << 30) + number % (1 << 29)


def volume_mount(name: str, target: str, options: str, labels: dict[str, str], *, read_only: bool = False) -> dict[str, Any]:
    """A named volume in memory; the engine makes it with the first container that mounts it."""
    return {
        "Type": "volume",
        "Source": name,
        "Target": target,
        "ReadOnly": read_only,
        "VolumeOptions": {
            "NoCopy": True,
            "Labels": labels,
            "DriverConfig": {"Name": "local", "Options": {"type": "tmpfs", "device": "tmpfs", "o": options}},
        },
    }


def in_options(size: int, uid: int) -> str:
    """The keeper writes as the run's user; the job has it mounted read-only."""
    return f"size={size},nr_inodes=16,uid={uid},gid={uid},mode=0755,{_LOCKED}"


def out_bytes(model_cap: int) -> int:
    """Room for a model and its successor beside it, as programs write that replace a file atomically."""
    return 2 * model_cap + MIB


def out_options(model_cap: int, uid: int) -> str:
    return f"size={out_bytes(model_cap)},nr_inodes={OUT_INODES},uid={uid},gid={uid},mode=0700,{_LOCKED}"


def locked_host_config(runtime: str, memory: int, pids: int, cpus: float) -> dict[str, Any]:
    """The part of the isolation that no container goes without."""
    return {
        "Runtime": runtime,
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true", f"seccomp={seccomp_profile()}"],
        "Memory": memory,
        "MemorySwap": memory,
        "PidsLimit": pids,
        "NanoCpus": int(cpus * 10**9),
        "IpcMode": "private",
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no"},
    }


def job_config(spec: RunSpec, *, runtime: str, uid: int, labels: dict[str, str], mounts: list[Any]) -> dict[str, Any]:
    """The engine's description of a job's container."""
    limits = spec.limits
    host = locked_host_config(runtime, limits.mem_mb * MIB, limits.pids, limits.cpus)
    host |= {
        "Init": True,
        # When the machine itself runs out of memory, the job goes first; its keeper holds next to none and stays.
        "OomScoreAdj": 1000,
        "Mounts": mounts,
        "Tmpfs": {
            "/tmp": f"{_LOCKED},size={limits.tmp_mb}m,nr_inodes={limits.tmp_inodes},mode=1777",
            "/dev/shm": f"{_LOCKED},size={min(_SHM_MB, limits.tmp_mb)}m,nr_inodes={SHM_INODES},mode=1777",
        },
        "Ulimits": [
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "fsize", "Soft": limits.file_cap, "Hard": limits.file_cap},
            {"Name": "nofile", "Soft": limits.nofile, "Hard": limits.nofile},
            {"Name": "msgqueue", "Soft": 0, "Hard": 0},
            {"Name": "memlock", "Soft": 65536, "Hard": 65536},
        ],
    }
    return {
        "Image": spec.image_id,
        "Entrypoint": ["/lc/job"],
        "Cmd": [spec.phase],
        "User": f"{uid}:{uid}",
        "WorkingDir": "/tmp",
        "Hostname": "job",
        "Env": _environment(spec),
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGKILL",
        "NetworkDisabled": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Labels": labels,
        "HostConfig": host,
    }


def _environment(spec: RunSpec) -> list[str]:
    threads = spec.threads
    return [
        "LC_VERSION=1",
        f"LC_PHASE={spec.phase}",
        f"LC_SEED={spec.seed}",
        f"OMP_NUM_THREADS={threads}",
        f"OPENBLAS_NUM_THREADS={threads}",
        f"MKL_NUM_THREADS={threads}",
        "HOME=/tmp",
        "TMPDIR=/tmp",
    ]


def keeper_config(
    image_id: str, *, runtime: str, uid: int, memory: int, labels: dict[str, str], mounts: list[Any]
) -> dict[str, Any]:
    """Our own container that keeps a run's volumes mounted from before its start until its outputs are collected.

    It is the run's user, since outputs need be readable for nobody else; a process namespace of its own keeps the two apart.
    `memory` is for the inputs, which count as the keeper's own. Standard input closes with the node's connection, and with it
    the program ends.
    """
    host = locked_host_config(runtime, KEEPER_MEMORY + memory, 64, 1.0)
    host["Mounts"] = mounts
    return {
        "Image": image_id,
        "Entrypoint": list(KEEPER_PROGRAM),
        "Cmd": [],
        "User": f"{uid}:{uid}",
        "WorkingDir": "/",
        "Env": [],
        "NetworkDisabled": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Labels": labels,
        "HostConfig": host,
    }
