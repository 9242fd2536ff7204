"""The tasks of a node's work on its event loop: all of them end with it, those of a scope with the scope."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Tasks:
    """Everything that is under way, and what of it belongs to a machine's scope."""

    def __init__(self) -> None:
        self.all: set[asyncio.Task[Any]] = set()
        self.scopes: dict[tuple[str, str], set[asyncio.Task[None]]] = {}
        """By machine and scope."""

    def spawn(self, work: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.all.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.all.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task of this node's work ended by a fault", exc_info=task.exception())

    def of_scope(self, name: str, scope: str, work: Coroutine[Any, Any, None]) -> None:
        """A task that nobody needs once the scope is done."""
        tasks = self.scopes.setdefault((name, scope), set())
        task = self.spawn(work)
        tasks.add(task)

        def over(done: asyncio.Task[None]) -> None:
            tasks.discard(done)
            if not tasks and self.scopes.get((name, scope)) is tasks:
                del self.scopes[name, scope]

        task.add_done_callback(over)

    def end_scope(self, name: str, scope: str) -> None:
        for task in self.scopes.pop((name, scope), ()):
            task.cancel()

    async def end(self, beginning: str, within_s: float) -> None:
        """Wait for the tasks whose name begins so, then cancel whatever is left."""
        awaited = [task for task in self.all if task.get_name().startswith(beginning)]
        if awaited:
            await asyncio.wait(awaited, timeout=within_s)
        tasks = list(self.all)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
