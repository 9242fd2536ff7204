"""What two readers could understand differently: in a tar, in an image's documents, over its layers. It is refused by name, or it
reaches the engine in one plain form."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from learningchain.sandbox import disk, tarwriter
from learningchain.sandbox.archive import ScannedImage, clean_archive, scan_archive
from learningchain.sandbox.docker.store import (
    PULL_LEAST,
    PULL_PATIENCE_S,
    PULL_SLOWEST,
    PULL_WINDOW_S,
    ImageStore,
    PullWatch,
    image_differences,
)
from learningchain.sandbox.documents import parse, parse_config, parse_manifest
from learningchain.sandbox.errors import BadImage, EngineError, ImageNotFound
from learningchain.sandbox.layers import FILE, FOLDER, OPAQUE, SYMBOLIC_LINK, WHITEOUT, LayerEntry
from learningchain.sandbox.spec import MIB, ImageLimits
from learningchain.sandbox.targuard import BadTar, TarWalk

from .tar_kit import pax, raw
from .test_sandbox_archive import LIMITS, docker_archive, entry, tar


def members(stream: bytes) -> list[tuple[str, bytes, int]]:
    walk = TarWalk(io.BytesIO(stream + bytes(1024)), max_bytes=1 << 20, max_members=50)
    return [(member.name, member.kind, member.size) for member in walk]


TWO_READINGS = {
    "a pipe that has a size hides entries": raw(b"p", b"6", raw(b"hidden", content=b"x")),
    "a folder that has a size": raw(b"d/", b"5", bytes(512)),
    "a link that has a size": raw(b"l", b"1", bytes(512), link=b"f"),
    "a symbolic link that has a size": raw(b"l", b"2", bytes(512), link=b"f"),
    "a device that has a size": raw(b"l", b"3", bytes(512)),
    "a pipe that has a size by an extended header": pax((b"size", b"512")) + raw(b"p", b"6") + bytes(512),
    "an old file that is named as a folder": raw(b"d/", b"\0", b"x"),
    "a file that becomes a folder by an extended header": pax((b"path", b"y/")) + raw(b"y", b"\0", raw(b"hidden")),
    "a file that becomes a folder by a long name": raw(b"L", b"L", b"y/\0") + raw(b"y", b"0", b"x"),
    "a link that is named as a folder": raw(b"l/", b"2", link=b"f"),
    "pax and GNU both name an entry": pax((b"path", b"a")) + raw(b"L", b"L", b"b\0") + raw(),
    "GNU and pax both name an entry": raw(b"L", b"L", b"b\0") + pax((b"path", b"a")) + raw(),
    "two extended headers": pax((b"path", b"a")) + pax((b"mtime", b"1")) + raw(),
    "two long names": raw(b"L", b"L", b"a\0") + raw(b"L", b"L", b"b\0") + raw(),
    "a long name of two names": raw(b"L", b"L", b"a\0b\0") + raw(),
    "an empty long name": raw(b"L", b"L", b"\0") + raw(),
    "two values for one key": pax((b"path", b"a"), (b"path", b"b")) + raw(),
    "an empty value": pax((b"path", b"")) + raw(),
    "a zero in a name": pax((b"path", b"a\0b")) + raw(),
    "a signed size": pax((b"size", b"+1")) + raw(content=b"x"),
    "a size with zeros before it": pax((b"size", b"01")) + raw(content=b"x"),
    "a sparse file": pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.realsize", b"999999999999")) + raw(content=b"x"),
    "a sparse file of GNU's": raw(b"s", b"S", bytes(512)),
    "an unknown key": pax((b"hdrcharset", b"BINARY")) + raw(),
    "a record with a length that has zeros before it": raw(b"x", b"x", b"010 path=a\n") + raw(),
    "a record with a sign before its length": raw(b"x", b"x", b"+9 path=a\n") + raw(),
    "a global header renames": pax((b"path", b"a"), kind=b"g") + raw(),
    "a global header resizes": pax((b"size", b"0"), kind=b"g") + raw(content=raw(b"hidden")),
    "a global header between": pax((b"path", b"a")) + pax((b"comment", b"c"), kind=b"g") + raw(),
    "an extended header without an entry": pax((b"path", b"a")),
    "a negative size": raw(size=b"\xff" * 12),
    "a huge binary size": raw(size=b"\x80" + b"\x7f" * 11),
    "a size that one reader takes for a number": raw(size=b"0o1"),
    "a size with an underscore": raw(size=b"1_0"),
    "a size in decimals": raw(size=b"8"),
    "a prefix in GNU's dialect": raw(prefix=b"etc", magic=b"ustar  \0"),
    "star's dialect": raw(prefix=b"etc", tail=b"tar\0"),
    "no dialect": raw(magic=bytes(8)),
    "a name behind the name": raw(name=b"a\0b"),
    "a name that is not UTF-8": raw(name=b"a\xff"),
    "a contiguous file": raw(kind=b"7", content=b"x"),
    "an owner that is no number": raw(uid=b"root\0\0\0\0"),
    "a checksum off by one": raw(checksum=1),
    "an unknown type": raw(kind=b"Z"),
    "a multi-volume entry": raw(kind=b"M", content=b"x"),
}


@pytest.mark.parametrize("stream", TWO_READINGS.values(), ids=TWO_READINGS)
def test_what_two_readers_of_a_tar_understand_differently_is_refused(stream: bytes) -> None:
    with pytest.raises(BadTar):
        members(stream)


def test_what_tools_write_is_understood() -> None:
    assert members(raw(b"d/", b"5") + raw(b"d/f", content=b"xyz")) == [("d", b"5", 0), ("d/f", b"0", 3)]
    assert members(raw(b"f", prefix=b"some/folder")) == [("some/folder/f", b"0", 0)]
    assert members(raw(b"L", b"L", b"long\0", magic=b"ustar  \0") + raw(magic=b"ustar  \0")) == [("long", b"0", 0)]
    assert members(pax((b"comment", b"a commit"), kind=b"g") + raw()) == [("f", b"0", 0)]
    noted = pax((b"SCHILY.xattr.security.capability", b"\x01\0\xff"), (b"mtime", b"1.5"), (b"uid", b"70000000"))
    assert members(noted + raw(content=b"x")) == [("f", b"0", 1)]
    assert members(raw(size=b"\x80" + bytes(10) + b"\x02", content=b"")[:512] + b"xy".ljust(512, b"\0")) == [("f", b"0", 2)]


def scan(path: Path, layers: list[bytes], limits: ImageLimits = LIMITS) -> list[LayerEntry]:
    seen: list[LayerEntry] = []
    docker_archive(path, layers)
    scan_archive(path, limits, seen=seen.append)
    return seen


REFUSED_LAYERS: dict[str, tuple[list[bytes], str]] = {
    "twice": ([tar(entry("f", b"a"), entry("f", b"b"))], "'f' twice"),
    "twice in two spellings": ([tar(entry("f", b"a"), entry("./f", b"b"))], "'f' twice"),
    "through a link": ([tar(entry("l", kind=b"2", link="/etc"), entry("l/passwd", b"x"))], "through what is no folder"),
    "through a file": ([tar(entry("f", b"x"), entry("f/g", b"x"))], "through what is no folder"),
    "a hard link to a later file": ([tar(entry("l", kind=b"1", link="f"), entry("f", b"x"))], "no earlier file"),
    "a hard link to a lower layer": ([tar(entry("f", b"x")), tar(entry("l", kind=b"1", link="f"))], "no earlier file"),
    "a hard link to a folder": ([tar(entry("d", kind=b"5"), entry("l", kind=b"1", link="d"))], "no earlier file"),
    "an absolute path that leads out": ([tar(entry("/../etc/passwd", b"x"))], "leads out"),
    "a folder twice with other permissions": (
        [raw(b"d", b"5", mode=0o755) + raw(b"d", b"5", mode=0o700) + bytes(1024)],
        "'d' twice",
    ),
    "a path of many components": ([tar(entry("a/" * 300 + "f", b"x"))], "too long"),
    "a component that is too long": ([tar(entry("a" * 256, b"x"))], "too long"),
    "a link without a target": ([tar(entry("l", kind=b"2"))], "empty or oversized target"),
    "a link with a long target": ([tar(entry("l", kind=b"2", link="a" * 5000))], "empty or oversized target"),
    "a removal with contents": ([tar(entry(".wh.f", b"x"))], "no empty file"),
    "a removal of the folder itself": ([tar(entry("d/.wh..", b""))], "storage drivers"),
    "a removal of nothing": ([tar(entry("d/.wh.", b""))], "storage drivers"),
    "a storage driver's own folder": ([tar(entry(".wh..wh.plnk/f", b"x"))], "storage drivers"),
    "the whole root is emptied": ([tar(entry(".wh..wh..opq", b""))], "storage drivers"),
    "devices that are a file": ([tar(entry("dev", b"x"))], "'dev' is no folder"),
    "inputs that are a link": (
        [tar(entry("lc", kind=b"5")), tar(entry("lc/in", kind=b"2", link="/proc/self"))],
        "'lc/in' is no folder",
    ),
    "users that are a link": (
        [tar(entry("etc/passwd", kind=b"2", link="/dev/urandom"))],
        "'etc/passwd' is no file of at most 65536",
    ),
    "users by a hard link to a link": (
        [tar(entry("a", kind=b"2", link="b"), entry("etc/group", kind=b"1", link="a"))],
        "no file of",
    ),
    "users that a later mark seems to remove": (
        [tar(entry("etc/passwd", kind=b"2", link="/dev/urandom"), entry("etc/.wh..wh..opq"))],
        "'etc/passwd' is no file of",
    ),
    "users without end": ([tar(entry("a", bytes(65537)), entry("etc/group", kind=b"1", link="a"))], "'etc/group' is no file of"),
    "users that are a folder": ([tar(entry("etc/group", kind=b"5"))], "'etc/group' is no file of"),
    "a host name that is a folder": ([tar(entry("etc/hostname", kind=b"5"))], "'etc/hostname' is a folder"),
    "a root that is a link": ([tar(entry(".", kind=b"2", link="/etc"))], "root is no folder"),
}


@pytest.mark.parametrize(("layers", "why"), REFUSED_LAYERS.values(), ids=REFUSED_LAYERS)
def test_a_layer_that_engines_unpack_each_in_its_own_way_is_refused(tmp_path: Path, layers: list[bytes], why: str) -> None:
    with pytest.raises(BadImage, match=why):
        scan(tmp_path / "a.tar", layers)


def test_layers_are_written_anew_in_one_plain_form(tmp_path: Path) -> None:
    """Owners, set-user-id bits and attributes are left out, missing folders are named, and every machine writes the same bytes."""
    odd = tarfile.TarInfo("usr/bin/tool")
    odd.mode, odd.uid, odd.gid, odd.mtime, odd.size = 0o6755, 1234, 99, 1_700_000_000, 4
    odd.pax_headers = {"SCHILY.xattr.security.capability": "x", "LIBARCHIVE.creationtime": "1"}
    below = tar((odd, b"code"), entry("tmp", kind=b"5"), entry("tmp/old", b"x"), entry("etc/a", b"x"), entry("etc/b", b"x"))
    above = tar(
        *(entry("tmp/.wh.old"), entry("tmp/.wh.never"), entry("etc/.wh..wh..opq"), entry("etc/c", b"y")),
        *(entry("l", kind=b"2", link="../out"), entry("m", kind=b"1", link="l")),
    )
    docker_archive(tmp_path / "a.tar", [below, gzip.compress(above)], settings={"Env": ["A=1"], "Cmd": ["sh"], "User": "root"})
    seen: list[LayerEntry] = []
    image = scan_archive(tmp_path / "a.tar", LIMITS, seen=seen.append)
    assert seen[:3] == [
        LayerEntry("usr", FOLDER),
        LayerEntry("usr/bin", FOLDER),
        LayerEntry("usr/bin/tool", FILE, 4, 0o755, 1_700_000_000),
    ]
    assert [(e.path, e.kind) for e in seen if e.kind in (WHITEOUT, OPAQUE)] == [("tmp/old", WHITEOUT), ("etc", OPAQUE)]
    assert [(e.path, e.kind, e.link) for e in seen if e.kind == SYMBOLIC_LINK] == [
        ("l", SYMBOLIC_LINK, "../out"),
        ("m", SYMBOLIC_LINK, "../out"),
    ]

    written = b"".join(clean_archive(tmp_path / "a.tar", image, "learningchain/n:abc"))
    assert written == b"".join(clean_archive(tmp_path / "a.tar", image, "learningchain/n:abc"))
    with tarfile.open(fileobj=io.BytesIO(written)) as archive:
        layer = archive.extractfile("0/layer.tar").read()  # type: ignore[union-attr]
        upper = archive.extractfile("1/layer.tar").read()  # type: ignore[union-attr]
        config = json.loads(archive.extractfile(f"{image.loaded_id[7:]}.json").read())  # type: ignore[union-attr]
    with tarfile.open(fileobj=io.BytesIO(upper)) as inner:
        assert inner.getnames() == ["tmp", "tmp/.wh.old", "etc", "etc/.wh..wh..opq", "etc/c", "l", "m"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as inner:
        tool = inner.getmember("usr/bin/tool")
    assert (tool.mode, tool.uid, tool.gid, tool.mtime, tool.pax_headers) == (0o755, 0, 0, 1_700_000_000, {})
    assert config["config"] == {"Env": ["A=1"], "Labels": {"learningchain.image": image.image_id}}


def test_a_hard_link_to_a_hard_link_names_the_file(tmp_path: Path) -> None:
    """A chain of them would be walked again for each of its links."""
    chain = [entry("f", b"x"), entry("l0", kind=b"1", link="f")]
    chain += [entry(f"l{n}", kind=b"1", link=f"l{n - 1}") for n in range(1, 40)]
    links = [e.link for e in scan(tmp_path / "a.tar", [tar(*chain)]) if e.kind == b"1"]
    assert links == ["f"] * 40


def test_every_image_has_a_folder_for_scratch_that_everybody_may_write_to(tmp_path: Path) -> None:
    """Runtimes mount the scratch space with the permissions of the folder beneath, or with none for others."""
    scratch = LayerEntry("tmp", FOLDER, 0, 0o1777)
    assert scan(tmp_path / "a.tar", [tar(entry("f")), tar(entry("g"))])[-1] == scratch
    narrow = tarfile.TarInfo("tmp")
    narrow.type, narrow.mode = tarfile.DIRTYPE, 0o700
    assert scan(tmp_path / "b.tar", [tar((narrow, b"")), tar(entry("g"))]) == [scratch, LayerEntry("g", FILE, 0, 0o644)]
    assert scan(tmp_path / "c.tar", [tar((narrow, b"")), tar(entry("tmp/f"))]).count(scratch) == 2


@pytest.mark.parametrize("name", ["f", "ä" * 60, "d/" * 60 + "f", "x" * 100, "x" * 101, "d" * 99])
@pytest.mark.parametrize("size", [0, 1, 8**11 - 1, 8**11, 1 << 50])
def test_what_is_written_is_what_both_readers_read(name: str, size: int) -> None:
    """Our reader and Python's, for names and sizes around every bound of the plain form."""
    head = tarwriter.header(name, FILE, size=size, mode=0o640, mtime=77)
    theirs = tarfile.TarFile.open(fileobj=io.BytesIO(head + bytes(1024)), mode="r:", ignore_zeros=False).next()
    assert theirs is not None
    assert (theirs.name, theirs.size, theirs.mode, theirs.mtime) == (name, size, 0o640, 77)
    ours = next(iter(TarWalk(io.BytesIO(head), max_bytes=1 << 60, max_members=1)))
    assert (ours.name, ours.size, ours.mode, ours.mtime) == (name, size, 0o640, 77)
    link = tarwriter.header("l", SYMBOLIC_LINK, link=name)
    assert next(iter(TarWalk(io.BytesIO(link), max_bytes=1 << 60, max_members=1))).link == name


# --- documents --------------------------------------------------------------------------------------------------------------------

LAYERS = ["sha256:" + "a" * 64]


def document(**more: Any) -> bytes:
    return json.dumps(
        {"os": "linux", "architecture": "amd64", "config": {}, "rootfs": {"type": "layers", "diff_ids": LAYERS}} | more
    ).encode()


def replaced(old: str, new: str) -> bytes:
    text = document().decode()
    assert old in text
    return text.replace(old, new, 1).encode()


VOLUME = '{"/data": {}}'
TWO_DOCUMENTS = {
    "small letters": document(config={"volumes": {"/data": {}}}),
    "capitals": document(config={"VOLUMES": {"/data": {}}}),
    "a long s": document(config={"Volume\u017f": {"/data": {}}}),
    "a full-width letter": document(config={"\uff36olumes": {"/data": {}}}),
    "a Kelvin sign": document(config={"Healthchec\u212a": {}}),
    "a key twice": replaced('"config": {}', f'"config": {{"Volumes": {VOLUME}}}, "config": {{}}'),
    "a key twice within": replaced('"config": {}', f'"config": {{"Volumes": {VOLUME}, "Volumes": null}}'),
    "a key twice in two cases": replaced('"config": {}', f'"config": {{}}, "Config": {{"Volumes": {VOLUME}}}'),
    "another case of the outer key": replaced('"config": {}', f'"Config": {{"Volumes": {VOLUME}}}'),
    "an unknown key twice": replaced('"config": {}', '"config": {"Labels": {"a": "1", "a": "2"}}'),
    "layers in another case": replaced('"diff_ids"', '"Diff_Ids"'),
    "an escaped key twice": replaced('"config": {}', '"config": {}, "\\u0063onfig": {}'),
    "half a character": document(config={"Labels": {"x": "\ud800"}}),
    "no number": replaced('"config": {}', '"config": {"StopTimeout": NaN}'),
    "UTF-16": document().decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + document(),
    "something behind": document() + b"{}",
    "an environment of numbers": document(config={"Env": [1]}),
    "an environment without a value": document(config={"Env": ["PATH"]}),
    "an environment without a name": document(config={"Env": ["=x"]}),
    "a huge environment": document(config={"Env": ["A=" + "x" * 200_000]}),
    "volumes as a list": document(config={"Volumes": ["/data"]}),
    "a digest of another kind": document(rootfs={"type": "layers", "diff_ids": ["md5:00"]}),
}


@pytest.mark.parametrize("raw_document", TWO_DOCUMENTS.values(), ids=TWO_DOCUMENTS)
def test_a_configuration_with_two_readings_is_refused(raw_document: bytes) -> None:
    with pytest.raises(BadImage):
        parse_config(raw_document, "amd64")


def test_a_plain_configuration_passes() -> None:
    config = {"Env": ["A=1", "B="], "Labels": {"volumes": "a label may be called so"}, "Volumes": {}, "Cmd": None}
    found = parse_config(document(config=config, history=[{"created_by": "x"}], **{"moby.buildkit.v1": 1}), "amd64")
    assert (found.layers, found.env) == (tuple(LAYERS), ("A=1", "B="))


@pytest.mark.parametrize(
    "manifest",
    [
        b'[{"Config":"a.json","config":"b.json","Layers":["l"]}]',
        b'[{"Config":"a.json","Config":"b.json","Layers":["l"]}]',
        b'[{"config":"a.json","layers":["l"]}]',
        b'[{"Config":"a.json","Layers":["l"]},{"Config":"b.json","Layers":["l"]}]',
    ],
)
def test_a_manifest_with_two_readings_is_refused(manifest: bytes) -> None:
    with pytest.raises(BadImage):
        parse_manifest(manifest)


def test_documents_of_any_depth_and_width_end_soon() -> None:
    for text in (b"[" * 200_000, b'{"a":' * 100_000, b"1" * 500_000):
        with pytest.raises(BadImage):
            parse(text, "x")


def test_a_key_whose_spellings_would_take_minutes_to_compare_is_refused_unread() -> None:
    """Half a million accents on one letter: Unicode's order takes the square of their number, and no thread runs meanwhile."""
    marks = "a" + "\u0301\u0316" * 250_000
    for text in ({marks: 1}, {"config": {"Labels": {marks: "x"}}}, [{"x" * 257: 1}]):
        with pytest.raises(BadImage, match="a key of more than 256 characters"):
            parse(json.dumps(text, ensure_ascii=False).encode(), "it")
    assert parse(json.dumps({"x" * 256: marks[:1000]}).encode(), "it")


# --- budgets ----------------------------------------------------------------------------------------------------------------------


def test_what_unpacks_is_bounded_over_all_layers_together(tmp_path: Path) -> None:
    half = tar(entry("a", bytes(600_000)))
    limits = msgspec.structs.replace(LIMITS, unpacked_bytes=1_000_000)
    assert scan(tmp_path / "a.tar", [half], limits)
    with pytest.raises(BadImage, match="unpacks to more than 1000000 bytes"):
        scan(tmp_path / "b.tar", [half, tar(entry("b", bytes(600_000)))], limits)
    with pytest.raises(BadImage, match="more than 50 files"):
        scan(tmp_path / "c.tar", [tar(*(entry(f"{n}") for n in range(26))), tar(*(entry(f"x{n}") for n in range(26)))])


def test_a_packed_layer_of_nothing_but_headers_is_bounded(tmp_path: Path) -> None:
    """40 MB of extended headers pack to 40 kB. Each is read and dropped; together they are counted."""
    note = pax((b"SCHILY.xattr.user.x", b"\0" * 60_000))
    bomb = gzip.compress(b"".join(note + raw(b"f%d" % number) for number in range(700)) + bytes(1024), 9)
    assert len(bomb) < 200_000
    limits = msgspec.structs.replace(LIMITS, files=1000)
    docker_archive(tmp_path / "a.tar", [bomb])
    tracemalloc.start()
    try:
        with pytest.raises(BadImage, match=r"more than \d+ bytes"):
            scan_archive(tmp_path / "a.tar", limits)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
    comments = pax((b"comment", b"c" * 60_000), kind=b"g")
    docker_archive(tmp_path / "b.tar", [gzip.compress(comments * 700 + raw() + bytes(1024), 9)])
    with pytest.raises(BadImage, match=r"more than \d+ bytes"):
        scan_archive(tmp_path / "b.tar", LIMITS)


def test_headers_are_bounded_over_all_layers_together_whatever_contents_are_allowed(tmp_path: Path) -> None:
    """One packed layer that is named by many: what each of them holds beside contents counts once more."""
    limits = msgspec.structs.replace(LIMITS, unpacked_bytes=64 * MIB, layers=32, files=50)
    comments = pax((b"comment", b"c"), kind=b"g") * 400
    bomb = gzip.compress(comments + raw() + bytes(1024), 9)
    assert len(bomb) < 8_000
    docker_archive(tmp_path / "one.tar", [bomb])
    assert scan_archive(tmp_path / "one.tar", limits)
    docker_archive(tmp_path / "many.tar", [bomb] * 6)
    with pytest.raises(BadImage, match=r"headers of more than \d+ bytes"):
        scan_archive(tmp_path / "many.tar", limits)
    long = gzip.compress(comments * 4 + raw() + bytes(1024), 9)
    docker_archive(tmp_path / "long.tar", [long])
    with pytest.raises(BadImage, match=r"headers of more than \d+ bytes"):
        scan_archive(tmp_path / "long.tar", limits)


def test_many_small_reads_of_a_bomb_cost_what_its_bytes_cost(tmp_path: Path) -> None:
    """The packed bytes that are copied while 3 MB are read block by block stay near 3 MB: they are counted, not timed."""
    taken: list[int] = []
    docker_archive(tmp_path / "a.tar", [gzip.compress(tar(*(entry(f"{n}") for n in range(40))) + bytes(3 * MIB), 9)])

    class Counting:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def decompress(self, data: bytes, most: int) -> bytes:
            taken.append(len(data))
            return self.inner.decompress(data, most)  # type: ignore[no-any-return]

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    from learningchain.sandbox import layers

    make: Callable[..., Any] = layers.zlib.decompressobj
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers.zlib, "decompressobj", lambda **how: Counting(make(**how)))
        scan_archive(tmp_path / "a.tar", LIMITS)
    assert taken
    assert sum(taken) < MIB


# --- pulls ------------------------------------------------------------------------------------------------------------------------


def pulled(rate: float, seconds: int, *, status: str = "Downloading", cap: int = 1 << 40, total: int = 1 << 30) -> None:
    """A pull whose engine tells once a second how far it is."""
    clock = [0.0]
    watch = PullWatch("r", cap, lambda: clock[0])
    for second in range(seconds):
        clock[0] = float(second)
        watch.event({"status": status, "id": "l", "progressDetail": {"current": int(rate * second), "total": total}})


def test_a_registry_that_drips_is_given_up_after_a_window() -> None:
    pulled(2 * PULL_LEAST, 600)
    with pytest.raises(EngineError, match="its registry is too slow"):
        pulled(PULL_LEAST / 2, int(PULL_WINDOW_S) + 2)
    pulled(0, 600, status="Extracting")
    with pytest.raises(BadImage, match="larger than 1000 bytes"):
        pulled(0, 2, cap=1000)


def test_a_pull_has_a_time_that_no_event_makes_longer() -> None:
    cap = 10 * PULL_SLOWEST
    pulled(1.1 * PULL_LEAST, int(PULL_PATIENCE_S) + 11, cap=cap, total=cap)
    with pytest.raises(EngineError, match="its time is up"):
        pulled(0, int(PULL_PATIENCE_S) + 13, status="Pull complete", cap=cap)


# --- the disk ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "files", "why"),
    [
        (0, 0, ""),
        (10 * MIB, 0, ""),
        (10 * MIB + 1, 0, "would leave 1023 MiB free"),
        (10 * MIB, 1, "would leave 1023 MiB free"),
        (0, 2560, ""),
        (0, 2561, "would leave 1023 MiB free"),
    ],
)
def test_no_image_takes_the_last_of_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, files: int, why: str
) -> None:
    facts = SimpleNamespace(f_bavail=(disk.SPARE + 10 * MIB) // 512, f_frsize=512, f_files=0, f_favail=0)
    monkeypatch.setattr(disk.os, "statvfs", lambda _: facts)
    with pytest.raises(EngineError, match=why) if why else contextlib.nullcontext():
        disk.leave_room(tmp_path, "x", size, files)
    disk.leave_room(None, "x", 1 << 60, 1 << 40)


def test_no_image_takes_the_last_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = SimpleNamespace(f_bavail=1 << 40, f_frsize=512, f_files=1 << 24, f_favail=disk.SPARE_FILES + 10)
    monkeypatch.setattr(disk.os, "statvfs", lambda _: facts)
    disk.leave_room(tmp_path, "x", 0, 10)
    with pytest.raises(EngineError, match="has room for 50010 more files"):
        disk.leave_room(tmp_path, "x", 0, 11)


def test_a_pull_that_was_fast_once_is_given_up_when_it_drips() -> None:
    clock = [0.0]
    watch = PullWatch("r", 1 << 40, lambda: clock[0])

    def at(second: float, current: int) -> None:
        clock[0] = second
        watch.event({"status": "Downloading", "id": "l", "progressDetail": {"current": current, "total": 1 << 39}})

    fast = int(100 * PULL_LEAST * PULL_WINDOW_S)
    at(0, 0)
    at(PULL_WINDOW_S, fast)
    with pytest.raises(EngineError, match="its registry is too slow"):
        at(2 * PULL_WINDOW_S, fast + 1)


def test_a_pull_is_bounded_by_what_came_where_nobody_told_its_size() -> None:
    watch = PullWatch("r", 1_000, lambda: 0.0)
    for layer in ("a", "b"):
        watch.event({"status": "Downloading", "id": layer, "progressDetail": {"current": 500}})
    with pytest.raises(BadImage, match="larger than 1000 bytes"):
        watch.event({"status": "Downloading", "id": "b", "progressDetail": {"current": 501}})


# --- the engine's view ------------------------------------------------------------------------------------------------------------


def test_an_engine_that_sees_another_image_is_told(tmp_path: Path) -> None:
    docker_archive(tmp_path / "a.tar", [tar(entry("f", bytes(1000)))], settings={"Env": ["A=1"]})
    image = scan_archive(tmp_path / "a.tar", LIMITS)
    config = {"Env": ["A=1"], "Labels": {"learningchain.image": image.image_id}, "Volumes": None, "Cmd": None, "User": ""}
    facts: dict[str, Any] = {
        "Id": image.loaded_id,
        "RootFS": {"Layers": [layer.written_digest for layer in image.layers]},
        "Os": "linux",
        "Architecture": "amd64",
        "Size": 1000,
        "Config": config,
    }
    assert image_differences(image, facts) == []
    wrong: list[dict[str, Any]] = [
        *({"Id": "sha256:" + "0" * 64}, {"RootFS": {"Layers": []}}, {"RootFS": None}, {"Os": "windows"}, {"Architecture": "arm64"}),
        *({"Size": 1 << 30}, {"Size": None}, {"Config": config | {"Volumes": {"/data": {}}}}, {"Config": config | {"Env": []}}),
        *({"Config": config | {"Entrypoint": ["sh"]}}, {"Config": config | {"Labels": None}}, {"Config": None}),
    ]
    for change in wrong:
        assert image_differences(image, facts | change) != [], change


def test_an_image_weighs_on_the_engine_what_was_written_and_what_blocks_and_names_may_take(tmp_path: Path) -> None:
    docker_archive(tmp_path / "a.tar", [tar(entry("f", bytes(100_000)), entry("g", b"x"))])
    image = scan_archive(tmp_path / "a.tar", LIMITS)
    facts = {
        "Id": image.loaded_id,
        "RootFS": {"Layers": [layer.written_digest for layer in image.layers]},
        "Os": "linux",
        "Architecture": "amd64",
        "Config": {"Labels": {"learningchain.image": image.image_id}},
    }
    (said,) = image_differences(image, facts | {"Size": 1 << 40})
    most = int(said.partition("at most ")[2].partition(" ")[0])
    assert 100_001 + 4096 * image.files <= most <= 100_001 + 2 * 4096 * image.files + (1 << 20)
    assert image_differences(image, facts | {"Size": most}) == []
    assert image_differences(image, facts | {"Size": most + 1}) != []


class Shelf:
    """An engine that keeps images in memory and describes them with `changes`."""

    def __init__(self, image: ScannedImage, changes: dict[str, Any]) -> None:
        labels = {"learningchain.image": image.image_id}
        self.facts: dict[str, Any] = {
            "Id": image.loaded_id,
            "RootFS": {"Layers": [layer.written_digest for layer in image.layers]},
            "Os": "linux",
            "Architecture": "amd64",
            "Size": 1000,
            "Config": {"Env": [], "Labels": labels} | changes,
        }
        self.names: set[str] = set()

    def call(self, what: str, ask: Callable[[Any], Any]) -> Any:
        return ask(self)

    def api(self, **_: Any) -> Shelf:
        return self

    def tag(self, image: str, repository: str, tag: str) -> None:
        raise EngineError("tagging", "it is not here", 404)

    def images(self, name: str) -> list[dict[str, Any]]:
        return []

    def load_image(self, pieces: Iterator[bytes]) -> list[dict[str, Any]]:
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
            self.names |= set(json.loads(archive.extractfile("manifest.json").read())[0]["RepoTags"])  # type: ignore[union-attr]
        return []

    def inspect_image(self, name: str) -> dict[str, Any]:
        if name not in self.names and (name != self.facts["Id"] or not self.names):
            raise EngineError("looking up", "it is not here", 404)
        return self.facts

    def remove_image(self, name: str) -> None:
        self.names.discard(name)


def shelved(folder: Path, **changes: Any) -> tuple[Shelf, str]:
    docker_archive(folder / "a.tar", [tar(entry("f", bytes(1000)))])
    image = scan_archive(folder / "a.tar", LIMITS)
    return Shelf(image, changes), image.image_id


def store_on(shelf: Shelf, folder: Path) -> ImageStore:
    return ImageStore(shelf, "n", folder, {})  # type: ignore[arg-type]


def test_an_image_that_the_engine_sees_otherwise_is_on_it_no_more(tmp_path: Path) -> None:
    """Else the next start of this node would run it: it stood under this node's own name."""
    shelf, image_id = shelved(tmp_path, Entrypoint=["sh"])
    store = store_on(shelf, tmp_path)
    with pytest.raises(EngineError, match="another image than was written"):
        store.load(tmp_path / "a.tar", image_id, LIMITS, None)
    assert shelf.names == set()
    for one in (store, store_on(shelf, tmp_path)):
        with pytest.raises(ImageNotFound):
            one.require(image_id)


@pytest.mark.parametrize("labels", [None, {}, {"learningchain.image": "sha256:" + "0" * 64}], ids=["none", "others", "another's"])
def test_after_a_start_only_what_this_node_wrote_runs(tmp_path: Path, labels: dict[str, str] | None) -> None:
    """Whoever has the engine can put the node's name on another image; the label says what an image was made of."""
    shelf, image_id = shelved(tmp_path)
    store = store_on(shelf, tmp_path)
    assert store.load(tmp_path / "a.tar", image_id, LIMITS, None) == image_id
    assert store_on(shelf, tmp_path).require(image_id) == shelf.facts["Id"]
    shelf.facts["Config"]["Labels"] = labels
    with pytest.raises(ImageNotFound, match="is not on this engine"):
        store_on(shelf, tmp_path).require(image_id)
