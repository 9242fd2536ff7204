"""The send queue of one peer: five lanes by urgency, each bounded in messages and bytes. Pure.

Votes (0) go before proposals (1), and those before the rest; requests (2), transactions (3) and content (4) take turns, so that a
long sync starves nobody. Order is kept within a lane. A full transaction lane drops its oldest message (a newer transaction is
worth more and anybody else relays the old one); every other full lane refuses the new one (the sender learns it and asks again).
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from p2p.wire import BATCH_BYTES, BATCH_MESSAGES, LANE_TRANSACTIONS, LANES, PIECE_BYTES, batch_frame, part_frame


class LaneLimit(NamedTuple):
    most: int
    """Messages."""
    size: int
    """Bytes."""


LANE_LIMITS: Final = (
    LaneLimit(8_192, 8_000_000),
    LaneLimit(256, 16_000_000),
    LaneLimit(1_024, 16_000_000),
    LaneLimit(8_192, 8_000_000),
    LaneLimit(256, 16_000_000),
)
"""LC-P2P-20: a peer that does not read costs at most this. Messages sent to many peers are shared between their queues."""
_STRICT: Final = 2
"""Lanes below this number always go first."""


class Lanes:
    """One peer's outgoing messages. `dropped[lane]` counts what did not fit."""

    __slots__ = ("_bytes", "_limits", "_queues", "_sent", "_turn", "dropped")

    def __init__(self, limits: tuple[LaneLimit, ...] = LANE_LIMITS) -> None:
        self._limits = limits
        self._queues: list[deque[bytes]] = [deque() for _ in range(LANES)]
        self._bytes = [0] * LANES
        self._sent = [0] * LANES
        """How much of each lane's first message went out in parts."""
        self._turn = 0
        self.dropped = [0] * LANES

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

    def waiting(self, lane: int) -> int:
        """Bytes that wait on one lane."""
        return self._bytes[lane]

    def push(self, lane: int, item: bytes) -> bool:
        """False when the message was dropped. Raises ValueError for a lane that does not exist."""
        if not 0 <= lane < LANES:
            raise ValueError(f"no lane {lane}")
        limit, queue = self._limits[lane], self._queues[lane]
        while len(queue) >= limit.most or (queue and self._bytes[lane] + len(item) > limit.size):
            if lane != LANE_TRANSACTIONS or not self._drop_oldest(lane):
                self.dropped[lane] += 1
                return False
        queue.append(item)
        self._bytes[lane] += len(item)
        return True

    def _drop_oldest(self, lane: int) -> bool:
        """The oldest message that is not half sent."""
        queue = self._queues[lane]
        index = 1 if self._sent[lane] else 0
        if len(queue) <= index:
            return False
        self._bytes[lane] -= len(queue[index])
        del queue[index]
        self.dropped[lane] += 1
        return True

    def next_frame(self) -> bytes | None:
        """The next frame to write: a part of a large message, or small messages together. None when nothing waits."""
        batch: list[bytes] = []
        size = 0
        for lane in self._order():
            queue = self._queues[lane]
            while queue:
                item = queue[0]
                if len(item) > PIECE_BYTES:
                    return batch_frame(batch) if batch else self._next_part(lane)
                queue.popleft()
                self._bytes[lane] -= len(item)
                batch.append(item)
                size += len(item) + 4
                if size >= BATCH_BYTES or len(batch) == BATCH_MESSAGES:
                    return batch_frame(batch)
        return batch_frame(batch) if batch else None

    def _order(self) -> tuple[int, ...]:
        """Strict lanes first; the others begin with another one at every frame."""
        self._turn = (self._turn + 1) % (LANES - _STRICT)
        rest = [_STRICT + (self._turn + i) % (LANES - _STRICT) for i in range(LANES - _STRICT)]
        return (*range(_STRICT), *rest)

    def _next_part(self, lane: int) -> bytes:
        queue = self._queues[lane]
        whole = queue[0]
        frame, end = part_frame(lane, whole, self._sent[lane])
        if end == len(whole):
            queue.popleft()
            self._bytes[lane] -= len(whole)
            end = 0
        self._sent[lane] = end
        return frame
