"""The stream of one open page: it says that there is something new, and the page asks for its parts anew.

    event: block   a block became final; its id is the height, with which a browser that was away comes back
    event: run     a run of this node moved, or it fetches something

What a page shows always comes from the state, so a reader that missed events has no gap: one that comes back with an older height
is told at once. At most one event of a kind in PAUSE_S, the last one always. It ends when its session does.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Final

from aiohttp import web

from learningchain.client.api.browsers import HEADERS
from learningchain.client.api.errors import unavailable
from learningchain.client.api.events import WRITE_TIMEOUT_S

if TYPE_CHECKING:
    from learningchain.client.api.hub import Subscriber
    from learningchain.client.api.route import Context
    from learningchain.client.api.sessions import BrowserSession

PAUSE_S: Final = 1.0
COMING_S: Final = 2.0
"""How often a page is drawn anew while this node fetches something and nothing else happens."""
PER_SESSION: Final = 8
"""Open pages of one session that are told; a ninth is drawn when it is loaded."""
_RUN: Final = re.compile(rb"^event: (?:run|notice)$", re.MULTILINE)
_OTHER: Final = re.compile(rb"^event: (?:block|gap)$", re.MULTILINE)


def events(data: bytes, height: int) -> bytes:
    """What is told of events of the hub."""
    told = b""
    if _OTHER.search(data):
        told += f"event: block\nid: {height}\ndata: {height}\n\n".encode()
    if _RUN.search(data):
        told += b"event: run\ndata: 1\n\n"
    return told


async def stream(context: Context, request: web.Request, session: BrowserSession) -> web.StreamResponse:
    if len(context.hub.listeners) >= context.limits.streams or session.streams >= PER_SESSION:
        raise unavailable("Too many pages are open at the same time: this one is not told what is new. Close one", name="TOO_MANY")

    def drop() -> None:
        if request.transport is not None:
            request.transport.abort()

    listener = context.hub.subscribe(frozenset({"block", "run", "notice"}), drop)
    session.streams += 1
    try:
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        await _write(response, b"retry: 2000\n\n")
        await _pump(context, response, listener, session, _seen(request))
    except (ConnectionError, TimeoutError):
        drop()
    finally:
        session.streams -= 1
        context.hub.unsubscribe(listener)
    return response


def _seen(request: web.Request) -> int:
    """The height that the page knows: of the last event that came, else of when it was drawn."""
    text = request.headers.get("Last-Event-ID") or request.query.get("height", "")
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text, re.ASCII) else 0


async def _pump(context: Context, response: web.StreamResponse, listener: Subscriber, session: BrowserSession, seen: int) -> None:
    ledger = context.node.ledger
    if ledger.height > seen:
        await _write(response, events(b"event: block\n", ledger.height))
    while not listener.dropped and (left := context.sessions.left(session, time.monotonic())) > 0:
        fetches = bool(context.node.transfers())
        try:
            async with asyncio.timeout(min(COMING_S if fetches else context.limits.heartbeat_s, left)):
                data = await listener.take()
        except TimeoutError:
            await _write(response, events(b"event: run\n", ledger.height) if fetches else b": alive\n\n")
            continue
        await asyncio.sleep(PAUSE_S)
        if not listener.pending.empty():
            data += await listener.take()
        await _write(response, events(data, ledger.height))


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_TIMEOUT_S):
        await response.write(data)
