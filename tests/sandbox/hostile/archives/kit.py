"""Writes docker-archives byte by byte, so that every field can be wrong, and declares the hostile ones.

An archive's expected end is either `refused`, words of the reason for which the guard does not take it, or `ends`, the verdict of
a run of it: then it is laid over the layers of the image with the hostile programs, of which it runs one.
"""

from __future__ import annotations

import hashlib
import json
import platform
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learningchain.sandbox import ImageLimits

from ..programs.kit import FINE, Verdict

MIB = 1 << 20
SMALL = ImageLimits(archive_bytes=8 * MIB, unpacked_bytes=MIB, files=50, layers=4)
"""What an archive that must be refused is measured by."""
ROOMY = ImageLimits(archive_bytes=256 * MIB, unpacked_bytes=256 * MIB, files=20_000, layers=64)
"""What an image that must run is measured by."""
END = bytes(1024)
FILE, HARD, SOFT, CHARACTER, BLOCK, FOLDER, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


@dataclass(frozen=True)
class Base:
    """The layers and the settings of the image with the hostile programs."""

    layers: tuple[bytes, ...]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Archive:
    """One hostile archive. `write` gives its bytes; `mode` is the program that runs where it is accepted."""

    name: str
    category: str
    tries: str
    write: Callable[[Base], bytes]
    refused: str
    ends: Verdict
    gvisor: tuple[Verdict, ...]
    mode: str
    expect: str | None


ARCHIVES: dict[str, Archive] = {}


def case(
    category: str,
    refused: str = "",
    *,
    ends: Verdict = FINE,
    gvisor: tuple[Verdict, ...] = (),
    mode: str = "good",
    expect: str | None = None,
) -> Callable[[Callable[[Base], bytes]], Callable[[Base], bytes]]:
    """Declares an archive: its name is the function's, what it tries is the docstring. `expect`: the image id that was posted."""

    def declare(write: Callable[[Base], bytes]) -> Callable[[Base], bytes]:
        name, tries = write.__name__, " ".join((write.__doc__ or "").split())
        if name in ARCHIVES:
            raise ValueError(f"two archives are called {name}")
        ARCHIVES[name] = Archive(name, category, tries, write, refused, ends, gvisor or (ends,), mode, expect)
        return write

    return declare


# --- tar ----------------------------------------------------------------------------------------------------------------------


def entry(
    name: str | bytes,
    content: bytes = b"",
    kind: bytes = FILE,
    *,
    link: str | bytes = b"",
    mode: int = 0o755,
    size: int | bytes | None = None,
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    tail: bytes = b"",
    wrong: int = 0,
    device: tuple[int, int] = (0, 0),
) -> bytes:
    """One entry with the fields as given; `size` may be raw bytes of the field, `wrong` is added to the checksum."""
    length = len(content) if size is None else size
    number = length if isinstance(length, bytes) else b"%011o\0" % length
    block = b"".join(
        (
            _bytes(name).ljust(100, b"\0"),
            b"%07o\0" % mode + b"0000000\x000000000\0",
            number.ljust(12, b"\0"),
            b"00000000000\0" + b" " * 8 + kind,
            _bytes(link).ljust(100, b"\0"),
            magic + bytes(64) + b"%07o\0%07o\0" % device,
            prefix.ljust(155, b"\0"),
            tail.rjust(12, b"\0"),
        )
    )
    if len(block) != 512:
        raise ValueError(f"a header of {len(block)} bytes")
    checksum = b"%06o\0 " % (sum(block) + wrong)
    return block[:148] + checksum + block[156:] + content + bytes(-len(content) % 512)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def record(key: str | bytes, value: str | bytes) -> bytes:
    """One record of an extended header, with its length in front."""
    rest = b" " + _bytes(key) + b"=" + _bytes(value) + b"\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return str(length).encode() + rest


def pax(*records: tuple[str | bytes, str | bytes], kind: bytes = b"x") -> bytes:
    return entry("pax", b"".join(record(key, value) for key, value in records), kind)


JOB = entry("lc", kind=FOLDER) + entry("lc/job", b"#!/usr/local/bin/python3\n")


def tar(*entries: bytes) -> bytes:
    return b"".join(entries) + END


# --- docker-archives ----------------------------------------------------------------------------------------------------------


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def document(digests: list[str], settings: dict[str, Any] | None = None, **more: Any) -> bytes:
    """An image's configuration."""
    whole = {
        "os": "linux",
        "architecture": ARCHITECTURE,
        "config": settings or {},
        "rootfs": {"type": "layers", "diff_ids": digests},
    }
    return json.dumps(whole | more).encode()


def archive(
    *layers: bytes,
    settings: dict[str, Any] | None = None,
    config: bytes | None = None,
    manifest: bytes | None = None,
    packed: dict[int, bytes] | None = None,
    around: bytes = b"",
    tags: list[str] | None = None,
) -> bytes:
    """A docker-archive of these layers. `packed` says what lies in the archive in a layer's place; `around` are further entries."""
    raw = config if config is not None else document([digest(layer) for layer in layers], settings)
    names = [f"{index}/layer.tar" for index in range(len(layers))]
    listed = [{"Config": "config.json", "RepoTags": tags, "Layers": names}]
    files = [entry(name, (packed or {}).get(index, layers[index])) for index, name in enumerate(names)]
    said = manifest if manifest is not None else json.dumps(listed).encode()
    return tar(around, entry("config.json", raw), *files, entry("manifest.json", said))


def one(*entries: bytes) -> bytes:
    """An archive whose one layer holds these entries."""
    return archive(tar(*entries))


def over(base: Base, *entries: bytes, settings: dict[str, Any] | None = None, **more: Any) -> bytes:
    """An image that runs: the hostile programs' layers and one of these entries on top."""
    return archive(*base.layers, tar(*entries), settings=base.settings | (settings or {}), **more)


def read_base(path: Path) -> Base:
    """The layers of the archive that `build_image` wrote."""
    with tarfile.open(path) as file:

        def content(name: str) -> bytes:
            found = file.extractfile(name)
            if found is None:
                raise ValueError(f"{path} lacks {name}")
            return found.read()

        listed = json.loads(content("manifest.json"))[0]
        settings = json.loads(content(listed["Config"]))["config"]
        return Base(tuple(content(name) for name in listed["Layers"]), settings)
