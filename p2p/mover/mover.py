"""The node's side of the mover: starts the process when it is needed, passes orders and reports, and takes its end as it comes.

Nothing here waits for the process: one thread writes to the pipe, one reads from it. The process ends when nothing was asked of it
for IDLE_S, so a quiet node has none. Where it dies, its connections are reported as ended, and another one is started when it is
needed, after a pause.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import structlog

from learningchain.p2p.content.cid import Cid
from learningchain.p2p.content.events import EndMove, LeavesMoved, MoveEnded, MoveOpened, OpenMove, TakeLeaves
from learningchain.p2p.content.messages import TICKET_BYTES
from learningchain.p2p.content.moves import MAX_MOVES, SPARE_MS, TICKET_MS
from learningchain.p2p.mover.child import serve
from learningchain.p2p.mover.orders import (
    BeginMoving,
    BoundMoving,
    Connect,
    ForgetPeer,
    KnowTicket,
    LeavesSent,
    MoverListens,
    Order,
    Report,
    encode,
    read_report,
)
from learningchain.p2p.tls import CA, Leaf

log: Any = structlog.get_logger("mover")

IDLE_S: Final = 2 * TICKET_MS / 1_000
PAUSE_S: Final = 5.0
"""After a process that died, before the next one."""
SAME_S: Final = SPARE_MS / 2_000
"""For so long whoever asks again for the same gets the same ticket: what is left of its time is what the other side counts with."""
MAX_NEW_OF_PEER: Final = 16
"""New tickets of a peer within that time; meanwhile it is told that the content is here, and gets it by messages."""
MAX_WAITING_ORDERS: Final = 4_096
"""A process that takes no orders is ended."""

Peer = Callable[[bytes], tuple[str, bytes] | None]
"""A connected peer -> the host at which it was met, and its present key."""


def _nothing() -> None:
    """Nothing has to be prepared."""


class _MoverProcess:
    """One process and its two threads."""

    def __init__(
        self, begin: BeginMoving, prepare: Callable[[], None], told: Callable[[_MoverProcess, Report | None], None]
    ) -> None:
        self.port = 0
        self.begin = begin
        self._orders: SimpleQueue[bytes | None] = SimpleQueue()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, prepare), daemon=True, name="mover")
        self._theirs = theirs
        self._told = told
        self.order(begin)
        threading.Thread(target=self._write, daemon=True, name="mover-orders").start()

    def order(self, order: Order | None) -> None:
        self._orders.put(None if order is None else encode(order))
        if self._orders.qsize() > MAX_WAITING_ORDERS and self.process.pid is not None:
            self.process.kill()

    def _write(self) -> None:
        try:
            self.process.start()
        except OSError as fault:
            log.warning("the process for data connections cannot be started", why=str(fault))
            self._told(self, None)
            return
        finally:
            self._theirs.close()
        threading.Thread(target=self._read, args=(self._pipe,), daemon=True, name="mover-reports").start()
        with suppress(OSError):
            while (order := self._orders.get()) is not None:
                self._pipe.send_bytes(order)
        self.process.kill()

    def _read(self, pipe: Connection[bytes, bytes]) -> None:
        with suppress(EOFError, OSError):
            while True:
                self._told(self, read_report(pipe.recv_bytes()))
        self._told(self, None)
        self._orders.put(None)
        self.process.join()
        pipe.close()


class Mover:
    """Data connections of one node (`p2p.content.service.DataConnections`). Make it in the running loop; `close` it at the end.

    `leaf()` is the certificate that peers know, `find(peer)` where a connected one is and its key. `prepare` runs first in the
    process. `tell` gets why nobody can connect, or an empty text.
    """

    def __init__(
        self,
        *,
        listen: tuple[str, int],
        chain_id: bytes,
        ca: CA,
        leaf: Callable[[], Leaf | None],
        find: Peer,
        mb_s: int = 0,
        tell: Callable[[str], None] = lambda why: None,
        prepare: Callable[[], None] = _nothing,
    ) -> None:
        self.report: Callable[[MoveOpened | LeavesMoved | MoveEnded], None] = lambda report: None
        self.ready: Callable[[], None] = lambda: None
        self.served: Callable[[bytes, int], None] = lambda peer, size: None
        self.sent = self.received = 0
        """Bytes of files."""
        self._listen, self._chain_id, self._ca, self._leaf, self._find = listen, chain_id, ca, leaf, find
        self._mb_s, self._prepare, self._tell_fault = mb_s, prepare, tell
        self._loop = asyncio.get_running_loop()
        self._running: _MoverProcess | None = None
        self._not_before = self._used = self._loop.time()
        self._moves: set[int] = set()
        self._given: dict[bytes, dict[Cid, tuple[float, bytes]]] = {}
        """By peer, the newest tickets and when they were made, the oldest first."""
        self._closed = False

    # --- what the exchange wants ----------------------------------------------------------------------------------------------

    def begin(self) -> bool:
        running = self._needed()
        return running is not None and running.port > 0

    def offer(self, peer: bytes, root: Cid, path: Path, size: int) -> tuple[int, bytes] | None:
        running, found = self._needed(), self._find(peer)
        if running is None or found is None or not running.port:
            return None
        now, given = self._loop.time(), self._given.setdefault(peer, {})
        while given and now - next(iter(given.values()))[0] >= SAME_S:
            del given[next(iter(given))]
        if root not in given:
            if len(given) >= MAX_NEW_OF_PEER:
                return None
            given[root] = now, secrets.token_bytes(TICKET_BYTES)
            running.order(KnowTicket(given[root][1], peer, found[1], str(path), size))
        return running.port, given[root][1]

    def open(self, wanted: OpenMove, path: Path) -> None:
        running, found = self._needed(), self._find(wanted.peer)
        if running is None or found is None or len(self._moves) >= 2 * MAX_MOVES:  # some of them are just ending
            self._loop.call_soon(self._tell, MoveEnded(wanted.move, "there is no process for data connections now"))
            return
        self._moves.add(wanted.move)
        host, key = found
        running.order(Connect(wanted.move, host, wanted.port, wanted.peer, key, wanted.ticket, str(path), wanted.size))

    def bound(self, mb_s: int) -> None:
        """Most megabytes in a second that are sent, and that are written, from now on; 0: no bound."""
        if mb_s != self._mb_s:
            self._mb_s = mb_s
            if self._running is not None:
                self._running.order(BoundMoving(mb_s))

    def order(self, order: TakeLeaves | EndMove) -> None:
        if self._running is not None and order.move in self._moves:
            self._running.order(order)

    def forget(self, peer: bytes) -> None:
        self._given.pop(peer, None)
        if self._running is not None:
            self._running.order(ForgetPeer(peer))

    # --- the process ----------------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        return None if self._running is None else self._running.process.pid

    def _needed(self) -> _MoverProcess | None:
        """The process; it is started where there is none, unless one died just now."""
        now, leaf = self._loop.time(), self._leaf()
        self._used = now
        if leaf is None:
            return None
        if self._running is not None and self._running.begin.cert_pem != leaf.cert_pem:
            self._end(self._running)  # another key since
        if self._running is None and now >= self._not_before and not self._closed:
            begin = BeginMoving(leaf.cert_pem, leaf.key_pem, self._ca.cert_pem, self._chain_id, *self._listen, self._mb_s)
            self._running = _MoverProcess(begin, self._prepare, self._told)
            self._loop.call_later(IDLE_S, self._look)
        return self._running

    def _look(self) -> None:
        """Nobody has a ticket any more, and nothing is fetched: it is not needed."""
        if self._running is None:
            return
        if self._loop.time() - self._used >= IDLE_S and not self._moves:
            self._end(self._running)
        else:
            self._loop.call_later(IDLE_S / 4, self._look)

    def _told(self, running: _MoverProcess, report: Report | None) -> None:
        """From the thread that reads."""
        with suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._take, running, report)

    def _take(self, running: _MoverProcess, report: Report | None) -> None:
        if running is not self._running:
            return
        match report:
            case None:
                log.warning("the process for data connections ended; files go by messages meanwhile")
                self._not_before = self._loop.time() + PAUSE_S
                self._end(running)
            case MoverListens():
                running.port = report.port
                host, port = self._listen
                if report.port:
                    self.ready()
                self._tell_fault(report.why and f"nobody can open one: port {port} of {host} cannot be listened on: {report.why}")
            case LeavesSent():
                self.sent += report.size
                self.served(report.peer, report.size)
                self._used = self._loop.time()
            case MoveOpened() | LeavesMoved() | MoveEnded():
                self._tell(report)

    def _tell(self, report: MoveOpened | LeavesMoved | MoveEnded) -> None:
        if isinstance(report, MoveEnded):
            self._moves.discard(report.move)
            if report.why or report.wrong:
                log.info("a data connection ended", why=report.why, wrong=report.wrong)
        if isinstance(report, LeavesMoved):
            self.received += report.size
        self.report(report)

    def _end(self, running: _MoverProcess) -> None:
        self._running = None
        self._given.clear()
        running.order(None)
        for move in list(self._moves):
            self._tell(MoveEnded(move, "the process for data connections ended"))

    def close(self) -> None:
        """The process ends soon; nobody waits for it."""
        self._closed = True
        if self._running is not None:
            self._end(self._running)
