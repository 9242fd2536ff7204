"""Catching up: which decided blocks to ask for, and of whom. Pure; one request is out at a time, each with a deadline.

The next one goes out when the answer to the last has come, before it is executed.

A node is behind when a peer has decided more. Between validators the votes of the current height close a gap of one block by
themselves, so a request goes out at once for larger gaps, and for a gap of one after `patience` and the time that a height takes.

Of the peers that can be asked, the one that was waited for least comes next: who answers late, little by little or never delays a
node by its own part of the time, however often it says that it is ahead. Who says that it keeps the next block no more is not asked
for it, and nothing is wrong with it. LC-NODE-22, 24, 64, 71.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from learningchain.chain.node.messages import MAX_SYNC_BLOCKS

PATIENCE = 600
"""Milliseconds at a height before a gap of one is closed by asking."""
MAX_PACE = 2_000
HELD = 2_000
"""The same where the block that seems to have been decided is here: a certificate is all that is missing."""
DEADLINE = 5_000
BACKOFF_MS, MAX_BACKOFF_MS = 1_000, 300_000
"""For how long others are asked instead of a peer without a useful answer: doubled every time, until it gives one."""
MAX_PEERS = 1_024


@dataclass
class Asked:
    peer: bytes
    start: int
    until: int
    since: int


class Sync:
    def __init__(self) -> None:
        self._heights: dict[bytes, int] = {}
        self._firsts: dict[bytes, int] = {}
        """The first height that a peer keeps, where that is not 1 and it told so."""
        self._asked: Asked | None = None
        self._backed_off: dict[bytes, tuple[int, int]] = {}
        """Until when others are asked instead of a peer, and for how long that was."""
        self._waited: dict[bytes, int] = {}
        """Milliseconds for which each peer was waited for; who goes and comes again keeps them."""
        self._now = 0
        self._since = 0
        self._pace = 0
        """How long the last height took here: under load the next one takes as long, and needs nobody's help."""
        self._height = 0
        self.patience = PATIENCE
        self.holds: Callable[[int], bool] = lambda now: False
        """Whether no blocks are asked for now: a snapshot is on its way."""
        self.ceiling: Callable[[], int | None] = lambda: None
        """The highest block that is asked for, where there is one."""

    def peer(self, peer: bytes, height: int | None, first: int | None = None) -> None:
        """A peer's last decided height, or None when it has gone; and the first height that it keeps, where it told that."""
        if height is None:
            self._heights.pop(peer, None)
            self._firsts.pop(peer, None)
            if self._asked is not None and self._asked.peer == peer:
                self._close(self._now)
        elif peer in self._heights or len(self._heights) < MAX_PEERS:
            self._heights[peer] = max(height, self._heights.get(peer, 0))
            if first is not None:
                self._firsts[peer] = first

    def at(self, height: int, now: int) -> None:
        """This node's own last decided height."""
        self._now = now
        self._pace = min(now - self._since, MAX_PACE) if height == self._height + 1 else 0
        self._height, self._since = height, now

    @property
    def height(self) -> int:
        """This node's own last decided height."""
        return self._height

    @property
    def best(self) -> int:
        """The highest height that a peer tells."""
        return max(self._heights.values(), default=0)

    def hold(self) -> None:
        """A block of the next height is here and valid: to all appearance only votes are missing."""
        if self.patience:
            self.patience = HELD

    def reported(self, height: int) -> frozenset[bytes]:
        """The peers that tell this height, or a higher one."""
        return frozenset(peer for peer, h in self._heights.items() if h >= height)

    def trusted_height(self, now: int, among: Collection[bytes] | None = None) -> int:
        """The highest height that a peer tells (one of `among`) whose word held when it was asked last."""
        told = (h for p, h in self._heights.items() if (among is None or p in among) and self._trusted(p, now))
        return max(told, default=0)

    def far_ahead(self, gap: int, now: int) -> list[bytes]:
        """The peers that tell a height so far above this node's, whose word held when they were asked last."""
        return sorted(p for p, h in self._heights.items() if h >= self._height + gap and self._trusted(p, now))

    def _keeps(self, peer: bytes, height: int) -> bool:
        """Whether it may be asked for this height: an honest node that dropped it says so (LC-NODE-71)."""
        return self._firsts.get(peer, 1) <= height

    @property
    def next_is_pruned(self) -> bool:
        """Whether peers are ahead, and all of them say that they keep the next block no more."""
        further = [p for p, h in self._heights.items() if h > self._height]
        return bool(further) and not any(self._keeps(p, self._height + 1) for p in further)

    def ahead(self) -> bytes | None:
        """A peer that decided what this node has not, and that may still be asked."""
        return next((p for p, h in self._heights.items() if h > self._height), None)

    def _trusted(self, peer: bytes, now: int) -> bool:
        until, _ = self._backed_off.get(peer, (0, 0))
        return until <= now

    def next_request(self, now: int, arrived: int = 0) -> tuple[bytes, int, int] | None:
        """(peer, first height, count) to ask for now, if anything. `arrived` is the last height that is here, to be executed."""
        self._now, have = now, max(self._height, arrived)
        if self._asked is not None:
            if now >= self._asked.until:
                self.failed(self._asked.peer, now)
            elif self._is_late(self._asked, now):
                self._close(now)
            else:
                return None
        ceiling = self.ceiling()
        gap = (self.best if ceiling is None else min(self.best, ceiling)) - have
        if self.holds(now) or gap <= 0:
            return None
        if gap == 1 and now < self._since + self.patience + (self._pace if self.patience else 0):
            return None
        able = [p for p, h in self._heights.items() if h > have and self._keeps(p, have + 1)]
        able = [p for p in able if self._trusted(p, now)] or able
        if not able:
            return None
        # The id breaks ties, rotated by height so that one peer does not serve everybody.
        least = self._least()
        peer = min(able, key=lambda p: (self._spent(p, least), bytes(b ^ (have & 0xFF) for b in p)))
        self._asked = Asked(peer, have + 1, now + DEADLINE, now)
        return peer, have + 1, MAX_SYNC_BLOCKS if ceiling is None else min(MAX_SYNC_BLOCKS, ceiling - have)

    def _least(self) -> int:
        """What everybody counts for at least: of those that tell a height nobody is more than DEADLINE behind another one."""
        return max((self._waited.get(p, 0) for p in self._heights), default=0) - DEADLINE

    def _spent(self, peer: bytes, least: int) -> int:
        """For how long it was waited for."""
        return max(self._waited.get(peer, 0), least)

    def _is_late(self, asked: Asked, now: int) -> bool:
        """Whether another peer that has what was asked for was waited for so much less that it comes next."""
        least = self._least()
        rest = self._spent(asked.peer, least) + now - asked.since - DEADLINE
        others = [
            p
            for p, h in self._heights.items()
            if h >= asked.start and self._keeps(p, asked.start) and p != asked.peer and self._trusted(p, now)
        ]
        return any(self._spent(p, least) <= rest for p in others)

    def _close(self, now: int) -> None:
        """Nothing is asked any more; the time counts."""
        if self._asked is not None:
            peer = self._asked.peer
            self._waited[peer] = self._spent(peer, self._least()) + max(0, now - self._asked.since)
            self._asked = None
            while len(self._waited) > MAX_PEERS:
                del self._waited[next(iter(self._waited))]

    def answered(self, peer: bytes, first: int | None = None, now: int = 0) -> int | None:
        """An answer came that begins with this height (None: it is empty): the height that was asked for, or None when nobody asked
        this peer for it. A node that starts again, further behind, can get the answer to what it asked before."""
        if self._asked is None or self._asked.peer != peer or first not in (None, self._asked.start):
            return None
        start = self._asked.start
        self._close(now)
        return start

    def useful(self, peer: bytes) -> None:
        """Its answer brought what was asked for."""
        self._backed_off.pop(peer, None)

    def failed(self, peer: bytes, now: int) -> None:
        """No useful answer: ask others first for a while, and believe its height again when it says it again."""
        self._close(now)
        _, before = self._backed_off.get(peer, (0, 0))
        span = min(MAX_BACKOFF_MS, max(BACKOFF_MS, 2 * before))
        self._backed_off[peer] = (now + span, span)
        self._heights.pop(peer, None)
        while len(self._backed_off) > MAX_PEERS:
            del self._backed_off[next(iter(self._backed_off))]
