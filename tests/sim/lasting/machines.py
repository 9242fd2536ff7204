"""A node of the lasting graph: its containers take hours, what it fetches arrives slowly, its disk is full, its clock its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learningchain.chain.ledger.transition import chain_record, clock_at
from learningchain.client.node.block_clock import BlockClock
from learningchain.client.work import WorkConfig, WorkDriver
from learningchain.p2p.content.cid import parse
from learningchain.p2p.content.faults import FetchFailed, Reason
from learningchain.sandbox import Progress, RunResult, RunSpec, RunStatus
from tests.unit.composed_kit import Containers, WholeNode
from tests.unit.work_kit import FilesDouble, LedgerDouble

if TYPE_CHECKING:
    from tests.sim.lasting.graph import Lasting

LOOK_S = 15.0
"""How often a run looks whether it was cancelled."""
ALONE_S = 600.0
"""So long a container goes on without its node."""
USUAL = 0.3


class LongContainers(Containers):
    """A run takes the seconds that `takes` has for its image and phase, or a part of the time that it may have; faster or slower by
    `pace`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.takes: dict[tuple[str, str], float] = {}
        self.pace = 1.0
        self.alone: dict[str, tuple[RunSpec, float, float]] = {}
        """Runs that go on without their node: when they end, and since when they are alone."""
        self.ended_by_a_start: list[str] = []

    async def prepare(self, keep_images: Collection[str], keep_runs: Collection[RunSpec]) -> dict[str, Any]:
        now, kept = now_s(), {spec.run_id for spec in keep_runs}
        there = {run: one for run, one in self.alone.items() if now < one[2] + ALONE_S}
        self.ended_by_a_start += [run for run in there if run not in kept]
        self.alone = {run: one for run, one in there.items() if run in kept}
        return await super().prepare(keep_images, ()) | {"runs": tuple(self.alone)}

    async def run(
        self, spec: RunSpec, on_progress: Callable[[Progress], None], cancel: threading.Event, on_checkpoint: Any = None
    ) -> RunResult:
        assert spec.image_id in self.images
        now = asyncio.get_running_loop().time
        wall_s = spec.limits.wall_s
        takes = self.pace * self.takes.get((spec.image_id, spec.phase), USUAL * wall_s)
        _, end, _ = self.alone.pop(spec.run_id, (spec, now() + min(takes, wall_s), 0.0))
        self.running += 1
        try:
            while (left := end - now()) > 0:
                await asyncio.sleep(min(left, LOOK_S))
                if spec.stays and self._leaving:
                    self.alone[spec.run_id] = spec, end, now()
                    return RunResult(status=RunStatus.CANCELLED, reason="left", left=True)
                if cancel.is_set():
                    return RunResult(status=RunStatus.CANCELLED, reason="cancelled")
            if takes > wall_s:
                return RunResult(status=RunStatus.TIMEOUT, reason="out of time")
            on_progress(Progress(1, 1, 0.5))
            return self._outcome(spec)
        except asyncio.CancelledError:
            if spec.stays:
                self.alone[spec.run_id] = spec, end, now()
            raise
        finally:
            self.running -= 1


class SlowFiles(FilesDouble):
    """What has to be fetched arrives at a rate, where `sizes` says how large it is; what broke off goes on from there. Files that
    nothing pins leave the disk at once: it is as full as it may be."""

    rate = 2 * 10**6
    bound = 2**40
    """Bytes that it takes."""

    def __init__(self, *args: Any, sizes: dict[str, int]) -> None:
        super().__init__(*args)
        self._sizes, self._arrived = sizes, dict[str, float]()

    async def fetch(self, cid: str, *, max_size: int, timeout_s: float, on_progress: Any = None) -> Path:
        size = self._sizes.get(cid, 0)
        now, step = asyncio.get_running_loop().time, 4.0
        began = now()
        if cid not in self.held and size + sum(self._sizes.get(one, 0) for one in self.held) > self.bound:
            raise FetchFailed(parse(cid), Reason.STORAGE, "the disk is full")
        while cid not in self.held and self._arrived.get(cid, 0) < size and now() < began + timeout_s:
            if self._web.serving(cid, self) is None:
                raise FetchFailed(parse(cid), Reason.NOBODY, "nobody serves it")
            if on_progress is not None:
                on_progress(int(self._arrived.get(cid, 0)), size)
            await asyncio.sleep(step)
            self._arrived[cid] = self._arrived.get(cid, 0) + step * self.rate
        if cid not in self.held and self._arrived.get(cid, 0) < size:
            raise FetchFailed(parse(cid), Reason.TIMEOUT, "not in time")
        found = await super().fetch(cid, max_size=max_size, timeout_s=timeout_s, on_progress=on_progress)
        self._arrived.pop(cid, None)
        return found

    def unpin(self, cid: str, reason: str) -> None:
        super().unpin(cid, reason)
        if not self.pins.get(cid) and cid in self.held:
            self.pins.pop(cid, None)
            self.allowed.pop(cid, None)
            self.held.pop(cid).unlink(missing_ok=True)


class OwnLedger(LedgerDouble):
    """With this machine's clock, as the node's own door has it."""

    node: LastingNode

    @property
    def clock(self) -> int:
        record = chain_record(self.state)
        wall = self._chain.time + self.node.behind_ms
        return clock_at(record, self.node.block_clock.wall(record.height, record.time, wall, int(1_000 * now_s())), self.params)


class LastingNode(WholeNode):
    engine: LongContainers
    files: SlowFiles

    def __init__(self, network: Lasting, name: str, folder: Path, config: WorkConfig, seed: int) -> None:
        super().__init__(network, name, folder, config, seed)
        self.files = SlowFiles(network.web, name, folder / "disk", network.chain.ids[name], sizes=network.sizes)
        self.ledger = OwnLedger(network.chain, name, self.rng)
        self.ledger.node = self
        self.engine = LongContainers(folder / "sandbox" / "out", self.rng)
        self.engine.takes, self.engine.pace = network.takes, self.rng.uniform(0.8, 1.0)
        self.away: list[tuple[float, float]] = []
        """When it was off, by the loop's clock."""
        self._off = 0.0
        self.block_clock = BlockClock()

    async def start(self, **more: Any) -> WorkDriver:
        if self._off:
            self.away.append((self._off, asyncio.get_running_loop().time()))
        self.block_clock = BlockClock()
        return await super().start(**more)

    async def end(self, *, leave: bool) -> None:
        """The node ends: told to, or by a cut of its power."""
        self._off = asyncio.get_running_loop().time()
        if leave:
            work, self.work, self.files.up = self.running, None, False
            await work.stop(leave=True)
        else:
            await self.kill()

    def was_up(self, since: float, until: float) -> bool:
        """Without a break, but for those of a restart."""
        return not any(off < until and since < on and on - off > 60 for off, on in self.away) and (
            self.work is not None or not self._off
        )


def now_s() -> float:
    return asyncio.get_running_loop().time()
