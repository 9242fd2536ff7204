"""What members that fill every mempool cost everybody else: the same 200 messages of twenty people without them and beside them, in
turns on the same four validators (`tests.processes.hoarders`)."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.limits import quantile
from tests.processes.harness import NodeProcess
from tests.processes.hoarders import Hoarders, hoarders


@dataclass(frozen=True)
class Seen:
    """One turn. `p95`: of the times from a message to the answer that it is final, in seconds and in blocks."""

    p95_s: float
    p95_blocks: float
    heights: int
    failed: int
    """Rounds that decided nothing."""


@dataclass(frozen=True)
class FullMempoolsFigure:
    """Ratios are of neighbouring turns, their median."""

    accounts: int
    pairs: int
    sent_mb: float
    """That stood behind gaps, and what of it was said again."""
    theirs: int
    """Messages of the hoarders in blocks of the turns."""
    calm_p95_ms: float
    full_p95_ms: float
    ratio: float
    blocks_ratio: float
    calm_failed: float
    full_failed: float
    """Rounds that decided nothing, for each height."""


async def full_mempools(accounts: int, pairs: int) -> FullMempoolsFigure:
    """Raises `RuntimeError` where a message of anybody else is refused, or the hoarders run out of what they sent."""
    calm, full, theirs = list[Seen](), list[Seen](), 0
    with tempfile.TemporaryDirectory(prefix="learningchain-hoarders-") as folder:
        async with hoarders(Path(folder), accounts) as held:
            calm.append(await _turn(held))
            sent = await held.fill()
            for number in range(pairs):
                if number:
                    await held.rest()
                    calm.append(await _turn(held))
                await held.press()
                before = await held.used()
                full.append(await _turn(held))
                theirs += await held.used() - before
            await held.graph.agree()
    return summary(accounts, sent, theirs, calm, full)


def summary(accounts: int, sent: int, theirs: int, calm: list[Seen], full: list[Seen]) -> FullMempoolsFigure:
    turns = list(zip(calm, full, strict=True))
    return FullMempoolsFigure(
        accounts=accounts,
        pairs=len(turns),
        sent_mb=sent / 1e6,
        theirs=theirs,
        calm_p95_ms=1_000 * statistics.median(one.p95_s for one in calm),
        full_p95_ms=1_000 * statistics.median(one.p95_s for one in full),
        ratio=statistics.median(b.p95_s / a.p95_s for a, b in turns),
        blocks_ratio=statistics.median(b.p95_blocks / a.p95_blocks for a, b in turns),
        calm_failed=sum(one.failed for one in calm) / sum(one.heights for one in calm),
        full_failed=sum(one.failed for one in full) / sum(one.heights for one in full),
    )


async def _turn(held: Hoarders) -> Seen:
    node = held.nodes[0]
    first = await node.height() + 1
    found = await held.everybody()
    last = await node.height()
    return Seen(
        quantile([one.seconds for one in found], 0.95),
        quantile([one.blocks for one in found], 0.95),
        last - first + 1,
        await _failed(node, first, last),
    )


async def _failed(node: NodeProcess, first: int, last: int) -> int:
    return sum([(await node.certificate(height))["round"] for height in range(first, last + 1)])
