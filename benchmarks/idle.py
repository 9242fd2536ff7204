"""What a node costs while nothing happens: four validators on a quiet graph, heartbeats and all, and one that would run jobs."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.graph import VALIDATORS, Member, make, start

SETTLE_S = 5.0
"""Connections, links and the first blocks come before the quiet."""


@dataclass(frozen=True)
class IdleFigure:
    seconds: float
    heights: int
    """Blocks that the heartbeat made meanwhile."""
    cpu_percent: float
    """Of one core, median of the nodes."""
    cpu_percent_max: float
    rss_mb: float
    """Resident memory of a node, shared pages included; median."""
    pss_mb: float
    """The same with shared pages counted in parts: what one node more costs."""


def idle(seconds: float) -> IdleFigure:
    """Raises `RuntimeError` where a node does not start."""
    return asyncio.run(_measure(seconds))


async def _measure(seconds: float) -> IdleFigure:
    graph = make(0)
    nodes = graph.validators
    try:
        for member in nodes:
            start(member)
        await graph.wait_until_ready(nodes, VALIDATORS - 1)
        await asyncio.sleep(SETTLE_S)
        height = (await graph.get(nodes[0], "/v1/status"))["height"]
        before, began = [cpu_s(_pid(member)) for member in nodes], time.monotonic()
        await asyncio.sleep(seconds)
        took = time.monotonic() - began
        used = [cpu_s(_pid(member)) - was for member, was in zip(nodes, before, strict=True)]
        heights = (await graph.get(nodes[0], "/v1/status"))["height"] - height
        memory = [memory_mb(_pid(member)) for member in nodes]
    finally:
        await graph.close()
    shares = [100 * one / took for one in used]
    return IdleFigure(
        took,
        heights,
        statistics.median(shares),
        max(shares),
        statistics.median(rss for rss, _ in memory),
        statistics.median(pss for _, pss in memory),
    )


def _pid(member: Member) -> int:
    if member.process is None:
        raise RuntimeError(f"{member.name} does not run")
    return member.process.pid


def cpu_s(pid: int) -> float:
    """Processor time of a process so far, in seconds: its own and the kernel's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int) -> float:
    """Resident memory at its most so far, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident and proportional memory in MiB."""
    lines = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    found = {words[0]: int(words[1]) / 1024 for words in lines if words[-1] == "kB"}
    return found["Rss:"], found["Pss:"]
