"""Downloads for work: several at once, none so slow that it holds up the others.

A stranger chooses what has to be fetched and may be the only one who serves it, so it can be served as slowly as its owner likes. A
download that needs the network takes one of a bounded number of places; what is on the disk takes none. While it runs, its progress
over a sliding window is watched (LC-CONTENT-14):

    below LEAST                         it ends
    below SLOWEST, and others wait      the slowest ends, one for each that waits and could use its place
    else                                it goes on, until its time is up

What arrived is kept, and the next try goes on from there, behind those that wait now. Some places are kept for downloads that are
*urgent*: a duty with a deadline needs them. A waiting download may become urgent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from learningchain.client.node.interface import Files
from learningchain.p2p.content.cid import parse
from learningchain.p2p.content.faults import FetchFailed, Reason

SLOWEST = 1_000_000
"""Bytes per second that a transfer is given time for, and below which it makes room for others."""
LEAST = 100_000
"""Bytes per second over one window below which a download ends even though nobody waits."""
PATIENCE_S = 60.0
WINDOW_S, STEP_S = 20.0, 4.0
FETCH_MS = 600_000
PLACES, RESERVED = 8, 4
"""Downloads of images and hidden data at once, and how many of them are for urgent ones alone."""
MODEL_PLACES = 24
"""Downloads of candidates' models at once. With PLACES it stays below the content exchange's own bound (64 sessions)."""


def transfer_s(size: int) -> float:
    """Seconds after which the transfer of so many bytes is given up."""
    return PATIENCE_S + size / SLOWEST


def fetch_ms(size: int) -> int:
    """Milliseconds for a file that this node's owner waits for: ten minutes, in which who has it may come back; longer for a large
    one, which a slow connection brings within `transfer_s`."""
    return max(FETCH_MS, int(1_000 * transfer_s(size)))


@dataclass(eq=False)
class Turn:
    """One download that waits for a place or has one."""

    key: str
    urgent: bool
    ready: asyncio.Future[None]
    done: int = 0
    whole: bool = False
    begun: bool = False
    seen: deque[int] = field(default_factory=lambda: deque([0], maxlen=int(WINDOW_S / STEP_S) + 1))

    def progress(self, done: int, size: int) -> None:
        if not self.begun:  # what an earlier try left on the disk is no progress
            self.begun = True
            self.seen = deque([done] * len(self.seen), maxlen=self.seen.maxlen)
        self.done, self.whole = done, done >= size

    def step(self) -> None:
        self.seen.append(self.done)

    @property
    def rate(self) -> float | None:
        """Bytes per second over the last window; None where it has not run so long, or only has to be made durable."""
        full = len(self.seen) == self.seen.maxlen
        return (self.seen[-1] - self.seen[0]) / WINDOW_S if full and not self.whole else None


class Transfers:
    """`places` downloads at once, of which `reserved` for urgent ones alone. Belongs to one event loop."""

    def __init__(self, files: Files, places: int = PLACES, reserved: int = 0) -> None:
        self._files, self._places, self._common = files, places, places - reserved
        self._waiting: list[Turn] = []
        self._running: list[Turn] = []

    async def fetch(self, cid: str, *, max_size: int, timeout_s: float, urgent: bool = False, wait_s: float | None = None) -> Path:
        """The checked file, at once where it is on the disk. `timeout_s` begins with a place; waiting for one may take `wait_s`.

        Raises FetchFailed.
        """
        if self._files.has(cid):
            return await self._files.fetch(cid, max_size=max_size, timeout_s=timeout_s)
        try:
            async with self.place(cid, urgent=urgent, wait_s=wait_s) as turn:
                return await self._watched(turn, max_size, timeout_s)
        except TimeoutError:
            raise FetchFailed(parse(cid), Reason.BUSY, f"{self._places} downloads are under way already") from None

    @contextlib.asynccontextmanager
    async def place(self, key: str, *, urgent: bool = False, wait_s: float | None = None) -> AsyncIterator[Turn]:
        """A place among the downloads, in the order of asking, urgent ones first. Raises TimeoutError after `wait_s`."""
        turn = Turn(key, urgent, asyncio.get_running_loop().create_future())
        self._waiting.append(turn)
        self._admit()
        try:
            async with asyncio.timeout(wait_s):
                await turn.ready
            yield turn
        finally:
            for turns in (self._waiting, self._running):
                if turn in turns:
                    turns.remove(turn)
            self._admit()

    def hurry(self, key: str) -> None:
        """Makes a download urgent that was asked for without."""
        for turn in (*self._waiting, *self._running):
            turn.urgent |= turn.key == key
        self._admit()

    def _admit(self) -> None:
        for turn in sorted(self._waiting, key=lambda turn: not turn.urgent):
            if self._fits(turn, self._running):
                self._waiting.remove(turn)
                self._running.append(turn)
                if not turn.ready.done():
                    turn.ready.set_result(None)

    def _fits(self, turn: Turn, running: list[Turn]) -> bool:
        common = sum(not other.urgent for other in running)
        return len(running) < self._places and (turn.urgent or common < self._common)

    async def _watched(self, turn: Turn, max_size: int, timeout_s: float) -> Path:
        work = asyncio.ensure_future(self._files.fetch(turn.key, max_size=max_size, timeout_s=timeout_s, on_progress=turn.progress))
        try:
            while not (await asyncio.wait({work}, timeout=STEP_S))[0]:
                turn.step()
                slow = self._too_slow(turn)
                if slow:
                    raise FetchFailed(parse(turn.key), Reason.TIMEOUT, slow)
            return work.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    def _too_slow(self, turn: Turn) -> str:
        """Why a download has to end now; empty where it may go on."""
        rate = turn.rate
        if rate is None:
            return ""
        if rate < LEAST:
            return f"{rate:.0f} bytes per second over {WINDOW_S:.0f} s, less than {LEAST}; what arrived is kept"
        slow = [(other.rate, index) for index, other in enumerate(self._running) if other.rate is not None and other.rate < SLOWEST]
        slowest = [self._running[index] for _, index in sorted(slow)]
        claims = [w for w in self._waiting if self._fits(w, [other for other in self._running if other is not turn])]
        if turn in slowest[: len(claims)]:
            return f"{rate:.0f} bytes per second over {WINDOW_S:.0f} s, less than {SLOWEST} while others wait; what arrived is kept"
        return ""
