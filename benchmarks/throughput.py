"""Transactions per second with many outstanding, finality with one, bytes on the wire."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.graph import Graph, Member
from benchmarks.limits import quantile
from benchmarks.link import Link
from benchmarks.load import Block, Ledger, Plans, follow, offer, requests, sign, transfers
from learningchain.chain.crypto import account_id, address
from learningchain.chain.types import parse_credits

WINDOW = 5
"""Parts of the steady time whose rates give the spread."""
LIMIT_S = 300


@dataclass(frozen=True)
class Throughput:
    """`per_s` counts transactions; `messages_per_s` what they carry."""

    transactions: int
    messages: int
    per_s: float
    messages_per_s: float
    parts_per_s: list[float]
    blocks: int
    later_rounds: int
    """Blocks that were proposed in a later round than the first."""
    txs_per_block: float
    block_ms: float
    bytes_per_tx: float
    """What all validators sent to each other, for each transaction."""
    tx_bytes: float
    cpu_us_per_tx: float
    """Processor time of all four validators together, per transaction."""
    load_cores: float
    """Processor time of the load process over the time it took: what it takes from the cores of the validators."""
    outstanding: int


@dataclass(frozen=True)
class Signed:
    """Of each payer its transactions in hex, and how many messages they carry together."""

    raws: dict[int, list[str]]
    messages: int


async def prepare(graph: Graph, plans: Plans) -> Signed:
    """Signs from each payer's next sequence on."""
    await agree(graph)
    accounts = await payers(graph)
    raws = await asyncio.to_thread(sign, graph, {i: accounts[i]["sequences"][0] for i in plans}, plans)
    return Signed(raws, sum(len(tx) for plan in plans.values() for tx in plan))


async def throughput(graph: Graph, signed: Signed, outstanding: int, paid: int = 0) -> Throughput:
    """The payers send through the four nodes; afterwards all balances and roots are compared.

    `paid` is what all payers together must have less then. Raises `RuntimeError` when anything is missing or refused.
    """
    await agree(graph)
    accounts = await payers(graph)
    validators, queues = graph.validators, signed.raws
    shares = [requests([queues[p] for p in queues if p % len(validators) == i]) for i in range(len(validators))]
    ledger, sent = Ledger(), [0]
    reader = asyncio.create_task(follow(graph, validators[0], ledger))
    before, used, own, began = await traffic(graph), cpu_seconds(validators), time.process_time(), time.perf_counter()
    try:
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(*(offer(m, s, ledger, outstanding, sent) for m, s in zip(validators, shares, strict=True)))
            while ledger.committed < sent[0]:
                ledger.changed.clear()
                await ledger.changed.wait()
    finally:
        reader.cancel()
    own = (time.process_time() - own) / (time.perf_counter() - began)
    used = cpu_seconds(validators) - used
    moved = await traffic(graph) - before
    await check_ledger(graph, accounts, signed, paid)
    steady = steady_part(ledger.blocks)
    n = sum(b.txs for b in steady[1:])
    return Throughput(
        transactions=sent[0],
        messages=signed.messages,
        per_s=rate(steady),
        messages_per_s=rate(steady) * signed.messages / sent[0],
        parts_per_s=[rate(part) for part in parts(steady)],
        blocks=len(steady) - 1,
        later_rounds=sum(b.round > 0 for b in steady[1:]),
        txs_per_block=n / max(1, len(steady) - 1),
        block_ms=(steady[-1].time - steady[0].time) / max(1, len(steady) - 1),
        bytes_per_tx=moved / sent[0],
        tx_bytes=sum(len(raw) / 2 for queue in queues.values() for raw in queue) / sent[0],
        cpu_us_per_tx=used * 1e6 / sent[0],
        load_cores=own,
        outstanding=outstanding,
    )


def steady_part(blocks: list[Block]) -> list[Block]:
    """Without the first fifth (connections and caches warm up) and the last tenth (the queue runs dry) of the transactions.

    A run of so few blocks that next to nothing would be left is taken whole.
    """
    total, seen, out = sum(b.txs for b in blocks), 0, []
    for block in blocks:
        seen += block.txs
        if total * 0.2 <= seen <= total * 0.9:
            out.append(block)
    return out if len(out) > 2 else blocks


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


async def check_ledger(graph: Graph, before: list[dict[str, Any]], signed: Signed, paid: int) -> None:
    """Every transaction was carried out, and the nodes agree. Raises `RuntimeError`: then the figures mean nothing."""
    await agree(graph)
    after = await payers(graph)
    for i, raws in signed.raws.items():
        if after[i]["sequences"][0] != before[i]["sequences"][0] + len(raws):
            raise RuntimeError(f"transactions are missing: {before[i]}, then {after[i]}")
    less = sum(parse_credits(one["balance"]) for one in before) - sum(parse_credits(one["balance"]) for one in after)
    if less != paid:
        raise RuntimeError(f"all payers together have {less} micro-credits less, not {paid}: transactions were refused")


# --- one outstanding ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finality:
    samples: int
    p50_ms: float
    p99_ms: float
    by_node_p50_ms: list[float]


async def finality(graph: Graph, samples: int) -> Finality:
    """From the request that offers a transfer to the answer that it is final, over HTTP on loopback; one at a time."""
    signed = await prepare(graph, {0: transfers(graph, 2, samples)[0]})
    bodies = [b'{"raw":"%s"}' % raw.encode() for raw in signed.raws[0]]
    links = [await Link(m.url, m.headers()).__aenter__() for m in graph.validators]
    times: list[list[float]] = [[] for _ in links]
    try:
        for i, body in enumerate(bodies):
            node = i % len(links)
            began = time.perf_counter()
            status, answer = await links[node].post("/v1/tx?wait=10", body)
            times[node].append((time.perf_counter() - began) * 1000)
            if status != 200 or b'"status":"final"' not in answer:
                raise RuntimeError(f"a transfer was not final: {status}, {answer[-500:]!r}")
    finally:
        for link in links:
            await link.__aexit__(None, None, None)
    every = [t for node in times for t in node]
    return Finality(samples, statistics.median(every), quantile(every, 0.99), [statistics.median(t) for t in times])
