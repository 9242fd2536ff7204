"""`job build`, `job lock`, `job base` and `job submit DIR`: from a folder to an archive and a posting, without Docker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import learningchain
from tests.unit.building_kit import job
from tests.unit.client_fake_api import JOB, QUOTE, TOKEN, Fake

pytest_plugins = ["tests.unit.client_cli_kit"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's base is made once for all of them, and none of the user's is touched."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


def test_a_folder_is_built_here_and_on_a_base_of_another_machine(run: Any, tmp_path: Path) -> None:
    (made, wheels), archive = job(tmp_path), tmp_path / "image.tar"
    here = run("job", "build", made, "-o", archive, "--wheels", wheels, "--json")
    assert here.code == 0, here.err
    assert here.json["packages"] == ["thing==1.0"] and here.json["files"] == ["/lc/data/train.csv", "/lc/job"]
    base = run("job", "base", tmp_path / "base.tar", "--json")
    assert (base.code, base.json["base"]) == (0, here.json["base"])
    again = run("job", "build", made, "-o", archive, "--wheels", wheels, "--base", tmp_path / "base.tar", "--json")
    assert again.json == here.json
    people = run("job", "build", made, "-o", archive, "--wheels", wheels)
    assert here.json["image_id"] in people.out and f"learningchain image check {archive}" in people.err


def test_a_list_is_locked(run: Any, tmp_path: Path) -> None:
    made, wheels = job(tmp_path)
    (made / "requirements.lock").unlink()
    (made / "requirements.txt").write_text("thing\n")
    ran = run("job", "build", made, "-o", tmp_path / "image.tar")
    assert ran.code == 2 and f"learningchain job lock {made}" in ran.err
    assert run("job", "lock", made, "--wheels", wheels).code == 0
    assert run("job", "build", made, "-o", tmp_path / "image.tar", "--wheels", wheels).code == 0


def test_whoever_locks_libraries_for_gpus_is_told_what_else_there_is(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learningchain.sandbox.building.lock_folder", lambda *_: ["cuda-toolkit", "nvidia-cublas", "torch"])
    ran = run("job", "lock", job(tmp_path)[0])
    assert ran.code == 0 and "3 packages" in ran.out and "2 of them are for NVIDIA" in ran.err and "torch==2.13.0+cpu" in ran.err


def test_a_folder_is_posted_as_its_archive_would_be(api: Fake, run: Any, tmp_path: Path) -> None:
    made, _ = job(tmp_path)
    (made / "requirements.lock").unlink()
    built = run("job", "build", made, "-o", tmp_path / "image.tar", "--json").json
    terms = ("--bounty", "100", "--expires", "10m", "--json")
    assert run("job", "submit", made, *terms).json["job"] == JOB
    assert run("job", "submit", "--image-archive", tmp_path / "image.tar", *terms).code == 0
    one, two = api.bodies("POST", "/v1/jobs")
    assert one == two and one["image"]["image_id"] == built["image_id"]


def test_an_image_that_was_built_is_posted_with_its_folder_s_terms(api: Fake, run: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("job", "new", "j").code == 0
    told = run("job", "submit", "j", "--dry-run").err
    assert "learningchain job build j, then learningchain job submit j --image-archive j.tar" in told
    assert run("job", "build", "j").code == 0
    monkeypatch.setattr("learningchain.sandbox.building.build_folder", None)
    assert run("job", "submit", "j", "--image-archive", "j.tar").code == 0
    (body,) = api.bodies("POST", "/v1/jobs")
    assert (body["bounty"], body["expires_in_s"]) == ("20", 1_800)


def test_what_is_refused_with_any_image_is_not_built(api: Fake, run: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("learningchain.sandbox.building.build_folder", None)
    refused = {"code": 333, "name": "FEW_VERIFIERS", "message": "too few verifiers"}
    api.answers["POST /v1/jobs/quote"] = QUOTE | {"refusal": refused}
    words = ("job", "submit", job(tmp_path)[0], "--bounty", "100", "--expires", "10m")
    ran = run(*words, "--dry-run")
    assert ran.code == 1 and "too few verifiers (FEW_VERIFIERS 333)" in ran.out and "was not built" in ran.err
    ran = run(*words, "--json")
    assert (ran.code, ran.error["code"]) == (1, 333)
    with learningchain.connect(url=api.url, token=TOKEN) as node, pytest.raises(learningchain.RejectedError, match="too few ver"):
        node.jobs.post(words[2], bounty=100, expires="10m")
    assert api.bodies("POST", "/v1/jobs") == []
    assert {body["image"]["size"] for body in api.bodies("POST", "/v1/jobs/quote")} == {1}


def test_what_cannot_be_built_is_not_posted(api: Fake, run: Any, tmp_path: Path) -> None:
    made, _ = job(tmp_path)
    (made / "job.py").unlink()
    ran = run("job", "submit", made, "--bounty", "100", "--expires", "10m")
    assert ran.code == 2 and "to become /lc/job" in ran.err and api.bodies("POST", "/v1/jobs") == []
    assert run("job", "submit", made, "--image-archive", tmp_path / "a.tar", "--bounty", "1", "--expires", "10m").code == 2, (
        "no file"
    )
    assert run("job", "build", tmp_path / "nowhere").code == 2


def test_a_refusal_begins_with_a_file_s_name_as_it_is(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / "job.py").write_bytes(b"\xef\xbb\xbf#!/usr/local/bin/python3\n")
    ran = run("job", "build", "j", "--out", "j.tar")
    assert ran.code == 2 and ran.err.startswith("learningchain: j/job.py begins with a byte order mark")
