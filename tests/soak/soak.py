"""One soak: a graph of real processes under load, disturbed every few seconds, and judged at its end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes.harness import NotInTime
from tests.processes.netns import Lan, Refused
from tests.soak.faults import Disks, Faults
from tests.soak.graph import NAMES, SoakGraph
from tests.soak.load import Load
from tests.soak.verdict import Findings, judge

CALM_S = (0.5, 3.0)
"""Between two disturbances."""
AT_LEAST = 3
"""Disturbances, also where a slow machine needs more than the time given for them."""
AFTER = 2
"""Blocks that every node makes after each of them."""
MAX_MEMORY = 500 * 2**20
MAX_DISK = 100 * 2**20
"""Of a node that did nothing yet; each block and transaction may add to it."""
BYTES_PER_BLOCK, BYTES_PER_TX = 40_000, 10_000
SAMPLE_S = 1.0


@dataclass
class Summary:
    seed: int
    seconds: float = 0.0
    disturbances: Counter[str] = field(default_factory=Counter)
    slowest_recovery_s: dict[str, float] = field(default_factory=dict)
    """By kind: until every node had made blocks again."""
    heights: dict[str, int] = field(default_factory=dict)
    blocks: int = 0
    transactions: int = 0
    signatures: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    jobs: Counter[str] = field(default_factory=Counter)
    memory_mb: dict[str, int] = field(default_factory=dict)
    disk_mb: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    """What this machine does not let a soak do, and why."""
    violations: list[str] = field(default_factory=list)

    def json(self) -> dict[str, Any]:
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}


Say = Callable[[str], None]


class Soak:
    """`only`: kinds of disturbances; all where it is empty."""

    def __init__(
        self, folder: Path, seed: int, seconds: float, say: Say, *, namespaces: bool = True, only: Collection[str] = ()
    ) -> None:
        self.folder, self.seconds, self.say = folder, seconds, say
        self.rng, self._load_rng = random.Random(seed), random.Random(seed + 1)
        self.summary = Summary(seed)
        self._namespaces, self._only = namespaces, only
        self._last = "nothing yet"

    async def run(self) -> Summary:
        with contextlib.ExitStack() as stack:
            lan = self._lan(stack)
            disks = Disks()
            stack.callback(disks.close)
            async with SoakGraph(self.folder, lan) as graph:
                disks.move(graph["v3"])
                if disks.refusal:
                    self.summary.left_out.append(f"a full disk: {disks.refusal}")
                await self._live(graph, lan, disks)
        return self.summary

    def _lan(self, stack: contextlib.ExitStack) -> Lan | None:
        if not self._namespaces:
            return None
        try:
            return stack.enter_context(Lan(NAMES))
        except Refused as reason:
            self.summary.left_out.append(f"partitions: {reason}")
            return None

    async def _live(self, graph: SoakGraph, lan: Lan | None, disks: Disks) -> None:
        await graph.start("v0", "v1", "v2", "v3", "observer")
        load = Load(lambda: [node for node in graph if node.running], self._load_rng, graph.listen)
        began = time.monotonic()
        work = asyncio.create_task(load.run())
        watch = asyncio.create_task(self._watch(graph, load, began))
        try:
            await self._disturb(graph, Faults(graph, self.rng, lan, disks, self._only), began)
        except AssertionError as fault:
            self.summary.violations.append(f"after {self._last}: {fault}")
        finally:
            for task in (work, watch):
                task.cancel()
            ended = await asyncio.gather(work, watch, return_exceptions=True)
            await graph.close_doors()
        self.summary.violations += [f"the soak itself: {e!r}" for e in ended if isinstance(e, Exception)]
        self.summary.seconds = round(time.monotonic() - began, 1)
        await asyncio.gather(*(node.stop() for node in graph if node.running))
        graph.measure()
        self._sum_up(graph, load, await asyncio.to_thread(judge, graph, graph.journals, load.final, graph.seen))

    async def _disturb(self, graph: SoakGraph, faults: Faults, began: float) -> None:
        while time.monotonic() < began + self.seconds or sum(self.summary.disturbances.values()) < AT_LEAST:
            await asyncio.sleep(self.rng.uniform(*CALM_S))
            at = time.monotonic()
            self._last = kind = faults.choose()
            self._last = f"{kind} ({await faults.kinds[kind]()})"
            ended = time.monotonic()
            await graph.progress(AFTER)
            recovered = time.monotonic() - ended
            self.summary.disturbances[kind] += 1
            slowest = self.summary.slowest_recovery_s
            slowest[kind] = max(slowest.get(kind, 0.0), round(recovered, 1))
            self.say(f"{at - began:6.0f} s  {self._last}: {ended - at:.1f} s, all of the graph went on after {recovered:.1f} s")

    async def _watch(self, graph: SoakGraph, load: Load, began: float) -> None:
        last = 0.0
        while True:
            await asyncio.sleep(SAMPLE_S)
            graph.measure()
            heights = await graph.heights()
            if time.monotonic() > last + 10:
                last = time.monotonic()
                largest = max(graph.memory.values(), default=0) // 2**20
                self.say(
                    f"{last - began:6.0f} s  heights {min(heights.values(), default=0)} to {max(heights.values(), default=0)}, "
                    f"{len(load.final)} transactions final, jobs {dict(load.jobs)}, most memory {largest} MB"
                )

    def _sum_up(self, graph: SoakGraph, load: Load, found: Findings) -> None:
        s = self.summary
        s.heights, s.blocks, s.transactions, s.signatures = found.heights, found.blocks, found.transactions, found.signatures
        s.requests, s.jobs = load.outcomes, load.jobs
        s.memory_mb = {name: size // 2**20 for name, size in graph.memory.items()}
        s.disk_mb = {name: size // 2**20 for name, size in graph.disk.items()}
        s.violations += [*graph.forks, *found.violations]
        limit = MAX_DISK + found.blocks * BYTES_PER_BLOCK + found.transactions * BYTES_PER_TX
        for name, size in graph.memory.items():
            if size > MAX_MEMORY:
                s.violations.append(f"{name} took {size // 2**20} MB of memory, at most {MAX_MEMORY // 2**20} are allowed")
        for name, size in graph.disk.items():
            if size > limit:
                s.violations.append(
                    f"{name} has {size // 2**20} MB on its disk, at most {limit // 2**20} for {found.blocks} blocks"
                )
        if not s.requests["final"]:
            s.violations.append("no transaction became final")


__all__ = ["NotInTime", "Soak", "Summary"]
