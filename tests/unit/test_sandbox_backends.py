"""A backend is found by its name: the one here, and those of other distributions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from learningchain.sandbox import BackendSettings, Sandbox, UnknownBackend, make_backend
from learningchain.sandbox.backends import backends
from tests.toy.installed import TOY, installed_backend


@pytest.fixture
def settings(tmp_path: Path) -> BackendSettings:
    return BackendSettings(data=tmp_path / "sandbox", node_tag="backends-test")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), str(TOY), *sys.path])
    return installed_backend(tmp_path / "site", "still", "tests.toy.stillness")


@pytest.mark.parametrize("name", ["docker", "oci"])
def test_docker_and_what_does_without_it_are_here(settings: BackendSettings, name: str) -> None:
    assert backends()[name] == f"learningchain.sandbox.{name}"
    made = make_backend(name, settings)
    assert isinstance(made, Sandbox)
    made.close()


def test_no_other_distribution_takes_the_name_of_the_one_here(site: Path, settings: BackendSettings) -> None:
    installed_backend(site, "docker", "tests.toy.stillness")
    assert backends()["docker"] == "learningchain.sandbox.docker"


def test_a_name_that_nothing_has_is_refused_with_the_names_that_there_are(site: Path, settings: BackendSettings) -> None:
    with pytest.raises(
        UnknownBackend, match=r"no sandbox backend 'podman' \(there is: docker, oci, still\)\. Set sandbox\.backend"
    ):
        make_backend("podman", settings)


@pytest.mark.parametrize(("package", "why"), [("not_there_at_all", "No module named"), ("tests.toy.run", "no attribute 'BACKEND'")])
def test_a_backend_that_cannot_be_used_says_why(site: Path, settings: BackendSettings, package: str, why: str) -> None:
    installed_backend(site, "broken", package)
    with pytest.raises(UnknownBackend, match=rf"'broken' \({package}\) cannot be used: .*{why}.*Install it again"):
        make_backend("broken", settings)
