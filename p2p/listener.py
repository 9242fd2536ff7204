"""Accepts connections: TCP, TLS, HTTP upgrade. Outsiders reach this code: what is not yet admitted is bounded in number and time.

The TLS handshake runs under our own eyes (not inside a server object), because its failures are refusals that belong in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.web_protocol import RequestHandler

from learningchain.p2p.address_book import endpoint
from learningchain.p2p.half_open import MAX_HALF_OPEN, HalfOpen
from learningchain.p2p.hosts import host_of_address
from learningchain.p2p.wire import printable

KNOWN_S: Final = 5.0
"""For how long the hosts of the address book are taken as they were."""
_HTTP_LIMITS: Final = {"max_line_size": 1_024, "max_field_size": 2_048, "max_headers": 32}

CUT_OFF: Final = (
    "cut off before it was admitted: the other side had no place for one more connection, refused this node's certificate, "
    "or belongs to another network"
)
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


@dataclass
class _PendingHandshake:
    """A connection that has not said hello."""

    where: str
    socket: socket.socket
    expiry: asyncio.TimerHandle


class _Server(web.Server):
    """Says which connections have ended."""

    def __init__(self, ended: Callable[[asyncio.BaseProtocol], object], *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._ended = ended

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._ended(handler)


class Listener:
    """One listening socket. `handle` gets the upgrade request of every connection whose TLS handshake succeeded.

    `known` are the addresses (IPv4 or IPv6) at which members were reached: a part of the places is for their hosts.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        refused: Callable[[str, str], None],
        timeout: float,
        known: Callable[[], Collection[str]] = tuple,
        half_open: int = MAX_HALF_OPEN,
    ) -> None:
        self.context, self._refused, self._timeout, self._known = context, refused, timeout, known
        self._server = _Server(self.admit, handle, access_log=None, logger=_quiet, lingering_time=0, **_HTTP_LIMITS)
        self._socket: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._half_open: HalfOpen[asyncio.BaseProtocol] = HalfOpen(half_open)
        self._pending: dict[asyncio.BaseProtocol, _PendingHandshake] = {}
        self._known_hosts: frozenset[str] = frozenset()
        self._known_until = 0.0
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
            self._accepted.add(sock)
            self._spawn(self._handshake(sock, str(where[0]), where[1]))

    def _is_known(self, host: str) -> bool:
        """LC-P2P-35. The hosts are gathered anew at most every KNOWN_S, however many connect."""
        now = time.monotonic()
        if now >= self._known_until:
            self._known_hosts = frozenset(host_of_address(address) for address in self._known())
            self._known_until = now + KNOWN_S
        return host_of_address(host) in self._known_hosts

    async def _handshake(self, sock: socket.socket, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._accepted.discard(sock)
        protocol = self._server()
        # Twice the time: for the handshake, and for the upgrade and the hello.
        expiry = loop.call_later(2 * self._timeout, self._cut, protocol)
        pending = self._pending[protocol] = _PendingHandshake(endpoint(host, port), sock, expiry)
        for evicted in self._half_open.enter(protocol, host, known=self._is_known(host)):
            self._refused(self._pending[evicted].where, "made room for others: it had not said hello")
            self._cut(evicted)
        try:
            await loop.connect_accepted_socket(lambda: protocol, sock, ssl=self.context, ssl_handshake_timeout=self._timeout)
        except (OSError, TimeoutError) as e:
            if self.admit(protocol):
                self._refused(pending.where, f"TLS: {tls_problem(e)}")
        except BaseException:
            self.admit(protocol)
            raise

    def _cut(self, protocol: asyncio.BaseProtocol) -> None:
        """The end of a connection that has not said hello; without effect on one that has."""
        pending = self._pending.get(protocol)
        if pending is None:
            return
        self.admit(protocol)
        if isinstance(protocol, BaseProtocol) and protocol.transport is not None:
            protocol.transport.abort()
        else:  # in the handshake, which ends with its socket
            with contextlib.suppress(OSError):  # the other side was faster
                pending.socket.shutdown(socket.SHUT_RDWR)

    def admit(self, protocol: asyncio.BaseProtocol) -> bool:
        """The connection said hello, or is over: it no longer counts as half open. True when it did until now."""
        pending = self._pending.pop(protocol, None)
        if pending is None:
            return False
        pending.expiry.cancel()
        self._half_open.leave(protocol)
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
        for protocol in list(self._pending):
            self._cut(protocol)
        with contextlib.suppress(TimeoutError):
            await self._server.shutdown(0.5)
