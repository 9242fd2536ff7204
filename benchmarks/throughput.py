"""Transfers per second with many outstanding, finality with one, bytes on the wire."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.graph import Graph, Member
from benchmarks.load import Block, Ledger, follow, offer, sign_transfers
from chain.crypto import account_id, address

WINDOW = 5
"""Parts of the steady time whose rates give the spread."""


@dataclass(frozen=True)
class Throughput:
    transfers: int
    per_s: float
    parts_per_s: list[float]
    blocks: int
    txs_per_block: float
    block_ms: float
    bytes_per_transfer: float
    cpu_us_per_transfer: float
    """Processor time of all four validators together, per transfer."""
    outstanding: int


async def throughput(graph: Graph, transfers: int, outstanding: int) -> Throughput:
    """Every payer sends its share through one of the four nodes; afterwards all balances and roots are compared."""
    each = transfers // len(graph.payers)
    await agree(graph)
    accounts = await payers(graph)
    firsts = {i: account["sequences"][0] for i, account in enumerate(accounts)}
    signed = await asyncio.to_thread(sign_transfers, graph, firsts, each)
    validators = graph.validators
    ledger, sent = Ledger(), [0]
    reader = asyncio.create_task(follow(graph, validators[0], ledger))
    before, used = await traffic(graph), cpu_seconds(validators)
    shares = [[signed[p] for p in range(i, len(graph.payers), len(validators))] for i in range(len(validators))]
    try:
        async with asyncio.timeout(600):
            await asyncio.gather(*(offer(graph, m, s, ledger, outstanding, sent) for m, s in zip(validators, shares, strict=True)))
            while ledger.committed < sent[0]:
                ledger.changed.clear()
                await ledger.changed.wait()
    finally:
        reader.cancel()
    used = cpu_seconds(validators) - used
    moved = await traffic(graph) - before
    await check_ledger(graph, accounts, each)
    steady = steady_part(ledger.blocks)
    n = sum(b.txs for b in steady[1:])
    return Throughput(
        transfers=sent[0],
        per_s=rate(steady),
        parts_per_s=[rate(part) for part in parts(steady)],
        blocks=len(steady) - 1,
        txs_per_block=n / max(1, len(steady) - 1),
        block_ms=(steady[-1].time - steady[0].time) / max(1, len(steady) - 1),
        bytes_per_transfer=moved / sent[0],
        cpu_us_per_transfer=used * 1e6 / sent[0],
        outstanding=outstanding,
    )


def steady_part(blocks: list[Block]) -> list[Block]:
    """Without the first fifth (connections and caches warm up) and the last tenth (the queue runs dry) of the transfers."""
    total, seen, out = sum(b.txs for b in blocks), 0, []
    for block in blocks:
        seen += block.txs
        if total * 0.2 <= seen <= total * 0.9:
            out.append(block)
    return out


def rate(blocks: list[Block]) -> float:
    """Transfers per second between the first block's time and the last's, by the ledger's own times."""
    if len(blocks) < 2:
        return 0.0
    return sum(b.txs for b in blocks[1:]) / ((blocks[-1].time - blocks[0].time) / 1000)


def parts(blocks: list[Block]) -> list[list[Block]]:
    size = max(1, (len(blocks) - 1) // WINDOW)
    return [blocks[i : i + size + 1] for i in range(0, len(blocks) - size, size)]


async def traffic(graph: Graph) -> int:
    """Bytes that all validators sent to each other so far: what the frames hold, without TLS and TCP."""
    peers = [await graph.get(m, "/v1/peers") for m in graph.validators]
    return sum(p["bytes_out"] for node in peers for p in node)


def cpu_seconds(members: list[Member]) -> float:
    """User and system time of the members' processes so far."""
    return sum(_cpu(m.process.pid) for m in members if m.process is not None)


def _cpu(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def agree(graph: Graph) -> None:
    """Waits until all validators have the same state: what was final at one is soon at the others. Raises `RuntimeError`."""
    ends = time.monotonic() + 30
    while len(roots := {(s["height"], s["state_root"]) for s in [await graph.get(m, "/v1/status") for m in graph.validators]}) > 1:
        if time.monotonic() > ends:
            raise RuntimeError(f"the validators differ: {roots}")
        await asyncio.sleep(0.05)


async def payers(graph: Graph) -> list[dict[str, Any]]:
    return [await graph.get(graph.validators[0], f"/v1/accounts/{address(account_id(key.public))}") for key in graph.payers]


async def check_ledger(graph: Graph, before: list[dict[str, Any]], each: int) -> None:
    """Every payer sent and got `each` transfers, and the nodes agree. Raises `RuntimeError`: then the figures mean nothing."""
    await agree(graph)
    for old, new in zip(before, await payers(graph), strict=True):
        if new["sequences"][0] != old["sequences"][0] + each or new["balance"] != old["balance"]:
            raise RuntimeError(f"transfers are missing: {old}, then {new}")


# --- one outstanding ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finality:
    samples: int
    p50_ms: float
    p99_ms: float
    by_node_p50_ms: list[float]


async def finality(graph: Graph, samples: int) -> Finality:
    """From the request that offers a transfer to the answer that it is final, over HTTP on loopback; one at a time."""
    key = 0
    await agree(graph)
    first = (await graph.get(graph.validators[0], f"/v1/accounts/{address(account_id(graph.payers[key].public))}"))["sequences"][0]
    signed = (await asyncio.to_thread(sign_transfers, graph, {key: first}, samples))[key]
    times: list[list[float]] = [[] for _ in graph.validators]
    for i, raw in enumerate(signed):
        node = i % len(graph.validators)
        member = graph.validators[node]
        url = f"{member.url}/v1/tx?wait=10"
        headers = member.headers()
        began = time.perf_counter()
        async with graph.session.post(url, headers=headers, json={"raw": raw}) as answer:
            body = await answer.json()
        times[node].append((time.perf_counter() - began) * 1000)
        if answer.status != 200 or body.get("status") != "final":
            raise RuntimeError(f"a transfer was not final: {body}")
    ordered = sorted(t for node in times for t in node)
    return Finality(
        samples=samples,
        p50_ms=statistics.median(ordered),
        p99_ms=ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        by_node_p50_ms=[statistics.median(t) for t in times],
    )
