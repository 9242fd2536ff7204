"""Who is called next. Pure: times go in, references come out.

A reference waits with the time from which its oldest undelivered row may be tried, so its rows keep their order by themselves. A
host is called by at most HOST attempts at a time; one that failed last by a single one, and all that failed last together by at
most FAILING of ALL: a host that hangs holds up its own and nobody else.

    put(reference, host, due) -> waits --take(now)--> runs --done(reference, well)--> gone; put again for the next try or row
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import Final

ALL: Final = 16
FAILING: Final = 8
HOST: Final = 4


@dataclass
class _CalledHost:
    waiting: list[tuple[int, int, bytes]] = field(default_factory=list)
    """A heap of (due, number, reference)."""
    running: int = 0
    failing: bool = False
    entry: int = 0
    """The number of its entry among the hosts that may be called; 0: it has none, or waits aside."""


class CallbackSchedule:
    """A reference is here once. Times are milliseconds of any one clock."""

    def __init__(self) -> None:
        self._hosts: dict[str, _CalledHost] = {}
        self._heap: list[tuple[int, int, str]] = []
        """(due, number, host) of hosts that may be called."""
        self._aside: deque[str] = deque()
        """Hosts that failed last and wait until fewer of these run."""
        self._numbers: dict[bytes, int] = {}
        """The number that counts, of each that waits."""
        self._runs: dict[bytes, str] = {}
        self._failing = 0
        """Attempts that run at hosts that failed last."""
        self._number = 0

    def __len__(self) -> int:
        """How many wait or run."""
        return len(self._numbers) + len(self._runs)

    @property
    def running(self) -> int:
        return len(self._runs)

    def runs(self, ref: bytes) -> bool:
        return ref in self._runs

    def put(self, ref: bytes, host: str, due: int) -> None:
        """It waits from now on; what was put before counts no more. Raises ValueError for one that runs."""
        if ref in self._runs:
            raise ValueError("it runs")
        self._numbers[ref] = number = self._next()
        found = self._hosts.setdefault(host, _CalledHost())
        heapq.heappush(found.waiting, (due, number, ref))
        self._enter(host, found)

    def drop(self, ref: bytes) -> None:
        """It waits no more."""
        self._numbers.pop(ref, None)

    def take(self, now: int) -> bytes | None:
        """One that is due and may run: it runs from now on."""
        while self._heap and self._heap[0][0] <= now and len(self._runs) < ALL:
            due, number, host = heapq.heappop(self._heap)
            found = self._hosts.get(host)
            if found is None or found.entry != number:
                continue
            found.entry = 0
            self._clean(found)
            if not found.waiting or found.waiting[0][0] > due:
                self._enter(host, found)
                self._forget(host, found)
            elif found.failing and self._failing >= FAILING:
                self._aside.append(host)
            else:
                return self._start(host, found)
        return None

    def done(self, ref: bytes, *, well: bool, again: int | None) -> None:
        """An attempt is over. `well`: the host answered as it should. `again`: when its next row, or the same, may be tried."""
        host = self._runs.pop(ref)
        found = self._hosts[host]
        self._failing -= found.failing
        found.running -= 1
        if found.failing is well:
            found.failing = not well
            self._failing += -found.running if well else found.running
        if again is None:
            self._enter(host, found)
        else:
            self.put(ref, host, again)
        self._forget(host, found)
        room = FAILING - self._failing
        while self._aside and room > 0:
            aside = self._aside.popleft()
            if (waits := self._hosts.get(aside)) is not None:
                self._enter(aside, waits)
                room -= 1

    def next_due(self) -> int | None:
        """From when on `take` may have something, as far as time decides it."""
        return self._heap[0][0] if self._heap and len(self._runs) < ALL else None

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _start(self, host: str, found: _CalledHost) -> bytes:
        ref = heapq.heappop(found.waiting)[2]
        del self._numbers[ref]
        self._runs[ref] = host
        found.running += 1
        self._failing += found.failing
        self._enter(host, found)
        return ref

    def _enter(self, host: str, found: _CalledHost) -> None:
        """Its entry anew, where it has something to do and room; an older one counts no more."""
        self._clean(found)
        found.entry = 0
        if found.waiting and found.running < (1 if found.failing else HOST):
            found.entry = self._next()
            heapq.heappush(self._heap, (found.waiting[0][0], found.entry, host))

    def _clean(self, found: _CalledHost) -> None:
        while found.waiting and self._numbers.get(found.waiting[0][2]) != found.waiting[0][1]:
            heapq.heappop(found.waiting)

    def _forget(self, host: str, found: _CalledHost) -> None:
        """A host without anything to do is not remembered, or their number would grow for ever."""
        if not found.waiting and not found.running:
            self._hosts.pop(host, None)
