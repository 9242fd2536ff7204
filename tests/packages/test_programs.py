"""Programs of users against the installed wheel: two type checkers in their strict modes take one, and PyInstaller packs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.packages import software
from scripts.packages.__main__ import make
from tests.environments import environment, node_modules

HERE = Path(__file__).parent
RUN_S = 300.0
WRONG = "\n\nprint(learningchain.conect, learningchain.parse_credits(5))\n"
"""A name that is not there and an argument of another type: what a checker says nothing of that knows no types."""


def ran(*words: object, folder: Path) -> tuple[int, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MYPY"))}
    command = [str(word) for word in words]
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=RUN_S, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """An interpreter that has the wheel, what it needs, and PyInstaller."""
    wanted = tmp_path / "wanted.txt"
    wanted.write_text((software.LOCK / "run.txt").read_text() + (HERE / "packer.txt").read_text())
    kept = environment(wanted, "PyInstaller").parents[1]
    shutil.copytree(kept, tmp_path / "env", symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    make(tmp_path / "dist")
    wheel = next((tmp_path / "dist").glob("*.whl"))
    code, said = ran(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, folder=tmp_path)
    assert code == 0, said
    return python


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return Path(shutil.copy(HERE / "pyright" / "typed.py", tmp_path))


@pytest.mark.full("it installs the wheel; mypy reads the same package in every run")
def test_a_typed_program_is_clean_in_mypy_strict_and_a_wrong_one_is_not(installed: Path, program: Path) -> None:
    how = (sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable", installed, program)
    assert ran(*how, folder=program.parent) == (0, "Success: no issues found in 1 source file\n")
    program.write_text(program.read_text() + WRONG)
    code, said = ran(*how, folder=program.parent)
    assert code == 1 and "conect" in said and "arg-type" in said


@pytest.mark.full("it installs a type checker and the wheel; mypy reads the same package in every run")
def test_a_typed_program_is_clean_in_pyright_strict_and_a_wrong_one_is_not(installed: Path) -> None:
    made = node_modules(HERE / "pyright", "pyright")
    how = (made / "node_modules" / ".bin" / "pyright", "--project", made, "--pythonpath", installed)
    code, said = ran(*how, folder=made)
    assert (code, said.splitlines()[-1]) == (0, "0 errors, 0 warnings, 0 informations")
    (made / "typed.py").write_text((made / "typed.py").read_text() + WRONG)
    code, said = ran(*how, folder=made)
    assert code == 1 and "conect" in said and "reportArgumentType" in said


@pytest.mark.full("it installs PyInstaller and the wheel; test_packages.py runs the wheel without its sources")
def test_a_program_that_is_packed_runs(installed: Path, program: Path) -> None:
    code, said = ran(installed, "-m", "PyInstaller", "--onedir", "--log-level", "ERROR", program, folder=program.parent)
    assert code == 0, said
    shutil.rmtree(installed.parents[1])
    packed = program.parent / "dist" / "typed" / "typed"
    code, said = ran(packed, "http://127.0.0.1:1", folder=program.parent)
    assert code == 0 and said.startswith("Cannot reach the node at http://127.0.0.1:1: nothing listens there"), said
