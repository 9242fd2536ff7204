"""The demo's image is built once and then comes from the cache, until anything that goes into it changes."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

from learningchain.examples import images
from learningchain.examples.build import build as build_example
from learningchain.examples.digits import build
from learningchain.examples.digits_torch import build as digits_torch
from learningchain.examples.digits_torch.shapes import SHAPES
from learningchain.examples.federation import wheel
from learningchain.examples.federation.build import initial
from learningchain.sandbox import images as sandbox_images
from learningchain.sandbox.image_writer import PYTHON_IN_IMAGE


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, bytes | Path]]:
    """Stands for the builder, whose own tests are elsewhere; records what each build was given."""
    calls: list[Mapping[str, bytes | Path]] = []

    def fake(dest: Path, files: Mapping[str, bytes | Path], *, with_packages: tuple[str, ...]) -> str:
        assert with_packages == ("numpy",)
        calls.append(files)
        dest.write_bytes(b"archive %d" % len(calls))
        return "sha256:" + f"{len(calls):064x}"

    monkeypatch.setattr(images, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(sandbox_images, "build_python_image", fake)
    return calls


def test_the_second_build_comes_from_the_cache(tmp_path: Path, builds: list[Mapping[str, bytes | Path]]) -> None:
    first = build.build(tmp_path / "one.tar")
    (tmp_path / "two.tar").write_bytes(b"something older")
    assert build.build(tmp_path / "two.tar") == first
    assert len(builds) == 1
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes() == b"archive 1"
    assert set(builds[0]) == {"/lc/job", "/lc/train.csv", "/lc/eval.csv"}
    job = builds[0]["/lc/job"]
    assert isinstance(job, bytes)
    assert job.startswith(b"#!" + PYTHON_IN_IMAGE.encode() + b"\n")


def test_a_changed_file_or_a_damaged_cache_is_built_anew(
    tmp_path: Path, builds: list[Mapping[str, bytes | Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    build.build(tmp_path / "a.tar")
    for note in cache.glob("*.id"):
        note.write_text("sha256:12")
    build.build(tmp_path / "a.tar")
    assert len(builds) == 2
    monkeypatch.setattr(build, "image_files", lambda: {"/lc/job": b"#!another"})
    build.build(tmp_path / "a.tar")
    assert len(builds) == 3
    assert (tmp_path / "a.tar").read_bytes() == b"archive 3"


def test_the_cache_keeps_the_newest_images_only(
    tmp_path: Path, builds: list[Mapping[str, bytes | Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(images.KEPT + 2):
        monkeypatch.setattr(build, "image_files", lambda number=number: {"/lc/job": b"#!%d" % number})
        build.build(tmp_path / "a.tar")
    assert len(list((tmp_path / "cache").glob("*.tar"))) == len(list((tmp_path / "cache").glob("*.id"))) == images.KEPT
    build.build(tmp_path / "a.tar")  # the newest is among them
    assert len(builds) == images.KEPT + 2


def test_wrong_usage_and_a_full_or_missing_disk_are_told(
    tmp_path: Path, builds: list[Mapping[str, bytes | Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert build.main([]) == 2
    (tmp_path / "file").write_bytes(b"")
    assert build.main([str(tmp_path / "file" / "image.tar")]) == 1
    assert "error: the image cannot be built" in capsys.readouterr().err


def imported(source: bytes) -> set[str]:
    """Modules of the examples that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("learningchain.examples"):
            alone = {f"{node.module}.{name.name}" for name in node.names if node.module == "learningchain.examples.federation"}
            found |= alone or {node.module}
    return found


def test_the_image_in_torch_holds_all_that_its_job_imports() -> None:
    """torch itself comes with `wheel.PACKAGES`; only a container has it (processes/test_torch_job.py)."""
    files = digits_torch.image_files()
    waiting, seen = imported(bytes(files["/lc/job"])), set[str]()  # type: ignore[arg-type]
    while waiting:
        module = waiting.pop()
        seen.add(module)
        source = files[f"/lc/{module.replace('.', '/')}.py"]
        assert isinstance(source, bytes)
        waiting |= imported(source) - seen
    assert {f"/lc/{module.replace('.', '/')}.py" for module in seen} == {name for name in files if name.endswith(".py")}
    assert {name: list(values.shape) for name, values in initial("digits-network").items()} == SHAPES


def test_a_machine_without_torch_is_told_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise wheel.TorchMissing("torch==1 is not to be had")

    monkeypatch.setattr(wheel, "torch_folder", missing)
    with pytest.raises(wheel.TorchMissing):
        build_example("digits_torch", tmp_path / "image.tar")
