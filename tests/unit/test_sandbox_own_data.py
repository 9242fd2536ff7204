"""The owner's own data over an engine in this process: kept whole or not at all, used by one kind of run, removed below nobody."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.sandbox.data import DataSet, OwnData, scan_folder, survey
from learningchain.sandbox.docker import engine as engine_module
from learningchain.sandbox.docker import shelf as shelf_module
from learningchain.sandbox.docker import sidecar_program
from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.docker.shelf import DataShelf
from learningchain.sandbox.docker.volumes import Maker
from learningchain.sandbox.errors import DataRefused, EngineError
from learningchain.sandbox.phases import InputRow, OutputRow, PhaseRow

from .docker_double import Client, DockerDouble, refusal

MINE = {"learningchain.node": "n"}


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerDouble]:
    double = DockerDouble(tmp_path / "volumes")
    double.folder.mkdir()
    monkeypatch.setattr(engine_module, "_PAUSE_S", 0)
    monkeypatch.setattr(Engine, "api", lambda self, **_: Client(double))
    monkeypatch.setattr("os.umask", lambda mask: 0)
    yield double
    assert double.boxes == {}, "no filler stays"


Make = Callable[..., DataShelf]


@pytest.fixture
def make(double: DockerDouble, tmp_path: Path) -> Make:
    def made(cap: int = 1000, disk: Path | None = None, folder: str = "records") -> DataShelf:
        maker = lambda: Maker("sha256:k", "runc", False)  # noqa: E731
        return DataShelf(Engine("unix:///x"), MINE, maker, lambda: disk, tmp_path / folder, cap)

    return made


def files(folder: Path, **contents: str) -> DataSet:
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_text(content)
    return scan_folder(folder)


def add(
    shelf: DataShelf, name: str, data: DataSet, notes: dict[str, str] | None = None, cancel: threading.Event | None = None
) -> OwnData:
    return shelf.add(name, data, notes=notes or {}, on_bytes=lambda size: None, cancel=cancel)


# --- what is kept -----------------------------------------------------------------------------------------------------------------


def test_data_outlive_the_node_that_brought_them(double: DockerDouble, make: Make, tmp_path: Path) -> None:
    own = add(make(), "scans", files(tmp_path / "f", a="1", b="22"), notes={"folder": "f"})
    heir = make()
    assert heir.listed() == [own]
    folder = heir.hold(own)
    assert sorted(path.name for path in Path(folder, "data").iterdir()) == ["a", "b"], "as a run has them"
    assert heir.sweep() == []
    heir.release(own)
    [volume] = double.volumes
    assert own.digest.hex()[:16] not in volume and "scans" not in volume, "jobs see this name"
    assert double.volume_labels[volume] == MINE | {"learningchain.own": "yes", "learningchain.data": own.digest.hex()}
    assert heir.remove("scans") == own
    assert (heir.listed(), double.volumes) == ([], {})


def test_what_is_sent_is_on_the_disk_before_it_is_recorded(
    double: DockerDouble, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[bytes] = []
    honest = socket.socket.sendall

    def sendall(self: socket.socket, data: bytes) -> None:
        said.append(bytes(data).split(b" ")[0])
        assert make().listed() == [], "not before all is there"
        honest(self, data)

    monkeypatch.setattr(socket.socket, "sendall", sendall)
    add(make(), "scans", files(tmp_path / "f", a="1", b="2"))
    words = [word for word in said if word in (b"new\n", b"keep", b"sync", b"add")]
    assert words == [b"new\n", b"keep", b"keep", b"sync", b"sync"]


def test_a_large_file_goes_to_the_disk_as_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    monkeypatch.setattr(sidecar_program, "CHUNK", 2)
    monkeypatch.setattr(sidecar_program, "SYNC_EVERY", 4)
    for durable in (False, True):
        with (tmp_path / "source").open("wb") as file:
            file.write(bytes(11))
        with (tmp_path / "source").open("rb") as source:
            sidecar_program.put(str(tmp_path / f"to {durable}"), 11, source, durable=durable)
        assert (tmp_path / f"to {durable}").stat().st_size == 11
    assert synced == [4, 8]


def test_a_record_is_on_the_disk_before_it_has_its_name(
    make: Make, double: DockerDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut a record of nothing would make the data unusable, and keep others from being added."""
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(file: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file")
        fsync(file)

    def replaced(source: Path, target: Path) -> None:
        assert source.read_bytes(), "whole"
        steps.append("named")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    data = files(tmp_path / "f", a="1")
    monkeypatch.setattr(DataShelf, "_fill", lambda *_: "volume")
    add(make(), "scans", data)
    assert steps == ["file", "named", "folder"]


# --- names and bounds -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "a/b", "a" * 33, "-a", "a\n", "\N{GREEK SMALL LETTER ALPHA}"])
def test_a_name_of_data_is_plain(make: Make, tmp_path: Path, name: str) -> None:
    data = files(tmp_path / "f", a="1")
    for action in (lambda: add(make(), name, data), lambda: make().remove(name)):
        with pytest.raises(ValueError, match="no name for data"):
            action()


def test_all_data_together_have_a_bound(make: Make, double: DockerDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = make(cap=10)
    add(shelf, "one", files(tmp_path / "f", a="x" * 6))
    with pytest.raises(DataRefused, match=r"5 bytes, and 6 of the 10 .* raise sandbox.data_mb"):
        add(shelf, "two", files(tmp_path / "g", a="x" * 5))
    add(shelf, "two", files(tmp_path / "h", a="x" * 4))
    with pytest.raises(DataRefused, match="data called one already"):
        add(shelf, "one", files(tmp_path / "h", a=""))
    monkeypatch.setattr(shelf_module, "MAX_OWN", 2)
    with pytest.raises(DataRefused, match="2 data sets already"):
        add(shelf, "three", files(tmp_path / "i", a=""))
    assert len(double.volumes) == 2


def test_the_disk_is_looked_at(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[tuple[int, ...]] = []
    monkeypatch.setattr(shelf_module, "leave_room", lambda disk, what, *amounts: looks.append(amounts))
    monkeypatch.setattr(shelf_module, "LOOK_EVERY", 4)
    add(make(disk=tmp_path), "scans", files(tmp_path / "f", a="12345", b="1"))
    assert looks == [(6, 4), ()], "before it begins, and as it goes on"


@pytest.mark.parametrize("what", ["symbolic link", "pipe", "socket"])
def test_a_folder_with_anything_but_files_is_refused_by_name(tmp_path: Path, what: str) -> None:
    files(tmp_path / "f", a="1")
    odd = tmp_path / "f" / "odd"
    listener = socket.socket(socket.AF_UNIX)
    make = {"symbolic link": lambda: odd.symlink_to("a"), "pipe": lambda: os.mkfifo(odd), "socket": lambda: listener.bind(str(odd))}
    make[what]()
    with pytest.raises(OSError, match=f"f/odd' is a {what}; data are regular files alone"):
        scan_folder(tmp_path / "f")
    listener.close()


def test_a_folder_that_is_none_empty_or_too_large_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learningchain.sandbox.data.measure", lambda *_: pytest.fail("nothing is read"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no file"):
        scan_folder(tmp_path / "empty")
    with pytest.raises(OSError, match="is no folder"):
        (tmp_path / "file").write_text("1")
        scan_folder(tmp_path / "file")
    (tmp_path / "large").mkdir()
    with (tmp_path / "large" / "sparse").open("wb") as file:
        file.truncate(100)
    with pytest.raises(ValueError, match="more than 99 bytes"):
        scan_folder(tmp_path / "large", most=99)
    (tmp_path / "large" / "a\nb").write_text("1")
    with pytest.raises(ValueError, match="no name of a file"):
        survey(tmp_path / "large")
    (tmp_path / "many").mkdir()
    monkeypatch.setattr("learningchain.sandbox.data.MAX_DATA_FILES", 2)
    for name in "abc":
        (tmp_path / "many" / name).write_text("")
    with pytest.raises(ValueError, match="more than 2 files"):
        survey(tmp_path / "many")
    (tmp_path / "deep" / "1" / "2" / "3").mkdir(parents=True)
    with pytest.raises(ValueError, match="more than 2 folders"):
        survey(tmp_path / "deep")


# --- what goes wrong --------------------------------------------------------------------------------------------------------------


def test_a_fill_that_fails_leaves_nothing(make: Make, double: DockerDouble, tmp_path: Path) -> None:
    data = files(tmp_path / "f", a="1", b="2")
    for fault in ("create_volume", "create_container_from_config", "attach_socket", "start"):
        double.faults[fault] = [refusal(400)]
        with pytest.raises(EngineError):
            add(make(), "scans", data)
        assert (double.volumes, make().listed()) == ({}, [])
    data.files[1].path.write_text("3")
    with pytest.raises(OSError, match="is not what it was when it was measured"):
        add(make(), "scans", data)
    cancel = threading.Event()
    cancel.set()
    data.files[1].path.write_text("2")
    with pytest.raises(DataRefused, match="called off; nothing was kept"):
        add(make(), "scans", data, cancel=cancel)
    assert (double.volumes, make().listed()) == ({}, [])
    add(make(), "scans", data)


def test_what_a_killed_node_left_goes_at_the_next_start_or_the_next_adding(
    make: Make, double: DockerDouble, tmp_path: Path
) -> None:
    kept = add(make(), "scans", files(tmp_path / "f", a="1"))
    [whole] = double.volumes

    def leave() -> None:
        double.create_volume("lc-data-half", "local", {}, MINE | {"learningchain.own": "yes", "learningchain.data": "x"})
        mounts = [{"Source": "lc-data-half", "Target": "/lc/data", "VolumeOptions": {}, "ReadOnly": False}]
        config = {"Labels": MINE | {"learningchain.own": "yes"}, "HostConfig": {"Mounts": mounts}}
        double.create_container_from_config(config, "lc-data-half-filler")

    double.create_volume("other", "local", {}, {"learningchain.node": "m", "learningchain.own": "yes"})
    leave()
    assert make().sweep() == []
    assert set(double.volumes) == {whole, "other"}
    leave()
    add(make(), "more", files(tmp_path / "g", a="2"))
    assert "lc-data-half" not in double.volumes
    assert len(double.volumes) == 3
    add(make(), ".selftest", files(tmp_path / "g", a="2"))
    assert [data.name for data in make().listed()] == ["more", "scans"], "the self-test's are nobody's"
    make().sweep()
    assert (len(double.volumes), make().hold(kept) != "") == (3, True)


def test_nothing_is_removed_while_somebody_brings_data_or_a_record_is_damaged(
    make: Make, double: DockerDouble, tmp_path: Path
) -> None:
    add(make(), "scans", files(tmp_path / "f", a="1"))
    double.create_volume("lc-data-half", "local", {}, MINE | {"learningchain.own": "yes"})
    with (tmp_path / "records" / ".lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert make().sweep() == []
        with pytest.raises(DataRefused, match="other data are being added"):
            add(make(), "more", files(tmp_path / "f", a="1"))
    (tmp_path / "records" / "scans.json").write_text("{")
    assert make().sweep() == []
    assert make().listed() == []
    assert len(double.volumes) == 2, "what a damaged record names is not known"
    with pytest.raises(DataRefused, match=r"damaged .*: remove it"):
        make().remove("scans")


def test_data_in_use_are_not_removed_by_whoever_asks(make: Make, double: DockerDouble, tmp_path: Path) -> None:
    own = add(make(), "scans", files(tmp_path / "f", a="1"))
    node, command = make(), make()
    folder = node.hold(own)
    assert node.hold(own) == folder, "two runs may read them"
    for shelf in (node, command):
        with pytest.raises(DataRefused, match="in use by a run"):
            shelf.remove("scans")
        node.release(own)
    assert command.remove("scans") == own
    node.release(own)  # nothing is held any more


def test_a_lock_on_what_was_removed_meanwhile_is_none(
    make: Make, double: DockerDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = add(make(), "scans", files(tmp_path / "f", a="1"))
    record = tmp_path / "records" / "scans.json"
    honest = fcntl.flock

    def flock(file: Any, how: int) -> None:
        """Between the opening and the lock, others removed the data and added them anew."""
        content = record.read_bytes()
        record.unlink()
        record.with_suffix(".copy").write_bytes(content)
        record.with_suffix(".copy").rename(record)
        honest(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(DataRefused, match="have just been removed"):
        make().hold(own)


def test_data_that_are_not_what_they_were_reach_no_run(make: Make, double: DockerDouble, tmp_path: Path) -> None:
    shelf = make()
    own = add(shelf, "scans", files(tmp_path / "f", a="1"))
    with pytest.raises(DataRefused, match="are others than when the run was made"):
        shelf.hold(msgspec.structs.replace(own, digest=bytes(32)))
    [volume] = double.volumes
    double.volume_labels[volume] = {}
    with pytest.raises(EngineError, match=r"another volume than was asked for, and nothing ran.*Labels"):
        shelf.hold(own)
    double.remove_volume(volume)
    with pytest.raises(DataRefused, match=r"gone from the engine.*learningchain data remove scans, then add them again"):
        shelf.hold(own)
    assert shelf.lost() == ["scans"] and shelf.listed() == [own]
    assert shelf.remove("scans") == own, "what the engine has no more can be forgotten"
    assert shelf.lost() == [] and shelf.listed() == []
    with pytest.raises(DataRefused, match="no data called scans"):
        shelf.hold(own)


def test_an_engine_that_keeps_a_volume_keeps_its_record(make: Make, double: DockerDouble, tmp_path: Path) -> None:
    own = add(make(), "scans", files(tmp_path / "f", a="1"))
    double.faults["remove_volume"] = [refusal(409, "volume is in use")]
    with pytest.raises(DataRefused, match="the engine keeps the data scans"):
        make().remove("scans")
    assert make().listed() == [own]


# --- the row ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "like"),
    [
        ((InputRow("model"),), "data"),
        ((InputRow("model", needed=False),), "model"),
        ((InputRow("model", folder=True),), "model"),
        ((InputRow("model", late=True),), "model"),
        ((InputRow("model"), InputRow("data", own=True)), "model"),
    ],
)
def test_an_output_is_like_a_file_that_is_there_and_own_data_are_a_folder(inputs: tuple[InputRow, ...], like: str) -> None:
    with pytest.raises(ValueError, match=r"as long as|are a folder"):
        PhaseRow(inputs, (OutputRow("model", like=like),))


@pytest.mark.parametrize("change", [{"name": "A"}, {"digest": b""}, {"size": -1}, {"files": 0}])
def test_own_data_that_could_not_be_are_none(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="data"):
        msgspec.structs.replace(OwnData(name="a", digest=bytes(32), size=0, files=1), **change).__post_init__()
