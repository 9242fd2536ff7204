"""The price of an image without Docker: `job build` of a folder against `pip install` of the same locked list, in turns."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.base import Unavailable
from learningchain.sandbox.building import build_folder, lock_folder, open_base, own_base
from learningchain.sandbox.image_writer import PYTHON_IN_IMAGE, ImageBuildError

LIMIT_S = 900


@dataclass(frozen=True)
class BuildingFigure:
    """Medians of the turns. Both fetch by pip, whose cache has the packages after the first, uncounted turn."""

    packages: int
    bytes: int
    """Of the archive."""
    pip_s: float
    build_s: float
    """Also checking and unpacking the base, which was made before."""
    ratio: float
    """Build to pip: median of the ratios of neighbours."""


def building(name: str, turns: int) -> BuildingFigure:
    """Raises `Unavailable` where the package or its wheels are not to be had."""
    with tempfile.TemporaryDirectory(prefix="learningchain-bench-") as scratch:
        folder, archive = Path(scratch) / "job", Path(scratch) / "job.tar"
        folder.mkdir()
        (folder / "job.py").write_text(f"#!{PYTHON_IN_IMAGE}\n")
        (folder / "requirements.txt").write_text(f"{name}\n")
        try:
            base = own_base(Path(scratch))
            with open_base(base) as opened:
                packages = len(lock_folder(folder, opened))

            def build() -> None:
                with open_base(base) as opened:
                    build_folder(folder, archive, opened)

            pairs = [(_timed(lambda: _pip(folder, Path(scratch))), _timed(build)) for _ in range(turns + 1)][1:]
        except ImageBuildError as problem:
            raise Unavailable(str(problem)) from None
        size = archive.stat().st_size
    pip, built = (statistics.median(times) for times in zip(*pairs, strict=True))
    return BuildingFigure(packages, size, pip, built, statistics.median(b / p for p, b in pairs))


def _timed(work: Callable[[], None]) -> float:
    before = time.monotonic()
    work()
    return time.monotonic() - before


def _pip(folder: Path, scratch: Path) -> None:
    """Into an empty folder, as a person would install the list."""
    with tempfile.TemporaryDirectory(dir=scratch) as target:
        words = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps", "--only-binary=:all:"]
        command = [sys.executable, "-m", "pip", *words, "--target", target, "-r", str(folder / "requirements.lock")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise Unavailable(f"pip cannot install the list: {done.stderr.strip()[-200:]}")
