"""The images of the engine: each unpacked into a folder of its own, from the archive that `archive.clean_archive` writes.

    archive --TarWalk--> configuration, layers bottom first --TarWalk--> files in a new folder -> hashes compared -> renamed

What comes here was checked and written anew by this node (`layers`). It is read once more by the same reader, and each layer must
have the hash that the configuration says. Nothing is owned by another user, no file keeps a bit beside reading, writing and
executing, and its owner, who is the job, may do with it what everybody may: what an engine with users of its own would allow.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from learningchain.sandbox.layers import split
from learningchain.sandbox.oci.bundle import INIT
from learningchain.sandbox.spec import MIB
from learningchain.sandbox.targuard import FILE, FOLDER, HARD_LINK, SYMBOLIC_LINK, BadTar, TarStream, TarWalk

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_DOCUMENT_CAP = 4 * MIB
_MOST = 1 << 42
_MEMBERS = 1 << 22
PLACES = ("dev", "lc/in", "lc/out", "proc", "sys", "tmp")
"""Folders that something is mounted at in every container."""


class TreeError(Exception):
    """The archive cannot be taken in; the text says why."""


class UnpackedImage(msgspec.Struct):
    """One image, as it is recorded beside its files."""

    image_id: str
    architecture: str
    env: list[str]
    labels: dict[str, str]
    layers: list[str]
    size: int
    tags: list[str]


class _Pieces:
    """An iterator of pieces as a stream, hashed on the way."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._ahead = pieces, b""
        self.digest = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        if not self._ahead:
            self._ahead = next(self._pieces, b"")
            self.digest.update(self._ahead)
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data


class Trees:
    """Images below a folder, known again after a restart. Safe from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._images: dict[str, UnpackedImage] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for place in folder.iterdir():
            try:
                image = msgspec.json.decode((place / "image.json").read_bytes(), type=UnpackedImage)
                self._images[image.image_id] = image
            except (OSError, ValueError):  # half unpacked, when the engine died
                remove_tree(place)

    def load(self, archive: TarStream) -> UnpackedImage:
        """Takes an archive in. Raises TreeError, OSError."""
        fresh = self._folder / f".{os.urandom(8).hex()}"
        (fresh / "root").mkdir(parents=True)
        try:
            image = self._unpack(archive, fresh / "root")
            with self._lock:
                there = self._images.get(image.image_id)
                if there is not None:
                    self._add_tags(there, image.tags)
                    remove_tree(fresh)
                    return there
                (fresh / "image.json").write_bytes(msgspec.json.encode(image))
                fresh.rename(self._place(image))
                self._take_tags(image.tags, image)
                self._images[image.image_id] = image
            return image
        except BadTar as problem:
            raise TreeError(f"the archive is refused: {problem}") from problem
        finally:
            if fresh.exists():
                remove_tree(fresh)

    def _unpack(self, archive: TarStream, root: Path) -> UnpackedImage:
        raw, digests, size, tags = b"", list[str](), 0, list[str]()
        walk = TarWalk(archive, max_bytes=_MOST, max_members=1024)
        for member in walk:
            if member.name == "manifest.json":
                tags = list(json.loads(_whole(walk))[0]["RepoTags"])
            elif member.name.endswith("/layer.tar"):
                layer = _Pieces(walk.content())
                size += apply_layer(layer, root)
                while layer.read(MIB):
                    pass
                digests.append(f"sha256:{layer.digest.hexdigest()}")
            elif not raw:
                raw = _whole(walk)
        config = json.loads(raw or b"{}")
        if not digests or config.get("rootfs", {}).get("diff_ids") != digests or not tags:
            raise TreeError("the archive's layers are not those of its configuration")
        for place in PLACES:
            (root / place).mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(root / INIT.lstrip("/")):
            (root / INIT.lstrip("/")).touch(0o444)
        settings = config["config"]
        name = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        return UnpackedImage(name, config["architecture"], settings["Env"], settings["Labels"], digests, size, tags)

    def _place(self, image: UnpackedImage) -> Path:
        return self._folder / image.image_id.removeprefix("sha256:")

    def root(self, image: UnpackedImage) -> Path:
        return self._place(image) / "root"

    def find(self, name: str) -> UnpackedImage | None:
        """By its id, or by a tag."""
        with self._lock:
            return self._images.get(name) or next((image for image in self._images.values() if name in image.tags), None)

    def listed(self) -> list[UnpackedImage]:
        with self._lock:
            return list(self._images.values())

    def tag(self, image: UnpackedImage, tag: str) -> None:
        with self._lock:
            self._add_tags(image, [tag])

    def untag(self, name: str) -> None:
        """Takes a tag away, and the image's files with its last one."""
        with self._lock:
            image = self.find(name)
            if image is None:
                return
            image.tags = [tag for tag in image.tags if tag != name and name != image.image_id]
            if image.tags:
                self._write(image)
                return
            del self._images[image.image_id]
            gone = self._folder / f".{os.urandom(8).hex()}"
            self._place(image).rename(gone)
        remove_tree(gone)

    def _add_tags(self, image: UnpackedImage, tags: list[str]) -> None:
        self._take_tags(tags, image)
        image.tags = sorted({*image.tags, *tags})
        self._write(image)

    def _take_tags(self, tags: list[str], owner: UnpackedImage) -> None:
        """A tag names one image."""
        for other in self._images.values():
            if other is not owner and set(other.tags) & set(tags):
                other.tags = [tag for tag in other.tags if tag not in tags]
                self._write(other)

    def _write(self, image: UnpackedImage) -> None:
        path = self._place(image) / "image.json"
        fresh = path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(image))
        fresh.replace(path)


def apply_layer(layer: TarStream, root: Path) -> int:
    """Lays one layer over what is in `root`; returns the bytes of its files. Raises BadTar, TreeError, OSError."""
    size, brought = 0, set[str]()
    walk = TarWalk(layer, max_bytes=_MOST, max_members=_MEMBERS)
    for member in walk:
        parts = split(member.name)
        path = "/".join(parts)
        folder, base = _folder(root, parts[:-1]), parts[-1]
        place = folder / base
        if base == _OPAQUE:
            _empty(folder, "/".join(parts[:-1]), brought)
            continue
        if base.startswith(_WHITEOUT):
            gone = base.removeprefix(_WHITEOUT)
            if "/".join((*parts[:-1], gone)) not in brought:
                _remove(folder / gone)
            continue
        brought.add(path)
        if member.kind == FOLDER:
            if not place.is_dir() or place.is_symlink():
                _remove(place)
                place.mkdir()
            place.chmod(_for_all(member.mode) | 0o200)
            continue
        _remove(place)
        if member.kind == FILE:
            _write_file(place, walk.content(), _for_all(member.mode))
            size += member.size
        elif member.kind == SYMBOLIC_LINK:
            place.symlink_to(member.link)
        elif member.kind == HARD_LINK:
            target = split(member.link)
            os.link(_folder(root, target[:-1]) / target[-1], place, follow_symlinks=False)
        else:
            raise TreeError(f"a layer holds what is no file, {path[:80]!r}")
        if member.kind != HARD_LINK:
            os.utime(place, (member.mtime, member.mtime), follow_symlinks=False)
    return size


def unpack_files(archive: TarStream, root: Path, below: str) -> None:
    """Writes an archive's files and folders, none of which is there yet, into a folder below `root`. Raises BadTar, TreeError,
    OSError."""
    place = _folder(root, split(below))
    walk = TarWalk(archive, max_bytes=_MOST, max_members=_MEMBERS)
    for member in walk:
        parts = split(member.name)
        fresh = _folder(place, parts[:-1]) / parts[-1]
        if member.kind == FOLDER:
            fresh.mkdir()
            fresh.chmod(_for_all(member.mode) | 0o200)
        elif member.kind == FILE:
            _write_file(fresh, walk.content(), _for_all(member.mode))
        else:
            raise TreeError(f"the archive holds what is no file, {member.name[:80]!r}")


def _empty(folder: Path, path: str, brought: set[str]) -> None:
    """Leaves in a folder what this layer brought so far."""
    for child in list(folder.iterdir()):
        name = f"{path}/{child.name}"
        if name not in brought:
            _remove(child)
        elif child.is_dir() and not child.is_symlink():
            _empty(child, name, brought)


def _for_all(mode: int) -> int:
    """What everybody may, for the owner and the group too."""
    return (mode & 0o7) * 0o111


def _folder(root: Path, parts: list[str]) -> Path:
    """A folder below the root, never by a symbolic link. Raises TreeError."""
    here = root
    for part in parts:
        here = here / part
        if here.is_symlink() or not here.is_dir():
            raise TreeError(f"a layer leads through what is no folder, {'/'.join(parts)[:80]!r}")
    return here


def _write_file(place: Path, pieces: Iterator[bytes], mode: int) -> None:
    with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        for piece in pieces:
            file.write(piece)
        os.fchmod(file.fileno(), mode)


def _whole(walk: TarWalk) -> bytes:
    data = bytearray()
    for piece in walk.content():
        data += piece
        if len(data) > _DOCUMENT_CAP:
            raise TreeError("a description in the archive is too long")
    return bytes(data)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        remove_tree(place)
    else:
        place.unlink(missing_ok=True)


def remove_tree(place: Path) -> None:
    """Also where folders in it cannot be written to, outside of the engine's user namespace."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)
