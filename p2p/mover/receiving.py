"""The receiving half of the mover: one data connection, in three threads (LC-CONTENT-18).

One reads into a few large buffers; another hashes each leaf, compares, writes it to its place, and reports it. So nothing wrong
ever reaches the file, and what is reported is there. The third is the writer's (`writing`): it has the disk take what is written.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, LifoQueue, SimpleQueue
from typing import Final, NamedTuple

from learningchain.chain.storage import private
from learningchain.p2p.content.dag import CHUNK
from learningchain.p2p.content.disk import FULL
from learningchain.p2p.content.events import LeavesMoved, MoveEnded, MoveOpened, TakeLeaves
from learningchain.p2p.content.moves import MAX_MOVES
from learningchain.p2p.mover.orders import Connect
from learningchain.p2p.mover.pace import MovingPace
from learningchain.p2p.mover.places import cut, yield_to_others
from learningchain.p2p.mover.sending import ASK, SILENCE_S, read_exactly
from learningchain.p2p.mover.writing import SteadyWriter
from learningchain.p2p.tls import NotAuthenticated, check_member, peer_identity

BUFFER: Final = 4 * CHUNK
SPARE: Final = 4
"""Buffers that all connections of a process share, beside one of each: so many more are filled while others wait for the disk."""
CONNECT_S: Final = 5.0


class _Filled(NamedTuple):
    buffer: mmap.mmap
    size: int
    at: int
    digests: list[bytes]


Spare = LifoQueue[mmap.mmap]


def spare_buffers() -> Spare:
    """The last one that was used is the next, so that no more of them take memory than are used at a time."""
    spare = Spare()
    for _ in range(SPARE):
        spare.put(mmap.mmap(-1, BUFFER))
    return spare


class _Buffers:
    """Of one connection: one of its own, so that none waits for what others hold, and of the spare ones what is free."""

    def __init__(self, spare: Spare) -> None:
        self._own = mmap.mmap(-1, BUFFER)  # whole pages: the disk takes them directly
        self._mine, self._spare = SimpleQueue[mmap.mmap](), spare
        self._mine.put(self._own)

    def take(self) -> mmap.mmap:
        for free in (self._mine, self._spare):
            with suppress(Empty):
                return free.get_nowait()
        return self._mine.get()

    def give_back(self, buffer: mmap.mmap) -> None:
        (self._mine if buffer is self._own else self._spare).put(buffer)


class LeafReceiver:
    """`report` may be called from any thread; `MoveEnded` is the last report. `spare`: buffers that others use, too."""

    def __init__(
        self,
        order: Connect,
        context: ssl.SSLContext,
        chain_id: bytes,
        pace: MovingPace,
        spare: Spare,
        report: Callable[[MoveOpened | LeavesMoved | MoveEnded], None],
    ) -> None:
        self._order, self._context, self._chain_id, self._pace, self._report = order, context, chain_id, pace, report
        self._buffers = _Buffers(spare)
        self._takes: SimpleQueue[TakeLeaves | None] = SimpleQueue()
        self._asked: deque[TakeLeaves] = deque()
        self._filled: SimpleQueue[_Filled | None] = SimpleQueue()
        self._socket: socket.socket | None = None
        self._ended = False
        self._wrong = False
        self._disk = ""
        threading.Thread(target=self._run, daemon=True, name="receiving").start()

    def take(self, order: TakeLeaves) -> None:
        self._takes.put(order)

    def end(self) -> None:
        self._ended = True
        self._takes.put(None)
        if self._socket is not None:
            cut(self._socket)

    def _run(self) -> None:
        why = ""
        try:
            file = private.open_file(self._order.path, write=True)
        except OSError as fault:
            self._report(MoveEnded(self._order.move, f"the file of the download cannot be opened: {fault.strerror}"))
            return
        writer = SteadyWriter(file)
        hashing = threading.Thread(target=self._check, args=(writer,), daemon=True, name="hashing")
        hashing.start()
        try:
            self._converse()
        except (OSError, ValueError, NotAuthenticated) as fault:
            why = str(fault) or type(fault).__name__
        finally:
            self._filled.put(None)
            hashing.join()
            writer.close()
            os.close(file)
        self._report(MoveEnded(self._order.move, why, self._wrong, self._disk))

    def _converse(self) -> None:
        o = self._order
        with (
            socket.create_connection((o.host, o.port), timeout=CONNECT_S) as sock,
            self._context.wrap_socket(sock, do_handshake_on_connect=False) as tls,
        ):
            self._socket = tls
            yield_to_others(tls)
            if self._ended:
                return
            tls.do_handshake()
            check_member(peer_identity(tls, self._chain_id, time.time()), o.key, o.peer)
            tls.settimeout(SILENCE_S)
            tls.sendall(o.ticket)
            self._report(MoveOpened(o.move))
            while not self._ended and self._ask(tls, wait=not self._asked):
                self._receive(tls, self._asked.popleft())

    def _ask(self, tls: ssl.SSLSocket, *, wait: bool) -> bool:
        """Ask for all that is ordered: the answer to the next question is under way while this one's comes. False at the end.

        Reading and asking stay in one thread: the TLS library allows no two on one connection.
        """
        with suppress(Empty):
            while (take := self._takes.get(block=wait)) is not None:
                tls.sendall(ASK.pack(take.first, len(take.digests)))
                self._asked.append(take)
                wait = False
            return False
        return True

    def _receive(self, tls: ssl.SSLSocket, take: TakeLeaves) -> None:
        at, end = take.first * CHUNK, min((take.first + len(take.digests)) * CHUNK, self._order.size)
        while at < end:
            first, size = at // CHUNK - take.first, min(BUFFER, end - at)
            self._filled.put(self._read(tls, size, at, take.digests[first : first + -(-size // CHUNK)]))
            at += size
            if not self._ask(tls, wait=False):
                return

    def _read(self, tls: ssl.SSLSocket, size: int, at: int, digests: list[bytes]) -> _Filled:
        buffer = self._buffers.take()
        try:
            if not read_exactly(tls, memoryview(buffer)[:size]):
                raise ConnectionError("the other side ended the connection")
        except BaseException:
            self._buffers.give_back(buffer)
            raise
        return _Filled(buffer, size, at, digests)

    def _check(self, writer: SteadyWriter) -> None:
        """Until the end; after a fault, buffers are only given back."""
        while (filled := self._filled.get()) is not None:
            if not self._wrong and not self._disk:
                self._keep(writer, filled)
                if self._wrong or self._disk:
                    self.end()
            self._buffers.give_back(filled.buffer)

    def _keep(self, writer: SteadyWriter, filled: _Filled) -> None:
        view, good = memoryview(filled.buffer)[: filled.size], 0
        for digest in filled.digests:
            if hashlib.sha256(view[good * CHUNK : (good + 1) * CHUNK]).digest() != digest:
                self._wrong = True
                break
            good += 1
        size = min(good * CHUNK, filled.size)
        # Where all connections wait for a slow pace each is heard of by single leaves: who says nothing for seconds is ended.
        step = CHUNK if self._pace.is_slow(MAX_MOVES * BUFFER) else BUFFER
        for at in range(0, size, step):
            part = view[at : min(at + step, size)]
            self._pace.wait(len(part))
            try:
                writer.write(part, filled.at + at)
            except OSError as fault:
                full = "is full: free space on it, then try again" if fault.errno in FULL else f"failed: {fault.strerror}"
                self._disk = f"the disk of the content store {full}; nothing incomplete counts as stored"
                return
            self._report(LeavesMoved(self._order.move, -(-len(part) // CHUNK), len(part)))
