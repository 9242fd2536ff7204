"""Members that ask the validators for far more than anybody can use: it costs them, and nobody else."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chain.codec import encode
from chain.consensus.messages import RoundState
from chain.contracts.credits import Transfer
from chain.node.messages import (
    MAX_BATCH,
    MAX_SYNC_BLOCKS,
    GetBlock,
    GetBlocks,
    GetExecutedBlocks,
    GetTxs,
    Links,
    StateMessage,
    Status,
    TxIds,
)
from chain.params import MAX_OPS
from client import config
from p2p.address_book import AddressBook
from p2p.content.cid import Cid, Codec
from p2p.content.messages import MAX_WANTS, WantBlocks, WhoHas
from p2p.tls import CA
from p2p.transport import Network
from p2p.wire import CONTENT, NODE, PEERS, QUEUE_VOTES, GetPeers, Ping, peers_message
from tests.processes.harness import Graph, NodeProcess, Person, Role, eventually, validators, with_params
from tests.unit.content_kit import pattern, root_of

QUESTIONS = 20_000
LASTS_S = 10.0
SPARE_RSS = 50 * 2**20
HISTORY = MAX_SYNC_BLOCKS + 6
"""Heights, each with about 10 kB: every question asks for as many blocks as an answer may hold."""
FILLER = Person("filler")
ANSWERS_WITHIN_S = 2.0
STEP_S = 0.05
FILE_BYTES = 40 * 2**20


class Asker:
    """A member's connections to some nodes; it reads what it is answered and forgets it."""

    def __init__(self, graph: Graph, member: NodeProcess, nodes: list[NodeProcess]) -> None:
        book = AddressBook(None)
        for node in nodes:
            book.add_seed(config.load(node.data, {}).config.network.listen)
        self.nodes = nodes
        self.answered = 0
        genesis = graph.genesis
        keys = {account.key: account.key for account in genesis.accounts}
        known = {graph[role.name].id: keys[graph[role.name].identity.key.public] for role in graph.roles}
        self.network = Network(
            key=member.identity.key,
            own_id=member.id,
            chain_id=genesis.chain_id,
            ca=CA(genesis.ca_cert, genesis.ca_key),
            membership=known.get,
            on_message=self._answer,
            on_peer=lambda *_: None,
            address_book=book,
            listen=None,
            advertise=[],
        )

    def _answer(self, peer: bytes, channel: int, payload: bytes) -> None:
        self.answered += 1

    async def connect(self) -> None:
        await self.network.start()

        async def all_there() -> bool:
            return {node.id for node in self.nodes} <= {peer.id for peer in self.network.peers()}

        await eventually("the member is connected to all validators", all_there)

    async def ask(self, count: int) -> int:
        """So many questions, evenly over LASTS_S and all nodes; how many left."""
        kinds = (GetBlocks(1, MAX_SYNC_BLOCKS), GetExecutedBlocks(1, MAX_SYNC_BLOCKS))
        questions = itertools.cycle([encode(kind) for kind in kinds])
        began, left = time.monotonic(), 0
        for number in range(count):
            due = began + LASTS_S * number / count
            if due > time.monotonic() + STEP_S:
                await asyncio.sleep(STEP_S)
            left += self.network.send(self.nodes[number % len(self.nodes)].id, NODE, next(questions), QUEUE_VOTES)
        await asyncio.sleep(max(0.0, began + LASTS_S - time.monotonic()))
        return left

    async def flood(self) -> int:
        """As many messages of all channels as the connections take, of kinds that nobody refuses; how many left."""
        state = RoundState(1, 0, 0, -1, b"", -1, b"", [], False, b"", b"")
        kinds: list[tuple[int, bytes]] = [
            (NODE, encode(Status(0, 1))),
            (NODE, encode(Links([]))),
            (NODE, encode(StateMessage(state))),
            (NODE, encode(TxIds([bytes(8)] * MAX_BATCH))),
            (NODE, encode(GetTxs([bytes(8)] * MAX_BATCH))),
            (NODE, encode(GetBlock(1, bytes(32), []))),
            (PEERS, peers_message(Ping(1))[1:]),
            (PEERS, peers_message(GetPeers())[1:]),
            (CONTENT, encode(WhoHas(Cid(Codec.RAW, bytes(32)).to_bytes()))),
        ]
        messages = itertools.cycle(kinds)
        began, left = time.monotonic(), 0
        while time.monotonic() < began + LASTS_S:
            for node in self.nodes:
                for channel, payload in itertools.islice(messages, 100 * len(kinds)):
                    if not self.network.send(node.id, channel, payload, QUEUE_VOTES):
                        break
                    left += 1
            await asyncio.sleep(STEP_S / 5)
        return left


def resident(node: NodeProcess) -> int:
    """Bytes."""
    lines = Path(f"/proc/{node.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1_024 for line in lines if line.startswith("VmRSS:"))


@dataclass
class Seen:
    """What an observation saw of all nodes."""

    rate: float = 0.0
    """Heights a second, of the node that decided fewest."""
    grew: int = 0
    """Most bytes by which a node's memory was above the beginning at any time."""
    waits: list[float] = field(default_factory=list)
    """Seconds that each question to an API took, ascending."""

    @property
    def p95(self) -> float:
        return self.waits[len(self.waits) * 95 // 100]


async def observe(nodes: list[NodeProcess], while_: Awaitable[object]) -> Seen:
    """Ask every node's API again and again while something goes on."""
    seen, ended = Seen(), asyncio.Event()

    async def watch(node: NodeProcess) -> float:
        before = resident(node)
        first, began = await node.height(), time.monotonic()
        while not ended.is_set():
            asked = time.monotonic()
            await node.api.status()
            seen.waits.append(time.monotonic() - asked)
            seen.grew = max(seen.grew, resident(node) - before)
            await asyncio.sleep(0.1)
        return (await node.height() - first) / (time.monotonic() - began)

    watchers = [asyncio.create_task(watch(node)) for node in nodes]
    try:
        await while_
    finally:
        ended.set()
        rates = await asyncio.gather(*watchers)
    seen.rate = min(rates)
    seen.waits.sort()
    return seen


@asynccontextmanager
async def askers(graph: Graph, names: list[str], nodes: list[NodeProcess]) -> AsyncIterator[list[Asker]]:
    made = [Asker(graph, graph[name], nodes) for name in names]
    try:
        await asyncio.gather(*(asker.connect() for asker in made))
        yield made
    finally:
        await asyncio.gather(*(asker.network.stop() for asker in made))


def show(what: str, calm: Seen, busy: Seen, after: Seen) -> None:
    print(f"{what}: {calm.rate:.1f}, {busy.rate:.1f}, {after.rate:.1f} heights/s; {busy.grew >> 20} MB more;", end=" ")
    print(f"p95 {calm.p95 * 1000:.0f} and {busy.p95 * 1000:.0f} ms")


def unharmed(calm: Seen, *others: Seen) -> None:
    patience = max(ANSWERS_WITHIN_S, 10 * calm.waits[-1])
    for seen in others:
        assert seen.rate >= calm.rate / 2
        assert seen.grew < SPARE_RSS
        assert seen.waits[-1] <= patience


async def nobody_was_blamed(nodes: list[NodeProcess]) -> None:
    for node in nodes:
        assert {peer["score"] for peer in await node.api.peers()} <= {0.0}
        assert not node.says("blocked")


async def fill(node: NodeProcess) -> None:
    """A history that is worth asking for: from height 1 on a large transaction in every block."""
    large = [Transfer(node.id, 1, bytes(64))] * MAX_OPS
    while await node.height() < HISTORY:
        await FILLER.send(node, *large)


@pytest.mark.full("who sends as much as it can stands for who asks for too much")
@pytest.mark.parametrize("members", [1, 3])
async def test_who_asks_for_too_much_holds_up_nobody(tmp_path: Path, members: int) -> None:
    """20,000 questions in ten seconds for 64 blocks each, from one member and from three at once. Without a bound for the questions
    of a peer a validator reads and encodes 20,000 answers, and decides nothing meanwhile."""
    names = [f"m{i}" for i in range(members)]
    async with Graph(tmp_path, [*validators(4), *map(Role, names)], people=[FILLER], params=with_params(heartbeat=100)) as graph:
        nodes = [graph[f"v{i}"] for i in range(4)]
        await graph.start(*(node.name for node in nodes))
        await fill(nodes[0])
        await asyncio.gather(*(node.reaches(HISTORY) for node in nodes))
        async with askers(graph, names, nodes) as asking:
            calm = await observe(nodes, asyncio.sleep(LASTS_S / 2))
            busy = await observe(nodes, asyncio.gather(*(asker.ask(QUESTIONS) for asker in asking)))
            after = await observe(nodes, asyncio.sleep(LASTS_S / 2))
            show(f"{members} members", calm, busy, after)
            unharmed(calm, busy, after)
            assert all(asker.answered > 0 for asker in asking), "who asks is answered"
        await nobody_was_blamed(nodes)
        await graph.agree()


async def test_who_sends_as_much_as_it_can_holds_up_nobody(tmp_path: Path) -> None:
    """Small messages of all channels, none of them refused, as fast as a member can send them to all validators."""
    async with Graph(tmp_path, [*validators(4), Role("m0")], params=with_params(heartbeat=100)) as graph:
        nodes = [graph[f"v{i}"] for i in range(4)]
        await graph.start(*(node.name for node in nodes))
        async with askers(graph, ["m0"], nodes) as (flooder,):
            calm = await observe(nodes, asyncio.sleep(LASTS_S / 2))
            sending = asyncio.create_task(flooder.flood())
            busy = await observe(nodes, sending)
        after = await observe(nodes, asyncio.sleep(LASTS_S / 2))
        show(f"{sending.result()} messages", calm, busy, after)
        assert after.rate >= calm.rate / 3, "it is over"
        calm.rate = min(calm.rate, after.rate)  # the machine may have had other work
        unharmed(calm, busy)
        assert sending.result() > QUESTIONS
        await nobody_was_blamed(nodes)
        await graph.agree()


async def test_for_who_reads_nothing_nothing_is_read(tmp_path: Path) -> None:
    """A member asks on and on for blocks and files and takes no answer: the node reads until a little waits for it, and nothing
    that it would have to throw away. When the member takes what waits, it is served on."""
    async with Graph(tmp_path, [*validators(1), Role("m0")], people=[FILLER], params=with_params(heartbeat=100)) as graph:
        node = graph["v0"]
        await graph.start("v0")
        await fill(node)
        data = pattern(FILE_BYTES)
        (tmp_path / "file").write_bytes(data)
        root, blocks = root_of(data)
        assert (await node.api.upload(tmp_path / "file"))["cid"] == str(root)
        leaves = [cid.to_bytes() for cid in blocks if cid.raw]
        async with askers(graph, ["m0"], [node]) as (asker,):
            connection = asker.network._peers[node.id]
            connection.link.transport.pause_reading()
            for number in range(200):
                at = number * MAX_WANTS % len(leaves)
                wants = WantBlocks(root.to_bytes(), leaves[at : at + MAX_WANTS])
                asker.network.send(node.id, NODE, encode(GetBlocks(1, MAX_SYNC_BLOCKS)), QUEUE_VOTES)
                asker.network.send(node.id, CONTENT, encode(wants), QUEUE_VOTES)
                await asyncio.sleep(STEP_S / 2)
            (seen,) = [peer for peer in await node.api.peers() if peer["id"] == graph["m0"].address]
            assert seen["queued"] > 0, "the member is slow enough"
            assert seen["dropped"] == 0, "nothing is read that has no room"
            before = asker.answered
            connection.link.transport.resume_reading()
            await eventually("the member is served on", lambda: served_on(asker, before))
        await nobody_was_blamed([node])


async def served_on(asker: Asker, before: int) -> bool:
    """More came than can have waited on the way."""
    asker.network.send(asker.nodes[0].id, NODE, encode(GetBlocks(1, MAX_SYNC_BLOCKS)), QUEUE_VOTES)
    return asker.answered > before + 64
