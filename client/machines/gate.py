"""Where machines dial their node: who gets as far as a first frame, and how often one address may try."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from learningchain.chain.errors import Malformed
from learningchain.client.machines import frames as f
from learningchain.client.machines.book import MachineError
from learningchain.p2p.address_book import endpoint
from learningchain.p2p.half_open import HalfOpen
from learningchain.p2p.hosts import host_of_address
from learningchain.p2p.limits import TokenBucket

log: Any = structlog.get_logger("machines")

HELLO_S: Final = 10.0
MAX_HALF_OPEN: Final = 64
DIALS_PER_S, DIALS_AT_ONCE = 10.0, 100.0
"""Connections that one address may open: a handshake takes the loop that votes 0.6 ms, whoever comes."""
MAX_ADDRESSES: Final = 1_024

First = Callable[[object, f.FrameReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
"""Takes a connection's first frame, and has the connection until it returns. Raises `MachineError`, `Malformed`, OSError."""


class MachineGate:
    """Listens, and gives each connection whose first frame came in time to `first`. `spawn` runs a task until the hub stops."""

    def __init__(self, context: ssl.SSLContext, first: First, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._context, self._first, self._spawn = context, first, spawn
        self.half_open: HalfOpen[socket.socket] = HalfOpen(MAX_HALF_OPEN)
        self.dials: OrderedDict[str, TokenBucket] = OrderedDict()
        self._socket: socket.socket | None = None

    def open(self, listen: str) -> tuple[str, int]:
        """Listen: the address and the port. Raises `MachineError` where the address cannot be had."""
        host, _, port = listen.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, int(port)), family=family, backlog=64)
        except OSError as fault:
            raise MachineError(
                f"The node cannot listen for its machines on {listen}: {fault.strerror or fault}. Choose another address: "
                "learningchain config set cluster.listen HOST:PORT"
            ) from None
        self._socket.setblocking(False)
        return host, int(self._socket.getsockname()[1])

    def start(self) -> None:
        if self._socket is not None:
            self._spawn(self._accept(self._socket))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, where = await loop.sock_accept(listening)
            except OSError as fault:  # out of descriptors, or it died in the queue
                log.warning("a machine's connection cannot be accepted", why=fault.strerror or str(fault))
                await asyncio.sleep(0.5)
                continue
            if not self.may_dial(host_of_address(str(where[0]))):
                sock.close()
                continue
            for evicted in self.half_open.enter(sock, str(where[0]), known=False):
                with contextlib.suppress(OSError):
                    evicted.shutdown(socket.SHUT_RDWR)
            self._spawn(self._serve(sock, endpoint(str(where[0]), where[1])))

    def may_dial(self, host: str) -> bool:
        now = self._now()
        bucket = self.dials.setdefault(host, TokenBucket(DIALS_PER_S, DIALS_AT_ONCE, now))
        self.dials.move_to_end(host)
        if len(self.dials) > MAX_ADDRESSES:
            self.dials.popitem(last=False)
        return bucket.spend(now, 1.0)

    async def _serve(self, sock: socket.socket, where: str) -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(HELLO_S):
                reader, writer = await self._handshake(sock)
                frames = f.FrameReader(reader)
                first = await frames.of_machine()
            self.half_open.leave(sock)
            await self._first(first, frames, writer)
        except MachineError as refusal:
            log.warning("a machine was refused", where=where, why=str(refusal))
            if writer is not None:
                with contextlib.suppress(OSError, ssl.SSLError):
                    writer.write(f.framed(f.MachineRefused(str(refusal)[: f.MAX_TEXT])))
                    await f.drained(writer)
        except (OSError, ssl.SSLError, TimeoutError, Malformed) as fault:
            log.info("a machine's connection ended", where=where, why=str(fault) or type(fault).__name__)
        finally:
            self.half_open.leave(sock)
            if writer is not None:
                writer.close()
            else:
                sock.close()

    async def _handshake(self, sock: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=f.PIECE)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, sock, ssl=self._context, ssl_handshake_timeout=HELLO_S, ssl_shutdown_timeout=1.0
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    def _now(self) -> float:
        return time.monotonic()
