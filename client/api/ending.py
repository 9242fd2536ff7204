"""Records of the state that end, in the order of their ends: kept up to date by what blocks changed, read a page at a time."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort
from itertools import islice
from typing import Annotated, Any

from msgspec import Meta

from learningchain.client.api.errors import usage
from learningchain.client.api.following import PrefixFollower
from learningchain.client.schema.bodies import Page, Strict

CURSOR = r"^[0-9]{1,16}-([0-9a-f]{2}){1,64}$"


class EndingQuery(Strict, frozen=True, kw_only=True):
    after: Annotated[str, Meta(pattern=CURSOR, description="the cursor of the row after which to go on")] | None = None
    limit: Page = 100


def cursor_of(end: int, ref: bytes) -> str:
    return f"{end}-{ref.hex()}"


class Ending(PrefixFollower):
    """Of one prefix. A row's place is its end and its reference, so that a page goes on where a row has vanished meanwhile."""

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

    def _look(self, ref: bytes) -> None:
        end, known = self.end_of(self._state.get(self.prefix + ref)), self._ends.get(ref)
        if end == known:
            return
        if known is not None:
            del self._rows[bisect_left(self._rows, (known, ref))], self._ends[ref]
        if end is not None:
            self._ends[ref] = end
            insort(self._rows, (end, ref))
