"""How fast a download comes, and how long it takes from here: what a person who waits for it is told. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

WINDOW_MS: Final = 10_000
"""Over which a rate is taken."""
STEP_MS: Final = 500


class UnderWay(NamedTuple):
    """A download at one moment. `size` 0: not known yet. `rate`: bytes per second, None before there was time to see any."""

    done: int
    size: int
    rate: int | None
    since_ms: int
    """For how long it has been under way."""


class DownloadRate:
    """One download's bytes over time. What an earlier try left on the disk counts as done, and not as having come."""

    def __init__(self, now: int) -> None:
        self._begun = now
        self._seen: deque[tuple[int, int]] = deque(maxlen=WINDOW_MS // STEP_MS + 1)
        self._done = self._size = 0

    def progress(self, now: int, done: int, size: int) -> None:
        self._done, self._size = done, size
        if not self._seen or now - self._seen[-1][0] >= STEP_MS:
            self._seen.append((now, done))

    def at(self, now: int) -> UnderWay:
        """One that brings nothing gets slower with every look."""
        seen = next((one for one in self._seen if now - one[0] <= WINDOW_MS), self._seen[-1] if self._seen else None)
        passed = 0 if seen is None else now - seen[0]
        rate = None if seen is None or passed < STEP_MS else (self._done - seen[1]) * 1_000 // passed
        return UnderWay(self._done, self._size, rate, now - self._begun)
