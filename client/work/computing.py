"""Arithmetic of the slices in a process of its own: no look at numbers holds up the loop that votes.

    task --> a thread --pipe--> the process: the slice's module does it --pipe--> the thread --> result

The process starts with the first task, leaves its processor to the node first, and ends with the node however that ends, or when
nothing was asked for a while. One task at a time; the others wait. Where it died, the task is done once more by a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from learningchain.client.node import process

log = structlog.get_logger(__name__)

IDLE_S: Final = 120.0
NICE: Final = 5
TRIES: Final = 2


class TaskRefused(ValueError):
    """It cannot be done with these files, by anybody; the text says why."""


class ComputerLost(Exception):
    """The process ended before it had answered."""


class Computing(Protocol):
    async def perform(self, module: str, task: Any) -> Any:
        """What the module's `perform(task, folder)` returns. Raises TaskRefused, OSError, ComputerLost."""
        ...

    def close(self) -> None: ...


def _serve(pipe: Connection[Any, Any], folder: Path) -> None:
    """In the other process. It believes what the node sends, and the node what it answers: nobody else may look into either."""
    process.guard()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICE)
    with contextlib.suppress(EOFError, OSError):
        while True:
            module, task = pipe.recv()
            try:
                answer: tuple[str, Any] = ("done", importlib.import_module(module).perform_in(task, folder))
            except TaskRefused as why:
                answer = ("cannot", str(why))
            except Exception as fault:  # a full disk, a file that is gone: the node says so, and the process goes on
                answer = ("fault", f"{type(fault).__name__}: {fault}")
            pipe.send(answer)


class ComputingProcess:
    """`folder`: where what is made lies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="work-computing")
        self._pipe: Connection[Any, Any] | None = None
        self._child: Any = None
        self._end: asyncio.TimerHandle | None = None
        self._asked = 0

    async def perform(self, module: str, task: Any) -> Any:
        loop = asyncio.get_running_loop()
        if self._end is not None:
            self._end.cancel()
            self._end = None
        self._asked += 1
        try:
            said, result = await loop.run_in_executor(self._thread, self._ask, module, task)
        finally:
            self._asked -= 1
            if not self._asked:
                self._end = loop.call_later(IDLE_S, lambda: self._thread.submit(self._stop))
        if said == "cannot":
            raise TaskRefused(result)
        if said == "fault":
            raise OSError(result)
        return result

    def _ask(self, module: str, task: Any) -> tuple[str, Any]:
        for left in range(TRIES - 1, -1, -1):
            try:
                pipe = self._opened()
                pipe.send((module, task))
                answer: tuple[str, Any] = pipe.recv()
                return answer
            except (EOFError, OSError) as fault:
                self._stop()
                log.warning("the process that computes ended", why=repr(fault), tries_left=left)
        raise ComputerLost("the process that computes for this node ended twice: is there too little memory?")

    def _opened(self) -> Connection[Any, Any]:
        if self._pipe is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            self._child = context.Process(target=_serve, args=(theirs, self._folder), daemon=True)
            self._child.start()
            theirs.close()
            self._pipe = ours
        return self._pipe

    def _stop(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._child.join(5.0)
            if self._child.is_alive():
                self._child.kill()
            self._pipe = self._child = None

    def close(self) -> None:
        """A task that goes on is given up."""
        if self._end is not None:
            self._end.cancel()
        child = self._child
        if child is not None:
            child.kill()
        self._thread.submit(self._stop)
        self._thread.shutdown(wait=False)
