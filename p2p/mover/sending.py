"""The sending half of the mover: accepts data connections, and sends the leaves that they ask for. One thread each (LC-CONTENT-17).

Strangers reach this code. Until a ticket is shown, a connection costs a place and five seconds at most; afterwards it costs one of
few places of its peer (`places`). Nothing is hashed here: the other side does that, and asks by messages for what was wrong.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

from learningchain.chain.storage import private
from learningchain.p2p.content.dag import CHUNK
from learningchain.p2p.content.messages import TICKET_BYTES
from learningchain.p2p.content.moves import TICKET_MS
from learningchain.p2p.hosts import host_of_address
from learningchain.p2p.mover.orders import KnowTicket, LeavesSent
from learningchain.p2p.mover.pace import MovingPace
from learningchain.p2p.mover.places import MAX_SENDING, Places, cut, yield_to_others
from learningchain.p2p.tls import NotAuthenticated, PeerIdentity, peer_identity

ASK: Final = struct.Struct(">QI")
"""First leaf, and how many."""
MAX_LEAVES: Final = 4_096
"""Leaves that may be asked for at once: 1 GiB."""
MAX_TICKETS, MAX_TICKETS_OF_PEER = 1_024, 64
TICKET_S: Final = 5.0
"""From the connection to the ticket."""
SILENCE_S: Final = 30.0
"""Without a byte, either way."""
MIN_RATE: Final = 100_000.0
"""Bytes a second, below which whoever reads slowly gives its place back."""
WATCH_S: Final = 0.5


class NotAdmitted(Exception):
    """The connection ends; the text is for the log."""


class _Tickets:
    """Who may have what, and until when: bounded for each peer, of which the oldest goes, and in all, where that of whoever has
    most does."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, tuple[KnowTicket, float]] = OrderedDict()

    def add(self, given: KnowTicket) -> None:
        with self._lock:
            now = self._clock()
            while self._known and next(iter(self._known.values()))[1] <= now:
                self._known.popitem(last=False)
            of_peer = Counter(held.peer for held, _ in self._known.values())
            if of_peer[given.peer] >= MAX_TICKETS_OF_PEER:
                self._drop_oldest(given.peer)
            elif len(self._known) >= MAX_TICKETS:
                self._drop_oldest(of_peer.most_common(1)[0][0])
            self._known[given.ticket] = given, now + TICKET_MS / 1_000

    def _drop_oldest(self, peer: bytes) -> None:
        del self._known[next(key for key, (held, _) in self._known.items() if held.peer == peer)]

    def find(self, ticket: bytes, identity: PeerIdentity) -> tuple[KnowTicket, float]:
        """What it is good for, and until when. Raises `NotAdmitted`."""
        with self._lock:
            held, until = self._known.get(ticket, (None, 0.0))
        if held is None:
            raise NotAdmitted("no such ticket")
        if (held.peer, held.key) != identity:
            raise NotAdmitted("the ticket of another peer")
        if self._clock() >= until:
            raise NotAdmitted("an expired ticket")
        return held, until

    def forget(self, peer: bytes) -> None:
        with self._lock:
            for key in [key for key, (held, _) in self._known.items() if held.peer == peer]:
                del self._known[key]


class Deadlines:
    """Ends sockets whose time is up, whatever their threads wait for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: dict[socket.socket, float] = {}
        threading.Thread(target=self._watch, daemon=True, name="deadlines").start()

    def set(self, sock: socket.socket, seconds: float) -> None:
        with self._lock:
            self._due[sock] = time.monotonic() + seconds

    def drop(self, sock: socket.socket) -> None:
        with self._lock:
            self._due.pop(sock, None)

    def _watch(self) -> None:
        while True:
            time.sleep(WATCH_S)
            now = time.monotonic()
            with self._lock:
                for sock in [sock for sock, due in self._due.items() if due <= now]:
                    del self._due[sock]
                    cut(sock)


def read_exactly(tls: ssl.SSLSocket, view: memoryview) -> bool:
    """Fill the view; False where the other side ended before its first byte. Raises OSError."""
    got = 0
    while got < len(view):
        size = tls.recv_into(view[got:])
        if size == 0:
            if got:
                raise ConnectionError("the connection ended in the middle")
            return False
        got += size
    return True


class LeafServer:
    """`refused(why)` is told of connections that end before their time; `sent` of the bytes."""

    def __init__(
        self,
        context: ssl.SSLContext,
        chain_id: bytes,
        pace: MovingPace,
        sent: Callable[[LeavesSent], None],
        refused: Callable[[str], None] = lambda why: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context, self._chain_id, self._sent, self._refused = context, chain_id, sent, refused
        self._clock = clock
        self.tickets = _Tickets(clock)
        self._deadlines = Deadlines()
        self._places = Places(clock)
        self._pace = pace
        self._socket: socket.socket | None = None

    def listen(self, host: str, port: int) -> int:
        """The port. Raises OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=64)
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True, name="accept").start()
        return int(self._socket.getsockname()[1])

    def forget(self, peer: bytes) -> None:
        self.tickets.forget(peer)
        self._places.forget(peer)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                sock, where = listening.accept()
            except OSError as fault:
                self._refused(f"cannot accept: {fault}")
                time.sleep(WATCH_S)  # out of descriptors, or a connection that died in the queue
                continue
            try:
                yield_to_others(sock)
                sock.settimeout(SILENCE_S)
                tls = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            except OSError:  # it went away
                sock.close()
                continue
            if self._places.meet(tls, host_of_address(str(where[0]))):
                threading.Thread(target=self._attend, args=(tls,), daemon=True, name="sending").start()
            else:
                self._refused("too many connections without a ticket")
                tls.close()

    def _attend(self, tls: ssl.SSLSocket) -> None:
        """One connection, from its first byte to its last."""
        try:
            held, until = self._admit(tls)
            with private.reading(held.path) as file:
                if os.fstat(file.fileno()).st_size != held.size:
                    raise NotAdmitted("the file has another length than the ticket says")
                self._serve(tls, file.fileno(), held, until)
        except (OSError, ValueError, NotAuthenticated, NotAdmitted) as fault:
            self._refused(str(fault))
        finally:
            self._deadlines.drop(tls)
            self._places.leave(tls)
            tls.close()

    def _admit(self, tls: ssl.SSLSocket) -> tuple[KnowTicket, float]:
        """Whoever proves to be the ticket's peer gets one of its places. Raises `NotAdmitted`, `NotAuthenticated`, OSError."""
        self._deadlines.set(tls, TICKET_S)
        tls.do_handshake()
        identity = peer_identity(tls, self._chain_id, time.time())
        ticket = bytearray(TICKET_BYTES)
        if not read_exactly(tls, memoryview(ticket)):
            raise NotAdmitted("no ticket")
        found = self.tickets.find(bytes(ticket), identity)
        if not self._places.admit(tls, identity.id):
            raise NotAdmitted("no place: too many data connections")
        return found

    def _serve(self, tls: ssl.SSLSocket, file: int, held: KnowTicket, until: float) -> None:
        size, leaves = held.size, -(-held.size // CHUNK)
        question, buffer = bytearray(ASK.size), memoryview(bytearray(CHUNK))
        while self._question(tls, memoryview(question)):
            first, count = ASK.unpack(question)
            if not 1 <= count <= MAX_LEAVES or first + count > leaves:
                raise NotAdmitted("leaves that the file does not have, or too many at once")
            if self._clock() >= until:
                raise NotAdmitted("an expired ticket")
            start, end = first * CHUNK, min((first + count) * CHUNK, size)
            self._deadlines.set(tls, SILENCE_S + (end - start) / self._pace.least(MIN_RATE, MAX_SENDING))
            at = start
            try:
                while at < end:
                    self._send(tls, file, at, buffer[: min(CHUNK, end - at)])
                    at = min(at + CHUNK, end)
            finally:  # whoever leaves before the last leaf had the others
                if at > start:
                    self._sent(LeavesSent(held.peer, at - start))

    def _question(self, tls: ssl.SSLSocket, view: memoryview) -> bool:
        """However few bytes of it come at a time, it has come within its time."""
        self._deadlines.set(tls, SILENCE_S)
        return read_exactly(tls, view)

    def _send(self, tls: ssl.SSLSocket, file: int, at: int, view: memoryview) -> None:
        if os.preadv(file, [view], at) != len(view):
            raise NotAdmitted("the file ended before its time")
        self._pace.wait(len(view))
        tls.sendall(view)
