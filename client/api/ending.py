"""Records of the state that end, in the order of their ends: kept up to date by what blocks changed, read a page at a time.

After a start a piece is some of them, later what some blocks changed; nothing here looks through the state again.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort
from itertools import islice
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from learningchain.chain.ledger.state import State
from learningchain.client.api.errors import usage
from learningchain.client.api.following import Follower
from learningchain.client.schema.bodies import Page, Strict

PIECE = 64
"""Records that are looked at before others have the loop."""
CURSOR = r"^[0-9]{1,16}-([0-9a-f]{2}){1,64}$"


class EndingQuery(Strict, frozen=True, kw_only=True):
    after: Annotated[str, Meta(pattern=CURSOR, description="the cursor of the row after which to go on")] | None = None
    limit: Page = 100


def cursor_of(end: int, ref: bytes) -> str:
    return f"{end}-{ref.hex()}"


class Ending(Follower):
    """Of one prefix. A row's place is its end and its reference, so that a page goes on where a row has vanished meanwhile."""

    prefix: ClassVar[bytes]

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._feed = state.follow((self.prefix,))
        self._feed.lost = True  # nothing is known yet
        self._left: list[bytes] = []
        self._start()

    def _start(self) -> None:
        self._rows: list[tuple[int, bytes]] = []
        self._ends: dict[bytes, int] = {}

    def end_of(self, record: Any) -> int | None:
        """Of the chain clock, in milliseconds; None for what is no record of this kind."""
        raise NotImplementedError

    def first(self, after: str | None, limit: int) -> list[tuple[int, bytes]]:
        """(end, reference), the one that ends first first. Raises `RequestError` for a cursor that is none."""
        start = 0
        if after is not None:
            if not re.fullmatch(CURSOR, after, re.ASCII):
                raise usage("after is not valid: it is the cursor of a row, as this list shows it. Go back to the first page")
            end, _, ref = after.partition("-")
            start = bisect_right(self._rows, (int(end), bytes.fromhex(ref)))
        return list(islice(self._rows, start, start + limit))

    def step(self) -> bool:
        """One piece; false where there was none."""
        if self._feed.lost:
            self._feed.restart()
            self._start()
            self._left = list(self._state.keys(self.prefix))
        keys = self._feed.take(PIECE)
        for key in keys:
            self._look(key)
        if not keys:
            for key in self._left[-PIECE:]:
                self._look(key)
            del self._left[-PIECE:]
        return bool(keys or self._left)

    def _look(self, key: bytes) -> None:
        ref = key[len(self.prefix) :]
        end, known = self.end_of(self._state.get(key)), self._ends.get(ref)
        if end == known:
            return
        if known is not None:
            del self._rows[bisect_left(self._rows, (known, ref))], self._ends[ref]
        if end is not None:
            self._ends[ref] = end
            insort(self._rows, (end, ref))
