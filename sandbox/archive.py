"""Docker-archives from strangers: read as a stream, checked, and written anew for the engine.

What reaches the engine is ours to the last byte: a configuration with nothing but architecture, environment and layers, the
layers as `layers` writes them, and a manifest with our own tag. Whatever else an archive holds stays behind.

An image has two ids. The *posted* one is the hash of the configuration that its maker wrote: jobs name images by it, and it binds
every byte, since the configuration names its layers by their hashes. The *loaded* one is the hash of the configuration that we
wrote, and the engine's name for it. It follows from the posted image by this code alone; the label `learningchain.image` leads
back.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from learningchain.sandbox import tarwriter
from learningchain.sandbox.documents import ImageConfig, parse_config, parse_manifest
from learningchain.sandbox.errors import BadImage
from learningchain.sandbox.layers import Layers, Seen, split
from learningchain.sandbox.spec import MIB, ImageLimits
from learningchain.sandbox.targuard import FILE, SYMBOLIC_LINK, BadTar, TarWalk

IMAGE_LABEL = "learningchain.image"
"""The label of a loaded image, and of its containers, that holds its posted id."""
_DOCUMENT_CAP = MIB
_OUTER_MEMBERS = 1024
_OUTER_HEADERS = 4 * MIB
_KINDS = {b"3": "a device", b"4": "a device", b"6": "a pipe"}


class Piece(msgspec.Struct, frozen=True):
    """Where one file of the archive lies in it."""

    offset: int
    size: int


class Layer(msgspec.Struct, frozen=True):
    """One layer: where it lies in the archive, its digest there (if anybody named one), and digest and size of what we write."""

    piece: Piece
    digest: str
    written_digest: str
    written_size: int


class ScannedImage(msgspec.Struct, frozen=True):
    """An archive that keeps the rules."""

    image_id: str
    """The posted id."""
    loaded_id: str
    config: ImageConfig
    document: bytes
    """The configuration that the engine gets; its hash is `loaded_id`."""
    layers: tuple[Layer, ...]
    limits: ImageLimits
    unpacked_bytes: int
    """Bytes of the contents of all files of all layers."""
    files: int


def scan_archive(path: Path, limits: ImageLimits, *, architecture: str | None = None, seen: Seen | None = None) -> ScannedImage:
    """Checks an archive against the container contract and the limits. Reads it, changes nothing. Raises BadImage, and
    OSError where this machine cannot read it, which says nothing of the image.

    `seen` is called with every entry of every layer, as it is written for the engine, bottom layer first.
    """
    try:
        if path.stat().st_size > limits.archive_bytes:
            raise BadImage(f"the archive has {path.stat().st_size} bytes; the limit is {limits.archive_bytes}")
        pieces, layer_names, raw = _documents(path, limits)
        config = parse_config(raw, architecture)
        if len(config.layers) != len(layer_names) or len(config.layers) > limits.layers:
            raise BadImage(f"{len(layer_names)} layers for {len(config.layers)} digests; at most {limits.layers} are allowed")
        found = [_find(pieces, name) for name in layer_names]
        reader = Layers(limits, seen)
        layers = tuple(
            _scan_layer(path, piece, digest, reader, last=index == len(found))
            for index, (piece, digest) in enumerate(zip(found, config.layers, strict=True), 1)
        )
        reader.finish()
    except BadTar as problem:
        raise BadImage(f"the archive is refused: {problem}") from problem
    image_id = _sha256(raw)
    document = _document(image_id, config, layers)
    spent = reader.budget.spent, reader.budget.files
    return ScannedImage(image_id, _sha256(document), config, document, layers, limits, *spent)


def identify_archive(path: Path, limits: ImageLimits) -> tuple[str, ImageConfig]:
    """The id and the configuration of an archive whose layers nobody has looked at yet. Raises BadImage, OSError."""
    try:
        if path.stat().st_size > limits.archive_bytes:
            raise BadImage(f"the archive has {path.stat().st_size} bytes; the limit is {limits.archive_bytes}")
        _, _, raw = _documents(path, limits)
    except BadTar as problem:
        raise BadImage(f"the archive is refused: {problem}") from problem
    return _sha256(raw), parse_config(raw, None)


def scan_export(path: Path, image_id: str, config: ImageConfig, limits: ImageLimits) -> ScannedImage:
    """The same of a container's files as the engine exports them, for an image that the engine itself unpacked: one layer.

    Raises BadImage.
    """
    reader = Layers(limits)
    try:
        layer = _scan_layer(path, Piece(0, path.stat().st_size), "", reader, last=True)
        reader.finish()
    except BadTar as problem:
        raise BadImage(f"the image's files are refused: {problem}") from problem
    document = _document(image_id, config, (layer,))
    spent = reader.budget.spent, reader.budget.files
    return ScannedImage(image_id, _sha256(document), config, document, (layer,), limits, *spent)


def clean_archive(path: Path, image: ScannedImage, tag: str) -> Iterator[bytes]:
    """The archive that the engine gets: what was scanned, written anew under our tag. Raises BadImage where the file changed, and
    OSError."""
    config_name = f"{image.loaded_id.removeprefix('sha256:')}.json"
    names = [f"{index}/layer.tar" for index in range(len(image.layers))]
    manifest = [{"Config": config_name, "RepoTags": [tag], "Layers": names}]
    yield tarwriter.file(config_name, image.document)
    reader = Layers(image.limits)
    for name, layer in zip(names, image.layers, strict=True):
        yield tarwriter.header(name, FILE, size=layer.written_size)
        left = layer.written_size
        try:
            with path.open("rb") as file:
                for piece in reader.rewritten(_Window(file, layer.piece), layer.digest, last=layer is image.layers[-1]):
                    left -= len(piece)
                    yield piece
        except BadTar as problem:
            raise BadImage(f"the archive changed while it was read: {problem}") from problem
        if left:
            raise BadImage("the archive changed while it was read")
        yield tarwriter.padding(layer.written_size)
    yield tarwriter.file("manifest.json", json.dumps(manifest).encode())
    yield tarwriter.END


def _document(image_id: str, config: ImageConfig, layers: tuple[Layer, ...]) -> bytes:
    """The configuration of our image: the same bytes on every machine."""
    settings = {"Env": list(config.env), "Labels": {IMAGE_LABEL: image_id}}
    rootfs = {"type": "layers", "diff_ids": [layer.written_digest for layer in layers]}
    whole = {"architecture": config.architecture, "config": settings, "os": "linux", "rootfs": rootfs}
    return json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()


def _scan_layer(path: Path, piece: Piece, digest: str, reader: Layers, *, last: bool) -> Layer:
    written, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        for data in reader.rewritten(_Window(file, piece), digest, last=last):
            written.update(data)
            size += len(data)
    return Layer(piece, digest, f"sha256:{written.hexdigest()}", size)


def _documents(path: Path, limits: ImageLimits) -> tuple[dict[str, Piece | str], list[str], bytes]:
    """The pieces of an archive, the names of its layers, and the bytes of its configuration."""
    pieces = _outer(path, limits)
    if "manifest.json" not in pieces and "index.json" in pieces:
        text = "the archive is an OCI layout, without the list of images of docker-archives (manifest.json)"
        raise BadImage(text, "Write it as one: skopeo copy oci-archive:FILE docker-archive:image.tar")
    config_name, layer_names = parse_manifest(_read(path, _find(pieces, "manifest.json")))
    return pieces, layer_names, _read(path, _find(pieces, config_name))


_PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip -c"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -dc"),
    b"\xfd7zXZ": ("xz", "xz -dc"),
    b"BZh": ("bzip2", "bzip2 -dc"),
}


def _outer(path: Path, limits: ImageLimits) -> dict[str, Piece | str]:
    """Every file of the archive by name: its place, or the name that a link stands for."""
    found: dict[str, Piece | str] = {}
    with path.open("rb") as file:
        begins = file.read(8)
        for magic, (name, program) in _PACKED.items():
            if begins.startswith(magic):
                raise BadImage(
                    f"the archive is packed by {name}, and nodes read it in place", f"Unpack it: {program} FILE >image.tar"
                )
        file.seek(0)
        walk = TarWalk(file, max_bytes=limits.archive_bytes + MIB, max_members=_OUTER_MEMBERS, max_headers=_OUTER_HEADERS)
        for member in walk:
            name = "/".join(split(member.name))
            if member.kind in _KINDS:
                raise BadImage(f"the archive holds {_KINDS[member.kind]}, {name[:80]!r}")
            if name in found:
                raise BadImage(f"the archive holds {name[:80]!r} twice")
            if member.kind == SYMBOLIC_LINK:  # engines write a layer that occurs twice as a link to the first
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


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class _Window:
    """A part of a file, as a file."""

    def __init__(self, file: Any, piece: Piece) -> None:
        self._file = file
        self._left = piece.size
        file.seek(piece.offset)

    def read(self, size: int, /) -> bytes:
        data: bytes = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data
