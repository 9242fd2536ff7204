"""A job followed while the chain is executed again from genesis: what happened to it by the rules, whatever anybody says of it.

    blocks 1, 2, … executed --> its events and payments, and the state after its last one --> beside what this node tells of it

Pure but for the reads of the node's own index in `told_otherwise`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chain.contracts.job.views import describe
from chain.ledger.state import State
from chain.ledger.transition import Executed
from chain.types import Event, LogEvent, TransferEvent
from client.api.render import Json, render_event
from client.contracts.job.render import render_job
from client.receipts import event_line

if TYPE_CHECKING:
    from chain.storage.blockstore import BlockStore

POSTED = "job.posted"
PAGE = 500


@dataclass(frozen=True)
class Happened:
    """An event of the job; `tx` is zeros where the block itself did it."""

    height: int
    tx: bytes
    event: Event

    def document(self) -> Json:
        return {"height": self.height, "tx": self.tx.hex() if any(self.tx) else None} | render_event(self.event)

    def line(self) -> str:
        return f"block {self.height}: {event_line(self.event)}"


@dataclass
class JobWatch:
    """For `Audit`: follows the first job whose id begins with `beginning` until it has ended."""

    beginning: str
    job: bytes = b""
    happened: list[Happened] = field(default_factory=list)
    view: Json | None = None
    """As the state after its last event has it."""
    root: bytes = b""
    """Of that state."""

    def __call__(self, height: int, executed: Executed, state: State) -> bool:
        found = False
        for receipt in executed.receipts:
            for event in receipt.events:
                if not self.job and isinstance(event, LogEvent) and event.topic == POSTED:
                    self.job = event.ref if event.ref.hex().startswith(self.beginning) else b""
                if self.job and event.ref == self.job:
                    self.happened.append(Happened(height, receipt.tx, event))
                    found = True
        if found:
            described = describe(state, self.job)
            self.view = self.view if described is None else render_job(described)
            self.root = state.root
        return found and self.view is not None and self.view["ended"] is not None

    @property
    def payments(self) -> list[Happened]:
        return [one for one in self.happened if isinstance(one.event, TransferEvent)]

    @property
    def notes(self) -> list[Happened]:
        return [one for one in self.happened if isinstance(one.event, LogEvent)]


def told_otherwise(watch: JobWatch, store: BlockStore, last: int) -> list[str]:
    """Where this node's index tells of the job, up to a height, what executing does not give, or the other way round."""
    told: list[Any] = []
    before: int | None = None
    while page := store.history(watch.job, before=before, limit=PAGE):
        told += page
        before = page[-1].cursor
    index = [Happened(row.height, row.line.tx, row.line.event) for row in reversed(told) if row.height <= last]
    lies = [f"the index tells of what did not happen: {one.line()}" for one in index if one not in watch.notes]
    return lies + [f"the index does not tell of it: {one.line()}" for one in watch.notes if one not in index]
