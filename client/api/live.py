"""What of a contract is not over, as the API lists it: kept up to date by what blocks changed.

After a start a piece is some references, later what some blocks changed; nothing here looks through the state again.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from typing import Any, ClassVar, Final

from learningchain.chain.ledger.state import State
from learningchain.client.api.following import Follower

PIECE: Final = 64
"""References that are looked at before others have the loop."""


class _Numbered:
    """References of one kind by their numbers."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._by_number: dict[int, bytes] = {}
        self._known: dict[bytes, int] = {}

    def add(self, ref: bytes, number: int) -> None:
        if ref not in self._known:
            self._known[ref] = number
            self._by_number[number] = ref
            insort(self._numbers, number)

    def drop(self, ref: bytes) -> None:
        if (number := self._known.pop(ref, None)) is not None:
            del self._by_number[number]
            del self._numbers[bisect_left(self._numbers, number)]

    def newest(self, before: int | None, limit: int) -> list[tuple[int, bytes]]:
        end = len(self._numbers) if before is None else bisect_left(self._numbers, before)
        return [(number, self._by_number[number]) for number in reversed(self._numbers[max(0, end - limit) : end])]


class LiveReferences(Follower):
    """The references that have a record under `prefix`, which says the `number` of each, and its `kind` where there are some."""

    prefix: ClassVar[bytes]

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._feed = state.follow((self.prefix,))
        self._feed.lost = True  # nothing is known yet
        self._left: list[bytes] = []
        """Those that were not looked at."""
        self._of: defaultdict[int, _Numbered] = defaultdict(_Numbered)

    def newest(self, before: int | None, limit: int, kind: int = 0) -> list[tuple[int, bytes]]:
        """Numbers and references of a kind in descending order of the numbers, below `before`."""
        return self._of[kind].newest(before, limit)

    def step(self) -> bool:
        """One piece; false where there was none."""
        if self._feed.lost:
            self._feed.restart()
            self._of.clear()
            self._left = [key[len(self.prefix) :] for key in self._state.keys(self.prefix)]
        keys = self._feed.take(PIECE)
        for key in keys:
            self._look(key[len(self.prefix) :])
        if not keys:
            for ref in self._left[-PIECE:]:
                self._look(ref)
            del self._left[-PIECE:]
        return bool(keys or self._left)

    def _look(self, ref: bytes) -> None:
        found: Any = self._state.get(self.prefix + ref)
        if found is not None:
            self._of[getattr(found, "kind", 0)].add(ref, found.number)
        else:
            for listed in self._of.values():
                listed.drop(ref)
