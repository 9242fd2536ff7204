"""Files by CID: an upload is streamed to disk with a cap and a look at the free space; downloads come from the graph."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path, PosixPath
from typing import IO, Any, BinaryIO

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from learningchain.chain.errors import Malformed
from learningchain.chain.storage import private
from learningchain.client.api.errors import RequestError, not_found, unavailable, usage
from learningchain.client.api.route import SAFE_HEADERS, Call, Context, Route, parse_field
from learningchain.client.keys.tokens import FULL, Token, TokenScope
from learningchain.client.schema.bodies import FileKept, FileQuery, FileRemoved, FileStored, UploadQuery
from learningchain.client.schema.render import Json
from learningchain.p2p.content.cid import parse as parse_cid
from learningchain.p2p.content.faults import FetchFailed, Reason, StoreError

PIECE = 1 << 20
CHECK_EVERY = 64 << 20
"""Bytes of an upload between two looks at the free space."""
PIN = "user"
SET = ":set:"
"""Follows the holder, before a set's CID, in why its files are pinned: they are kept and given up together."""
MAX_LISTED = 1_000
TOKEN_SHARE = 4
"""A token that may not do everything may have so much of the quota pinned: one part of as many."""
MEDIA = "application/octet-stream"


# --- upload -------------------------------------------------------------------------------------------------------------------


def _need_space(context: Context, more: int) -> None:
    free = shutil.disk_usage(context.spool).free
    if free < more + context.limits.spare_bytes:
        raise unavailable(
            f"The disk of this node has {free} bytes free and keeps {context.limits.spare_bytes} of them; {more} more do not fit. "
            "Free some space, then upload again",
            name="DISK_FULL",
        )


def pin_of(token: Token) -> str:
    """What holds the files that a token's holder gave to this node."""
    return PIN if token.scope >= TokenScope.ALL else f"{PIN}:{token.id}"


async def _room(context: Context, token: Token) -> int:
    """Bytes that the holder of a token may still have kept here."""
    files = context.node.files

    def look() -> int:
        room, quota = files.room()
        if token.scope >= TokenScope.ALL:
            return room
        return min(room, quota // TOKEN_SHARE - sum(size for _, size, _ in files.pinned(pin_of(token))))

    return max(0, await asyncio.to_thread(look))


def _no_room(room: int, token: Token) -> RequestError:
    whose = "of this token's share " if token.scope < TokenScope.ALL else ""
    return unavailable(
        f"The file does not fit: {room} bytes {whose}are left of storage.quota_mb for files that users keep here. Remove some "
        "(learningchain file list, file remove), or let the owner raise storage.quota_mb",
        name="QUOTA_FULL",
    )


def _too_large(limit: int) -> RequestError:
    return usage(f"The file is larger than {limit} bytes, the most that this node takes. Upload a smaller one", status=413)


Read = Callable[[int], Awaitable[bytes]]
"""At most so many of the bytes that come next; none at the end."""


async def _receive(context: Context, read: Read, out: BinaryIO, room: int, token: Token) -> int:
    """Write what comes to `out` in pieces; nothing of it is ever held as a whole, and no more than there is room for lies in the
    spool."""
    limits = context.limits
    loop = asyncio.get_running_loop()
    size, checked = 0, 0
    due, owed = loop.time() + limits.read_idle_s, limits.slowest_bytes
    while True:
        try:
            async with asyncio.timeout_at(due):
                piece = await read(PIECE)
        except TimeoutError:
            text = f"Less than {limits.slowest_bytes} bytes arrived in {limits.read_idle_s:g} s. Upload the file again"
            raise usage(text, name="TIMEOUT", status=408) from None
        owed -= len(piece)
        if owed <= 0:
            due, owed = loop.time() + limits.read_idle_s, limits.slowest_bytes
        if not piece:
            return size
        size += len(piece)
        if size > limits.upload_bytes:
            raise _too_large(limits.upload_bytes)
        if size > room:
            raise _no_room(room, token)
        if size - checked >= CHECK_EVERY:
            checked = size
            _need_space(context, CHECK_EVERY)
        await asyncio.to_thread(out.write, piece)


async def post_file(call: Call) -> Json:
    expected, of = call.request.content_length, call.query.set
    pin = "" if of is None else f"{pin_of(call.token)}{SET}{parse_field('set', parse_cid, of)}"
    return await store_upload(call.context, call.request.content.read, expected, exact=True, token=call.token, pin=pin)


async def store_upload(
    context: Context, read: Read, expected: int | None, *, exact: bool, token: Token = FULL, pin: str = ""
) -> Json:
    """Stream a file of a user into the content store. `expected` are the bytes that were announced, of which all are the file's
    where that is `exact`; `pin`: why it is kept, where it is no file by itself. Raises `RequestError`."""
    with context.uploads.take(token):
        if (expected or 0) > context.limits.upload_bytes:
            raise _too_large(context.limits.upload_bytes)
        room = await _room(context, token)
        if exact and (expected or 0) > room:
            raise _no_room(room, token)
        _need_space(context, expected or CHECK_EVERY)
        fd, name = tempfile.mkstemp(prefix="upload-", dir=context.spool)
        path = Path(name)
        try:
            with os.fdopen(fd, "wb") as out:
                received = await _receive(context, read, out, room, token)
            if exact and expected is not None and received != expected:
                raise usage(f"{received} bytes arrived, {expected} were announced. Upload the file again")
            if received > (room := await _room(context, token)):
                raise _no_room(room, token)
            cid, size = await context.node.files.add(path, pin=pin or pin_of(token))
        except StoreError as e:
            raise unavailable(f"The file was not stored: {e}", name="STORE") from None
        except Malformed as e:
            raise usage(f"The file was not stored: {e}. Upload another one") from None
        except OSError as e:
            raise unavailable(f"The file was not stored: {e.strerror}. Check the disk of this node", name="DISK") from None
        finally:
            path.unlink(missing_ok=True)
    return {"cid": cid, "size": size}


# --- what is kept -------------------------------------------------------------------------------------------------------------


async def get_files(call: Call) -> list[Json]:
    """The owner's are all that users gave to this node, by whatever token."""
    found = await asyncio.to_thread(_single, call)
    return [{"cid": cid, "size": size, "by": why.removeprefix(PIN)[1:] or None} for cid, size, why in found[:MAX_LISTED]]


def _single(call: Call) -> list[tuple[str, int, str]]:
    """What the holder keeps file by file: not those of published sets."""
    return [kept for kept in call.node.files.pinned(pin_of(call.token)) if SET not in kept[2]]


async def delete_file(call: Call) -> Json:
    """What else holds the file here, such as a posted job, goes on holding it."""
    cid = str(parse_field("cid", parse_cid, call.path("cid")))
    files = call.node.files
    held = [why for found, _, why in await asyncio.to_thread(_single, call) if found == cid]
    if not held:
        raise not_found(f"{cid} is not kept here for you. GET /v1/files lists what is", name="NOT_KEPT")
    for why in held:
        files.unpin(cid, why)
    return {"cid": cid}


# --- download -----------------------------------------------------------------------------------------------------------------

_FETCH: dict[Reason, str] = {
    Reason.NOBODY: "Make sure that a node that has it is connected (GET /v1/peers), then try again",
    Reason.TIMEOUT: "Try again: what arrived is kept",
    Reason.TOO_LARGE: "Give a larger max_size if you want it",
    Reason.BUSY: "Too much is being fetched: try again shortly",
}


def _failed(cid: str, e: FetchFailed) -> RequestError:
    advice = _FETCH.get(e.reason, "Try again; GET /v1/peers shows who is connected")
    name = e.reason.name
    text = f"{e}. {advice}"
    if e.reason == Reason.NOBODY:
        return not_found(text, name=name)
    if e.reason == Reason.TOO_LARGE:
        return usage(text, name=name, status=413)
    return unavailable(text, name=name)


async def local_copy(call: Call, cid: str, *, max_size: int, timeout_s: float) -> Path:
    """The verified file on this node's disk, fetched from peers if needed."""
    try:
        return await call.node.files.fetch(cid, max_size=max_size, timeout_s=timeout_s)
    except FetchFailed as e:
        raise _failed(cid, e) from None
    except TimeoutError:
        raise unavailable(f"{cid} did not arrive within {timeout_s:g} s. Try again: what arrived is kept", name="TIMEOUT") from None
    except StoreError as e:
        raise unavailable(f"{cid} cannot be handed out: {e}", name="STORE") from None
    except Malformed as e:
        raise usage(f"{cid} is not valid: {e}. Correct the CID") from None


class _Blob(PosixPath):
    """A file of the content store: a link in its place is not followed, whoever opens it."""

    def open(self, *_: Any, **__: Any) -> IO[bytes]:  # type: ignore[override]
        return private.reading(self)


class _SentFile(web.FileResponse):
    """A file that is sent by its handler: the framework's second `prepare` finds it done."""

    _writer: AbstractStreamWriter | None = None

    def __init__(self, path: Path, **how: Any) -> None:
        super().__init__(path, **how)
        self._path = _Blob(path)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if not self.prepared:
            self._writer = await super().prepare(request)
        return self._writer


async def serve_file(call: Call, cid: str, *, max_size: int, timeout_s: float) -> web.StreamResponse:
    """Stream a file; ranges are answered, so a broken download can go on."""
    if not math.isfinite(timeout_s):
        raise usage("timeout_s is not valid: it must be a finite number of seconds. Correct timeout_s")
    with call.context.downloads.take(call.token):
        path = await local_copy(call, cid, max_size=max_size, timeout_s=timeout_s)
        headers = {
            "Content-Type": MEDIA,
            "Content-Disposition": f'attachment; filename="{cid}"',
            **SAFE_HEADERS,
        }
        response = _SentFile(path, chunk_size=256 * 1024, headers=headers)
        # Sent here, not by the framework afterwards: the slot is held until the last byte.
        await response.prepare(call.request)
        return response


async def get_file(call: Call) -> web.StreamResponse:
    cid = str(parse_field("cid", parse_cid, call.path("cid")))
    return await serve_file(call, cid, max_size=call.query.max_size, timeout_s=call.query.timeout_s)


ROUTES = (
    Route(
        "POST",
        "/v1/files",
        "Store a file and serve it to the graph; the body is the file",
        post_file,
        FileStored,
        query=UploadQuery,
        upload=True,
        failures=(408, 413),
        scope=TokenScope.POST,
    ),
    Route(
        "GET",
        "/v1/files",
        "Files that the holder of this token keeps on this node, at most 1,000",
        get_files,
        list[FileKept],
        scope=TokenScope.POST,
    ),
    Route(
        "DELETE",
        "/v1/files/{cid}",
        "Keep a file no longer for the holder of this token",
        delete_file,
        FileRemoved,
        scope=TokenScope.POST,
        failures=(404,),
    ),
    Route(
        "GET",
        "/v1/files/{cid}",
        "A file by CID, fetched from the graph where needed",
        get_file,
        query=FileQuery,
        media=MEDIA,
        failures=(404, 413),
    ),
)
