"""Data sets for a job: files below one folder, each with its size and its hash, measured before anything is copied.

Names come from a disk and go into a container: every one must mean exactly one file below its folder, on every machine. `OwnData`
is a data set that the node's owner keeps under a name, for runs of the phase `local` alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

MAX_DATA_FILES = 100_000
MAX_DATA_BYTES = 1 << 40
NAME_CAP = 512
"""Bytes of a name, with the folders before it."""
_PART_CAP = 255
_UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""LC-JOB-60: controls, ends of lines, and what changes the direction of text. Listed by number, for what is printable differs
between versions of Unicode. Spaces of every width and joined signs are in names as people have them."""
_DEPTH = 16
_READ = 1 << 20
_OWN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
TRIAL = "."
"""What the names of data begin with that the self-test keeps for a moment."""

OnBytes = Callable[[int], None]
"""Told the size of each piece that was read or sent."""


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

    @property
    def content_digest(self) -> bytes:
        """SHA-256 over the sorted SHA-256 of the files, whatever they are called: what tells that two owners have the same data.
        Who publishes it puts a salt before it."""
        return hashlib.sha256(b"LC-DATA-2\0" + b"".join(sorted(file.sha256 for file in self.files))).digest()

    def below(self, folder: str) -> DataSet:
        """The same files in a folder more."""
        return DataSet(tuple(msgspec.structs.replace(file, name=f"{folder}/{file.name}") for file in self.files))

    def parts(self) -> list[DataSet]:
        """What lies in each of its outermost folders, which every file must be in, under the names as they are."""
        folders: dict[str, list[DataFile]] = {}
        for file in self.files:
            folders.setdefault(file.name.partition("/")[0], []).append(file)
        return [DataSet(tuple(files)) for files in folders.values()]


class OwnData(msgspec.Struct, frozen=True, kw_only=True):
    """A data set that the owner of a node keeps on its engine under a name, until it is removed. Raises ValueError."""

    name: str
    digest: bytes
    """`DataSet.content_digest`."""
    size: int
    files: int
    notes: Mapping[str, str] = msgspec.field(default_factory=dict)
    """What the owner's programs want to know of it again; the sandbox reads none of it."""

    def __post_init__(self) -> None:
        check_own_name(self.name.removeprefix(TRIAL))
        if len(self.digest) != 32 or not 0 <= self.size <= MAX_DATA_BYTES or not 0 < self.files <= MAX_DATA_FILES:
            raise ValueError(f"data {self.name!r} of {self.files} files and {self.size} bytes are none")


class KnownSet(msgspec.Struct, frozen=True):
    """A data set that lies on the engine already, by its `DataSet.digest`, with the folders that a run finds it in."""

    digest: bytes
    size: int


class KnownSets(msgspec.Struct, frozen=True):
    """The data sets of a run that an earlier process began: of their files only the engine still needs to know."""

    sets: tuple[KnownSet, ...]


def check_own_name(name: str) -> None:
    """Raises ValueError for a name that the owner's data cannot have."""
    if _OWN_NAME.fullmatch(name) is None:
        raise ValueError(
            f"{name[:40]!r} is no name for data: use at most 32 of a-z, 0-9, - and _, and begin with a letter or a digit"
        )


def check_name(name: str) -> None:
    """Raises ValueError for a name that does not mean one file below the folder that it is used in."""
    parts = name.split("/")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise ValueError(f"{name[:80]!r} is no name of a file in a data set: it is not UTF-8. Rename the file") from None
    if len(parts) > _DEPTH or sum(sizes) + len(parts) > NAME_CAP or max(sizes) > _PART_CAP:
        raise ValueError(
            f"{name[:80]!r} is longer or deeper than a name of a data set may be: {NAME_CAP} bytes "
            f"with its folders, {_PART_CAP} each, {_DEPTH} deep. Rename the file, or move it up"
        )
    if found := _UNSEEN.search(name):
        raise ValueError(
            f"{name[:80]!r} is no name of a file in a data set: U+{ord(found[0]):04X} in it is a control character, or turns text "
            "around. Rename the file"
        )
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{name[:80]!r} is no name of a file in a data set")


def measure(name: str, path: Path, on_bytes: OnBytes = lambda size: None) -> DataFile:
    """One file, read once. Raises OSError, also for what is no regular file; never follows a link."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is not a regular file")
        digest = hashlib.sha256()
        while piece := file.read(_READ):
            digest.update(piece)
            on_bytes(len(piece))
        return DataFile(name, path, file.tell(), digest.digest())


def scan_folder(folder: Path, on_bytes: OnBytes = lambda size: None, most: int = MAX_DATA_BYTES) -> DataSet:
    """All files below a folder, measured. Raises ValueError for names and amounts, and OSError, also for links, pipes, sockets and
    devices, which it names; before the first file is read."""
    found = survey(folder, most)
    return DataSet(tuple(measure(name, path, on_bytes) for name, (path, _) in sorted(found.items())))


def survey(folder: Path, most: int = MAX_DATA_BYTES) -> dict[str, tuple[Path, int]]:
    """The files below a folder by their names, with their sizes; nothing is read. Raises as `scan_folder`."""
    if not stat.S_ISDIR(os.stat(folder).st_mode):
        raise OSError(f"{folder} is no folder")
    found: dict[str, tuple[Path, int]] = {}
    total = 0
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        check_name(name)
        size = path.lstat().st_size
        total += size
        if len(found) == MAX_DATA_FILES or total > most:
            raise ValueError(f"{folder} has more than {MAX_DATA_FILES} files, or more than {most} bytes")
        found[name] = path, size
    if not found:
        raise ValueError(f"{folder} holds no file")
    return found


def _walk(folder: Path) -> Iterator[Path]:
    """Raises OSError for what is neither a file nor a folder, and ValueError for folders without end."""
    waiting, folders = [folder], 0
    while waiting:
        folders += 1
        if folders > MAX_DATA_FILES:
            raise ValueError(f"{folder} has more than {MAX_DATA_FILES} folders")
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    waiting.append(Path(entry.path))
                elif stat.S_ISREG(mode):
                    yield Path(entry.path)
                else:
                    kind = {stat.S_IFLNK: "symbolic link", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}.get(
                        stat.S_IFMT(mode), "device"
                    )
                    raise OSError(f"{entry.path!r} is a {kind}; data are regular files alone: copy what is meant, or take it away")


def joined(sets: Mapping[str, DataSet]) -> DataSet:
    """Data sets as one, each in a folder with its name."""
    files = [file for name, data in sets.items() for file in data.below(name).files]
    return DataSet(tuple(sorted(files, key=lambda file: file.name)))
