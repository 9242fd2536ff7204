"""How the mover puts leaves on the disk: past the page cache, and made durable a few mebibytes at a time.

The ledger syncs each vote to the same disk, and such a sync waits for whatever the disk was given before it. So at most two steps
of a file are ever unsynced. A file system that takes no direct writes gets them by the page cache, synced as often.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import Final

STEP: Final = 2 * 2**20
"""So many bytes are synced at a time."""
BLOCK: Final = 4096
"""Direct writes have a multiple of this as length, place in the file and place in memory: the largest block of common disks."""


class SteadyWriter:
    """Writes of one thread to an open file, which stays the caller's. `close` it."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._direct = True
        self._unsynced = 0
        self._steps: SimpleQueue[bool] = SimpleQueue()
        self._room = threading.Semaphore(1)
        self._syncing = threading.Thread(target=self._sync, daemon=True, name="syncing")
        self._syncing.start()

    def write(self, view: memoryview, at: int) -> None:
        """Waits where the disk is a whole step behind. Raises OSError."""
        direct = len(view) - len(view) % BLOCK if self._direct else 0
        if direct and not self._write_directly(view[:direct], at):
            self._direct, direct = False, 0
        self._put(view[direct:], at + direct)
        self._unsynced += len(view)
        if self._unsynced >= STEP:
            self._unsynced = 0
            self._room.acquire()
            self._steps.put(True)

    def close(self) -> None:
        """What is left of a step the node syncs with the whole file."""
        self._steps.put(False)
        self._syncing.join()

    def _write_directly(self, view: memoryview, at: int) -> bool:
        """False where this file system or this piece of memory does not allow it."""
        flags = fcntl.fcntl(self._file, fcntl.F_GETFL)
        try:
            fcntl.fcntl(self._file, fcntl.F_SETFL, flags | os.O_DIRECT)
            self._put(view, at)
        except OSError as fault:
            if fault.errno != errno.EINVAL:
                raise
            return False
        finally:
            fcntl.fcntl(self._file, fcntl.F_SETFL, flags)
        return True

    def _put(self, view: memoryview, at: int) -> None:
        done = 0
        while done < len(view):
            done += os.pwrite(self._file, view[done:], at + done)

    def _sync(self) -> None:
        """What the disk cannot take the node is told when it makes the whole file durable."""
        while self._steps.get():
            with suppress(OSError):
                os.fdatasync(self._file)
            self._room.release()
