"""Runs whose image vanished from the engine while this node held it: it is brought again, and the run is made once more.

Several nodes share an engine, and its owner may tidy it (`docker image prune -a`). That is no trouble of the job, its image or
this machine, so no attempt is lost by it.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Protocol

from learningchain.sandbox import AsyncWarmRun, OwnData, Progress, RunResult, RunSpec, RunStatus
from learningchain.sandbox.backend import OnCheckpoint


class RunMaker(Protocol):
    """The part of `AsyncBackend` that makes runs."""

    async def own_data(self) -> list[OwnData]: ...

    async def run(
        self,
        spec: RunSpec,
        on_progress: Callable[[Progress], None],
        cancel: threading.Event,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> RunResult: ...

    async def start(self, spec: RunSpec, cancel: threading.Event) -> AsyncWarmRun | RunResult: ...


class VanishedImages:
    """Makes runs as the engine does. `again(image_id)`: whether an image was gone and is there again."""

    def __init__(self, engine: RunMaker, again: Callable[[str], Awaitable[bool]]) -> None:
        self._engine, self._again = engine, again

    async def own_data(self) -> list[OwnData]:
        return await self._engine.own_data()

    async def run(
        self,
        spec: RunSpec,
        on_progress: Callable[[Progress], None],
        cancel: threading.Event,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> RunResult:
        result = await self._engine.run(spec, on_progress, cancel, on_checkpoint)
        if await self._once_more(spec, result, cancel):
            result = await self._engine.run(spec, on_progress, cancel, on_checkpoint)
        return result

    async def start(self, spec: RunSpec, cancel: threading.Event) -> AsyncWarmRun | RunResult:
        started = await self._engine.start(spec, cancel)
        if isinstance(started, RunResult) and await self._once_more(spec, started, cancel):
            return await self._engine.start(spec, cancel)
        return started

    async def _once_more(self, spec: RunSpec, result: RunResult, cancel: threading.Event) -> bool:
        if result.status is not RunStatus.ENGINE_ERROR or cancel.is_set():
            return False
        return await self._again(spec.image_id)
