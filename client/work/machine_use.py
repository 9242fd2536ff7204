"""Whether somebody uses this machine: who typed something when, and how busy other programs keep it.

Linux tells both: a terminal's file has the time of its last input, systemd-logind that of graphical sessions (where it runs), and
/proc/stat what processors did. In a container of its own a node sees no sessions, so nobody.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

from learningchain.client.node.processors import processor_ticks

LOOK_S: Final = 30.0
"""What was seen so long ago is looked at anew."""
OLD_S: Final = 3 * LOOK_S
"""What was seen so long ago says nothing of now: in between nobody asked, outside the owner's hours for one."""
ASK_S: Final = 5.0
SAMPLE_S: Final = 1.0
MOST_BUSY: Final = 0.5
"""Share of the processors above which other programs are at work."""
_SESSIONS: Final = ("loginctl", "show-session", "--property=IdleHint", "--property=IdleSinceHint")


class MachineUse:
    """Looks by itself, in a thread, while somebody asks. `see` replaces what the system tells: seconds since the last input, and
    the share of the processors that is busy. `executor`: the thread."""

    def __init__(
        self,
        see: Callable[[], tuple[float, float]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        executor: Executor | None = None,
    ) -> None:
        self._see, self._clock, self._executor = see or _see, clock, executor
        self._looking: asyncio.Future[tuple[float, float]] | None = None
        self._since = 0.0
        """When that look began."""
        self._seen: tuple[float, float, float] | None = None
        """When, and what."""

    def why(self, minutes: int, *, alone: bool) -> str:
        """Why it is in use; empty where nobody touched it for so many minutes and, where this node runs nothing itself (`alone`),
        other programs leave half of it."""
        self._look()
        if self._seen is None or self._clock() - self._seen[0] > OLD_S:
            return "it is not known yet whether somebody uses this machine"
        at, idle_s, busy = self._seen
        if (idle_s := idle_s + self._clock() - at) < 60 * minutes:
            return f"somebody used this machine {int(idle_s // 60)} minutes ago"
        if alone and busy > MOST_BUSY:
            return f"other programs keep {busy:.0%} of this machine's processors busy"
        return ""

    def _look(self) -> None:
        now = self._clock()
        if self._looking is not None and self._looking.done():
            self._seen, self._looking = (self._since, *self._looking.result()), None
        if self._looking is None and (self._seen is None or now - self._seen[0] >= LOOK_S):
            self._since, self._looking = now, asyncio.get_running_loop().run_in_executor(self._executor, self._see)


def _see() -> tuple[float, float]:
    busy, all_ = processor_ticks()
    time.sleep(SAMPLE_S)
    busy, all_ = (after - before for after, before in zip(processor_ticks(), (busy, all_), strict=True))
    return seconds_since_input(), busy / all_ if all_ else 0.0


def seconds_since_input() -> float:
    """Since the last input at a terminal or in a session of this machine; many where there is none."""
    now = time.time()
    return max(0.0, now - max(_terminals(), _sessions(now)))


def _terminals() -> float:
    newest = 0.0
    for path in (*Path("/dev/pts").glob("[0-9]*"), *Path("/dev").glob("tty[0-9]*")):
        try:
            newest = max(newest, path.stat().st_atime)
        except OSError:  # it was closed just now
            continue
    return newest


def _sessions(now: float) -> float:
    try:
        told = subprocess.run(_SESSIONS, capture_output=True, text=True, timeout=ASK_S, check=False, errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return 0.0
    return last_input(told.stdout, now) if told.returncode == 0 else 0.0


def last_input(told: str, now: float) -> float:
    """What logind says of all sessions together, in seconds of the wall clock; 0 where there is none."""
    fields = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
    if fields.get("IdleHint") == "no":
        return now
    since = fields.get("IdleSinceHint", "")
    return int(since) / 1e6 if since.isdecimal() else 0.0
