#!/usr/local/bin/python3
"""Runs inside a container as /lc/job of the self-test's image: tries to break every limit and reports what gave way.

Uses nothing but the standard library, and nothing of this package. The host reads the report as the run's model.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
WRITABLE = ("/tmp", "/lc/out", "/dev/shm")
# System calls that must fail whatever their arguments, by machine.
FORBIDDEN = {
    "x86_64": {"io_uring_setup": 425, "bpf": 321, "keyctl": 250, "add_key": 248, "unshare": 272, "ptrace": 101},
    "aarch64": {"io_uring_setup": 425, "bpf": 280, "keyctl": 219, "add_key": 217, "unshare": 97, "ptrace": 117},
}
FORBIDDEN["x86_64"] |= {"userfaultfd": 323, "perf_event_open": 298, "mount": 165, "process_vm_readv": 310}
FORBIDDEN["aarch64"] |= {"userfaultfd": 282, "perf_event_open": 241, "mount": 40, "process_vm_readv": 270}
FAMILIES = {"AF_VSOCK": 40, "AF_ALG": 38, "AF_PACKET": 17, "AF_NETLINK": 16, "AF_INET": 2, "AF_INET6": 10}

Finding = tuple[bool, str]


def check_network(_: dict[str, int]) -> Finding:
    with open("/proc/net/dev") as file:
        names = sorted(line.split(":")[0].strip() for line in file if ":" in line)
    reached = []
    for address in (("1.1.1.1", 53), ("169.254.169.254", 80), ("172.17.0.1", 22)):
        try:
            socket.create_connection(address, 0.5).close()
            reached.append(address[0])
        except OSError:
            pass
    return set(names) <= {"lo"} and not reached, f"interfaces {names}, reached {reached}"


def check_sockets(_: dict[str, int]) -> Finding:
    opened = []
    for name, family in FAMILIES.items():
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try:
                socket.socket(family, kind).close()
            except OSError:
                continue
            opened.append(name)
    return not opened, f"opened {sorted(set(opened))}"


def check_system_calls(_: dict[str, int]) -> Finding:
    passed = []
    for name, number in FORBIDDEN[os.uname().machine].items():
        ctypes.set_errno(0)
        # Arguments that succeed, or fail for their own sake (EFAULT, EINVAL), where no filter stands before them.
        arguments = {"unshare": (0x10000000,), "keyctl": (0, -3, 1)}.get(name, (0, 0, 0))
        answer = LIBC.syscall(number, *arguments, 0, 0)
        if answer != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS, errno.EACCES):
            passed.append(name)
    return not passed, f"not refused: {passed}"


def check_root_read_only(_: dict[str, int]) -> Finding:
    writable = [path for path in ("/", "/lc/in") if not os.statvfs(path).f_flag & os.ST_RDONLY]
    for path in ("/x", "/lc/x", "/etc/x", "/usr/x", "/lc/in/x", "/lc/in/job.json", "/dev/x", "/proc/sys/kernel/core_pattern"):
        try:
            with open(path, "ab"):
                writable.append(path)
        except OSError:
            pass
    return not writable, f"writable: {writable}"


def check_other_mounts(_: dict[str, int]) -> Finding:
    """Nothing may be written to but the three places that have a size."""
    writable = []
    with open("/proc/self/mounts") as file:
        places = {line.split()[1] for line in file} - set(WRITABLE)
    for place in sorted(places):
        path = place + "/lc-probe"
        try:
            with open(path, "wb") as file_:
                file_.write(b"x")
        except OSError:
            continue
        writable.append(place)
    return not writable, f"writable: {writable}"


def status_field(name: str) -> str:
    with open("/proc/self/status") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith(name + ":")), "")


def check_capabilities(_: dict[str, int]) -> Finding:
    held = {name: status_field(name) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    return all(not value.strip("0") for value in held.values()), f"{held}"


def check_no_new_privileges(_: dict[str, int]) -> Finding:
    value = LIBC.prctl(39, 0, 0, 0, 0)
    return value == 1, f"PR_GET_NO_NEW_PRIVS says {value}"


def check_uid(_: dict[str, int]) -> Finding:
    ids = {*os.getresuid(), *os.getresgid()}
    groups = set(os.getgroups())
    became_root = True
    try:
        os.setuid(0)
    except OSError:
        became_root = False
    return 0 not in ids | groups and len(ids) == 1 and not became_root, f"ids {sorted(ids)}, groups {sorted(groups)}"


def check_user_limits(want: dict[str, int]) -> Finding:
    core = resource.getrlimit(resource.RLIMIT_CORE)
    nofile = resource.getrlimit(resource.RLIMIT_NOFILE)
    return core == (0, 0) and nofile == (want["nofile"],) * 2, f"core {core}, nofile {nofile}"


def check_file_size(want: dict[str, int]) -> Finding:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    written = fill("/tmp/large", want["file_cap"] + (1 << 20))
    os.unlink("/tmp/large")
    return written <= want["file_cap"], f"a file of {written} bytes; the limit is {want['file_cap']}"


def fill(path: str, most: int) -> int:
    """Writes up to `most` bytes; returns how many went."""
    written, block = 0, bytes(1 << 16)
    with open(path, "wb", buffering=0) as file:
        while written < most:
            try:
                written += file.write(block)
            except OSError:
                break
    return written


def check_space(want: dict[str, int]) -> Finding:
    """Fills each writable place with files below the size limit of one file."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    found = {}
    for place, cap in (("/tmp", want["tmp"]), ("/lc/out", want["out"]), ("/dev/shm", want["shm"])):
        total = 0
        names: list[str] = []
        while total <= cap:
            names.append(f"{place}/fill{len(names)}")
            try:
                wrote = fill(names[-1], want["file_cap"])
            except OSError:
                names.pop()
                break
            total += wrote
            if not wrote:
                break
        for name in names:
            os.unlink(name)
        found[place] = (total, cap)
    return all(total <= cap for total, cap in found.values()), f"bytes written and allowed: {found}"


def check_inodes(want: dict[str, int]) -> Finding:
    found = {}
    for place, cap in (("/tmp", want["tmp_inodes"]), ("/lc/out", want["out_inodes"]), ("/dev/shm", want["shm_inodes"])):
        count = 0
        while count <= cap:
            try:
                os.close(os.open(f"{place}/inode{count}", os.O_CREAT | os.O_WRONLY))
            except OSError:
                break
            count += 1
        for number in range(count):
            os.unlink(f"{place}/inode{number}")
        found[place] = (count, cap)
    return all(count <= cap for count, cap in found.values()), f"files made and allowed: {found}"


def check_pids(want: dict[str, int]) -> Finding:
    children: list[int] = []
    while len(children) <= want["pids"]:
        try:
            child = os.fork()
        except OSError:
            break
        if child == 0:
            signal.pause()
            os._exit(0)
        children.append(child)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return len(children) < want["pids"], f"{len(children)} processes started; the limit is {want['pids']}"


def check_cpu(want: dict[str, int]) -> Finding:
    """Four burners for a while: what they used of the processors must stay near the limit."""
    start, seconds = time.monotonic(), 0.6
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            while time.monotonic() - start < seconds:
                pass
            os._exit(0)
        children.append(child)
    used = 0.0
    for child in children:
        usage = os.wait4(child, 0)[2]
        used += usage.ru_utime + usage.ru_stime
    share = used / (time.monotonic() - start)
    allowed = want["millicpus"] / 1000
    # One scheduling period's worth of slack: a share is kept on average.
    return share <= allowed + 0.3, f"used {share:.2f} processors; the limit is {allowed}"


def hog_memory() -> None:
    held = []
    while True:
        held.append(bytearray(b"x") * (8 << 20))


def never_end() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        signal.pause()


def flood() -> None:
    line = b"x" * 4095 + b"\n"
    while True:
        os.write(1, line)


def main() -> int:
    with open("/lc/in/job.json") as file:
        params = json.load(file)["params"]
    special = {"memory": hog_memory, "clock": never_end, "log": flood}.get(params["mode"])
    if special is not None:
        special()
    checks = {name[6:]: check for name, check in globals().items() if name.startswith("check_")}
    report = {}
    for name, check in checks.items():
        try:
            ok, detail = check(params["want"])
        except Exception as problem:
            ok, detail = False, f"the check broke: {type(problem).__name__}: {problem}"
        report[name] = [ok, detail]
    with open("/lc/out/model", "w") as out:
        json.dump(report, out)
    with open("/lc/out/result.json", "w") as out:
        out.write('{"v":1,"loss":"0","n":1}')
    return 0


if __name__ == "__main__":
    sys.exit(main())
