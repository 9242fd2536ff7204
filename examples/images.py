"""Keeps the examples' images: the same interpreter, packages and files always give the same image id.

Building takes some seconds, so archives are kept in `.run/images`, named after everything that goes into them.
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
from collections.abc import Mapping
from pathlib import Path

from learningchain.examples.place import RUN
from learningchain.sandbox import image_writer
from learningchain.sandbox import images as sandbox_images

CACHE = RUN / "images"
KEPT = 6
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")

Files = Mapping[str, bytes | Path]
"""What an image holds beside Python and packages, by path in the image."""


def build(dest: Path, files: Files, packages: tuple[str, ...], cache: Path | None = None) -> str:
    """Writes the archive to `dest` and returns the image id. Raises ImageBuildError, OSError, PackageNotFoundError."""
    cache = cache or CACHE
    name = _cache_name(files, packages)
    archive, note = cache / f"{name}.tar", cache / f"{name}.id"
    image_id = note.read_text().strip() if archive.is_file() and note.is_file() else ""
    if not _IMAGE_ID.fullmatch(image_id):
        cache.mkdir(parents=True, exist_ok=True)
        image_id = sandbox_images.build_python_image(archive, files, with_packages=packages)
        # Last, and at once: whoever finds the note finds a complete archive.
        _replace(note, image_id.encode())
        _forget_old(archive)
    if dest.resolve() != archive.resolve():
        _copy(archive, dest)
    return image_id


def _cache_name(files: Files, packages: tuple[str, ...]) -> str:
    """A digest of all that decides the image's bytes: the files, the packages, the interpreter and the builder."""
    digest = hashlib.sha256()
    parts = [sys.version, platform.machine(), os.path.realpath(sys.executable)]
    parts += [f"{package} {importlib.metadata.version(package)}" for package in packages]
    builder = (Path(sandbox_images.__file__), Path(image_writer.__file__))
    for part in (*parts, *builder, *(item for pair in sorted(files.items()) for item in pair)):
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
    """Keeps this archive and the few before it; each has tens of megabytes."""
    others = [path for path in newest.parent.glob("*.tar") if path != newest]
    others.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for archive in others[KEPT - 1 :]:
        archive.with_suffix(".id").unlink(missing_ok=True)
        archive.unlink(missing_ok=True)
