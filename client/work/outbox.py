"""The outbox: every message of worker and verifier, and every report of a double signing, reaches the ledger once, whatever happens
to this node meanwhile.

    put (durable) -> landed already? -> submit -> receipt -> done | refused | void
                        ^                 |
                        +---- dropped, expired, or this node was killed

What the ledger shows decides, not what this node remembers having sent: before every submission the state is asked whether the
message stands there already or can no longer have an effect. A message that goes out twice is refused the second time by the
ledger's own guards and changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from enum import Enum
from typing import Any, TypeVar

import structlog

from chain.codec import encode
from chain.contracts import decode_message
from chain.contracts.job import records
from chain.contracts.job.messages import Claim, CommitVote, OpenVote, Reveal, RevealKey
from chain.contracts.job.records import Job, State
from chain.contracts.job.records import Seat as SeatRecord
from chain.contracts.membership import Case, JudgeCase, ReportDouble, case_key, ejection_key, signer_of
from chain.errors import Code, InvalidTx
from chain.host import K_CHAIN, K_PARAMS, ChainRecord, Reader
from chain.params import Params
from client.core import Ledger
from client.work.book import Book, Intent, IntentState
from client.work.material import durably
from client.work.policy import own_claim

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


class Fate(Enum):
    """What the state says about a message."""

    STANDS = "it stands on the ledger"
    OPEN = "it can still take effect"
    TOO_LATE = "its time is over"
    DISPLACED = "another one of this node stands in its place"


def fate(reader: Reader, me: bytes, clock: int, op: Any) -> Fate:
    """Whether a message of ours took effect, still can, or no longer can."""
    if isinstance(op, JudgeCase):
        return _judged(reader, me, op)
    if isinstance(op, ReportDouble):
        return _reported(reader, op)
    job = reader.get(records.job_key(op.job))
    if not isinstance(job, Job):
        return Fate.TOO_LATE
    in_time = clock < job.deadline
    if isinstance(op, Claim):
        own = own_claim(reader, op.job, me)
        if own is not None and own.commitment == op.commitment:
            return Fate.STANDS
        return Fate.OPEN if job.state == State.OPEN and in_time else Fate.TOO_LATE
    if isinstance(op, Reveal):
        own = own_claim(reader, op.job, me)
        if own is not None and own.model:
            return Fate.STANDS
        return Fate.OPEN if job.state == State.REVEAL and in_time else Fate.TOO_LATE
    if isinstance(op, RevealKey):
        if job.key:
            return Fate.STANDS
        return Fate.OPEN if job.state == State.KEY and in_time else Fate.TOO_LATE
    return _voted(reader, me, job, op, in_time)


def _voted(reader: Reader, me: bytes, job: Job, op: Any, in_time: bool) -> Fate:
    if not isinstance(op, CommitVote | OpenVote):
        raise TypeError(f"the outbox does not know {type(op).__name__}")
    seat = reader.get(records.seat_key(op.job, op.audit, op.round, me))
    if not isinstance(seat, SeatRecord):
        return Fate.TOO_LATE
    now = (job.audit, job.round) == (op.audit, op.round) and in_time
    if isinstance(op, OpenVote):
        if seat.ballots:
            return Fate.STANDS
        return Fate.OPEN if now and job.state == State.COUNT else Fate.TOO_LATE
    if seat.commitment:
        return Fate.STANDS if seat.commitment == op.commitment else Fate.DISPLACED
    return Fate.OPEN if now and job.state == State.COMMIT else Fate.TOO_LATE


def _judged(reader: Reader, me: bytes, op: JudgeCase) -> Fate:
    case = reader.get(case_key(op.account))
    if not isinstance(case, Case):
        return Fate.TOO_LATE
    if me in (case.confirm if op.confirm else case.lift):
        return Fate.STANDS
    # A word by hand on the other side is not overruled by a rule of this node.
    return Fate.DISPLACED if me in (case.lift if op.confirm else case.confirm) else Fate.OPEN


def _reported(reader: Reader, op: ReportDouble) -> Fate:
    """LC-MEM-10: known once anybody's report is in a block, and of no use after `evidence_age` blocks."""
    chain, params, height = reader.get(K_CHAIN), reader.get(K_PARAMS), op.evidence.a.height
    if reader.get(ejection_key(signer_of(op.evidence), height)) is not None:
        return Fate.STANDS
    gone = not isinstance(chain, ChainRecord) or not isinstance(params, Params) or height + params.evidence_age <= chain.height
    return Fate.TOO_LATE if gone else Fate.OPEN


class Outbox:
    """Delivers the book's pending intents. `settled` is told of each end: (intent's key, job, state, note)."""

    def __init__(
        self,
        book: Book,
        ledger: Ledger,
        *,
        now: Callable[[], int],
        executor: Executor,
        settled: Callable[[str, bytes, IntentState, str], None],
    ) -> None:
        self.book, self._ledger, self._now, self._executor, self._settled = book, ledger, now, executor, settled
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Go on with what was pending when the node stopped."""
        for intent in await self._call(self.book.pending):
            self.deliver(intent)

    async def put(self, key: str, job: bytes, op: Any) -> None:
        """Have `op` on the ledger; a key that is known already changes nothing. Returns once it is durable."""
        intent = Intent(key, job, encode(op))
        if await durably(self._executor, lambda: self.book.put(intent, self._now())):
            self.deliver(intent)

    def deliver(self, intent: Intent) -> None:
        """Start (once) to deliver an intent that the book holds."""
        if intent.key not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._deliver(intent), name=f"outbox {intent.key}")
            self._tasks[intent.key] = task
            task.add_done_callback(lambda done: self._over(intent.key, done))

    def _over(self, key: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("an intent could not be delivered", intent=key, exc_info=task.exception())

    async def stop(self) -> None:
        """What is pending stays in the book."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def waiting(self) -> int:
        return len(self._tasks)

    # --- one intent ------------------------------------------------------------------------------------------------------------

    async def _deliver(self, intent: Intent) -> None:
        op = decode_message(intent.op)
        # What was sent before a restart is sent again at once: nobody may have heard of it, and twice does no harm.
        tx, sent_at, waits, patience, pause = b"", 0, 0, 1, RETRY_S
        while True:
            known = fate(self._ledger.state, self._ledger.own_id, self._ledger.clock, op)
            if known is not Fate.OPEN:
                state = IntentState.DONE if known is Fate.STANDS else IntentState.VOID
                await self._settle(intent, state, known.value)
                return
            try:
                if not tx or (waits >= patience and self._ledger.height > sent_at):
                    patience = min(2 * patience, MAX_WAITS) if tx and self._calm(op, 2 * patience) else 1
                    tx, sent_at, waits = await self._submit(intent, op), self._ledger.height, 0
                result = await self._ledger.result(tx, WAIT_S)
            except TimeoutError:
                waits, pause = waits + 1, RETRY_S  # it was taken: what comes next is another matter
                continue
            except InvalidTx as problem:
                # Dropped, expired or not taken now: the state says whether another try makes sense.
                log.info("a transaction was not taken", intent=intent.key, why=problem.text)
                tx, pause = b"", min(pause * 2, MAX_RETRY_S)
                await asyncio.sleep(self._in_time(op, pause))
                continue
            if result.code in COMES_AGAIN:
                tx, pause = b"", min(pause * 2, MAX_RETRY_S)
                await asyncio.sleep(pause)
                continue
            if result.code and fate(self._ledger.state, self._ledger.own_id, self._ledger.clock, op) is not Fate.STANDS:
                await self._settle(intent, IntentState.REFUSED, f"refused with code {result.code}")
            else:
                await self._settle(intent, IntentState.DONE, Fate.STANDS.value)
            return

    def _calm(self, op: Any, waits: int) -> bool:
        """The deadline is far enough away for waits of this length."""
        job = None if isinstance(op, JudgeCase | ReportDouble) else self._ledger.state.get(records.job_key(op.job))
        return not isinstance(job, Job) or job.deadline - self._ledger.clock > TRIES_LEFT * waits * WAIT_S * 1_000

    def _in_time(self, op: Any, pause: float) -> float:
        """Seconds to wait before another try: so few that `TRIES_LEFT` more fit before the deadline."""
        job = None if isinstance(op, JudgeCase | ReportDouble) else self._ledger.state.get(records.job_key(op.job))
        if not isinstance(job, Job):
            return pause
        return max(RETRY_S, min(pause, (job.deadline - self._ledger.clock) / 1_000 / TRIES_LEFT))

    async def _submit(self, intent: Intent, op: Any) -> bytes:
        tx = await self._ledger.submit([op], urgent=True)
        await durably(self._executor, lambda: self.book.sent(intent.key, tx, self._now()))
        return tx

    async def _settle(self, intent: Intent, state: IntentState, note: str) -> None:
        await durably(self._executor, lambda: self.book.settle(intent.key, state, note, self._now()))
        log.info("intent settled", intent=intent.key, state=state.name.lower(), note=note)
        self._settled(intent.key, intent.job, state, note)

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
