"""Token buckets in integers: what peers may cost a node in a second, and at once after a rest. Pure; the time comes in."""

from __future__ import annotations

from typing import NamedTuple


class Rate(NamedTuple):
    per_s: int
    burst: int


class AnswerBucket:
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
