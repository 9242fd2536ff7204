"""How many bytes of files a node sends each peer in a day, so that nobody has a link to itself for ever (LC-CONTENT-21). Pure.

A peer's day begins with the first byte that it is sent after the one before ended. Connecting again changes nothing;
a restart of the node begins all days anew.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

DAY_MS: Final = 86_400_000
MAX_PEERS: Final = 65_536
"""Days that are kept; the one that began first goes."""


class DaysOfPeers:
    """`most`: bytes of a peer's day; 0: as many as it likes. `now` is in milliseconds of one monotonic clock."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._days: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        """By peer, in the order of their begins: when its day began, and the bytes since."""

    def add(self, peer: bytes, size: int, now: int) -> bool:
        """Count what was sent. Whether the peer has had all of its day with this."""
        if not self._most:
            return False
        while self._days and now - next(iter(self._days.values()))[0] >= DAY_MS:
            self._days.popitem(last=False)
        began, before = self._days.get(peer, (now, 0))
        self._days[peer] = began, before + size
        if len(self._days) > MAX_PEERS:
            self._days.popitem(last=False)
        return before < self._most <= before + size

    def wait_ms(self, peer: bytes, now: int) -> int:
        """Until the peer is sent anything more; 0: it is now."""
        began, size = self._days.get(peer, (now - DAY_MS, 0))
        return max(0, began + DAY_MS - now) if self._most and size >= self._most else 0
