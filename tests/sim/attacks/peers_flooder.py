"""Floods a node with the messages of the channel PEERS, as many as a peer may send, in virtual time: questions for addresses,
pings, pongs of no ping, answers that nobody asked for and that are full of lies, and, where it cares for nothing, more hellos.

The node is the real `p2p.transport.Network` with its address book; its connections lead nowhere. Beside the flooder an honest
member asks and pings as nodes do, and is answered each time.
"""

from __future__ import annotations

import random
from collections import Counter

from learningchain.p2p.address_book import MAX_RUMOURS
from learningchain.p2p.config import TransportConfig
from learningchain.p2p.wire import MAX_ADDRESSES, MAX_ENTRIES, GetPeers, Hello, PeerAddresses, Peers, PeersMessage, Ping, Pong
from tests.sim.checks import Violation
from tests.unit.p2p_kit import CHAIN, id_of
from tests.unit.p2p_unplugged import Unplugged

TICK = 0.01
FLOODER, HONEST = 1, 2
KNOWN = [id_of(index) for index in range(HONEST + 2)]
"""The members: the node, the two that are connected, and one that is not."""


class PeersFlood:
    def __init__(self, seed: int, config: TransportConfig | None = None, *, refused: bool = False) -> None:
        """`refused`: it sends what is refused, too."""
        self.rng, self.refused = random.Random(seed), refused
        self.config = TransportConfig()
        self.node = Unplugged(2, config)
        self.began = self.node.now
        self.counts: Counter[str] = Counter()
        self._pinged = self._asked = self.node.now

    @property
    def closed(self) -> str | None:
        """Why the flooder's connection ends, if it does."""
        return self.node.connection(FLOODER).closed_because

    def run(self, seconds: float) -> None:
        """Until then, or until the flooder is blocked. Raises `Violation`."""
        while self.node.now < self.began + seconds and self.closed is None:
            self.node.now += TICK
            if int(self.node.now / TICK) % int(self.config.tick / TICK) == 0:
                self.node.net._check_connections()
                self.node.net._ask_for_peers()
            for _ in range(int(self.config.messages_per_s * TICK)):
                self._flood()
            self._be_honest()
            self._check()

    # --- what is said ---------------------------------------------------------------------------------------------------------

    def _message(self) -> PeersMessage:
        r = self.rng
        match r.randrange(6 if self.refused else 5):
            case 0 | 1:
                return GetPeers()
            case 2:
                return Ping(r.getrandbits(62))
            case 3:
                return Pong(r.getrandbits(62))
            case 4:
                return self._lies()
        return Hello(1, CHAIN, 0, [], 0)

    def _lies(self) -> Peers:
        r = self.rng
        whom = [r.choice([*KNOWN, r.randbytes(20)]) for _ in range(r.choice([1, MAX_ENTRIES]))]
        where = [f"127.0.{r.randrange(256)}.{r.randrange(256)}:{r.randrange(1, 65_536)}" for _ in range(MAX_ADDRESSES)]
        return Peers([PeerAddresses(member, where) for member in whom])

    def _flood(self) -> None:
        said = self._message()
        self.counts[f"sent {type(said).__name__}"] += 1
        for answer in self.node.hear(said, FLOODER):
            self.counts[f"got {type(answer).__name__}"] += 1

    def _be_honest(self) -> None:
        """As `Connection.tick` and `Network._ask_for_peers` do."""
        now, node = self.node.now, self.node
        node.connection(HONEST).last_heard = now
        for said, answer, every in ((Ping(7), Pong(7), self.config.ping_interval), (GetPeers(), Peers, self.config.ask_often)):
            due = self._pinged if isinstance(said, Ping) else self._asked
            if now < due + every:
                continue
            if isinstance(said, Ping):
                self._pinged = now
            else:
                self._asked = now
            told = node.hear(said, HONEST)
            if not any(one == answer if isinstance(answer, Pong) else isinstance(one, answer) for one in told):
                raise Violation(f"the honest member's {type(said).__name__} was not answered after {now - self.began:.1f} s")
            self.counts["honest questions"] += 1

    # --- what holds -----------------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        passed, book = self.node.now - self.began, self.node.book
        for answer in ("Pong", "Peers"):
            if self.counts[f"got {answer}"] > passed / self.config.answer_interval + 1:
                raise Violation(f"{self.counts[f'got {answer}']} times {answer} in {passed:.1f} s")
        if strangers := set(book.members()) - {*KNOWN}:
            raise Violation(f"{len(strangers)} strangers are in the address book")
        places = [place for member in book.members() for place in book.places(member)]
        if len(places) > MAX_RUMOURS or any(len(book.places(member)) > MAX_ADDRESSES for member in book.members()):
            raise Violation(f"{len(places)} addresses are kept of one teller")
        self.counts["addresses kept"] = max(self.counts["addresses kept"], len(places))
        if not self.refused and self.node.net._standing.score(id_of(FLOODER), self.node.now):
            raise Violation("what is ignored costs its sender")
