"""What a peer may cost: rates of what it sends, and its standing after messages that were refused. Pure; time comes in.

The node counts with buckets of its own, in integers: `chain.node.token_bucket` says why.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass


class TokenBucket:
    """A token bucket that allows debt: `take` says how long to stop reading before the next message."""

    __slots__ = ("_burst", "_level", "_then", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate, self._burst, self._level, self._then = rate, burst, burst, now

    def take(self, now: float, amount: float) -> float:
        """Seconds to wait until the debt is paid (0: go on)."""
        self._level = min(self._burst, self._level + max(0.0, now - self._then) * self.rate) - amount
        self._then = now
        return 0.0 if self._level >= 0 else -self._level / self.rate

    def spend(self, now: float, amount: float) -> bool:
        """Whether there is enough; only then it is taken. For what is refused otherwise: refusals leave no debt."""
        if self.take(now, amount) > 0:
            self._level += amount
            return False
        return True


class Meter:
    """What one member sends, over all its connections: connecting again buys nothing."""

    __slots__ = ("_connections", "bytes", "messages")

    def __init__(self, bytes_per_s: float, messages_per_s: float, burst_s: float, connections: float, now: float) -> None:
        """`connections`: how many it may open at once after a rest; one in a second after that."""
        self.bytes = TokenBucket(bytes_per_s, bytes_per_s * burst_s, now)
        self.messages = TokenBucket(messages_per_s, messages_per_s * burst_s, now)
        self._connections = TokenBucket(1.0, connections, now)

    def connects(self, now: float) -> bool:
        """Whether it may connect now; it counts if so."""
        return self._connections.spend(now, 1.0)


@dataclass(slots=True)
class _PeerScore:
    score: float = 0.0
    then: float = 0.0
    blocked_until: float = 0.0
    blocks: int = 0


class PeerScores:
    """Scores of members that sent what the rules refuse. A score halves every `half_life` seconds; at `limit` the member is
    blocked, each time twice as long, up to `longest`. Keeps `capacity` members, the least recently seen go first."""

    def __init__(self, *, limit: float, half_life: float, block: float, longest: float, capacity: int = 4_096) -> None:
        self._limit, self._half_life, self._block, self._longest, self._capacity = limit, half_life, block, longest, capacity
        self._records: OrderedDict[bytes, _PeerScore] = OrderedDict()

    def score(self, peer: bytes, now: float) -> float:
        record = self._records.get(peer)
        return 0.0 if record is None else record.score * 0.5 ** (max(0.0, now - record.then) / self._half_life)

    def penalize(self, peer: bytes, now: float, amount: float) -> bool:
        """True when this penalty blocks the peer."""
        score = self.score(peer, now) + amount
        record = self._records.setdefault(peer, _PeerScore())
        self._records.move_to_end(peer)
        record.score, record.then = score, now
        while len(self._records) > self._capacity:
            self._records.popitem(last=False)
        if score < self._limit:
            return False
        record.score = 0.0
        record.blocked_until = now + min(self._longest, self._block * 2.0 ** min(record.blocks, 30))
        record.blocks += 1
        return True

    def blocked_for(self, peer: bytes, now: float) -> float:
        """Seconds for which this peer stays blocked, 0 when it is not."""
        record = self._records.get(peer)
        return 0.0 if record is None else max(0.0, record.blocked_until - now)

    def blocked(self, now: float) -> set[bytes]:
        """Everybody who is blocked."""
        return {peer for peer, record in self._records.items() if record.blocked_until > now}
