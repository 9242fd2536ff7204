"""Deadlines that wait, and which of them run in a block: a fair share for every account (LC-BLK-14).

    keys       d/ account time contract ref  sorted: the deadlines of one account lie together, its next one first
    deadlines  time account                  sorted: the next deadline of every account

A block looks only at the accounts whose next deadline is due, and at no more deadlines than it runs: however many wait, they cost
the others nothing. What they will do is weighed before they run, so what fails and is undone counts as well, and who has heavy ones
waits for them alone. A *place* is time, account, contract, ref: the order in which deadlines run.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

SHARES = 8
"""One account has at most one part in so many of a block's deadlines while others wait."""
PREFIX = b"d/"
_ACCOUNT, _TIME = slice(2, 22), slice(22, 30)
Waiting = tuple[bytes, int]
"""(place, index of the key)"""


@dataclass(frozen=True)
class DeadlineBudget:
    """What deadlines may take: so many, and so much work by LC-BLK-31. The one that reaches the work still runs."""

    count: int
    work: int

    def share(self) -> DeadlineBudget:
        return DeadlineBudget(max(1, self.count // SHARES), max(1, self.work // SHARES))

    def less(self, work: int) -> DeadlineBudget:
        """After one more deadline of this work."""
        return DeadlineBudget(self.count - 1, self.work - work)

    @property
    def left(self) -> bool:
        return self.count > 0 and self.work > 0


def _place(key: bytes) -> bytes:
    return key[_TIME] + key[_ACCOUNT] + key[30:]


def _key(place: bytes) -> bytes:
    return PREFIX + place[8:28] + place[:8] + place[28:]


class DeadlineQueue:
    """The next deadline of every account. `keys` is the sorted listing of deadlines; its owner tells of changes."""

    def __init__(self, keys: list[bytes]) -> None:
        self._times: dict[bytes, bytes] = {}
        for key in keys:
            self._times.setdefault(key[_ACCOUNT], key[_TIME])
        self._sorted = sorted(time + account for account, time in self._times.items())

    def changed(self, keys: list[bytes], moved: Iterable[bytes]) -> None:
        """The keys `moved` were put into the listing or taken out of it."""
        for account in sorted({key[_ACCOUNT] for key in moved}):
            prefix = PREFIX + account
            at = bisect_left(keys, prefix)
            time = keys[at][_TIME] if at < len(keys) and keys[at].startswith(prefix) else None
            before = self._times.get(account)
            if time == before:
                continue
            if before is not None:
                del self._sorted[bisect_left(self._sorted, before + account)]
                del self._times[account]
            if time is not None:
                insort(self._sorted, time + account)
                self._times[account] = time

    def earliest(self) -> int | None:
        """Chain clock of the next deadline, or None."""
        return int.from_bytes(self._sorted[0][:8], "big") if self._sorted else None

    def choose(self, keys: list[bytes], clock: int, budget: DeadlineBudget, work: Callable[[bytes], int]) -> list[bytes]:
        """LC-BLK-14: the keys of the deadlines that run in a block with this clock, in their order. `work` of a key: LC-BLK-31."""
        now, share = clock.to_bytes(8, "big"), budget.share()
        chosen: list[bytes] = []
        waiting: Iterable[Waiting] = self._due(keys, now)
        while budget.left:
            taken, waiting, budget = _round(keys, waiting, now, share, budget, work)
            if not taken:
                break
            chosen += taken
        return [_key(place) for place in sorted(chosen)]

    def _due(self, keys: list[bytes], now: bytes) -> Iterator[Waiting]:
        for entry in self._sorted:
            if entry[:8] > now:
                return
            index = bisect_left(keys, PREFIX + entry[8:] + entry[:8])
            yield _place(keys[index]), index


def _round(
    keys: list[bytes],
    waiting: Iterable[Waiting],
    now: bytes,
    share: DeadlineBudget,
    budget: DeadlineBudget,
    work: Callable[[bytes], int],
) -> tuple[list[bytes], list[Waiting], DeadlineBudget]:
    """Of each account its `share` of deadlines, the first of them all that fit into `budget`; what the accounts go on with after
    theirs, and the budget that is left.

    `waiting` has the next deadline of each account, in order.
    """
    begin = iter(waiting)
    following = next(begin, None)
    queue: list[Waiting] = []
    shares: dict[bytes, DeadlineBudget] = {}
    taken: list[bytes] = []
    left: list[Waiting] = []
    while budget.left and (queue or following is not None):
        if following is not None and (not queue or following < queue[0]):
            place, index = following
            following = next(begin, None)
        else:
            place, index = heappop(queue)
        taken.append(place)
        account, took = place[8:28], work(keys[index])
        budget = budget.less(took)
        shares[account] = shares.get(account, share).less(took)
        index += 1
        if index < len(keys) and keys[index][_ACCOUNT] == account and keys[index][_TIME] <= now:
            one = (_place(keys[index]), index)
            if shares[account].left:
                heappush(queue, one)
            else:
                left.append(one)
    return taken, sorted(left), budget
