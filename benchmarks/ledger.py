"""The product itself: a fresh graph of four validators in every round, so that no round has a longer chain than another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.graph import make, start
from benchmarks.jobs import Jobs, measure_jobs
from benchmarks.load import transfers
from benchmarks.overload import Overload, overload
from benchmarks.throughput import Finality, Throughput, finality, prepare, throughput

PAYERS = 64


@dataclass(frozen=True)
class LedgerSize:
    """How much of each is measured. `tens` and `hundreds` are transactions with 10 and 100 transfers."""

    samples: int
    transfers: int
    outstanding: int
    tens: int
    hundreds: int
    jobs: int
    overload_s: float
    overload: int
    """Transactions signed for the overload: more than the graph can take in that time, its pools included."""


@dataclass(frozen=True)
class LedgerFigures:
    finality: Finality
    transfers: Throughput
    tens: Throughput
    hundreds: Throughput
    jobs: Jobs
    overload: Overload
    start_s: float
    """From four new processes until each answers and is connected with the three others."""


async def ledger(size: LedgerSize, say: Callable[[str], None]) -> LedgerFigures:
    """Raises `RuntimeError` when anything that was offered is missing afterwards, or two nodes differ."""
    graph = await asyncio.to_thread(make, PAYERS)
    loop = asyncio.get_running_loop()
    try:
        began = loop.time()
        for member in graph.validators:
            start(member)
        await graph.wait_until_ready(graph.validators, len(graph.validators) - 1)
        ready = loop.time() - began
        say("  ledger: finality")
        one = await finality(graph, size.samples)
        found = []
        for name, count, messages in (
            ("transfers", size.transfers, 1),
            ("10 in one", size.tens, 10),
            ("100 in one", size.hundreds, 100),
        ):
            say(f"  ledger: {name}")
            signed = await prepare(graph, transfers(graph, PAYERS, count // PAYERS, messages))
            found.append(await throughput(graph, signed, max(1_000, size.outstanding // messages)))
        say("  ledger: jobs")
        jobs = await measure_jobs(graph, size.jobs // PAYERS, size.outstanding)
        say("  ledger: overload")
        pressed = await overload(graph, await prepare(graph, transfers(graph, PAYERS, size.overload // PAYERS)), size.overload_s)
    finally:
        await graph.close()
    return LedgerFigures(one, found[0], found[1], found[2], jobs, pressed, ready)
