"""Whether the engine that was there at the start still is: asked at intervals, so that nobody is told for longer than a minute that
a node is well whose engine is gone, nor the reverse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from learningchain.sandbox import AsyncBackend

LOOK_S: Final = 20.0
ANSWER_S: Final = 20.0


class EngineWatch:
    """`tell(why)` after each look: why the engine cannot be used, or an empty text. For the event loop's thread."""

    def __init__(self, engine: AsyncBackend, tell: Callable[[str], None]) -> None:
        self._engine, self._tell = engine, tell
        self._asked: asyncio.Task[None] | None = None
        """A question that has no answer yet: an engine that hangs is asked no other one."""
        self._gone = self._again = False

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """One look, of `ANSWER_S` at most."""
        if self._asked is None:
            self._again = self._gone
            self._asked = asyncio.get_running_loop().create_task(self._engine.look(again=self._again))
        done, _ = await asyncio.wait({self._asked}, timeout=ANSWER_S)
        if not done:
            why = f"it has not answered for {ANSWER_S:g} s"
        else:
            fault, self._asked = self._asked.exception(), None
            why = "" if fault is None else str(fault) or type(fault).__name__
            if not why and self._gone and not self._again:  # it answers what it was asked before: its limits are not proved yet
                await self.look()
                return
        self._gone = bool(why)
        self._tell(why)
