"""How another distribution's contract, or sandbox backend, comes to a program: a folder on the path with the distribution's record,
as an installer leaves it. Nothing of the program names it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOY = Path(__file__).parent
ROOT = TOY.parents[1]


def installed(folder: Path, module: str = "weather") -> Path:
    """A record in `folder` whose entry points name the contract, and its slice of the client."""
    record = folder / "toy_weather-0.1.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-weather\nVersion: 0.1\n")
    groups = {"learningchain.contracts": module, "learningchain.client": f"{module}.client"}
    (record / "entry_points.txt").write_text("\n".join(f"[{group}]\nweather = {where}" for group, where in groups.items()))
    return folder


def installed_backend(folder: Path, name: str, package: str) -> Path:
    """A record in `folder` whose entry point names a sandbox backend."""
    record = folder / f"toy_{name}-0.1.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: toy-{name}\nVersion: 0.1\n")
    (record / "entry_points.txt").write_text(f"[learningchain.sandbox]\n{name} = {package}\n")
    return folder


def path(site: Path) -> str:
    """PYTHONPATH of a program that finds what is installed in `site`, and the folder `weather` beside this file."""
    return os.pathsep.join(map(str, (site, TOY, ROOT)))


def run(site: Path, *words: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    """A Python program that finds it."""
    environment = os.environ | {"PYTHONPATH": path(site)}
    return subprocess.run(
        [sys.executable, *words], env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout_s
    )
