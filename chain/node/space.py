"""The space of the mempool, and who holds how much of it. Pure; every operation takes O(log n).

A transaction stands in one of four kinds of space. Their limits are nested: what one kind leaves empty, those behind it may use, so
that no flood of one kind takes the reserve of the next.

    GAP      waits for an earlier sequence of its lane       8 MB, 1 MB of one account
    COMMON   without a deadline                              40 MB with those above
    URGENT   with a deadline (LC-TX-7)                       56 MB with those above
    LOCAL    offered by a user of this node                  64 MB with those above

LC-NODE-61, LC-NODE-62.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

GAP, COMMON, URGENT, LOCAL = range(4)
NAMES = ("not ready", "common", "urgent", "local")
LIMITS = (8_000_000, 40_000_000, 56_000_000, 64_000_000)
"""Bytes of each kind together with the kinds before it."""
GAP_SHARE = 1_000_000
"""Bytes of one account that wait for an earlier sequence."""
GAP_BURST = 64_000
"""Of these, what nobody has to give up for ready ones of others: parts of a burst may overtake each other on their way."""
MIN_CHARGE = 1_280
"""Bytes that the smallest transaction counts: what keeping it costs beside its bytes, and so at most 50,000 fit."""
SPARE = 64
"""Outdated entries that a heap may hold beside as many as it needs."""


def charge(raw: bytes) -> int:
    """The space that a transaction takes, in bytes."""
    return max(len(raw), MIN_CHARGE)


class Holders:
    """One kind of space: the transactions of each account in it, and who holds most."""

    def __init__(self) -> None:
        self.total = 0
        self._charge: dict[bytes, int] = {}
        self._txs: dict[bytes, dict[bytes, int]] = {}
        """The charge of each transaction of an account, in the order in which they came in."""
        self._heap: list[tuple[int, bytes]] = []
        """(minus the charge, account) of every change; all but the last of an account are outdated."""

    def __len__(self) -> int:
        return len(self._txs)

    def of(self, account: bytes) -> int:
        return self._charge.get(account, 0)

    def put(self, account: bytes, tx: bytes, size: int) -> None:
        self._txs.setdefault(account, {})[tx] = size
        self._change(account, size)

    def take(self, account: bytes, tx: bytes) -> None:
        txs = self._txs[account]
        size = txs.pop(tx)
        if not txs:
            del self._txs[account]
        self._change(account, -size)

    def _change(self, account: bytes, size: int) -> None:
        self.total += size
        held = self._charge.get(account, 0) + size
        if held:
            self._charge[account] = held
            heapq.heappush(self._heap, (-held, account))
        else:
            del self._charge[account]
        if len(self._heap) > 2 * len(self._charge) + SPARE:
            self._heap = [(-held, account) for account, held in self._charge.items()]
            heapq.heapify(self._heap)

    def most(self) -> tuple[int, bytes]:
        """The largest holding and its account, the first in byte order of several; (0, b"") where nobody holds anything."""
        while self._heap:
            held, account = self._heap[0]
            if self._charge.get(account) == -held:
                return -held, account
            heapq.heappop(self._heap)
        return 0, b""

    def last(self, account: bytes) -> bytes:
        """Of a lane what came in last has the highest sequence: a transaction comes in behind its predecessor."""
        return next(reversed(self._txs[account]))


class Space:
    """The four kinds of space together."""

    def __init__(self) -> None:
        self.kinds: Sequence[Holders] = [Holders() for _ in LIMITS]

    def used(self, kind: int) -> int:
        """Bytes that count against a limit."""
        return sum(holders.total for holders in self.kinds[: kind + 1])

    def short_of(self, kind: int, size: int) -> int | None:
        """The first limit above which `size` more bytes of a kind would be, or None."""
        used = size
        for bound, holders in enumerate(self.kinds):
            used += holders.total
            if bound >= kind and used > LIMITS[bound]:
                return bound
        return None

    def waits(self, kind: int, size: int) -> bool:
        """Whether `size` bytes that were ready, of a kind, fit among those that wait: they now count against every limit before
        their own as well.
        """
        return all(self.used(bound) + size <= LIMITS[bound] for bound in range(kind))

    def victim(self, bound: int, kind: int, account: bytes, size: int) -> bytes | None:
        """What leaves so that `size` bytes of an account find space below a limit; None where they have to stay out.

        What is not ready goes first, but for a burst of each account; then the last one of who holds most, as long as that is
        more than the account would hold.
        """
        waiting, waiter = self.kinds[GAP].most()
        if kind != GAP and waiting > GAP_BURST:
            return self.kinds[GAP].last(waiter)
        rivals = (self.kinds[GAP],) if bound == GAP else self.kinds[COMMON : bound + 1]
        largest = max(rivals, key=lambda holders: holders.most()[0])
        held, holder = largest.most()
        # One behind a gap takes no ready one's place of its own account, nor of one that holds less.
        own = self.kinds if kind == GAP != bound else (self.kinds[kind],)
        return largest.last(holder) if held > sum(holders.of(account) for holders in own) + size else None
