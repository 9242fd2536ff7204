"""Unpacks wheels into layers, as pip places their files, and executes nothing of them.

A wheel is a zip archive that a stranger wrote: its names stay below the packages' folder, it holds files alone, and what all of
them unpack to is counted before a byte is written. Scripts and headers of a wheel are left out: no job starts or compiles them.
"""

from __future__ import annotations

import stat
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from learningchain.sandbox.building.base import LIMITS, OpenBase
from learningchain.sandbox.building.fetch import Wheel
from learningchain.sandbox.errors import BadImage
from learningchain.sandbox.image_writer import ImageBuildError, LayerFiles, Zipped
from learningchain.sandbox.layers import split

LARGE: Final = 5 << 20
"""Bytes of a wheel that has a layer of its own, which images with the same wheel share."""
MAX_LARGE: Final = 48
"""Layers of their own at most; further large wheels go with the small ones."""
_ENCRYPTED = 1
_TESTS = frozenset(("test", "tests"))
"""Folders whose modules are there and have no byte code: a third of all modules of a scientific package, which no job imports."""
_LEFT_OUT = ("scripts", "headers")


@dataclass
class Room:
    """What an image may still hold. Raises ImageBuildError where it is spent."""

    bytes_left: int
    files_left: int

    def spend(self, size: int, what: str) -> None:
        self.bytes_left -= size
        self.files_left -= 1
        if self.bytes_left < 0 or self.files_left < 0:
            limits = f"{LIMITS.unpacked_bytes} bytes in {LIMITS.files} files"
            raise ImageBuildError(
                f"{what} is more than an image may hold, {limits} with its base; take fewer packages or smaller data"
            )


@dataclass
class _Files:
    """The files of one wheel by their paths in the image."""

    wheel: Wheel
    archive: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo] = field(default_factory=dict)


@contextmanager
def wheel_layers(wheels: Sequence[Wheel], base: OpenBase, room: Room) -> Iterator[list[LayerFiles]]:
    """The layers of the wheels, the small ones' first. They can be written as long as the block lasts. Raises ImageBuildError."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="learningchain-compile-")))
        opened = [_open(stack, wheel, base, room) for wheel in wheels]
        for index, one in enumerate(opened):  # as pip has it: of two files of one name the later package's stays
            later = {path for other in opened[index + 1 :] for path in other.members}
            one.members = {path: member for path, member in one.members.items() if path not in later}
        compiled = _compile(opened, base, scratch)
        large = [one for one in opened if one.wheel.path.stat().st_size >= LARGE][:MAX_LARGE]
        small = [one for one in opened if one not in large]
        groups = ([small] if small else []) + [[one] for one in large]
        _together(opened)
        yield [_layer(group, compiled) for group in groups]


def _open(stack: ExitStack, wheel: Wheel, base: OpenBase, room: Room) -> _Files:
    try:
        found = _Files(wheel, stack.enter_context(zipfile.ZipFile(wheel.path)))
        for member in found.archive.infolist():
            path = _place(wheel, member, base)
            if path is None:
                continue
            if path in found.members:
                raise ImageBuildError(f"{wheel.path.name} holds {member.filename[:80]!r} twice; take another version")
            room.spend(member.file_size, wheel.path.name)
            found.members[path] = member
    except (zipfile.BadZipFile, NotImplementedError, UnicodeError, ValueError) as problem:
        raise ImageBuildError(f"{wheel.path.name} is no wheel: {problem}") from None
    return found


def _place(wheel: Wheel, member: zipfile.ZipInfo, base: OpenBase) -> str | None:
    """Where a file of a wheel lies in the image; None where it is left out. Raises ImageBuildError."""
    name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
    try:
        parts = split(name)
    except BadImage as problem:
        raise ImageBuildError(f"{wheel.path.name} is refused: {problem}") from None
    if "\\" in name or any(part.startswith(".wh.") for part in parts):
        raise ImageBuildError(f"{wheel.path.name} is refused: it holds the name {name[:80]!r}")
    if member.is_dir():
        return None
    if kind not in (0, stat.S_IFREG) or member.flag_bits & _ENCRYPTED or not parts:
        raise ImageBuildError(f"{wheel.path.name} is refused: {name[:80]!r} is no plain file")
    folder, site = parts[0], base.site_packages
    if not folder.endswith(".data"):
        return f"{site}/{'/'.join(parts)}"
    if len(parts) < 3 or parts[1] in _LEFT_OUT:
        return None
    return f"{'usr/local' if parts[1] == 'data' else site}/{'/'.join(parts[2:])}"


def _together(opened: Sequence[_Files]) -> None:
    """Raises ImageBuildError where one wheel has a file at which another has a folder."""
    files = {path: one.wheel.path.name for one in opened for path in one.members}
    for path, name in files.items():
        for parent in PurePosixPath(path).parents:
            if str(parent) in files:
                raise ImageBuildError(f"{files[str(parent)]} has a file {str(parent)!r} and {name} a folder: take one of them")


def _compile(opened: Sequence[_Files], base: OpenBase, scratch: Path) -> dict[str, tuple[str, Path]]:
    """Byte code by the path of its source: where it goes, and where it lies. Tests and what is no valid module have none."""
    work: list[tuple[Path, str, Path]] = []
    found: dict[str, tuple[str, Path]] = {}
    for one in opened:
        for path, member in one.members.items():
            pure = PurePosixPath(path)
            if pure.suffix != ".py" or not path.startswith(base.site_packages) or _TESTS.intersection(pure.parts):
                continue
            source = scratch / f"{len(work)}.py"
            with one.archive.open(member) as packed, source.open("wb") as out:
                out.writelines(iter(lambda packed=packed: packed.read(1 << 20), b""))  # type: ignore[misc]
            target = source.with_suffix(".pyc")
            work.append((source, path, target))
            found[path] = (str(pure.parent / "__pycache__" / f"{pure.stem}.{base.cache_tag}.pyc"), target)
    base.compile(work)
    return {path: (place, target) for path, (place, target) in found.items() if target.is_file()}


def _layer(group: Sequence[_Files], compiled: dict[str, tuple[str, Path]]) -> LayerFiles:
    tree = LayerFiles()
    for one in group:
        for path, member in one.members.items():
            runs = member.external_attr >> 16 & 0o111 or ".so" in PurePosixPath(path).suffixes
            tree.add_file(path, Zipped(one.archive, member), 0o755 if runs else 0o644)
            if path in compiled:
                tree.add_file(*compiled[path])
    return tree
