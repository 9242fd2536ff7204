"""Docker-archives from strangers: read as a stream and checked before an engine sees them, then passed on rewritten.

What reaches the engine is written by us: the one configuration, its layers, and a manifest with our own tag. Whatever
else an archive holds (other images, tags that would replace somebody's, stray files) stays behind. Layers go through
byte for byte; they were checked against the digests in the configuration, and the image id is the configuration's
hash, so that what was checked is what will run.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from sandbox.errors import BadImage
from sandbox.spec import MIB, ImageLimits
from sandbox.targuard import CHUNK, BadTar, Source, TarWalk

_DOCUMENT_CAP = MIB
_OUTER_MEMBERS = 1024
_LINK_TARGET_CAP = 4096


class Piece(msgspec.Struct, frozen=True):
    """Where one file of the archive lies in it."""

    offset: int
    size: int


class ScannedImage(msgspec.Struct, frozen=True):
    """An archive that keeps the rules: its id, its configuration's bytes, and where its layers lie."""

    image_id: str
    config: bytes
    layers: tuple[Piece, ...]


def scan_archive(path: Path, limits: ImageLimits, *, architecture: str | None = None) -> ScannedImage:
    """Checks an archive against the container contract and the limits. Reads it, changes nothing. Raises BadImage."""
    try:
        if path.stat().st_size > limits.archive_bytes:
            raise BadImage(f"the archive has {path.stat().st_size} bytes; the limit is {limits.archive_bytes}")
        pieces = _outer(path, limits)
        manifest = _manifest(_document(path, pieces, "manifest.json"))
        config = _read(path, _find(pieces, manifest[0]))
        digests = check_config(config, architecture)
        if len(digests) != len(manifest[1]) or len(digests) > limits.layers:
            raise BadImage(f"{len(manifest[1])} layers for {len(digests)} digests; at most {limits.layers} are allowed")
        layers = tuple(_find(pieces, name) for name in manifest[1])
        budget = _Budget(limits)
        for piece, digest in zip(layers, digests, strict=True):
            _scan_layer(path, piece, digest, budget)
    except BadTar as problem:
        raise BadImage(f"the archive is refused: {problem}") from problem
    except OSError as problem:
        raise BadImage(f"the archive cannot be read: {problem}") from problem
    return ScannedImage(f"sha256:{hashlib.sha256(config).hexdigest()}", config, layers)


def clean_archive(path: Path, image: ScannedImage, tag: str) -> Iterator[bytes]:
    """The archive that the engine gets: what was scanned, under our tag, and nothing else."""
    name = image.image_id.removeprefix("sha256:")
    names = [f"{index}/layer.tar" for index in range(len(image.layers))]
    manifest = [{"Config": f"{name}.json", "RepoTags": [tag], "Layers": names}]
    yield from _file(f"{name}.json", image.config)
    with path.open("rb") as file:
        for layer_name, piece in zip(names, image.layers, strict=True):
            yield _header(layer_name, piece.size)
            window = _Window(file, piece)
            while data := window.read(CHUNK):
                yield data
            yield b"\0" * (-piece.size % 512)
    yield from _file("manifest.json", json.dumps(manifest).encode())
    yield b"\0" * 1024


def check_config(raw: bytes, architecture: str | None) -> list[str]:
    """Checks an image's configuration document; returns the digests of its layers. Raises BadImage."""
    config = _json(raw, "the image's configuration")
    if not isinstance(config, dict):
        raise BadImage("the image's configuration is no object")
    settings = config.get("config") or {}
    if not isinstance(settings, dict):
        raise BadImage("the image's configuration is damaged")
    if settings.get("Volumes"):
        raise BadImage("the image declares a VOLUME: it would be writable, unbounded space; remove it from the image")
    if config.get("os") != "linux":
        raise BadImage(f"the image is made for {str(config.get('os'))[:20]!r}, not for linux")
    if architecture is not None and config.get("architecture") != architecture:
        made_for = str(config.get("architecture"))[:20]
        raise BadImage(f"the image is made for {made_for!r}; this machine is {architecture!r}")
    rootfs = config.get("rootfs")
    digests = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(digests, list) or not digests or not all(isinstance(digest, str) for digest in digests):
        raise BadImage("the image's configuration names no layers")
    return digests


def _outer(path: Path, limits: ImageLimits) -> dict[str, Piece | str]:
    """Every file of the archive by name: its place, or the name that a link stands for."""
    found: dict[str, Piece | str] = {}
    with path.open("rb") as file:
        walk = TarWalk(file, max_bytes=limits.archive_bytes + MIB, max_members=_OUTER_MEMBERS)
        for member in walk:
            name = _inside(member.name)
            if member.kind in (b"3", b"4", b"6"):
                raise BadImage(f"the archive holds a device or pipe, {name[:80]!r}")
            if name in found:
                raise BadImage(f"the archive holds {name[:80]!r} twice")
            if member.kind == b"2":  # engines write a layer that occurs twice as a link to the first
                found[name] = _inside(posixpath.join(posixpath.dirname(name), member.link))
            elif member.regular:
                found[name] = Piece(member.offset, member.size)
    return found


def _inside(name: str) -> str:
    """A path within an archive, normalised. Raises BadImage where it leads out."""
    clean = posixpath.normpath(name)
    if name.startswith("/") or clean == ".." or clean.startswith("../") or "\0" in name:
        raise BadImage(f"the archive holds a path that leads out of it, {name[:80]!r}")
    return clean


def _find(pieces: dict[str, Piece | str], name: str) -> Piece:
    found = pieces.get(_inside(name))
    if isinstance(found, str):
        found = pieces.get(found)
    if not isinstance(found, Piece):
        raise BadImage(f"the archive lacks {name[:100]!r}; it must be one image as `docker save` writes it")
    return found


def _read(path: Path, piece: Piece) -> bytes:
    if piece.size > _DOCUMENT_CAP:
        raise BadImage(f"a description in the archive has {piece.size} bytes; the limit is {_DOCUMENT_CAP}")
    with path.open("rb") as file:
        file.seek(piece.offset)
        return file.read(piece.size)


def _document(path: Path, pieces: dict[str, Piece | str], name: str) -> Any:
    return _json(_read(path, _find(pieces, name)), name)


def _json(raw: bytes, what: str) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise BadImage(f"{what} is not JSON") from None


def _manifest(value: Any) -> tuple[str, list[str]]:
    """The names of the configuration and of the layers."""
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], dict):
        raise BadImage("the archive must hold exactly one image")
    config, layers = value[0].get("Config"), value[0].get("Layers")
    if not isinstance(config, str) or not isinstance(layers, list) or not all(isinstance(name, str) for name in layers):
        raise BadImage("manifest.json names no configuration or no layers")
    return config, layers


class _Budget:
    """What all layers together may still use."""

    def __init__(self, limits: ImageLimits) -> None:
        self.limits = limits
        self.bytes_left = limits.unpacked_bytes
        self.files_left = limits.files

    def spend(self, size: int) -> None:
        self.bytes_left -= size
        self.files_left -= 1
        if self.bytes_left < 0:
            raise BadImage(f"the image unpacks to more than {self.limits.unpacked_bytes} bytes")
        if self.files_left < 0:
            raise BadImage(f"the image has more than {self.limits.files} files")


def _scan_layer(path: Path, piece: Piece, digest: str, budget: _Budget) -> None:
    with path.open("rb") as file:
        window: Source = _Window(file, piece)
        file.seek(piece.offset)
        if file.read(2) == b"\x1f\x8b":
            window = _Gunzip(window)
        hashed = _Hashed(window)
        # Headers, padding and end marks count besides the contents: two blocks for each entry are plenty.
        bound = budget.bytes_left + 4096 * (budget.files_left + 1) + MIB
        for member in TarWalk(hashed, max_bytes=bound, max_members=budget.files_left + 1):
            budget.spend(member.size)
            _inside(member.name.removeprefix("/"))
            if member.kind in (b"3", b"4"):
                raise BadImage(f"the image holds a device, {member.name[:80]!r}")
            if member.kind == b"1":
                _inside(member.link.removeprefix("/"))
            if len(member.link) > _LINK_TARGET_CAP:
                raise BadImage("the image holds a link with an oversized target")
        rest = 0
        while data := hashed.read(CHUNK):
            rest += len(data)
            if rest > 16 * MIB or data.strip(b"\0"):
                raise BadImage("a layer goes on after its end")
    if f"sha256:{hashed.digest.hexdigest()}" != digest:
        raise BadImage("a layer does not match its digest in the image's configuration")


class _Window:
    """A part of a file, as a file. Finds its place again before each read: several windows may share one file."""

    def __init__(self, file: Any, piece: Piece) -> None:
        self._file = file
        self._position = piece.offset
        self._left = piece.size

    def read(self, size: int, /) -> bytes:
        self._file.seek(self._position)
        data: bytes = self._file.read(min(size, self._left))
        self._position += len(data)
        self._left -= len(data)
        return data


class _Hashed:
    def __init__(self, source: Source) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self.digest.update(data)
        return data


class _Gunzip:
    """Unpacks gzip in bounded pieces: a bomb costs no memory, and its bytes are counted by whoever reads them."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._unpack = zlib.decompressobj(wbits=31)

    def read(self, size: int, /) -> bytes:
        while True:
            if self._unpack.eof:
                if self._unpack.unused_data or self._source.read(1):
                    raise BadImage("a packed layer goes on after its end")
                return b""
            packed = self._unpack.unconsumed_tail or self._source.read(CHUNK)
            try:
                data = self._unpack.decompress(packed, min(size, CHUNK))
            except zlib.error as problem:
                raise BadImage(f"a packed layer is damaged: {problem}") from None
            if data:
                return data
            if not packed:
                raise BadImage("a packed layer ends too early")


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.GNU_FORMAT)


def _file(name: str, content: bytes) -> Iterator[bytes]:
    yield _header(name, len(content)) + content + b"\0" * (-len(content) % 512)
