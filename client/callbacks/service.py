"""The callbacks of a running node: targets are added, blocks followed, rows delivered. One event loop; the disk has a thread.

Nothing here holds up the loop that votes: of a block it asks a set for each event, and a file and a socket wait elsewhere. A disk
that fails costs time, never a row: the blocks are read again.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import structlog

from learningchain.chain.node.events import Decided
from learningchain.client.addresses import CallbackUrl
from learningchain.client.callbacks.database import CallbackDatabase, CallbackRow, CallbackTarget, NewRow, RowState, TargetState
from learningchain.client.callbacks.following import TEST, CallbackEvents, CallbackPart, Json, body_of
from learningchain.client.callbacks.posting import Caller, PostOutcome, Told
from learningchain.client.callbacks.schedule import CallbackSchedule
from learningchain.client.callbacks.signatures import new_secret
from learningchain.client.keys.tokens import TokenError
from learningchain.client.node.interface import Ledger, Past
from learningchain.client.node.ledger import VALID_FOR

if TYPE_CHECKING:
    from learningchain.client.work.events import Secret

    KeptSecretsOf = Callable[[str, bytes], Awaitable[list[Secret]]]
    """(kind, how the key begins) -> what this node's work keeps."""

log: Any = structlog.get_logger("callbacks")

T = TypeVar("T")

HEIGHT_EVERY: Final = 256
"""Blocks without a row after which the height is kept, so that a restart reads few."""
PRUNE_S: Final = 3_600.0
LONGEST_S: Final = 60.0
"""Then the wall clock is looked at again: it may have been set."""
STATE_AT_ONCE: Final = 16
"""References whose state is looked at before the loop goes on."""
TESTS_AT_ONCE: Final = 4


@dataclass(frozen=True)
class RetryTimes:
    """Milliseconds: the first wait, the longest, and how long an event is tried before it is given up. `disk`: after a fault of the
    disk."""

    first: int = 1_000
    most: int = 3_600_000
    until: int = 3 * 24 * 3_600_000
    disk: int = 5_000

    def wait(self, attempts: int) -> int:
        """After so many attempts that failed, this one among them."""
        return min(self.most, self.first << min(attempts - 1, 32))


class BlockLog(Protocol):
    """The blocks of this node's store."""

    async def noted(self, height: int) -> tuple[int, list[Any]] | None:
        """The time of a block (milliseconds) and its events in order. None where it is not kept here."""
        ...

    async def archived(self, refs: Sequence[bytes]) -> Mapping[bytes, Past]:
        """Those of the references that left the state while this node followed it."""
        ...


async def _keeps_nothing(kind: str, beginning: bytes) -> list[Secret]:
    return []


class CallbackService:
    """All methods are for the event loop's thread. `now`: wall clock, milliseconds."""

    def __init__(
        self,
        path: Path,
        ledger: Ledger,
        blocks: BlockLog,
        sources: dict[str, CallbackPart],
        caller: Caller,
        *,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        times: RetryTimes | None = None,
        why_not: Callable[[str, int], str | None] = lambda owner, now: None,
        kept: KeptSecretsOf = _keeps_nothing,
    ) -> None:
        """`why_not`: why the token with this id is good for nothing any more, at a time; None where it is good, or not known."""
        self._path, self._ledger, self._blocks, self._caller, self._now = path, ledger, blocks, caller, now
        self._times, self._why_not, self._kept = times or RetryTimes(), why_not, kept
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="callbacks")
        self._events = CallbackEvents(ledger.chain_id, sources)
        self._sources = sources
        self._schedule = CallbackSchedule()
        self._fresh: set[bytes] = set()
        """References with something new while an attempt of theirs runs: it may have looked before."""
        self._poked, self._caught_up = asyncio.Event(), asyncio.Event()
        self._tests = asyncio.Semaphore(TESTS_AT_ONCE)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._database: CallbackDatabase | None = None
        self.attempts: Counter[str] = Counter()
        """Since the start, by how they ended (`Told`)."""
        self._counts: dict[str, int] = {}

    # --- life ------------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Go on with what waited when the node stopped. Raises `CallbackDatabaseError`."""
        chain_id, own = self._ledger.chain_id, self._ledger.own_id
        self._database = await self._call(lambda: CallbackDatabase(self._path, chain_id, own))
        self._events.waiting = {ref: source for ref, source in await self._call(self._db.open_targets) if source in self._sources}
        now = self._now()
        for ref, url, due in await self._call(self._db.heads):
            # A clock that was set back must not make a row wait longer than it could have.
            self._put(ref, url, min(due, now + self._times.most))
        self._counts = await self._call(self._db.counts)
        stream = self._ledger.committed()
        self._spawn(self._follow(stream))
        self._spawn(self._deliver())
        self._spawn(self._prune())

    async def stop(self) -> None:
        """What was not delivered waits on the disk."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._database is not None:
            await self._call(self._database.close)
            self._database = None
        self._executor.shutdown(wait=False)

    @property
    def _db(self) -> CallbackDatabase:
        if self._database is None:
            raise RuntimeError("callbacks were used before the node started")
        return self._database

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a part of the callbacks failed", exc_info=task.exception())

    # --- what users ask --------------------------------------------------------------------------------------------------------

    @property
    def sources(self) -> list[str]:
        """The contracts whose events are told."""
        return sorted(self._sources)

    def check(self, source: str, url: str) -> None:
        """Raises `UrlRefused`, or KeyError for a source that there is not."""
        self._sources[source]
        CallbackUrl.parse(url, self._caller.allowed)

    async def add(self, source: str, ref: bytes, url: str, secret: bytes | None, owner: str, *, own: bool = False) -> bytes | None:
        """Have what happens to a reference told, also what has happened already. On the disk when this returns: the secret, new
        where none was given; None where the reference has a target already. `own`: its message leaves this node next.

        Raises `UrlRefused`, `TooManyTargets`, KeyError for a source that there is not."""
        self.check(source, url)
        used = secret or new_secret()
        height, part = self._ledger.height, self._sources[source]
        known = own or (part.leaving is not None and part.leaving.knows(self._ledger.state, ref))
        target = CallbackTarget(ref, source, url, used, owner, self._now(), known=known)
        if not await self._call(lambda: self._db.add(target, height)):
            return None
        self._events.waiting[ref] = source
        await self._note(await self._of_state(ref), None)
        return used

    async def remove(self, ref: bytes) -> None:
        """Nothing more is told of it, and nothing kept. An attempt that is under way ends by itself."""
        self._events.waiting.pop(ref, None)
        self._schedule.drop(ref)
        await self._call(lambda: self._db.remove(ref))
        await self._count()

    async def retry(self, ref: bytes) -> int:
        """Try now what waits or was given up, for as long as at first. How many events that is: none of a token that is revoked."""
        now = self._now()
        await self.show(ref)  # ends it where its token has ended
        count = await self._call(lambda: self._db.again(ref, now))
        target = await self._call(lambda: self._db.target(ref))
        if count and target is not None:
            self._put(ref, target.url, now)
            if not target.last and target.source in self._sources:
                self._events.waiting[ref] = target.source
                await self._note(await self._of_state(ref), None)
        await self._count()
        return count

    async def test(self, url: str, secret: bytes) -> PostOutcome:
        """One event of the name `test` now, which is not kept. Raises `UrlRefused`."""
        CallbackUrl.parse(url, self._caller.allowed)
        name, at = secrets.token_bytes(16), self._now()
        body = body_of("callback", TEST, self._ledger.chain_id, name, self._ledger.height, at, {})
        async with self._tests:
            return await self._caller.post(url, secret, f"{name.hex()}:{TEST}", at // 1_000, body)

    async def show(self, ref: bytes) -> tuple[CallbackTarget, list[CallbackRow]] | None:
        target = await self._call(lambda: self._db.target(ref))
        if target is not None and await self._revoked(target.owner):
            target = await self._call(lambda: self._db.target(ref))
        return None if target is None else (target, await self._call(lambda: self._db.rows(ref)))

    async def targets(self, owner: str | None, limit: int, before: tuple[int, bytes] | None = None) -> list[CallbackTarget]:
        """The newest first; None: everybody's. `before`: when the last one of the page before was made, and its reference."""
        await self._end_of_tokens()
        return await self._call(lambda: self._db.targets(owner, limit, before))

    # --- tokens that end -------------------------------------------------------------------------------------------------------

    async def _end_of_tokens(self) -> None:
        """Callbacks live no longer than the token that asked for them."""
        for owner in await self._call(self._db.owners):
            await self._revoked(owner)

    async def _revoked(self, owner: str) -> bool:
        """Whether the token is good for nothing any more; what it asked for has ended then. Raises what `why_not` does."""
        now = self._now()
        why = self._why_not(owner, now) if owner else None
        if why is None:
            return False
        for ref in await self._call(lambda: self._db.revoke(owner, f"token {owner} asked for this, and {why}", now)):
            self._events.waiting.pop(ref, None)
            self._schedule.drop(ref)
        await self._count()
        return True

    def metrics(self) -> Json:
        """Rows by state, attempts since the start by end, and attempts that run."""
        return {"rows": dict(self._counts), "attempts": dict(self.attempts), "running": self._schedule.running}

    # --- from blocks to rows ---------------------------------------------------------------------------------------------------

    async def _follow(self, stream: Any) -> None:
        """The stream was subscribed to before: what it does not bring is in the store by now."""
        while True:
            try:
                await self._catch_up()
                async for block in stream:
                    await self._look(block)
            except LookupError as gap:
                log.warning("callbacks fell behind and read the blocks from the store", why=str(gap))
            except Exception as fault:
                log.error("blocks could not be read for callbacks; they are read again", exc_info=fault)
            stream = self._ledger.committed()
            await asyncio.sleep(self._times.disk / 1_000)

    async def _catch_up(self) -> None:
        """The blocks between those that were read and the newest. Where one is not kept, the state tells."""
        if self._events.waiting:
            await self._read_blocks()
        self._caught_up.set()

    async def _read_blocks(self) -> None:
        height = await self._call(lambda: self._db.height) + 1
        while height <= self._ledger.height:
            found = await self._blocks.noted(height)
            if found is None:
                await self._look_at_state()
                height = self._ledger.height + 1
                continue
            await self._note(await self._of_block(height, *found), height)
            height += 1

    async def _look_at_state(self) -> None:
        height = self._ledger.height
        for number, ref in enumerate(list(self._events.waiting)):
            await self._note(await self._of_state(ref), None)
            if number % STATE_AT_ONCE == 0:
                await asyncio.sleep(0)
        await self._note([], height)

    async def _look_for_lost(self) -> None:
        """References that are neither in the state nor among what left it here end, as soon as their messages can come no more:
        they left in blocks that this node has not (it took a snapshot, or was restored), or never came."""
        for number, ref in enumerate(list(self._events.waiting)):
            if number % STATE_AT_ONCE == 0:
                await asyncio.sleep(0)
            if self._events.knows(self._ledger.state, ref) is not False:
                continue
            if (past := (await self._blocks.archived([ref])).get(ref)) is not None:
                await self._note(await self._of_state(ref, past.reader), None)
            elif (found := await self.show(ref)) is not None and self._ledger.height > found[0].height + VALID_FOR:
                target, rows = found
                known = target.created if target.known else None
                told = [row.event for row in rows]
                await self._note(self._events.lost(self._ledger.state, ref, told, known, self._ledger.clock), None)

    async def _look(self, block: Decided) -> None:
        if not self._events.waiting:
            return
        events = self._events.waited(event for _, receipt in block.executed_blocks() for event in receipt.events)
        rows = await self._of_block(block.height, block.header.time, events) if events else []
        if rows or block.height % HEIGHT_EVERY == 0:
            await self._note(rows, block.height)

    async def _of_block(self, height: int, time_ms: int, events: list[Any]) -> list[NewRow]:
        found = self._events.waited(events)
        secrets = await self._secrets({event.ref for event in found})
        return self._events.of_block(self._ledger.state, height, time_ms, found, secrets)

    async def _of_state(self, ref: bytes, reader: Any = None) -> list[NewRow]:
        """From the state, or from what left it."""
        reader = self._ledger.state if reader is None else reader
        secrets = await self._secrets({ref}, reader)
        return self._events.of_state(reader, ref, self._ledger.clock, secrets)

    async def _secrets(self, refs: set[bytes], reader: Any = None) -> dict[bytes, bytes]:
        """What this node keeps that makes plain what is told, by reference."""
        found: dict[bytes, bytes] = {}
        for ref in refs:
            wanted = self._events.secret_of(self._ledger.state if reader is None else reader, ref)
            if wanted is not None and (kept := await self._kept(*wanted)):
                found[ref] = kept[0].blob
        return found

    async def _note(self, rows: list[NewRow], height: int | None) -> None:
        """On the disk when this returns, however long the disk refuses."""
        if not rows and height is None:
            return
        while True:
            try:
                added = await self._call(lambda: self._db.note(rows, height, self._now()))
                break
            except sqlite3.Error as fault:
                log.error("callbacks could not be kept; it is tried again", why=str(fault))
                await asyncio.sleep(self._times.disk / 1_000)
        for row in rows:
            if row.last:
                self._events.waiting.pop(row.ref, None)
        for ref in dict.fromkeys(row.ref for row in added):
            target = await self._call(lambda ref=ref: self._db.head(ref))  # type: ignore[misc]
            if target is not None:
                self._put(ref, target[0].url, target[1].due)
        if added:
            await self._count()

    # --- delivery --------------------------------------------------------------------------------------------------------------

    def _put(self, ref: bytes, url: str, due: int) -> None:
        if self._schedule.runs(ref):
            self._fresh.add(ref)
            return
        self._schedule.put(ref, self._origin(url), due)
        self._poked.set()

    def _origin(self, url: str) -> str:
        try:
            return CallbackUrl.parse(url, self._caller.allowed).origin
        except Exception:
            return url  # its attempt says what is wrong with it

    async def _deliver(self) -> None:
        while True:
            self._poked.clear()
            while (ref := self._schedule.take(self._now())) is not None:
                self._spawn(self._attempt(ref))
            due = self._schedule.next_due()
            wait = None if due is None else min(LONGEST_S, max(0, due - self._now()) / 1_000)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._poked.wait()

    async def _attempt(self, ref: bytes) -> None:
        """One attempt of the oldest row; whatever happens, the place is given back."""
        well, again = True, None
        try:
            well, again = await self._try(ref)
        except Exception as fault:
            log.error("what became of a callback could not be kept; it is sent again", why=repr(fault))
            again = self._now() + self._times.disk
        finally:
            if ref in self._fresh and again is None:
                again = self._now()
            self._fresh.discard(ref)
            self._schedule.done(ref, well=well, again=again)
            self._poked.set()

    async def _try(self, ref: bytes) -> tuple[bool, int | None]:
        """Whether the host did well, and when the reference's next row, or the same, is due."""
        head = await self._call(lambda: self._db.head(ref))
        if head is None:
            return True, None
        target, row = head
        if await self._revoked(target.owner):
            return True, None
        outcome = await self._caller.post(target.url, target.secret, row.id, self._now() // 1_000, row.body)
        self.attempts[outcome.end.value] += 1
        now = self._now()
        if outcome.end is Told.GONE:
            self._events.waiting.pop(ref, None)
            await self._call(lambda: self._db.gone(row, outcome.status, outcome.note, now))
        else:
            state, due = self._after(row, outcome, now)
            await self._call(lambda: self._db.tried(row, state, due, outcome.status, outcome.note, now))
        if outcome.end is not Told.TOLD:
            log.info("a callback was not taken", ref=ref.hex(), about=row.event, attempts=row.attempts + 1, why=outcome.note)
        await self._count()
        following = await self._call(lambda: self._db.head(ref))
        return outcome.end is not Told.FAILED, None if following is None else following[1].due

    def _after(self, row: CallbackRow, outcome: PostOutcome, now: int) -> tuple[RowState, int]:
        if outcome.end is Told.TOLD:
            return RowState.DELIVERED, row.due
        due = now + self._times.wait(row.attempts + 1)
        if due >= row.created + self._times.until:
            log.warning("a callback is given up: nobody took it", ref=row.ref.hex(), about=row.event, why=outcome.note)
            return RowState.GIVEN_UP, row.due
        return RowState.WAITING, due

    async def _count(self) -> None:
        self._counts = await self._call(self._db.counts)

    async def _prune(self) -> None:
        await self._caught_up.wait()
        while True:
            before = set(self._events.waiting)
            try:
                await self._call(lambda: self._db.prune(self._now()))
                await self._end_of_tokens()
                await self._look_for_lost()
                still = {ref for ref, _ in await self._call(self._db.open_targets)}
                await self._count()
            except (sqlite3.Error, TokenError) as fault:
                log.error("callbacks that ended could not be forgotten", why=str(fault))
            else:
                for ref in before - still:
                    self._events.waiting.pop(ref, None)
            await asyncio.sleep(PRUNE_S)


def shown(target: CallbackTarget, rows: list[CallbackRow]) -> Json:
    """A target and its rows as people and programs see them; the secret is not among it."""
    return {
        "ref": target.ref.hex(),
        "source": target.source,
        "url": target.url,
        "state": TargetState(target.state).name.lower(),
        "token": target.owner,
        "created": target.created,
        "events": [
            {
                "event": row.event,
                "state": row.state.name.lower(),
                "attempts": row.attempts,
                "due": row.due if row.state is RowState.WAITING else None,
                "status": row.status or None,
                "note": row.note,
                "changed": row.changed,
            }
            for row in rows
        ],
    }
