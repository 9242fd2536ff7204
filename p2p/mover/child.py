"""What runs in the mover's process: it takes orders from a pipe, and ends when the pipe does, hence with the node."""

from __future__ import annotations

import os
import signal
import ssl
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Final

from learningchain.p2p.content.events import EndMove, MoveEnded, TakeLeaves
from learningchain.p2p.mover.orders import (
    BeginMoving,
    BoundMoving,
    Connect,
    ForgetPeer,
    KnowTicket,
    MoverListens,
    Order,
    Report,
    encode,
    read_order,
)
from learningchain.p2p.mover.pace import MovingPace
from learningchain.p2p.mover.receiving import LeafReceiver, spare_buffers
from learningchain.p2p.mover.sending import LeafServer
from learningchain.p2p.tls import CA, Leaf, make_contexts

NICE: Final = 5
"""What votes goes first."""


class _Child:
    def __init__(self, pipe: Connection[bytes, bytes], begin: BeginMoving) -> None:
        self._pipe, self._begin = pipe, begin
        self._lock = threading.Lock()
        self._moves: dict[int, LeafReceiver] = {}
        self._spare = spare_buffers()
        contexts = make_contexts(Leaf(begin.cert_pem, begin.key_pem), CA(begin.ca_cert, b""))
        self._dialling: ssl.SSLContext = contexts.client
        self._sending, self._writing = MovingPace(begin.mb_s), MovingPace(begin.mb_s)
        self._server = LeafServer(contexts.server, begin.chain_id, self._sending, self.report)

    def report(self, what: Report) -> None:
        """From any thread."""
        if isinstance(what, MoveEnded):
            self._moves.pop(what.move, None)
        try:
            with self._lock:
                self._pipe.send_bytes(encode(what))
        except OSError:  # the node is gone
            os._exit(0)

    def listen(self) -> None:
        begin = self._begin
        try:
            self.report(MoverListens(self._server.listen(begin.host, begin.port)))
        except OSError as fault:
            self.report(MoverListens(0, fault.strerror or str(fault)))

    def obey(self, order: Order) -> None:
        match order:
            case BoundMoving():
                self._sending.set(order.mb_s)
                self._writing.set(order.mb_s)
            case KnowTicket():
                self._server.tickets.add(order)
            case ForgetPeer():
                self._server.forget(order.peer)
            case Connect():
                self._moves[order.move] = LeafReceiver(
                    order, self._dialling, self._begin.chain_id, self._writing, self._spare, self.report
                )
            case TakeLeaves() if (move := self._moves.get(order.move)) is not None:
                move.take(order)
            case EndMove() if (move := self._moves.get(order.move)) is not None:
                move.end()


def serve(pipe: Connection[bytes, bytes], prepare: Callable[[], None]) -> None:
    """`prepare` keeps other processes of this user out. The keyboard's signals are the node's, and the node goes first."""
    prepare()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICE)
    try:
        begin = read_order(pipe.recv_bytes())
        if not isinstance(begin, BeginMoving):
            return
        child = _Child(pipe, begin)
        child.listen()
        while True:
            child.obey(read_order(pipe.recv_bytes()))
    except (EOFError, OSError):
        os._exit(0)  # threads that wait for a network are not waited for
