"""What blocks changed of jobs and contractors, told to the work machines in small pieces. Pure.

At the start, and after the feed was lost, every live job counts as changed. A piece costs the loop that votes a few milliseconds.
"""

from __future__ import annotations

from chain.contracts.job.records import contractor_key, job_key, live_key
from chain.ledger.state import State
from client.work.events import Moved

MAX_PIECE = 64
"""Jobs and contractors in one piece."""
_LIVE, _JOB, _CONTRACTOR = live_key(b""), job_key(b""), contractor_key(b"")


class Changes:
    def __init__(self, state: State) -> None:
        self._state = state
        self._feed = state.follow((_JOB, _CONTRACTOR))
        self._left: list[bytes] = []
        self._anew = True

    @property
    def complete(self) -> bool:
        """Every live job was told since the start."""
        return not (self._anew or self._left or self._feed.lost)

    def take(self) -> Moved | None:
        """The next piece; None where nothing changed since the last one."""
        anew = self._anew or self._feed.lost
        if anew:
            self._feed.restart()
            self._left = [key[len(_LIVE) :] for key in reversed(self._state.keys(_LIVE))]
            self._anew = False
        keys = self._feed.take(MAX_PIECE)
        jobs = [key[len(_JOB) :] for key in keys if key.startswith(_JOB)]
        contractors = tuple(key[len(_CONTRACTOR) :] for key in keys if key.startswith(_CONTRACTOR))
        more = MAX_PIECE - len(keys)
        if more and self._left:
            jobs += self._left[-more:]
            del self._left[-more:]
        return Moved(self._state, tuple(jobs), contractors, anew) if jobs or contractors or anew else None
