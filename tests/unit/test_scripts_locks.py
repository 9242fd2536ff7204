"""The lock files of every supported Python: complete, hashed, as pyproject.toml and each other, silent about hosts."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.11", "3.12", "3.13")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ \\]+) \\$")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def pins(version: str, name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Package of each entry, with its version and the hashes of its files; every line must be a comment, a pin or a hash of one."""
    found: dict[str, tuple[str, set[str]]] = {}
    hashes = {"none yet"}
    for line in (ROOT / "requirements" / version / name).read_text().splitlines():
        if line.startswith("#") or not line:
            continue
        if pin := _PIN.match(line):
            assert hashes, f"{line} follows an entry without hash"
            hashes = set()
            found[canonicalize_name(pin[1])] = (pin[2], hashes)
        else:
            assert _HASH.match(line), line
            hashes.add(line.strip(" \\"))
    assert hashes
    return {package: (release, frozenset(files)) for package, (release, files) in found.items()}


def test_the_supported_pythons_are_the_same_everywhere() -> None:
    assert f"PYTHONS=({' '.join(PYTHONS)})" in (ROOT / "scripts/lib.sh").read_text()
    allowed = Requirement(f"python{PROJECT['project']['requires-python']}").specifier
    assert [minor for minor in range(9, 20) if allowed.contains(f"3.{minor}.1")] == [int(v.partition(".")[2]) for v in PYTHONS]
    assert sorted(p.name for p in (ROOT / "requirements").iterdir()) == sorted(PYTHONS)
    said = [line.rpartition(" ")[2] for line in PROJECT["project"]["classifiers"] if line.startswith("Programming Language")]
    assert said == ["Only", *PYTHONS]
    assert f"python: {json.dumps(PYTHONS)}" in (ROOT / ".github/workflows/test.yml").read_text()
    assert PROJECT["tool"]["mypy"]["python_version"] == PYTHONS[0], "the oldest is what the code is checked for"
    assert PROJECT["tool"]["ruff"]["target-version"] == "py" + PYTHONS[0].replace(".", "")


@pytest.mark.parametrize("version", PYTHONS)
@pytest.mark.parametrize("name", ["run.txt", "dev.txt"])
def test_every_package_is_pinned_and_hashed_and_no_host_is_named(version: str, name: str) -> None:
    assert len(pins(version, name)) > 20
    text = (ROOT / "requirements" / version / name).read_text()
    assert f"Python {version}." in text.partition("\n")[0]
    assert not re.search(r"://|index|find-links|trusted-host", text)


@pytest.mark.parametrize("version", PYTHONS)
def test_a_node_runs_with_the_versions_that_the_tests_use(version: str) -> None:
    assert pins(version, "run.txt").items() <= pins(version, "dev.txt").items()


@pytest.mark.parametrize("version", PYTHONS)
def test_the_locks_serve_pyproject(version: str) -> None:
    dev = PROJECT["project"]["optional-dependencies"]["dev"] + PROJECT["build-system"]["requires"]
    for name, wanted in (("run.txt", PROJECT["project"]["dependencies"]), ("dev.txt", dev)):
        pinned, lock = pins(version, name), f"requirements/{version}/{name}"
        for requirement in map(Requirement, wanted):
            release = pinned.get(canonicalize_name(requirement.name), ("", frozenset()))[0]
            assert release, f"{requirement.name} is not in {lock}: run `make lock`"
            assert requirement.specifier.contains(release), f"{lock} has {requirement.name} {release}: run `make lock`"


@pytest.mark.parametrize("name", ["run.txt", "dev.txt"])
def test_all_pythons_run_the_same_packages(name: str) -> None:
    """Nodes of one graph differ in their Python and in nothing else. A package that one version alone needs is to be named here."""
    first = pins(PYTHONS[0], name)
    for version in PYTHONS[1:]:
        assert pins(version, name) == first, f"requirements/{version}/{name} differs: run `make lock`"
