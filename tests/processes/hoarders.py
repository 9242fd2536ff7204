"""Members that fill every mempool with what they may sign, while twenty others go on with payments and claims."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job.messages import Claim
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.node.events import TRANSACTIONS
from learningchain.chain.node.messages import MAX_BATCH, Txs
from learningchain.chain.node.space import MIN_CHARGE
from learningchain.chain.params import MAX_OPS
from learningchain.chain.types import TxBody, net_of
from learningchain.p2p.wire import NODE
from tests.processes.asker import Asker, askers
from tests.processes.harness import Graph, NodeProcess, Person, Role, eventually, validators, with_params
from tests.processes.scripted import JUDGE, announcement, declare, post, terms

PEOPLE = [Person(f"person {i}") for i in range(20)]
ROUNDS = 5
"""A payment and a claim of each person in each."""
MESSAGES = 2 * ROUNDS * len(PEOPLE)
CONTRACTOR = Person("contractor")
OPEN_MS = 20 * 60_000
GAPPED_BYTES = 66_000_000
"""More than a mempool holds."""
READY, RARE = 15_000, 20
"""Ready transactions of all hoarders, and to how many of them comes one with a deadline."""
PIECES = 8
"""What was lost is said again in so many pieces."""
PART = 120_000
"""Bytes of one message."""
GAP, PAYMENTS, CLAIMS = 1, 2, 3
"""Their lanes."""
SMALL = with_params(block_txs=64, heartbeat=200)
"""A full block takes little longer than an empty one; hundreds of them would hold what the hoarders sent."""


@dataclass
class Hoard:
    """What one account fills mempools with, for as long as it may."""

    who: Person
    chain_id: bytes

    def _signed(self, lane: int, sequence: int, ops: list[Any]) -> bytes:
        packed = [msgspec.Raw(encode(op)) for op in ops]
        return sign_tx(self.who.key, self.chain_id, TxBody(net_of(self.chain_id), self.who.id, lane, sequence, 90_000, packed))

    def gapped(self, share: int) -> list[bytes]:
        """Its part of what fills a mempool: behind a sequence that never comes."""
        large = [terms(10**13, params="x" * 8_000)] * 7
        first = self._signed(GAP, 1, large)
        return [self._signed(GAP, 1 + i, large) for i in range(GAPPED_BYTES // share // len(first))]

    def ready(self, start: int, count: int) -> list[bytes]:
        """Payments, and fewer claims with a deadline that are refused at the first of a hundred."""
        pay, claims = [Transfer(PEOPLE[0].id, 1, b"")], [Claim(bytes(32), 0, bytes(32), stake=True)] * MAX_OPS
        found = [self._signed(PAYMENTS, start + i, pay) for i in range(count)]
        return found + [self._signed(CLAIMS, (start + i) // RARE, claims) for i in range(count) if (start + i) % RARE == 0]


@dataclass(frozen=True)
class Final:
    """How long somebody's message took to be final, in seconds and in blocks."""

    seconds: float
    blocks: int


class Hoarders:
    """So many accounts before four validators; nothing is sent before `fill`."""

    def __init__(self, graph: Graph, sender: Asker, accounts: list[Person]) -> None:
        self.graph, self.accounts = graph, accounts
        self.nodes, self._sender = sender.nodes, sender
        self._hoards = [Hoard(who, graph.genesis.chain_id) for who in accounts]
        self._flowing = asyncio.Event()
        self._feeding: asyncio.Task[None] | None = None

    async def fill(self) -> int:
        """All room behind gaps, at every node; the bytes that left."""
        count = len(self._hoards)
        messages = [encode(Txs(part)) for hoard in self._hoards for part in parts(hoard.gapped(count))]
        return sum(await asyncio.gather(*(self._fill(node, messages) for node in self.nodes)))

    async def _fill(self, node: NodeProcess, messages: list[bytes]) -> int:
        """Everything, then again what was lost, until each hoarder has all the room for it."""
        left = sum([await self._deliver(node, message) for message in messages])
        turns = itertools.count()

        async def is_full() -> bool:
            if (await room(node))[0] > min(len(self._hoards) * 900_000, 7_000_000):
                return True
            for message in messages[next(turns) % PIECES :: PIECES]:
                await self._deliver(node, message)
            return False

        await eventually(f"the room behind gaps of {node.name} is full", is_full)
        return left

    async def press(self) -> None:
        """From now on every node holds more that is ready than ten blocks take."""
        if self._feeding is None:
            count = len(self._hoards)
            stock = [raw for start in range(0, READY // count, 100) for hoard in self._hoards for raw in hoard.ready(start, 100)]
            self._feeding = asyncio.create_task(self._feed(parts(stock)))
        self._flowing.set()
        await asyncio.gather(*(eventually(f"{n.name} holds much that is ready", lambda n=n: has_ready(n)) for n in self.nodes))  # type: ignore[misc]

    async def rest(self) -> None:
        """Until nothing is ready; what stands behind gaps stays."""
        self._flowing.clear()
        await asyncio.gather(*(eventually(f"{n.name} has nothing to do", lambda n=n: is_idle(n)) for n in self.nodes))  # type: ignore[misc]

    async def _feed(self, stock: list[list[bytes]]) -> None:
        """Keep a node supplied, which pushes to the others: more whenever blocks have taken some."""
        for part in stock:
            await self._flowing.wait()
            await self._deliver(self.nodes[0], encode(Txs(part)))
            await eventually("blocks have taken some", self._lacks, 600)

    async def _lacks(self) -> bool:
        return not await has_ready(self.nodes[0])

    async def _deliver(self, node: NodeProcess, part: bytes) -> int:
        """The bytes that left, once the connection had room for them."""
        while not self._sender.network.send(node.id, NODE, part, TRANSACTIONS):
            await node.api.status()
        return len(part)

    async def used(self) -> int:
        """Sequences of theirs that blocks have used."""
        return sum([sum((await self.nodes[0].api.account(who.address))["sequences"]) for who in self.accounts])

    async def everybody(self) -> list[Final]:
        """200 messages of twenty people through all nodes, a payment and a claim on a new job by turns. Raises `RuntimeError` where
        one is final with another code than 0."""
        job = await post(CONTRACTOR, self.nodes[0], open_ms=OPEN_MS)
        found: list[Final] = []
        await asyncio.gather(*(self._one(number, person, job, found) for number, person in enumerate(PEOPLE)))
        return found

    async def _one(self, number: int, person: Person, job: str, found: list[Final]) -> None:
        node, chain_id = self.nodes[number % len(self.nodes)], self.graph.genesis.chain_id
        for turn in range(ROUNDS):
            claim = announcement(chain_id, job, person, f"{ROUNDS - turn}").claim
            for lane, op in enumerate((Transfer(CONTRACTOR.id, 1, b""), claim)):
                height, began = await node.height(), time.monotonic()
                done = await node.api.submit_tx([op], person.key, lane=lane, wait=60)
                if done["code"] != 0:
                    raise RuntimeError(f"a message of {person.name} was not carried out: {done}")
                found.append(Final(time.monotonic() - began, done["height"] - height))

    def check(self) -> None:
        """Raises `RuntimeError` where they ran out of what they sent."""
        if self._feeding is not None and self._feeding.done():
            raise RuntimeError("the hoarders had not enough to send") from self._feeding.exception()

    async def stop(self) -> None:
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.gather(self._feeding, return_exceptions=True)


@asynccontextmanager
async def hoarders(folder: Path, count: int) -> AsyncIterator[Hoarders]:
    accounts = [Person(f"hoarder {i}", credits="1000") for i in range(count)]
    people = [CONTRACTOR, JUDGE, *PEOPLE, *accounts]
    async with Graph(folder, [*validators(4), Role("m0")], people=people, params=SMALL) as graph:
        nodes = [graph[f"v{i}"] for i in range(4)]
        await graph.start(*(node.name for node in nodes))
        await declare(nodes[0], [JUDGE])
        async with askers(graph, ["m0"], nodes) as (sender,):
            made = Hoarders(graph, sender, accounts)
            try:
                yield made
                made.check()
            finally:
                await made.stop()


def parts(raws: list[bytes]) -> list[list[bytes]]:
    """As messages of which a node lets several of one peer wait."""
    found: list[list[bytes]] = [[]]
    for raw in raws:
        if sum(map(len, found[-1])) + len(raw) > PART or len(found[-1]) >= MAX_BATCH:
            found.append([])
        found[-1].append(raw)
    return found


async def room(node: NodeProcess) -> tuple[int, int]:
    """Bytes that wait behind a gap at a node, and bytes that are ready and have no deadline."""
    kinds = (await node.api.status()).get("mempool_room", {})
    gap, common = (kinds.get(kind, {"bytes": 0})["bytes"] for kind in ("not ready", "common"))
    return gap, common - gap


async def has_ready(node: NodeProcess) -> bool:
    """More than ten blocks take."""
    return (await room(node))[1] > 10 * SMALL.block_txs * MIN_CHARGE


async def is_idle(node: NodeProcess) -> bool:
    """Nothing is ready: what stands behind gaps stays."""
    kinds = (await node.api.status())["mempool_room"]
    return bool(kinds["local"]["bytes"] == kinds["not ready"]["bytes"])
