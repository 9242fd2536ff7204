"""The live stream as server-sent events: blocks, notes of the ledger, movements of credits, progress of runs, notices."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from aiohttp import web

from learningchain.client.api.errors import RequestError, unavailable, usage
from learningchain.client.api.hub import KINDS, Subscriber
from learningchain.client.api.route import SAFE_HEADERS, Call, Route, ServerLimits
from learningchain.client.api.tickets import TICKET_S
from learningchain.client.keys.tokens import FULL, Token, TokenError, TokenScope, now_ms
from learningchain.client.schema.bodies import ALIVE, EventsQuery, StreamTicket
from learningchain.client.schema.render import Json

WRITE_TIMEOUT_S = 30.0
_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no", **SAFE_HEADERS}


def _kinds(text: str) -> frozenset[str]:
    kinds = frozenset(text.split(","))
    unknown = kinds - set(KINDS)
    if unknown:
        raise usage(f"kinds is not valid: {', '.join(sorted(unknown)) or 'it'} is none of {', '.join(KINDS)}. Correct kinds")
    return kinds


def _check_room(listeners: Collection[Subscriber], limits: ServerLimits, token: Token) -> None:
    """No token keeps others out, and all of them together not the owner's."""
    own = sum(1 for listener in listeners if listener.whose == token.id)
    most = limits.streams // 2 if token is FULL else limits.streams_per_token
    if own >= most:
        raise RequestError(
            429,
            "unavailable",
            "TOO_MANY_OWN",
            f"One token has at most {most} event streams open. Close one of yours, then try again",
        )
    room = limits.streams if token is FULL else limits.streams - limits.streams_per_token
    if len(listeners) >= room:
        raise unavailable(f"This node serves at most {room} event streams. Try again when others close theirs", name="TOO_MANY")


async def post_ticket(call: Call) -> Json:
    return {"ticket": call.context.tickets.new(call.token, time.monotonic()), "good_for_s": int(TICKET_S)}


async def get_events(call: Call) -> web.StreamResponse:
    kinds, context, request = _kinds(call.query.kinds), call.context, call.request
    _check_room(context.hub.listeners, context.limits, call.token)

    def drop() -> None:
        if request.transport is not None:
            request.transport.abort()

    after = request.headers.get("Last-Event-ID", call.query.last_event_id)
    begins = context.hub.replay.last
    listener = context.hub.subscribe(kinds, drop, call.token.id, after=after)
    try:
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        # Headers leave at once: a client knows that it listens before the first block. They say where it begins, for who loses the
        # connection before the first event; who comes back has an id.
        await _write(response, b": ok\n" if after is not None else b": ok\n" + _so_far(begins))
        await _pump(call, response, listener, context.limits.heartbeat_s)
    except (ConnectionError, TimeoutError):
        drop()
    finally:
        context.hub.unsubscribe(listener)
    return response


async def _pump(call: Call, response: web.StreamResponse, listener: Subscriber, heartbeat_s: float) -> None:
    """Until the reader is gone, or its token is good no more, which is looked at once in each heartbeat."""
    loop = asyncio.get_running_loop()
    look = loop.time() + heartbeat_s
    while not listener.dropped:
        if loop.time() >= look:
            if not _is_good(call):
                return
            look = loop.time() + heartbeat_s
        try:
            async with asyncio.timeout(heartbeat_s):
                data = await listener.take()
        except TimeoutError:
            # With it goes how far the stream is: events of other kinds push old ones out of what is kept.
            data = _so_far(call.context.hub.replay.last) if listener.pending.empty() else b": alive\n"
        await _write(response, data)


def _so_far(last: str) -> bytes:
    """An event of its own: some readers take an id alone, and an empty line behind a comment, for a message."""
    return f"event: {ALIVE}\nid: {last}\ndata: {{}}\n\n".encode()


def _is_good(call: Call) -> bool:
    if call.token is FULL:
        return True
    try:
        tokens = call.context.tokens()
        return tokens is not None and tokens.is_good(call.token, now_ms())
    except TokenError:
        return False


async def _write(response: web.StreamResponse, data: bytes) -> None:
    """Raises `TimeoutError` when the reader took nothing for too long, `ConnectionError` when it is gone."""
    async with asyncio.timeout(WRITE_TIMEOUT_S):
        await response.write(data)


ROUTES = (
    Route(
        "GET",
        "/v1/events",
        "What happens from now on, or since Last-Event-ID, as server-sent events block, note, move, run, notice and gap; alive "
        "says how far an idle stream is",
        get_events,
        query=EventsQuery,
        failures=(429,),
        media="text/event-stream",
        ticket=True,
    ),
    Route(
        "POST",
        "/v1/events/tickets",
        "A ticket that opens one stream in place of the token, for readers that send no header",
        post_ticket,
        StreamTicket,
        scope=TokenScope.READ,
    ),
)
