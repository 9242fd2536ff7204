"""Who has a place among the data connections, and who gives way to whom (LC-CONTENT-17). No I/O but the end of a connection.

    without a ticket   a few, and fewer of a host: where all are taken, the oldest of the host that has most of them ends
    with one           a few, and fewer of a peer: where all are taken, the oldest of the peer that has most of them ends;
                       where nobody has more than the newcomer would have, the oldest that has had its turn

So nobody is kept out by what others hold, however long they hold it. Messages bring what a connection still owed.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

MAX_STRANGERS, MAX_STRANGERS_OF_HOST = 32, 8
"""Connections that have not shown a ticket."""
MAX_SENDING, MAX_SENDING_TO_PEER = 16, 4
TURN_S: Final = 30.0
"""How long a connection keeps its place from whoever has none."""

LOWER_EFFORT: Final = 1 << 2
"""The field of IP for RFC 8622: where a router of the way has a queue for what may wait, these bytes wait and votes do not."""
UNSENT: Final = 128 * 1024
"""Bytes that wait in the kernel for one connection: more would only be old."""

K = TypeVar("K")


def yield_to_others(sock: socket.socket) -> None:
    """What a data connection carries may wait. A system that takes no such wish sends as it likes."""
    six = sock.family == socket.AF_INET6
    level, name = (socket.IPPROTO_IPV6, socket.IPV6_TCLASS) if six else (socket.IPPROTO_IP, socket.IP_TOS)
    with suppress(OSError):
        sock.setsockopt(level, name, LOWER_EFFORT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)


def cut(sock: socket.socket) -> None:
    """End a connection from another thread: whatever waits there fails at once."""
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # of an SSLSocket, its own would wait for its lock


class Places:
    """Connections in the order in which they came."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._strangers: dict[socket.socket, str] = {}
        self._sending: dict[socket.socket, tuple[bytes, float]] = {}
        """Each with its peer, and since when."""

    def meet(self, sock: socket.socket, host: str) -> bool:
        """A connection without a ticket, of a host. False where it has to end."""
        with self._lock:
            of_host = Counter(self._strangers.values())
            if of_host[host] >= MAX_STRANGERS_OF_HOST:
                return False
            if len(self._strangers) >= MAX_STRANGERS:
                crowd = _most(of_host)
                self._end(self._strangers, next(one for one, its in self._strangers.items() if its == crowd))
            self._strangers[sock] = host
            return True

    def admit(self, sock: socket.socket, peer: bytes) -> bool:
        """It showed a ticket of this peer. False where it has to end."""
        with self._lock:
            if self._strangers.pop(sock, None) is None:
                return False
            of_peer = Counter(whose for whose, _ in self._sending.values())
            if of_peer[peer] >= MAX_SENDING_TO_PEER:
                return False
            if len(self._sending) >= MAX_SENDING:
                loser = self._loser(of_peer, of_peer[peer])
                if loser is None:
                    return False
                self._end(self._sending, loser)
            self._sending[sock] = peer, self._clock()
            return True

    def _loser(self, of_peer: Counter[bytes], own: int) -> socket.socket | None:
        crowd, now = _most(of_peer), self._clock()
        if of_peer[crowd] > own + 1:
            return next(one for one, (whose, _) in self._sending.items() if whose == crowd)
        old = (one for one, (whose, since) in self._sending.items() if of_peer[whose] > own and now - since >= TURN_S)
        return next(old, None)

    def leave(self, sock: socket.socket) -> None:
        with self._lock:
            self._strangers.pop(sock, None)
            self._sending.pop(sock, None)

    def forget(self, peer: bytes) -> None:
        """All connections of a peer end."""
        with self._lock:
            for sock in [sock for sock, (whose, _) in self._sending.items() if whose == peer]:
                self._end(self._sending, sock)

    def _end(self, among: dict[socket.socket, K], sock: socket.socket) -> None:
        del among[sock]
        cut(sock)


def _most(counts: Counter[K]) -> K:
    return counts.most_common(1)[0][0]
