"""System calls that widen the way into the kernel, or give power over it or over others."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import signal
import socket

from .kit import FINE, HELD, LIBC, NEW, attempt, call, case, forbidden, held, must, write


@case("kernel", HELD, sampled=True)
def unshare() -> None:
    """a namespace of its own, each kind and all at once"""
    for flag in (*NEW.values(), sum(NEW.values())):
        forbidden("unshare", flag)
    held()


@case("kernel", HELD, sampled=True)
def clone_flags() -> None:
    """a child in new namespaces, by clone with each flag, and by clone3"""
    for name, flag in NEW.items():
        if name == "CLONE_NEWTIME":
            continue  # among clone's flags this bit is part of the signal's number
        answer, number = call("clone", flag | signal.SIGCHLD, 0, 0, 0, 0)
        if answer == 0:
            os._exit(0)
        must(answer == -1 and number in (errno.EPERM, errno.ENOSYS), f"clone({name}): {answer} {number}")
    arguments = (ctypes.c_uint64 * 11)(NEW["CLONE_NEWUSER"], 0, 0, 0, signal.SIGCHLD)
    answer, number = call("clone3", arguments, ctypes.sizeof(arguments))
    if answer == 0:
        os._exit(0)
    must(answer == -1 and number in (errno.EPERM, errno.ENOSYS), f"clone3: {answer} {number}")
    held()


@case("kernel", HELD)
def join_namespaces() -> None:
    """the namespaces of the first process and of the host (setns)"""
    for name in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"):
        for process in ("1", "self"):
            try:
                place = os.open(f"/proc/{process}/ns/{name}", os.O_RDONLY)
            except OSError:
                continue
            forbidden("setns", place, 0)
    forbidden("setns", 0, NEW["CLONE_NEWNS"])
    held()


@case("kernel", HELD, sampled=True)
def io_uring() -> None:
    """io_uring, whose work no filter of system calls sees"""
    space = ctypes.create_string_buffer(120)
    for name in ("io_uring_setup", "io_uring_enter", "io_uring_register"):
        forbidden(name, 8, space, 0, 0, 0)
    forbidden("io_setup", 8, space)
    held()


@case("kernel", HELD)
def bpf() -> None:
    """programs in the kernel: eBPF, classic filters on sockets, filters of system calls"""
    space = ctypes.create_string_buffer(128)
    for command in range(20):
        forbidden("bpf", command, space, 128)
    forbidden("seccomp", 1, 0, space)
    held()


@case("kernel", HELD, sampled=True)
def tracing() -> None:
    """ptrace of children, of the first process and of itself; other processes' memory and descriptors"""
    child = os.fork()
    if child == 0:
        signal.pause()
    space = ctypes.create_string_buffer(64)
    for request, process in ((0, 0), (16, child), (0x4206, child), (16, 1), (0x4206, 1)):
        forbidden("ptrace", request, process, 0, 0)
    for name in ("process_vm_readv", "process_vm_writev"):
        forbidden(name, child, space, 1, space, 1, 0)
    forbidden("pidfd_getfd", 0, 0, 0)
    forbidden("kcmp", 1, child, 0, 0, 0)
    forbidden("process_madvise", 0, space, 1, 4, 0)
    os.kill(child, signal.SIGKILL)
    held()


@case("kernel", HELD)
def keyrings() -> None:
    """the kernel's keyrings, which containers share"""
    forbidden("add_key", b"user", b"x", b"y", 1, -4)
    forbidden("request_key", b"user", b"x", b"y", -4)
    for command in range(32):
        forbidden("keyctl", command, -3, 1, 0, 0)
    held()


@case("kernel", HELD)
def performance_counters() -> None:
    """perf events: hardware, software, tracepoints"""
    for kind in range(6):
        event = ctypes.create_string_buffer(kind.to_bytes(4, "little") + (128).to_bytes(4, "little"), 128)
        forbidden("perf_event_open", event, 0, -1, -1, 0)
    held()


@case("kernel", HELD)
def page_faults() -> None:
    """userfaultfd, and files of memory that even the kernel does not see"""
    for flags in (0, 1, 0x800):
        forbidden("userfaultfd", flags)
    forbidden("memfd_secret", 0)
    attempt("/dev/userfaultfd", os.open, "/dev/userfaultfd", os.O_RDONLY)
    held()


@case("kernel", HELD)
def modules_and_kexec() -> None:
    """kernel modules and another kernel"""
    space = ctypes.create_string_buffer(64)
    forbidden("init_module", space, 64, b"")
    forbidden("finit_module", 0, b"", 0)
    forbidden("delete_module", b"overlay", 0)
    forbidden("kexec_load", 0, 0, space, 0)
    forbidden("kexec_file_load", 0, 0, 0, 0, 0)
    held()


@case("kernel", HELD)
def personality() -> None:
    """personalities that switch protections off"""
    for wanted in (0x0040000, 0x0400000, 0x0100000, 0x0200000, 8):
        forbidden("personality", wanted)
    held()


@case("kernel", HELD)
def clocks() -> None:
    """the machine's clock"""
    time = (ctypes.c_long * 2)(1, 0)
    space = ctypes.create_string_buffer(256)
    forbidden("clock_settime", 0, time)
    forbidden("settimeofday", time, 0)
    space.raw = (0x4000).to_bytes(4, "little").ljust(256, b"\0")
    forbidden("adjtimex", space)
    forbidden("clock_adjtime", 0, space)
    held()


@case("kernel", HELD)
def administration() -> None:
    """reboot, swap, host name, accounting, quotas, the kernel's log, hanging up"""
    forbidden("reboot", 0xFEE1DEAD, 672274793, 0x1234567, 0)
    for name in ("swapon", "swapoff", "sethostname", "setdomainname", "acct", "quotactl", "nfsservctl", "vhangup", "uselib"):
        forbidden(name, b"/tmp/x", 6, 0, 0)
    forbidden("syslog", 3, ctypes.create_string_buffer(64), 64)
    forbidden("lookup_dcookie", 0, 0, 0)
    forbidden("fanotify_init", 0, 0)
    held()


@case("kernel", HELD)
def ports_and_segments() -> None:
    """the processor's ports and segment tables"""
    for name in ("ioperm", "iopl"):
        forbidden(name, 0x70 if name == "ioperm" else 3, 2, 1)
    forbidden("modify_ldt", 1, ctypes.create_string_buffer(16), 16)
    held()


@case("kernel", HELD)
def memory_placement() -> None:
    """moving pages between nodes and processes, and pipes that share pages (splice, vmsplice, tee)"""
    for name in ("mbind", "set_mempolicy", "move_pages", "migrate_pages", "splice", "tee", "vmsplice"):
        forbidden(name)
    held()


def _killed(action: object) -> str:
    """How a child ended that did `action`."""
    child = os.fork()
    if child == 0:
        answer = action()  # type: ignore[operator]
        os._exit(0 if answer >= 0 else 1)
    _, status = os.waitpid(child, 0)
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"


@case("kernel", HELD)
def foreign_calling_conventions() -> None:
    """system calls in the numbering of 32 bits, which another filter would judge"""
    if os.uname().machine == "x86_64":
        ends = _killed(lambda: LIBC.syscall(ctypes.c_long(0x40000000 | 39)))
        must(ends != "exit 0", f"getpid of x32: {ends}")
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20 (getpid of i386); int 0x80; ret
        entry = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
        ends = _killed(entry)
        must(ends != "exit 0", f"getpid of i386: {ends}")
    must(call("iopl", 3)[0] == -1, "iopl")
    held()


@case("kernel", HELD)
def own_limits() -> None:
    """raising its own limits, and lowering the one by which crashes start no program of the host's"""
    must(resource.getrlimit(resource.RLIMIT_CORE) == (1, 1), f"core is {resource.getrlimit(resource.RLIMIT_CORE)}")
    nothing = ctypes.create_string_buffer(16)
    must(LIBC.setrlimit(resource.RLIMIT_CORE, nothing) == -1, "a core limit of 0 by the C library")
    must(call("setrlimit", resource.RLIMIT_CORE, nothing)[0] == -1, "a core limit of 0 by the old call")
    must(call("prlimit64", 0, resource.RLIMIT_CORE, nothing, 0)[0] == -1, "a core limit of 0 by the new call")
    for name in ("NOFILE", "FSIZE", "CORE", "MSGQUEUE", "MEMLOCK"):
        kind = getattr(resource, f"RLIMIT_{name}", 12)
        soft, hard = resource.getrlimit(kind)
        must(hard != resource.RLIM_INFINITY, f"{name} is unlimited")
        attempt_raise = (soft, hard + 1)
        try:
            resource.setrlimit(kind, attempt_raise)
        except (OSError, ValueError):
            continue
        must(False, f"{name} was raised to {resource.getrlimit(kind)}")
    held()


@case("kernel", HELD, gvisor=(FINE,))
def own_priority() -> None:
    """a higher priority, and a better place in the line of those that are killed for memory"""
    attempt("nice", os.setpriority, os.PRIO_PROCESS, 0, -20)
    attempt("real time", os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(50))
    attempt("oom_score_adj", write, "/proc/self/oom_score_adj", b"-1000")
    held()


@case("kernel", HELD, gvisor=(("failed", "the job failed (exit 137)"),))
def signals_to_everybody() -> None:
    """killing whatever it sees: only its own container may feel it"""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for process in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        if process != os.getpid():
            try:
                os.kill(process, signal.SIGKILL)
            except OSError:
                continue
    must(len([name for name in os.listdir("/proc") if name.isdigit()]) <= 4, "more processes than its own are to be seen")
    held()


@case("kernel", HELD)
def message_queues() -> None:
    """queues and shared memory of the host, and queues of its own"""
    for path in ("/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg"):
        if os.path.exists(path):
            with open(path) as file:
                must(len(file.readlines()) == 1, f"{path} has entries")
    answer = LIBC.mq_open(b"/hostile", os.O_CREAT | os.O_RDWR, 0o600, 0) if hasattr(LIBC, "mq_open") else -1
    must(answer == -1, "a message queue")
    held()


@case("kernel", HELD)
def passed_descriptors() -> None:
    """credentials of root over a local socket"""
    left, _ = socket.socketpair(socket.AF_UNIX)
    mine = (os.getpid(), 0, 0)
    packed = b"".join(number.to_bytes(4, "little") for number in mine)
    attempt("root's credentials", left.sendmsg, [b"x"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, packed)])
    packed = b"".join(number.to_bytes(4, "little") for number in (1, os.getuid(), os.getgid()))
    attempt("another process", left.sendmsg, [b"x"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, packed)])
    held()
