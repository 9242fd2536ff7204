"""Models and policies as the API lists them: kept up to date by what blocks changed.

After a start a piece is some references, later what some blocks changed; nothing here looks through the state again.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from learningchain.chain.contracts.prediction.records import LIVE, LiveKind, LiveReference
from learningchain.chain.ledger.state import State
from learningchain.client.api.following import Follower

PIECE = 64
"""References that are looked at before others have the loop."""


class NumberedReferences:
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

    def below(self, before: int | None, limit: int) -> list[tuple[int, bytes]]:
        """Numbers and references, in descending order of the numbers."""
        end = len(self._numbers) if before is None else bisect_left(self._numbers, before)
        return [(number, self._by_number[number]) for number in reversed(self._numbers[max(0, end - limit) : end])]


class LivePredictions(Follower):
    """Models, policies, and requests that have not ended."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._feed = state.follow((LIVE,))
        self._feed.lost = True  # nothing is known yet
        self._left: list[bytes] = []
        """References that were not looked at."""
        self._start()

    def _start(self) -> None:
        self.of = {kind: NumberedReferences() for kind in LiveKind}

    def step(self) -> bool:
        """One piece; false where there was none."""
        if self._feed.lost:
            self._feed.restart()
            self._start()
            self._left = [key[len(LIVE) :] for key in self._state.keys(LIVE)]
        keys = self._feed.take(PIECE)
        for key in keys:
            self._look(key[len(LIVE) :])
        if not keys:
            for ref in self._left[-PIECE:]:
                self._look(ref)
            del self._left[-PIECE:]
        return bool(keys or self._left)

    def _look(self, ref: bytes) -> None:
        found = self._state.get(LIVE + ref)
        if isinstance(found, LiveReference):
            self.of[LiveKind(found.kind)].add(ref, found.number)
        else:
            for listed in self.of.values():
                listed.drop(ref)
