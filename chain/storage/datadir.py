"""The data folder of a node: who holds it, what lies where, who may read it, whether there is room.

lock    held by the running node, with its process id in it
db      block store (SQLite)        wal    log of the consensus
guard   last-signed guard           blobs  files of the content store
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from typing import Final

from learningchain.chain.storage import private
from learningchain.chain.storage.errors import DiskFull, FolderInUse, StorageFailed, disk_errors

MIN_FREE = 256 * 1024 * 1024
"""A node starts only with this much space: a full log segment, a database checkpoint and some blocks."""


IDENTITY: Final = ("keystore.json", "signer.pair", "machine.json")
"""One of them makes a folder the data folder of a node, or of a machine of one."""
_CHAIN: Final = ("lock", "db", "wal", "guard", "reports.db", "peers.book", "blobs", "sandbox", "work", "machines", "machine")
_OWNER: Final = ("keystore-next.json", "genesis.json", "config.toml", "names.json", "api.token", "tokens.db", "peer.leaf")
_TELLING: Final = ("dashboard.html", "callbacks.db", "notify.secret", "inferences.db", "node.log")
OWN: Final = frozenset((*IDENTITY, *_CHAIN, *_OWNER, *_TELLING))
"""What a node has in its data folder; docs/operating.md says what each is for."""
_BESIDE = re.compile(r"-wal|-shm|-journal|\.new|\.1$")


def take_folder(path: str) -> None:
    """Make the folder, or take one that is there, for a node: from then on it is its owner's alone (0700).

    Raises `StorageFailed` where it holds other things than a node's, such as a folder that somebody works in, or `/`: whoever
    else uses those would be locked out. Names that begin with a dot are no such things: homes of services have them.
    """
    path = os.path.abspath(path)
    with disk_errors("make the data folder", path):
        try:
            os.makedirs(path, mode=0o700, exist_ok=True)
        except RecursionError:  # it asks itself for each folder above
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)) from None
        names = os.listdir(path)
        if not any(name in names for name in IDENTITY):
            others = sorted(n for n in names if n[0] != "." and n != "lost+found" and _BESIDE.sub("", n) not in OWN)
            if others:
                shown = ", ".join(repr(name[:64]) for name in others[:3]) + (" and more" if others[3:] else "")
                raise StorageFailed(
                    f"{path} is not made a data folder",
                    f"it holds other things ({shown}), and a data folder is its owner's alone",
                    "Name a new or an empty folder with --data",
                )
        if os.stat(path).st_mode & 0o077:
            os.chmod(path, 0o700)


class DataDir:
    """A locked data folder. The lock is the kernel's: it goes with the process, however that ends."""

    def __init__(self, path: str, lock: int) -> None:
        self.path, self._lock = path, lock
        self.db = os.path.join(path, "db")
        self.wal = os.path.join(path, "wal")
        self.guard = os.path.join(path, "guard")
        self.blobs = os.path.join(path, "blobs")

    @classmethod
    def open(cls, path: str, *, create: bool) -> DataDir:
        """Lock the folder. Others than the owner lose their access to it.

        Raises `FolderInUse` naming the process that holds it, `StorageFailed`.
        """
        path = os.path.abspath(path)
        with disk_errors("open the data folder", path):
            if not os.path.isdir(path):
                if os.path.lexists(path):
                    raise StorageFailed(f"{path} is no data folder", "it is not a folder", "Choose another data folder")
                if not create:
                    raise StorageFailed(f"There is no data folder {path}", "it does not exist", "Run init first")
            take_folder(path)
            lock = private.open_or_create(os.path.join(path, "lock"))
            try:
                _take(lock, path)
                os.makedirs(os.path.join(path, "blobs"), mode=0o700, exist_ok=True)
            except BaseException:
                os.close(lock)
                raise
        return cls(path, lock)

    def check_free(self, minimum: int = MIN_FREE) -> int:
        """Free bytes for this user. Raises `DiskFull` when there are less than `minimum`."""
        with disk_errors("measure the free space of", self.path):
            free = shutil.disk_usage(self.path).free
        if free < minimum:
            why = f"{free // 2**20} MiB are free, a node needs {minimum // 2**20} MiB"
            raise DiskFull(
                f"Too little space in the data folder {self.path}", why, "Free some space there, then start the node again"
            )
        return free

    def close(self) -> None:
        """Release the folder."""
        os.close(self._lock)


def _take(lock: int, path: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
        why = f"process {holder} holds it: a node is already running there"
        raise FolderInUse(
            f"The data folder {path} is in use", why, "Stop that node, or give this one its own data folder"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
