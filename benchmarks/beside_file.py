"""What large files that go from one validator to another cost the ledger: finality without them, beside them, and beside copies
between two plain processes through TLS onto the same disk, in turns, in one run on one graph of real nodes; then the steps of these
two nodes' event loops beside files.

python -m benchmarks.beside_file [TRANSFERS] [TURNS] [MEBIBYTES]

Three files are given to the one, and the other, which has room for two of them, fetches them round and round.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path

from benchmarks.dashboard import finality
from benchmarks.graph import Graph, Member, make, start, stop
from benchmarks.large_file import LIMIT_S, bytes_moved, copy, random_file, upload
from benchmarks.limits import quantile
from benchmarks.load import transfers
from benchmarks.throughput import Signed, prepare
from learningchain.p2p.tls import make_ca

WARM_S = 3.0
"""From the first bytes on, before it counts: processes start."""
FILES = 3
COPIES = 3
"""Through one connection."""


@dataclass(frozen=True)
class BesideFileFigure:
    """Milliseconds; the ratios are with / without. `copy_`: beside the plain copies, which is what the disk itself costs.
    `step_p999_ms`: what 999 of 1,000 steps of the loops of giver and taker stay below, processor time of their threads; `step_ms`:
    the longest. `load`: the machine's load average at the start."""

    samples: int
    without_p50_ms: float
    without_p99_ms: float
    with_p50_ms: float
    with_p99_ms: float
    ratio: float
    ratio_p99: float
    mb_per_s: float
    copy_p99_ms: float
    copy_ratio_p99: float
    copy_mb_per_s: float
    steps: int
    step_p999_ms: float
    step_ms: float
    load: float


def _room(node: Member, mebibytes: int) -> None:
    path = node.folder / "config.toml"
    path.write_text(path.read_text() + f"[storage]\nquota_mb = {mebibytes}\n")


@asynccontextmanager
async def moving(graph: Graph, target: Member, cids: list[str]) -> AsyncIterator[list[float]]:
    """Files come as fast as they do. In the end the list has the bytes by data connections in a second. Raises RuntimeError where
    one did not come."""

    async def fetch() -> None:
        for cid in cycle(cids):
            url = f"{target.url}/v1/files/{cid}?timeout_s={int(LIMIT_S)}"
            async with graph.session.get(url, headers=target.headers()) as answer:
                answer.raise_for_status()  # with the first byte it is whole, and here

    told: list[float] = []
    task = asyncio.create_task(fetch())
    try:
        await asyncio.sleep(WARM_S)
        before, began = await bytes_moved(graph, target), time.perf_counter()
        yield told
        told.append((await bytes_moved(graph, target) - before) / (time.perf_counter() - began))
        if task.done() or not told[0]:
            raise RuntimeError(f"no file came: {task.exception() if task.done() else 'nothing by data connections'}")
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def copying(source: Path, folder: Path, pem: Path) -> AsyncIterator[list[float]]:
    """Plain copies of a file go round and round. In the end the list has their bytes in a second."""
    ended, took = asyncio.Event(), list[float]()

    async def copies() -> None:
        while not ended.is_set():
            took.append((await asyncio.to_thread(copy, source, folder / "copy", pem, COPIES)).seconds)

    told: list[float] = []
    task = asyncio.create_task(copies())
    try:
        await asyncio.sleep(WARM_S)
        yield told
    finally:
        ended.set()
        await task
    told.append(source.stat().st_size * COPIES * len(took) / sum(took))


async def _signed(graph: Graph, count: int) -> Signed:
    return await prepare(graph, {0: transfers(graph, 2, count)[0]})


async def _watched(graph: Graph, nodes: list[Member], notes: Path) -> list[Path]:
    """Those that are watched start anew."""
    paths = [notes / member.name for member in nodes]
    for member, path in zip(nodes, paths, strict=True):
        await asyncio.to_thread(stop, member)
        start(member, "benchmarks.watched_validator", str(path))
    await graph.wait_until_ready(graph.validators, len(graph.validators) - 1)
    return paths


def _toggle(nodes: list[Member]) -> None:
    for member in nodes:
        if member.process is not None:
            member.process.send_signal(signal.SIGUSR2)


async def beside_file(samples: int, turns: int, mebibytes: int) -> BesideFileFigure:
    """`samples` transfers in each of `turns` turns, without files and with them, and once more beside watched nodes."""
    graph, load = await asyncio.to_thread(make, 2), os.getloadavg()[0]
    source, target = nodes = graph.validators[:2]
    _room(target, 5 * mebibytes // 2)
    calm, busy, beside_copy = list[float](), list[float](), list[float]()
    rates, copy_rates, ca = list[float](), list[float](), make_ca(time.time())
    with tempfile.TemporaryDirectory(prefix="learningchain-bench-") as name:
        try:
            for member in graph.validators:
                start(member)
            await graph.wait_until_ready(graph.validators, len(graph.validators) - 1)
            cids, path, pem = [], Path(name) / "file", Path(name) / "both.pem"
            pem.write_bytes(ca.cert_pem + ca.key_pem)
            for _ in range(FILES):
                await asyncio.to_thread(random_file, path, mebibytes)
                cids.append(await upload(graph, source, path))
            await finality(graph, await _signed(graph, samples // 4))
            for _ in range(turns):
                calm += await finality(graph, await _signed(graph, samples))
                signed = await _signed(graph, samples)
                async with moving(graph, target, cids) as rate:
                    busy += await finality(graph, signed)
                rates += rate
                await asyncio.sleep(WARM_S)
                signed = await _signed(graph, samples)
                async with copying(path, Path(name), pem) as rate:
                    beside_copy += await finality(graph, signed)
                copy_rates += rate
                await asyncio.sleep(WARM_S)
            paths = await _watched(graph, nodes, Path(name))
            signed = await _signed(graph, samples)
            async with moving(graph, target, cids):
                _toggle(nodes)
                await finality(graph, signed)
                _toggle(nodes)
            for member in nodes:
                await asyncio.to_thread(stop, member)
            seen = [json.loads(path.read_text()) for path in paths]
        finally:
            await graph.close()
    steps = sum(one["steps"] for one in seen)
    slow = sorted((ms for one in seen for ms, _ in one["slow"]), reverse=True)
    return BesideFileFigure(
        samples=len(busy),
        without_p50_ms=quantile(calm, 0.5),
        without_p99_ms=quantile(calm, 0.99),
        with_p50_ms=quantile(busy, 0.5),
        with_p99_ms=quantile(busy, 0.99),
        ratio=quantile(busy, 0.5) / quantile(calm, 0.5),
        ratio_p99=quantile(busy, 0.99) / quantile(calm, 0.99),
        mb_per_s=sum(rates) / len(rates) / 1e6,
        copy_p99_ms=quantile(beside_copy, 0.99),
        copy_ratio_p99=quantile(beside_copy, 0.99) / quantile(calm, 0.99),
        copy_mb_per_s=sum(copy_rates) / len(copy_rates) / 1e6,
        steps=steps,
        step_p999_ms=slow[steps // 1_000] if len(slow) > steps // 1_000 else 1.0,
        step_ms=slow[0] if slow else 1.0,
        load=load,
    )


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:4]]
    for key, value in asdict(asyncio.run(beside_file(*(given or [300, 3, 512])))).items():
        print(f"{key:20} {value:,.3f}")
