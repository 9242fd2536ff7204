"""Environments with exactly what a file of requirements names, for programs that nobody here wrote; apart from the tests' own."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

INSTALL_S = 300.0
ENVIRONMENTS = Path(__file__).parents[1] / ".run" / "clients"


def environment(requirements: Path, what: str) -> Path:
    """The interpreter; kept between runs. Skips the test, with pip's own reason, where it cannot be made."""
    name = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = ENVIRONMENTS / name
    python, whole = folder / "bin" / "python", folder / "whole"
    if whole.exists():
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, timeout=INSTALL_S)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--only-binary=:all:"]
    how = [str(python), *install, "--require-hashes", "--requirement", str(requirements)]
    try:
        done = subprocess.run(how, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{what} was not installed within {INSTALL_S:g} s")
    if done.returncode:
        why = done.stderr.strip().splitlines()
        pytest.skip(f"{what} cannot be installed here: {why[-1] if why else 'pip says nothing'}")
    whole.touch()
    return python


def node_modules(folder: Path, what: str) -> Path:
    """A copy of `folder` with the packages of its lock file; kept between runs. Skips the test, with npm's own reason, where it
    cannot be made."""
    lock = folder / "package-lock.json"
    made = ENVIRONMENTS / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    whole = made / "whole"
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip(f"{what} needs node and npm, and they are not installed here")
    if not whole.exists():
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(folder / name, made)
        install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            done = subprocess.run(install, cwd=made, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"{what} was not installed within {INSTALL_S:g} s")
        if done.returncode:
            why = done.stderr.strip().splitlines()
            pytest.skip(f"{what} cannot be installed here: {why[-1] if why else 'npm says nothing'}")
        whole.touch()
    for path in folder.iterdir():
        shutil.copy(path, made)
    return made
