"""What the isolation asks of an engine, beside a written list. A container that is not what was asked for never starts."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import msgspec
import pytest

from learningchain.sandbox.docker import probe_job, selftest
from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.docker.isolation import (
    FORBIDDEN_SETTINGS,
    MASKED_PATHS,
    differences,
    job_config,
    locked_host_config,
    seccomp_profile,
    sidecar_config,
    volume_mount,
)
from learningchain.sandbox.docker.sidecar import create_container
from learningchain.sandbox.errors import EngineError
from learningchain.sandbox.spec import MIB, ContainerLimits, RunSpec

IMAGE = "sha256:" + "a" * 64
LIMITS = ContainerLimits(
    cpus=1.5, mem_mb=256, pids=77, model_cap=MIB, tmp_mb=32, tmp_inodes=500, file_cap=3 * MIB, nofile=99, wall_s=5
)
SPEC = RunSpec(run_id="r", image_id=IMAGE, phase="train", seed=7, budget_s=5, threads=2, limits=LIMITS)
MOUNTS = [
    volume_mount("v-in", "/lc/in", "size=1", {"l": "1"}, read_only=True),
    volume_mount("v-out", "/lc/out", "size=2", {"l": "1"}),
]


def asked() -> dict[str, Any]:
    return job_config(SPEC, runtime="runc", uid=70_000, labels={"l": "1"}, mounts=MOUNTS)


def test_a_jobs_container_is_asked_for_with_exactly_these_limits() -> None:
    """Every line is a fence. Whoever changes one says so here."""
    config = asked()
    host = config.pop("HostConfig")
    security = host.pop("SecurityOpt")
    assert security == ["no-new-privileges:true", f"seccomp={seccomp_profile()}"]
    assert tuple(host.pop("MaskedPaths")) == MASKED_PATHS
    assert config == {
        "Image": IMAGE,
        "Entrypoint": ["/lc/job"],
        "Cmd": ["train"],
        "User": "70000:70000",
        "WorkingDir": "/tmp",
        "Hostname": "job",
        "Env": [
            *("LC_VERSION=2", "LC_PHASE=train", "LC_SEED=7", "OMP_NUM_THREADS=2", "OPENBLAS_NUM_THREADS=2", "MKL_NUM_THREADS=2"),
            *("HOME=/tmp", "TMPDIR=/tmp"),
        ],
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGKILL",
        "NetworkDisabled": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Labels": {"l": "1"},
    }
    assert host == {
        "Runtime": "runc",
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "Memory": 256 * MIB,
        "MemorySwap": 256 * MIB,
        "PidsLimit": 77,
        "NanoCpus": 1_500_000_000,
        "IpcMode": "private",
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no"},
        "ReadonlyPaths": ["/proc/sys"],
        "Init": True,
        "OomScoreAdj": 1000,
        "Mounts": MOUNTS,
        "Tmpfs": {
            "/tmp": "nosuid,nodev,noexec,size=32m,nr_inodes=500,mode=1777",
            "/dev/pts": "nosuid,nodev,noexec,size=4k,nr_inodes=2,mode=0555",
            "/dev/shm": "nosuid,nodev,noexec,size=32m,nr_inodes=1024,mode=1777",
        },
        "Ulimits": [
            {"Name": "core", "Soft": 1, "Hard": 1},
            {"Name": "fsize", "Soft": 3 * MIB, "Hard": 3 * MIB},
            {"Name": "nofile", "Soft": 99, "Hard": 99},
            {"Name": "msgqueue", "Soft": 0, "Hard": 0},
            {"Name": "memlock", "Soft": 65536, "Hard": 65536},
        ],
    }


def test_a_sidecar_is_locked_as_a_job_is() -> None:
    config = sidecar_config(IMAGE, runtime="runc", uid=70_000, memory=5 * MIB, labels={"l": "1"}, mounts=MOUNTS)
    host = config.pop("HostConfig")
    assert host == locked_host_config("runc", 69 * MIB, 64, 1.0) | {"Mounts": MOUNTS}
    assert host["MemorySwap"] == host["Memory"] == 69 * MIB
    assert config == {
        "Image": IMAGE,
        "Entrypoint": ["/usr/local/bin/python3", "-I", "-S", "/lc/sidecar.py"],
        "Cmd": [],
        "User": "70000:70000",
        "WorkingDir": "/",
        "Env": [],
        "NetworkDisabled": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Labels": {"l": "1"},
    }


def test_volumes_lie_in_memory_under_their_options() -> None:
    assert MOUNTS[0] == {
        "Type": "volume",
        "Source": "v-in",
        "Target": "/lc/in",
        "ReadOnly": True,
        "VolumeOptions": {
            "NoCopy": True,
            "Labels": {"l": "1"},
            "DriverConfig": {"Name": "local", "Options": {"type": "tmpfs", "device": "tmpfs", "o": "size=1"}},
        },
    }


def test_what_identifies_the_host_or_moves_with_its_other_jobs_is_masked() -> None:
    proc = ("cmdline", "version", "partitions", "uptime", "diskstats", "loadavg", "pressure", "stat", "vmstat", "locks", "modules")
    other = ("sys/kernel/random/boot_id", "sys/fs/file-nr", "sys/fs/inode-nr", "sys/fs/dentry-state")
    wanted = {f"/proc/{name}" for name in (*proc, *other)}
    # Naming any replaces the engine's own list, so that has to be in ours.
    engines = ("acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi", "interrupts")
    wanted |= {f"/proc/{name}" for name in engines} | {"/sys/firmware", "/sys/class", "/sys/block", "/sys/module", "/sys/kernel"}
    assert wanted <= set(MASKED_PATHS)
    # What numerical libraries read when they start.
    for needed in (
        "/proc/cpuinfo",
        "/proc/meminfo",
        "/proc/self",
        "/sys/devices/system/cpu",
        "/sys/fs/cgroup",
        "/proc/filesystems",
    ):
        assert not any(needed == path or needed.startswith(path + "/") for path in MASKED_PATHS)


# --- system calls -----------------------------------------------------------------------------------------------------------------

NEVER = set(
    re.findall(
        r"\w+",
        """
    _sysctl acct add_key adjtimex afs_syscall bpf break chroot clock_adjtime clock_settime clock_settime64 create_module
    delete_module execveat fanotify_init fanotify_mark finit_module fsconfig fsmount fsopen fspick get_kernel_syms
    get_mempolicy getpmsg init_module io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit io_uring_enter
    io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl landlock_add_rule
    landlock_create_ruleset landlock_restrict_self listmount lookup_dcookie lsm_get_self_attr lsm_list_modules
    lsm_set_self_attr mbind memfd_create memfd_secret migrate_pages mknod mknodat modify_ldt mount mount_setattr move_mount
    move_pages mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd
    name_to_handle_at nfsservctl open_by_handle_at open_tree open_tree_attr perf_event_open pidfd_getfd pivot_root
    process_madvise process_mrelease process_vm_readv process_vm_writev ptrace query_module quotactl quotactl_fd reboot
    remap_file_pages request_key seccomp security set_mempolicy set_mempolicy_home_node setdomainname sethostname setns
    setrlimit settimeofday splice statmount stime swapoff swapon sync syncfs sysfs syslog tee umount umount2 unshare uretprobe
    uselib userfaultfd ustat vhangup vm86 vm86old vmsplice vserver
    """,
    )
)
CLONE_NEW = {"time": 0x80, "mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000}
CLONE_NEW |= {"pid": 0x20000000, "net": 0x40000000}


def rules() -> list[dict[str, Any]]:
    profile = json.loads(seccomp_profile())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert [arch["subArchitectures"] for arch in profile["archMap"]] == [[], []]
    found: list[dict[str, Any]] = profile["syscalls"]
    return found


def test_calls_that_no_job_may_make_are_not_allowed_on_any_condition() -> None:
    allowed = {name for rule in rules() for name in rule["names"] if rule["action"] != "SCMP_ACT_ERRNO"}
    assert allowed & NEVER == set()
    assert allowed & set(probe_job.FORBIDDEN) == set()
    assert {rule["action"] for rule in rules()} == {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"}


def test_calls_that_are_allowed_on_a_condition_have_exactly_this_one() -> None:
    found = [(name, rule["args"]) for rule in rules() if rule.get("args") for name in rule["names"]]
    unix = [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]
    # The lowest byte of the flags is the signal, where no flag of a namespace can stand.
    flags = sum(value for value in CLONE_NEW.values() if value > 0xFF)
    assert found == [
        ("socket", unix),
        ("socketpair", unix),
        ("clone", [{"index": 0, "value": flags, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]),
        ("prlimit64", [{"index": 2, "value": 0, "op": "SCMP_CMP_EQ"}]),
        ("personality", [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]),
        ("personality", [{"index": 0, "value": 0xFFFFFFFF, "op": "SCMP_CMP_EQ"}]),
    ]
    names = [name for rule in rules() if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]]
    assert sorted(names) == sorted([*set(names), "personality"]), "a second rule would lift the condition of the first"


def test_the_self_test_asks_for_every_check_of_its_probe() -> None:
    checks = tuple(name.removeprefix("check_") for name in vars(probe_job) if name.startswith("check_"))
    assert len(checks) > 15
    assert sorted(selftest._EXPECTED) == sorted(checks)
    assert sorted(selftest._EXPECTED_OF_DATA) == sorted(name for name in vars(probe_job) if name.startswith("data_"))
    assert set(selftest._KILLS) == {"memory", "clock", "log"}
    assert set(selftest._GVISOR_KILLS) == {"processes"}


# --- what the engine made of it ---------------------------------------------------------------------------------------------------


def reported(config: dict[str, Any]) -> dict[str, Any]:
    """The container as Docker 20.10 inspects it: what is empty or false is left out or null, and defaults stand beside ours."""
    config = copy.deepcopy(config)
    host = config.pop("HostConfig")
    host["RestartPolicy"]["MaximumRetryCount"] = 0
    for mount in host["Mounts"]:
        if not mount["ReadOnly"]:
            del mount["ReadOnly"]
    mounts = [
        {"Type": "volume", "Name": m["Source"], "Source": f"/v/{m['Source']}", "Destination": m["Target"], "Driver": "local"}
        | {"Mode": "z", "RW": not m.get("ReadOnly", False), "Propagation": ""}
        for m in host["Mounts"]
    ]
    host |= {"Privileged": False, "Binds": None, "CapAdd": None, "Devices": [], "PortBindings": {}, "ShmSize": 67108864}
    config |= {"Volumes": None, "Tty": False, "Domainname": "", "OnBuild": None}
    config["Env"] = [*config["Env"], "PATH=/usr/bin"]
    config["Labels"] = config["Labels"] | {"learningchain.image": "x"}
    return {"Config": config, "HostConfig": host, "Mounts": mounts, "AppArmorProfile": "", "ExecIDs": None}


def test_a_container_as_it_was_asked_for_passes() -> None:
    assert differences(asked(), reported(asked())) == []
    sidecar = sidecar_config(IMAGE, runtime="runc", uid=70_000, memory=5 * MIB, labels={"l": "1"}, mounts=MOUNTS)
    assert differences(sidecar, reported(sidecar)) == []


HOSTILE: dict[str, Any] = {
    "Memory": 0,
    "MemorySwap": -1,
    "NetworkMode": "host",
    "ReadonlyRootfs": False,
    "CapDrop": None,
    "SecurityOpt": ["no-new-privileges:true"],
    "PidsLimit": None,
    "NanoCpus": 0,
    "IpcMode": "host",
    "LogConfig": {"Type": "json-file", "Config": {}},
    "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
    "Runtime": "io.containerd.runc.v2",
    "MaskedPaths": [],
    "ReadonlyPaths": [],
    "Init": False,
    "OomScoreAdj": 0,
    "Tmpfs": {"/tmp": "", "/dev/shm": ""},
    "Ulimits": [],
    "Mounts": [],
}


@pytest.mark.parametrize("key", sorted(asked()["HostConfig"]))
def test_a_limit_that_the_engine_changed_or_dropped_is_told(key: str) -> None:
    changed = reported(asked())
    changed["HostConfig"][key] = HOSTILE[key]
    assert [text for text in differences(asked(), changed) if text.startswith(f"HostConfig.{key} is ")]
    dropped = reported(asked())
    del dropped["HostConfig"][key]
    assert differences(asked(), dropped)


@pytest.mark.parametrize("key", FORBIDDEN_SETTINGS)
def test_a_setting_that_nobody_asked_for_is_told(key: str) -> None:
    changed = reported(asked())
    changed["HostConfig"][key] = ["something"]
    assert differences(asked(), changed) == [f'HostConfig.{key} is ["something"]']


def test_settings_mounts_and_guests_that_nobody_asked_for_are_told() -> None:
    def with_(**more: Any) -> dict[str, Any]:
        facts = reported(asked())
        return facts | {key: (facts[key] | value if isinstance(value, dict) else value) for key, value in more.items()}

    mounts = reported(asked())["Mounts"]
    anonymous = {"Type": "volume", "Name": "b7c1", "Destination": "/data", "Driver": "local", "RW": True}
    bind = {"Type": "bind", "Source": "/", "Destination": "/host", "RW": True}
    wrong: list[dict[str, Any]] = [
        *(with_(Mounts=[*mounts, anonymous]), with_(Mounts=[*mounts, bind]), with_(Mounts=mounts[:1]), with_(Mounts=None)),
        with_(Mounts=[mounts[0] | {"RW": True}, mounts[1]]),
        with_(Mounts=[mounts[0] | {"Name": "another"}, mounts[1]]),
        with_(Mounts=[mounts[0] | {"Driver": "nfs"}, mounts[1]]),
        *(with_(Config={"User": "0:0"}), with_(Config={"Image": "sha256:" + "b" * 64}), with_(Config={"Entrypoint": None})),
        *(with_(Config={"Volumes": {"/data": {}}}), with_(Config={"NetworkDisabled": False}), with_(Config={"Labels": {}})),
        *(with_(Config={"Healthcheck": None}), with_(Config={"Cmd": ["evaluate"]}), with_(Config={"WorkingDir": "/"})),
        with_(Config={"Env": [*asked()["Env"], "LC_SEED=8"]}),
        with_(Config={"Env": asked()["Env"][1:]}),
        *(with_(AppArmorProfile="unconfined"), with_(ExecIDs=["1"]), {}),
    ]
    for facts in wrong:
        assert differences(asked(), facts), facts
    shown = {"Type": "tmpfs", "Destination": "/tmp", "RW": True}
    assert differences(asked(), with_(Mounts=[*mounts, shown])) == []
    assert differences(asked(), with_(Mounts=[*mounts, shown | {"Destination": "/etc"}]))


class Careless:
    """An engine that makes containers without their limit of memory."""

    def __init__(self) -> None:
        self.did: list[str] = []

    def create_container_from_config(self, config: dict[str, Any], name: str) -> None:
        self.did.append(f"create {name}")
        self.facts = reported(config)
        self.facts["HostConfig"]["Memory"] = 0

    def inspect_container(self, name: str) -> dict[str, Any]:
        return self.facts

    def remove_container(self, name: str, **_: object) -> None:
        self.did.append(f"remove {name}")

    def start(self, name: str) -> None:
        self.did.append(f"start {name}")


def test_a_container_that_is_not_what_was_asked_for_is_removed_and_never_started(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Careless()
    engine = Engine("unix:///nowhere.sock")
    monkeypatch.setattr(engine, "api", lambda **_: api)
    with pytest.raises(EngineError, match=r"another container than was asked for, and nothing ran: HostConfig\.Memory is 0"):
        create_container(engine, "n", asked())
    assert api.did == ["create n", "remove n"]


@pytest.mark.parametrize(("runtime", "asked"), [("runc", 10), ("crun", 10), ("runsc", 296), ("runsc-kvm", 296)])
def test_gvisors_own_threads_come_on_top_of_a_jobs(runtime: str, asked: int) -> None:
    """Its kernel runs as the container: with a job's few processes alone it would not start."""
    assert locked_host_config(runtime, MIB, 10, 1.0)["PidsLimit"] == asked


def test_whoever_tries_out_an_image_chooses_its_processors_and_a_real_run_does_not() -> None:
    def on(processors: int) -> str:
        spec = msgspec.structs.replace(SPEC, limits=msgspec.structs.replace(LIMITS, processors=processors))
        config = job_config(spec, runtime="runc", uid=70_000, labels={}, mounts=MOUNTS)
        assert differences(config, reported(config)) == []
        return str(config["HostConfig"].get("CpusetCpus", ""))

    assert [on(number) for number in (0, 1, 2, 3)] == ["", "0", "0-1", "0-2"]
    assert ContainerLimits().processors == 0
