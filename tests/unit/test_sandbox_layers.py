"""Layers at their bounds, and what several of them show together."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from sandbox.errors import BadImage
from sandbox.layers import OPAQUE, USERS_CAP, WHITEOUT, LayerEntry
from sandbox.targuard import FILE, FOLDER, HARD_LINK, SYMBOLIC_LINK
from sandbox.tarwriter import TIME_CAP

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


def test_a_hard_link_has_what_its_file_has(tmp_path: Path) -> None:
    link, _ = entry("l", kind=b"1", link="./f")
    link.mode, link.mtime = 0o700, 77
    file = special("f", tarfile.REGTYPE, 0o640, 33)
    assert scan(tmp_path / "a.tar", [tar(file, (link, b""))])[1] == LayerEntry("l", HARD_LINK, 0, 0o640, 33, "f")


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


def test_a_later_layer_puts_right_what_an_earlier_one_had_wrong(tmp_path: Path) -> None:
    """What counts is what all of them show together: a file in place of a folder, a folder in place of a file."""
    for name, wrong, right in (
        ("etc/passwd", entry("etc/passwd", kind=b"2", link="/x"), entry("etc/passwd", bytes(USERS_CAP))),
        ("etc/group", entry("etc/group", bytes(USERS_CAP + 1)), entry("etc/group", b"")),
        ("etc/hosts", entry("etc/hosts/a", b"x"), entry("etc/hosts", b"x")),
        ("dev", entry("dev", b"x"), entry("dev/x", b"x")),
    ):
        with pytest.raises(BadImage, match=f"'{name}' is "):
            scan(tmp_path / "a.tar", [tar(wrong)])
        scan(tmp_path / "b.tar", [tar(wrong), tar(right)])
        with pytest.raises(BadImage, match=f"'{name}' is "):
            scan(tmp_path / "c.tar", [tar(right), tar(wrong)])


def test_scratch_space_is_added_to_the_top_layer_alone_and_once(tmp_path: Path) -> None:
    seen = scan(tmp_path / "a.tar", [tar(entry("f")), tar(entry("tmp/x")), tar(entry("g"))])
    assert [one.path for one in seen] == ["f", "tmp", "tmp/x", "g"]
    seen = scan(tmp_path / "b.tar", [tar(entry("tmp/x")), tar(entry(".wh.tmp")), tar(entry("g"))])
    assert [(one.path, one.kind) for one in seen][-2:] == [("g", FILE), ("tmp", FOLDER)]
    seen = scan(tmp_path / "c.tar", [tar(entry("l", kind=b"2", link="x"))])
    assert shape(seen) == [("l", SYMBOLIC_LINK)] and seen[-1].mode == 0o1777
