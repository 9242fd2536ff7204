"""A member that asks nodes for far more than anybody can use, over connections of its own and by the protocol's rules."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import RoundState
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.node.messages import (
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
from learningchain.chain.params import MAX_OPS
from learningchain.client import config
from learningchain.p2p.address_book import AddressBook
from learningchain.p2p.content.cid import Cid, Codec
from learningchain.p2p.content.messages import WhoHas
from learningchain.p2p.tls import CA
from learningchain.p2p.transport import Network
from learningchain.p2p.wire import CONTENT, NODE, PEERS, QUEUE_VOTES, GetPeers, Ping, peers_message
from tests.processes.harness import Graph, NodeProcess, Person, eventually

HISTORY = MAX_SYNC_BLOCKS + 6
"""Heights, each with about 10 kB: every question asks for as many blocks as an answer may hold."""
STEP_S = 0.05


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

    async def ask(self, count: int, seconds: float) -> int:
        """So many questions for blocks, evenly over the seconds and all nodes; how many left."""
        kinds = (GetBlocks(1, MAX_SYNC_BLOCKS), GetExecutedBlocks(1, MAX_SYNC_BLOCKS))
        questions = itertools.cycle([encode(kind) for kind in kinds])
        began, left = time.monotonic(), 0
        for number in range(count):
            due = began + seconds * number / count
            if due > time.monotonic() + STEP_S:
                await asyncio.sleep(STEP_S)
            left += self.network.send(self.nodes[number % len(self.nodes)].id, NODE, next(questions), QUEUE_VOTES)
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
        return left

    async def flood(self, count: int) -> int:
        """At least so many messages of kinds that nobody refuses, as fast as the connections take them; how many left."""
        messages, left = itertools.cycle(_everything()), 0
        while left < count:
            for node in self.nodes:
                for channel, payload in itertools.islice(messages, 900):
                    if not self.network.send(node.id, channel, payload, QUEUE_VOTES):
                        break
                    left += 1
            await asyncio.sleep(STEP_S / 5)
        return left


def _everything() -> list[tuple[int, bytes]]:
    """Small messages of all channels."""
    state = RoundState(1, 0, 0, -1, b"", -1, b"", [], False, b"", b"")
    return [
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


@asynccontextmanager
async def askers(graph: Graph, names: list[str], nodes: list[NodeProcess]) -> AsyncIterator[list[Asker]]:
    made = [Asker(graph, graph[name], nodes) for name in names]
    try:
        await asyncio.gather(*(asker.connect() for asker in made))
        yield made
    finally:
        await asyncio.gather(*(asker.network.stop() for asker in made))


async def make_history(node: NodeProcess, payer: Person) -> None:
    """One that is worth asking for: from height 1 on a large transaction in every block."""
    large = [Transfer(node.id, 1, bytes(64))] * MAX_OPS
    while await node.height() < HISTORY:
        await payer.send(node, *large)
