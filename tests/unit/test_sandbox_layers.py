"""Layers at their bounds, and what several of them show together."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from learningchain.sandbox.errors import BadImage
from learningchain.sandbox.layers import OPAQUE, WHITEOUT, LayerEntry
from learningchain.sandbox.targuard import FILE, FOLDER, SYMBOLIC_LINK
from learningchain.sandbox.tarwriter import TIME_CAP

from .test_sandbox_archive import entry, tar
from .test_sandbox_guard import scan


def shape(seen: list[LayerEntry]) -> list[tuple[str, bytes]]:
    return [(one.path, one.kind) for one in seen if one.path != "tmp"]


# --- what an entry keeps ----------------------------------------------------------------------------------------------------------


def special(name: str, kind: bytes, mode: int, mtime: float) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, mtime
    return info, b""


def test_permissions_and_times_are_kept_and_nothing_else_is(tmp_path: Path) -> None:
    seen = scan(
        tmp_path / "a.tar",
        [
            tar(
                special("d", tarfile.DIRTYPE, 0o7777, 5),
                special("d/f", tarfile.REGTYPE, 0o7777, TIME_CAP + 1),
                special("d/g", tarfile.REGTYPE, 0, -5),
            )
        ],
    )
    assert seen[:3] == [
        LayerEntry("d", FOLDER, 0, 0o1777, 5),
        LayerEntry("d/f", FILE, 0, 0o777, TIME_CAP),
        LayerEntry("d/g", FILE, 0, 0, 0),
    ]


# --- what layers show together ----------------------------------------------------------------------------------------------------


def test_a_removal_is_written_where_there_is_something_to_remove(tmp_path: Path) -> None:
    below = tar(entry("a/b/c", b"x"), entry("f", b"x"))
    gone = tar(entry(".wh.f"), entry(".wh.g"), entry("a/b/.wh.c"), entry("a/b/.wh.d"), entry("k"))
    seen = scan(tmp_path / "a.tar", [below, gone, tar(entry(".wh.f"), entry("a/.wh.b")), tar(entry("a/b/.wh.c"))])
    assert shape(seen) == [
        *(("a", FOLDER), ("a/b", FOLDER), ("a/b/c", FILE), ("f", FILE)),
        *(("f", WHITEOUT), ("a", FOLDER), ("a/b", FOLDER), ("a/b/c", WHITEOUT), ("k", FILE)),
        *(("a", FOLDER), ("a/b", WHITEOUT)),
    ]


def test_an_emptied_folder_holds_what_its_own_layer_brings_wherever_the_mark_stands(tmp_path: Path) -> None:
    below = tar(entry("etc/old", b"x"))
    for above in ((entry("etc/new"), entry("etc/.wh..wh..opq")), (entry("etc/.wh..wh..opq"), entry("etc/new"))):
        seen = scan(tmp_path / "a.tar", [below, tar(*above), tar(entry("etc/.wh.old"), entry("etc/.wh.new"))])
        assert [path for path, kind in shape(seen) if kind == OPAQUE] == ["etc"]
        assert [path for path, kind in shape(seen) if kind == WHITEOUT] == ["etc/new"], "what it hid is there no more"
    with pytest.raises(BadImage, match="empties 'etc' twice"):
        scan(tmp_path / "b.tar", [below, tar(entry("etc/.wh..wh..opq"), entry("./etc/.wh..wh..opq"))])


def test_scratch_space_is_added_to_the_top_layer_alone_and_once(tmp_path: Path) -> None:
    seen = scan(tmp_path / "a.tar", [tar(entry("f")), tar(entry("tmp/x")), tar(entry("g"))])
    assert [one.path for one in seen] == ["f", "tmp", "tmp/x", "g"]
    seen = scan(tmp_path / "b.tar", [tar(entry("tmp/x")), tar(entry(".wh.tmp")), tar(entry("g"))])
    assert [(one.path, one.kind) for one in seen][-2:] == [("g", FILE), ("tmp", FOLDER)]
    seen = scan(tmp_path / "c.tar", [tar(entry("l", kind=b"2", link="x"))])
    assert shape(seen) == [("l", SYMBOLIC_LINK)] and seen[-1].mode == 0o1777
