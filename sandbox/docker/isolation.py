"""What a container may do: the one description of the isolation, used for jobs and for our own sidecar alike.

Everything is said to the engine on creation; nothing of what the image declares about itself is used but its environment. What the
engine then reports of the container is compared with what was asked (`differences`), before anything in it runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib import resources
from typing import Any

from learningchain.sandbox.docker import reaper_program
from learningchain.sandbox.images import SIDECAR_PROGRAM
from learningchain.sandbox.phases import CONTRACT_VERSION
from learningchain.sandbox.spec import MIB, RunSpec

NODE_LABEL = reaper_program.NODE_LABEL
RUN_LABEL = "learningchain.run"
DATA_LABEL = "learningchain.data"
OWN_LABEL = "learningchain.own"
"""Of a volume with data that the node's owner keeps there."""

OUT_INODES = 64
_SHM_MB = 64
SHM_INODES = 1024
MEMLOCK = 65536
"""Bytes that a job may lock in memory."""
CORE = 1
"""Bytes of a core dump. Where the host pipes dumps to a program of its own, the kernel starts that program as root, outside of
every limit, for each crash, whatever the limit is, also at 0. At 1 alone it does not (core(5), do_coredump). A file needs more."""
SIDECAR_MEMORY = 64 * MIB
_LOCKED = "nosuid,nodev,noexec"

_MASKED_BY_ENGINES = (
    *("acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats"),
)
"""What engines mask where nothing is said; saying anything replaces it."""
_MASKED_OF_HOST = (
    # Which machine and which start of it this is, and its command line.
    *("cmdline", "stat", "uptime", "version", "sys/kernel/random/boot_id"),
    # What else goes on on it: counters that another container can move are a way to talk to it.
    *("buddyinfo", "diskstats", "loadavg", "locks", "pressure", "schedstat", "softirqs", "swaps", "vmstat", "zoneinfo"),
    *(f"sys/fs/{name}" for name in ("aio-nr", "dentry-state", "file-nr", "inode-nr", "inode-state", "quota")),
    # What it is built of: disks, devices, drivers.
    *(
        "bus",
        "devices",
        "driver",
        "dynamic_debug",
        "fs",
        "iomem",
        "ioports",
        "irq",
        "key-users",
        "mdstat",
        "modules",
        "partitions",
        "tty",
    ),
)
# Each mask is a mount of its own, which a run waits for: what only root can read, or what `uname` tells too, needs none.
_MASKED_IN_SYS = (
    *("block", "bus", "class", "dev", "firmware", "hypervisor", "kernel", "module"),
    *(f"devices/{name}" for name in ("LNXSYSTM:00", "pci0000:00", "platform", "virtual")),
    *(f"fs/{name}" for name in ("bcache", "btrfs", "ext4", "f2fs", "xfs")),
)
MASKED_PATHS = tuple(
    sorted((*(f"/proc/{name}" for name in (*_MASKED_BY_ENGINES, *_MASKED_OF_HOST)), *(f"/sys/{name}" for name in _MASKED_IN_SYS)))
)
"""Files that read as empty in a container, and folders that are empty. A machine need not have all of them. What programs need to
compute stays: processors, memory, limits of the kernel (docs/sandbox.md has the list)."""
READONLY_PATHS = ("/proc/sys",)
_SHOWN_WITH_DEVICES = ("/proc/devices", "/proc/driver")
"""What the libraries of a GPU's driver read to find its nodes: numbers and settings of drivers."""


GVISOR_PIDS = 256
"""Threads of gVisor's own kernel, which engines count as the container's."""
_GVISOR_FOLD = 4
"""gVisor's platform ptrace needs processes of the host for each of the job's; so many are plenty."""


def is_gvisor(runtime: str) -> bool:
    """Engines tell runtimes by name alone: gVisor's must begin with runsc, as its program is called."""
    return runtime.startswith("runsc")


def pids_limit(runtime: str, pids: int) -> int:
    """What the engine is asked for, so that a job may have `pids` processes and threads."""
    return GVISOR_PIDS + _GVISOR_FOLD * pids if is_gvisor(runtime) else pids


def seccomp_profile() -> str:
    """Our allow-list of system calls, as the text that the engine takes."""
    text = resources.files("learningchain.sandbox.docker").joinpath("seccomp.json").read_text("utf-8")
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


def plain_volume(name: str, target: str, *, read_only: bool = False, no_copy: bool = True) -> dict[str, Any]:
    """A volume that is there already. `no_copy`: it takes over nothing of what the image has in that place."""
    options: dict[str, Any] = {"NoCopy": no_copy}
    return {"Type": "volume", "Source": name, "Target": target, "ReadOnly": read_only, "VolumeOptions": options}


def view_options(folders: Sequence[str]) -> dict[str, str]:
    """Folders of the engine's own as one tree that nobody can write to: an overlay without an upper layer. Raises ValueError where
    a folder's name would read as something else, or there are fewer than two.

    The flags are the volume's own, so a job has it mounted as it is: an engine that mounts a volume read-only for one container
    mounts it once more, and without the other flags.
    """
    if len(folders) < 2 or any(set(folder) & set(":,\\\"' \n") or not folder.startswith("/") for folder in folders):
        raise ValueError(f"the engine keeps its volumes where no overlay can be made of them: {list(folders)}")
    return {"type": "overlay", "device": "overlay", "o": f"ro,{_LOCKED},lowerdir={':'.join(folders)}"}


def in_options(size: int, uid: int) -> str:
    """The sidecar writes as the run's user; the job has it mounted read-only."""
    return f"size={size},nr_inodes=16,uid={uid},gid={uid},mode=0755,{_LOCKED}"


def out_options(size: int, uid: int) -> str:
    return f"size={size},nr_inodes={OUT_INODES},uid={uid},gid={uid},mode=0700,{_LOCKED}"


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
        "PidsLimit": pids_limit(runtime, pids),
        "NanoCpus": int(cpus * 10**9),
        "IpcMode": "private",
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no"},
        "MaskedPaths": list(MASKED_PATHS),
        "ReadonlyPaths": list(READONLY_PATHS),
    }


def device_variables(env: Sequence[str]) -> list[str]:
    """Names of an image's environment that a run with devices does without, though one without them has them: what the dynamic
    linker would obey in whatever starts with the container, and what says which devices a program sees."""
    names = _names(list(env))
    return sorted(name for name in names if name.startswith("LD_") or name == "CUDA_VISIBLE_DEVICES")


def job_config(
    spec: RunSpec, *, runtime: str, uid: int, labels: dict[str, str], mounts: list[Any], without: Sequence[str] = ()
) -> dict[str, Any]:
    """The engine's description of a job's container. `without`: variables of the image that it does not get."""
    limits = spec.limits
    host = locked_host_config(runtime, limits.mem_mb * MIB, limits.pids, limits.cpus)
    if limits.processors:
        host["CpusetCpus"] = f"0-{limits.processors - 1}" if limits.processors > 1 else "0"
    host |= {
        "Init": True,
        # When the machine itself runs out of memory, the job goes first; its sidecar holds next to none and stays.
        "OomScoreAdj": 1000,
        "Mounts": mounts,
        "Tmpfs": {
            "/tmp": f"{_LOCKED},size={limits.tmp_mb}m,nr_inodes={limits.tmp_inodes},mode=1777",
            # No terminals: all containers share 4,096, and the kernel's memory behind them does not count as the job's.
            "/dev/pts": f"{_LOCKED},size=4k,nr_inodes=2,mode=0555",
            "/dev/shm": f"{_LOCKED},size={min(_SHM_MB, limits.tmp_mb)}m,nr_inodes={SHM_INODES},mode=1777",
        },
        "Ulimits": [
            {"Name": "core", "Soft": CORE, "Hard": CORE},
            {"Name": "fsize", "Soft": limits.file_cap, "Hard": limits.file_cap},
            {"Name": "nofile", "Soft": limits.nofile, "Hard": limits.nofile},
            {"Name": "msgqueue", "Soft": 0, "Hard": 0},
            {"Name": "memlock", "Soft": MEMLOCK, "Hard": MEMLOCK},
        ],
    }
    if spec.devices:
        host["DeviceRequests"] = [{"Driver": "cdi", "DeviceIDs": list(spec.devices)}]
        host["MaskedPaths"] = [path for path in MASKED_PATHS if path not in _SHOWN_WITH_DEVICES]
    # Only a job with late inputs has a standard input, which closes with the node's connection: nobody else can hand it a line.
    streams = {"OpenStdin": True, "StdinOnce": True, "AttachStdin": True} if spec.row.waits else {}
    return streams | {
        "Image": spec.image_id,
        "Entrypoint": ["/lc/job"],
        "Cmd": [spec.phase],
        "User": f"{uid}:{uid}",
        "WorkingDir": "/tmp",
        "Hostname": "job",
        # A name without a value takes the image's variable away.
        "Env": [*_environment(spec), *without],
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
        f"LC_VERSION={CONTRACT_VERSION}",
        f"LC_PHASE={spec.phase}",
        *([] if spec.seed is None else [f"LC_SEED={spec.seed}"]),
        f"OMP_NUM_THREADS={threads}",
        f"OPENBLAS_NUM_THREADS={threads}",
        f"MKL_NUM_THREADS={threads}",
        "HOME=/tmp",
        "TMPDIR=/tmp",
    ]


def sidecar_config(
    image_id: str, *, runtime: str, uid: int, memory: int, labels: dict[str, str], mounts: list[Any]
) -> dict[str, Any]:
    """Our own container that keeps a run's volumes mounted from before its start until its outputs are collected.

    It is the run's user, since outputs need be readable for nobody else; a process namespace of its own keeps the two apart.
    `memory` is for the inputs, which count as the sidecar's own. Standard input closes with the node's connection, and with it
    the program ends.
    """
    host = locked_host_config(runtime, SIDECAR_MEMORY + memory, 64, 1.0)
    host["Mounts"] = mounts
    return {
        "Image": image_id,
        "Entrypoint": list(SIDECAR_PROGRAM),
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


# --- what the engine made of it ---------------------------------------------------------------------------------------------------

_NOTHING: tuple[object, ...] = (None, "", False, 0, [], {})
FORBIDDEN_SETTINGS = (
    *("Privileged", "Binds", "VolumesFrom", "VolumeDriver", "CapAdd", "Devices", "DeviceCgroupRules", "DeviceRequests", "GroupAdd"),
    *("PidMode", "UTSMode", "UsernsMode", "Links", "ExtraHosts", "PortBindings", "PublishAllPorts", "Sysctls", "StorageOpt"),
    *(
        "CgroupParent",
        "CpusetCpus",
        "OomKillDisable",
        "AutoRemove",
        "ContainerIDFile",
        "Annotations",
        "Cgroup",
        "CpuRealtimePeriod",
    ),
    *("CpuRealtimeRuntime", "Dns", "DnsOptions", "DnsSearch"),
)
"""Settings of a host configuration that no job's run asks for; what stands there unasked was put in by somebody else."""
_ADDED = {"RestartPolicy": {"MaximumRetryCount": 0}}
"""What engines add to a setting of ours."""
_OURS_AMONG_OTHERS = ("Env", "Labels")


def differences(asked: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """Where a container is not what was asked for: one short text each. `facts` as the engine inspects it, before its start.

    An engine, a plug-in or a daemon's configuration that adds a mount, drops a limit or changes a security option is found here,
    once per container; that the kernel keeps what the engine promised is the self-test's part.
    """
    host, config = facts.get("HostConfig") or {}, facts.get("Config") or {}
    wanted = asked["HostConfig"]
    found = [_told(f"HostConfig.{key}", host.get(key)) for key, value in wanted.items() if not _same(key, value, host.get(key))]
    found += [
        _told(f"HostConfig.{key}", host[key]) for key in FORBIDDEN_SETTINGS if key not in wanted and host.get(key) not in _NOTHING
    ]
    plain = [key for key in asked if key not in ("HostConfig", *_OURS_AMONG_OTHERS)]
    found += [_told(f"Config.{key}", config.get(key)) for key in plain if not _same(key, asked[key], config.get(key))]
    if config.get("Volumes"):
        found.append(_told("Config.Volumes", config["Volumes"]))
    if not set(asked["Labels"].items()) <= set((config.get("Labels") or {}).items()):
        found.append(_told("Config.Labels", config.get("Labels")))
    if [item for item in config.get("Env") or [] if item.partition("=")[0] in _names(asked["Env"])] != asked["Env"]:
        found.append("Config.Env has other values for our variables")
    mounts = sorted(_mount(mount) for mount in facts.get("Mounts") or [] if not _in_memory(mount, wanted.get("Tmpfs", {})))
    if mounts != sorted((mount["Source"], mount["Target"], not mount["ReadOnly"]) for mount in wanted["Mounts"]):
        found.append(_told("Mounts", mounts))
    if facts.get("AppArmorProfile") == "unconfined":
        found.append("AppArmorProfile is unconfined")
    if facts.get("ExecIDs"):
        found.append("somebody entered it")
    return found


def _told(name: str, value: object) -> str:
    return f"{name} is {json.dumps(value)[:80]}"


def _same(key: str, asked: Any, reported: Any) -> bool:
    """Equal, where engines leave out what is empty or false, and add a few fields of their own."""
    if asked in _NOTHING and reported in _NOTHING:
        return True
    if isinstance(asked, dict) and isinstance(reported, dict):
        reported = {name: value for name, value in reported.items() if _ADDED.get(key, {}).get(name, object()) != value}
        return all(_same("", asked.get(name), reported.get(name)) for name in {*asked, *reported})
    if isinstance(asked, list) and isinstance(reported, list):
        return len(asked) == len(reported) and all(_same("", one, other) for one, other in zip(asked, reported, strict=True))
    return bool(asked == reported)


def _names(env: list[str]) -> set[str]:
    return {item.partition("=")[0] for item in env}


def _mount(mount: dict[str, Any]) -> tuple[str, str, bool]:
    """Name, place and whether it can be written, of a volume; a source that no volume of ours has, of everything else."""
    name = mount.get("Name") if mount.get("Type") == "volume" and mount.get("Driver") == "local" else f"a {mount.get('Type')} mount"
    return str(name), str(mount.get("Destination")), bool(mount.get("RW"))


def _in_memory(mount: dict[str, Any], tmpfs: dict[str, str]) -> bool:
    """One of the file systems in memory that were asked for by path: some engines list them among the mounts."""
    return mount.get("Type") == "tmpfs" and mount.get("Destination") in tmpfs
