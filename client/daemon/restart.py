"""Takes the place of the node that runs in a data folder.

The process that holds the folder is told to leave: it stops, and leaves its trainings to whoever comes back; then this one starts.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Final

LEAVE: Final = signal.SIGUSR1
"""Stops a node as SIGTERM does, but leaves its trainings for whoever comes back within minutes. systemd sends it for a restart."""
WAIT_S: Final = 90.0
"""What a node may take to stop."""
_LOOK_S: Final = 0.1


class NotReplaced(Exception):
    """The node that runs does not make room. The text says why, and what to do."""


def replace_running(data: Path) -> bool:
    """Have the node of this folder leave its trainings and stop; false where none runs. Blocks. Raises NotReplaced."""
    lock = data / "lock"
    until = time.monotonic() + WAIT_S
    asked: set[int] = set()
    while holders := _holders(lock):
        if time.monotonic() > until:
            raise NotReplaced(f"process {min(holders)} still runs in {data} after {WAIT_S:g} s. Look at its log and stop it first")
        for pid in holders - asked:
            try:
                os.kill(pid, LEAVE)
            except ProcessLookupError:
                continue
            except PermissionError:
                raise NotReplaced(f"process {pid} in {data} is another user's: restart the node as that user") from None
        asked |= holders
        time.sleep(_LOOK_S)
    return bool(asked)


def _holders(lock: Path) -> set[int]:
    """The processes that hold a lock on this file, as the kernel tells (proc_locks(5)). A number that the file itself names may be
    that of a process in another container."""
    try:
        facts = lock.stat()
    except FileNotFoundError:
        return set()
    where = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    found = set[int]()
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[5] == where:
            found.add(int(words[4]))
    return {pid for pid in found if pid > 0}
