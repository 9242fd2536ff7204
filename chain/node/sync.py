"""Catching up: which decided blocks to ask for, and of whom. Pure; one request is out at a time, each with a deadline.

A node is behind when a peer has decided more. The gossip of the current height closes a gap of one block by itself, so a request
goes out at once for larger gaps, and after PATIENCE for a gap of one.
"""

from __future__ import annotations

from dataclasses import dataclass

from chain.node.messages import MAX_SYNC_BLOCKS

PATIENCE = 600
"""Milliseconds at a height before a gap of one is closed by asking."""
DEADLINE = 5_000
MAX_PEERS = 1_024


@dataclass
class Asked:
    peer: bytes
    start: int
    until: int


class Sync:
    def __init__(self) -> None:
        self._heights: dict[bytes, int] = {}
        self._asked: Asked | None = None
        self._shunned: dict[bytes, int] = {}
        self._since = 0
        self._height = 0

    def peer(self, peer: bytes, height: int | None) -> None:
        """A peer's last decided height, or None when it has gone."""
        if height is None:
            self._heights.pop(peer, None)
            if self._asked is not None and self._asked.peer == peer:
                self._asked = None
        elif peer in self._heights or len(self._heights) < MAX_PEERS:
            self._heights[peer] = max(height, self._heights.get(peer, 0))

    def at(self, height: int, now: int) -> None:
        """This node's own last decided height."""
        self._height, self._since = height, now

    @property
    def best(self) -> int:
        return max(self._heights.values(), default=0)

    @property
    def behind(self) -> bool:
        """Two or more blocks behind somebody."""
        return self.best > self._height + 1

    def next_request(self, now: int) -> tuple[bytes, int, int] | None:
        """(peer, first height, count) to ask for now, if anything."""
        if self._asked is not None:
            if now < self._asked.until:
                return None
            self.failed(self._asked.peer, now)
        gap = self.best - self._height
        if gap <= 0 or (gap == 1 and now < self._since + PATIENCE):
            return None
        able = [p for p, h in self._heights.items() if h > self._height and self._shunned.get(p, 0) <= now]
        if not able:
            return None
        # The heights say who is able; the id breaks ties, rotated by height so that one peer does not serve everybody.
        peer = min(able, key=lambda p: bytes(b ^ (self._height & 0xFF) for b in p))
        self._asked = Asked(peer, self._height + 1, now + DEADLINE)
        return peer, self._height + 1, MAX_SYNC_BLOCKS

    def answered(self, peer: bytes) -> bool:
        """An answer came; false when nobody asked this peer."""
        if self._asked is None or self._asked.peer != peer:
            return False
        self._asked = None
        return True

    def failed(self, peer: bytes, now: int) -> None:
        """No useful answer: ask others first for a while, and believe its height again when it says it again."""
        self._asked = None
        self._shunned[peer] = now + 2 * DEADLINE
        self._heights.pop(peer, None)
        if len(self._shunned) > MAX_PEERS:
            self._shunned = {p: t for p, t in self._shunned.items() if t > now}
