"""The lock files: complete, hashed, in agreement with pyproject.toml and with each other, and silent about hosts."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ \\]+) \\$")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def pins(name: str) -> dict[str, str]:
    """Package and version of each entry; every line must be a comment, a pin or a hash of one."""
    found: dict[str, str] = {}
    hashed = True
    for line in (ROOT / "requirements" / name).read_text().splitlines():
        if line.startswith("#") or not line:
            continue
        if pin := _PIN.match(line):
            assert hashed, f"{line} follows an entry without hash"
            found[canonicalize_name(pin[1])] = pin[2]
            hashed = False
        else:
            assert _HASH.match(line), line
            hashed = True
    assert hashed
    return found


@pytest.mark.parametrize("name", ["run.txt", "dev.txt"])
def test_every_package_is_pinned_and_hashed_and_no_host_is_named(name: str) -> None:
    assert len(pins(name)) > 20
    text = (ROOT / "requirements" / name).read_text()
    assert not re.search(r"://|index|find-links|trusted-host", text)


def test_a_node_runs_with_the_versions_that_the_tests_use() -> None:
    assert pins("run.txt").items() <= pins("dev.txt").items()


def test_the_locks_serve_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    dev = project["project"]["optional-dependencies"]["dev"] + project["build-system"]["requires"]
    for lock, wanted in (("run.txt", project["project"]["dependencies"]), ("dev.txt", dev)):
        pinned = pins(lock)
        for requirement in map(Requirement, wanted):
            version = pinned.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement.name} is not in {lock}: run `make lock`"
            assert requirement.specifier.contains(version), f"{lock} has {requirement.name} {version}: run `make lock`"
