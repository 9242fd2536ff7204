"""Members that fill every mempool with what they may sign: everybody else's messages are final about as soon as without them."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chain.codec import encode
from chain.contracts.credits import Transfer
from chain.contracts.job.messages import Claim
from chain.ledger.tx import sign_tx
from chain.node.events import TRANSACTIONS
from chain.node.messages import MAX_BATCH, Txs
from chain.node.space import MIN_CHARGE
from chain.params import MAX_OPS
from chain.types import TxBody, net_of
from p2p.wire import NODE
from tests.processes.harness import Graph, NodeProcess, Person, Role, eventually, validators, with_params
from tests.processes.scripted import announcement, post, terms
from tests.processes.test_questions import Asker, askers
from tests.tiers import sampled

PEOPLE = [Person(f"person {i}") for i in range(20)]
ROUNDS = 5
"""A payment and a claim of each person in each."""
MESSAGES = 2 * ROUNDS * len(PEOPLE)
TIMES = 3
"""Undisturbed and with full mempools: one round of consensus that fails weighs much in 200 messages."""
CONTRACTOR = Person("contractor")
OPEN_MS = 20 * 60_000
GAPPED_BYTES = 66_000_000
"""More than a mempool holds."""
READY, RARE = 20_000, 20
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
        pay, claims = [Transfer(PEOPLE[0].id, 1, b"")], [Claim(bytes(32), 0, bytes(32))] * MAX_OPS
        found = [self._signed(PAYMENTS, start + i, pay) for i in range(count)]
        return found + [self._signed(CLAIMS, (start + i) // RARE, claims) for i in range(count) if (start + i) % RARE == 0]


@dataclass
class Seen:
    """How long the messages of everybody else took: seconds, and blocks, both ascending."""

    seconds: list[float]
    blocks: list[int]

    def __repr__(self) -> str:
        return f"p95 {self.p95:.2f} s, {self.p95_blocks} blocks"

    @property
    def p95_blocks(self) -> int:
        return self.blocks[len(self.blocks) * 95 // 100]

    @property
    def p95(self) -> float:
        return self.seconds[len(self.seconds) * 95 // 100]


async def everybody(nodes: list[NodeProcess], chain_id: bytes) -> Seen:
    """200 messages of twenty people through all nodes, a payment and a claim on a new job by turns."""
    seen, job = Seen([], []), await post(CONTRACTOR, nodes[0], open_ms=OPEN_MS)

    async def one(number: int, person: Person) -> None:
        node = nodes[number % len(nodes)]
        for turn in range(ROUNDS):
            for lane, op in enumerate(
                (Transfer(CONTRACTOR.id, 1, b""), announcement(chain_id, job, person, f"{ROUNDS - turn}").claim)
            ):
                height, began = await node.height(), time.monotonic()
                done = await node.api.submit_tx([op], person.key, lane=lane, wait=60)
                seen.seconds.append(time.monotonic() - began)
                seen.blocks.append(done["height"] - height)

    await asyncio.gather(*(one(number, person) for number, person in enumerate(PEOPLE)))
    seen.seconds.sort()
    seen.blocks.sort()
    return seen


@pytest.mark.parametrize("count", sampled([10, 1], 2, "ten accounts at once run every time"))
async def test_full_mempools_hold_up_nobody_else(tmp_path: Path, count: int) -> None:
    """66 MB behind a gap, thousands of ready ones, and hundreds of refused claims with a deadline, of one account and of ten."""
    hoarders = [Person(f"hoarder {i}") for i in range(count)]
    people = [CONTRACTOR, *PEOPLE, *hoarders]
    async with Graph(tmp_path, [*validators(4), Role("m0")], people=people, params=SMALL) as graph:
        nodes = [graph[f"v{i}"] for i in range(4)]
        await graph.start(*(node.name for node in nodes))
        chain_id = graph.genesis.chain_id
        calm = [await everybody(nodes, chain_id) for _ in range(TIMES)]
        async with askers(graph, ["m0"], nodes) as (sender,):
            hoards = [Hoard(who, chain_id) for who in hoarders]
            messages = [encode(Txs(part)) for hoard in hoards for part in parts(hoard.gapped(count))]
            sent = await asyncio.gather(*(fill(sender, node, messages, count) for node in nodes))
            stock = [raw for start in range(0, READY // count, 100) for hoard in hoards for raw in hoard.ready(start, 100)]
            feeding = asyncio.create_task(feed(sender, nodes[0], parts(stock)))
            for node in nodes:
                await eventually(f"{node.name} holds much that is ready", lambda node=node: has_ready(node))  # type: ignore[misc]
            before = await used(nodes[0], hoarders)
            busy = [await everybody(nodes, chain_id) for _ in range(TIMES)]
            theirs = await used(nodes[0], hoarders) - before
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        print(f"{count} accounts, {sum(sent) >> 20} MB sent, {theirs} in blocks: {calm}, then {busy}")
        assert theirs > MESSAGES * TIMES, "they had their share of the blocks all the time"
        assert sorted(seen.p95_blocks for seen in busy)[TIMES // 2] <= 2 * min(seen.p95_blocks for seen in calm)
        # A round of consensus that fails since the machine has other work weighs more than all that the hoarders can do.
        assert min(seen.p95 for seen in busy) <= 2 * max(seen.p95 for seen in calm)
        await graph.agree()


def parts(raws: list[bytes]) -> list[list[bytes]]:
    """As messages of which a node lets several of one peer wait."""
    found: list[list[bytes]] = [[]]
    for raw in raws:
        if sum(map(len, found[-1])) + len(raw) > PART or len(found[-1]) >= MAX_BATCH:
            found.append([])
        found[-1].append(raw)
    return found


async def used(node: NodeProcess, accounts: list[Person]) -> int:
    """Sequences that blocks have used."""
    return sum([sum((await node.api.account(who.address))["sequences"]) for who in accounts])


async def room(node: NodeProcess) -> tuple[int, int]:
    """Bytes that wait behind a gap at a node, and bytes that are ready and have no deadline."""
    kinds = (await node.api.status()).get("mempool_room", {})
    gap, common = (kinds.get(kind, {"bytes": 0})["bytes"] for kind in ("not ready", "common"))
    return gap, common - gap


async def has_ready(node: NodeProcess) -> bool:
    """More than ten blocks take."""
    return (await room(node))[1] > 10 * SMALL.block_txs * MIN_CHARGE


async def deliver(sender: Asker, node: NodeProcess, part: bytes) -> int:
    """The bytes that left, once the connection had room for them."""
    while not sender.network.send(node.id, NODE, part, TRANSACTIONS):
        await node.api.status()
    return len(part)


async def fill(sender: Asker, node: NodeProcess, messages: list[bytes], count: int) -> int:
    """All that stands behind a gap, then again what was lost, until each hoarder has all the room for it; the bytes that left."""
    left = sum([await deliver(sender, node, message) for message in messages])
    turns = itertools.count()

    async def is_full() -> bool:
        if (await room(node))[0] > min(count * 900_000, 7_000_000):
            return True
        for message in messages[next(turns) % PIECES :: PIECES]:
            await deliver(sender, node, message)
        return False

    await eventually(f"the room behind gaps of {node.name} is full", is_full)
    return left


async def feed(sender: Asker, node: NodeProcess, stock: list[list[bytes]]) -> None:
    """Keep a node supplied with ready ones, which it pushes to the others: more whenever blocks have taken some."""
    for part in stock:
        await deliver(sender, node, encode(Txs(part)))
        await eventually("blocks have taken some", lambda: lacks(node), 600)


async def lacks(node: NodeProcess) -> bool:
    return not await has_ready(node)
