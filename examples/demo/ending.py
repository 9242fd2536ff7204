"""The end of a demo, however it comes: the first signal ends it in order, and whoever interrupts waits until nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

INTERRUPTED: Final = 130
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
T = TypeVar("T")


async def until_interrupted(work: Coroutine[Any, Any, int], say: Callable[[str], None]) -> int:
    """The exit code of `work`, or INTERRUPTED. Further signals change nothing, for cleaning up is under way."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    interrupted = False

    def stop() -> None:
        nonlocal interrupted
        say("still cleaning up" if interrupted else "interrupted: the nodes are ended and everything is cleaned up")
        if not interrupted:
            interrupted = True
            task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        return INTERRUPTED
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def to_its_end(cleaning: Awaitable[T]) -> T:
    """What cleaning up comes to; it goes on where the task that waits for it is cancelled."""
    task = asyncio.ensure_future(cleaning)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    return task.result()
