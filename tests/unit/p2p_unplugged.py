"""A node's network with members connected to it, without sockets, by the clock of the test."""

from __future__ import annotations

from typing import Any

from learningchain.chain.codec import encode
from learningchain.p2p.config import TransportConfig
from learningchain.p2p.connection import Connection, Intake, Link, Times
from learningchain.p2p.tls import PeerIdentity
from learningchain.p2p.wire import PEERS, Hello, PeersMessage, Reassembler, parse_peers
from tests.unit.p2p_kit import CHAIN, Node, id_of, key_of, members_of


class _Nowhere:
    """A transport, and a websocket, that leads nowhere."""

    def get_protocol(self) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class Unplugged:
    """Node 0 with the members from 1 on, all connected. For a running event loop. `now`: seconds."""

    def __init__(self, members: int = 1, config: TransportConfig | None = None) -> None:
        self.now, self.config = 1_000.0, config or TransportConfig()
        node = Node(0, members_of(*range(members + 2)), config=self.config)
        self.net, self.book = node.net, node.book
        self.net._clock = self.net._wall = lambda: self.now
        self.net._ask_at = self.now
        for index in range(1, members + 1):
            self.net._peers[id_of(index)] = self._connection(index)
        self.net._live.update(self.net._peers.values())

    def _connection(self, index: int) -> Connection:
        nothing: Any = _Nowhere()
        link, greeting = Link(nothing, nothing, f"127.0.0.1:{index}", True), Hello(1, CHAIN, 0, [], 0)
        times = Times(drain_timeout=10, silence_timeout=30, ping_interval=5, close_timeout=1)
        identity = PeerIdentity(id_of(index), key_of(index).public)
        meter = self.net._meter(identity.id)
        return Connection(link, identity, greeting, times, meter, lambda: self.now, Intake(nothing, lambda: None))

    def connection(self, index: int = 1) -> Connection:
        return self.net._peers[id_of(index)]

    def hear(self, message: PeersMessage, index: int = 1) -> list[PeersMessage]:
        """What a member says on PEERS, and all that waits for it then."""
        one = self.connection(index)
        one.last_heard = self.now
        self.net._deliver(one, PEERS, encode(message))
        return self.read(index)

    def read(self, index: int = 1) -> list[PeersMessage]:
        out, frames = [], Reassembler()
        while (frame := self.connection(index).queues.next_frame()) is not None:
            out += [parse_peers(payload) for _, payload in frames.feed(frame)]
        return out
