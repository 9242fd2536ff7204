#!/usr/local/bin/python3
"""Runs inside a container as /lc/job of the self-test's image: tries to break every limit and reports what gave way.

Uses nothing but the standard library, and nothing of this package. The host reads the report as the run's model.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
WRITABLE = ("/tmp", "/lc/out", "/dev/shm")
# System calls that must fail whatever their arguments, by name: their numbers on x86_64 and on aarch64 (0: it has none).
_CALLS = """
ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, kcmp 312 272, process_madvise 440 440,
pidfd_getfd 438 438, perf_event_open 298 241, bpf 321 280, unshare 272 97, setns 308 268, clone3 435 435, pivot_root 155 41,
chroot 161 51, mount 165 40, umount2 166 39, mount_setattr 442 442, move_mount 429 429, open_tree 428 428, fsopen 430 430,
fsconfig 431 431, fsmount 432 432, fspick 433 433, quotactl 179 60, open_by_handle_at 304 265, name_to_handle_at 303 264,
mknodat 259 33, fanotify_init 300 262, keyctl 250 219, add_key 248 217, request_key 249 218, userfaultfd 323 282,
io_setup 206 0, io_uring_setup 425 425, io_uring_enter 426 426, io_uring_register 427 427, syncfs 306 267,
memfd_create 319 279, memfd_secret 447 447, execveat 322 281, seccomp 317 277, kexec_load 246 104, init_module 175 105,
finit_module 313 273, delete_module 176 106, settimeofday 164 170, clock_settime 227 112, adjtimex 159 171,
clock_adjtime 305 266, sethostname 170 161, setdomainname 171 162, syslog 103 116, acct 163 89, swapon 167 224,
swapoff 168 225, reboot 169 142, mbind 237 235, set_mempolicy 238 237, migrate_pages 256 238, move_pages 279 239,
vmsplice 278 75, splice 275 76, tee 276 77, landlock_create_ruleset 444 444, modify_ldt 154 0, iopl 172 0, ioperm 173 0,
lookup_dcookie 212 18
"""
FORBIDDEN = {name: (int(x86), int(arm)) for name, x86, arm in (call.split() for call in _CALLS.split(","))}
# A user namespace would give its maker every capability within; the others need one, so each is tried with it and alone.
NEW_NAMESPACES = {"user": 0x10000000, "mount": 0x20000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x8000000, "uts": 0x4000000}
NEW_NAMESPACES |= {"cgroup": 0x2000000}
LINUX32 = 0x0008
GVISOR = "#1 SMP Sun Jan 10 15:06:54 PST 2016"
"""What gVisor says of itself, on every machine."""
FAMILIES = {"AF_VSOCK": 40, "AF_ALG": 38, "AF_PACKET": 17, "AF_NETLINK": 16, "AF_INET": 2, "AF_INET6": 10}

USER_LIMITS = {"core": resource.RLIMIT_CORE, "nofile": resource.RLIMIT_NOFILE, "memlock": resource.RLIMIT_MEMLOCK, "msgqueue": 12}

Finding = tuple[bool, str]


def check_network(_: dict[str, Any]) -> Finding:
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


def check_sockets(_: dict[str, Any]) -> Finding:
    opened = []
    for name, family in FAMILIES.items():
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try:
                socket.socket(family, kind).close()
            except OSError:
                continue
            opened.append(name)
    return not opened, f"opened {sorted(set(opened))}"


def call(number: int, *arguments: int) -> tuple[int, int]:
    """A system call: its answer, and the error where that is -1."""
    ctypes.set_errno(0)
    answer = LIBC.syscall(ctypes.c_long(number), *(ctypes.c_ulong(value) for value in arguments))
    return answer, ctypes.get_errno()


def check_system_calls(_: dict[str, Any]) -> Finding:
    passed, column = [], ("x86_64", "aarch64").index(os.uname().machine)
    for name, numbers in FORBIDDEN.items():
        # Arguments that succeed, or fail for their own sake (EFAULT, EINVAL), where no filter stands before them.
        arguments = {"unshare": (0x10000000,), "keyctl": (0, (1 << 64) - 3, 1), "setns": ((1 << 64) - 1,)}.get(name, (0, 0, 0))
        answer, error = call(numbers[column], *arguments, 0, 0) if numbers[column] else (-1, errno.ENOSYS)
        if answer != -1 or error not in (errno.EPERM, errno.ENOSYS, errno.EACCES):
            passed.append(name)
    answer, _error = call({"x86_64": 135, "aarch64": 92}[os.uname().machine], LINUX32)
    if answer != -1:
        passed.append("personality")
    return not passed, f"not refused: {passed}"


def check_namespaces(_: dict[str, Any]) -> Finding:
    """No process is born into a namespace of its own."""
    number, passed = {"x86_64": 56, "aarch64": 220}[os.uname().machine], []
    for name, flag in NEW_NAMESPACES.items():
        for flags in (flag, flag | NEW_NAMESPACES["user"]):
            child, _error = call(number, flags | signal.SIGCHLD, 0, 0, 0, 0)
            if child == 0:
                os._exit(0)
            if child > 0:
                os.waitpid(child, 0)
                passed.append(name)
    return not passed, f"made: {sorted(set(passed))}"


def check_host(want: dict[str, Any]) -> Finding:
    """What tells of the host reads as nothing. gVisor is a kernel of its own, and shows its own files whatever is masked."""
    kernel = os.uname()
    if "gvisor" in kernel.release or kernel.version == GVISOR:
        return True, "the runtime's own kernel shows its own files"
    told = []
    for path in want["masked"]:
        try:
            if os.path.isdir(path):
                found = bool(os.listdir(path))
            else:
                with open(path, "rb", buffering=0) as file:
                    os.set_blocking(file.fileno(), False)
                    found = bool(file.read(1))
        except OSError:
            continue
        if found:
            told.append(path)
    return not told, f"{len(want['masked'])} places; readable: {told}"


def check_mounts(want: dict[str, Any]) -> Finding:
    """The places that can be written lie in memory, and nothing in them can be executed.

    gVisor shows a volume of the engine's as what it reaches it by, and keeps no options but its own.
    """
    wrong, seen = [], set()
    with open("/proc/self/mounts") as file:
        for line in file:
            _device, place, kind, options = line.split()[:4]
            if place in WRITABLE:
                seen.add(place)
                if want["gvisor"]:
                    wrong += [] if kind in ("tmpfs", "9p") else [f"{place} {kind}"]
                elif kind != "tmpfs" or not {"nosuid", "nodev", "noexec"} <= set(options.split(",")):
                    wrong.append(f"{place} {kind} {options}")
    return not wrong and seen == set(WRITABLE), f"without their options: {wrong}; mounted: {sorted(seen)}"


def check_first_to_go(want: dict[str, Any]) -> Finding:
    """Where the machine itself runs out of memory, the job is the first to be killed. gVisor has a value of its own."""
    with open("/proc/self/oom_score_adj") as file:
        value = int(file.read())
    return value == 1000 or want["gvisor"], f"oom_score_adj is {value}"


def check_root_read_only(want: dict[str, Any]) -> Finding:
    # gVisor does not say of a file system that it is read-only.
    told = () if want["gvisor"] else ("/", "/lc/in")
    writable = [path for path in told if not os.statvfs(path).f_flag & os.ST_RDONLY]
    for path in ("/x", "/lc/x", "/etc/x", "/usr/x", "/lc/in/x", "/lc/in/job.json", "/dev/x", "/proc/sys/kernel/core_pattern"):
        try:
            with open(path, "ab"):
                writable.append(path)
        except OSError:
            pass
    return not writable, f"writable: {writable}"


def check_other_mounts(_: dict[str, Any]) -> Finding:
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


DATA = "/lc/in/data"


def data_mount(want: dict[str, Any]) -> Finding:
    """The inputs are one mount that is read-only and keeps its flags. gVisor tells no flags but its own."""
    with open("/proc/self/mounts") as file:
        found = [line.split()[2:4] for line in file if line.split()[1] == "/lc/in"]
    good = len(found) == 1 and {"ro", "nosuid", "nodev", "noexec"} <= set(found[0][1].split(","))
    return good or want["gvisor"], f"mounted as {found}"


def data_read_only(_: dict[str, Any]) -> Finding:
    """Nothing that comes from the disk, and nothing beside it, can be changed, removed or added."""
    done = []
    attempts: tuple[tuple[str, Callable[[], object]], ...] = (
        ("write", lambda: open(f"{DATA}/program", "ab").close()),
        ("create", lambda: open(f"{DATA}/x", "wb").close()),
        ("create beside it", lambda: open("/lc/in/x", "wb").close()),
        ("remove", lambda: os.unlink(f"{DATA}/program")),
        ("rename", lambda: os.rename(f"{DATA}/program", f"{DATA}/x")),
        ("mode", lambda: os.chmod(f"{DATA}/program", 0o777)),
        ("folder", lambda: os.mkdir(f"{DATA}/x")),
    )
    for what, action in attempts:
        try:
            action()
        except OSError:
            continue
        done.append(what)
    with open(f"{DATA}/program", "rb") as file:
        whole = file.read(2) == b"#!"
    return whole and not done, f"possible: {done}; readable: {whole}"


def data_no_programs(want: dict[str, Any]) -> Finding:
    """No file from the disk is run or mapped as code. gVisor does not keep the flag for that."""
    done = []
    child = os.fork()
    if child == 0:
        try:
            os.execv(f"{DATA}/program", ["program"])
        except OSError:
            os._exit(9)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 9:
        done.append("run")
    file = os.open(f"{DATA}/program", os.O_RDONLY)
    try:
        mmap.mmap(file, 1, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
        done.append("map")
    except OSError:
        pass
    mode = os.fstat(file).st_mode
    os.close(file)
    if mode & 0o7111:
        done.append(f"mode {mode:o}")
    return not done or (want["gvisor"] and done == ["map"]), f"possible: {done}"


def data_alone(want: dict[str, Any]) -> Finding:
    """No other data than the run's own, by whatever name or path it can think of."""
    seen = [place for place in (*volume_folders(), "/var/lib/docker/volumes", "/lc/data") if canary_below(place, want["canary"])]
    extra = sorted(set(os.listdir("/lc/in")) - {"job.json", "model", "data"}) + sorted(set(os.listdir(DATA)) - {"program"})
    return not seen and not extra, f"others' data below {seen}; not its own: {extra}"


def volume_folders() -> list[str]:
    """Folders of the engine's that a mount of this container names, and those around them."""
    found = set()
    with open("/proc/self/mountinfo") as file:
        for line in file:
            for word in line.replace(",", " ").replace("=", " ").replace(":/", " /").split():
                if word.startswith("/") and "volumes" in word:
                    found |= {word, os.path.dirname(word), os.path.dirname(os.path.dirname(word))}
    return sorted(found)


def canary_below(place: str, canary: str) -> bool:
    for folder, _folders, names in os.walk(place):
        for name in names:
            try:
                with open(os.path.join(folder, name), "rb") as file:
                    if canary.encode() in file.read(4096):
                        return True
            except OSError:
                continue
    return False


MARK = "lc-left-by-another-run"


def data_nothing_kept(_: dict[str, Any]) -> Finding:
    """Nothing of another run on the same data is there; and this one leaves what it can for the next."""
    places = (*WRITABLE, DATA, "/lc/in", "/", "/dev", "/var/tmp", "/run")
    found = [place for place in places if os.path.exists(f"{place}/{MARK}")]
    left = []
    for place in places:
        try:
            with open(f"{place}/{MARK}", "xb") as file:
                file.write(b"1")
        except OSError:
            continue
        left.append(place)
    return not found and set(left) == set(WRITABLE), f"found in {found}; left in {left}"


def check_no_data(_: dict[str, Any]) -> Finding:
    """Of data there is nothing in a phase that has none: no folder, and no mount that comes from them."""
    with open("/proc/self/mountinfo") as file:
        named = [line.split()[4] for line in file if "lc-data-" in line]
    names = sorted(set(os.listdir("/lc/in")) - {"job.json", "model"})
    return not named and not names, f"mounts {named}; beside its own inputs: {names}"


NODES = ("null", "zero", "full", "random", "urandom", "tty", "console", "ptmx")
"""Devices that every container has."""
GVISOR_NODES = ("fuse", "net/tun", "pts/ptmx")


def nodes() -> dict[str, int]:
    """The devices below /dev by their paths: their kinds and numbers."""
    found = {}
    for folder, _folders, names in os.walk("/dev"):
        for name in names:
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                found[path] = mode
    return found


def check_no_devices(want: dict[str, Any]) -> Finding:
    """Nothing but what every container has, whatever the image's environment asks for. gVisor's are of its own kernel."""
    known = {f"/dev/{name}" for name in (*NODES, *(GVISOR_NODES if want["gvisor"] else ()))}
    extra = sorted(set(nodes()) - known)
    return not extra, f"others than every container's: {extra}"


def check_environment(want: dict[str, Any]) -> Finding:
    """Of the image's environment a run has what no linker, init or runtime obeys, and that whole."""
    there, lost = [name for name in want["unset"] if name in os.environ], [name for name in want["set"] if name not in os.environ]
    return not there and not lost, f"set: {there}; lost: {lost}"


def device_nodes(want: dict[str, Any]) -> Finding:
    """The devices that were asked for, which this user can open, and no other."""
    seen, closed = set(nodes()) - {f"/dev/{name}" for name in NODES}, []
    for path in want["nodes"]:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
        except OSError as problem:
            closed.append(f"{path} ({problem.strerror})")
    return seen == set(want["nodes"]) and not closed, f"there: {sorted(seen)}; cannot be opened: {closed}"


def device_mounts(want: dict[str, Any]) -> Finding:
    """What came with the device cannot be written to."""
    writable = []
    for place in want["mounted"]:
        try:
            os.close(os.open(place, os.O_WRONLY))
        except OSError:
            continue
        writable.append(place)
    lost = [place for place in want["mounted"] if not os.path.exists(place)]
    return not writable and not lost, f"writable: {writable}; not there: {lost}"


def device_environment(want: dict[str, Any]) -> Finding:
    """Nothing of the image's environment that a driver's libraries or their loader obey."""
    there = [name for name in (*want["unset"], *want["set"]) if name in os.environ and name not in want["variables"]]
    return not there, f"set: {there}"


def status_field(name: str) -> str:
    with open("/proc/self/status") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith(name + ":")), "")


def check_capabilities(_: dict[str, Any]) -> Finding:
    held = {name: status_field(name) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    return all(not value.strip("0") for value in held.values()), f"{held}"


def check_no_new_privileges(_: dict[str, Any]) -> Finding:
    value = LIBC.prctl(39, 0, 0, 0, 0)
    return value == 1, f"PR_GET_NO_NEW_PRIVS says {value}"


def check_uid(_: dict[str, Any]) -> Finding:
    ids = {*os.getresuid(), *os.getresgid()}
    groups = set(os.getgroups())
    became_root = True
    try:
        os.setuid(0)
    except OSError:
        became_root = False
    return 0 not in ids | groups and len(ids) == 1 and not became_root, f"ids {sorted(ids)}, groups {sorted(groups)}"


def check_user_limits(want: dict[str, Any]) -> Finding:
    found = {name: resource.getrlimit(number) for name, number in USER_LIMITS.items()}
    asked = {name: (int(want[name]), int(want[name])) for name in USER_LIMITS}
    return found == asked, f"{found}; asked for: {asked}"


def check_file_size(want: dict[str, Any]) -> Finding:
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


def check_space(want: dict[str, Any]) -> Finding:
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


def check_inodes(want: dict[str, Any]) -> Finding:
    found = {}
    places = {"/lc/out": want["out_inodes"]}
    if not want["gvisor"]:  # it counts none in its own memory, whose limit is the bound
        places |= {"/tmp": want["tmp_inodes"], "/dev/shm": want["shm_inodes"]}
    for place, cap in places.items():
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


def check_pids(want: dict[str, Any]) -> Finding:
    if want["gvisor"]:
        return True, "tried apart, since it ends the container"
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


PAUSE_S = 0.02
"""Seconds: longer than a scheduler keeps a program waiting for others, shorter than a limit's period for the next one."""


def check_cpu(want: dict[str, Any]) -> Finding:
    """Some burners for a while: what they used of the processors must stay near the limit."""
    start, seconds = time.monotonic(), 0.6
    children = []
    for _ in range(want["burners"]):
        child = os.fork()
        if child == 0:
            # From its own start: a limit that is kept delays the later forks too, and who starts late stands still for less.
            os._exit(int(100 * burn(time.monotonic() + seconds) / seconds))
        children.append(child)
    used, stood = 0.0, []
    for child in children:
        _, status, usage = os.wait4(child, 0)
        used += usage.ru_utime + usage.ru_stime
        stood.append(os.waitstatus_to_exitcode(status))
    allowed = want["millicpus"] / 1000
    if want["gvisor"]:
        # It counts the time in which the machine lets it stand still as used; so that is what is measured.
        return min(stood) >= 30, f"stood still for {min(stood)} % of the time; the limit is {allowed} processors"
    share = used / (time.monotonic() - start)
    # One scheduling period's worth of slack: a share is kept on average.
    return share <= allowed + 0.3, f"used {share:.2f} processors; the limit is {allowed}"


def burn(until: float) -> float:
    """Computes until then; for how many seconds it was not let."""
    last, stood = time.monotonic(), 0.0
    while last < until:
        now = time.monotonic()
        if now - last > PAUSE_S:
            stood += min(now, until) - last
        last = now
    return stood


def hog_memory() -> None:
    """Ends by itself at 512 MiB: where no limit holds, the machine's memory is not to be used up."""
    held = [bytearray(b"x") * (8 << 20) for _ in range(64)]
    sys.exit(64 if held else 65)


def fork_on() -> None:
    """Ends by itself at 400 children, for the same reason."""
    for _ in range(400):
        if os.fork() == 0:
            signal.pause()
            os._exit(0)
    os._exit(64)


def never_end() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        signal.pause()


def flood() -> None:
    line = b"x" * 4095 + b"\n"
    while True:
        os.write(1, line)


def apart(check: Callable[[dict[str, Any]], Finding], want: dict[str, Any]) -> Finding:
    """A check in a process of its own: where it ends that, the others still report."""
    out, in_ = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            found = check(want)
        except Exception as problem:
            found = False, f"the check broke: {type(problem).__name__}: {problem}"
        os.write(in_, json.dumps(found).encode()[:4096])
        os._exit(0)
    os.close(in_)
    with open(out, "rb") as file:
        said = file.read()
    os.waitpid(child, 0)
    try:
        ok, detail = json.loads(said)
    except ValueError:
        ok, detail = False, "the check ended its process"
    return bool(ok), str(detail)


def main() -> int:
    with open("/lc/in/job.json") as file:
        params = json.load(file)["params"]
    if params["mode"] == "absent":
        return 9 if check_no_data(params["want"])[0] else 1
    special = {"memory": hog_memory, "clock": never_end, "log": flood, "processes": fork_on}.get(params["mode"])
    if special is not None:
        special()
    prefix = {"data": "data_", "device": "device_"}.get(params["mode"], "check_")
    checks = {name.removeprefix("check_"): check for name, check in globals().items() if name.startswith(prefix)}
    report = {name: apart(check, params["want"]) for name, check in checks.items()}
    size = os.stat("/lc/in/model").st_size if params["mode"] == "data" else 0
    with open("/lc/out/model", "w") as out:
        out.write(json.dumps(report).ljust(size))
    with open("/lc/out/losses", "w") as out:
        out.write("0\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
