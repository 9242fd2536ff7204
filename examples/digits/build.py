# ruff: noqa: T201
"""Builds the image of the digits job as a docker-archive: `python -m learningchain.examples.digits.build DEST.tar`."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

from learningchain.examples import images
from learningchain.examples.data import DataMissing
from learningchain.examples.digits.data import split_digits
from learningchain.sandbox.image_writer import ImageBuildError

PACKAGES = ("numpy",)


def image_files() -> dict[str, bytes | Path]:
    """What the image holds beside Python and numpy, by path in the image. Raises DataMissing."""
    training, evaluation = split_digits()
    job = Path(__file__).with_name("job.py").read_bytes()
    return {"/lc/job": job, "/lc/train.csv": training, "/lc/eval.csv": evaluation}


def build(dest: Path, cache: Path | None = None, files: images.Files | None = None) -> str:
    """Writes the archive to `dest` and returns the image id. `files`: others than `image_files`.

    Raises DataMissing, ImageBuildError, OSError, PackageNotFoundError."""
    return images.build(dest, files or image_files(), PACKAGES, cache)


def main(argv: list[str]) -> int:
    if len(argv) != 1 or argv[0].startswith("-"):
        print("usage: python -m learningchain.examples.digits.build DEST.tar", file=sys.stderr)
        return 2
    try:
        print(build(Path(argv[0])))
    except (DataMissing, ImageBuildError, OSError, importlib.metadata.PackageNotFoundError) as problem:
        print(f"error: the image cannot be built: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
