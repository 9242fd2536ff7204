"""Images that are built here: the same bytes from the same files, nothing but what was asked for, and what they need to start."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from learningchain.sandbox import images
from learningchain.sandbox.docker import sidecar_program
from learningchain.sandbox.image_writer import PYTHON_IN_IMAGE, ImageBuildError, files_layer, this_machine, write_archive
from learningchain.sandbox.images import SIDECAR_PROGRAM, sidecar_image


class Built:
    """An archive taken apart."""

    def __init__(self, path: Path) -> None:
        with tarfile.open(path) as archive:
            self.parts = {member.name: file.read() for member in archive if (file := archive.extractfile(member))}
        (self.manifest,) = json.loads(self.parts["manifest.json"])
        self.document = self.parts[self.manifest["Config"]]
        self.entries: dict[str, tarfile.TarInfo] = {}
        self.content: dict[str, bytes] = {}
        for layer in self.manifest["Layers"]:
            with tarfile.open(fileobj=io.BytesIO(self.parts[layer])) as tar:
                for member in tar:
                    self.entries[member.name] = member
                    file = tar.extractfile(member) if member.isreg() else None
                    self.content[member.name] = file.read() if file else b""


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return sidecar_image(tmp_path_factory.mktemp("cache") / "new", this_machine())


def test_a_sidecars_image_holds_its_program_and_what_starts_it(sidecar: tuple[Path, str]) -> None:
    path, image = sidecar
    built = Built(path)
    assert image == "sha256:" + hashlib.sha256(built.document).hexdigest()
    assert built.content[SIDECAR_PROGRAM[-1].lstrip("/")] == Path(sidecar_program.__file__).read_bytes()
    link = built.entries[PYTHON_IN_IMAGE.lstrip("/")]
    assert link.issym() and built.entries[f"usr/local/bin/{link.linkname}"].mode == 0o755
    assert any(name.endswith("/libc.so.6") for name in built.entries)
    assert built.entries["lc/data"].mode == 0o777, "its filler is a user without any rights"
    assert {member.uid for member in built.entries.values()} == {member.mtime for member in built.entries.values()} == {0}


def test_it_is_built_once(sidecar: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_build_sidecar", lambda *_: pytest.fail("built again"))
    assert sidecar_image(sidecar[0].parent, this_machine()) == sidecar


def test_no_sidecar_is_built_for_an_engine_of_another_architecture(tmp_path: Path) -> None:
    with pytest.raises(ImageBuildError, match="engines of architecture 's390x'"):
        sidecar_image(tmp_path, "s390x")


# --- any image --------------------------------------------------------------------------------------------------------------------


def written(folder: Path, files: dict[str, bytes | Path], **config: object) -> tuple[str, Built]:
    image = write_archive(folder / "image.tar", [files_layer(files)], config, "amd64")
    return image, Built(folder / "image.tar")


def test_equal_files_make_equal_images_in_whatever_order_and_place_they_were_given(tmp_path: Path) -> None:
    source = tmp_path / "b"
    source.write_bytes(b"2")
    one, _ = written(tmp_path / "one", {"/lc/a": b"1", "/lc/b": source})
    os.utime(source, (5, 5))
    source.chmod(0o600)
    two, built = written(tmp_path / "two", {"lc/b": b"2", "/lc/a": b"1"})
    assert one == two
    assert list(built.entries) == ["lc", "lc/a", "lc/b"]
    assert written(tmp_path / "three", {"/lc/a": b"1", "/lc/b": b"3"})[0] != one
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["image.tar"], "nothing of the work is left"


def test_what_starts_like_a_program_is_one(tmp_path: Path) -> None:
    (tmp_path / "script").write_bytes(b"#!/usr/local/bin/python3\n")
    files: dict[str, bytes | Path] = {
        "/a": b"#!x",
        "/b": b"\x7fELF",
        "/c": b"text",
        "/d": b"",
        "/e": tmp_path / "script",
        "/f": b"\x7fELx",
    }
    _, built = written(tmp_path, files)
    assert {name: oct(entry.mode) for name, entry in built.entries.items()} == {
        **dict.fromkeys("abe", "0o755"),
        **dict.fromkeys("cdf", "0o644"),
    }


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("numpy/core.py", True),
        ("numpy/core.pyi", False),
        ("numpy/x.c", False),
        ("numpy/__pycache__/core.cpython-311.pyc", False),
        ("numpy/tests/test_core.py", False),
        ("numpy/tests/_helpers.py", True),
        ("numpy/tests/_helpers.json", False),
        ("numpy/tests/deep/_helpers.py", False),
        ("numpy-1.dist-info/METADATA", True),
        ("numpy-1.dist-info/RECORD", False),
        ("../../bin/f2py", False),
        ("/etc/passwd", False),
    ],
)
def test_what_of_a_package_a_job_gets(path: str, wanted: bool) -> None:
    assert images._wanted(PurePosixPath(path)) is wanted
