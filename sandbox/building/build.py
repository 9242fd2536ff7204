"""`build_folder` reads as the image is: base, wheels, folder. `lock_folder` writes the list of wheels that it wants."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from learningchain.sandbox.building.base import LIMITS, OpenBase
from learningchain.sandbox.building.fetch import fetch, resolve
from learningchain.sandbox.building.folder import LOCK, NAMES, JobFolder, folder_files, open_folder, read_settings
from learningchain.sandbox.building.lock import read_lock
from learningchain.sandbox.building.module import open_module
from learningchain.sandbox.building.wheels import Room, wheel_layers
from learningchain.sandbox.image_writer import ImageBuildError, LayerFiles, Written, files_layer, write_archive

PLAIN_BYTES: Final = 2 << 30
"""Files of an image that holds more are packed by gzip: what is small is not worth the time, and a large one would not travel."""


@dataclass(frozen=True)
class Built:
    """An image that was built. `size`: bytes of its archive; `packages`: name and version of each wheel; `files`: of the folder."""

    image_id: str
    base_id: str
    size: int
    packages: tuple[tuple[str, str], ...]
    files: tuple[str, ...]


def build_folder(folder: Path, dest: Path, base: OpenBase, wheels: Path | None = None) -> Built:
    """Writes the image of a job's folder, or of a module with `@learningchain.job`, to `dest`, atomically.

    `wheels`: a folder of wheels to take in place of pip's index.

    Raises ImageBuildError, OSError.
    """
    is_module = folder.suffix == ".py" and folder.is_file()
    return build_job(open_module(folder) if is_module else open_folder(folder), dest, base, wheels)


def build_job(job: JobFolder, dest: Path, base: OpenBase, wheels: Path | None = None) -> Built:
    """The same of a folder that was read. Raises ImageBuildError, OSError."""
    _expect_base(job, base)
    room = Room(LIMITS.unpacked_bytes - base.image.unpacked_bytes, LIMITS.files - base.image.files)
    files = folder_files(job, base, room)
    with tempfile.TemporaryDirectory(prefix="learningchain-build-") as scratch:
        fetched = fetch(read_lock(job.lock, base.facts, gpus=job.settings.gpus), base, Path(scratch), wheels)
        with wheel_layers(fetched, base, room) as layers:
            whole: list[LayerFiles | Written] = [*base.layers, *layers, files_layer(files)]
            settings, architecture = {"Env": list(base.image.config.env)}, base.image.config.architecture
            packed = LIMITS.unpacked_bytes - room.bytes_left > PLAIN_BYTES
            image_id = write_archive(dest, whole, settings, architecture, LIMITS.archive_bytes, packed=packed)
    return Built(
        image_id,
        base.image.image_id,
        dest.stat().st_size,
        tuple((one.name, str(one.version)) for one in fetched),
        tuple(sorted(files)),
    )


def lock_folder(folder: Path, base: OpenBase, wheels: Path | None = None) -> list[str]:
    """Writes the locked list of what a folder's requirements.txt names; returns the names of its packages.

    Raises ImageBuildError, OSError.
    """
    if not (folder / NAMES).is_file():
        raise ImageBuildError(f"{folder / NAMES} is missing: write the names of the packages that the job imports, one a line")
    text = resolve(folder / NAMES, base, wheels)
    names = [one.name for one in read_lock(text, base.facts, gpus=read_settings(folder).gpus)]
    unfinished = folder / f".{LOCK}.{os.getpid()}"
    unfinished.write_text(text, "utf-8")
    unfinished.replace(folder / LOCK)
    return names


def _expect_base(job: JobFolder, base: OpenBase) -> None:
    wanted, found = job.settings.base, base.image.image_id
    if wanted and wanted != found:
        raise ImageBuildError(
            f"{job.path} is built on the base {wanted}, and this one is {found}: another base makes another image. "
            "Take the archive that its maker wrote (job build --base FILE), or remove base from job.toml"
        )
