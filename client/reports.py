"""Evidence of double signing that this node found: on its disk before it is sent, and sent until it is in a block or is too old.

A full pool, a restart or a lost transaction must not let off a validator that contradicted itself: nobody else may have seen both
signatures. Most nodes never find any: nothing is opened before there is something to keep.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from chain.contracts import REGISTRY
from chain.types import Evidence, signer_of
from client.core import Ledger

if TYPE_CHECKING:
    from client.work.outbox import Outbox

log: Any = structlog.get_logger("reports")


class Reports:
    """LC-CON-17: the reports of one node, in a database of their own at `path`. All methods are for the event loop's thread."""

    def __init__(self, path: Path, ledger: Ledger, executor: Executor | None = None) -> None:
        self._path, self._ledger = path, ledger
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="reports")
        self._outbox: Outbox | None = None
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        """Go on with what was in no block when the node stopped. The ledger takes transactions by now."""
        if self._path.exists():
            self._spawn(self._open())

    def report(self, evidence: Evidence) -> None:
        """One report for a validator and a height: more would be refused (LC-MEM-10)."""
        self._spawn(self._keep(evidence))

    @property
    def waiting(self) -> int:
        """Reports that are in no block yet."""
        return self._outbox.waiting if self._outbox is not None else 0

    async def stop(self) -> None:
        """What is in no block yet stays in the database."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._outbox is not None:
            await self._outbox.stop()
            await asyncio.get_running_loop().run_in_executor(self._executor, self._outbox.database.close)
        self._executor.shutdown(wait=False)

    async def _keep(self, evidence: Evidence) -> None:
        from client.work.events import Submit

        outbox = await self._open()
        key = f"double:{signer_of(evidence).hex()}:{evidence.a.height}"
        report = REGISTRY.report(evidence)
        if report is not None:
            await outbox.submit(Submit(report[0], key, b"", report[1]))

    async def _open(self) -> Outbox:
        from client.work.database import WorkDatabase, WorkDatabaseError
        from client.work.machine import find_slices, ledger_statuses_of
        from client.work.outbox import Outbox

        async with self._opening:
            if self._outbox is not None:
                return self._outbox

            def database() -> WorkDatabase:
                try:
                    return WorkDatabase(self._path, self._ledger.chain_id, self._ledger.own_id)
                except WorkDatabaseError as fault:
                    log.error("reports of double signing cannot be read; they are set aside", why=str(fault))
                    os.replace(self._path, self._path.with_suffix(".damaged"))
                    return WorkDatabase(self._path, self._ledger.chain_id, self._ledger.own_id)

            opened = await asyncio.get_running_loop().run_in_executor(self._executor, database)
            statuses = ledger_statuses_of(find_slices())
            outbox = Outbox(opened, self._ledger, statuses, now=_now, executor=self._executor, settled=lambda *_: None)
            await outbox.start()
            self._outbox = outbox
            return outbox

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a report of double signing could not be kept", exc_info=task.exception())


def _now() -> int:
    return time.time_ns() // 1_000_000
