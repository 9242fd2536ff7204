"""Accepts connections: TCP, TLS, HTTP upgrade. Outsiders reach this code: what is not yet admitted is bounded in number and time.

The TLS handshake runs under our own eyes (not inside a server object), because its failures are refusals that belong in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol

from p2p.book import endpoint
from p2p.wire import printable

MAX_HALF_OPEN: Final = 256
MAX_HALF_OPEN_PER_HOST: Final = 32
"""LC-P2P-8: connections that have not said hello yet."""
_HTTP_LIMITS: Final = {"max_line_size": 1_024, "max_field_size": 2_048, "max_headers": 32}

CUT_OFF: Final = "cut off in the TLS handshake: the other side refused this node's certificate, or belongs to another network"
"""The TLS library does not pass on why the other side gave up; that stands in the other side's log."""

# What outsiders send as HTTP is not worth a traceback each; our own handler logs what matters.
_quiet = logging.getLogger("p2p.http")
_quiet.setLevel(logging.CRITICAL + 1)


def tls_problem(error: BaseException) -> str:
    """A TLS failure in words: what the library says, without its file names."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused, it belongs to another network: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, ConnectionResetError):
        return CUT_OFF
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    return printable(getattr(error, "strerror", None) or error) or type(error).__name__


def remote_address(transport: asyncio.BaseTransport | None) -> str:
    """Where a connection came from, "?" when it is gone."""
    name = None if transport is None else transport.get_extra_info("peername")
    return endpoint(str(name[0]), int(name[1])) if name else "?"


def host_of(where: str) -> str:
    """The host of an `endpoint`."""
    return where.rpartition(":")[0].strip("[]")


class Listener:
    """One listening socket. `handle` gets the upgrade request of every connection whose TLS handshake succeeded."""

    def __init__(
        self,
        context: ssl.SSLContext,
        handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        refused: Callable[[str, str], None],
        timeout: float,
    ) -> None:
        self._context, self._refused, self._timeout = context, refused, timeout
        self._server = web.Server(handle, access_log=None, logger=_quiet, lingering_time=0, **_HTTP_LIMITS)  # type: ignore[arg-type]
        self._socket: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._half_open: dict[asyncio.BaseProtocol, tuple[str, asyncio.TimerHandle]] = {}
        self._hosts: Counter[str] = Counter()
        self._accepted: set[socket.socket] = set()
        """Sockets whose handshake has not begun: nobody else would close them."""
        self.port = 0

    def start(self, host: str, port: int) -> None:
        """Raises OSError naming the address when it cannot be had."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=128)
        except OSError as e:
            raise OSError(e.errno, f"cannot listen on {endpoint(host, port)}: {e.strerror or e}") from None
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        self._spawn(self._accept(self._socket))

    def _spawn(self, job: Awaitable[None]) -> None:
        task = asyncio.ensure_future(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, where = await loop.sock_accept(listening)
            except OSError as e:
                # Out of descriptors, or a connection that died in the queue: neither may end the node.
                self._refused("?", f"cannot accept: {e.strerror or e}")
                await asyncio.sleep(0.5)
                continue
            host = str(where[0])
            if len(self._half_open) >= MAX_HALF_OPEN or self._hosts[host] >= MAX_HALF_OPEN_PER_HOST:
                sock.close()
                self._refused(endpoint(host, where[1]), "too many connections that have not said hello")
                continue
            self._accepted.add(sock)
            self._spawn(self._handshake(sock, host, where[1]))

    async def _handshake(self, sock: socket.socket, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._accepted.discard(sock)
        protocol = self._server()
        # Twice the time: for the handshake, and for the upgrade and the hello.
        self._half_open[protocol] = host, loop.call_later(2 * self._timeout, self._expire, protocol)
        self._hosts[host] += 1
        try:
            await loop.connect_accepted_socket(lambda: protocol, sock, ssl=self._context, ssl_handshake_timeout=self._timeout)
        except (OSError, TimeoutError) as e:
            self.admit(protocol)
            self._refused(endpoint(host, port), f"TLS: {tls_problem(e)}")
        except BaseException:
            self.admit(protocol)
            raise

    def _expire(self, protocol: asyncio.BaseProtocol) -> None:
        if self.admit(protocol) and isinstance(protocol, BaseProtocol) and protocol.transport is not None:
            protocol.transport.abort()

    def admit(self, protocol: asyncio.BaseProtocol) -> bool:
        """The connection said hello, or is over: it no longer counts as half open. True when it did until now."""
        entry = self._half_open.pop(protocol, None)
        if entry is None:
            return False
        host, timer = entry
        timer.cancel()
        self._hosts[host] -= 1
        if self._hosts[host] <= 0:
            del self._hosts[host]
        return True

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for sock in (self._socket, *self._accepted):
            if sock is not None:
                sock.close()
        self._accepted.clear()
        for protocol in list(self._half_open):
            self._expire(protocol)
        with contextlib.suppress(TimeoutError):
            await self._server.shutdown(0.5)
