"""What time it is for a node's work: this machine's clock, as far as the time that passed since the newest block bears it out.

A machine that comes back with a clock that is hours ahead would take every window of the ledger for over, and be silent where its
stake depends on it. How long ago the newest block came is known without that clock. Pure: times are handed in.
"""

from __future__ import annotations

from typing import Final

AHEAD_MS: Final = 5_000
"""A block may have been on its way for so long before it came. A clock that is right is before that; one that is wrong counts no
further."""


class BlockClock:
    def __init__(self) -> None:
        self._height, self._since_ms = -1, 0

    def wall(self, height: int, block_ms: int, now_ms: int, steady_ms: int) -> int:
        """The wall clock to go by. `block_ms`: what the newest block says; `steady_ms`: a clock that nobody sets, since any moment.
        Asked for the first time at a height, it takes the block for just come."""
        if height != self._height:
            self._height, self._since_ms = height, steady_ms
        least = block_ms + steady_ms - self._since_ms
        return min(max(now_ms, least), least + AHEAD_MS)
