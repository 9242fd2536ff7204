"""setup.sh: it takes a Python that is supported, installs that version's lock, and does nothing twice.

Each test works on a copy of the scripts in its own folder, with stand-ins for the interpreters.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_scripts_locks import PYTHONS

ROOT = Path(__file__).resolve().parents[2]
INTERPRETER = """#!/bin/sh
case "$*" in
    *version_info*) echo {version};;
    *--version*) echo Python {version}.9;;
    *"-m venv"*) for last; do :; done
        rm -rf "$last"; mkdir -p "$last/bin"; cp "$0" "$last/bin/python"
        echo "command = $0 -m venv $PWD/$last" >"$last/pyvenv.cfg";;
    *"pip install"*) echo "$*" >>"$HOME/calls"; {pip};;
esac
"""
"""It can make an environment, which calls itself by its version and notes what is to be installed."""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    for version in PYTHONS:
        lock = tmp_path / "requirements" / version / "dev.txt"
        lock.parent.mkdir(parents=True)
        lock.write_text("first==1.0\n")
    return tmp_path


def interpreter(path: Path, version: str, pip: str = "true") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(INTERPRETER.format(version=version, pip=pip))
    path.chmod(0o755)
    return path


def setup(tree: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": f"{tree / 'bin'}:{os.environ['PATH']}", "HOME": str(tree), **environment}
    command = [str(tree / "scripts/setup.sh")]
    return subprocess.run(command, env=clean, capture_output=True, text=True, timeout=60, check=False)


def calls(tree: Path) -> list[str]:
    return (tree / "calls").read_text().splitlines()


@pytest.mark.parametrize("version", PYTHONS)
def test_each_supported_python_gets_the_lock_of_its_version(tree: Path, version: str) -> None:
    done = setup(tree, PYTHON=str(interpreter(tree / "bin/chosen", version)))
    assert done.returncode == 0, done.stderr
    (line,) = calls(tree)
    assert line.endswith(f"--require-hashes --requirement requirements/{version}/dev.txt")


@pytest.mark.parametrize("version", ["3.10", "3.14", "2.7"])
def test_a_python_that_is_not_supported_is_refused_with_those_that_are(tree: Path, version: str) -> None:
    done = setup(tree, PYTHON=str(interpreter(tree / "bin/chosen", version)))
    assert done.returncode == 1
    assert f"is not a Python {PYTHONS[0]} to {PYTHONS[-1]} that runs" in done.stderr
    assert "unset PYTHON" in done.stderr
    assert not (tree / "calls").exists()


def test_nothing_is_done_when_nothing_changed_and_packages_are_installed_again_when_the_lock_did(tree: Path) -> None:
    python = str(interpreter(tree / "bin/chosen", "3.13"))
    for text, count in (("first==1.0\n", 1), ("first==1.0\n", 1), ("first==2.0\n", 2)):
        (tree / "requirements/3.13/dev.txt").write_text(text)
        assert setup(tree, PYTHON=python).returncode == 0
        assert len(calls(tree)) == count
