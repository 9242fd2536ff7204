"""Images of folders and locked wheels: the same id everywhere, nothing executed, and by name whatever cannot go in."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from learningchain.sandbox import building
from learningchain.sandbox.archive import scan_archive
from learningchain.sandbox.building import Built, OpenBase, wheels
from learningchain.sandbox.building.fetch import Wheel
from learningchain.sandbox.building.folder import open_folder
from learningchain.sandbox.building.lock import read_lock
from learningchain.sandbox.image_writer import ImageBuildError, LayerFiles, files_layer, this_machine, write_archive
from learningchain.sandbox.spec import ImageLimits
from tests.unit.building_kit import FILES, PROGRAM, job, wheel


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBase]:
    with building.open_base(building.own_base(tmp_path_factory.mktemp("base"))) as opened:
        yield opened


def build(made: tuple[Path, Path], own: OpenBase) -> Built:
    return building.build_folder(made[0], made[0].parent / "image.tar", own, made[1])


def contents(archive: Path) -> dict[str, bytes]:
    """Every file of an image by its path."""
    found: dict[str, bytes] = {}
    with tarfile.open(archive) as whole:
        parts = {member.name: whole.extractfile(member).read() for member in whole}  # type: ignore[union-attr]
    for layer in json.loads(parts["manifest.json"])[0]["Layers"]:
        with tarfile.open(fileobj=io.BytesIO(parts[layer])) as tar:
            found |= {member.name: tar.extractfile(member).read() for member in tar if member.isreg()}  # type: ignore[union-attr]
    return found


def test_the_same_folder_has_the_same_image_at_another_place_and_time(
    tmp_path: Path, own: OpenBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = build(job(tmp_path / "one"), own)
    before = os.umask(0o077)
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    try:
        other = job(tmp_path / "two")
        for path in other[0].rglob("*"):
            os.utime(path, (5, 5))
        two = build(other, own)
    finally:
        os.umask(before)
    assert one == two
    assert (tmp_path / "one/image.tar").read_bytes() == (tmp_path / "two/image.tar").read_bytes()
    assert scan_archive(tmp_path / "one/image.tar", ImageLimits()).image_id == one.image_id
    (other[0] / "data/train.csv").write_text("1,3\n")
    assert build(other, own).image_id != one.image_id


def test_what_goes_in(tmp_path: Path, own: OpenBase) -> None:
    made = job(tmp_path)
    built = build(made, own)
    found, site = contents(tmp_path / "image.tar"), own.site_packages
    assert built.packages == (("thing", "1.0"),) and built.files == ("/lc/data/train.csv", "/lc/job")
    assert found["lc/job"] == PROGRAM.encode() and found["usr/local/share/thing.txt"] == b"shared"
    ours = {path.removeprefix(site): content for path, content in found.items() if path.startswith(f"{site}/thing")}
    compiled = {path for path in ours if path.endswith(".pyc")}
    assert {path.lstrip("/") for path in ours if path not in compiled} == {name for name in FILES if ".data" not in name}
    assert [path.split(".")[0] for path in compiled] == ["/thing/__pycache__/__init__"], "tests and what is no module have none"
    assert not [path for path in found if "hidden" in path or path.endswith(("job.toml", "requirements.lock"))]


def test_nothing_of_a_wheel_or_the_folder_is_executed(tmp_path: Path, own: OpenBase, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "executed"
    evil = f"open({str(mark)!r}, 'w').close()\n"
    names = ("sitecustomize.py", "usercustomize.py", "thing.py", "marshal.py", "encodings/__init__.py", "setup.py")
    made = job(tmp_path, wheel({**FILES, **dict.fromkeys(names, evil), "a.pth": f"import os; {evil}"}))
    (made[0] / "job.py").write_text(PROGRAM + evil)
    for name in ("pip.py", "json.py", "helper.py"):
        (made[0] / name).write_text(evil)
    monkeypatch.chdir(made[0])
    build(made, own)
    assert not mark.exists()


def test_markers_are_those_of_the_base(tmp_path: Path, own: OpenBase) -> None:
    made = job(tmp_path)
    with (made[0] / "requirements.lock").open("a") as lock:
        lock.write(f"# comment\nother==2 ; sys_platform == 'win32' --hash=sha256:{'a' * 64}\n")
    assert build(made, own).packages == (("thing", "1.0"),)


def test_a_lock_is_written_of_names(tmp_path: Path, own: OpenBase) -> None:
    made, found = job(tmp_path)
    wanted = (made / "requirements.lock").read_text()
    (made / "requirements.lock").unlink()
    (made / "requirements.txt").write_text("Thing\n")
    with pytest.raises(ImageBuildError, match=r"without their hashes. Lock them: learningchain job lock"):
        build((made, found), own)
    assert building.lock_folder(made, own, found) == ["thing"]
    assert (made / "requirements.lock").read_text().splitlines()[1:] == wanted.splitlines()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("thing==1.0+cpu", r"thing==1.0\+cpu has no wheel for CPython.*extra-index-url URL"),
        ("thing\nthing<1", r"fit together: .*thing<1.*take more versions"),
        ("thing==2", r"thing==2 has no wheel for CPython.*not built"),
    ],
)
def test_why_a_list_cannot_be_locked_is_said(tmp_path: Path, own: OpenBase, names: str, said: str) -> None:
    made, found = job(tmp_path)
    (made / "requirements.txt").write_text(names)
    with pytest.raises(ImageBuildError, match=said):
        building.lock_folder(made, own, found)


# --- refused ----------------------------------------------------------------------------------------------------------------------


Change = Callable[[Path], object]
LINE = f"thing==1.0 --hash=sha256:{'0' * 64}"


def settings(text: str) -> Change:
    return lambda made: (made / "job.toml").write_text(text)


REFUSED: dict[str, tuple[Change, str]] = {
    "no program": (lambda made: (made / "job.py").unlink(), "holds no 'job.py' to become /lc/job"),
    "a program without an interpreter": (
        lambda made: (made / "job.py").write_text("print()"),
        "does not begin with an interpreter",
    ),
    "an interpreter that the base lacks": (
        lambda made: (made / "job.py").write_text("#!/usr/bin/env python3\n"),
        "for Python its first line is #!/usr/local/bin/python3",
    ),
    "lines of Windows": (
        lambda made: (made / "job.py").write_bytes(PROGRAM.replace("\n", "\r\n").encode()),
        "lines that end as on Windows",
    ),
    "a byte order mark": (
        lambda made: (made / "job.py").write_bytes(b"\xef\xbb\xbf" + PROGRAM.encode()),
        "job.py begins with a byte order mark: .* save it as UTF-8 without one",
    ),
    "settings in UTF-16": (
        lambda made: (made / "job.toml").write_text("", "utf-16"),
        "job.toml is not UTF-8 text. Save it as UTF-8",
    ),
    "a link": (lambda made: (made / "data/x").symlink_to("/etc/passwd"), "data/x is a link"),
    "a linked folder": (
        lambda made: [(made / "data").rename(made / "d"), (made / "data").symlink_to("d")],
        "data is a link",
    ),
    "a linked program": (
        lambda made: [(made / "job.py").rename(made / "j"), (made / "job.py").symlink_to("j")],
        "job.py is a link",
    ),
    "a pipe": (lambda made: os.mkfifo(made / "data/x"), "data/x is a device, a pipe or a socket"),
    "a name that is no text": (lambda made: os.close(os.open(os.fsencode(made) + b"/data/\xff", os.O_CREAT)), "no text in UTF-8"),
    "files outside": (settings('files = ["../other"]'), "'../other' leads out of the folder"),
    "files anywhere": (settings('files = ["/etc/passwd"]'), "'/etc/passwd' leads out of the folder"),
    "a program outside": (settings('program = "../job.py"'), "holds no '../job.py'"),
    "files that there are not": (settings('files = ["dat"]'), "there is no 'dat'"),
    "files of a run": (
        lambda made: [(made / "in").mkdir(), (made / "in/model").touch(), settings('files = ["in"]')(made)],
        "would lie at /lc/in/model, where a run has its own",
    ),
    "an unknown setting": (settings("gpus = 1"), "may say program, files, base"),
    "settings that are none": (settings("files ="), "may say program, files, base"),
    "another base": (settings(f'base = "sha256:{"0" * 64}"'), "is built on the base sha256:0000.*another base makes another image"),
    "large data": (lambda made: os.truncate(made / "data/train.csv", 1 << 34), "data/train.csv is more than an image may hold"),
}


LISTS: dict[str, tuple[str, str]] = {
    "a package without a hash": ("thing==1.0\n", "line 1: thing has no --hash=sha256"),
    "a hash of a weaker kind": ("thing==1.0 --hash=md5:00\n", "thing has no --hash=sha256"),
    "any version": (LINE.replace("==", ">="), "thing has no exact version"),
    "two bounds": (LINE.replace("1.0", "1.0,<2"), "is no package with one exact version"),
    "a URL": ("thing @ file:///thing.whl --hash=sha256:" + "0" * 64, "is no package with one exact version"),
    "an option": ("--index-url file:///elsewhere\n" + LINE, "line 1: .* is an option"),
    "an editable folder": ("-e .\n", "line 1: '-e .' is an option"),
    "torch for CUDA": (
        f"{LINE.replace('thing==1.0', 'torch==2.1.0')}\n{LINE.replace('thing==1.0', 'nvidia-cudnn-cu13==9.1')}",
        r"torch==2\.1\.0\+cpu in requirements\.txt",
    ),
    "a package twice": (f"{LINE}\n{LINE.replace('1.0', '2')}", "line 2: thing is there twice"),
    "a long list": ("#" * (1 << 20) + "#", "has more than 1048576 bytes"),
    "many packages": ("".join(f"p{n}{LINE}\n" for n in range(501)), "has 501 packages"),
}


@pytest.mark.parametrize("case", LISTS)
def test_what_of_a_list_is_refused_is_named(own: OpenBase, case: str) -> None:
    text, said = LISTS[case]
    with pytest.raises(ImageBuildError, match=said):
        read_lock(text, own.facts, gpus=False)


def test_torch_for_gpus_goes_into_an_image_whose_trainings_ask_for_some(tmp_path: Path, own: OpenBase) -> None:
    folder, _ = job(tmp_path)
    text, _ = LISTS["torch for CUDA"]
    (folder / "requirements.lock").write_text(text)
    with (folder / "job.toml").open("a") as settings:
        settings.write("\n[post]\ngpus = 1\n")
    opened = open_folder(folder)
    assert [one.name for one in read_lock(opened.lock, own.facts, gpus=opened.settings.gpus)] == ["nvidia-cudnn-cu13", "torch"]


@pytest.mark.parametrize("case", REFUSED)
def test_what_of_a_folder_is_refused_is_named(tmp_path: Path, own: OpenBase, case: str) -> None:
    change, said = REFUSED[case]
    made = job(tmp_path)
    change(made[0])
    with pytest.raises(ImageBuildError, match=said):
        build(made, own)
    assert not (tmp_path / "image.tar").exists()


def member(name: str, mode: int = 0, flags: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr, info.flag_bits = mode << 16, flags
    return info


LINK = wheel(FILES, (member("thing/link", stat.S_IFLNK | 0o777), b"/etc/passwd"))
HOSTILE: dict[str, tuple[bytes, str]] = {
    "a name that leads out": (wheel({**FILES, "../../x.py": ""}), "a path that leads out"),
    "a name from the root": (wheel({**FILES, "/etc/x": ""}), "a path that leads out"),
    "a name out of the data": (wheel({**FILES, "thing-1.0.data/data/../../x": ""}), "a path that leads out"),
    "a whiteout": (wheel({**FILES, "thing/.wh.x": ""}), "holds the name 'thing/.wh.x'"),
    "a name of Windows": (wheel({**FILES, "thing\\x.py": ""}), "holds the name"),
    "a long name": (wheel({**FILES, "x" * 300: ""}), "too long"),
    "a link": (LINK, "'thing/link' is no plain file"),
    "a name twice": (wheel({**FILES, "thing//__init__.py": ""}), "holds 'thing//__init__.py' twice"),
    "a file that is a folder": (wheel({**FILES, "thing/broken.py/x": ""}), "has a file .*broken.py' and .* a folder"),
    "no archive": (b"PK but no more", "is no wheel"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_of_a_wheel_is_refused_is_named(tmp_path: Path, own: OpenBase, case: str) -> None:
    content, said = HOSTILE[case]
    with pytest.raises(ImageBuildError, match=said), unpacked(tmp_path, own, content, 1 << 30):
        pytest.fail("unpacked")


def unpacked(folder: Path, own: OpenBase, content: bytes, room: int) -> AbstractContextManager[list[LayerFiles]]:
    """The layers of one wheel, without pip, which looks at some of these names too."""
    path = folder / "thing-1.0-py3-none-any.whl"
    path.write_bytes(content)
    return wheels.wheel_layers([Wheel(path, canonicalize_name("thing"), Version("1.0"))], own, wheels.Room(room, 1000))


def test_a_wheel_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    tmp_path: Path, own: OpenBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "_compile", lambda *_: pytest.fail("unpacked"))
    bomb = wheel({**FILES, "thing/zeros": bytes(64 << 20)})
    with pytest.raises(ImageBuildError, match=r"any.whl is more than an image may hold"), unpacked(tmp_path, own, bomb, 32 << 20):
        pass


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("thing-1.0-cp311-cp311-win_amd64.whl", "thing==1.0 has no wheel for CPython"),
        ("thing-1.0-cp27-none-any.whl", "thing==1.0 has no wheel for CPython"),
        ("thing-1.0-py3-none-manylinux_2_99_x86_64.whl", "thing==1.0 has no wheel for CPython"),
        ("thing-1.0.tar.gz", "Source distributions are not built"),
        ("nothing-1.0-py3-none-any.whl", "thing==1.0 has no wheel for CPython"),
    ],
)
def test_what_is_no_wheel_for_the_base_is_refused(tmp_path: Path, own: OpenBase, name: str, said: str) -> None:
    with pytest.raises(ImageBuildError, match=said):
        build(job(tmp_path, name=name), own)


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path, own: OpenBase) -> None:
    made = job(tmp_path)
    (made[0] / "requirements.lock").write_text(LINE)
    with pytest.raises(ImageBuildError, match=r"thing==1.0.* has another hash than requirements.lock names"):
        build(made, own)


def test_an_image_above_the_limit_takes_no_place(tmp_path: Path, own: OpenBase, monkeypatch: pytest.MonkeyPatch) -> None:
    made = job(tmp_path)
    kept = build(made, own)
    monkeypatch.setattr("learningchain.sandbox.building.build.LIMITS", ImageLimits(archive_bytes=kept.size - 20_480))
    with pytest.raises(ImageBuildError, match=f"the image has more than {kept.size - 20_480} bytes"):
        build(made, own)
    assert (tmp_path / "image.tar").stat().st_size == kept.size and len(list(tmp_path.iterdir())) == 3


def test_a_large_image_is_packed_and_has_the_id_that_it_has_unpacked(
    tmp_path: Path, own: OpenBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, made = build(job(tmp_path / "plain"), own), job(tmp_path / "packed")
    monkeypatch.setattr("learningchain.sandbox.image_writer._PACKED_PIECE", 1_000)
    monkeypatch.setattr("learningchain.sandbox.building.build.PLAIN_BYTES", 0)
    packed = build(made, own)
    first = (tmp_path / "packed/image.tar").read_bytes()
    assert build(made, own) == packed and (tmp_path / "packed/image.tar").read_bytes() == first
    assert packed.image_id == plain.image_id == scan_archive(tmp_path / "packed/image.tar", ImageLimits()).image_id
    assert packed.size < plain.size and contents(tmp_path / "packed/image.tar") == contents(tmp_path / "plain/image.tar")


def test_large_wheels_have_a_layer_of_their_own_which_two_jobs_share(
    tmp_path: Path, own: OpenBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "LARGE", 1)
    layers = []
    for name in ("one", "two"):
        made = job(tmp_path / name)
        (made[0] / "data/train.csv").write_text(name)
        build(made, own)
        layers.append(scan_archive(tmp_path / name / "image.tar", ImageLimits()).config.layers)
    assert len(layers[0]) == 3 and layers[0][:2] == layers[1][:2] and layers[0][2] != layers[1][2]


@pytest.mark.parametrize("damage", ["cut", "no interpreter"])
def test_what_is_no_base_is_refused(tmp_path: Path, own: OpenBase, damage: str) -> None:
    other = tmp_path / "other.tar"
    if damage == "cut":
        other.write_bytes(own.layers[0].archive.read_bytes()[: 1 << 20])
    else:
        write_archive(other, [files_layer({"/lc/job": b"x"})], {}, this_machine())
    with pytest.raises(ImageBuildError, match=r"is no base|cannot be a base"), building.open_base(other):
        pass
