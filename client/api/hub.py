"""The live stream: one reader of the ledger and of the runs, many listeners, each with a bounded queue.

An event is rendered once, and only in kinds that somebody asked for. A listener that does not read is dropped and its connection
closed: it costs the node at most its queue. Who was away goes on where it stopped, as far as `replay` reaches; else it is told
that something is missing, and reads the state again.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any
from zlib import crc32

import msgspec
import structlog

from learningchain.chain.node.events import Decided
from learningchain.chain.types import LogEvent
from learningchain.client.api.replay import Replay
from learningchain.client.api.whole_node import NodeService
from learningchain.client.schema.render import Json, render_event, render_run

log = structlog.get_logger(__name__)

KINDS = ("block", "note", "move", "run", "notice")
MAX_MESSAGE = 256 * 1024
RETRY_S = 1.0


class Subscriber:
    """One open stream. `drop` closes its connection; `pending` is what waits to be written; `whose`: the id of its token."""

    def __init__(self, kinds: frozenset[str], most_bytes: int, drop: Callable[[], None], whose: str = "") -> None:
        self.kinds, self._most, self.drop, self.whose = kinds, most_bytes, drop, whose
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


def message(kind: str, data: Json) -> bytes:
    """One server-sent event, but for its id. JSON has no line breaks, so one `data` line is enough."""
    return f"event: {kind}\n".encode() + b"data: " + msgspec.json.encode(data) + b"\n\n"


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
        self.replay = Replay(secrets.token_hex(4), queue_bytes // 2, time.monotonic)
        self.listeners: set[Subscriber] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._runs: dict[str, tuple[Any, ...]] = {}
        self._notices: dict[tuple[str, str], str] = {}

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._follow_blocks()), asyncio.create_task(self._follow_runs())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listener in list(self.listeners):
            listener.drop()

    def subscribe(
        self, kinds: frozenset[str], drop: Callable[[], None], whose: str = "", *, after: str | None = None
    ) -> Subscriber:
        """`after`: the id of the last event that the listener has; what came since then waits for it."""
        listener = Subscriber(kinds, self._queue_bytes, drop, whose)
        missed = [] if after is None else self.replay.after(after, kinds)
        self.replay.listened(kinds)
        self.listeners.add(listener)
        if missed is None:
            begins = f"id: {self.replay.last}\n".encode()
            listener.offer(begins + message("gap", {"reason": "what came since that event is no longer kept"}))
        for data in missed or ():
            listener.offer(data)
        return listener

    def unsubscribe(self, listener: Subscriber) -> None:
        if listener in self.listeners:
            self.replay.listened(listener.kinds)
        self.listeners.discard(listener)

    def _wanted(self, kind: str) -> bool:
        """Somebody listens, or may come back for what it missed."""
        if any(kind in listener.kinds for listener in self.listeners):
            self.replay.listened((kind,))
        return self.replay.keeps(kind)

    def _send(self, kind: str, messages: Iterable[bytes]) -> None:
        if not self._wanted(kind):
            return
        for data in messages:
            if len(data) > MAX_MESSAGE:
                self._gap(f"an event of {len(data)} bytes is too large for the stream")
                continue
            whole = self.replay.tell(kind, data)
            for listener in self.listeners:
                if kind in listener.kinds:
                    listener.offer(whole)

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
        data = self.replay.tell("gap", message("gap", {"reason": reason}))
        for listener in self.listeners:
            listener.offer(data)

    def _tell_all(self, block: Decided) -> None:
        self._send("block", [message("block", block_data(block))])
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

    # runs and notices

    async def _follow_runs(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                if self._wanted("run") and self._node.runs is not None:
                    self._send("run", self._changed_runs(self._node.runs.list()))
                if self._wanted("notice"):
                    self._send("notice", self._changed_notices(self._node.status().get("notices", [])))
            except Exception:
                log.exception("the runs could not be shown in the live stream")

    def _changed_notices(self, notices: list[Json]) -> list[bytes]:
        """What the operator should know and was not told before; `over` of what is no longer so."""
        now = {(one["topic"], one["ref"]): one["text"] for one in notices}
        new = [one | {"over": False} for one in notices if self._notices.get((one["topic"], one["ref"])) != one["text"]]
        gone = [{"topic": topic, "ref": ref, "over": True} for topic, ref in sorted(self._notices.keys() - now.keys())]
        self._notices = now
        return [message("notice", one) for one in (*new, *gone)]

    def _printed(self, run: Json) -> int:
        """Of the log of one that runs, as far as every token may see it: another number where it printed more."""
        runs = self._node.runs
        found = runs.get(run["id"]) if runs is not None and run.get("state") == "running" else None
        return 0 if found is None else crc32(str(render_run(found).get("log")).encode("utf-8", "replace"))

    def _changed_runs(self, runs: list[Json]) -> list[bytes]:
        """Runs that moved since the last look, also those that printed more; the log stays out of the stream, and of the progress
        comes only the last step."""
        seen: dict[str, tuple[Any, ...]] = {}
        changed = []
        for run in map(render_run, runs):
            progress = run.get("progress") or []
            last = progress[-1] if progress else None
            mark = (run.get("phase"), run.get("state"), run.get("attempt"), run.get("ended"), repr(last), self._printed(run))
            seen[run["id"]] = mark
            if self._runs.get(run["id"]) != mark:
                shown = {name: value for name, value in run.items() if name not in ("log", "progress")}
                changed.append(message("run", shown | {"progress": last}))
        self._runs = seen
        return changed
