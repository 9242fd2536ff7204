"""Asks a model about a whole table, and goes on where it stopped: no row is paid twice, none is left out.

Beside the answers' file lies its journal, a line of JSON for each step, on the disk before the next step:

    {"v": 1, "table": .., "model": .., "terms": .., ..}      what is asked; another table or other terms are refused
    {"batch": 7, "key": ..}                                  before it is sent: one key is one request, however often it is sent
    {"batch": 7, "request": .., "tx": .., "height": .., "charge": "0.05", "at": ..}   it was sent
    {"batch": 7, "refused": ..}                              the ledger refused it: nothing was paid, the next run sends it anew
    {"batch": 7, "bytes": 9144, "state": .., "cost": ..}     its answers stand in the file, which has so many bytes

A batch of which only the first line is there may have been sent or not. It is sent again under its key: the node answers with the
request that exists, or sends it now (`asked_once`). What the file has behind the last known number of bytes was written by a run
that was cut short, and is cut off.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final, Protocol

import msgspec

from learningchain.chain.types import format_credits, parse_credits
from learningchain.client.contracts.prediction.http.model_schema import ModelSchema
from learningchain.client.contracts.prediction.roles.table import TableBatch, TableReader, answers_head, answers_text
from learningchain.client.node.ledger import VALID_FOR
from learningchain.client.sdk.types import NotFoundError, RejectedError, UnavailableError

AT_ONCE: Final = 4
"""Batches that are under way at a time."""
DAY_S: Final = 86_400.0
LOOK_S: Final = 1.0
LONGEST_S: Final = 600.0
"""How long a request that was sent is waited for that stands in no block."""
WATCH_S: Final = 30.0
ANSWERED: Final = ("AGREED", "WEAK", "FAILED", "FINAL")


class BadJournal(Exception):
    """The journal cannot be gone on with. The text says what to do."""


class BudgetSpent(Exception):
    """The next batch would go beyond what may be spent in a day. `again` is the Unix time at which there is room again."""

    def __init__(self, spent: int, charge: int, budget: int, again: float) -> None:
        super().__init__(
            f"the last 24 hours took {format_credits(spent)} of {format_credits(budget)} credits, and the next batch may take "
            f"{format_credits(charge)}"
        )
        self.again = again


class TableNode(Protocol):
    """What it needs of the SDK."""

    async def quote_prediction(self, request: Any) -> Any: ...

    async def request_prediction(self, request: Any, *, wait: float = 0) -> Any: ...

    async def prediction(self, request: str, *, wait: float = 0) -> Any: ...

    async def send_rows(self, rows: bytes) -> Any: ...

    async def tx(self, tx: str) -> Any: ...

    async def status(self) -> Any: ...


class TableTerms(msgspec.Struct, frozen=True, kw_only=True):
    """`request`: the fields of each request but its rows; `max_rows`, `max_bytes`: of the model."""

    model: str
    own: str
    request: Mapping[str, Any]
    max_rows: int
    max_bytes: int
    daily_budget: int | None = None
    """Micro-credits."""


class TableProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is; what has been paid in all its runs, in micro-credits."""

    rows: int
    done: int
    failed: int
    weak: int
    cost: int


class BatchState(msgspec.Struct):
    """A batch as the journal knows it."""

    key: str = ""
    request: str = ""
    tx: str = ""
    height: int = 0
    at: float = 0.0
    done: bool = False
    state: str = ""
    cost: int = 0
    rows: int = 0


class Journal:
    """The journal of one answers' file. One process at a time has it open. Raises BadJournal, OSError."""

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        self.path = path
        self.batches: dict[int, BatchState] = {}
        self.bytes = 0
        self._file: IO[bytes] = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise BadJournal(f"another process asks for {path}. Wait until it ends") from None
        try:
            self._read(json.loads(json.dumps(head)))
        except BaseException:
            self._file.close()
            raise

    def _read(self, head: Mapping[str, Any]) -> None:
        whole, first = 0, True
        for line in self._file:
            if not line.endswith(b"\n"):
                break  # the last line of a run that was cut short
            try:
                step = json.loads(line)
                if first and step != head:
                    other = ", ".join(sorted(key for key in {*step, *head} if step.get(key) != head.get(key)))
                    raise BadJournal(
                        f"{self.path} belongs to another table, model or terms ({other}). Ask with the same ones, or choose "
                        "another --out"
                    )
                if not first:
                    self._learn(step)
            except (ValueError, TypeError, KeyError, AttributeError) as problem:
                raise BadJournal(f"{self.path} is damaged: {problem}. Choose another --out; what was asked stays paid") from None
            first, whole = False, whole + len(line)
        self._file.truncate(whole)
        self._file.seek(whole)
        if first:
            self._append(head)

    def _learn(self, step: Mapping[str, Any]) -> None:
        batch = self.batches.setdefault(int(step["batch"]), BatchState())
        if "key" in step:
            batch.key = str(step["key"])
        elif "request" in step:
            batch.request, batch.tx, batch.at = str(step["request"]), str(step["tx"]), float(step["at"])
            batch.height = int(step["height"])
            batch.cost = parse_credits(step["charge"])
        elif "refused" in step:
            self.batches[int(step["batch"])] = BatchState()
        else:
            batch.done, batch.state, batch.rows = True, str(step["state"]), int(step["rows"])
            batch.cost, self.bytes = parse_credits(step["cost"]), int(step["bytes"])

    def add(self, batch: int, **step: Any) -> None:
        """One step, on the disk when this returns."""
        self._append({"batch": batch, **step})
        self._learn({"batch": batch, **step})

    def _append(self, step: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(step, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def spent_since(self, start: float) -> list[tuple[float, int]]:
        """When a batch was sent and what it costs, or may cost while it is under way."""
        return sorted((one.at, one.cost) for one in self.batches.values() if one.request and one.at > start)

    def close(self) -> None:
        self._file.close()


class TableRun:
    """One run over a table; its making raises BadJournal and OSError, `run` BudgetSpent, BadTable, OSError and the SDK's errors."""

    def __init__(
        self,
        node: TableNode,
        table: TableReader,
        out: Path,
        schema: ModelSchema,
        terms: TableTerms,
        *,
        rows: int,
        progress: Callable[[TableProgress], None],
        now: Callable[[], float] = time.time,
        look_s: float = LOOK_S,
    ) -> None:
        self._node, self._table, self._schema, self._terms = node, table, schema, terms
        self._rows, self._progress, self._now, self._look_s = rows, progress, now, look_s
        self._decided = "policy" in terms.request
        sent = {"model": terms.model, "terms": dict(terms.request), "max_rows": terms.max_rows, "max_bytes": terms.max_bytes}
        journal = Path(f"{out}.asked")
        if out.exists() and not journal.exists():  # it is somebody's, and no earlier run's
            raise BadJournal(f"{out} exists already and is not overwritten. Choose another --out")
        self.journal = Journal(journal, {"v": 1, "table": table.digest(), "own": terms.own, **sent})
        self._out = self._open_out(out)

    def _open_out(self, out: Path) -> IO[bytes]:
        """The answers' file as far as the journal knows it. Raises BadJournal."""
        size = out.stat().st_size if out.exists() else 0
        if size < self.journal.bytes:
            self.journal.close()
            raise BadJournal(f"{out} is shorter than it was. Choose another --out; what was asked stays paid")
        file = out.open("r+b" if out.exists() else "w+b")
        if self.journal.bytes:
            file.truncate(self.journal.bytes)
            file.seek(self.journal.bytes)
        else:
            file.truncate(0)
            file.write(answers_head(self._table, decided=self._decided))
        return file

    def close(self) -> None:
        self._out.close()
        self.journal.close()

    @property
    def progress(self) -> TableProgress:
        done = [one for one in self.journal.batches.values() if one.done]
        return TableProgress(
            rows=self._rows,
            done=sum(one.rows for one in done),
            failed=sum(one.rows for one in done if one.state == "FAILED"),
            weak=sum(one.rows for one in done if one.state == "WEAK"),
            cost=sum(one.cost for one in self.journal.batches.values()),
        )

    async def run(self) -> TableProgress:
        """Sends one batch after the other and writes the answers in the table's order; some batches are under way meanwhile."""
        waiting: list[tuple[TableBatch, asyncio.Task[Any]]] = []
        try:
            for batch in self._table.batches(self._terms.max_rows, self._terms.max_bytes):
                if self.journal.batches.get(batch.number, BatchState()).done:
                    continue
                if len(waiting) == AT_ONCE:
                    await self._write(*waiting.pop(0))
                try:
                    request = await self._send(batch)
                except BudgetSpent:
                    while waiting:
                        await self._write(*waiting.pop(0))
                    raise
                waiting.append((batch, asyncio.create_task(self._answered(batch.number, request))))
            while waiting:
                await self._write(*waiting.pop(0))
        finally:
            for _, task in waiting:
                task.cancel()
            await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
        return self.progress

    async def _send(self, batch: TableBatch) -> str:
        """The batch's request, which is sent unless an earlier run did. Raises BudgetSpent."""
        known = self.journal.batches.get(batch.number, BatchState())
        if known.request:
            return known.request
        body = {**self._terms.request, "model": self._terms.model, **await self._node.send_rows(batch.raw)}
        quote = await self._node.quote_prediction(body)
        self._check_budget(parse_credits(quote["charge"]))
        height = (await self._node.status())["height"]
        key = known.key or secrets.token_hex(16)
        if not known.key:
            self.journal.add(batch.number, key=key)
        # Never more than was quoted: a price that rose between is refused, and nothing is paid.
        posted = await self._node.request_prediction({"max_charge": quote["charge"], **body, "idempotency_key": key})
        sent = {name: posted[name] for name in ("request", "tx", "charge")}
        self.journal.add(batch.number, **sent, height=height, at=self._now())
        return str(posted["request"])

    def _check_budget(self, charge: int) -> None:
        budget = self._terms.daily_budget
        if budget is None:
            return
        now = self._now()
        taken = self.journal.spent_since(now - DAY_S)
        spent = sum(cost for _, cost in taken)
        if spent + charge <= budget:
            return
        again, left = now + DAY_S, spent
        for at, cost in taken:
            left -= cost
            if left + charge <= budget:
                again = at + DAY_S
                break
        raise BudgetSpent(spent, charge, budget, again)

    async def _answered(self, number: int, request: str) -> Any:
        """The request when it is answered or has failed; the rules end every one. Raises RejectedError where the ledger
        refused it."""
        until = self._now() + LONGEST_S
        while True:
            try:
                found = await self._node.prediction(request, wait=WATCH_S)
            except NotFoundError:
                await self._refused(number)
                if self._now() >= until:
                    raise UnavailableError(
                        f"Request {request} stands in no block yet, and may still come. Look at the node (learningchain status), "
                        "and ask again with the same words later: what is answered is not asked again"
                    ) from None
                await asyncio.sleep(self._look_s)
                continue
            if found["state"] in ANSWERED:
                return found

    async def _refused(self, number: int) -> None:
        """Raises RejectedError where the batch's request will never come: its transaction was refused, or is too old for any
        block."""
        known = self.journal.batches[number]
        try:
            found = await self._node.tx(known.tx) if known.tx else {}
        except NotFoundError:
            found = {}
        status = await self._node.status()
        if not found and status.get("first_block", 1) > known.height + 1:
            raise UnavailableError(
                f"Request {known.request} of batch {number + 1} is not known here, and this node's blocks begin with "
                f"{status['first_block']}: whether it was answered, and paid, it cannot tell. Go on with the same words at an "
                "archive node, or ask the rows that are left anew with another --out"
            )
        late = known.tx and status["height"] > known.height + VALID_FOR
        if (code := found.get("code")) or late:
            self.journal.add(number, refused=code or 0)
            where = f"refused in block {found['height']}" if code else "taken into no block in time"
            raise RejectedError(
                f"The request of batch {number + 1} was {where}; nothing was paid for it", code=code, name=found.get("code_name")
            )

    async def _write(self, batch: TableBatch, task: Awaitable[Any]) -> None:
        view = await task
        state = view["outcome"] if view["outcome"] in ("AGREED", "WEAK") else "FAILED"
        await asyncio.to_thread(
            self._write_text, answers_text(self._table, batch, view, self._schema.classes, decided=self._decided)
        )
        self.journal.add(
            batch.number,
            bytes=self._out.tell(),
            state=state,
            rows=len(batch.lines),
            cost=view["cost"] if view["cost"] is not None else view["locked"],
        )
        self._progress(self.progress)

    def _write_text(self, text: bytes) -> None:
        self._out.write(text)
        self._out.flush()
        os.fsync(self._out.fileno())


def describe(progress: TableProgress, answered: Callable[[int], str] = format_credits) -> str:
    """One line for people."""
    parts = [f"{progress.done} of {progress.rows} rows", f"{answered(progress.cost)} credits"]
    parts += [f"{progress.weak} weak"] if progress.weak else []
    parts += [f"{progress.failed} without an answer"] if progress.failed else []
    return ", ".join(parts)
