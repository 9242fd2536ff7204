"""The image of a job or a federation as a program names it: an archive, a folder or module, functions, or one in a registry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learningchain.client.sdk.types import Json, UsageError
from learningchain.client.sdk.values import sentence

if TYPE_CHECKING:
    from learningchain.sandbox.archive import ScannedImage


def prepare(image: Any, scratch: Path) -> tuple[Json, Path | None]:
    """What a posting says of it, and the archive that has to be uploaded, where there is one: built in `scratch`, if it has to be.

    `image`: a path, `name@sha256:…` of a registry, or the functions of `@learningchain.job`. Raises `UsageError`.
    """
    from learningchain.sandbox.image_writer import ImageBuildError

    if isinstance(image, str) and "@sha256:" in image:
        return {"image": {"reference": _pinned(image)}}, None
    try:
        archive = _archive(image, scratch)
        return described(archive, _scanned(archive)), archive
    except ImageBuildError as problem:
        raise UsageError(f"{sentence(str(problem))}. Mend it, then post it again") from None
    except OSError as problem:
        raise UsageError(f"The image cannot be read or built: {problem}. Check the path, and the free space") from None


def described(archive: Path, image: ScannedImage) -> Json:
    """What a posting says of an archive: its name in the content store, the image in it, its processor."""
    from learningchain.client.sdk.files import StreamName

    name = StreamName()
    with archive.open("rb") as source:
        while piece := source.read(1 << 20):
            name.feed(piece)
    sent = {"cid": name.finish()[0], "image_id": image.image_id, "size": archive.stat().st_size}
    return {"image": sent, "arch": image.config.architecture}


def is_built(image: Any) -> bool:
    """Whether it has to be built: a folder, a module, functions. Raises `UsageError` where there is nothing of that name."""
    if callable(getattr(image, "build", None)):
        return True
    path = Path(image).expanduser()
    if os.path.isdir(path) or path.suffix == ".py":
        return True
    if "@sha256:" not in str(image) and not os.path.isfile(path):
        raise UsageError(
            f"There is no file or folder {path}. Name an archive (learningchain job build, docker save), a job's folder or module, "
            "or an image in a registry as name@sha256:..."
        )
    return False


def smallest() -> Json:
    """What a posting says of an image that has yet to be built, as if it were the smallest that there can be: what the rules refuse
    then, they refuse with any image."""
    from learningchain.client.sdk.files import StreamName
    from learningchain.sandbox.image_writer import this_machine

    image = {"cid": StreamName().finish()[0], "image_id": f"sha256:{'0' * 64}", "size": 1}
    return {"image": image, "arch": this_machine()}


def _archive(image: Any, scratch: Path) -> Path:
    built = scratch / "job.tar"
    if callable(getattr(image, "build", None)):
        image.build(built)
        return built
    path = Path(image).expanduser()
    if is_built(image):
        from learningchain.sandbox.building import build_folder, open_base, own_base

        with open_base(own_base()) as base:
            build_folder(path, built, base)
        return built
    return path


def _scanned(archive: Path) -> ScannedImage:
    from learningchain.sandbox import BadImage, ImageLimits
    from learningchain.sandbox.archive import scan_archive

    try:
        return scan_archive(archive, ImageLimits(archive_bytes=max(ImageLimits().archive_bytes, os.path.getsize(archive))))
    except BadImage as problem:
        raise UsageError(f"No worker would run {archive}: {problem}. {problem.remedy}") from None


def _pinned(text: str) -> str:
    from learningchain.chain.host.terms import is_reference

    if not is_reference(text):
        raise UsageError(
            f"{text[:200]!r} names no image of a registry. Write name@sha256:<64 hex digits>, as docker inspect shows it"
        )
    return text
