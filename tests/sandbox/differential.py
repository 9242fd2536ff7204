"""Images made at random, well and badly: whatever the guard accepts, the engine loads, and both see the same in it.

`compare` takes one image through a real engine: its file list with kinds, sizes, permissions, targets and contents as the engine
exports them, its volumes, settings and size. `python -m tests.sandbox.differential --seconds 600` goes on for as long as one likes
(`make fuzz TARGET=engine SECONDS=600`); a test does a fixed number.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import platform
import random
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import docker

from learningchain.sandbox import BadImage, ImageLimits, Sandbox
from learningchain.sandbox.archive import clean_archive, scan_archive
from learningchain.sandbox.layers import FOLDER, HARD_LINK, OPAQUE, SYMBOLIC_LINK, WHITEOUT, LayerEntry
from learningchain.sandbox.spec import MIB
from tests.sandbox.readers import Seen, Unreadable, go_reads, python_reads
from tests.unit.tar_kit import pax, raw

LIMITS = ImageLimits(archive_bytes=4 * MIB, unpacked_bytes=4 * MIB, files=200, layers=6)
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
ENGINES_OWN = ("dev", "proc", "sys", "etc", ".dockerenv")
"""What an engine puts into every container."""
FOLDERS = ("a", "b", "a/b", "a/b/c", "d", "\u00e4\u00f6", "x" * 90)
NAMES = (
    *("a", "c", "l", "m", "n", "o", "\u00e4\u00f6", "x" * 99, "x" * 100, "y" * 130, "z" * 255, "sp ace", "new\nline", "-rf"),
    "\u202e",
)
ODD_NAMES = (
    *(
        "/a",
        "../a",
        "a/../b",
        "a//b",
        "./a",
        ".",
        "a/.",
        "..",
        "a/..",
        ".wh.a",
        "a/.wh.b",
        "a/.wh..wh..opq",
        ".wh..wh..opq",
        ".wh.",
    ),
    *("a/.wh..wh.opq", ".wh..wh.plnk/a", "a/.wh...", "d/.wh.a", "A", "a\\b", "z" * 256, "\u212a", "e\u0301", "/", "a/b/c/d/e/f"),
)
TARGETS = ("a", "b", "../b", "/a", "a/b", "c", "x" * 100, "x" * 300, "nowhere", "/", "..", "l")
KEYS = ("path", "linkpath", "size", "mtime", "uid", "gid", "uname", "comment", "SCHILY.xattr.user.x", "LIBARCHIVE.creationtime")
ODD_KEYS = ("GNU.sparse.size", "GNU.sparse.major", "hdrcharset", "SCHILY.realsize", "Path", "PATH", "RHT.x", "VENDOR.key")
VALUES = ("a", "b/", "c", "0", "1", "512", "1.5", "-1", "+1", "01", "1e3", "", "a\0b", "9" * 20, "../x", "0x10", " 1", "\u00e4")


@dataclass
class Made:
    """An archive and what was put into it, unpacked."""

    layers: list[bytes]
    config: bytes

    def archive(self) -> bytes:
        name = f"{hashlib.sha256(self.config).hexdigest()}.json"
        manifest = [{"Config": name, "RepoTags": None, "Layers": [f"{i}/layer.tar" for i in range(len(self.layers))]}]
        files = {name: self.config, "manifest.json": json.dumps(manifest).encode()}
        files |= {f"{i}/layer.tar": layer for i, layer in enumerate(self.layers)}
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path, content in files.items():
                info = tarfile.TarInfo(path)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return out.getvalue()


def make(rng: random.Random) -> Made:
    """An image of a few small layers. About half of all are plain enough to be accepted."""
    wild = rng.random() < 0.5
    layers = [_layer(rng, wild) for _ in range(rng.randint(1, 3))]
    settings: dict[str, Any] = {"Env": ["A=1", "B=\u00e4"], "Cmd": ["x"], "User": "0", "Labels": {"l": "1"}}
    if wild and rng.random() < 0.2:
        settings[rng.choice(("volumes", "VOLUMES", "Volumes", "volume\u017f", "Labelz"))] = rng.choice(({"/v": {}}, {}, None))
    text = document(layers, settings, plain=rng.random() < 0.5).decode()
    if wild and rng.random() < 0.1:
        text = text.replace('"config":', '"config": {}, ' + rng.choice(('"config":', '"Config":', '"CONFIG":')), 1)
    return Made(layers, text.encode())


def document(layers: list[bytes], settings: dict[str, Any] | None = None, *, plain: bool = True) -> bytes:
    """The configuration of an image of these layers."""
    ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    rootfs = {"type": "layers", "diff_ids": ids}
    whole = {"os": "linux", "architecture": MACHINE, "config": settings or {}, "rootfs": rootfs}
    return json.dumps(whole, ensure_ascii=plain).encode()


def _layer(rng: random.Random, wild: bool) -> bytes:
    out, made = b"", list[str]()
    for name in rng.sample(NAMES, rng.randint(1, len(NAMES))):
        folder = rng.choice(FOLDERS)
        out += _entry(rng, f"{folder}/{name}" if rng.random() < 0.5 else name, wild, made)
    out += bytes(1024)
    if wild and rng.random() < 0.3:
        out = _damaged(rng, out)
    return out


def _entry(rng: random.Random, name: str, wild: bool, made: list[str]) -> bytes:
    """One entry; `made` are the files of the layer so far."""
    odd = wild and rng.random() < 0.15
    if odd and rng.random() < 0.5:
        name = rng.choice(ODD_NAMES)
    elif rng.random() < 0.1:
        folder, slash, base = name.rpartition("/")
        name = folder + slash + rng.choice((f".wh.{base}"[:255], ".wh..wh..opq" if folder else f".wh.{base}"[:255]))
    flag = rng.choices((b"0", b"5", b"2", b"1"), (6, 2, 2, 1 if made or odd else 0))[0]
    if odd and rng.random() < 0.3:
        flag = rng.choice((b"\0", b"6", b"3", b"4", b"7", b"S", b"Z", b"M"))
    if ".wh." in name and not odd:
        flag = b"0"
    content = rng.randbytes(rng.choice((0, 1, 511, 512, 513, 2000))) if flag in b"0\x007" and ".wh." not in name else b""
    if odd and rng.random() < 0.2:
        content = raw(b"hidden", b"0", b"x")
    link = rng.choice(TARGETS) if flag in b"12" else ""
    if flag == b"1" and made and not odd:
        link = rng.choice(made)
    if flag == b"0" and ".wh." not in name:
        made.append(name)
    return _written(rng, name, flag, content, link, odd)


def _written(rng: random.Random, name: str, flag: bytes, content: bytes, link: str, odd: bool) -> bytes:
    """The entry's blocks, in one of the dialects."""
    form = {"mode": rng.choice((0o644, 0o755, 0o600, 0o6755, 0o1777, 0)), "mtime": rng.choice((0, 1, 1_700_000_000, 8**11 - 1))}
    full = name.encode() + (b"/" if flag == b"5" else b"")
    target, before, records = link.encode(), b"", []
    if len(full) > 100 or rng.random() < 0.1:
        if rng.random() < 0.5:
            records.append((b"path", full))
        else:
            before += raw(b"././@LongLink", b"L", full + b"\0", magic=b"ustar  \0")
        full = full[:100]
    if len(target) > 100:
        if before or (rng.random() < 0.5 and not records):
            before += raw(b"././@LongLink", b"K", target + b"\0", magic=b"ustar  \0")
        else:
            records.append((b"linkpath", target))
        target = target[:100]
    if rng.random() < 0.1 and not before:
        records.append((rng.choice(KEYS[3:]).encode(), b"7"))
    if odd and rng.random() < 0.5:
        records.append((rng.choice((*KEYS, *KEYS, *ODD_KEYS)).encode(), rng.choice(VALUES).encode()))
    if records:
        before += pax(*records, kind=b"g" if odd and rng.random() < 0.1 else b"x")
    magic = b"ustar  \0" if rng.random() < 0.2 else b"ustar\x0000"
    return before + raw(full, flag, content, link=target, magic=magic, **form)


def _damaged(rng: random.Random, stream: bytes) -> bytes:
    """A few bytes of headers changed, most with a checksum that agrees."""
    data = bytearray(stream)
    for _ in range(rng.randint(1, 3)):
        start = 512 * rng.randrange(len(data) // 512)
        at = start + rng.choice(
            (rng.randrange(512), 124 + rng.randrange(12), 156, 100 + rng.randrange(24), 257 + rng.randrange(8), 345)
        )
        data[at] = rng.choice((0, 0x20, 0x2F, 0x30, 0x31, 0x37, 0x80, 0xFF, rng.randrange(256)))
        if rng.random() < 0.8 and any(data[start : start + 512]):
            data[start + 148 : start + 156] = b" " * 8
            data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
    return bytes(data)


# --- views ------------------------------------------------------------------------------------------------------------------------


class File(NamedTuple):
    """One file as it lies in a container. `told`: a link's target, or the hash of the contents."""

    kind: str
    size: int
    mode: int
    mtime: int
    told: str


View = dict[str, File]


def accepted(made: Made, path: Path) -> list[list[LayerEntry]] | None:
    """What the guard sees in each layer; None where it refuses the image."""
    path.write_bytes(made.archive())
    seen: list[LayerEntry] = []
    try:
        image = scan_archive(path, LIMITS, architecture=MACHINE, seen=seen.append)
    except BadImage:
        return None
    layers: list[list[LayerEntry]] = []
    written = b"".join(clean_archive(path, image, "t:1"))
    with tarfile.open(fileobj=io.BytesIO(written)) as outer:
        for index in range(len(image.layers)):
            count = len(python_reads(outer.extractfile(f"{index}/layer.tar").read()))  # type: ignore[union-attr]
            layers.append(seen[:count])
            del seen[:count]
    assert not seen
    return layers


def readers_agree(made: Made, layers: list[list[LayerEntry]]) -> str:
    """What another reader sees differently in the layers as they came; empty where all agree."""
    for stream, entries in zip(made.layers, layers, strict=True):
        for reads in (python_reads, go_reads):
            try:
                theirs = [seen for seen in reads(stream) if seen.kind != "g"]
            except Unreadable as problem:
                return f"{reads.__name__} cannot read it: {problem}"
            difference = _difference(theirs, entries)
            if difference:
                return f"{reads.__name__}: {difference}"
    return ""


def _difference(theirs: list[Seen], ours: list[LayerEntry]) -> str:
    """Every entry of ours is one of theirs in the same order; theirs that we leave out are the root and removals of nothing."""
    left = list(ours)
    for seen in theirs:
        path = "/".join(part for part in seen.name.split("/") if part not in ("", "."))
        added = 0  # folders that we named before it
        while added < len(left) and left[added].kind == FOLDER and path.startswith(left[added].path + "/"):
            added += 1
        base = path.rpartition("/")[2]
        if added < len(left) and _matches(seen, path, left[added]):
            del left[: added + 1]
        elif path and not base.startswith(".wh."):
            return f"{seen} is not {left[:1]}"
    left = [entry for entry in left if (entry.path, entry.kind) != ("tmp", FOLDER)]  # added to the top layer
    return f"not seen: {left}" if left else ""


def _matches(seen: Seen, path: str, entry: LayerEntry) -> bool:
    folder, _, base = path.rpartition("/")
    if base.startswith(".wh."):
        removed = entry.path == (folder if base == ".wh..wh..opq" else "/".join(filter(None, (folder, base.removeprefix(".wh.")))))
        return removed and entry.kind in (WHITEOUT, OPAQUE) and (seen.kind, seen.size) == ("0", 0)
    same = (path, seen.size) == (entry.path, entry.size)
    if seen.kind == "1":  # to a link: the same link once more
        return same and entry.kind in (HARD_LINK, SYMBOLIC_LINK)
    return same and seen.kind.encode() == entry.kind and (seen.kind != "2" or seen.link == entry.link)


def merged(written: bytes, seen: list[LayerEntry]) -> View:
    """What the guard says that a container shows: its entries laid over each other, with the contents of the archive it wrote."""
    view: View = {}
    entries = iter(seen)
    with tarfile.open(fileobj=io.BytesIO(written)) as outer:
        manifest = json.loads(outer.extractfile("manifest.json").read())  # type: ignore[union-attr]
        for name in manifest[0]["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(name)) as layer:
                brought = [(next(entries), member) for member in layer.getmembers()]
                for entry, _ in brought:
                    if entry.kind == WHITEOUT:
                        view.pop(entry.path, None)
                    if entry.kind in (WHITEOUT, OPAQUE):
                        _remove_below(view, entry.path)
                for entry, member in brought:
                    if entry.kind not in (WHITEOUT, OPAQUE):
                        assert (entry.path, entry.kind.decode()) == (member.name, member.type.decode())
                        _put(view, layer, member)
    return view


def _remove_below(view: View, folder: str) -> None:
    for path in [path for path in view if path.startswith(f"{folder}/")]:
        del view[path]


def _put(view: View, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    if not member.isdir():
        _remove_below(view, member.name)
    if member.islnk():
        view[member.name] = view[member.linkname]
        return
    told = member.linkname
    if member.isreg():
        told = hashlib.sha256(archive.extractfile(member).read()).hexdigest()  # type: ignore[union-attr]
    mtime = 0 if member.isdir() else int(member.mtime)  # a folder's changes with what is put into it
    view[member.name] = File(member.type.decode(), member.size, member.mode & 0o7777, mtime, told)


def exported(api: Any, image: str) -> View:
    """The files of a container of this image, as the engine exports them."""
    made = api.create_container_from_config({"Image": image, "Entrypoint": ["/x"], "NetworkDisabled": True})
    try:
        stream = b"".join(api.export(made["Id"]))
    finally:
        api.remove_container(made["Id"], v=True, force=True)
    view: View = {}
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        for member in archive.getmembers():
            _put(view, archive, member)
    return view


def own(view: View) -> View:
    """Without what the engine puts into every container, or over the image's own."""
    return {path: file for path, file in view.items() if path.split("/")[0] not in ENGINES_OWN}


def compare(api: Any, room: Sandbox, made: Made, path: Path) -> str:
    """What guard and engine see differently; empty where they agree."""
    path.write_bytes(made.archive())
    seen: list[LayerEntry] = []
    image = scan_archive(path, LIMITS, architecture=MACHINE, seen=seen.append)
    loaded = room.load_archive(path, None, LIMITS)
    try:
        facts = api.inspect_image(image.loaded_id)
        if facts["Config"]["Volumes"] or facts["RootFS"]["Layers"] != [layer.written_digest for layer in image.layers]:
            return f"another image: {facts}"
        if not 0 <= facts["Size"] - image.unpacked_bytes <= 4096 * image.files:
            return f"Size {facts['Size']} for {image.unpacked_bytes} bytes of contents"
        ours, theirs = own(merged(b"".join(clean_archive(path, image, "t:1")), seen)), own(exported(api, image.loaded_id))
        return "; ".join(
            f"{key!r}: {ours.get(key)} and {theirs.get(key)}" for key in {*ours, *theirs} if ours.get(key) != theirs.get(key)
        )
    finally:
        room.remove_image(loaded)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=None, help="one image alone")
    given = parser.parse_args()
    until, seed, tried, bad = time.monotonic() + given.seconds, given.seed or random.SystemRandom().randrange(1 << 40), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        room = Sandbox(Path(folder), node_tag=f"differential-{os.getpid()}")
        api, path = docker.from_env().api, Path(folder) / "image.tar"
        while time.monotonic() < until and not bad:
            made = make(random.Random(seed))
            layers = accepted(made, path)
            if layers is not None:
                tried += 1
                difference = readers_agree(made, layers) or compare(api, room, made, path)
                if difference:
                    bad += 1
                    print(f"seed {seed}: {difference}", file=sys.stderr)
            if given.seed is not None:
                break
            seed += 1
        room.cleanup()
        room.close()
    print(f"{tried} images accepted and compared; last seed {seed}; {bad} differ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
