"""The folder of a job: which of its files go into the image, and where.

`job.toml` says it; without one the program is `job.py`, and with it go the folder's other modules and what lies in `data`. Nothing
else goes: notes, hidden data and keys that lie beside stay at home.
"""

from __future__ import annotations

import os
import stat
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from learningchain.sandbox.building.base import OpenBase
from learningchain.sandbox.building.wheels import Room
from learningchain.sandbox.errors import BadImage
from learningchain.sandbox.image_writer import PYTHON_IN_IMAGE, ImageBuildError
from learningchain.sandbox.layers import split

SETTINGS: Final = "job.toml"
LOCK: Final = "requirements.lock"
NAMES: Final = "requirements.txt"
_PROGRAM = "/lc/job"
_RESERVED = ("in", "out", "job")
_SKIPPED = "__pycache__"
_SETTINGS_BYTES = 64 << 10


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `job.toml` may say."""

    program: str = "job.py"
    """The file that becomes /lc/job."""
    files: tuple[str, ...] = ("*.py", "data")
    """Files and folders that go to the same place below /lc; `*` stands for any part of a name."""
    base: str = ""
    """The image id of the base that this job is built on, "sha256:…"; empty: any."""
    post: dict[str, object] = msgspec.field(default_factory=dict)
    """How the job is posted. Nothing of it goes into the image, and who posts it reads it."""

    @property
    def gpus(self) -> bool:
        """Whether its trainings ask for GPUs, so that libraries for them have a use."""
        return bool(self.post.get("gpus"))


@dataclass(frozen=True)
class JobFolder:
    """A folder, and what it says of itself."""

    path: Path
    settings: Settings
    lock: str
    """The text of its locked list of packages; empty where it has none."""
    extra: Mapping[str, bytes] = field(default_factory=dict)
    """Files that are not the folder's, by their paths in the image; with them there is a program."""


def open_folder(path: Path) -> JobFolder:
    """Reads the two files that say what goes into the image. Raises ImageBuildError, OSError."""
    if not path.is_dir():
        raise ImageBuildError(f"{path} is no folder; `learningchain job new DIR` writes one to begin from")
    settings = read_settings(path)
    if not (path / LOCK).exists():
        if (path / NAMES).exists():
            raise ImageBuildError(f"{path / NAMES} names packages without their hashes. Lock them: learningchain job lock {path}")
        return JobFolder(path, settings, "")
    return JobFolder(path, settings, read_list(path / LOCK))


def read_settings(path: Path) -> Settings:
    """What `job.toml` in a folder says; the defaults where there is none. Raises ImageBuildError, OSError."""
    if not (path / SETTINGS).exists():
        return Settings()
    try:
        with (path / SETTINGS).open("rb") as file:
            text = file.read(_SETTINGS_BYTES + 1).removeprefix(BOM_UTF8)
        if len(text) > _SETTINGS_BYTES:
            raise ImageBuildError(f"{path / SETTINGS} has more than {_SETTINGS_BYTES} bytes")
        return msgspec.toml.decode(text, type=Settings)
    except UnicodeDecodeError:
        raise ImageBuildError(f"{path / SETTINGS} is not UTF-8 text. Save it as UTF-8") from None
    except msgspec.MsgspecError as problem:
        raise ImageBuildError(f"{path / SETTINGS}: {problem}. It may say program, files, base and [post]") from None


def read_list(path: Path) -> str:
    """The text of a locked list of packages. Raises ImageBuildError, OSError."""
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise ImageBuildError(f"there is no {path}; learningchain job lock writes one of a requirements.txt") from None
    except UnicodeDecodeError:
        raise ImageBuildError(f"{path} is no text in UTF-8; write it anew: learningchain job lock {path.parent}") from None


def folder_files(folder: JobFolder, base: OpenBase, room: Room) -> dict[str, bytes | Path]:
    """The files of the top layer by their paths in the image. Raises ImageBuildError, OSError."""
    program = None if folder.extra else _program(folder, base)
    files: dict[str, bytes | Path] = {_PROGRAM: program} if program is not None else dict(folder.extra)
    for place, content in files.items():
        room.spend(len(content) if isinstance(content, bytes) else content.stat().st_size, place)
    for pattern in folder.settings.files:
        for path in _matching(folder, pattern):
            name = path.relative_to(folder.path).as_posix()
            if path == program or files.get(f"/lc/{name}") == path:
                continue
            if f"/lc/{name}" in files:
                raise ImageBuildError(f"{path} would lie at /lc/{name}, where this job has a file of its own; rename it")
            if PurePosixPath(name).parts[0] in _RESERVED:
                raise ImageBuildError(f"{path} would lie at /lc/{name}, where a run has its own files; rename it")
            room.spend(path.stat().st_size, name)
            files[f"/lc/{name}"] = path
    return files


def _program(folder: JobFolder, base: OpenBase) -> Path:
    name = folder.settings.program
    path = folder.path / name
    if not _inside(name) or not path.exists():
        raise ImageBuildError(
            f"{folder.path} holds no {name!r} to become /lc/job; write it, or name another in {SETTINGS}: program = ..."
        )
    _plain(folder.path, path)
    with path.open("rb") as file:
        first = file.readline(256)
    if first.startswith(b"\x7fELF"):
        return path
    if first.startswith(BOM_UTF8):
        raise ImageBuildError(f"{path} begins with a byte order mark: no interpreter is found; save it as UTF-8 without one")
    interpreter = first.removeprefix(b"#!").split()[:1]
    if not first.startswith(b"#!") or not interpreter or interpreter[0].decode("utf-8", "replace").lstrip("/") not in base.paths:
        raise ImageBuildError(
            f"{path} does not begin with an interpreter that the base has; for Python its first line is #!{PYTHON_IN_IMAGE}"
        )
    if b"\r" in first:
        raise ImageBuildError(
            f"{path} has lines that end as on Windows: no interpreter of that name is found; save it with plain line ends"
        )
    return path


def _matching(folder: JobFolder, pattern: str) -> list[Path]:
    """The files that an entry of `files` stands for, in order."""
    if not _inside(pattern):
        raise ImageBuildError(f"{pattern!r} leads out of the folder; name files and folders in it")
    found = [path for path in sorted(folder.path.glob(pattern)) if not _is_skipped(path)]
    if not found and folder.settings.files != Settings().files:
        raise ImageBuildError(f"there is no {pattern!r} in {folder.path}, which is to go into the image")
    return [file for path in found for file in _below(folder.path, path)]


def _below(root: Path, path: Path) -> Iterator[Path]:
    _plain(root, path)
    if path.is_dir():
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            if not _is_skipped(Path(entry.path)):
                yield from _below(root, Path(entry.path))
    else:
        yield path


def _plain(root: Path, path: Path) -> None:
    """Raises ImageBuildError unless this is a file or folder of the root, reached without a link, with a name that images have."""
    relative = path.relative_to(root)
    try:
        parts = split(relative.as_posix())
    except (BadImage, UnicodeEncodeError):
        raise ImageBuildError(f"{str(path)!r}: the name is too long for an image, or no text in UTF-8; rename it") from None
    if any(part.startswith(".wh.") for part in parts):
        raise ImageBuildError(f"{path}: names that begin with .wh. have a meaning of their own in images; rename it")
    for part in (*reversed(relative.parents), relative):
        mode = (root / part).lstat().st_mode if part.parts else stat.S_IFDIR
        if stat.S_ISLNK(mode):
            raise ImageBuildError(
                f"{root / part} is a link: what it stands for may differ on each machine. Put the files in its place"
            )
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise ImageBuildError(f"{root / part} is a device, a pipe or a socket; an image holds files alone")


def _is_skipped(path: Path) -> bool:
    return path.name == _SKIPPED or path.name.startswith(".")


def _inside(name: str) -> bool:
    pure = PurePosixPath(name)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts and "**" not in pure.parts
