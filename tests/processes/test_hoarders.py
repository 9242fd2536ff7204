"""Members that fill every mempool with what they may sign: everybody else's messages are final about as soon as without them.

Undisturbed runs and runs with full mempools alternate, on the same nodes. Blocks and rounds are compared in every run. Time is
compared in the median pair, unless the undisturbed runs differ among themselves by more than what is asserted.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
import warnings
from dataclasses import dataclass, field
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
from tests.processes.scripted import JUDGE, announcement, declare, post, terms
from tests.processes.test_questions import Asker, askers
from tests.tiers import sampled

PEOPLE = [Person(f"person {i}") for i in range(20)]
ROUNDS = 5
"""A payment and a claim of each person in each."""
MESSAGES = 2 * ROUNDS * len(PEOPLE)
PAIRS = 3
"""Undisturbed and with full mempools, by turns. An odd number, for its median."""
FACTOR = 2
"""What full mempools may cost everybody else."""
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


@dataclass
class Seen:
    """How long the messages of everybody else took: seconds, and blocks, both ascending; and what the consensus needed for that."""

    seconds: list[float] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    heights: int = 0
    failed: int = 0
    """Rounds that decided nothing."""

    def __repr__(self) -> str:
        return f"p95 {self.p95:.2f} s, {self.p95_blocks} blocks; {self.failed} failed rounds in {self.heights} heights"

    @property
    def p95_blocks(self) -> int:
        return self.blocks[len(self.blocks) * 95 // 100]

    @property
    def p95(self) -> float:
        return self.seconds[len(self.seconds) * 95 // 100]


async def everybody(nodes: list[NodeProcess], chain_id: bytes) -> Seen:
    """200 messages of twenty people through all nodes, a payment and a claim on a new job by turns."""
    seen, job = Seen(), await post(CONTRACTOR, nodes[0], open_ms=OPEN_MS)
    first = await nodes[0].height() + 1

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
    last = await nodes[0].height()
    seen.heights = last - first + 1
    seen.failed = sum([(await nodes[0].certificate(height))["round"] for height in range(first, last + 1)])
    return seen


@pytest.mark.parametrize("count", sampled([10, 1], 2, "ten accounts at once run every time"))
async def test_full_mempools_hold_up_nobody_else(tmp_path: Path, count: int) -> None:
    """66 MB behind a gap, thousands of ready ones, and hundreds of refused claims with a deadline, of one account and of ten."""
    hoarders = [Person(f"hoarder {i}", credits="1000") for i in range(count)]
    people = [CONTRACTOR, JUDGE, *PEOPLE, *hoarders]
    calm, busy, theirs = list[Seen](), list[Seen](), 0
    async with Graph(tmp_path, [*validators(4), Role("m0")], people=people, params=SMALL) as graph:
        nodes = [graph[f"v{i}"] for i in range(4)]
        await graph.start(*(node.name for node in nodes))
        chain_id = graph.genesis.chain_id
        await declare(nodes[0], [JUDGE])
        calm.append(await everybody(nodes, chain_id))
        async with askers(graph, ["m0"], nodes) as (sender,):
            hoards = [Hoard(who, chain_id) for who in hoarders]
            messages = [encode(Txs(part)) for hoard in hoards for part in parts(hoard.gapped(count))]
            sent = await asyncio.gather(*(fill(sender, node, messages, count) for node in nodes))
            stock = [raw for start in range(0, READY // count, 100) for hoard in hoards for raw in hoard.ready(start, 100)]
            flowing = asyncio.Event()
            feeding = asyncio.create_task(feed(sender, nodes[0], parts(stock), flowing))
            for _ in range(PAIRS):
                if len(calm) == len(busy):
                    await asyncio.gather(*(eventually(f"{n.name} has nothing to do", lambda n=n: is_idle(n)) for n in nodes))  # type: ignore[misc]
                    calm.append(await everybody(nodes, chain_id))
                flowing.set()
                await asyncio.gather(*(eventually(f"{n.name} holds much that is ready", lambda n=n: has_ready(n)) for n in nodes))  # type: ignore[misc]
                before = await used(nodes[0], hoarders)
                busy.append(await everybody(nodes, chain_id))
                theirs += await used(nodes[0], hoarders) - before
                flowing.clear()
            assert not feeding.done(), "the hoarders had enough to send"
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        print(f"{count} accounts, {sum(sent) >> 20} MB sent, {theirs} in blocks: {calm}, then {busy}")
        assert theirs > MESSAGES * PAIRS, "they had their share of the blocks all the time"
        as_soon(calm, busy)
        await graph.agree()


def as_soon(calm: list[Seen], busy: list[Seen]) -> None:
    """The median run takes at most twice the undisturbed blocks, the median pair at most twice the time, and no run is far off."""
    usual = statistics.median(one.p95_blocks for one in calm)
    assert statistics.median(seen.p95_blocks for seen in busy) <= FACTOR * usual
    for seen in busy:
        # A block takes some 25 ms here, so whatever holds a node for a moment is several of them.
        assert seen.p95_blocks <= 2 * FACTOR * usual
        # One, or one in twenty, is what a p95 leaves out: this machine has other work, too.
        assert seen.failed <= max(FACTOR * max(one.failed for one in calm), seen.heights // 20, 1)
    undisturbed = sorted(one.p95 for one in calm)
    ratio = statistics.median(full.p95 / free.p95 for free, full in zip(calm, busy, strict=True))
    if undisturbed[-1] > 1.5 * undisturbed[0]:
        warnings.warn(
            f"seconds tell nothing here: the undisturbed runs took {undisturbed[0]:.2f} to {undisturbed[-1]:.2f} s (p95); "
            f"with full mempools {ratio:.2f} of that",
            stacklevel=2,
        )
    else:
        assert ratio <= FACTOR


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


async def feed(sender: Asker, node: NodeProcess, stock: list[list[bytes]], flowing: asyncio.Event) -> None:
    """Keep a node supplied with ready ones, which it pushes to the others: more whenever blocks have taken some."""
    for part in stock:
        await flowing.wait()
        await deliver(sender, node, encode(Txs(part)))
        await eventually("blocks have taken some", lambda: lacks(node), 600)


async def lacks(node: NodeProcess) -> bool:
    return not await has_ready(node)


async def is_idle(node: NodeProcess) -> bool:
    """Nothing is ready: what stands behind gaps stays."""
    kinds = (await node.api.status())["mempool_room"]
    return bool(kinds["local"]["bytes"] == kinds["not ready"]["bytes"])
