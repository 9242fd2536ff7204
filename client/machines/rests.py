"""What fails again and again, a machine or a cluster, is left alone for a while: what it loses is excused, and a job has no end of
excuses."""

from __future__ import annotations

from typing import Final

MANY_LOSSES: Final = 3
LOSSES_S: Final = 86_400.0
"""What failed so often within this time rests."""
REST_S: Final = 600.0
"""The first rest; each further loss within that time doubles it."""
MAX_LOSSES: Final = 64
"""More are not remembered: the rest is the longest by then."""


class LossRecord:
    """When something failed, and how long it rests for that."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self._until = 0.0

    def add(self, now: float) -> None:
        """It failed once, however much it lost by that."""
        self.losses = [*[at for at in self.losses if now - at < LOSSES_S][-MAX_LOSSES:], now]
        if (more := len(self.losses) - MANY_LOSSES) >= 0:
            self._until = now + min(REST_S * 2**more, LOSSES_S)

    def clear(self) -> None:
        self.losses, self._until = [], 0.0

    def rest_s(self, now: float) -> float:
        """How long the rest is that it has now; 0 where it has none."""
        return self._until - self.losses[-1] if now < self._until else 0.0
