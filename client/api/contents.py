"""What lies on this node's disk and what is on its way there: for what, since when, and what goes when room is needed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from itertools import islice

from learningchain.client.api.files import PIN, SET
from learningchain.client.api.route import Call, Route
from learningchain.client.keys.tokens import TokenScope
from learningchain.client.node.interface import ComingContent, KeptContent, KeptFor
from learningchain.client.node.sharing import CLOSED
from learningchain.client.schema.bodies import ContentsQuery, ContentsView, TransferView
from learningchain.client.schema.render import Json

MAX_SHOWN = 8
"""Reasons that are told of one content."""
_USERS = re.compile(rf"{PIN}(?::([0-9a-f]{{8}}))?(?:{SET}(.+))?", re.ASCII)


async def get_contents(call: Call) -> Json:
    query: ContentsQuery = call.query
    found = await asyncio.to_thread(call.node.contents)
    left, quota = await asyncio.to_thread(call.node.files.room)
    after = None if query.after is None else _place(*query.after.split("-"))
    rest = [one for one in found if after is None or _place(one.size, one.cid) > after]
    page = rest[: query.limit]
    more = len(rest) > len(page)
    return {
        "used": sum(one.size for one in found),
        "stays": quota - left,
        "quota": quota,
        "contents": [_content(call, one) for one in page],
        "next": f"{page[-1].size}-{page[-1].cid}" if more else None,
    }


def _place(size: int | str, cid: str) -> tuple[int, str]:
    return -int(size), cid


def _content(call: Call, one: KeptContent) -> Json:
    return {
        "cid": one.cid,
        "size": one.size,
        "complete": one.complete,
        "since": one.since,
        "goes": one.goes,
        "reasons": len(one.reasons),
        "kept_for": _kept_for(call, one.cid, one.reasons),
    }


async def get_transfers(call: Call) -> list[Json]:
    return [_transfer(call, one) for one in call.node.transfers()]


def _transfer(call: Call, one: ComingContent) -> Json:
    known = one.size > 0 and bool(one.rate)
    return {
        "cid": one.cid,
        "done": one.done,
        "size": one.size or None,
        "rate": one.rate,
        "left_s": -(-(one.size - one.done) // (one.rate or 1)) if known else None,
        "since": one.since,
        "kept_for": _kept_for(call, one.cid, one.reasons),
    }


def _kept_for(call: Call, cid: str, reasons: Sequence[str]) -> list[Json]:
    found = (_reason(call, cid, why) for why in islice(reasons, MAX_SHOWN))
    return [{"what": one.what, "of": one.of, "ref": one.ref, "until": one.until} for one in found]


def _reason(call: Call, cid: str, why: str) -> KeptFor:
    if why == CLOSED:
        return KeptFor("private content that is kept for other reasons")
    if (user := _USERS.fullmatch(why)) is None:
        return call.node.work.stores.kept_for(cid, why)
    token, of_set = user.groups()
    if of_set is not None:
        return KeptFor("file of a published set", "set", of_set)
    return KeptFor("file that a user gave", "token" if token else None, token)


ROUTES = (
    Route(
        "GET",
        "/v1/contents",
        "What lies on this node's disk, the largest first: since when, for what, and what may go",
        get_contents,
        ContentsView,
        query=ContentsQuery,
        scope=TokenScope.ALL,
    ),
    Route(
        "GET",
        "/v1/transfers",
        "What this node fetches now, with rate and time left, the oldest first",
        get_transfers,
        list[TransferView],
        scope=TokenScope.ALL,
    ),
)
