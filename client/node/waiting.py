"""Messages of peers that may wait for their turn: in order of arrival, but nobody far ahead of the others. Bounded.

    put --> the line, in order of arrival, where less than SHARE bytes of the same peer stand in it
        --> otherwise behind it, with the peer's own: what leaves the line makes room for the peer's next one
        --> full: whoever holds most loses its newest

So a message waits for at most SHARE bytes of each other peer, however much they send. A peer's own messages keep their order.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Generic, TypeVar

T = TypeVar("T")

SHARE = 512 * 2**10
"""Bytes of one peer in the line: a fifth of a second's work, from which on the node's users have to wait as well."""


class WaitingLine(Generic[T]):
    """At most `most` bytes, and one message of each peer beyond. `dropped` counts the messages that found no room."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._line: deque[tuple[bytes, T, int]] = deque()
        self._in_line: Counter[bytes] = Counter()
        self._behind: dict[bytes, deque[tuple[T, int]]] = {}
        self._held: Counter[bytes] = Counter()
        """Bytes of each peer, in the line and behind it."""
        self.size = 0
        self.dropped = 0

    def __bool__(self) -> bool:
        return bool(self._line)

    @property
    def crowd(self) -> int:
        """Bytes that wait, but for the third of the peers (rounded up) that has most: so many may send junk."""
        sizes = sorted(size for size in self._held.values() if size)
        return sum(sizes[: len(sizes) - (len(sizes) + 2) // 3])

    def put(self, peer: bytes, item: T, size: int) -> None:
        while self._held[peer] and self.size + size > self._most:
            largest = max(self._held, key=lambda p: self._held[p])
            if self._held[largest] <= self._held[peer] + size or not self._drop_newest(largest):
                self.dropped += 1
                return
        self._held[peer] += size
        self.size += size
        if peer in self._behind or (self._in_line[peer] and self._in_line[peer] + size > SHARE):
            self._behind.setdefault(peer, deque()).append((item, size))
        else:
            self._enter(peer, item, size)

    def _enter(self, peer: bytes, item: T, size: int) -> None:
        self._in_line[peer] += size
        self._line.append((peer, item, size))

    def _drop_newest(self, peer: bytes) -> bool:
        """Of those behind the line: what stands in it is little, and its turn is near."""
        behind = self._behind.get(peer)
        if behind is None:
            return False
        _, size = behind.pop()
        if not behind:
            del self._behind[peer]
        self._less(peer, size)
        self.dropped += 1
        return True

    def pop(self) -> T:
        """Raises IndexError where nothing waits."""
        peer, item, size = self._line.popleft()
        self._less(peer, size)
        self._in_line[peer] -= size
        behind = self._behind.get(peer, deque())
        while behind and (not self._in_line[peer] or self._in_line[peer] + behind[0][1] <= SHARE):
            self._enter(peer, *behind.popleft())
        if not behind:
            self._behind.pop(peer, None)
        if not self._in_line[peer]:
            del self._in_line[peer]
        return item

    def _less(self, peer: bytes, size: int) -> None:
        self.size -= size
        self._held[peer] -= size
        if not self._held[peer]:
            del self._held[peer]
