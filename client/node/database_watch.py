"""Whether the PostgreSQL server that keeps the blocks still answers, asked on a connection of its own.

A server that hangs keeps its connections: a node that waits for it for a block votes for nothing meanwhile, keeps its lock, and
goes on by itself when the server does. Here the operator is told what it waits for. In a thread, for the loop may be what waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from learningchain.chain.storage.database_url import without_urls

log = structlog.get_logger(__name__)

EVERY_S: Final = 10.0
MAX_WHY: Final = 300


class DatabaseWatch:
    """`probe` returns where the server answers, raises where it does not, and ends in seconds either way. `tell` is given why it
    does not, and an empty text once it does again, from the watch's own thread."""

    def __init__(self, probe: Callable[[], None], tell: Callable[[str], None]) -> None:
        self._probe, self._tell = probe, tell
        self._stop = threading.Event()
        self._since: float | None = None
        """When it was first seen not to answer."""

    def start(self) -> None:
        threading.Thread(target=self._run, name="database-watch", daemon=True).start()

    def stop(self) -> None:
        """Does not wait for a probe that is under way: it ends by itself, and tells nobody."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self.look()

    def look(self) -> None:
        """One probe, and what it means."""
        try:
            self._probe()
        except Exception as fault:  # the driver's own, of any kind
            why = without_urls(" ".join(str(fault).split()))[:MAX_WHY] or type(fault).__name__
            self._silent(why)
        else:
            self._answers()

    def _silent(self, why: str) -> None:
        if self._stop.is_set():
            return
        if self._since is None:
            self._since = time.monotonic()
        seconds = time.monotonic() - self._since
        log.warning("the database server does not answer: blocks and votes of this node wait for it", why=why, for_s=round(seconds))
        self._tell(
            f"the database server does not answer a new connection: {why}. Blocks and votes of this node wait for it, and go on "
            "with it. Look at the server: learningchain doctor says how it is"
        )

    def _answers(self) -> None:
        if self._since is None or self._stop.is_set():
            return
        seconds, self._since = time.monotonic() - self._since, None
        log.info("the database server answers again", after_s=round(seconds))
        self._tell("")
