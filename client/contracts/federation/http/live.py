"""Federations that have not ended as the API lists them: kept up to date by what blocks changed.

After a start a piece is some of them, later what some blocks changed; nothing here looks through the state again.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from learningchain.chain.contracts.federation.records import LIVE, LiveFederation, live_key
from learningchain.chain.ledger.state import State
from learningchain.client.api.following import Follower

PIECE = 64
"""Federations that are looked at before others have the loop."""


class LiveFederations(Follower):
    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._feed = state.follow((LIVE,))
        self._feed.lost = True  # nothing is known yet
        self._left: list[bytes] = []
        """Those that were not looked at."""
        self._start()

    def _start(self) -> None:
        self._numbers: list[int] = []
        self._by_number: dict[int, bytes] = {}
        self._known: dict[bytes, int] = {}

    def newest(self, before: int | None, limit: int) -> list[tuple[int, bytes]]:
        """Their numbers in descending order, below `before`, and their ids."""
        end = len(self._numbers) if before is None else bisect_left(self._numbers, before)
        return [(number, self._by_number[number]) for number in reversed(self._numbers[max(0, end - limit) : end])]

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
            for federation in self._left[-PIECE:]:
                self._look(federation)
            del self._left[-PIECE:]
        return bool(keys or self._left)

    def _look(self, federation: bytes) -> None:
        live, known = self._state.get(live_key(federation)), self._known.get(federation)
        if isinstance(live, LiveFederation) and known is None:
            self._known[federation] = live.number
            self._by_number[live.number] = federation
            insort(self._numbers, live.number)
        elif not isinstance(live, LiveFederation) and known is not None:
            del self._known[federation], self._by_number[known]
            del self._numbers[bisect_left(self._numbers, known)]
