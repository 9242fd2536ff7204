"""What a node asks of the operating system for its own process: enough files, and no look into its memory.

`guard` comes before the node holds a secret for long: no core file is written, other processes of the same user can neither read
its memory nor trace it nor see the environment that it was started with. root still can; docs/operating.md says how to debug.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

MOST_FILES: Final = 2**20
"""More than this is not asked for, whatever the machine allows."""
SPARE_FILES: Final = 512
"""Files for all but the HTTP API: 128 peers, 256 that have not said hello yet, dials, the database, content, the log."""
_PR_SET_DUMPABLE: Final = 4
_CORE: Final = 1
"""Bytes of a core file: too few for one, and the one limit at which the kernel pipes none to a program either (core(5))."""


def why_no_node(system: str = sys.platform) -> str | None:
    """Why neither a node nor a signer runs on this system (as sys.platform), and what to do; None where they do."""
    if system == "linux":
        return None
    return (
        f"it runs on Linux alone, and this is {system}: what it signed must survive a power cut, and its clock, memory and limits "
        "are looked at as Linux shows them. Run it on a Linux machine, a virtual one will do, and ask it from here by its API"
    )


def raise_file_limit() -> int:
    """As many open files as this process may have; the number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has a lower limit that it does not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_FILES if soft == resource.RLIM_INFINITY else soft


def share_of_files(files: int, wanted: int) -> int:
    """How many connections one of the two listeners (API, half-open peers) may hold so that the rest of the node has files left.

    All that are wanted where the process may open enough files, else a quarter of those that it may open.
    """
    return wanted if files >= SPARE_FILES + wanted else min(wanted, files // 4)


def guard(*secrets: str) -> None:
    """Keep other processes of this user out of this one, and take the environment variables named in `secrets` back."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    core = _CORE if hard == resource.RLIM_INFINITY else min(_CORE, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (core, core))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    for name in secrets:
        value = os.environ.pop(name, None)
        if value is not None:
            _wipe(name)


def _wipe(name: str) -> None:
    """Overwrite a variable in the block that the process was started with: /proc/PID/environ shows it as it is.

    The kernel tells where the block lies: env_start and env_end in /proc/PID/stat, proc(5). Where it does not, nothing is done.
    """
    with suppress(OSError, ValueError, IndexError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = int(fields[47]), int(fields[48])
        if not 0 < start < end:
            return
        prefix = os.fsencode(name) + b"="
        at = start
        for entry in ctypes.string_at(start, end - start).split(b"\0"):
            if entry.startswith(prefix):
                ctypes.memset(at + len(prefix), ord("*"), len(entry) - len(prefix))
            at += len(entry) + 1
