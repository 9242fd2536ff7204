"""This machine's clock beside those of other validators: each block names the time at which its proposer made it.

Told of each block as it becomes final. One that was fetched late seems to be of long ago, so of each proposer the block that came
quickest counts, as NTP's clock filter has it. Pure: times are handed in.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Final, NamedTuple

MAX_SAMPLES: Final = 64
OLD_MS: Final = 10 * 60_000
"""Samples older than this say nothing of the clock now."""


FEWEST: Final = 3
"""Samples below which nothing is said: the last blocks of catching up may be late."""


class ClockSeen(NamedTuple):
    offset_ms: int
    """How far this clock is before the others', the least time of a round included: the median over the proposers."""
    proposers: int


class PeerClock:
    def __init__(self, own: bytes) -> None:
        self._own = own
        self._samples: deque[tuple[int, bytes, int]] = deque(maxlen=MAX_SAMPLES)
        """When, whose block, how far this clock was before the time in it."""

    def saw(self, proposer: bytes, block_ms: int, now_ms: int) -> None:
        """A block became final here at `now_ms`."""
        if proposer != self._own:
            self._samples.append((now_ms, proposer, now_ms - block_ms))

    def seen(self, now_ms: int) -> ClockSeen | None:
        """None where too few blocks of other validators came lately. Each proposer counts once."""
        quickest: dict[bytes, int] = {}
        late = [one for one in self._samples if abs(now_ms - one[0]) <= OLD_MS]
        for _, proposer, offset in late:
            quickest[proposer] = min(offset, quickest.get(proposer, offset))
        if len(late) < FEWEST:
            return None
        return ClockSeen(round(median(quickest.values())), len(quickest))
