"""Evidence of double signing that this node found: on its disk before it is sent, and sent until it is in a block or is too old.

A full pool, a restart or a lost transaction must not let off a validator that contradicted itself: nobody else may have seen both
signatures. Most nodes never find any: nothing is opened before there is something to keep.

    found --> in memory --(the file opens, and takes it)--> on the disk --> sent, again and again --> in a block, or too old
                   ^               |
                   +-- not now <---+-- its content is wrong: set aside, whole, beside what was set aside before; a new one

A file that cannot be opened now (rights, descriptors, a lock, the disk) stays as it is and is tried again, with pauses that grow.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from learningchain.chain.contracts import REGISTRY
from learningchain.chain.storage import private
from learningchain.chain.types import Evidence, signer_of
from learningchain.client.node.interface import Ledger

if TYPE_CHECKING:
    from learningchain.client.work.database import WorkDatabase
    from learningchain.client.work.outbox import Outbox

log: Any = structlog.get_logger("reports")

RETRY_S, MAX_RETRY_S = 1.0, 60.0
MAX_OF_ONE = 8
"""Reports about one validator that wait for the disk; one that goes through has it leave."""
MAX_ASIDE = 16
"""Files that were set aside. One more is not: it stays where it is until somebody looks at them."""


class Reports:
    """LC-CON-17: the reports of one node, in a database of their own at `path`. All methods are for the event loop's thread.

    `tell` is given why reports cannot be kept at present, and an empty text once they can."""

    def __init__(
        self, path: Path, ledger: Ledger, executor: Executor | None = None, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self._path, self._ledger = path, ledger
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="reports")
        self._outbox: Outbox | None = None
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._unkept: set[tuple[bytes, int]] = set()
        """Validator and height of what is not on the disk yet."""
        self._tell_operator = tell

    def start(self) -> None:
        """Go on with what was in no block when the node stopped. The ledger takes transactions by now."""
        try:
            os.lstat(self._path)
        except FileNotFoundError:
            return
        except OSError as fault:
            log.warning("it cannot be said whether there are reports of double signing", why=str(fault))
        self._spawn(self._open())

    def report(self, evidence: Evidence) -> None:
        """One report for a validator and a height: more would be refused (LC-MEM-10)."""
        validator, height = signer_of(evidence), evidence.a.height
        if (validator, height) in self._unkept:
            return
        if sum(of == validator for of, _ in self._unkept) >= MAX_OF_ONE:
            log.warning("enough reports about this validator wait for the disk", validator=validator.hex(), height=height)
            return
        self._unkept.add((validator, height))
        self._spawn(self._keep(evidence, validator, height))

    @property
    def waiting(self) -> int:
        """Reports that are kept, and in no block yet."""
        return self._outbox.waiting if self._outbox is not None else 0

    async def stop(self) -> None:
        """What is in no block yet stays in the database."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._outbox is not None:
            await self._outbox.stop()
            await self._call(self._outbox.database.close)
        self._executor.shutdown(wait=False)

    async def _keep(self, evidence: Evidence, validator: bytes, height: int) -> None:
        from learningchain.client.work.events import Submit

        try:
            outbox = await self._open()
            report = REGISTRY.report(evidence)
            if report is not None:
                await outbox.submit(Submit(report[0], f"double:{validator.hex()}:{height}", b"", report[1]))
        finally:
            self._unkept.discard((validator, height))

    async def _open(self) -> Outbox:
        """However many tries it takes."""
        from learningchain.client.work.database import WorkDatabaseError

        async with self._opening:
            pause = RETRY_S
            while self._outbox is None:
                try:
                    self._outbox = await self._try_to_open()
                    self._tell("")
                except (WorkDatabaseError, OSError, sqlite3.Error) as fault:
                    why = str(fault.__cause__ or fault)  # of the machine: what a lost work database costs is no matter here
                    log.error("reports of double signing cannot be opened; trying again", why=why, again_in_s=pause)
                    self._tell(why)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, MAX_RETRY_S)
            return self._outbox

    async def _try_to_open(self) -> Outbox:
        from learningchain.client.work.machine import find_slices, ledger_statuses_of
        from learningchain.client.work.outbox import Outbox

        opened = await self._call(self._database)
        statuses = ledger_statuses_of(find_slices())
        outbox = Outbox(opened, self._ledger, statuses, now=_now, executor=self._executor, settled=lambda *_: None, tell=self._tell)
        try:
            await outbox.start()
        except BaseException:
            await self._call(opened.close)
            raise
        return outbox

    def _database(self) -> WorkDatabase:
        """Blocks."""
        from learningchain.client.work.database import WorkDatabase, WrongContent

        try:
            return WorkDatabase(self._path, self._ledger.chain_id, self._ledger.own_id)
        except WrongContent as fault:
            aside = _set_aside(self._path)
            log.error("reports of double signing cannot be read; they are set aside", why=str(fault), file=str(aside))
            return WorkDatabase(self._path, self._ledger.chain_id, self._ledger.own_id)

    def _tell(self, why: str) -> None:
        text = (
            f"evidence that a validator signed twice cannot be read from {self._path}, nor be kept there: {why}. Nothing was "
            f"overwritten, and it is tried again by itself; {len(self._unkept)} report(s) wait in memory while the node runs"
        )
        self._tell_operator(text if why else "")

    async def _call(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a report of double signing could not be kept", exc_info=task.exception())


def _set_aside(path: Path) -> Path:
    """Give the database, and what SQLite keeps beside it, a name that nothing has. Raises OSError."""
    for number in range(MAX_ASIDE):
        aside = path.with_suffix(f".damaged-{number + 1}" if number else ".damaged")
        # The log first: SQLite drops one that it finds beside a new file.
        names = [(f"{path}{end}", f"{aside}{end}") for end in ("-wal", "-shm", "-journal", "")]
        if any(os.path.lexists(to) for _, to in names):
            continue
        for name, to in names:
            with contextlib.suppress(FileNotFoundError):
                os.rename(name, to)
        private.sync_folder(path.parent)
        return aside
    why = f"its content is wrong, and {MAX_ASIDE} such files lie beside it: look at them, keep what you need elsewhere, remove them"
    raise OSError(errno.EEXIST, why, str(path))


def _now() -> int:
    return time.time_ns() // 1_000_000
