"""Forms with a file: their text is bounded and comes first, their file is streamed to whoever takes it, never held as a whole.

What a file is, of those that more than one page takes, is said here, too.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import BodyPartReader, web

from learningchain.client.api.errors import usage
from learningchain.client.api.files import Read
from learningchain.client.api.route import BODY_TIMEOUT_S

if TYPE_CHECKING:
    from learningchain.client.dashboard.page import Visit

MULTIPART: Final = "multipart/form-data"
MAX_FIELDS: Final = 16
MAX_FIELD: Final = 4_096
"""Bytes of a text beside a file."""
_BROKEN: Final = "The form cannot be read. Open the page again, choose the file anew and send it"


@dataclass(frozen=True)
class FileForm:
    fields: dict[str, str]
    file: Read | None
    """None where no file came."""


async def read_file_form(request: web.Request) -> FileForm:
    """The texts of a form up to its file, of which nothing is read yet. Raises `RequestError`."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _read(request)
    except TimeoutError:
        raise usage(f"The form did not arrive within {BODY_TIMEOUT_S:g} s. Send it again", name="TIMEOUT", status=408) from None
    except ValueError:  # also what is no UTF-8, and what aiohttp finds malformed
        raise usage(_BROKEN, name="BAD_FORM") from None


async def _read(request: web.Request) -> FileForm:
    reader, fields = await request.multipart(), dict[str, str]()
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or part.name is None or part.name in fields or len(fields) >= MAX_FIELDS:
            raise usage(_BROKEN, name="BAD_FORM")
        if part.filename is not None:
            return FileForm(fields, _reading(part))
        raw = b""
        while piece := await part.read_chunk(MAX_FIELD):
            raw += piece
            if len(raw) > MAX_FIELD:
                raise usage(
                    f"A text beside a file has at most {MAX_FIELD} bytes. Shorten {part.name[:64]}", name="TOO_LARGE", status=413
                )
        fields[part.name] = raw.decode()
    return FileForm(fields, None)


def _reading(part: BodyPartReader) -> Read:
    async def read(most: int) -> bytes:
        try:
            return await part.read_chunk(most)
        except ValueError:
            raise usage("The file broke off. Send it again", name="BAD_FORM") from None

    return read


async def store_image(visit: Visit) -> dict[str, str]:
    """The archive of an image (docker save), stored; what a posting says of it. Its layers are looked at by those who run it, and
    by learningchain image check. Raises `RequestError`."""
    cid, size, path = await visit.store()
    try:
        image_id, arch = await asyncio.to_thread(_identified, path, size)
    except ValueError as problem:
        visit.forget(cid)
        raise usage(f"This image cannot be posted: {problem}", name="BAD_IMAGE") from None
    return {"cid": cid, "size": str(size), "image_id": image_id, "arch": arch}


def _identified(path: Path, size: int) -> tuple[str, str]:
    """Raises ValueError."""
    from learningchain.sandbox import BadImage, ImageLimits
    from learningchain.sandbox.archive import identify_archive

    try:
        image_id, config = identify_archive(path, ImageLimits(archive_bytes=max(ImageLimits().archive_bytes, size)))
    except BadImage as problem:
        raise ValueError(f"{problem}. {problem.remedy}") from problem
    return image_id, config.architecture
