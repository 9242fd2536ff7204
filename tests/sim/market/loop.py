"""An event loop in the simulator's virtual time, so that the real asynchronous code runs unchanged and deterministically.

It has no selector, no socket and no thread: whatever is ready runs in the order in which it became ready, timers are events of the
simulator, and what code gives to a thread is done after a simulated delay, one piece after the other. One loop is one life of one
machine: `kill` is a power cut, after which nothing of it runs any more.
"""

from __future__ import annotations

import asyncio
import math
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any

from tests.unit.storage_disk import PowerCut

MAX_BURST = 100_000
"""Callbacks in one moment of virtual time: more is an endless loop."""

Later = Callable[[int, Callable[[], None]], None]


class VirtualLoop(asyncio.AbstractEventLoop):
    """`now()`: milliseconds; `later(ms, action)`: the simulator's queue; `delay()`: how long a thread's next piece of work takes;
    `fault(text, problem)` is told what nobody caught."""

    def __init__(
        self, now: Callable[[], int], later: Later, delay: Callable[[], int], fault: Callable[[str, BaseException | None], None]
    ) -> None:
        self._now, self._later, self._delay, self._fault = now, later, delay, fault
        self._ready: deque[asyncio.Handle] = deque()
        self._tasks: dict[asyncio.Task[Any], Coroutine[Any, Any, Any]] = {}
        self._draining = self._drain_set = False
        self._free_at = 0
        """When the thread has done what it was given so far."""
        self.owner = -1
        """The number of the machine, for logs."""
        self.dead = False

    # --- what asyncio asks for --------------------------------------------------------------------------------------------------

    def time(self) -> float:
        return self._now() / 1_000

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> asyncio.Handle:  # type: ignore[override]
        handle = asyncio.Handle(callback, args, self, context)
        if not self.dead:
            self._ready.append(handle)
            if not self._drain_set and not self._draining:
                self._drain_set = True
                self._later(0, self._drain)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        at = math.floor(when * 1_000)
        while at / 1_000 < when:
            at += 1  # never early by a rounding error: its owner would wait again, for nothing
        self._later(max(0, at - self._now()), lambda: self._fire(timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are passed over when their time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks[task] = coro
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """As one thread does it: in order, each piece taking its time; what it did is seen when it is done. `executor` only says
        how a piece is done, at once."""
        future = self.create_future()

        def work() -> None:
            if self.dead:
                return
            try:
                result = func(*args) if executor is None else executor.submit(func, *args).result()
            except PowerCut:
                return
            except Exception as problem:
                if not future.done():
                    future.set_exception(problem)
            else:
                if not self.dead and not future.done():
                    future.set_result(result)

        self._free_at = max(self._free_at, self._now()) + self._delay()
        self._later(self._free_at - self._now(), work)
        return future

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._draining

    def is_closed(self) -> bool:
        return self.dead

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.dead:
            self._fault(str(context.get("message")), context.get("exception"))

    # --- running ----------------------------------------------------------------------------------------------------------------

    def _fire(self, timer: asyncio.TimerHandle) -> None:
        if not self.dead and not timer.cancelled():
            self._ready.append(timer)
            if not self._draining:
                self._drain()

    def _drain(self) -> None:
        """Run what is ready, and what that makes ready, in this moment."""
        self._drain_set, self._draining = False, True
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            for _ in range(MAX_BURST):
                if not self._ready or self.dead:
                    return
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
            raise AssertionError("an endless loop in one moment of virtual time")
        finally:
            events._set_running_loop(before)
            self._draining = False

    @property
    def pending(self) -> int:
        return len(self._tasks)

    def kill(self) -> None:
        """Power off: no callback runs any more."""
        self.dead = True
        self._ready.clear()
        if self._draining:
            self._later(0, self.bury)
        else:
            self.bury()

    def bury(self) -> None:
        """End what still hangs in the middle, in the order in which it was started: nothing is left to the garbage collector."""
        tasks, self._tasks = self._tasks, {}
        for task, coro in tasks.items():
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with suppress(RuntimeError):  # what a dead machine would do next needs a loop, and there is none
                coro.close()
