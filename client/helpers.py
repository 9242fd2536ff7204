"""Processes that check signatures and hash blocks while the node goes on: for catching up, where thousands wait at once.

The driver starts them when they are needed; they end when nobody needed them for a while, so a quiet node has none. A machine with
one processor has none either, and where they fail the node does the work itself.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.connection import wait
from typing import Any, TypeVar

import structlog

from chain.node.checks import Check, Hashed, Unhashed, are_signed, hash_blocks

T = TypeVar("T")
log: Any = structlog.get_logger("helpers")

MOST = 8
IDLE_S = 10.0
PIECE = 512
"""Checks that one process takes at a time: about 25 ms."""


def _begin() -> None:
    """In the new process: it ends with the node, however that ends, and leaves the keyboard's signals to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def end() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(0)

    threading.Thread(target=end, daemon=True).start()


class Helpers:
    def __init__(self) -> None:
        self._count = min(MOST, len(os.sched_getaffinity(0)))
        self._pool: ProcessPoolExecutor | None = None
        self._end: asyncio.TimerHandle | None = None
        self._busy = 0

    async def are_signed(self, chain_id: bytes, checks: list[Check]) -> bytes:
        """As `chain.node.checks.are_signed`; less where the processes failed."""
        pieces = [checks[i : i + PIECE] for i in range(0, len(checks), PIECE)]
        return b"".join(await self._run([partial(are_signed, chain_id, piece) for piece in pieces]))

    async def hash_blocks(self, blocks: list[Unhashed]) -> list[Hashed]:
        """As `chain.node.checks.hash_blocks`; less where the processes failed."""
        half = (len(blocks) + 1) // 2
        found = await self._run([partial(hash_blocks, part) for part in (blocks[:half], blocks[half:]) if part])
        return [hashed for part in found for hashed in part]

    async def _run(self, work: list[Callable[[], T]]) -> list[T]:
        """In the other processes; empty where there are none, or where they failed."""
        if self._count < 2:
            return []
        loop = asyncio.get_running_loop()
        self._begin_work()
        try:
            pool = self._pool = self._pool or ProcessPoolExecutor(self._count, multiprocessing.get_context("spawn"), _begin)
            return await asyncio.gather(*(loop.run_in_executor(pool, piece) for piece in work))
        except (BrokenProcessPool, OSError) as fault:
            log.warning("the processes that help to catch up failed; the node does their work itself", why=str(fault))
            self._count = 0
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
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
