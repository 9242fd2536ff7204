"""The live stream as server-sent events: blocks, notes of the ledger, movements of credits, progress of runs."""

from __future__ import annotations

import asyncio

from aiohttp import web

from client.api.errors import unavailable, usage
from client.api.hub import KINDS, Subscriber
from client.api.route import SAFE_HEADERS, Call, Route
from client.api.schema import EventsQuery

WRITE_TIMEOUT_S = 30.0
_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no", **SAFE_HEADERS}


def _kinds(text: str) -> frozenset[str]:
    kinds = frozenset(text.split(","))
    unknown = kinds - set(KINDS)
    if unknown:
        raise usage(f"kinds is not valid: {', '.join(sorted(unknown)) or 'it'} is none of {', '.join(KINDS)}. Correct kinds")
    return kinds


async def get_events(call: Call) -> web.StreamResponse:
    kinds, context, request = _kinds(call.query.kinds), call.context, call.request
    if len(context.hub.listeners) >= context.limits.streams:
        raise unavailable(
            f"This node serves at most {context.limits.streams} event streams. Close one, then try again", name="TOO_MANY"
        )

    def drop() -> None:
        if request.transport is not None:
            request.transport.abort()

    listener = context.hub.subscribe(kinds, drop)
    try:
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        # Headers leave at once: a client knows that it listens before the first block.
        await _write(response, b": ok\n\n")
        await _pump(response, listener, context.limits.heartbeat_s)
    except (ConnectionError, TimeoutError):
        drop()
    finally:
        context.hub.unsubscribe(listener)
    return response


async def _pump(response: web.StreamResponse, listener: Subscriber, heartbeat_s: float) -> None:
    while not listener.dropped:
        try:
            async with asyncio.timeout(heartbeat_s):
                data = await listener.take()
        except TimeoutError:
            data = b": alive\n\n"
        await _write(response, data)


async def _write(response: web.StreamResponse, data: bytes) -> None:
    """Raises `TimeoutError` when the reader took nothing for too long, `ConnectionError` when it is gone."""
    async with asyncio.timeout(WRITE_TIMEOUT_S):
        await response.write(data)


ROUTES = (
    Route(
        "GET",
        "/v1/events",
        "What happens from now on, as server-sent events block, note, move, run and gap",
        get_events,
        query=EventsQuery,
        media="text/event-stream",
    ),
)
