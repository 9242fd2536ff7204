"""Data sets and the volumes that hold them: names, bounds, what is shared, what is kept, and what somebody did meanwhile."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from learningchain.sandbox.data import MAX_DATA_BYTES, NAME_CAP, DataFile, DataSet, check_name, measure, scan_folder
from learningchain.sandbox.docker import engine as engine_module
from learningchain.sandbox.docker import sidecar_program, volumes
from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.docker.isolation import view_options
from learningchain.sandbox.docker.volumes import DataVolumes, Maker
from learningchain.sandbox.errors import EngineError
from learningchain.sandbox.phases import InputRow, OutputRow, PhaseRow
from learningchain.sandbox.results import EvaluationReader

from .docker_double import Client, DockerDouble, refusal

ZERO = bytes(32)


def data_set(folder: Path, **files: str) -> DataSet:
    for name, content in files.items():
        (folder / name).write_text(content)
    return DataSet(tuple(measure(name, folder / name) for name in sorted(files)))


# --- names and bounds -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "./a",
        "a\nb",
        "a\0b",
        "a\x1b[2J",
        "a\u202eb",
        "\udcff",
        "x" * 256,
        "/".join("x" * 17),
    ],
)
def test_a_name_that_could_mean_another_file_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"name of|UTF-8"):
        check_name(name)


def test_names_at_their_bounds() -> None:
    shot = "Screenshot 2026-08-10 at 9.22.20\u202fPM.png"
    for name in (
        shot,
        "a\u00a0b",
        "\u3000",
        "\U0001f468\u200d\U0001f469.jpg",
        "a",
        "a b",
        ".hidden",
        "...",
        "a/b.c",
        "\N{GREEK SMALL LETTER ALPHA}" * 127,
        "x" * 255,
        "/".join("x" * 16),
    ):
        check_name(name)
    check_name("/".join(["x" * 255, "y" * (NAME_CAP - 257)]))
    with pytest.raises(ValueError, match="longer or deeper"):
        check_name("/".join(["x" * 255, "y" * 255, "z"]))


@pytest.mark.parametrize(
    ("names", "size", "why"),
    [
        ((), 1, "1 to 100000 files"),
        (("a",), MAX_DATA_BYTES + 1, "at most"),
        (("b", "a"), 1, "in the order"),
        (("a", "a"), 1, "each once"),
        (("a", "a/b"), 1, "a file and a folder"),
        (("a",), -1, "needs its size"),
    ],
)
def test_a_data_set_that_could_not_be_one_is_refused(names: tuple[str, ...], size: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        DataSet(tuple(DataFile(name, Path("x"), size, ZERO) for name in names))
    assert DataSet((DataFile("a", Path("x"), MAX_DATA_BYTES, ZERO),)).size == MAX_DATA_BYTES


def test_the_files_of_a_data_set_share_one_bound() -> None:
    half = MAX_DATA_BYTES // 2
    whole = tuple(DataFile(name, Path("x"), half, ZERO) for name in ("a", "b"))
    assert DataSet(whole).size == MAX_DATA_BYTES
    with pytest.raises(ValueError, match=f"at most {MAX_DATA_BYTES} bytes"):
        DataSet((*whole, DataFile("c", Path("x"), 1, ZERO)))


def test_equal_data_have_equal_digests_wherever_they_lie(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder / "deep").mkdir(parents=True)
        (tmp_path / folder / "deep" / "a").write_text("1")
        (tmp_path / folder / "b").write_text("22")
    one, two = scan_folder(tmp_path / "one"), scan_folder(tmp_path / "two")
    assert one.digest == two.digest
    assert ([file.name for file in one.files], one.size, one.folders()) == (["b", "deep/a"], 3, {"deep"})
    assert one.below("data").digest != one.digest
    assert [file.name for file in one.below("data").files] == ["data/b", "data/deep/a"]
    (tmp_path / "two" / "b").write_text("23")
    assert scan_folder(tmp_path / "two").digest != one.digest


def test_only_regular_files_become_data(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    for make in (
        lambda path: path.symlink_to(tmp_path / "a"),
        lambda path: path.symlink_to("/etc", target_is_directory=True),
        lambda path: os.mkfifo(path),
        lambda path: path.symlink_to("/nowhere"),
    ):
        make(tmp_path / "other")
        with pytest.raises(OSError, match=r"link|regular|symbolic"):
            scan_folder(tmp_path)
        (tmp_path / "other").unlink()
    with pytest.raises(FileNotFoundError):
        scan_folder(tmp_path / "missing")
    assert len(scan_folder(tmp_path).files) == 1


@pytest.mark.parametrize(
    ("inputs", "outputs", "longest"),
    [
        ((InputRow("job.json"),), (OutputRow("a"),), 1.0),
        ((InputRow("../a"),), (OutputRow("a"),), 1.0),
        ((InputRow("a"), InputRow("a")), (OutputRow("a"),), 1.0),
        ((), (OutputRow("a/b"),), 1.0),
        ((), (), 1.0),
        ((), tuple(OutputRow(f"a{number}") for number in range(9)), 1.0),
        ((), (OutputRow("a"),), 0.0),
        ((), (OutputRow("a"),), 30 * 86400.0 + 1),
    ],
)
def test_a_row_that_names_no_plain_files_is_none(
    inputs: tuple[InputRow, ...], outputs: tuple[OutputRow, ...], longest: float
) -> None:
    with pytest.raises(ValueError, match="a phase"):
        PhaseRow(inputs, outputs, longest_s=longest)


def test_the_room_for_outputs_follows_the_row() -> None:
    row = PhaseRow((), (OutputRow("a", 5 << 20, EvaluationReader), OutputRow("model")))
    assert row.out_bytes(1 << 20) == (2 * 6 + 1) << 20, "each output, and its successor beside it"
    assert row.out_bytes(100 << 20) == 211 << 20
    with pytest.raises(ValueError, match="one at most is read"):
        PhaseRow((), (OutputRow("a", 1, EvaluationReader), OutputRow("b", 1, EvaluationReader)))


# --- what the filler and the view say ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folders", [("/a",), ("/a", "b"), ("/a", "/b:c"), ("/a", "/b,rw"), ("/a", "/b\\"), ("/a", "/b c")])
def test_a_view_is_made_of_plain_folders_alone(folders: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="no overlay"):
        view_options(folders)


def test_a_view_is_read_only_and_keeps_its_flags() -> None:
    options = view_options(["/v/in", "/v/data/files"])
    assert options == {"type": "overlay", "device": "overlay", "o": "ro,nosuid,nodev,noexec,lowerdir=/v/in:/v/data/files"}


def test_the_fillers_program_writes_below_its_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidecar_program, "DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()

    def say(*requests: bytes) -> bytes:
        answers = io.BytesIO()
        sidecar_program.serve(cast(Any, io.BytesIO(b"".join(requests))), cast(Any, answers))
        return answers.getvalue()

    name = b"deep/a b".hex().encode()
    assert say(b"new\n", b"keep " + name + b" 2\n", b"12", b"keep " + b"deep/c".hex().encode() + b" 0\n") == b"ok\nok\nok\n"
    assert (tmp_path / "data/files/deep/a b").read_bytes() == b"12"
    assert (tmp_path / "data/files/deep/a b").stat().st_mode & 0o7777 == 0o444
    assert say(b"new\n") == b"no is not empty\n"
    for bad in ("../x", "a/../../x", "/x", "a//x", "./x"):
        with pytest.raises(ValueError, match="leads out"):
            say(b"keep " + bad.encode().hex().encode() + b" 1\n", b"1")
    with pytest.raises(FileExistsError):
        say(b"keep " + name + b" 2\n", b"34")
    with pytest.raises(EOFError):
        say(b"keep " + b"short".hex().encode() + b" 2\n", b"1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


# --- volumes ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerDouble]:
    double = DockerDouble(tmp_path / "volumes")
    double.folder.mkdir()
    monkeypatch.setattr(engine_module, "_PAUSE_S", 0)
    monkeypatch.setattr(Engine, "api", lambda self, **_: Client(double))
    monkeypatch.setattr("os.umask", lambda mask: 0)
    yield double
    assert double.boxes == {}, "no filler stays"


Make = Callable[..., DataVolumes]


@pytest.fixture
def make(double: DockerDouble) -> Make:
    def made(disk: Path | None = None, cap: int = volumes.KEPT_BYTES) -> DataVolumes:
        return DataVolumes(Engine("unix:///x"), {"l": "1"}, lambda: Maker("sha256:k", "runc", False), lambda: disk, cap)

    return made


def test_a_content_is_brought_once_and_shared(double: DockerDouble, make: Make, tmp_path: Path) -> None:
    data, store = data_set(tmp_path, a="1", b="2"), make()
    folder = Path(store.hold(data))
    assert sorted((path.name, path.read_text()) for path in folder.iterdir()) == [("a", "1"), ("b", "2")]
    assert store.hold(data) == str(folder)
    assert double.count("create_volume") == 1
    [labels] = double.volume_labels.values()
    assert labels == {"l": "1", "learningchain.data": data.digest.hex()}
    assert store.clear() == []
    assert len(double.volumes) == 1, "what runs use stays"
    assert store.release(data) + store.release(data) == []
    assert len(double.volumes) == 1, "and waits for the next run"
    assert store.clear() == []
    assert double.volumes == {}


def test_few_contents_that_nobody_uses_are_kept(
    double: DockerDouble, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volumes, "IDLE_VOLUMES", 4)
    store = make()
    sets = [data_set(tmp_path, **{f"a{number}": "x" * 10}) for number in range(5)]
    for data in sets:
        store.hold(data)
    assert len(double.volumes) == len(sets), "those in use are not counted"
    for data in sets:
        assert store.release(data) == []
    assert held(double) == {data.digest for data in sets[1:]}, "the one that waited longest goes"
    store.clear()


def held(double: DockerDouble) -> set[bytes]:
    return {bytes.fromhex(labels["learningchain.data"]) for labels in double.volume_labels.values()}


def test_the_longest_unused_makes_room_before_the_next_is_brought_and_nothing_that_is_used(
    double: DockerDouble, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make(cap=30)
    one, two, three, four = sets = [data_set(tmp_path, **{f"a{number}": "x" * 10}) for number in range(4)]
    for data in sets[:3]:
        store.hold(data)
    for data in (two, one):
        store.release(data)
    create, at_once = double.create_volume, list[set[bytes]]()
    monkeypatch.setattr(double, "create_volume", lambda *of, **more: (at_once.append(held(double)), create(*of, **more))[1])
    store.hold(four)
    assert at_once == [{one.digest, three.digest}], "the bound holds while it is brought, too"
    store.hold(two)
    assert held(double) == {two.digest, three.digest, four.digest}
    store.hold(one)
    assert held(double) == {data.digest for data in sets}, "what runs use may be more"
    for data in sets:
        store.release(data)
    assert held(double) == {two.digest, three.digest, four.digest}
    monkeypatch.setattr(volumes, "leave_room", lambda *_: None if not double.volumes else refuse())
    store.hold(one)
    assert held(double) == {one.digest}, "nor is a disk full of what nobody uses"
    store.release(one)
    store.clear()


def refuse() -> None:
    raise EngineError("bringing data", "the disk is full")


def test_what_is_there_waits_for_nothing_that_is_being_brought(
    double: DockerDouble, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A committee's set is there; one of gigabytes comes for a training. Two runs that need that one bring it once."""
    store, (there, large) = make(), (data_set(tmp_path, a="1"), data_set(tmp_path, b="2"))
    store.keep(there)
    go_on, begun, honest = threading.Event(), threading.Event(), DataVolumes._fill

    def slowly(self: DataVolumes, data: DataSet) -> Any:
        begun.set()
        assert go_on.wait(20)
        return honest(self, data)

    monkeypatch.setattr(DataVolumes, "_fill", slowly)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(store.hold, large) for _ in range(2)]
        assert begun.wait(20)
        assert Path(store.hold(there), "a").read_text() == "1"
        go_on.set()
        assert both[0].result(20) == both[1].result(20)
    assert double.count("create_volume") == 2
    for data in (large, large, there):
        store.release(data)
    store.clear()


def test_a_set_that_is_kept_is_read_once_and_compared(double: DockerDouble, make: Make, tmp_path: Path) -> None:
    store, data = make(), data_set(tmp_path, a="1", b="2")
    store.keep(data)
    for file in data.files:
        file.path.unlink()
    assert Path(store.hold(data), "b").read_text() == "2", "a run finds it without them"
    store.release(data)
    store.clear()
    for room in (make(), make(cap=0)):
        wrong = data_set(tmp_path, c="3")
        wrong.files[0].path.write_text("4")
        with pytest.raises(OSError, match=r"not what it was|its set says"):
            room.keep(wrong)
    assert double.volumes == {}


def test_a_volume_that_was_removed_is_brought_again_unless_it_is_in_use(double: DockerDouble, make: Make, tmp_path: Path) -> None:
    data, store = data_set(tmp_path, a="1"), make()
    store.hold(data)
    [name] = double.volumes
    double.remove_volume(name)
    with pytest.raises(EngineError, match="no volume"):
        store.hold(data)
    store.release(data)
    assert Path(store.hold(data), "a").read_text() == "1"
    assert [*double.volumes] != [name]
    store.release(data)
    store.clear()


@pytest.mark.parametrize("what", ["labels", "options"])
def test_a_volume_that_is_not_what_was_made_is_not_used(double: DockerDouble, make: Make, tmp_path: Path, what: str) -> None:
    data, store = data_set(tmp_path, a="1"), make()
    store.hold(data)
    store.release(data)
    [name] = double.volumes
    (double.volume_labels if what == "labels" else double.volume_options)[name] = {"type": "tmpfs"}
    with pytest.raises(EngineError, match=f"another volume than was asked for, and nothing ran: .*its {what.capitalize()} is"):
        store.hold(data)
    store.clear()


@pytest.mark.parametrize("step", ["create_volume", "create_container_from_config", "attach_socket", "start"])
def test_a_filling_that_fails_leaves_nothing(double: DockerDouble, make: Make, tmp_path: Path, step: str) -> None:
    data, store = data_set(tmp_path, a="1"), make()
    double.faults[step] = [refusal(400, "broken")]
    with pytest.raises(EngineError, match="broken"):
        store.hold(data)
    assert double.volumes == {}
    assert Path(store.hold(data), "a").read_text() == "1", "and the next one goes well"
    store.release(data)
    store.clear()


@pytest.mark.parametrize(("content", "why"), [("2", "is not what it was"), ("12", "is not what it was"), ("", "became shorter")])
def test_a_file_that_changed_leaves_nothing(double: DockerDouble, make: Make, tmp_path: Path, content: str, why: str) -> None:
    data, store = data_set(tmp_path, a="0", b="1"), make()
    (tmp_path / "b").write_text(content)
    with pytest.raises(OSError, match=why):
        store.hold(data)
    assert double.volumes == {}


def test_a_file_that_became_a_link_reaches_no_volume(double: DockerDouble, make: Make, tmp_path: Path) -> None:
    data, store = data_set(tmp_path, a="1"), make()
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    with pytest.raises(OSError, match="symbolic links"):
        store.hold(data)
    assert double.volumes == {}


def test_the_disk_is_looked_at_before_and_while_it_fills(
    double: DockerDouble, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def look(folder: Path | None, what: str, size: int = 0, files: int = 0) -> None:
        asked.append((size, files))
        if len(asked) == 4:
            raise EngineError(what, "full")

    monkeypatch.setattr(volumes, "leave_room", look)
    monkeypatch.setattr(volumes, "LOOK_EVERY", 1_024)  # of the archive: a header and a file that is padded
    (tmp_path / "deep").mkdir()
    for name in ("deep/a", "deep/b", "deep/c"):
        (tmp_path / name).write_text("x" * 10)
    data, store = DataSet(tuple(measure(name, tmp_path / name) for name in ("deep/a", "deep/b", "deep/c"))), make(tmp_path)
    with pytest.raises(EngineError, match="full"):
        store.hold(data)
    assert asked == [(30, 5), (0, 0), (0, 0), (0, 0)]
    assert double.volumes == {}
    asked.clear()
    monkeypatch.setattr(volumes, "LOOK_EVERY", 3_000)
    store.hold(data)
    assert asked == [(30, 5), (0, 0)], "so often, and no more"
    store.release(data)
    store.clear()
