"""A fresh node fetches and executes the whole chain from its peers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass

import aiohttp

from benchmarks.graph import Graph, start

LIMIT_S = 300.0


@dataclass(frozen=True)
class SyncFigure:
    blocks: int
    txs: int
    seconds: float
    blocks_per_s: float
    txs_per_s: float


async def sync(graph: Graph, txs: int) -> SyncFigure:
    """From the first block that the fifth member has until it has all of them; `txs` stand in the chain.

    The clock starts when the node's API answers: opening the keystore and dialling are not in it.
    """
    target = (await graph.get(graph.validators[0], "/v1/status"))["height"]
    member = graph.members[-1]
    start(member)
    began: float | None = None
    first = 0
    ends = time.monotonic() + LIMIT_S
    while True:
        with contextlib.suppress(aiohttp.ClientError, FileNotFoundError):
            height = (await graph.get(member, "/v1/status"))["height"]
            if began is None:
                began, first = time.perf_counter(), height
            if height >= target:
                break
        if time.monotonic() > ends:
            raise RuntimeError(f"{member.name} did not catch up:\n{(member.folder / 'log').read_text()[-2000:]}")
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - began
    share = (target - first) / target
    return SyncFigure(target - first, round(txs * share), seconds, (target - first) / seconds, txs * share / seconds)
