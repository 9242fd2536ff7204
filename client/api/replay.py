"""What the live stream told lately, for who was away: bounded by bytes, and kept for kinds that somebody listens to or listened to
a moment ago.

An id is "<stream>-<number>": another stream's id, a number that is no longer here, or a kind that was not told meanwhile means that
nothing can be promised, and the listener is told so.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection
from typing import Final

KEPT_S: Final = 60.0
"""A kind is told on this long after its last listener left."""
_ID: Final = re.compile(r"([0-9a-f]{8})-([0-9]{1,18})", re.ASCII)


class Replay:
    """`stream`: 8 hexadecimal digits that no other life of the node has. `clock` in seconds, of any origin."""

    def __init__(self, stream: str, most_bytes: int, clock: Callable[[], float]) -> None:
        self._stream, self._most, self._clock = stream, most_bytes, clock
        self._told: deque[tuple[int, str, bytes]] = deque()
        self._bytes = self._number = self._lost = 0
        self._since: dict[str, int] = {}
        self._until: dict[str, float] = {}

    @property
    def last(self) -> str:
        """The id of the newest event."""
        return f"{self._stream}-{self._number}"

    def listened(self, kinds: Collection[str]) -> None:
        """Somebody listens to these kinds, or did until now."""
        for kind in kinds:
            self.keeps(kind)  # what was forgotten meanwhile begins anew
            self._since.setdefault(kind, self._number + 1)
            self._until[kind] = self._clock() + KEPT_S

    def keeps(self, kind: str) -> bool:
        """Whether events of a kind that nobody listens to now are still told here."""
        if self._until.get(kind, 0.0) > self._clock():
            return True
        self._until.pop(kind, None)
        self._since.pop(kind, None)
        return False

    def tell(self, kind: str, data: bytes) -> bytes:
        """One event with its id, as it is sent."""
        self._number += 1
        whole = f"id: {self.last}\n".encode() + data
        self._told.append((self._number, kind, whole))
        self._bytes += len(whole)
        while self._bytes > self._most:
            self._lost, _, gone = self._told.popleft()
            self._bytes -= len(gone)
        return whole

    def after(self, event_id: str, kinds: Collection[str]) -> list[bytes] | None:
        """What was told of these kinds since then, gaps included; None where something may be missing."""
        found = _ID.fullmatch(event_id)
        if found is None or found[1] != self._stream:
            return None
        number = int(found[2])
        if not self._lost <= number <= self._number:
            return None
        if any(not self.keeps(kind) or self._since[kind] > number + 1 for kind in kinds):
            return None
        return [data for told, kind, data in self._told if told > number and (kind in kinds or kind == "gap")]
