"""Files of the data folder, opened so that no link planted there leads the node to another file: all go through here.

A name that the node makes anew is removed first and created exclusively, so neither a symbolic nor a hard link survives. A name
that is to be there is opened without following a link, and has to be a regular file. What is made here is its owner's alone (0600).
Folders may be links: where the blobs lie is the operator's choice. Every function may raise OSError.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import IO

_ALWAYS = os.O_CLOEXEC | os.O_NOFOLLOW
Name = str | os.PathLike[str]


def _regular(fd: int, path: Name) -> int:
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))


def _open(path: Name, flags: int) -> int:
    """O_NONBLOCK: to open a pipe that somebody planted would wait for its other end."""
    try:
        return _regular(os.open(path, flags | _ALWAYS | os.O_NONBLOCK, 0o600), path)
    except OSError as fault:
        if fault.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link: put the file itself there", os.fspath(path)) from None
        if fault.errno == errno.ENXIO:  # what opening a socket gives, or writing to a pipe that nobody reads
            raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path)) from None
        raise


def open_file(path: Name, *, write: bool = False) -> int:
    """A descriptor of a file that is there. Raises FileNotFoundError where it is not."""
    return _open(path, os.O_RDWR if write else os.O_RDONLY)


def open_or_create(path: Name) -> int:
    """A descriptor for reading and writing; the file is made where there is none, and keeps what is in it where there is one."""
    return _open(path, os.O_RDWR | os.O_CREAT)


def create(path: Name) -> int:
    """A descriptor of a new, empty file for reading and writing. What had the name loses it, and nothing else."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    return _open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)


def reading(path: Name) -> IO[bytes]:
    return os.fdopen(open_file(path), "rb")


def writing(path: Name) -> IO[bytes]:
    """A new, empty file."""
    return os.fdopen(create(path), "wb")


def replace(path: Name, content: bytes) -> None:
    """Readers see what was there or all of `content`, also after a power cut."""
    name = os.fspath(path)
    new = name + ".new"
    with writing(new) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, name)
    sync_folder(os.path.dirname(os.path.abspath(name)))


_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What a file system says that has no hard links, as FAT and exFAT have none."""


def name_new(whole: Name, path: Name) -> None:
    """Give a whole file its name, where nothing has that name: FileExistsError. Without hard links the name is taken first: a power
    cut in between leaves an empty file there, and nothing else is ever lost."""
    try:
        os.link(whole, path)
    except OSError as fault:
        if fault.errno not in _NO_LINKS:
            raise
        os.close(_open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        os.replace(whole, path)


def keep_under(path: Name, other: Name) -> None:
    """Keep what a file holds under another name, too, which nothing has."""
    try:
        os.link(path, other)
    except OSError as fault:
        if fault.errno not in _NO_LINKS:
            raise
        with reading(path) as file:
            replace(other, file.read())


def set_mode(path: Name, mode: int) -> None:
    fd = open_file(path)
    try:
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


def open_folder(folder: Name) -> int:
    """A descriptor of the folder itself, to sync or to lock."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def sync_folder(folder: Name) -> None:
    """Returns when the names in `folder` are durable."""
    fd = open_folder(folder)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def claim_database(path: Name) -> None:
    """Before SQLite opens `path`, which would follow links there and beside it: the file is there, its owner's alone, and no link.

    What SQLite makes beside it (-wal, -shm, -journal) gets the mode of the file.
    """
    fd = open_or_create(path)
    try:
        os.fchmod(fd, 0o600)
    finally:
        os.close(fd)
    for suffix in ("-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            os.close(open_file(os.fspath(path) + suffix))
