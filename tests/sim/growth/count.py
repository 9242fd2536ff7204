"""What every node sent and received, by kind."""

from __future__ import annotations

from collections import Counter

KINDS = {
    1: "transactions",
    2: "transactions",
    3: "transactions",
    4: "proposals",
    5: "votes",
    6: "certificates",
    7: "round states",
    8: "heights",
    9: "proposals",
    10: "proposals",
    11: "proposals",
    12: "blocks",
    13: "blocks",
    14: "links",
}
"""By the tag of a NODE message."""


class Counts:
    """`messages` and `bytes` of each node, in and out together; by kind for each half of the graph."""

    def __init__(self, validators: int, nodes: int) -> None:
        self._validators = validators
        self.messages, self.bytes = [0] * nodes, [0] * nodes
        self.kinds: Counter[tuple[str, bool]] = Counter()
        """Messages received, by (kind, whether the receiver votes)."""
        self.sizes: Counter[tuple[str, bool]] = Counter()

    def note(self, source: int, target: int, kind: str, size: int) -> None:
        for node in (source, target):
            self.messages[node] += 1
            self.bytes[node] += size
        key = (kind, target < self._validators)
        self.kinds[key] += 1
        self.sizes[key] += size
