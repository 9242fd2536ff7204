"""debian.sh, as far as it goes without a mirror: what it refuses, and that the checks that it names are there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = (ROOT / "scripts/debian.sh").read_text()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the scripts; whoever calls them is root, and no Debian can be made."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "bin").mkdir()
    for name, text in {"id": "echo 0", "debootstrap": 'echo "E: no mirror at $5"; exit 1'}.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def call(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{tree / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin", "MIRROR": "http://mirror.invalid/debian"}
    command = [str(tree / "scripts/debian.sh"), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("suite", ["../..", "Trixie", "trixie/", "13", "-x"])
def test_what_is_no_name_of_a_release_is_refused_before_anything_is_made(tree: Path, suite: str) -> None:
    done = call(tree, suite)
    assert done.returncode == 1
    assert f"{suite} is no name of a Debian release" in done.stderr
    assert not (tree / ".run").exists()


def test_whoever_is_not_root_is_told_so(tree: Path) -> None:
    (tree / "bin/id").write_text("#!/bin/sh\necho 1000\n")
    done = call(tree, "trixie")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Run as root: scripts/debian.sh trixie" in done.stderr


def test_a_root_that_could_not_be_made_is_tried_anew_the_next_time(tree: Path) -> None:
    for _ in range(2):
        done = call(tree, "trixie")
        assert done.returncode == 1
        assert "E: no mirror at http://mirror.invalid/debian" in done.stderr
        assert "MIRROR=http://... scripts/debian.sh trixie" in done.stderr


def test_the_tests_and_targets_that_it_runs_are_there() -> None:
    check = SCRIPT.partition("CHECK='")[2].partition("\n\n")[0]
    named = re.findall(r"tests/[\w/.]+", check)
    assert named
    for path in named:
        assert (ROOT / path).exists(), path
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", check, re.MULTILINE):
        assert f"\n{target}:" in makefile, target
