"""Tells which refs left the state while this node was off, or never were in it. Pure.

A missing record alone says nothing: a node that begins anew from an empty database has no record yet. So a ref is gone once it was
missing for `GONE_MS` in states that were recent.
"""

from __future__ import annotations

from collections.abc import Collection

from learningchain.client.work.events import RECENT_MS, Chain

GONE_MS = 2 * RECENT_MS
"""Chain clock. Longer than a recent state may be behind: whatever there was when a ref was first missed is in it."""


class GoneRefs:
    """Counts for how long refs have been missing."""

    def __init__(self) -> None:
        self._missing: dict[bytes, int] = {}
        """By ref, since which chain clock."""

    def look(self, given: Chain, missing: Collection[bytes]) -> list[bytes]:
        """Return which of the refs that this state does not have (`missing`) are gone, sorted.

        The count of a ref begins anew when it was in the state meanwhile, and all counts do when this node was behind.
        """
        if not given.recent:
            self._missing.clear()
            return []
        self._missing = {ref: self._missing.get(ref, given.clock) for ref in missing}
        return sorted(ref for ref, since in self._missing.items() if given.clock >= since + GONE_MS)
