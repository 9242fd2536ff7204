"""What blocks changed of the keys that a contract watches, told to its machines in small pieces. Pure.

At the start, and after the feed was lost, everything that lives counts as changed, in the order of the keys; what comes to live
meanwhile is told by the feed as well. However much lives, a piece looks at no more keys than it has, and costs the loop that votes
a few milliseconds.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from learningchain.chain.ledger.state import State
from learningchain.client.work.events import Changed
from learningchain.client.work.machine import Machine, Watch, WorkPart

MAX_PIECE = 64
"""Keys in one piece."""


class WatchedChanges:
    """`watch` None: nothing is told."""

    def __init__(self, state: State, watch: Watch | None) -> None:
        self._state, self._watch = state, watch
        self._feed = state.follow(watch.follow if watch else ())
        self._after: bytes | None = None
        """The last key of those that live that was told; None where all were."""
        self._anew = watch is not None

    def again(self) -> None:
        """Tell everything that lives anew: whoever is told judges it by other settings now."""
        self._anew = self._watch is not None

    @property
    def complete(self) -> bool:
        """Everything that lives was told since the start."""
        return self._watch is None or not (self._anew or self._after is not None or self._feed.lost)

    def take(self) -> Changed | None:
        """The next piece; None where nothing changed since the last one."""
        watch = self._watch
        if watch is None:
            return None
        anew = self._anew or self._feed.lost
        if anew:
            self._feed.restart()
            self._after, self._anew = watch.live, False
        keys = list(self._feed.take(MAX_PIECE))
        keys += self._living(watch, MAX_PIECE - len(keys))
        return Changed(self._state, tuple(keys), anew) if keys or anew else None

    def _living(self, watch: Watch, most: int) -> list[bytes]:
        """The next of those that live and were not told yet."""
        if self._after is None or most == 0:
            return []
        living = self._state.keys(watch.live)
        start = bisect_right(living, self._after)
        found = living[start : start + most]
        self._after = found[-1] if start + most < len(living) else None
        return [watch.told_as + key[len(watch.live) :] for key in found]


@dataclass(frozen=True)
class Part:
    """A machine, and what is told to it: its contract's changes."""

    machine: Machine
    changes: WatchedChanges
    slice: WorkPart
