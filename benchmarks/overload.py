"""More than the graph can take, without end: clients that never wait and offer again at once what was refused."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import msgspec

from benchmarks.graph import Graph, Member
from benchmarks.link import Link
from benchmarks.load import BATCH, Ledger, follow
from benchmarks.throughput import Signed
from learningchain.chain.errors import TxCode

LINKS = 4
"""Clients at each node, each with payers of its own."""
WARM_UP = 0.3
"""Part of the time until the pools are full, left out of the rate."""
SAMPLE_S = 0.25
PAUSE_S = 0.01
"""Only between rounds over all payers in which a node took nothing: else the client would measure its own speed."""


class Refused(msgspec.Struct):
    index: int
    code: int


class Answer(msgspec.Struct):
    refused: list[Refused]


@dataclass(frozen=True)
class Overload:
    seconds: float
    """How long it was pressed: less than asked for where all transactions were taken."""
    per_s: float
    blocks: int
    later_rounds: int
    offered_per_s: float
    """Transactions in requests, those that were refused included."""
    refused_share: float
    rss_before_mb: float
    """The largest of the four validators, before the load."""
    rss_middle_mb: float
    rss_most_mb: float
    rss_growth_mb_per_s: float
    """Of that node over the second half of the time, when every pool had been full for long."""
    load_cores: float


@dataclass
class _Count:
    offered: int = 0
    refused: int = 0


async def overload(graph: Graph, signed: Signed, seconds: float) -> Overload:
    """Ends early when all transactions are taken before the time is over. Raises `RuntimeError` on an error of a node."""
    ledger, count, sizes = Ledger(), _Count(), list[list[float]]()
    before = max(rss_mb(graph))
    tasks = [asyncio.create_task(follow(graph, graph.validators[0], ledger)), asyncio.create_task(_watch(graph, sizes))]
    used, began = time.process_time(), time.perf_counter()
    clients = [member for member in graph.validators for _ in range(LINKS)]
    shares = [[raws for payer, raws in signed.raws.items() if payer % len(clients) == i] for i in range(len(clients))]
    try:
        async with asyncio.timeout(seconds + 60):
            pairs = zip(clients, shares, strict=True)
            await asyncio.gather(*(_press(member, share, began + seconds, count) for member, share in pairs))
    finally:
        for task in tasks:
            task.cancel()
    spent, used = time.perf_counter() - began, time.process_time() - used
    # Counted by the clock and not between blocks: under overload there may be few of them.
    ends = time.monotonic()
    done = sum(b.txs for b in ledger.blocks if b.seen >= ends - spent * (1 - WARM_UP))
    half = len(sizes) // 2
    growth = [(end - start) / (spent / 2) for start, end in zip(sizes[half], sizes[-1], strict=True)]
    return Overload(
        seconds=spent,
        per_s=done / (spent * (1 - WARM_UP)),
        blocks=len(ledger.blocks),
        later_rounds=sum(b.round > 0 for b in ledger.blocks),
        offered_per_s=count.offered / spent,
        refused_share=count.refused / max(1, count.offered),
        rss_before_mb=before,
        rss_middle_mb=max(sizes[half]),
        rss_most_mb=max(max(one) for one in sizes),
        rss_growth_mb_per_s=max(growth),
        load_cores=used / spent,
    )


async def _press(member: Member, queues: list[list[str]], ends: float, count: _Count) -> None:
    """Offers to one node, payer after payer, what follows on what it took from that payer."""
    taken = [0] * len(queues)
    bodies: dict[tuple[int, int], bytes] = {}
    async with Link(member.url, member.headers()) as link:
        while time.perf_counter() < ends:
            before = sum(taken)
            for i, queue in enumerate(queues):
                some = queue[taken[i] : taken[i] + BATCH]
                if not some or time.perf_counter() >= ends:
                    continue
                body = bodies.get((i, taken[i])) or b'{"raws":["%s"]}' % '","'.join(some).encode()
                bodies = {(i, taken[i]): body} | {k: v for k, v in bodies.items() if k[0] != i}
                status, answer = await link.post("/v1/txs", body)
                if status != 200:
                    raise RuntimeError(f"{member.name} answered {status}: {answer[-300:]!r}")
                # One that was taken after its predecessor was refused stands in a block by now.
                refused = [one for one in msgspec.json.decode(answer, type=Answer).refused if one.code != TxCode.SEQUENCE_USED]
                count.offered += len(some)
                count.refused += len(refused)
                taken[i] += refused[0].index if refused else len(some)
            if all(done >= len(queue) for done, queue in zip(taken, queues, strict=True)):
                return
            if sum(taken) == before:
                await asyncio.sleep(PAUSE_S)


async def _watch(graph: Graph, sizes: list[list[float]]) -> None:
    while True:
        sizes.append(rss_mb(graph))
        await asyncio.sleep(SAMPLE_S)


def rss_mb(graph: Graph) -> list[float]:
    """Resident memory of every validator's process now."""
    return [rss_of(m.process.pid) for m in graph.validators if m.process is not None]


def rss_of(pid: int) -> float:
    """Resident memory of a process now, in MiB."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmRSS:"))
