# ruff: noqa: T201
"""Builds the image of the digits job as a docker-archive: `python -m examples.digits.build DEST.tar`.

The same interpreter, packages and files always give the same image id. Building takes some seconds, so archives are
kept in `.run/images`, named after everything that goes into them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from pathlib import Path

import sandbox.images
from examples.digits.data import DataMissing, split_digits

CACHE = Path(__file__).resolve().parents[2] / ".run" / "images"
PACKAGES = ("numpy",)
KEPT = 3
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")


def image_files() -> dict[str, bytes | Path]:
    """What the image holds beside Python and numpy, by path in the image. Raises DataMissing."""
    training, evaluation = split_digits()
    job = Path(__file__).with_name("job.py").read_bytes()
    return {"/lc/job": job, "/lc/train.csv": training, "/lc/eval.csv": evaluation}


def build(dest: Path, cache: Path | None = None) -> str:
    """Writes the archive to `dest` and returns the image id. Raises DataMissing, ImageBuildError, OSError."""
    cache = cache or CACHE
    files = image_files()
    name = _cache_name(files)
    archive, note = cache / f"{name}.tar", cache / f"{name}.id"
    image_id = note.read_text().strip() if archive.is_file() and note.is_file() else ""
    if not _IMAGE_ID.fullmatch(image_id):
        cache.mkdir(parents=True, exist_ok=True)
        image_id = sandbox.images.build_python_image(archive, files, with_packages=PACKAGES)
        # Last, and at once: whoever finds the note finds a complete archive.
        _replace(note, image_id.encode())
        _forget_old(archive)
    if dest.resolve() != archive.resolve():
        _copy(archive, dest)
    return image_id


def _cache_name(files: dict[str, bytes | Path]) -> str:
    """A digest of all that decides the image's bytes: the files, the packages, the interpreter and the builder."""
    digest = hashlib.sha256()
    parts = [sys.version, platform.machine(), os.path.realpath(sys.executable)]
    parts += [f"{package} {importlib.metadata.version(package)}" for package in PACKAGES]
    for part in (*parts, Path(sandbox.images.__file__), *(item for pair in sorted(files.items()) for item in pair)):
        content = part if isinstance(part, bytes) else part.encode() if isinstance(part, str) else part.read_bytes()
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:32]


def _replace(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    os.replace(file.name, path)


def _copy(source: Path, dest: Path) -> None:
    dest.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dest.parent, prefix=".copy-") as scratch:
        unfinished = Path(scratch) / "archive"
        shutil.copyfile(source, unfinished)
        os.replace(unfinished, dest)


def _forget_old(newest: Path) -> None:
    """Keeps this archive and the few before it; each has about a hundred megabytes."""
    others = [path for path in newest.parent.glob("*.tar") if path != newest]
    others.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for archive in others[KEPT - 1 :]:
        archive.with_suffix(".id").unlink(missing_ok=True)
        archive.unlink(missing_ok=True)


def main(argv: list[str]) -> int:
    if len(argv) != 1 or argv[0].startswith("-"):
        print("usage: python -m examples.digits.build DEST.tar", file=sys.stderr)
        return 2
    try:
        print(build(Path(argv[0])))
    except (DataMissing, sandbox.images.ImageBuildError, OSError, importlib.metadata.PackageNotFoundError) as problem:
        print(f"error: the image cannot be built: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
