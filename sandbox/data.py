"""Data sets for a job: files below one folder, each with its size and its hash, measured before anything is copied.

Names come from a disk and go into a container: every one must mean exactly one file below its folder, on every machine.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

MAX_DATA_FILES = 100_000
MAX_DATA_BYTES = 1 << 40
NAME_CAP = 512
"""Bytes of a name, with the folders before it."""
_PART_CAP = 255
_DEPTH = 16


class DataFile(msgspec.Struct, frozen=True):
    """One file: where it lies here, and what the job must find under its name."""

    name: str
    path: Path
    size: int
    sha256: bytes


class DataSet(msgspec.Struct, frozen=True):
    """Files in the order of their names. Raises ValueError for names that are none, and above the bounds."""

    files: tuple[DataFile, ...]

    def __post_init__(self) -> None:
        names = [file.name for file in self.files]
        if not 0 < len(names) <= MAX_DATA_FILES or sum(file.size for file in self.files) > MAX_DATA_BYTES:
            raise ValueError(
                f"a data set has 1 to {MAX_DATA_FILES} files and at most {MAX_DATA_BYTES} bytes, not {len(names)} files"
            )
        for name in names:
            check_name(name)
        if sorted(set(names)) != names:
            raise ValueError("the files of a data set must be in the order of their names, each once")
        clash = self.folders() & set(names)
        if clash:
            raise ValueError(f"{min(clash)!r} is a file and a folder of one data set")
        if any(file.size < 0 or len(file.sha256) != 32 for file in self.files):
            raise ValueError("a file of a data set needs its size and its SHA-256")

    def folders(self) -> set[str]:
        """The folders that its names need."""
        return {"/".join(parts[:end]) for file in self.files for parts in [file.name.split("/")] for end in range(1, len(parts))}

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def digest(self) -> bytes:
        """SHA-256 over names, sizes and contents: equal data sets have equal digests, whatever machine they lie on."""
        digest = hashlib.sha256(b"LC-DATA-1\0")
        for file in self.files:
            name = file.name.encode()
            digest.update(len(name).to_bytes(4, "big") + name + file.size.to_bytes(8, "big") + file.sha256)
        return digest.digest()

    def below(self, folder: str) -> DataSet:
        """The same files in a folder more."""
        return DataSet(tuple(msgspec.structs.replace(file, name=f"{folder}/{file.name}") for file in self.files))


def check_name(name: str) -> None:
    """Raises ValueError for a name that does not mean one file below the folder that it is used in."""
    parts = name.split("/")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise ValueError(f"{name!r} is not UTF-8") from None
    if len(parts) > _DEPTH or sum(sizes) + len(parts) > NAME_CAP or max(sizes) > _PART_CAP:
        raise ValueError(f"{name[:80]!r} is longer or deeper than a name of a data set may be")
    if any(part in ("", ".", "..") or not part.isprintable() for part in parts):
        raise ValueError(f"{name[:80]!r} is no name of a file in a data set")


def measure(name: str, path: Path) -> DataFile:
    """One file, read once. Raises OSError, also for what is no regular file; never follows a link."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is not a regular file")
        digest = hashlib.file_digest(file, "sha256").digest()
        return DataFile(name, path, file.tell(), digest)


def scan_folder(folder: Path) -> DataSet:
    """All files below a folder, measured. Raises ValueError, and OSError, also for links, pipes and devices."""
    return DataSet(
        tuple(sorted((measure(path.relative_to(folder).as_posix(), path) for path in _walk(folder)), key=lambda f: f.name))
    )


def _walk(folder: Path) -> Iterator[Path]:
    def fail(problem: OSError) -> None:
        raise problem

    count = 0
    for here, folders, names in os.walk(folder, onerror=fail):
        for name in folders:
            if Path(here, name).is_symlink():
                raise OSError(f"{Path(here, name)} is a symbolic link")
        for name in names:
            count += 1
            if count > MAX_DATA_FILES:
                raise ValueError(f"{folder} has more than {MAX_DATA_FILES} files")
            yield Path(here, name)
