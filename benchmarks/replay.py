"""A chain full of transfers that a fresh fifth node then fetches and executes."""

from __future__ import annotations

import asyncio

from benchmarks.graph import make, start
from benchmarks.load import transfers
from benchmarks.sync import SyncFigure, sync
from benchmarks.throughput import prepare, throughput

PAYERS = 64


async def replay(count: int, outstanding: int) -> SyncFigure:
    """`count` transfers, then the sync. Raises `RuntimeError` when a transfer is missing or the node does not catch up."""
    graph = await asyncio.to_thread(make, PAYERS)
    try:
        for member in graph.validators:
            start(member)
        await graph.wait_until_ready(graph.validators, len(graph.validators) - 1)
        done = await throughput(graph, await prepare(graph, transfers(graph, PAYERS, count // PAYERS)), outstanding)
        return await sync(graph, done.transactions)
    finally:
        await graph.close()
