"""The files that go into the packages: what git tracks, copied with modes and times that no machine changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
ROOMS: Final = ("chain", "client", "examples", "p2p", "sandbox")
"""Folders that the package `learningchain` links to. In a wheel and an sdist they lie in it, as files."""
FACE: Final = "learningchain"
BESIDE: Final = ("CHANGELOG.md", "LICENSE", "MANIFEST.in", "README.md", "SECURITY.md", "pyproject.toml")
"""What else a wheel or an sdist is made of."""
MAN_PAGE: Final = "man/learningchain.1"
"""Where pyproject.toml expects it; made for each build, so that it is never of another version than the commands."""
_UNKNOWN_TIME: Final = 315_532_800
"""1980-01-01, the earliest that a zip can hold: where neither git nor the caller knows a time."""


class PackageError(Exception):
    """Something of the packages cannot be made. The message says what, why, and what to do."""


def version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def files(root: Path = ROOT) -> list[str]:
    """Paths of the packages' own files, sorted: those that git tracks, or in a tree without git all that lie there but caches.

    The links of the package are none of them: their folders' files are."""
    asked = subprocess.run(["git", "ls-files", "-z", *ROOMS, FACE, *BESIDE], cwd=root, capture_output=True, check=False)
    if asked.returncode == 0 and asked.stdout:
        found = os.fsdecode(asked.stdout).split("\0")
        return sorted(name for name in found if name and (root / name).is_file())
    lying = [path for top in (*ROOMS, FACE) for path in (root / top).rglob("*") if path.is_file()]
    names = [path.relative_to(root).as_posix() for path in lying if "__pycache__" not in path.parts and path.suffix != ".pyc"]
    return sorted([*names, *(name for name in BESIDE if (root / name).is_file())])


def place_of(name: str) -> str:
    """Where a file lies in a package, by its path in the repository."""
    return f"{FACE}/{name}" if name.startswith(tuple(f"{room}/" for room in ROOMS)) else name


def epoch() -> int:
    """Seconds since 1970 that every file in the packages bears: SOURCE_DATE_EPOCH, else the time of the last commit."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None:
        if not given.isdigit() or int(given) < _UNKNOWN_TIME:
            raise PackageError(f"SOURCE_DATE_EPOCH is {given!r}. Give seconds since 1970, from {_UNKNOWN_TIME} (1980) on")
        return int(given)
    asked = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False)
    return int(asked.stdout) if asked.returncode == 0 and asked.stdout.strip() else _UNKNOWN_TIME


def copy(target: Path) -> None:
    """The packages' files, in a new folder `target`. Everybody's to read, and nobody's umask in their modes."""
    for name in files():
        place = target / place_of(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, place)
        place.chmod(0o755 if os.access(ROOT / name, os.X_OK) else 0o644)
