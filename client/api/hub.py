"""The live stream: one reader of the ledger and of the runs, many listeners, each with a bounded queue.

An event is rendered once, and only in kinds that somebody asked for. A listener that does not read is dropped and its connection
closed: it costs the node at most its queue. Who was away reads the state again; the stream has no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import structlog

from chain.node.events import Decided
from chain.types import LogEvent
from client.api.render import Json, render_event
from client.core import NodeService

log = structlog.get_logger(__name__)

KINDS = ("block", "note", "move", "run")
MAX_MESSAGE = 256 * 1024
RETRY_S = 1.0


class Subscriber:
    """One open stream. `drop` closes its connection; `pending` is what waits to be written."""

    def __init__(self, kinds: frozenset[str], most_bytes: int, drop: Callable[[], None]) -> None:
        self.kinds, self._most, self.drop = kinds, most_bytes, drop
        self.pending: asyncio.Queue[bytes] = asyncio.Queue()
        self.waiting_bytes = 0
        self.dropped = False

    def offer(self, message: bytes) -> None:
        if self.dropped:
            return
        if self.waiting_bytes + len(message) > self._most:
            self.dropped = True
            self.drop()
            return
        self.waiting_bytes += len(message)
        self.pending.put_nowait(message)

    async def take(self) -> bytes:
        """All that waits, as one piece; waits for the first."""
        parts = [await self.pending.get()]
        while not self.pending.empty():
            parts.append(self.pending.get_nowait())
        data = b"".join(parts)
        self.waiting_bytes -= len(data)
        return data


def message(kind: str, data: Json, *, event_id: int | None = None) -> bytes:
    """One server-sent event. JSON has no line breaks, so one `data` line is enough."""
    head = f"event: {kind}\n" if event_id is None else f"event: {kind}\nid: {event_id}\n"
    return head.encode() + b"data: " + msgspec.json.encode(data) + b"\n\n"


def block_data(block: Decided) -> Json:
    h = block.header
    return {
        "height": block.height,
        "block_id": block.block_id.hex(),
        "time": h.time,
        "state_root": h.state_root.hex(),
        "round": h.round,
        "txs": len(block.tx_ids),
    }


class Hub:
    """Reads while the server runs; `subscribe` and `unsubscribe` are all that the handlers use."""

    def __init__(self, node: NodeService, *, queue_bytes: int, run_poll_s: float) -> None:
        self._node, self._queue_bytes, self._poll_s = node, queue_bytes, run_poll_s
        self.listeners: set[Subscriber] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._runs: dict[str, tuple[Any, ...]] = {}

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._follow_blocks()), asyncio.create_task(self._follow_runs())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listener in list(self.listeners):
            listener.drop()

    def subscribe(self, kinds: frozenset[str], drop: Callable[[], None]) -> Subscriber:
        listener = Subscriber(kinds, self._queue_bytes, drop)
        self.listeners.add(listener)
        return listener

    def unsubscribe(self, listener: Subscriber) -> None:
        self.listeners.discard(listener)

    def _wanted(self, kind: str) -> list[Subscriber]:
        return [listener for listener in self.listeners if kind in listener.kinds]

    def _send(self, kind: str, messages: Iterable[bytes]) -> None:
        wanted = self._wanted(kind)
        if not wanted:
            return
        for data in messages:
            if len(data) <= MAX_MESSAGE:
                for listener in wanted:
                    listener.offer(data)

    # blocks

    async def _follow_blocks(self) -> None:
        blocks = self._node.ledger.committed()
        while True:
            try:
                async for block in blocks:
                    self._tell(block)
            except LookupError as e:
                # This loop was too busy for 1,000 blocks. Who is told so reads the state again: what comes after that has to be in
                # the stream, so the next blocks are subscribed to first.
                log.warning("the live stream lost blocks and goes on with the newest", reason=str(e))
                blocks = self._node.ledger.committed()
                self._gap(str(e))
            else:
                blocks = self._node.ledger.committed()
            await asyncio.sleep(RETRY_S)

    def _tell(self, block: Decided) -> None:
        try:
            self._tell_all(block)
        except Exception as e:
            log.exception("a block could not be shown in the live stream", height=block.height)
            self._gap(f"block {block.height} could not be shown: {type(e).__name__}")

    def _gap(self, reason: str) -> None:
        """Something is missing in the stream: listeners read the state again."""
        for listener in self.listeners:
            listener.offer(message("gap", {"reason": reason}))

    def _tell_all(self, block: Decided) -> None:
        self._send("block", [message("block", block_data(block), event_id=block.height)])
        for kind, noted in (("note", True), ("move", False)):
            if self._wanted(kind):
                self._send(kind, self._events(block, kind, noted))

    @staticmethod
    def _events(block: Decided, kind: str, noted: bool) -> Iterable[bytes]:
        for tx, receipt in block.executed_blocks():
            at = {"height": block.height, "tx": None if tx is None else tx.hex()}
            for event in receipt.events:
                if isinstance(event, LogEvent) is noted:
                    shown = render_event(event)
                    del shown["type"]
                    yield message(kind, at | shown)

    # runs

    async def _follow_runs(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                if self._wanted("run") and self._node.runs is not None:
                    self._send("run", self._changed_runs(self._node.runs.list_runs()))
            except Exception:
                log.exception("the runs could not be shown in the live stream")

    def _changed_runs(self, runs: list[Json]) -> list[bytes]:
        """Runs that moved since the last look; the log stays out of the stream, and of the progress only the last step."""
        seen: dict[str, tuple[Any, ...]] = {}
        changed = []
        for run in runs:
            progress = run.get("progress") or []
            last = progress[-1] if progress else None
            mark = (run.get("phase"), run.get("state"), run.get("attempt"), run.get("ended"), repr(last))
            seen[run["id"]] = mark
            if self._runs.get(run["id"]) != mark:
                shown = {name: value for name, value in run.items() if name not in ("log", "progress")}
                changed.append(message("run", shown | {"progress": last}))
        self._runs = seen
        return changed
