"""What blocks say of a node, counted as they become final: time to finality, rounds, transactions, events. For its metrics.

It follows what is decided and scans nothing: a block costs a few additions and one look at a table for each event. Times are
handed in. Labels are those of tables that this program has, so their number is bounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from learningchain.chain.node.events import Decided
from learningchain.chain.types import LogEvent, TransferEvent

SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
MAX_TAKEN: Final = 20_000
"""Transactions whose way to a block is timed; beyond it, those taken longest ago are not."""
OTHER: Final = "other"


class Figure(NamedTuple):
    """A metric: its name, what it is, the names of its labels, and its value for each of their values, whose number is bounded."""

    name: str
    text: str
    labels: tuple[str, ...]
    values: Mapping[tuple[str, ...], float]


class OwnFigures(Protocol):
    """What a contract counts of this node (`figures` of its slice)."""

    def saw(self, event: LogEvent | TransferEvent) -> None:
        """An event of a block that became final, in their order. Costs a few look-ups."""
        ...

    def figures(self) -> Iterable[Figure]:
        """Counters."""
        ...


class Distribution:
    """Counts of values up to each bound, as Prometheus' histograms have them."""

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self._bounds, self.sum = bounds, 0.0
        self._counts = [0] * (len(bounds) + 1)

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """The upper bound as text, and how many values there were up to it."""
        found, seen = [], 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            seen += count
            found.append((bound, float(seen)))
        return found


class HistogramFigure(NamedTuple):
    """A histogram: its name, what it is, and what was counted."""

    name: str
    text: str
    found: Distribution


AnyFigure = Figure | HistogramFigure


class BlockFigures:
    def __init__(self, topics: Mapping[str, str], own: Sequence[OwnFigures] = ()) -> None:
        """`topics`: the contract of each event that there is."""
        self._topics, self.own = topics, own
        self.block_seconds, self.tx_seconds = Distribution(), Distribution()
        self.blocks = self.live = self.rounds = 0
        self.txs: Counter[str] = Counter({"applied": 0, "refused": 0})
        self.dropped = 0
        self.events: Counter[tuple[str, str]] = Counter()
        self._taken: OrderedDict[bytes, float] = OrderedDict()

    def taken(self, tx: bytes, now_s: float) -> None:
        """A transaction entered this node's pool from one of its users."""
        self._taken.setdefault(tx, now_s)
        if len(self._taken) > MAX_TAKEN:
            self._taken.popitem(last=False)

    def counted_events(self) -> dict[tuple[str, str], int]:
        """By contract and topic; those that never came count 0, so that their first one is seen as a rise."""
        return {(contract, topic): 0 for topic, contract in self._topics.items()} | self.events

    def lost(self, tx: bytes) -> None:
        """It left the pool for good, and stands in no block."""
        self.dropped += self._taken.pop(tx, None) is not None

    def decided(self, d: Decided, now_ms: int, now_s: float, *, live: bool) -> None:
        """A block is final. `now_ms`: wall clock; `now_s`: of the clock of `taken`; `live`: it was not fetched later."""
        self.blocks += 1
        self.rounds += d.header.round
        if live:
            self.live += 1
            self.block_seconds.add(max(0, now_ms - d.header.time) / 1_000)
        for tx, receipt in d.executed_blocks():
            if tx is not None:
                self.txs["refused" if receipt.code else "applied"] += 1
                if (since := self._taken.pop(tx, None)) is not None:
                    self.tx_seconds.add(now_s - since)
            for event in receipt.events:
                for part in self.own:
                    part.saw(event)
                if isinstance(event, LogEvent):
                    contract = self._topics.get(event.topic)
                    self.events[(contract, event.topic) if contract else (OTHER, OTHER)] += 1
