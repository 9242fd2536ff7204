"""What blocks changed of the keys that a contract watches, told to its machines in small pieces. Pure.

At the start, and after the feed was lost, everything that lives counts as changed. A piece costs the loop that votes a few
milliseconds.
"""

from __future__ import annotations

from chain.ledger.state import State
from client.work.events import Changed
from client.work.machine import Watch

MAX_PIECE = 64
"""Keys in one piece."""


class WatchedChanges:
    """`watch` None: nothing is told."""

    def __init__(self, state: State, watch: Watch | None) -> None:
        self._state, self._watch = state, watch
        self._feed = state.follow(watch.follow if watch else ())
        self._left: list[bytes] = []
        self._anew = watch is not None

    @property
    def complete(self) -> bool:
        """Everything that lives was told since the start."""
        return self._watch is None or not (self._anew or self._left or self._feed.lost)

    def take(self) -> Changed | None:
        """The next piece; None where nothing changed since the last one."""
        watch = self._watch
        if watch is None:
            return None
        anew = self._anew or self._feed.lost
        if anew:
            self._feed.restart()
            self._left = [watch.told_as + key[len(watch.live) :] for key in reversed(self._state.keys(watch.live))]
            self._anew = False
        keys = list(self._feed.take(MAX_PIECE))
        more = MAX_PIECE - len(keys)
        if more and self._left:
            keys += self._left[-more:]
            del self._left[-more:]
        return Changed(self._state, tuple(keys), anew) if keys or anew else None
