"""Live jobs as the API lists them: kept up to date by what blocks changed.

After a start a piece is some live jobs, later what some blocks changed; nothing here looks through the state again.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from learningchain.chain.contracts.job.records import Live, live_key
from learningchain.chain.ledger.state import State
from learningchain.client.api.following import Follower

PIECE = 64
"""Jobs that are looked at before others have the loop."""
_LIVE = live_key(b"")


class LiveJobs(Follower):
    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._feed = state.follow((_LIVE,))
        self._feed.lost = True  # nothing is known yet
        self._left: list[bytes] = []
        """Live jobs that were not looked at."""
        self._jobs: dict[bytes, int] = {}
        self._numbers: list[int] = []
        self._by_number: dict[int, bytes] = {}

    def newest(self, before: int | None, limit: int) -> list[tuple[int, bytes]]:
        """Live jobs and their numbers in descending order of these, below `before`."""
        end = len(self._numbers) if before is None else bisect_left(self._numbers, before)
        return [(number, self._by_number[number]) for number in reversed(self._numbers[max(0, end - limit) : end])]

    def step(self) -> bool:
        """One piece; false where there was none."""
        if self._feed.lost:
            self._feed.restart()
            self._jobs, self._numbers, self._by_number = {}, [], {}
            self._left = [key[len(_LIVE) :] for key in self._state.keys(_LIVE)]
        keys = self._feed.take(PIECE)
        for key in keys:
            self._look(key[len(_LIVE) :])
        if not keys:
            for job in self._left[-PIECE:]:
                self._look(job)
            del self._left[-PIECE:]
        return bool(keys or self._left)

    def _look(self, job: bytes) -> None:
        live, known = self._state.get(live_key(job)), self._jobs.get(job)
        if isinstance(live, Live) and known is None:
            self._jobs[job] = live.number
            insort(self._numbers, live.number)
            self._by_number[live.number] = job
        elif not isinstance(live, Live) and known is not None:
            del self._jobs[job], self._by_number[known]
            del self._numbers[bisect_left(self._numbers, known)]
