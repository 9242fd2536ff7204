"""Connections to the HTTP API: how many there are, for how long each may keep its place, and what of it reaches the log.

Whoever can reach the port comes this far without a token, so nothing here may cost the node more than a place for a bounded time.
A connection either *waits* for a whole request (it is new, sends a header, is kept alive) or is *busy* with one.

    waits   no whole header within `header_s` of its begin; nothing at all within `idle_s` of the last answer     -> cut off
    busy    the handler bounds what it reads and waits for
    both    the other side takes less than STALL_BYTES of an answer in `stall_s`                                   -> cut off
    full    the connection that has waited longest makes room, strangers first; where none waits, the new one goes

Spec of the bounds: docs/operating.md, "Connections from outside". Everything runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import ipaddress
import re
import sys
import termios
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler

from learningchain.client.api.errors import RequestError, usage
from learningchain.client.api.route import ServerLimits
from learningchain.p2p.hosts import host_of_address

log: Any = structlog.get_logger(__name__)

LINGER_S: Final = 2.0
"""For how long the rest of a body that nobody wants is read, so that the other side can read the refusal."""
SWEEP_S: Final = 0.5
"""Between two looks at the times of all connections."""
STALL_BYTES: Final = 16 * 1024
MAX_LINE: Final = 8_190
MAX_HEADERS: Final = 32
MAX_FIELD: Final = 4_096
"""Bytes of a request's first line; header fields, and bytes of a name and of a value. Half a request holds at most 256 KiB, all
connections together 128 MiB."""
_COOKIES: Final = "A browser sends the cookies of every program on this host: open the node by another name of it, or remove some"
LOG_LINES: Final = 5
LOG_WINDOW_S: Final = 60.0
"""At most LOG_LINES lines about requests that are none in this time; the next one says how many were left out."""
MAX_SHOWN: Final = 120
LOOPBACK: Final = "loopback"
BEGIN: Final = 64
"""Bytes of a header that are looked at where it cannot be read: its method, and the beginning of its path."""
_THEIRS: Final = (HttpProcessingError, web.RequestPayloadError, ConnectionError, TimeoutError)
"""What aiohttp raises for what the other side did."""


def escaped(text: object) -> str:
    """Bytes of a stranger as printable ASCII, bounded."""
    return str(text)[:MAX_SHOWN].encode("unicode_escape").decode("ascii")[:MAX_SHOWN]


def why_unread(fault: BaseException | None) -> RequestError:
    """What is said to whoever sent what cannot be read; a bound that it exceeds by name, and nothing of what was sent."""
    if isinstance(fault, LineTooLong) and fault.args[1] == MAX_LINE:
        why = f"its first line has more than {MAX_LINE:,} bytes. Ask by a shorter path and query"
    elif isinstance(fault, LineTooLong):
        why = f"one of its fields has more than {MAX_FIELD:,} bytes. {_COOKIES}"
    elif isinstance(fault, BadHttpMessage) and "Too many headers" in fault.message:
        why = f"it has more than {MAX_HEADERS} fields. Send fewer; a proxy on the way may add some"
    else:
        return usage("This is no HTTP request that the node can read. Send HTTP/1.1", name="BAD_HTTP", status=400)
    return usage(f"The request's header is too large: {why}", name="HEADERS_TOO_LARGE", status=431)


def host_of_client(address: str) -> str:
    """Who counts as one. All of 127.0.0.0/8 and ::1 are this machine, whose users choose among them freely."""
    host = host_of_address(address)
    return LOOPBACK if ipaddress.ip_network(host, strict=False).is_loopback or address == "::1" else host


def unsent_bytes(fd: int) -> int:
    """What the kernel holds of a socket's bytes until the other side has them (tcp(7), SIOCOUTQ). 0 where it cannot tell."""
    answer = bytearray(4)
    try:
        fcntl.ioctl(fd, termios.TIOCOUTQ, answer)
    except OSError:
        return 0
    return int.from_bytes(answer, sys.byteorder)


class HttpConnection(RequestHandler):
    """One connection: aiohttp's, which also knows its place and its times."""

    def __init__(self, listener: HttpListener, server: web.Server) -> None:
        super().__init__(
            server,
            loop=listener.loop,
            access_log=None,  # type: ignore[arg-type]
            keepalive_timeout=2 * listener.limits.idle_s,  # never first: it would wait until the other side has read everything
            lingering_time=LINGER_S,
            auto_decompress=False,
            max_line_size=MAX_LINE,
            max_headers=MAX_HEADERS,
            max_field_size=MAX_FIELD,
        )
        self._listener = listener
        self._wire: asyncio.Transport | None = None
        self.host = ""
        self.known = False
        """Whether a request on this connection carried the token."""
        self.busy = 0
        self.number = 0
        """Its place among all connections so far: the loop's clock tells those of a millisecond not apart."""
        self.since = listener.loop.time()
        """When it began to wait."""
        self._begin = b""
        """Of the request that it waits for."""
        self._header_since: float | None = self.since
        """When the header that it waits for began; a new connection owes one at once."""
        self._unsent: tuple[int, float] | None = None
        """The least that waited to be sent, and since when it is no less. None while the other side keeps up."""

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.host = host_of_client(str(peer[0])) if peer else "?"
        if self._listener.enter(self):
            super().connection_made(transport)
        else:
            self.cut()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._listener.leave(self)
        super().connection_lost(exc)
        self._wire = None

    def data_received(self, data: bytes) -> None:
        if data and not self.busy and self._header_since is None:
            self._header_since = self._loop.time()
        if not self.busy and len(self._begin) < BEGIN:
            self._begin += data[:BEGIN]
        super().data_received(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent = self._waiting(), self._loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unsent = None
        self.since = self._loop.time()

    # what the server calls

    @contextmanager
    def request(self) -> Iterator[None]:
        """A whole request is being answered."""
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1
            self.since, self._header_since, self._begin = self._loop.time(), None, b""

    def read_no_more(self) -> None:
        """The rest of a stranger's body is left where it is, and the connection ends with the refusal: nothing that may be asked
        without the token has a body, and a body in pieces of a byte costs the loop more than any request."""
        self._lingering_time = 0.0
        if self._wire is not None:
            self._wire.pause_reading()

    def is_overdue(self, now: float) -> bool:
        if self._unsent is not None:
            left = self._waiting()
            if left <= self._unsent[0] - STALL_BYTES:
                self._unsent = left, now
            return now - self._unsent[1] > self._listener.limits.stall_s
        if self.busy:
            return False
        if self._header_since is not None and now - self._header_since > self._listener.limits.header_s:
            return True
        return now - self.since > self._listener.limits.idle_s

    def _waiting(self) -> int:
        """Bytes that the other side has not taken: here, and in the kernel, which takes more from here in large steps only."""
        if self._wire is None:
            return 0
        sock = self._wire.get_extra_info("socket")
        return self._wire.get_write_buffer_size() + (unsent_bytes(sock.fileno()) if sock is not None else 0)

    def cut(self) -> None:
        """The end, also for a connection whose other side reads nothing."""
        if self._wire is not None:
            self._wire.abort()

    # what aiohttp says of requests that are none

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The one shape of every refusal, with nothing of what was sent in it."""
        self._listener.complain(self.host, exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer was under way")
        response = self._listener.refusal(self._path(), why_unread(exc))
        response.force_close()
        return response

    def _path(self) -> str:
        """Of a request that cannot be read, as far as it can be told: other protocols have refusals of their own."""
        words = self._begin.split(b" ", 2)
        return words[1].partition(b"?")[0].decode("latin-1") if len(words) > 1 else ""

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """In place of a traceback for everything that somebody sends."""
        self._listener.complain(self.host, kw.get("exc_info"))


class HttpListener:
    """All connections of one server. `listen` begins, `close` ends. `refusal`: how a path's requests are refused."""

    def __init__(self, limits: ServerLimits, refusal: Callable[[str, RequestError], web.Response]) -> None:
        self.limits, self.refusal = limits, refusal
        self.loop = asyncio.get_running_loop()
        self.connections: set[HttpConnection] = set()
        self.seen = self.refused = 0
        """Connections so far, and those of them that were cut off or got no place."""
        self._hosts: Counter[str] = Counter()
        self._listening: asyncio.Server | None = None
        self._others: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._lines = 0
        self.left_out = 0
        self._window = self.loop.time()

    async def listen(self, server: web.Server, host: str, port: int) -> int:
        """Accept connections for `server`; the port. Raises OSError when the address is taken."""
        self._listening = await self.loop.create_server(lambda: HttpConnection(self, server), host or None, port, backlog=128)
        self._sweep()
        return int(self._listening.sockets[0].getsockname()[1])

    async def also(self, server: web.Server, host: str, port: int) -> bool:
        """Accept connections at another address, too. False where another program listens there; true also where this machine has
        no such address, for then nobody listens."""
        try:
            self._others.append(await self.loop.create_server(lambda: HttpConnection(self, server), host, port, backlog=128))
        except OSError as e:
            return e.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
        return True

    def stop_listening(self) -> None:
        for one in (self._listening, *self._others):
            if one is not None:
                one.close()
        self._listening = None
        self._others.clear()

    def close(self) -> None:
        """What is still connected is cut off."""
        self.stop_listening()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self.connections):
            connection.cut()

    # places

    def enter(self, new: HttpConnection) -> bool:
        """Whether the new connection gets a place. One that waits makes room where there is none."""
        self.seen += 1
        new.number = self.seen
        if self._hosts[new.host] >= self.limits.connections_per_address and not self._make_room(new.host):
            return False
        if len(self.connections) >= self.limits.connections and not self._make_room(None):
            return False
        self.connections.add(new)
        self._hosts[new.host] += 1
        return True

    def _make_room(self, host: str | None) -> bool:
        """Of one address, or of the address that has most."""
        waiting = [c for c in self.connections if not c.busy and (host is None or c.host == host)]
        # Of several addresses the greediest: who has few connections is not pushed out by who has many.
        first = min(waiting, key=lambda c: (c.known, -self._hosts[c.host], c.since, c.number), default=None)
        if first is None:
            self.refused += 1
            return False
        self._drop(first)
        return True

    def _drop(self, connection: HttpConnection) -> None:
        self.refused += 1
        connection.cut()
        self.leave(connection)

    def leave(self, connection: HttpConnection) -> None:
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        self._hosts[connection.host] -= 1
        if self._hosts[connection.host] <= 0:
            del self._hosts[connection.host]

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in [c for c in self.connections if c.is_overdue(now)]:
            self._drop(connection)
        self._sweeper = self.loop.call_later(SWEEP_S, self._sweep)

    # the log

    def complain(self, host: str, fault: BaseException | None) -> None:
        """One line about a request that is none, where there are not too many already."""
        now = self.loop.time()
        if now - self._window >= LOG_WINDOW_S:
            self._window, self._lines = now, 0
        if self._lines >= LOG_LINES:
            self.left_out += 1
            return
        self._lines += 1
        # The library's text quotes what was sent, secrets too: it is cut where a quotation may begin.
        why = fault.message if isinstance(fault, HttpProcessingError) else fault
        shown = escaped(re.split(r"[:'\"\n]", str(why), maxsplit=1)[0]) if why is not None else "unknown"
        # A traceback only where the fault may be ours.
        trace = None if fault is None or isinstance(fault, _THEIRS) else fault
        log.warning(
            "a request could not be read",
            host=host,
            kind=type(fault).__name__,
            why=shown,
            left_out=self.left_out,
            **({"exc_info": trace} if trace else {}),
        )
        self.left_out = 0
