"""Published data sets: a folder of files that are content of their own, named by the CID of its manifest (LC-JOB-60).

Everybody who asks for a set gets it: it is the opposite of the owner's own data (`data`), which never leave the machine. A client
names and uploads the files, the manifest last (`POST /v1/files?set=CID`); here is what is kept, and what a set is.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path

from learningchain.client.api.errors import RequestError, not_found, usage
from learningchain.client.api.files import SET, local_copy, pin_of
from learningchain.client.api.route import Call, Route, parse_field
from learningchain.client.data.published import MAX_MANIFEST_BYTES, PublishedSet, read_manifest
from learningchain.client.keys.tokens import TokenScope
from learningchain.client.node.interface import Files
from learningchain.client.schema.bodies import SetQuery, SetRemoved, SetView
from learningchain.client.schema.render import Json
from learningchain.p2p.content.cid import from_bytes
from learningchain.p2p.content.cid import parse as parse_cid

MAX_LISTED = 100
_OF_SET = re.compile(rf".*{SET}(b[a-z2-7]{{58}})", re.ASCII)


async def get_sets(call: Call) -> list[Json]:
    """By CID. One without its manifest was never finished, and what is none hides no other: anybody's client names its uploads."""
    held = await asyncio.to_thread(_published, call)
    found = []
    for cid in sorted(held)[:MAX_LISTED]:
        if call.node.files.has(cid):
            with suppress(RequestError):
                found.append(await view_of(call, cid))
    return found


async def get_set(call: Call) -> Json:
    """The manifest is fetched where it is not here, the files are not."""
    cid = str(parse_field("cid", parse_cid, call.path("cid")))
    await local_copy(call, cid, max_size=MAX_MANIFEST_BYTES, timeout_s=call.query.timeout_s)
    return await view_of(call, cid)


async def delete_set(call: Call) -> Json:
    cid = str(parse_field("cid", parse_cid, call.path("cid")))
    held = (await asyncio.to_thread(_published, call)).get(cid)
    if held is None:
        raise not_found(f"No set {cid} is kept here for you. GET /v1/sets lists what is", name="NOT_KEPT")
    files = call.node.files

    def give_up() -> None:
        for reason in {why for _, why in held}:
            files.unpin_all([content for content, why in held if why == reason], reason)

    await asyncio.to_thread(give_up)
    return {"cid": cid, "removed": True}


def _published(call: Call) -> dict[str, list[tuple[str, str]]]:
    """By the CID of each set: its content here, and why that is pinned."""
    found: dict[str, list[tuple[str, str]]] = {}
    for content, _, why in call.node.files.pinned(pin_of(call.token)):
        if (of := _OF_SET.fullmatch(why)) is not None:
            found.setdefault(of[1], []).append((content, why))
    return found


async def view_of(call: Call, cid: str) -> Json:
    """A set whose manifest is here. Raises `RequestError` where the content is none."""
    path = await local_copy(call, cid, max_size=MAX_MANIFEST_BYTES, timeout_s=10.0)
    return await asyncio.to_thread(_view, call.node.files, cid, path)


async def bytes_here(call: Call, cid: str) -> int:
    """How much of a set is on this node's disk; 0 where the manifest is not, or names none."""
    if not call.node.files.has(cid):
        return 0
    try:
        return int((await view_of(call, cid))["here"])
    except RequestError:
        return 0


def _view(files: Files, cid: str, manifest: Path) -> Json:
    found = _read(cid, manifest)
    here = sum(file.size for file in found.files if files.has(str(from_bytes(file.cid))))
    return {"cid": cid, "files": len(found.files), "size": found.size, "here": here}


def _read(cid: str, manifest: Path) -> PublishedSet:
    try:
        return read_manifest(manifest.read_bytes())
    except ValueError as problem:
        raise usage(f"{cid} is no data set: {problem}. learningchain data publish FOLDER makes one", name="NO_SET") from None


ROUTES = (
    Route(
        "GET",
        "/v1/sets",
        "Data sets that the holder of this token published here, at most 100",
        get_sets,
        list[SetView],
        scope=TokenScope.POST,
    ),
    Route(
        "GET",
        "/v1/sets/{cid}",
        "What a published data set is, and how much of it is here; its manifest is fetched where needed",
        get_set,
        SetView,
        query=SetQuery,
        failures=(404, 413),
    ),
    Route(
        "DELETE",
        "/v1/sets/{cid}",
        "Keep a published data set no longer for the holder of this token; what else holds it here goes on",
        delete_set,
        SetRemoved,
        scope=TokenScope.POST,
        failures=(404,),
    ),
)
