"""Writes docker-archives: layers of named entries in one fixed form, so that the same entries always give the same image id.

    LayerFiles (paths and where their bytes come from) --> layer --+
    Written (a layer of another archive, byte for byte) -----+--> docker-archive, image id

Entries are sorted, owned by root and dated 1970. Each layer is written straight into the archive and hashed on the way. What the
entries are is for the callers to decide: `images` takes them from the running interpreter, `building` from wheels and a folder.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import tarfile
import tempfile
import zipfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple

PYTHON_IN_IMAGE = "/usr/local/bin/python3"
ENVIRONMENT: Final = ("PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1")
_CHUNK = 1 << 20
_PACKED_PIECE: Final = 8 << 20


class ImageBuildError(Exception):
    """The image cannot be built; the text says what is missing or wrong, and what to do."""


def own_text(module: str) -> bytes:
    """The source of a module of this package, for an image. Raises ImageBuildError where byte code alone is installed."""
    package, _, name = module.rpartition(".")
    try:
        return resources.files(package).joinpath(f"{name}.py").read_bytes()
    except FileNotFoundError:
        raise ImageBuildError(
            f"the source of {module} goes into an image, and byte code alone is installed; install learningchain from its wheel"
        ) from None


class Zipped(NamedTuple):
    """A file in a zip archive that the caller keeps open."""

    archive: zipfile.ZipFile
    member: zipfile.ZipInfo


Content = bytes | Path | Zipped


@dataclass(frozen=True)
class WrittenEntry:
    """One entry of a layer: a directory, a symbolic link or a regular file with its bytes or the file they come from."""

    kind: bytes
    mode: int
    content: Content = b""
    link: str = ""


@dataclass
class LayerFiles:
    """The content of one layer, by path relative to the root. Parent directories come into being by themselves."""

    entries: dict[str, WrittenEntry] = field(default_factory=dict)

    def add_file(self, path: str, content: Content, mode: int = 0o644) -> None:
        self._add(path, WrittenEntry(tarfile.REGTYPE, mode, content))

    def add_link(self, path: str, target: str) -> None:
        self._add(path, WrittenEntry(tarfile.SYMTYPE, 0o777, link=target))

    def add_dir(self, path: str, mode: int = 0o755) -> None:
        self._add(path, WrittenEntry(tarfile.DIRTYPE, mode))

    def _add(self, path: str, entry: WrittenEntry) -> None:
        pure = PurePosixPath(path.lstrip("/"))
        if not pure.parts or ".." in pure.parts:
            raise ImageBuildError(f"{path!r} is not a path inside an image")
        for parent in pure.parents:
            if parent.parts and self.entries.setdefault(str(parent), WrittenEntry(tarfile.DIRTYPE, 0o755)).kind != tarfile.DIRTYPE:
                raise ImageBuildError(f"{path!r} lies below {str(parent)!r}, which is a file; rename one of them")
        if (entry.kind == tarfile.DIRTYPE) != (self.entries.get(str(pure), entry).kind == tarfile.DIRTYPE):
            raise ImageBuildError(f"{path!r} is a file and a folder; rename one of them")
        self.entries[str(pure)] = entry


@dataclass(frozen=True)
class Written:
    """A layer that lies in another archive already: its tar's place there, and its SHA-256 in hex."""

    archive: Path
    offset: int
    size: int
    digest: str


def this_machine() -> str:
    """This machine's architecture, as images name it."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def files_layer(files: Mapping[str, bytes | Path]) -> LayerFiles:
    """Files by their paths in the image. What starts like a program (`#!`, ELF) is made executable."""
    tree = LayerFiles()
    for path, content in files.items():
        head = content[:4] if isinstance(content, bytes) else _read_head(content)
        tree.add_file(path, content, 0o755 if head.startswith((b"#!", b"\x7fELF")) else 0o644)
    return tree


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def write_archive(
    dest: Path,
    layers: Sequence[LayerFiles | Written],
    extra: Mapping[str, object],
    architecture: str,
    limit: int = 1 << 62,
    *,
    packed: bool = False,
) -> str:
    """Writes a docker-archive to `dest` (atomically), bottom layer first, and returns its image id, "sha256:" and 64 hex digits.

    `extra` is merged into the image's configuration (Env, Labels, ...). `limit`: bytes that the archive may have. `packed`: its new
    layers are packed by gzip; the image id is the same. Raises ImageBuildError, OSError.
    """
    dest.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dest.parent, prefix=".image-") as scratch:
        unfinished = Path(scratch) / "archive"
        with unfinished.open("w+b") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            digests = []
            for layer in layers:
                digests.append(_put_layer(archive, file, layer, packed))
                if archive.offset > limit:
                    raise ImageBuildError(f"the image has more than {limit} bytes; take fewer packages or smaller data")
            document = _config(digests, extra, architecture)
            image = hashlib.sha256(document).hexdigest()
            _put_bytes(archive, f"{image}.json", document)
            manifest = [{"Config": f"{image}.json", "RepoTags": None, "Layers": [f"{d}/layer.tar" for d in digests]}]
            _put_bytes(archive, "manifest.json", _json(manifest))
        os.replace(unfinished, dest)
    return f"sha256:{image}"


def _config(digests: Sequence[str], extra: Mapping[str, object], architecture: str) -> bytes:
    """The image's configuration document; its SHA-256 is the image id."""
    settings: dict[str, object] = {"Env": list(ENVIRONMENT), "Cmd": [PYTHON_IN_IMAGE]}
    settings.update(extra)
    return _json(
        {
            "architecture": architecture,
            "config": settings,
            "created": "1970-01-01T00:00:00Z",
            "history": [{"created": "1970-01-01T00:00:00Z"} for _ in digests],
            "os": "linux",
            "rootfs": {"diff_ids": [f"sha256:{digest}" for digest in digests], "type": "layers"},
        }
    )


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class _Packing:
    """A file to which a layer is written packed: each piece of it is a stream of its own, by as many threads as there are
    processors. The same bytes of zlib make the same archive."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._held, self._ahead = file, bytearray(), (os.cpu_count() or 1) + 1
        self._threads = ThreadPoolExecutor(self._ahead)
        self._pieces: deque[Future[bytes]] = deque()

    def write(self, data: bytes) -> int:
        self._held += data
        if len(self._held) >= _PACKED_PIECE:
            self._pack()
        return len(data)

    def finish(self) -> None:
        self._pack()
        while self._pieces:
            self._file.write(self._pieces.popleft().result())
        self._threads.shutdown()

    def _pack(self) -> None:
        if len(self._pieces) > self._ahead:
            self._file.write(self._pieces.popleft().result())
        self._pieces.append(self._threads.submit(gzip.compress, bytes(self._held), 1, mtime=0))
        self._held.clear()


class _Hashing:
    """A file to which a layer is written: it hashes and counts what passes."""

    def __init__(self, file: IO[bytes] | _Packing) -> None:
        self._file, self.sha256, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.size += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self.size


def _put_layer(archive: tarfile.TarFile, file: IO[bytes], layer: LayerFiles | Written, packed: bool) -> str:
    """Appends one layer to the archive and returns its SHA-256 in hex. Its header, which names it by that, is filled in last."""
    start = archive.offset
    file.seek(start)
    file.write(bytes(tarfile.BLOCKSIZE))
    hashing = _Hashing(file)
    if isinstance(layer, Written):
        _copy_layer(layer, hashing)
    elif packed:
        hashing = _Hashing(packing := _Packing(file))
        _write_layer(hashing, layer)
        packing.finish()
    else:
        _write_layer(hashing, layer)
    digest, size = hashing.sha256.hexdigest(), file.tell() - start - tarfile.BLOCKSIZE
    if isinstance(layer, Written) and digest != layer.digest:
        raise ImageBuildError(f"{layer.archive} changed while it was read; build again")
    info = _info(f"{digest}/layer.tar", tarfile.REGTYPE, 0o644)
    info.size = size
    header = info.tobuf(tarfile.PAX_FORMAT)
    if len(header) != tarfile.BLOCKSIZE:
        raise ImageBuildError(f"a layer has {size} bytes, more than one file of an archive holds; take fewer packages")
    file.write(bytes(-size % tarfile.BLOCKSIZE))
    archive.offset = file.tell()
    file.seek(start)
    file.write(header)
    file.seek(archive.offset)
    return digest


def _copy_layer(layer: Written, out: _Hashing) -> None:
    with layer.archive.open("rb") as source:
        source.seek(layer.offset)
        left = layer.size
        while left and (piece := source.read(min(_CHUNK, left))):
            out.write(piece)
            left -= len(piece)


def _write_layer(out: _Hashing, tree: LayerFiles) -> None:
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        for path, entry in sorted(tree.entries.items()):
            info = _info(path, entry.kind, entry.mode)
            info.linkname = entry.link
            with _opened(entry.content) as (size, source):
                info.size = size
                archive.addfile(info, source)


@contextmanager
def _opened(content: Content) -> Iterator[tuple[int, IO[bytes]]]:
    if isinstance(content, Path):
        with content.open("rb") as file:
            yield os.fstat(file.fileno()).st_size, file
    elif isinstance(content, Zipped):
        with content.archive.open(content.member) as member:
            yield content.member.file_size, member
    else:
        yield len(content), io.BytesIO(content)


def _put_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = _info(name, tarfile.REGTYPE, 0o644)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def _info(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime, info.uid, info.gid = kind, mode, 0, 0, 0
    return info
