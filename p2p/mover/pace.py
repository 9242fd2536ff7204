"""How fast a node's data connections go, all of them together, each way by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from learningchain.p2p.limits import TokenBucket


class MovingPace:
    """Called from the threads of many connections. `mb_s`: most megabytes in a second, 0: no bound."""

    def __init__(self, mb_s: int, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self.set(mb_s)

    def set(self, mb_s: int) -> None:
        rate = mb_s * 1e6
        with self._lock:
            self._bucket = TokenBucket(rate, rate / 4, self._clock()) if rate else None

    def least(self, wanted: float, among: int) -> float:
        """Bytes a second that one of so many connections may be asked for: `wanted`, or what the bound leaves it at the worst."""
        with self._lock:
            return wanted if self._bucket is None else min(wanted, self._bucket.rate / among / 2)

    def is_slow(self, size: int) -> bool:
        """Whether it lets fewer bytes go in a second."""
        with self._lock:
            return self._bucket is not None and self._bucket.rate < size

    def wait(self, size: int) -> None:
        """Until so many bytes may go."""
        with self._lock:
            seconds = 0.0 if self._bucket is None else self._bucket.take(self._clock(), size)
        if seconds:
            self._sleep(seconds)
