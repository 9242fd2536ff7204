"""Brings the peers into `.run/peers`, each from its own package index and with fixed versions; nothing lands in the system itself.

etcd is unpacked from Debian's package and not installed, so no service starts. pip checks hashes, npm the lock file's.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.base import Unavailable

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PLACE = ROOT / ".run" / "peers"
LIMIT_S = 600


@dataclass(frozen=True)
class Npm:
    """Where npm's packages lie, the compiled contract, and the environment in which Python finds pip's packages."""

    folder: Path
    contract: Any
    python_env: dict[str, str]

    def program(self, name: str) -> Path:
        return self.folder / "node_modules" / ".bin" / name


def run(what: str, command: list[str], folder: Path) -> str:
    """Standard output. Raises `Unavailable` with the last lines of the error."""
    try:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise Unavailable(f"{what} cannot be installed: {problem}") from None
    if done.returncode:
        raise Unavailable(
            f"{what} cannot be installed: {' '.join(command[:3])}: {done.stderr.decode(errors='replace')[-400:].strip()}"
        )
    return done.stdout.decode()


def _once(folder: Path, wanted: bytes) -> bool:
    """True when `folder` does not hold what `wanted` describes; it is then empty."""
    if (folder / ".made-from").exists() and (folder / ".made-from").read_bytes() == _name(wanted):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return True


def _name(wanted: bytes) -> bytes:
    return hashlib.sha256(wanted).hexdigest().encode()


def _made(folder: Path, wanted: bytes) -> None:
    (folder / ".made-from").write_bytes(_name(wanted))


def etcd() -> str:
    """The program: the system's own, or Debian's package unpacked. Raises `Unavailable`."""
    if program := shutil.which("etcd"):
        return program
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Unavailable("etcd is not installed, and there is no apt-get to get it with")
    folder, wanted = PLACE / "etcd", b"etcd-server"
    if _once(folder, wanted):
        try:
            run("etcd", ["apt-get", "download", "etcd-server"], folder)
        except Unavailable:
            run("etcd", ["apt-get", "update"], folder)
            run("etcd", ["apt-get", "download", "etcd-server"], folder)
        run("etcd", ["dpkg-deb", "-x", next(folder.glob("*.deb")).name, "."], folder)
        _made(folder, wanted)
    return str(folder / "usr" / "bin" / "etcd")


def python_env() -> dict[str, str]:
    """The environment in which this interpreter finds the packages of requirements.txt. Raises `Unavailable`."""
    folder, lock = PLACE / "python", HERE / "requirements.txt"
    wanted = lock.read_bytes() + sys.version.encode()
    if _once(folder, wanted):
        options = ["--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes", "--no-deps", "--no-build-isolation"]
        command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder), "--requirement", str(lock)]
        run("what pip brings", command, folder)
        _made(folder, wanted)
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(folder)))}


def flower() -> str:
    """The interpreter of an environment that has Flower and nothing of ours. Raises `Unavailable`."""
    folder, lock = PLACE / "flower", HERE / "flower.txt"
    wanted = lock.read_bytes() + sys.version.encode()
    python = str(folder / "bin" / "python")
    if _once(folder, wanted):
        run("Flower", [sys.executable, "-m", "venv", str(folder)], ROOT)
        options = ["--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes", "--no-deps"]
        run("Flower", [python, "-m", "pip", "install", *options, "--requirement", str(lock)], folder)
        _made(folder, wanted)
    return python


def npm() -> Npm:
    """Raises `Unavailable`."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        words = ["bash", "-c", '. scripts/lib.sh; apt_install "npm, for anvil and ganache," nodejs npm']
        run("npm", words, ROOT)
    folder, lock = PLACE / "npm", HERE / "package-lock.json"
    wanted = lock.read_bytes() + (HERE / "JobBoard.sol").read_bytes() + (HERE / "compile.js").read_bytes()
    if _once(folder, wanted):
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        run("what npm brings", ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
        compiled = run("the contract", ["node", str(HERE / "compile.js"), "node_modules", str(HERE / "JobBoard.sol")], folder)
        (folder / "contract.json").write_text(compiled)
        _made(folder, wanted)
    return Npm(folder, json.loads((folder / "contract.json").read_text()), python_env())
