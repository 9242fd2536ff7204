"""What the hostile programs share. Runs in the job's container and, for the table of cases, on the host: standard library alone.

A program that tries what must be refused ends in `held()`: exit 9 where every attempt was refused, and a fine result where
one was not, so that the run's outcome alone says which.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OUT = "/lc/out"
MODEL, LOSSES = f"{OUT}/model", f"{OUT}/losses"
GOOD = b"0.25\n0.5\n"

HELD = ("failed", "the job failed (exit 9)")
"""Every attempt was refused."""
FINE = ("ok", "done")
CLOCK = ("timeout", "s of wall clock")
MEMORY = ("out-of-resources", "MiB of memory")
FAILED = ("failed", "the job failed")

Verdict = tuple[str, str]
"""A run's status, and words of its reason."""
KILLED: tuple[Verdict, ...] = (MEMORY, ("failed", "the job failed (exit 137)"))
"""Under gVisor an engine does not always learn that it was memory."""
STOPPED: tuple[Verdict, ...] = (MEMORY, CLOCK, FAILED)
"""What gVisor makes of a bomb depends on which limit is reached first: its own kernel's memory and threads count as the job's."""


@dataclass(frozen=True)
class Program:
    """One hostile program. `limits` are fields of the run's limits; `gvisor` has the verdicts that are right under runsc."""

    name: str
    category: str
    tries: str
    ends: Verdict
    body: Callable[[], None]
    limits: dict[str, Any]
    gvisor: tuple[Verdict, ...]
    sampled: bool
    phase: str
    """`local` has a model and its owner's own data, beside other data of the same owner; `evaluate` has a model, and losses to
    leave; `predict` a model, and a request of one row to a model of three classes."""
    runs: int = 1
    """How often it is run, one after the other: what the first left, the next one looks for."""


PROGRAMS: dict[str, Program] = {}


def case(
    category: str,
    ends: Verdict,
    *,
    gvisor: tuple[Verdict, ...] = (),
    sampled: bool = False,
    phase: str = "train",
    runs: int = 1,
    **limits: Any,
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Declares a program: its name is the function's, what it tries is the docstring. `sampled` runs under gVisor every time."""

    def declare(body: Callable[[], None]) -> Callable[[], None]:
        tries = " ".join((body.__doc__ or "").split())
        name = body.__name__
        PROGRAMS[name] = Program(
            name, category, tries, ends, body, limits, gvisor or (KILLED if ends == MEMORY else (ends,)), sampled, phase, runs
        )
        return body

    return declare


# --- outputs ------------------------------------------------------------------------------------------------------------------


def put(path: str, content: bytes) -> None:
    Path(path).write_bytes(content)


def finish(losses: bytes = GOOD, model: bytes | None = None) -> None:
    """What either phase leaves. A model is as long as the one that was given, where one was."""
    given = "/lc/in/model"
    size = os.stat(given).st_size if os.path.exists(given) else 7
    put(MODEL, b"weights".ljust(size)[:size] if model is None else model)
    put(LOSSES, losses)


def params() -> dict[str, Any]:
    """What the test hands the program: `mode`, and names of things on the host that it must not reach."""
    with open("/lc/in/job.json") as file:
        found: dict[str, Any] = json.load(file)["params"]
    return found


# --- attempts -----------------------------------------------------------------------------------------------------------------

_tried: list[str] = []
_open: list[str] = []


def attempt(what: str, action: Callable[..., Any], *arguments: Any) -> None:
    """`action` must raise OSError. Whatever else it does is a way out, and is told."""
    try:
        answer = action(*arguments)
    except OSError as why:
        _tried.append(f"{what}: {why.strerror or why}")
        return
    breach(f"{what} gave {str(answer)[:80]!r}")


def must(ok: bool, what: str) -> None:
    """Something that the container must not show or allow."""
    if ok:
        _tried.append(what)
    else:
        breach(what)


def breach(what: str) -> None:
    _open.append(what)


def held() -> None:
    """Ends the program: exit 9 where something was tried and all of it was refused."""
    for line in _tried[-20:]:
        print("refused", line)
    for line in _open[:40]:
        print("OPEN", line)
    if _open or not _tried:
        return finish()
    sys.stdout.flush()
    os._exit(9)


def write(path: str, content: bytes = b"1") -> None:
    with open(path, "wb", buffering=0) as file:
        file.write(content)


# --- system calls -------------------------------------------------------------------------------------------------------------

LIBC = ctypes.CDLL(None, use_errno=True)
_REFUSED = (errno.EPERM, errno.ENOSYS, errno.EACCES)
# Numbers of x86_64, then of aarch64; None where a machine has no such call.
CALLS: dict[str, tuple[int, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "capset": (126, 91),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "delete_module": (176, 106),
    "execveat": (322, 281),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "io_setup": (206, 0),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "landlock_create_ruleset": (444, 444),
    "lookup_dcookie": (212, 18),
    "mbind": (237, 235),
    "memfd_secret": (447, 447),
    "migrate_pages": (256, 238),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "seccomp": (317, 277),
    "set_mempolicy": (238, 237),
    "setdomainname": (171, 162),
    "setgid": (106, 144),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "setresuid": (117, 147),
    "setrlimit": (160, 164),
    "settimeofday": (164, 170),
    "setuid": (105, 146),
    "splice": (275, 76),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "tee": (276, 77),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
    "vmsplice": (278, 75),
}
NEW = {
    "CLONE_NEWTIME": 0x80,
    "CLONE_NEWNS": 0x20000,
    "CLONE_NEWCGROUP": 0x02000000,
    "CLONE_NEWUTS": 0x04000000,
    "CLONE_NEWIPC": 0x08000000,
    "CLONE_NEWUSER": 0x10000000,
    "CLONE_NEWPID": 0x20000000,
    "CLONE_NEWNET": 0x40000000,
}


def call(name: str, *arguments: Any) -> tuple[int, int]:
    """A system call by name: what it returned and its error number."""
    number = CALLS[name][0 if os.uname().machine == "x86_64" else 1]
    if number is None:
        return -1, errno.ENOSYS
    ctypes.set_errno(0)
    answer = LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(x) if isinstance(x, int) else x for x in arguments))
    return answer, ctypes.get_errno()


def forbidden(name: str, *arguments: Any) -> None:
    """The call must be refused before it looks at its arguments: EFAULT or EINVAL would mean that it was let through."""
    answer, number = call(name, *(arguments or (0, 0, 0, 0, 0)))
    must(answer == -1 and number in _REFUSED, f"{name}{arguments or ''}: {answer} {errno.errorcode.get(number, number)}")
