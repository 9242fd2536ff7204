"""One thread that does one kind of work in order, with a bounded queue before it. Used by the block store alone."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future


class Writer:
    """`submit` waits while `depth` pieces of work are queued: whoever decides blocks faster than the disk takes them is slowed."""

    def __init__(self, name: str, depth: int) -> None:
        self._queue: queue.Queue[tuple[Callable[[], None], Future[None]] | None] = queue.Queue(depth)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], None]) -> Future[None]:
        future: Future[None] = Future()
        self._queue.put((work, future))
        return future

    def close(self) -> None:
        """Returns when everything submitted is done."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            work, future = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                work()
            except BaseException as e:
                future.set_exception(e)
            else:
                future.set_result(None)
