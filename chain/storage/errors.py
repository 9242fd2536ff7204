"""What can go wrong with a node's disk. Each error says what happened, why, and what the operator can do.

None of them is caught inside `chain`: the driver shows the text and ends the node. A disk that failed once is never tried again by
the same process: after a failed fsync nobody knows what is on it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager


class StorageError(Exception):
    """Base: `what` happened, `why`, and what `todo`."""

    def __init__(self, what: str, why: str, todo: str) -> None:
        super().__init__(f"{what}: {why}. {todo}")
        self.what, self.why, self.todo = what, why, todo


class StorageFailed(StorageError):
    """The disk, the file system or the database refused. The node stops; nothing that was reported as stored is lost."""


class ServerUnreachable(StorageFailed):
    """The database's server is away, or ended the connection. The node stops, and may be started again as it is."""


class DiskFull(StorageFailed):
    """No space. What was being written does not count; the same write may be tried again once there is space."""


class StorageDamaged(StorageError):
    """Bytes that were stored are not what they were."""


class StorageMismatch(StorageError):
    """The stored data belongs to another network, or to another version of the program."""


class FolderInUse(StorageError):
    """Another process holds the data folder."""


class GuardMissing(StorageError):
    """The last-signed guard is missing or unreadable: signing could contradict what this key signed before."""


_FULL = {errno.ENOSPC, errno.EDQUOT}
_WHY = {
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EIO: "the device reports an input/output error",
    errno.EMFILE: "too many open files",
    errno.ENOENT: "no such file or folder",
    errno.EEXIST: "something else has that name",
    errno.ENOTDIR: "a file stands where a folder should be",
    errno.ENAMETOOLONG: "the name is too long",
}
_ELSEWHERE = "Name another folder, or move away what is there"
_TODO = {
    errno.EROFS: "Mount it writable or choose another data folder, then start the node again",
    errno.EACCES: "Give the node's user read and write access to its data folder, then start the node again",
    errno.EPERM: "Give the node's user read and write access to its data folder, then start the node again",
    **dict.fromkeys((errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG), _ELSEWHERE),
}


@contextmanager
def disk_errors(doing: str, path: str) -> Iterator[None]:
    """Turn an OSError of the block into `DiskFull` or `StorageFailed`."""
    try:
        yield
    except OSError as e:
        number = e.errno or 0
        what = f"Could not {doing} {path}"
        if number in _FULL:
            raise DiskFull(what, "no space left on the device", "Free some space there, then start the node again") from e
        why = _WHY.get(number, e.strerror or str(e) or type(e).__name__)
        todo = _TODO.get(number, "Check the disk (its health, its cables, the kernel's log) before the node is started again")
        raise StorageFailed(what, why, todo) from e
