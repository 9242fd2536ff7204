"""The serving half of the exchange: whose turn it is to be sent a block. A machine without I/O.

Peers take turns block by block; each has a bounded queue and few blocks under way, and none while what it was sent before waits for
it, so a peer that asks for much, or reads slowly, delays itself alone (LC-CONTENT-13). Over all peers the node says when there is
room for another block; until then all wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from learningchain.p2p.content.cid import Cid

MAX_QUEUED = 64
"""Wants of one peer that wait; more are dropped (nobody who follows the protocol has so many under way)."""
MAX_PER_PEER = 4
MAX_ACTIVE = 16
MAX_UNSENT = 4 * 2**20
"""Bytes that wait for a peer, from which on no block is read for it: the 16 blocks that a peer may be asked for."""


class Serve(msgspec.Struct, frozen=True):
    """Read block `cid` of `root` and send it to `peer` (`Block`, or `DontHave` when it cannot be read), then give in `Served`."""

    peer: bytes
    root: Cid
    cid: Cid


class Serving:
    def __init__(
        self, allowed: Callable[[bytes, Cid], bool], queued: Callable[[bytes], int], has_room: Callable[[], bool] = lambda: True
    ) -> None:
        """`has_room()`: whether the node may begin an answer now, by what it sent to all peers (LC-NODE-72)."""
        self.allowed, self._queued, self._has_room = allowed, queued, has_room
        self._queues: dict[bytes, deque[tuple[Cid, Cid]]] = {}
        self._active: dict[bytes, int] = {}

    def want(self, peer: bytes, root: Cid, cids: list[Cid]) -> list[Serve]:
        """Queue a peer's wants. Permission was checked by the caller and is checked again when each one's turn comes."""
        queue = self._queues.setdefault(peer, deque())
        queue.extend((root, cid) for cid in cids[: MAX_QUEUED - len(queue)])
        return self.next()

    def served(self, peer: bytes) -> list[Serve]:
        """A `Serve` of this peer ended, well or not."""
        left = self._active.get(peer, 0) - 1
        if left > 0:
            self._active[peer] = left
        else:
            self._active.pop(peer, None)
        return self.next()

    def down(self, peer: bytes) -> None:
        """Forget what waits; what is under way still ends with `served`."""
        self._queues.pop(peer, None)

    @property
    def active(self) -> int:
        return sum(self._active.values())

    @property
    def waiting(self) -> bool:
        return bool(self._queues)

    def next(self) -> list[Serve]:
        """As many as there is room for. The peer with the fewest under way is next, of equals the one that waits longest."""
        effects: list[Serve] = []
        able = [p for p in self._queues if self._queued(p) < MAX_UNSENT]
        while able and self.active < MAX_ACTIVE and self._has_room():
            peer = min(able, key=lambda p: self._active.get(p, 0))
            if self._active.get(peer, 0) >= MAX_PER_PEER:
                break
            able.remove(peer)
            effect = self._take(peer)
            if peer in self._queues:
                able.append(peer)
            if effect is not None:
                effects.append(effect)
        return effects

    def _take(self, peer: bytes) -> Serve | None:
        """The peer's next permitted want; it then goes to the end of the line."""
        queue = self._queues.pop(peer)
        while queue:
            root, cid = queue.popleft()
            if self.allowed(peer, root):
                if queue:
                    self._queues[peer] = queue
                self._active[peer] = self._active.get(peer, 0) + 1
                return Serve(peer, root, cid)
        return None
