"""How far a height may be ahead of what the guard knows. LC-SIG-7.

A guard signs nothing below what it signed: without a bound one request for a height that no graph reaches ends the key as a
validator's for good, and whoever has the pairing can make it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

AHEAD: Final = 100_000
"""Heights that a node may have been away for when its signer starts: eleven days of an idle graph."""
PACE: Final = 32
"""Heights in a second: a few more than a graph of four made where somebody had blocks made as fast as they go."""


class HeightReach:
    """`height`: what the guard knows, or what the operator says that the graph has; 0: nothing. `age`: of the network in seconds,
    for a guard that knows nothing."""

    def __init__(self, height: int, age: float, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._since = now, now()
        self._height = height if height > 0 else int(PACE * max(0.0, age))
        self._guessed = height <= 0

    @property
    def most(self) -> int:
        """The highest height that is signed, or abstained from, now."""
        return self._height + AHEAD + int(PACE * (self._now() - self._since))

    def known(self, height: int) -> None:
        """The guard signed at this height: where nothing was known before, this is."""
        if self._guessed and height > 0:
            self._height, self._since, self._guessed = height, self._now(), False
