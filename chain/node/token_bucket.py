"""Token buckets in integers: what peers may cost a node in a second, and at once after a rest. Pure; the time comes in.

They count what a node answers, and also questions, offered transactions and bad signatures. `p2p.limits.TokenBucket` is another
one, for two reasons. A node's decisions are replayed in virtual time and have to be the same on every machine, so they are of
integers and milliseconds; and its answers are paid for when their size is known. The transport knows sizes beforehand, wants to be
told how long to stop reading, by a clock of seconds, and has rates below one in a second.
"""

from __future__ import annotations

from typing import NamedTuple


class Rate(NamedTuple):
    per_s: int
    burst: int


class IntegerBucket:
    """Thousandths of a token, and milliseconds. More may be taken than is left: what is owed is paid before the next one."""

    __slots__ = ("_level", "_rate", "_then")

    def __init__(self, rate: Rate, now: int) -> None:
        self._rate, self._level, self._then = rate, rate.burst * 1_000, now

    def ready(self, now: int) -> bool:
        """Whether a whole token is left."""
        earned = max(0, now - self._then) * self._rate.per_s
        self._level, self._then = min(self._rate.burst * 1_000, self._level + earned), now
        return self._level >= 1_000

    def take(self, count: int = 1) -> None:
        self._level -= 1_000 * count

    def change(self, rate: Rate) -> None:
        """Another rate from now on; what was owed is owed still."""
        self._rate, self._level = rate, min(rate.burst * 1_000, self._level)
