"""One authenticated connection: hello, the reader, the writer, and how it ends. Transport composes many of them.

The reader hands messages over in order, a few in each turn of the event loop, and stops reading while the peer is above its rate.
The writer sends what waits as soon as the event loop comes round, the most urgent first. Whatever goes wrong ends this connection
only; `closed_because` says why, and the other side is told where it still listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from aiohttp import ClientWebSocketResponse, WSMsgType
from aiohttp.web import WebSocketResponse

from learningchain.chain.errors import Malformed
from learningchain.p2p.limits import Meter
from learningchain.p2p.send_queues import SendQueues
from learningchain.p2p.tls import PeerIdentity
from learningchain.p2p.wire import (
    CLOSE_REFUSED,
    CLOSE_VIOLATION,
    QUEUE_VOTES,
    Hello,
    Ping,
    Reassembler,
    check_hello,
    peers_message,
    printable,
    reason_bytes,
)

Socket = ClientWebSocketResponse | WebSocketResponse
_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_UNSENT: Final = 131_072
"""Bytes that may wait in the kernel and in the TLS layer each: more would queue in front of the next vote."""


SLICE: Final = 32
"""Messages of one peer in one turn of the event loop: a vote of another peer waits for so many at most (LC-P2P-24)."""


MAX_OPEN: Final = 2 * 2**20
"""LC-P2P-28: bytes of one peer that make up no frame. What waits here to be read is a quarter of it."""
_HEADER: Final = 14
"""The most that RFC 6455 puts before a frame."""


class Intake(asyncio.Protocol):
    """Between the wire and the websocket library: counts what arrives and makes up no frame.

    The library tells nobody of pieces that never end a message, such as empty ones, and each costs the event loop as much as a
    message. `excess` is called once, when there are too many bytes of that kind; nothing is read any more then.
    """

    def __init__(self, transport: asyncio.Transport, excess: Callable[[], object]) -> None:
        self._inner = cast(asyncio.Protocol, transport.get_protocol())
        self._excess: Callable[[], object] | None = excess
        self._open = 0
        transport.set_protocol(self)

    def otherwise(self, excess: Callable[[], object]) -> None:
        """From here on `excess` is called, unless it was."""
        if self._excess is not None:
            self._excess = excess

    def frame(self, size: int) -> None:
        """A frame came out of what arrived."""
        self._open = max(0, self._open - size - _HEADER)

    def data_received(self, data: bytes) -> None:
        self._open += len(data)
        if self._open <= MAX_OPEN:
            self._inner.data_received(data)
        elif self._excess is not None:
            excess, self._excess = self._excess, None
            excess()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


class Refused(Exception):
    """A connection that one side would not have. `by_peer`: it was the other side; then the text is its word."""

    def __init__(self, reason: str, *, by_peer: bool = False) -> None:
        super().__init__(reason)
        self.by_peer = by_peer


@dataclass(frozen=True)
class Link:
    """The raw connection under a `Connection`."""

    ws: Socket
    transport: asyncio.Transport
    address: str
    outbound: bool


@dataclass(frozen=True)
class Times:
    """The times of a connection in seconds."""

    drain_timeout: float
    silence_timeout: float
    ping_interval: float
    close_timeout: float


def tune(transport: asyncio.Transport) -> None:
    """Keeps what is written but not yet on the wire small, so that queues keep their order of urgency."""
    transport.set_write_buffer_limits(high=_UNSENT)
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, _UNSENT)


async def exchange_hello(link: Link, own: Hello, timeout: float) -> Hello:
    """LC-P2P-15/16. Raises `Refused`; the other side is told why when it is us who refuse."""
    try:
        async with asyncio.timeout(timeout):
            await link.ws.send_bytes(peers_message(own))
            message = await link.ws.receive()
    except TimeoutError:
        raise Refused(f"no hello within {timeout:g} s") from None
    except (ConnectionError, OSError) as e:
        raise Refused(f"connection lost before the hello: {e}") from None
    if message.type is WSMsgType.CLOSE:
        raise Refused(printable(message.extra or f"closed with code {message.data}"), by_peer=True)
    if message.type is not WSMsgType.BINARY:
        detail = printable(message.data) if message.type is WSMsgType.ERROR else message.type.name.lower()
        raise Refused(f"connection ended before the hello ({detail})")
    try:
        return check_hello(message.data, own.chain_id)
    except Malformed as e:
        await say_goodbye(link, CLOSE_REFUSED, str(e), timeout)
        raise Refused(str(e)) from None


def cut(transport: asyncio.Transport) -> None:
    """Close at once. In Python 3.11.2, which Debian 12 has, asyncio's own loop fails where a TLS connection is closed already."""
    with contextlib.suppress(AttributeError):
        transport.abort()


async def say_goodbye(link: Link, code: int, reason: str, timeout: float) -> None:
    """Closes with a reason that the other side can read, and for good after `timeout` seconds."""
    with contextlib.suppress(TimeoutError, OSError, RuntimeError):
        async with asyncio.timeout(timeout):
            await link.ws.close(code=code, message=reason_bytes(reason))
    cut(link.transport)


class Connection:
    """A peer that said hello. `run` returns when it is over; it never raises because of the peer."""

    def __init__(
        self,
        link: Link,
        identity: PeerIdentity,
        hello: Hello,
        times: Times,
        meter: Meter,
        clock: Callable[[], float],
        intake: Intake,
    ) -> None:
        self.link, self.id, self.key, self.hello = link, identity.id, identity.key, hello
        self._times, self._meter, self._clock, self._intake = times, meter, clock, intake
        intake.otherwise(lambda: self.close(CLOSE_VIOLATION, f"{MAX_OPEN} bytes that make up no frame"))
        now = clock()
        self.since = self.last_heard = now
        self.rtt: float | None = None
        self.bytes_in = self.bytes_out = self.messages_in = 0
        self.queues = SendQueues()
        self.closed_because: str | None = None
        self.closed_by_peer = False
        self.ended = asyncio.Event()
        self.asked_peers = False
        """A question for peers is open: one answer is welcome."""
        self.answer_due = now
        """When this peer may ask for peers again."""
        self.pong_due = now
        """When a ping of this peer is answered again."""
        self.trial: float | None = None
        """Until when a peer stays whose key is not that of the ledger (LC-P2P-42); None for one that proved itself."""
        self._goodbye: tuple[int, str] | None = None
        self._stop = asyncio.Event()
        self._work = asyncio.Event()
        self._writing_since: float | None = None
        self._ping: tuple[int, float] | None = None
        self._next_ping = now

    # --- sending --------------------------------------------------------------------------------------------------------------

    def send(self, queue: int, item: bytes) -> bool:
        """Queues a whole message; False when its queue is full or the connection ends."""
        if self._stop.is_set() or not self.queues.push(queue, item):
            return False
        self._work.set()
        return True

    async def _write(self) -> None:
        ws = self.link.ws
        while True:
            self._work.clear()
            while (frame := self.queues.next_frame()) is not None:
                self._writing_since = self._clock()
                await ws.send_bytes(frame)
                self._writing_since = None
                self.bytes_out += len(frame)
            await self._work.wait()

    # --- receiving ------------------------------------------------------------------------------------------------------------

    async def _read(self, deliver: Callable[[Connection, int, bytes], None]) -> None:
        ws, frames = self.link.ws, Reassembler()
        turn = 0
        while not self._stop.is_set():
            received = await ws.receive()
            if received.type is not WSMsgType.BINARY:
                self._note_end(received.type, received.data, received.extra)
                return
            frame = received.data
            now = self.last_heard = self._clock()
            self.bytes_in += len(frame)
            self._intake.frame(len(frame))
            try:
                messages = frames.feed(frame)
            except Malformed as e:
                self.close(CLOSE_VIOLATION, f"broken frame: {e}")
                return
            self.messages_in += len(messages)
            for channel, payload in messages:
                if self._stop.is_set():
                    return
                deliver(self, channel, payload)
                turn += 1
                if turn >= SLICE:  # frames that are here already would be read without a pause
                    turn = 0
                    await asyncio.sleep(0)
            wait = max(self._meter.bytes.take(now, len(frame)), self._meter.messages.take(now, max(1, len(messages))))
            if wait > 0:
                await self._pause(wait)

    async def _pause(self, seconds: float) -> None:
        """Reads nothing for a while: the transport's flow control passes that on to the peer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    def _note_end(self, kind: WSMsgType, data: object, extra: object) -> None:
        if self.closed_because is not None:
            return
        if kind is WSMsgType.CLOSE:
            self.closed_because, self.closed_by_peer = printable(extra or f"closed with code {data}"), True
        elif kind is WSMsgType.ERROR:
            self.close(CLOSE_VIOLATION, printable(f"broken frame: {data}"))
        elif kind in (WSMsgType.CLOSED, WSMsgType.CLOSING):
            self.closed_because = "connection lost"
        else:
            self.close(CLOSE_VIOLATION, f"a {kind.name.lower()} frame: only binary ones belong here")

    # --- life -----------------------------------------------------------------------------------------------------------------

    @property
    def violated(self) -> bool:
        """The peer broke the framing rules."""
        return self._goodbye is not None and self._goodbye[0] == CLOSE_VIOLATION

    def close(self, code: int, reason: str) -> None:
        """Ends the connection soon; the peer is told. The first reason counts."""
        if self._goodbye is None and not self.ended.is_set():
            self._goodbye = (code, reason)
            self.closed_because = self.closed_because or reason
        self._stop.set()

    async def run(self, deliver: Callable[[Connection, int, bytes], None]) -> None:
        """Reads and writes until either ends or `close` is called, then says goodbye and leaves nothing behind."""
        tasks = [asyncio.create_task(job) for job in (self._read(deliver), self._write(), self._stop.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            self._stop.set()
            for task in done:
                error = task.exception()
                if isinstance(error, OSError | RuntimeError):
                    self.closed_because = self.closed_because or f"connection lost: {error}"
                elif error is not None:
                    raise error
            if self._goodbye is not None and self._stuck_for(self._clock()) == 0:
                await say_goodbye(self.link, *self._goodbye, self._times.close_timeout)
        finally:
            self.closed_because = self.closed_because or "connection lost"
            cut(self.link.transport)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.ended.set()

    def _stuck_for(self, now: float) -> float:
        return 0.0 if self._writing_since is None else now - self._writing_since

    def tick(self, now: float, nonce: int) -> str | None:
        """Keepalive; returns why the connection must end, if it must. `nonce`: a random number below 2^63."""
        if self._stuck_for(now) > self._times.drain_timeout:
            return f"reads nothing for {self._times.drain_timeout:g} s"
        if now - self.last_heard > self._times.silence_timeout:
            return f"silent for {self._times.silence_timeout:g} s"
        if now >= self._next_ping:
            self._next_ping = now + self._times.ping_interval
            self._ping = (nonce, now)
            self.send(QUEUE_VOTES, peers_message(Ping(nonce)))
        return None

    def pong(self, nonce: int) -> None:
        """Takes the round-trip time when the nonce is that of the last ping."""
        if self._ping is not None and self._ping[0] == nonce:
            self.rtt = self._clock() - self._ping[1]
            self._ping = None
