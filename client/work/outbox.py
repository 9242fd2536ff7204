"""The outbox: every message of the work machines, and every report of a double signing, reaches the ledger once, whatever
happens to this node meanwhile.

    put (durable) -> landed already? -> submit -> receipt -> done | refused | void
                        ^                 |
                        +---- dropped, expired, or this node was killed

What the ledger shows decides, not what this node remembers having sent: before every submission the message's contract says from
the state whether it stands there already or can no longer have an effect (`statuses`). A message that goes out twice is refused the
second time by the ledger's own guards and changes nothing.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

import structlog

from learningchain.chain.codec import encode
from learningchain.chain.contracts import decode_message
from learningchain.chain.errors import Code, InvalidTx
from learningchain.client.keys.signing import SignerUnavailable
from learningchain.client.node.interface import Ledger
from learningchain.client.work.artifacts import durably, in_thread
from learningchain.client.work.database import Intent, IntentState, WorkDatabase, WorkDatabaseError
from learningchain.client.work.events import SecretRefused, SecretStored, Submit
from learningchain.client.work.machine import LedgerStatus, LedgerStatusOf

log = structlog.get_logger(__name__)

T = TypeVar("T")

WAIT_S = 4.0
"""How long one wait for a receipt lasts before the state is asked again."""
MAX_WAITS = 8
"""A transaction that is not in the chain after one wait, in which the chain went on, is taken for lost and sent again; then after
two waits, and so on up to this many: a chain that is behind must not be fed copies. Near a deadline one wait is always enough."""
TRIES_LEFT = 6
"""So many further tries must fit before the deadline, or the waits do not grow."""
RETRY_S, MAX_RETRY_S = 0.5, 15.0
COMES_AGAIN = frozenset({Code.NOT_ALLOWED})
"""Refusals that say "not in this block": the set of validators changes once in a block (LC-MEM-11)."""


class Outbox:
    """Delivers the database's pending intents. `settled` is told of each end: (intent, state, note); `tell` why the database does
    not take a message, and an empty text once it does."""

    def __init__(
        self,
        database: WorkDatabase,
        ledger: Ledger,
        statuses: Mapping[type, LedgerStatusOf],
        *,
        now: Callable[[], int],
        executor: Executor,
        settled: Callable[[Intent, IntentState, str], None],
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.database, self._ledger, self._statuses, self._now, self._executor = database, ledger, statuses, now, executor
        self._settled, self._tell = settled, tell
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Go on with what was pending when the node stopped."""
        for intent in await self._call(self.database.pending):
            self._start(intent, None)

    async def submit(self, wanted: Submit) -> SecretStored | SecretRefused | None:
        """Have a message on the ledger. Returns once it is durable: with its secret (SecretStored) or alone (None).

        Without a secret it is tried until the disk takes it; with one a disk that refuses answers SecretRefused.
        """
        intent, secret = Intent(wanted.kind, wanted.key, wanted.ref, encode(wanted.op)), wanted.secret
        if secret is None:
            if await durably(self._executor, lambda: self.database.put(intent, self._now()), self._tell):
                self._start(intent, wanted.op)
            return None
        try:
            kept = await in_thread(self._executor, lambda: self.database.put_with(secret, intent, self._now()))
        except (sqlite3.Error, WorkDatabaseError) as problem:
            log.error("a message could not be stored and is not sent", intent=wanted.key, why=str(problem))
            return SecretRefused(secret)
        if kept.blob == secret.blob:
            self._start(intent, wanted.op)
        else:  # another one was stored before: that one counts
            first = await durably(self._executor, lambda: self.database.intent(wanted.kind, wanted.key))
            if first is not None:
                self._start(first, None)
        return SecretStored(kept)

    def _start(self, intent: Intent, op: Any) -> None:
        """Deliver (once) an intent that the database holds. `op`: its message, None where that is to be decoded."""
        place = intent.kind, intent.key
        if place not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._deliver(intent, op), name=f"outbox {intent.key}")
            self._tasks[place] = task
            task.add_done_callback(lambda done: self._over(place, done))

    def _over(self, place: tuple[str, str], task: asyncio.Task[None]) -> None:
        self._tasks.pop(place, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("an intent could not be delivered", intent=place[1], exc_info=task.exception())

    async def stop(self) -> None:
        """What is pending stays in the database."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def waiting(self) -> int:
        return len(self._tasks)

    # --- one intent ------------------------------------------------------------------------------------------------------------

    def _status_of(self, op: Any) -> tuple[LedgerStatus, int | None]:
        says = self._statuses.get(type(op))
        if says is None:
            raise TypeError(f"no contract says what becomes of a {type(op).__name__}")
        return says(self._ledger.state, self._ledger.own_id, self._ledger.clock, op)

    async def _deliver(self, intent: Intent, op: Any) -> None:
        op = decode_message(intent.op) if op is None else op
        # What was sent before a restart is sent again at once: nobody may have heard of it, and twice does no harm.
        tx, sent_at, waits, patience, pause = b"", 0, 0, 1, RETRY_S
        while True:
            known, deadline = self._status_of(op)
            if known is not LedgerStatus.OPEN:
                state = IntentState.DONE if known is LedgerStatus.STANDS else IntentState.VOID
                await self._settle(intent, state, known.value)
                return
            try:
                if not tx or (waits >= patience and self._ledger.height > sent_at):
                    patience = min(2 * patience, MAX_WAITS) if tx and self._has_time(deadline, 2 * patience) else 1
                    tx, sent_at, waits = await self._submit(intent, op), self._ledger.height, 0
                result = await self._ledger.result(tx, WAIT_S)
            except TimeoutError:
                waits, pause = waits + 1, RETRY_S  # it was taken: what comes next is another matter
                continue
            except (InvalidTx, SignerUnavailable) as problem:
                # Dropped, expired, not taken or not signed now: the state says whether another try makes sense.
                log.info("a transaction was not taken", intent=intent.key, why=str(problem))
                tx, pause = b"", min(pause * 2, MAX_RETRY_S)
                await asyncio.sleep(self._in_time(deadline, pause))
                continue
            if result.code in COMES_AGAIN:
                tx, pause = b"", min(pause * 2, MAX_RETRY_S)
                await asyncio.sleep(pause)
                continue
            if result.code and self._status_of(op)[0] is not LedgerStatus.STANDS:
                await self._settle(intent, IntentState.REFUSED, f"refused with code {result.code}")
            else:
                await self._settle(intent, IntentState.DONE, LedgerStatus.STANDS.value)
            return

    def _has_time(self, deadline: int | None, waits: int) -> bool:
        """The deadline is far enough away for waits of this length."""
        return deadline is None or deadline - self._ledger.clock > TRIES_LEFT * waits * WAIT_S * 1_000

    def _in_time(self, deadline: int | None, pause: float) -> float:
        """Seconds to wait before another try: so few that `TRIES_LEFT` more fit before the deadline."""
        if deadline is None:
            return pause
        return max(RETRY_S, min(pause, (deadline - self._ledger.clock) / 1_000 / TRIES_LEFT))

    async def _submit(self, intent: Intent, op: Any) -> bytes:
        tx = await self._ledger.submit([op], urgent=True)
        await durably(self._executor, lambda: self.database.sent(intent, tx, self._now()))
        return tx

    async def _settle(self, intent: Intent, state: IntentState, note: str) -> None:
        await durably(self._executor, lambda: self.database.settle(intent, state, note, self._now()))
        log.info("intent settled", intent=intent.key, state=state.name.lower(), note=note)
        self._settled(intent, state, note)

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
