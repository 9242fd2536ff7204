"""The send queue of one peer: five queues by urgency, each bounded in messages and bytes. Pure.

Votes (0) go before proposals (1), and those before the rest; requests (2), transactions (3) and content (4) take turns, so that a
long sync starves nobody. Order is kept within a queue. A full transaction queue drops its oldest message (a newer transaction is
worth more and anybody else relays the old one); every other full queue refuses the new one (the sender learns it and asks again).
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from learningchain.p2p.wire import BATCH_BYTES, BATCH_MESSAGES, PIECE_BYTES, QUEUE_TRANSACTIONS, QUEUES, batch_frame, part_frame


class QueueLimit(NamedTuple):
    most: int
    """Messages."""
    size: int
    """Bytes."""


QUEUE_LIMITS: Final = (
    QueueLimit(8_192, 8_000_000),
    QueueLimit(256, 16_000_000),
    QueueLimit(1_024, 16_000_000),
    QueueLimit(8_192, 8_000_000),
    QueueLimit(256, 16_000_000),
)
"""LC-P2P-20: a peer that does not read costs at most this. Messages sent to many peers are shared between their queues."""
_STRICT: Final = 2
"""Queues below this number always go first."""


class SendQueues:
    """One peer's outgoing messages. `dropped[queue]` counts what did not fit."""

    __slots__ = ("_bytes", "_limits", "_queues", "_sent", "_turn", "dropped")

    def __init__(self, limits: tuple[QueueLimit, ...] = QUEUE_LIMITS) -> None:
        self._limits = limits
        self._queues: list[deque[bytes]] = [deque() for _ in range(QUEUES)]
        self._bytes = [0] * QUEUES
        self._sent = [0] * QUEUES
        """How much of each queue's first message went out in parts."""
        self._turn = 0
        self.dropped = [0] * QUEUES

    def __bool__(self) -> bool:
        return any(self._queues)

    @property
    def count(self) -> int:
        """Messages that wait."""
        return sum(len(q) for q in self._queues)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return sum(self._bytes)

    def waiting(self, queue: int) -> int:
        """Bytes that wait on one queue."""
        return self._bytes[queue]

    def push(self, queue: int, item: bytes) -> bool:
        """False when the message was dropped. Raises ValueError for a queue that does not exist."""
        if not 0 <= queue < QUEUES:
            raise ValueError(f"no queue {queue}")
        limit, waiting = self._limits[queue], self._queues[queue]
        while len(waiting) >= limit.most or (waiting and self._bytes[queue] + len(item) > limit.size):
            if queue != QUEUE_TRANSACTIONS or not self._drop_oldest(queue):
                self.dropped[queue] += 1
                return False
        waiting.append(item)
        self._bytes[queue] += len(item)
        return True

    def _drop_oldest(self, queue: int) -> bool:
        """The oldest message that is not half sent."""
        waiting = self._queues[queue]
        index = 1 if self._sent[queue] else 0
        if len(waiting) <= index:
            return False
        self._bytes[queue] -= len(waiting[index])
        del waiting[index]
        self.dropped[queue] += 1
        return True

    def next_frame(self) -> bytes | None:
        """The next frame to write: a part of a large message, or small messages together. None when nothing waits."""
        batch: list[bytes] = []
        size = 0
        for queue in self._order():
            waiting = self._queues[queue]
            while waiting:
                item = waiting[0]
                if len(item) > PIECE_BYTES:
                    return batch_frame(batch) if batch else self._next_part(queue)
                waiting.popleft()
                self._bytes[queue] -= len(item)
                batch.append(item)
                size += len(item) + 4
                if size >= BATCH_BYTES or len(batch) == BATCH_MESSAGES:
                    return batch_frame(batch)
        return batch_frame(batch) if batch else None

    def _order(self) -> tuple[int, ...]:
        """Strict queues first; the others begin with another one at every frame."""
        self._turn = (self._turn + 1) % (QUEUES - _STRICT)
        rest = [_STRICT + (self._turn + i) % (QUEUES - _STRICT) for i in range(QUEUES - _STRICT)]
        return (*range(_STRICT), *rest)

    def _next_part(self, queue: int) -> bytes:
        waiting = self._queues[queue]
        whole = waiting[0]
        frame, end = part_frame(queue, whole, self._sent[queue])
        if end == len(whole):
            waiting.popleft()
            self._bytes[queue] -= len(whole)
            end = 0
        self._sent[queue] = end
        return frame
