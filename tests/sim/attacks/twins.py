"""Two machines with one key, both real nodes with a disk of their own: one talks to one half of the graph, one to the other.
Neither knows of the other, neither lies, and together they sign everything twice.

To the simulator they are one machine: this one, whose second half sits inside.
"""

from __future__ import annotations

from learningchain.chain.crypto import SigningKey
from learningchain.chain.node import events as e
from learningchain.p2p.wire import NODE
from tests.sim.attacks.base import Byzantine
from tests.sim.world import World


class _Second(Byzantine):
    """The other half: it shares index, key and connections, and has neither disk nor memory in common with the first."""

    name = "twins"

    def boot(self) -> None:
        if self.up:
            return
        self.up, self.flushing = True, False
        self.life += 1
        self._open()
        self.run(self.node.start(self.wall, self.wal.records()))

    def crash(self) -> None:
        """Only after a mistake of its own: the weather is the first one's."""
        if self.up:
            self.up = False
            self.life += 1
            self.disk = self.disk.after_cut(self.rng, kill=True)
            self.store.crash(self.rng)
            self.world.later(50, self.boot)

    def emit(self, peer: int, payload: bytes, channel: int = NODE) -> None:
        if peer % 2:
            self.did("spoke")
            self.tell(peer, payload)


class Twins(Byzantine):
    name = "twins"

    def __init__(self, world: World, index: int, key: SigningKey) -> None:
        super().__init__(world, index, key)
        self.second = _Second(world, index, key)
        self.second.peers, self.second.route = self.peers, self.route

    def boot(self) -> None:
        self.second.boot()
        super().boot()

    def feed(self, event: e.Input) -> None:
        peer = getattr(event, "peer", None)
        if isinstance(event, e.Received | e.PeerUp | e.PeerDown) and peer is not None and self.world.index_of[peer] % 2:
            self.second.feed(event)
        else:
            super().feed(event)

    def emit(self, peer: int, payload: bytes, channel: int = NODE) -> None:
        if not peer % 2:
            self.tell(peer, payload)
