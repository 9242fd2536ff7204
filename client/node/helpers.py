"""Processes that check signatures and hash blocks while the node goes on: for catching up, where thousands wait at once.

The driver starts them when they are needed; they end when nobody needed them for a while, so a quiet node has none. A machine with
one processor has none either, and where they fail the node does the work itself.

Pieces of work wait in one queue. For each process a thread takes them from there, one ahead of what the process does, so that it
need not wait while the node's own thread computes.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from typing import Any

import structlog

from learningchain.chain.node.checks import Check, Hashed, Made, Sent, Unhashed
from learningchain.client.node.helper import HASHED, MADE, SIGNED, SNAPSHOT, TASKS, encode, serve

log: Any = structlog.get_logger("helpers")

MOST = 8
IDLE_S = 10.0
PIECE = 1_000
"""Checks that one process takes at a time: about 50 ms. A thread that feeds it may wait three times 5 ms for its turn."""
BUCKETS = 32
"""Buckets of the state that one process takes at a time."""
AHEAD = 2
"""Pieces that a process has: what it does, and the next."""

_Piece = tuple[bytes, Future[bytes]]


class HelperDied(Exception):
    """A process ended."""


class _Pool:
    """The processes, and the threads that feed them."""

    def __init__(self, count: int) -> None:
        self._pieces: SimpleQueue[_Piece | None] = SimpleQueue()
        self._count, self._failed = count, False
        context = multiprocessing.get_context("spawn")
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            threading.Thread(target=self._feed, args=(ours, process), daemon=True).start()

    def submit(self, piece: bytes) -> Future[bytes]:
        future: Future[bytes] = Future()
        self._pieces.put((piece, future))
        if self._failed:
            self._refuse()
        return future

    def close(self) -> None:
        """What is under way is finished; the processes end."""
        for _ in range(self._count):
            self._pieces.put(None)

    def _feed(self, pipe: Connection[bytes, bytes], process: Any) -> None:
        given: deque[Future[bytes]] = deque()
        try:
            while self._give(pipe, given):
                answer = pipe.recv_bytes()
                given.popleft().set_result(answer)
        except (EOFError, OSError):
            for future in given:
                future.set_exception(HelperDied())
            self._failed = True
            self._refuse()
            self.close()
        pipe.close()
        process.join()

    def _give(self, pipe: Connection[bytes, bytes], given: deque[Future[bytes]]) -> bool:
        """Fill up what a process has; False when there is nothing more to come."""
        while len(given) < AHEAD:
            try:
                piece = self._pieces.get(block=not given)
            except Empty:
                return True
            if piece is None:
                if given:
                    self._pieces.put(None)  # for later: answers are awaited still
                return bool(given)
            if piece[1].set_running_or_notify_cancel():  # nobody waits any more where the node stops
                given.append(piece[1])
                pipe.send_bytes(piece[0])
        return True

    def _refuse(self) -> None:
        """A process is gone: the node does without the others as well, which are told to end all the same."""
        ends = 0
        with suppress(Empty):
            while True:
                piece = self._pieces.get_nowait()
                if piece is None:
                    ends += 1
                elif piece[1].set_running_or_notify_cancel():
                    piece[1].set_exception(HelperDied())
        for _ in range(ends):
            self._pieces.put(None)


class Helpers:
    def __init__(self) -> None:
        self._count = min(MOST, len(os.sched_getaffinity(0)))
        self._pool: _Pool | None = None
        self._end: asyncio.TimerHandle | None = None
        self._busy = 0

    async def are_signed(self, chain_id: bytes, checks: list[Check]) -> bytes:
        """As `chain.node.checks.are_signed`; less where the processes failed."""
        return b"".join(await self._run(SIGNED, ((chain_id, checks[i : i + PIECE]) for i in range(0, len(checks), PIECE))))

    async def hash_blocks(self, blocks: list[Unhashed]) -> list[Hashed]:
        """As `chain.node.checks.hash_blocks`; less where the processes failed."""
        found = await self._run(HASHED, (([block],) for block in blocks))
        return [hashed for part in found for hashed in part]

    async def make_buckets(self, sent: list[Sent]) -> tuple[list[Made], list[int]] | None:
        """As `chain.node.checks.make_buckets`; None where the processes failed."""
        found = await self._run(MADE, ((sent[i : i + BUCKETS],) for i in range(0, len(sent), BUCKETS)))
        return (
            ([bucket for made, _ in found for bucket in made], [number for _, wrong in found for number in wrong])
            if found
            else None
        )

    async def make_snapshot(self, url: str, chain_id: bytes, path: str) -> int | str | None:
        """A snapshot's height, 0 where there is no block yet, or why there is none; None where the processes failed."""
        found: list[int | str] = await self._run(SNAPSHOT, [(url, chain_id, path)])
        return found[0] if found else None

    async def _run(self, task: int, work: Iterable[Any]) -> list[Any]:
        """In the other processes; empty where there are none, or where they failed."""
        if self._count < 2:
            return []
        loop = asyncio.get_running_loop()
        self._begin_work()
        try:
            pool = self._pool = self._pool or _Pool(self._count)
            pieces = [pool.submit(bytes((task,)) + encode(arguments)) for arguments in work]
            answers = await asyncio.gather(*map(asyncio.wrap_future, pieces))
            return [TASKS[task][2].decode(answer) for answer in answers]
        except (HelperDied, OSError) as fault:
            log.warning("the processes that help to catch up failed; the node does their work itself", why=repr(fault))
            self._count = 0
            self.close()
            return []
        finally:
            self._end_work(loop)

    def _begin_work(self) -> None:
        self._busy += 1
        if self._end is not None:
            self._end.cancel()
            self._end = None

    def _end_work(self, loop: asyncio.AbstractEventLoop) -> None:
        self._busy -= 1
        if self._busy == 0 and self._pool is not None:
            self._end = loop.call_later(IDLE_S, self.close)

    def close(self) -> None:
        """They end on their own, soon; nobody waits for them."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
        if self._pool is not None:
            self._pool.close()
            self._pool = None
