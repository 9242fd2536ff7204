"""The engine of a node's work: prepared until every limit of the sandbox was seen to hold, watched from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import structlog

from learningchain.client.work.engine_watch import EngineWatch
from learningchain.client.work.events import Notice
from learningchain.client.work.slots import MachineShare
from learningchain.sandbox import AsyncBackend

log = structlog.get_logger(__name__)

SOON_S: Final = 2.0
"""A busy engine may fail a check once: the first new try comes soon, each further one after twice the time, to a limit."""
AGAIN_S: Final = 60.0
GONE: Final = (
    "the container engine is gone, so this node runs nothing: {}. Start it again; the node goes on by itself once its limits hold"
)
RESTS: Final = (
    "{}. Look there why: learningchain machine doctor on a machine, of a cluster what its job wrote. It takes runs again by itself "
    "after that time, and at once after a start of this node"
)


class PreparedEngine:
    """Says what the engine is good for now: `report`, `machine`, `notices`."""

    def __init__(self, engine: AsyncBackend) -> None:
        self._engine = engine
        self.ready = asyncio.Event()
        """Its limits held once: runs may begin."""
        self.report: dict[str, Any] | None = None
        """What the sandbox's self-test said; None before it is over. `ok` false: no job runs, `reason` says why."""
        self._proved: dict[str, Any] | None = None
        """What `report` was before the engine was gone."""
        self._gone = ""

    async def run(
        self,
        prepare: Callable[[], Awaitable[dict[str, Any]]],
        *,
        proved: Callable[[dict[str, Any]], None],
        looked: Callable[[bool, bool], None],
    ) -> None:
        """Nothing of a stranger runs before every limit of the sandbox was seen to hold. `prepare` asks the engine for its report,
        which `proved` is given once; `looked` hears after each look since then whether the engine is gone, and whether it was."""
        pause = SOON_S
        while not self.ready.is_set():
            try:
                self.report = await prepare()
                self.ready.set()
                proved(self.report)
                log.info("the sandbox is ready", **{k: self.report[k] for k in self.report if k not in ("checks", "devices")})
            except Exception as problem:
                self.report = {"ok": False, "reason": str(problem)}
                log.error("no job can run here", why=str(problem), again_in_s=pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, AGAIN_S)

        def seen(gone: str) -> None:
            was = bool(self._gone)
            self._is(gone)
            looked(bool(gone), was)

        await EngineWatch(self._engine, seen).run()

    def _is(self, gone: str) -> None:
        """What a look at the engine came to: why it is gone, or an empty text."""
        if gone and not self._gone:
            self._proved = self.report
            log.error("the container engine is gone", why=gone)
        elif self._gone and not gone:
            self.report = self._proved
            log.info("the container engine is back")
        if gone:
            self.report = {"ok": False, "reason": f"the container engine is gone: {gone}"}
        self._gone = gone

    def machine(self) -> MachineShare | None:
        """What the engine's machine has, where the engine is there."""
        there = self.report if self.report is not None and self.report.get("ok") else None
        return None if there is None else MachineShare(1_000 * int(there.get("cpus", 0)), int(there.get("mem_mb", 0)))

    def notices(self) -> Iterator[list[Notice]]:
        refused = [str(one["detail"]) for one in (self.report or {}).get("devices", ()) if not one["ok"]]
        yield [Notice("device.refused", b"", "; ".join(refused))] if refused else []
        yield [Notice("engine.gone", b"", GONE.format(self._gone))] if self._gone else []
        yield [Notice("machine.rests", b"", RESTS.format("; ".join(others)))] if (others := self._engine.troubles()) else []
