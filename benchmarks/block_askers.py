"""What members that ask for full blocks as fast as they can cost the ledger: finality without and with them, in turns, in one run
on one graph of real nodes. LC-NODE-72 and 73 bound what they get.

They are members without a node, in a process of their own with the least priority (their machines would be others). Each is
connected with all validators and always has more questions out than a validator answers: decided blocks, with and without what
they did, snapshots, bodies, transactions.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Event as Stop
from typing import TYPE_CHECKING

import structlog

from benchmarks.dashboard import finality
from benchmarks.graph import Graph, make, start
from benchmarks.limits import quantile
from benchmarks.load import transfers
from benchmarks.throughput import Signed, cpu_seconds, prepare, throughput, traffic
from learningchain.chain.codec import encode
from learningchain.chain.crypto import SigningKey, account_id
from learningchain.chain.node import messages as m
from learningchain.p2p.address_book import AddressBook
from learningchain.p2p.tls import CA
from learningchain.p2p.transport import Network
from learningchain.p2p.wire import NODE, QUEUE_REQUESTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MEMBERS = 8
AT_ONCE = 20
"""Questions of one member to one validator, every `PAUSE_S`: 800 in a second, 64 of which are looked at."""
PAUSE_S = 0.025
WARM_S = 3.0
"""After they came or went, before it counts."""
FILL = 6_000
"""Transactions of 10 transfers before it begins: blocks that are worth asking for."""


@dataclass(frozen=True)
class AskersCost:
    """Milliseconds; `ratio` of the two medians. Bytes are what all validators sent in a second, to each other and to who asks."""

    members: int
    turns: int
    samples: int
    without_p50_ms: float
    without_p99_ms: float
    with_p50_ms: float
    with_p99_ms: float
    ratio: float
    ratio_p99: float
    without_mb_per_s: float
    with_mb_per_s: float
    without_cores: float
    """Processor time of all validators together in a second."""
    with_cores: float


# --- who asks -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """What the process of those that ask needs to know of a graph."""

    chain_id: bytes
    ca: CA
    secrets: list[bytes]
    validators: dict[str, tuple[bytes, bytes]]
    """By address: identity and key."""


def target(graph: Graph) -> Target:
    g = graph.genesis
    where = {f"127.0.0.1:{v.p2p}": (account_id(v.key.public), v.key.public) for v in graph.validators}
    return Target(g.chain_id, CA(g.ca_cert, g.ca_key), [key.secret for key in graph.payers[-MEMBERS:]], where)


def ask(of: Target, stop: Stop) -> None:
    """The process: until told to stop."""
    os.nice(19)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(_ask(of, stop))


async def _ask(of: Target, stop: Stop) -> None:
    networks = [_network(of, SigningKey(secret)) for secret in of.secrets]
    for network in networks:
        await network.start()
    questions: list[m.Message] = [
        m.GetBlocks(1, m.MAX_SYNC_BLOCKS),
        m.GetExecutedBlocks(1, m.MAX_SYNC_BLOCKS),
        m.GetBlock(1, bytes(32), []),
        m.GetTxs([bytes(8)] * m.MAX_BATCH),
        m.GetSnapshot(),
    ]
    turns = itertools.cycle([encode(question) for question in questions])
    try:
        while not stop.is_set():
            for network in networks:
                for peer, _ in of.validators.values():
                    for payload in itertools.islice(turns, AT_ONCE):
                        network.send(peer, NODE, payload, QUEUE_REQUESTS)
            await asyncio.sleep(PAUSE_S)
    finally:
        for network in networks:
            await network.stop()


def _network(of: Target, key: SigningKey) -> Network:
    book = AddressBook(None)
    for where in of.validators:
        book.add_seed(where)
    return Network(
        key=key,
        own_id=account_id(key.public),
        chain_id=of.chain_id,
        ca=of.ca,
        membership=dict(of.validators.values()).get,
        on_message=lambda *_: None,
        on_peer=lambda *_: None,
        address_book=book,
        listen=None,
        advertise=[],
    )


@asynccontextmanager
async def asked(graph: Graph) -> AsyncIterator[None]:
    """Raises `RuntimeError` where they did not stay until the end."""
    context = get_context("spawn")
    stop = context.Event()
    process = context.Process(target=ask, args=(target(graph), stop))
    process.start()
    others = len(graph.validators) - 1
    try:
        await graph.wait_until_ready(graph.validators, others + MEMBERS)
        await asyncio.sleep(WARM_S)
        yield
        if not process.is_alive():
            raise RuntimeError("those that ask ended before they should")
    finally:
        stop.set()
        await asyncio.to_thread(process.join, 30)
        process.kill()
    await asyncio.sleep(WARM_S)


# --- the measurement ----------------------------------------------------------------------------------------------------------


async def block_askers(samples: int, turns: int) -> AskersCost:
    """`samples` transfers in each of `turns` turns, without them and with them."""
    graph = await asyncio.to_thread(make, 2 + MEMBERS)
    calm, busy = _Turns(graph), _Turns(graph)
    try:
        for member in graph.validators:
            start(member)
        await graph.wait_until_ready(graph.validators, len(graph.validators) - 1)
        await throughput(graph, await prepare(graph, transfers(graph, 2, FILL // 2, 10)), FILL)
        await finality(graph, await _signed(graph, samples // 4))
        for _ in range(turns):
            await calm.take(await _signed(graph, samples))
            signed = await _signed(graph, samples)
            async with asked(graph):
                await busy.take(signed)
    finally:
        await graph.close()
    return AskersCost(
        members=MEMBERS,
        turns=turns,
        samples=len(busy.times),
        without_p50_ms=quantile(calm.times, 0.5),
        without_p99_ms=quantile(calm.times, 0.99),
        with_p50_ms=quantile(busy.times, 0.5),
        with_p99_ms=quantile(busy.times, 0.99),
        ratio=quantile(busy.times, 0.5) / quantile(calm.times, 0.5),
        ratio_p99=quantile(busy.times, 0.99) / quantile(calm.times, 0.99),
        without_mb_per_s=calm.sent / calm.seconds / 1e6,
        with_mb_per_s=busy.sent / busy.seconds / 1e6,
        without_cores=calm.cpu / calm.seconds,
        with_cores=busy.cpu / busy.seconds,
    )


class _Turns:
    """Times and bytes of one kind of turn."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.times: list[float] = []
        self.sent = self.seconds = self.cpu = 0.0

    async def take(self, signed: Signed) -> None:
        loop = asyncio.get_running_loop()
        before, used, began = await traffic(self._graph), cpu_seconds(self._graph.validators), loop.time()
        self.times += await finality(self._graph, signed)
        self.seconds += loop.time() - began
        self.cpu += cpu_seconds(self._graph.validators) - used
        self.sent += max(0, await traffic(self._graph) - before)


async def _signed(graph: Graph, count: int) -> Signed:
    return await prepare(graph, {0: transfers(graph, 2, count)[0]})


if __name__ == "__main__":
    import json
    import sys
    from dataclasses import asdict

    given = [int(word) for word in sys.argv[1:]] or [200, 3]
    print(json.dumps(asdict(asyncio.run(block_askers(*given))), indent=1))
