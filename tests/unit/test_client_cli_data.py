"""`learningchain data`: what is added, listed and removed, and what each refusal tells people to do."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from learningchain.client.cli import setup
from learningchain.client.keys.keystore import Public
from learningchain.sandbox import SandboxUnavailable
from learningchain.sandbox.docker import engine as engine_module
from learningchain.sandbox.docker import service
from learningchain.sandbox.docker.engine import Engine

from .docker_double import Client, DockerDouble
from .test_sandbox_archive import docker_archive, entry, tar

pytest_plugins = ["tests.unit.client_cli_kit"]


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerDouble]:
    double = DockerDouble(tmp_path / "volumes")
    double.folder.mkdir()
    sidecar = tmp_path / "sidecar.tar"
    sidecar_id = docker_archive(sidecar, [tar(entry("sidecar", b"x"))])
    monkeypatch.setattr(engine_module, "_PAUSE_S", 0)
    monkeypatch.setattr(Engine, "api", lambda self, **_: Client(double))
    monkeypatch.setattr(service, "sidecar_image", lambda cache, machine: (sidecar, sidecar_id))
    monkeypatch.setattr("os.umask", lambda mask: 0)
    yield double
    assert double.boxes == {}


@pytest.fixture
def run(run: Any, double: DockerDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "node").mkdir()
    monkeypatch.setenv("LEARNINGCHAIN_DATA", str(tmp_path / "node"))
    monkeypatch.setattr(setup, "own_identity", lambda common: Public(bytes(20), bytes(33)))
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "a.csv").write_text("age\n18\n")
    (tmp_path / "folder" / "deep" / "b.csv").write_text("age\n101\n")
    return run


def test_data_are_added_listed_and_removed(run: Any, double: DockerDouble, tmp_path: Path) -> None:
    added = run("data", "add", "scans", str(tmp_path / "folder"), "--json")
    assert added.code == 0, added.err
    document = added.json
    assert (document["name"], document["files"], document["bytes"], document["folder"]) == (
        "scans",
        2,
        15,
        str(tmp_path / "folder"),
    )
    assert len(double.volumes) == 1
    assert run("data", "list", "--json").json == [document]
    shown = run("data", "list").out
    assert "scans" in shown
    assert document["digest"][:16] in shown
    (volume,) = double.volumes
    double.remove_volume(volume)
    gone = run("data", "list", "--json").json
    assert gone == [document | {"lost": True}]
    assert "gone from the engine" in (told := run("data", "list")).err and "learningchain data remove scans, then" in told.err
    removed = run("data", "remove", "scans", "--json")
    assert (removed.code, removed.json["removed"]) == (0, True)
    assert (double.volumes, run("data", "list", "--json").json) == ({}, [])
    assert "learningchain data add" in run("data", "list").out


def test_an_engine_that_is_not_there_is_told_before_anything_is_read(
    run: Any, double: DockerDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of a tebibyte that takes no room is read for an hour."""
    os.truncate(tmp_path / "folder" / "a.csv", (1 << 40) - 1_000)

    def gone(self: Engine) -> None:
        raise SandboxUnavailable("no Docker Engine answers")

    monkeypatch.setattr(Engine, "info", gone)
    refused = run("data", "add", "scans", str(tmp_path / "folder"))
    assert refused.code == 2 and "No Docker Engine answers" in refused.err


def test_tables_are_held_against_a_schema_first(run: Any, double: DockerDouble, tmp_path: Path) -> None:
    raw = json.dumps({"columns": [{"name": "age", "datatype": "INT64", "max": 100}]}).encode()
    (tmp_path / "schema.json").write_bytes(raw)
    words = ("data", "add", "scans", str(tmp_path / "folder"), "--schema", str(tmp_path / "schema.json"), "--json")
    refused = run(*words)
    assert refused.code == 2
    assert "'deep/b.csv', line 2, age: '101' is not a whole number" in refused.error["message"]
    assert double.volumes == {}
    (tmp_path / "folder" / "deep" / "b.csv").rename(tmp_path / "folder" / "deep" / "B.CSV")
    assert "'deep/B.CSV', line 2, age: '101'" in run(*words).error["message"], "a suffix in capitals is one, too"
    (tmp_path / "folder" / "deep" / "B.CSV").write_text("age\n100\n")
    (tmp_path / "folder" / "notes.txt").write_text("x")
    assert "Not held against the schema, for they are no .csv files: notes.txt" in run(*words[:-1]).err
    assert run("data", "remove", "scans").code == 0
    added = run(*words)
    assert added.json["schema"] == hashlib.sha256(raw).hexdigest()
    for content, why in ((b"{", "no JSON"), (b'{"columns":[]}', "not valid")):
        (tmp_path / "schema.json").write_bytes(content)
        assert why in run(*words).error["message"]
    for path in [path for path in (tmp_path / "folder").rglob("*") if path.is_file()]:
        os.rename(path, path.with_suffix(".txt"))
    (tmp_path / "schema.json").write_bytes(raw)
    assert "There is no .csv file" in run(*words).error["message"]
    assert run("data", "remove", "scans").code == 0


def test_a_folder_for_images_that_may_not_be_written_is_this_machine_s_trouble(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any) -> None:
        raise PermissionError(13, "Permission denied", "/home/nobody/.cache")

    monkeypatch.setattr(service, "sidecar_image", refuses)
    ran = run("data", "add", "scans", str(tmp_path / "folder"))
    assert ran.code == 2 and "Permission denied. Let this user write there, or name another folder" in ran.err
    assert "learningchain config set sandbox.cache_dir FOLDER" in ran.err
