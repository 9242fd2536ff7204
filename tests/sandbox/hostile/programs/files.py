"""The host's files, devices and settings."""

from __future__ import annotations

import ctypes
import glob
import os
import stat
import struct

from .kit import HELD, LIBC, attempt, call, case, forbidden, held, must, params, write

OWN_DEVICES = frozenset(
    {"core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"}
)
ROOTS = ("", "/proc/1/root", "/proc/self/root", "/proc/thread-self/root", "/proc/1/cwd", "/proc/self/cwd", "/lc/in", "/lc/out")


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(64)


@case("host files", HELD, sampled=True)
def canary() -> None:
    """a file of the host, by its path, through other processes' roots and by any number of `..`"""
    path = params()["canary"]
    for root in ROOTS:
        attempt(root + path, read, root + path)
        attempt(f"{root}/../../../../../../..{path}", read, f"{root}/../../../../../../..{path}")
        attempt(f"write {root}{path}", write, root + path)
    held()


@case("host files", HELD)
def host_places() -> None:
    """secrets and logs of the host by their usual paths; the root is the image's own"""
    try:
        must(os.listdir("/proc/1/root/lc") == os.listdir("/lc"), "the first process has the same root")
    except PermissionError:
        must(True, "the first process's root is closed")
    for path in ("/etc/shadow", "/root/.ssh/id_rsa", "/var/lib/docker", "/var/log/syslog", "/host", "/mnt/root", "/boot/vmlinuz"):
        attempt(path, os.stat, path)
    held()


@case("host files", HELD, sampled=True)
def leaked_descriptors() -> None:
    """descriptors that the runtime forgot to close, and a working folder outside"""
    must(os.getcwd() == "/tmp", f"cwd {os.getcwd()}")
    for number in sorted(int(name) for name in os.listdir("/proc/self/fd")):
        if number <= 2:
            continue
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue  # the listing's own
        must(False, f"descriptor {number} is {target}")
    for number in range(3, 64):
        attempt(f"folder {number}", os.listdir, f"/proc/self/fd/{number}/../../../../..")
    held()


@case("host files", HELD)
def file_handles() -> None:
    """a file of the host by its handle, which knows no root (open_by_handle_at)"""
    handle = ctypes.create_string_buffer(struct.pack("IiQ", 8, 1, 2), 64)
    mount = ctypes.c_int()
    forbidden("name_to_handle_at", -100, b"/etc/passwd", handle, ctypes.byref(mount), 0)
    for inode in range(2, 10):
        handle.raw = struct.pack("IiQ", 8, 1, inode).ljust(64, b"\0")
        forbidden("open_by_handle_at", os.open("/", os.O_RDONLY), handle, 0)
    held()


@case("host files", HELD, sampled=True)
def mounts() -> None:
    """mounting, by the old calls and the new: proc, cgroups, disks, a writable root"""
    for source, target, kind, flags in (
        (b"proc", b"/tmp", b"proc", 0),
        (b"tmpfs", b"/tmp", b"tmpfs", 0),
        (b"/dev/vda", b"/tmp", b"ext4", 0),
        (b"cgroup", b"/tmp", b"cgroup", 0),
        (b"", b"/", b"", 0x1020),
        (b"/", b"/tmp", b"", 0x1000),
    ):
        forbidden("mount", source, target, kind, flags, 0)
    for name in ("umount2", "fsopen", "fsmount", "open_tree", "move_mount", "mount_setattr", "pivot_root", "chroot"):
        forbidden(name, b"/tmp", b"/tmp")
    held()


@case("host files", HELD)
def device_nodes() -> None:
    """making the machine's disk, memory and consoles appear as files"""
    for major, minor in ((254, 0), (8, 0), (259, 0), (7, 0)):
        attempt(f"block {major}:{minor}", os.mknod, f"/tmp/b{major}", stat.S_IFBLK | 0o666, os.makedev(major, minor))
    for major, minor in ((1, 1), (1, 2), (1, 11), (5, 1), (10, 232), (10, 229), (4, 0)):
        attempt(f"character {major}:{minor}", os.mknod, f"/tmp/c{major}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
    held()


@case("host files", HELD, sampled=True)
def devices() -> None:
    """what lies in /dev beside the harmless ones, and reading disks, memory, logs and hypervisors"""
    for name in (
        *sorted(set(os.listdir("/dev")) - OWN_DEVICES),
        "mem",
        "kmem",
        "port",
        "kmsg",
        "vda",
        "sda",
        "nvme0n1",
        "kvm",
        "fuse",
        "vhost-vsock",
        "net/tun",
        "loop-control",
    ):
        attempt(name, read, f"/dev/{name}")
    attempt("terminal", os.open, "/dev/tty", os.O_RDWR)
    held()


@case("host files", HELD, sampled=True)
def kernel_settings() -> None:
    """the settings by which a container takes its host: core_pattern, modprobe, uevent_helper, binfmt_misc, sysrq"""
    for path in (
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/hotplug",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/sysrq",
        "/proc/sys/kernel/panic",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/vm/drop_caches",
        "/proc/sys/fs/suid_dumpable",
        "/proc/sys/fs/binfmt_misc/register",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
        "/proc/1/attr/current",
        "/sys/kernel/uevent_helper",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/power/state",
        "/sys/module/kernel/parameters/panic",
        "/sys/kernel/security/lockdown",
    ):
        attempt(path, write, path, b"0")
    held()


@case("host files", HELD)
def kernel_memory() -> None:
    """the kernel's memory, symbols, keys and timers"""
    for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats", "/proc/kmsg"):
        if os.path.exists(path):
            try:
                found = read(path)
            except OSError:
                found = b""
            must(found == b"", f"{path} gives {found!r}")
    for folder in ("/proc/acpi", "/proc/scsi", "/sys/firmware", "/sys/kernel/debug", "/sys/kernel/tracing", "/sys/fs/bpf"):
        found_names = os.listdir(folder) if os.path.isdir(folder) else []
        must(found_names == [], f"{folder} has {found_names}")
    addresses = set()
    if os.path.exists("/proc/kallsyms"):
        with open("/proc/kallsyms") as file:
            addresses = {line.split()[0] for line in file}
    must(all(not address.strip("0") for address in addresses), "/proc/kallsyms shows addresses")
    held()


@case("host files", HELD, sampled=True)
def control_groups() -> None:
    """lifting its own limits, and a release agent that the host would run"""
    found = [path for path in glob.glob("/sys/fs/cgroup/**", recursive=True) if os.path.isfile(path)]
    for path in found[:400]:
        attempt(path, write, path, b"max")
    for place in glob.glob("/sys/fs/cgroup/*") or ["/sys/fs/cgroup"]:
        attempt(f"{place}/release_agent", write, f"{place}/release_agent", b"/tmp/x")
        attempt(f"{place}/escape", os.mkdir, f"{place}/escape")
    held()


@case("host files", HELD)
def read_only_root() -> None:
    """writing anywhere in the image, and changing modes, owners and times there"""
    for path in ("/x", "/etc/passwd", "/lc/job", "/lc/in/job.json", "/lc/in/x", "/usr/x", "/dev/x", "/proc/x", "/sys/x", "/run/x"):
        attempt(path, write, path)
    attempt("chmod", os.chmod, "/lc/job", 0o777)
    attempt("chown", os.chown, "/lc/in/job.json", 0, 0)
    attempt("utime", os.utime, "/etc/passwd")
    attempt("unlink", os.unlink, "/lc/job")
    attempt("rename", os.rename, "/lc/out", "/lc/elsewhere")
    held()


def execute_in(*places: str) -> None:
    for place in places:
        path = f"{place}/program"
        write(path, b"#!/usr/local/bin/python3\n")
        os.chmod(path, 0o777)
        attempt(path, os.execv, path, [path])
        attempt(f"{path} by a link", os.execv, f"/proc/self/cwd/..{path}", [path])
        os.unlink(path)
    held()


@case("host files", HELD, sampled=True)
def execute_scratch() -> None:
    """running what it wrote itself to its scratch"""
    execute_in("/tmp", "/dev/shm")


@case("host files", HELD, gvisor=(("bad-result", "model is missing"),))
def execute_outputs() -> None:
    """running what it wrote itself to its outputs"""
    execute_in("/lc/out")


@case("host files", HELD)
def set_user_id() -> None:
    """becoming somebody else: set-user-id files, the calls for it, capabilities"""
    write("/tmp/suid", b"#!/usr/local/bin/python3\n")
    os.chmod("/tmp/suid", 0o6777)
    attempt("suid", os.execv, "/tmp/suid", ["/tmp/suid"])
    for action in (os.setuid, os.setgid, os.seteuid, os.setegid):
        attempt(action.__name__, action, 0)
    attempt("setgroups", os.setgroups, [0])
    attempt("chown", os.chown, "/tmp/suid", 0, 0)
    header, wanted = struct.pack("Ii", 0x20080522, 0), b"\xff" * 24
    answer, _ = call("capset", header, wanted)
    must(answer == -1, "capset")
    must(LIBC.prctl(47, 2, 21, 0, 0) == -1, "an ambient capability")
    held()


@case("host files", HELD)
def host_identity() -> None:
    """the machine's name, address and serial numbers"""
    must(os.uname().nodename == "job", f"the host is called {os.uname().nodename}")
    for path in ("/sys/class/dmi/id/product_uuid", "/sys/class/dmi/id/board_serial", "/etc/machine-id", "/var/lib/dbus/machine-id"):
        attempt(path, read, path)
    held()
