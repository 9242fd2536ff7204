"""What of a contract is not over, as the API lists it: kept up to date by what blocks changed."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from typing import Any

from learningchain.client.api.following import PrefixFollower


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


class LiveReferences(PrefixFollower):
    """The references that have a record under `prefix`, which says the `number` of each, and its `kind` where there are some."""

    def _start(self) -> None:
        self._of: defaultdict[int, _Numbered] = defaultdict(_Numbered)

    def newest(self, before: int | None, limit: int, kind: int = 0) -> list[tuple[int, bytes]]:
        """Numbers and references of a kind in descending order of the numbers, below `before`."""
        return self._of[kind].newest(before, limit)

    def _look(self, ref: bytes) -> None:
        found: Any = self._state.get(self.prefix + ref)
        if found is not None:
            self._of[getattr(found, "kind", 0)].add(ref, found.number)
        else:
            for listed in self._of.values():
                listed.drop(ref)
