"""Networks on loopback for tests: a node that logs what it saw, and ways to wait."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from learningchain.chain.crypto import SigningKey, account_id, sha256
from learningchain.chain.params import PROTOCOL_VERSION
from learningchain.p2p.address_book import AddressBook
from learningchain.p2p.config import TransportConfig
from learningchain.p2p.tls import CA, issue_leaf, make_ca, make_contexts
from learningchain.p2p.transport import Network
from learningchain.p2p.wire import PATH, Hello, peers_message
from tests.slow import SLOW

CHAIN = sha256(b"a test network")
CA_ = make_ca(time.time())
FAST = TransportConfig(
    tick=0.02, ask_often=0.05, answer_interval=0.02, dial_timeout=20, hello_timeout=20, close_timeout=0.3, ping_interval=0.05
)
"""Nothing comes late here: how long a handshake takes on a busy machine decides no test. Those about patience set their own."""


def key_of(i: int) -> SigningKey:
    return SigningKey(sha256(b"key %d" % i))


def id_of(i: int) -> bytes:
    return account_id(key_of(i).public)


class Node:
    """A network with a log of what it saw, and a way to wait for it."""

    def __init__(
        self,
        i: int,
        members: dict[bytes, bytes],
        *,
        seeds: list[str] = [],  # noqa: B006
        config: TransportConfig = FAST,
        chain_id: bytes = CHAIN,
        ca: CA = CA_,
        own_id: bytes | None = None,
        port: int = 0,
        path: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.id = own_id or id_of(i)
        self.messages: list[tuple[bytes, int, bytes]] = []
        self.ups: list[tuple[bytes, bool]] = []
        self.changed = asyncio.Event()
        self.handler: Callable[[bytes, int, bytes], None] = lambda *_: None
        self.book = AddressBook(path)
        for seed in seeds:
            self.book.add_seed(seed)
        self.net = Network(
            key=key_of(i),
            own_id=self.id,
            chain_id=chain_id,
            ca=ca,
            membership=members.get,
            on_message=self._message,
            on_peer=self._peer,
            address_book=self.book,
            listen=("127.0.0.1", port),
            advertise=[],
            config=config,
            clock=clock,
            wall=wall,
            rng=random.Random(i),
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.net.port()}"

    def _message(self, peer: bytes, channel: int, payload: bytes) -> None:
        self.messages.append((peer, channel, payload))
        self.handler(peer, channel, payload)
        self.changed.set()

    def _peer(self, peer: bytes, up: bool) -> None:
        self.ups.append((peer, up))
        self.changed.set()

    def connected(self) -> set[bytes]:
        return {p.id for p in self.net.peers()}

    def reasons(self, event: str) -> str:
        return " | ".join(e.reason for e in self.net.events if e.event == event)


async def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Looks at every turn of the loop; a polling wait, because the conditions span several nodes."""
    async with asyncio.timeout(seconds * SLOW):
        while not condition():
            await asyncio.sleep(0.005)


def members_of(*indices: int) -> dict[bytes, bytes]:
    return {id_of(i): key_of(i).public for i in indices}


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    try:
        for node in nodes:
            await node.net.start()
        yield
    finally:
        await asyncio.gather(*(node.net.stop() for node in nodes))


@asynccontextmanager
async def pair(config: TransportConfig = FAST) -> AsyncIterator[tuple[Node, Node]]:
    members = members_of(0, 1)
    a = Node(0, members, config=config)
    async with running(a):
        b = Node(1, members, seeds=[a.address], config=config)
        async with running(b):
            await until(lambda: a.connected() and b.connected())
            yield a, b


class Raw:
    """A member that speaks websocket by hand."""

    def __init__(self, session: aiohttp.ClientSession, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.session, self.ws = session, ws

    async def reason(self) -> tuple[int | None, str]:
        """Reads until the other side closes; its code and reason."""
        async with asyncio.timeout(30 * SLOW):
            while True:
                m = await self.ws.receive()
                if m.type is aiohttp.WSMsgType.CLOSE:
                    return m.data, m.extra or ""
                if m.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                    return None, "cut off"


@asynccontextmanager
async def raw(node: Node, i: int = 1, hello: bytes | None = None, **options: Any) -> AsyncIterator[Raw]:
    context = make_contexts(issue_leaf(key_of(i), id_of(i), CHAIN, CA_, time.time()), CA_).client
    async with aiohttp.ClientSession() as session:
        ws = await session.ws_connect(f"wss://{node.address}{PATH}", ssl=context, autoping=False, **options)
        await ws.send_bytes(peers_message(Hello(PROTOCOL_VERSION, CHAIN, 0, [], 0)) if hello is None else hello)
        yield Raw(session, ws)
        await ws.close()
