"""What happened to a job or a federation, by executing the chain again, beside what this node's own index tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from learningchain.chain.codec import encode
from learningchain.chain.types import Event
from learningchain.client.receipts.files import event_line
from learningchain.client.schema.render import Json, render_event

if TYPE_CHECKING:
    from learningchain.chain.storage.blockstore import BlockStore

PAGE = 500


@dataclass(frozen=True)
class Happened:
    """An event of what is audited; `tx` is zeros where the block itself did it."""

    height: int
    tx: bytes
    event: Event

    @property
    def key(self) -> tuple[int, bytes, bytes]:
        return self.height, self.tx, encode(self.event)

    def document(self) -> Json:
        return {"height": self.height, "tx": self.tx.hex() if any(self.tx) else None} | render_event(self.event)

    def line(self) -> str:
        return f"block {self.height}: {event_line(self.event)}"


def told_otherwise(ref: bytes, notes: Sequence[Happened], store: BlockStore, last: int) -> list[str]:
    """Where this node's index tells of `ref`, up to the height `last`, what executing does not give, or the other way round."""
    told: list[Any] = []
    before: int | None = None
    while page := store.history(ref, before=before, limit=PAGE):
        told += page
        before = page[-1].cursor
    index = [Happened(row.height, row.line.tx, row.line.event) for row in reversed(told) if row.height <= last]
    shown, known = {one.key for one in index}, {one.key for one in notes}
    lies = [f"the index tells of what did not happen: {one.line()}" for one in index if one.key not in known]
    return lies + [f"the index does not tell of it: {one.line()}" for one in notes if one.key not in shown]
