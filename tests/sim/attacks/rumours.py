"""Liars about peers: nodes find each other by the real address book and the real choice of dials, while some members tell lies
about where everybody is. The connections around them are simulated as `p2p.transport` makes them: what a dial finds, hellos,
questions for peers, back-off, connections that break, machines that are down for a while.

A liar answers with strangers, with members at dead addresses, at those that they had before they moved, at strangers' addresses
and at its own, with bytes that are no address, with the asker itself, as much as fits into an answer; its hello claims addresses of
others. At first every honest node knows one honest address, and perhaps a liar's. Now and then one moves to another address.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from learningchain.chain.crypto import sha256
from learningchain.p2p.address_book import FORMER_S, MAX_MEMBERS, MAX_RUMOURS, AddressBook
from learningchain.p2p.config import TransportConfig
from learningchain.p2p.discovery import Dial, Wanted, absorb, choose_dials
from learningchain.p2p.wire import MAX_ADDRESSES, MAX_ENTRIES, PeerAddresses, Peers
from tests.sim.checks import Violation

CONFIG = TransportConfig()


def named(what: str, index: int) -> bytes:
    return sha256(b"%s %d" % (what.encode(), index))[:20]


@dataclass
class Node:
    """An honest one."""

    id: bytes
    address: str
    book: AddressBook
    rng: random.Random
    peers: dict[bytes, tuple[float, str]] = field(default_factory=dict)
    """Who is connected, since when, and the address that was dialled; empty where the other side dialled."""
    dialling: dict[Dial, float] = field(default_factory=dict)
    """And when its outcome is known."""
    ask_at: float = 0.0
    ask_every: float = CONFIG.ask_often


class Rumours:
    def __init__(self, seed: int) -> None:
        r = self.rng = random.Random(seed)
        self.now = 1_000.0
        self.counts: Counter[str] = Counter()
        honest, liars = r.randint(4, 8), r.randint(1, 3)
        self.nodes = [
            Node(named("honest", i), f"10.0.0.{i + 1}:7000", AddressBook(), random.Random(r.random())) for i in range(honest)
        ]
        self.liars = {named("liar", i): f"10.6.0.{i + 1}:7000" for i in range(liars)}
        self.by_id = {node.id: node for node in self.nodes}
        self.members = [*self.by_id, *self.liars]
        self.validators = frozenset(self.by_id) if r.random() < 0.7 else frozenset()
        """Where the honest ones are no validators they are connected with as many as they can be."""
        self.verified: set[tuple[bytes, bytes]] = set()
        """(node, member) where the node reached that honest member itself."""
        self.down: dict[bytes, float] = {}
        """Until when a machine is down."""
        self.former: dict[str, bytes] = {}
        """Addresses that an honest one had before it moved."""
        self._rests_until = 0.0
        """Nobody moves before: who is down for a while comes back to a world that it knows in part."""
        for i, node in enumerate(self.nodes):
            if r.random() < 0.3:
                self.down[node.id] = self.now + r.uniform(5, 60)
            node.book.add_seed(self.nodes[(i + 1) % honest].address)
            if r.random() < 0.5:
                node.book.add_seed(r.choice(sorted(self.liars.values())))

    # --- lies -----------------------------------------------------------------------------------------------------------------

    def _false_address(self, liar: bytes) -> str:
        r = self.rng
        return r.choice(
            [
                f"10.9.{r.randrange(256)}.{r.randrange(256)}:7000",
                f"10.8.0.{r.randrange(9)}:7000",
                self.liars[liar],
                r.choice(self.nodes).address,
                r.choice([*self.former, "10.9.9.9:7000"]),
                f"HOST{r.randrange(99)}.example:1",
                "no address",
                "[::1]:0",
                "10.0.0.1:99999",
            ]
        )

    def lie(self, liar: bytes, victim: Node) -> Peers:
        r = self.rng
        told = []
        for _ in range(r.choice([1, 8, MAX_ENTRIES])):
            about = r.choice([*self.members, *self.by_id, named("stranger", r.randrange(10**6)), victim.id])
            told.append(PeerAddresses(about, [self._false_address(liar) for _ in range(MAX_ADDRESSES)]))
        self.counts["lies"] += len(told)
        return Peers(told)

    # --- connections ----------------------------------------------------------------------------------------------------------

    def _who(self, address: str) -> bytes | None:
        """Which member answers there."""
        for node in self.nodes:
            if node.address == address:
                return None if node.id in self.down else node.id
        return next((liar for liar, where in self.liars.items() if where == address), None)

    def _dial(self, node: Node) -> None:
        wanted = Wanted(self.validators, CONFIG.other_peers, CONFIG.max_dials)
        chosen = choose_dials(
            node.book, self.now, wanted, own_id=node.id, connected=node.peers, dialling=node.dialling, rng=node.rng
        )
        for dial in chosen:
            nobody = self._who(dial.address) is None
            node.dialling[dial] = self.now + (
                node.rng.choice([0.01, CONFIG.dial_timeout]) if nobody else node.rng.uniform(0.01, 0.5)
            )
            self.counts["dials"] += 1

    def _dialled(self, node: Node, dial: Dial) -> None:
        """`Network._open` and what follows."""
        del node.dialling[dial]
        who = self._who(dial.address)
        if who == node.id:
            node.book.remove_seed(dial.address)
        if who is not None and dial.peer is not None and who != dial.peer:
            node.book.mistaken(dial.peer, dial.address)
        if who is None or who == node.id or dial.peer not in (None, who):
            node.book.failed(dial.peer, dial.address, self.now, node.rng)
            self.counts["dials in vain"] += 1
            return
        node.book.succeeded(who, dial.address, self.now)
        if who in self.by_id:
            self.verified.add((node.id, who))
        self._connected(node, who, dial.address)
        if who in self.by_id:
            self._connected(self.by_id[who], node.id, "")
        else:
            node.book.learn(who, [self._false_address(who) for _ in range(MAX_ADDRESSES)], who, self.now)

    def _connected(self, node: Node, peer: bytes, dialled: str) -> None:
        node.peers[peer] = (self.now, dialled)
        if peer in self.by_id:
            node.book.learn(peer, [self.by_id[peer].address], peer, self.now)
            node.book.named(peer, [self.by_id[peer].address], self.now)
        self._ask(node, peer)
        self._found(node)

    def _found(self, node: Node) -> None:
        node.ask_every = CONFIG.ask_often
        node.ask_at = min(node.ask_at, self.now + node.ask_every)

    def _ask(self, node: Node, peer: bytes) -> None:
        if peer in self.by_id:
            other = self.by_id[peer]
            answer = Peers(other.book.share(other.rng, node.id, set(other.peers)))
        else:
            answer = self.lie(peer, node)
        if absorb(node.book, answer, peer, node.id, lambda p: p in self.by_id or p in self.liars, self.now):
            self._found(node)

    def _break(self, node: Node, peer: bytes) -> None:
        for one, other in ((node, peer), (self.by_id.get(peer), node.id)):
            if one is None or other not in one.peers:
                continue
            since, dialled = one.peers.pop(other)
            if dialled and self.now - since >= CONFIG.settled_after:
                one.book.settled(other, dialled)
            elif dialled:
                one.book.failed(other, dialled, self.now, one.rng)

    def _fall(self, node: Node) -> None:
        """It is down for a while, and comes back with what its book has on disk: verified addresses."""
        self.counts["machines down"] += 1
        self.down[node.id] = self.now + self.rng.uniform(1, 40)
        for peer in sorted(node.peers):
            self._break(node, peer)
        node.dialling.clear()
        for member in node.book.members():
            if not any(place.verified for place in node.book.places(member)):
                node.book.forget(member)

    def _move(self, node: Node) -> None:
        """It is somewhere else from now on, and has all that it knew."""
        self.counts["moves"] += 1
        self._rests_until = self.now + 30
        for peer in sorted(node.peers):
            self._break(node, peer)
        node.dialling.clear()
        self.former[node.address] = node.id
        node.address = f"10.1.0.{len(self.former)}:7000"
        self.verified = {(owner, member) for owner, member in self.verified if member != node.id}

    # --- time -----------------------------------------------------------------------------------------------------------------

    def tick(self, restless: bool) -> None:
        self.now += CONFIG.tick
        self.down = {who: until for who, until in self.down.items() if until > self.now}
        for node in self.nodes:
            if node.id in self.down:
                continue
            for dial in [d for d, due in node.dialling.items() if due <= self.now]:
                self._dialled(node, dial)
            self._dial(node)
            if node.peers and self.now >= node.ask_at:
                node.ask_at = self.now + node.ask_every
                node.ask_every = min(node.ask_every * 1.5, CONFIG.ask_rarely)
                self._ask(node, node.rng.choice(sorted(node.peers)))
            if restless and node.peers and self.rng.random() < 0.02:
                self.counts["breaks"] += 1
                self._break(node, self.rng.choice(sorted(node.peers)))
            if restless and self.rng.random() < 0.003:
                self._fall(node)
            elif restless and self.now >= self._rests_until and self.rng.random() < 0.002:
                self._move(node)
            self._check(node)

    def _check(self, node: Node) -> None:
        book = node.book
        members = book.members()
        if len(members) > MAX_MEMBERS or any(len(book.places(m)) > MAX_ADDRESSES for m in members):
            raise Violation("a peer book grew beyond its bounds")
        if strangers := [m for m in members if m not in self.members]:
            raise Violation(f"{len(strangers)} strangers are in a peer book")
        told = Counter(place.teller for m in members for place in book.places(m) if place.teller is not None)
        if told and max(told.values()) > MAX_RUMOURS:
            raise Violation(f"{max(told.values())} rumours of one teller are kept")
        for member in members:
            for place in book.places(member):
                if place.verified and self._who(place.address) not in (member, None):
                    raise Violation(f"{place.address} counts as verified, and somebody else answers there")
        for owner, member in self.verified:
            if owner == node.id and all(not p.verified for p in book.places(member)):
                raise Violation("rumours pushed out an address that was verified")

    def missing(self) -> list[tuple[str, str]]:
        """Honest pairs that are not connected."""
        return [(a.address, b.address) for a in self.nodes for b in self.nodes if a is not b and b.id not in a.peers]

    def run(self, restless_for: float, patience: float) -> None:
        """Raises `Violation` unless all honest ones are connected with each other within `patience` seconds of quiet."""
        end = self.now + restless_for
        while self.now < end:
            self.tick(restless=True)
        while missing := self.missing():
            if self.now > end + patience:
                raise Violation(f"after {patience:.0f} s: {missing}")
            self.tick(restless=False)
        self.counts["seconds of quiet"] += int(self.now - end)
        self._nothing_stale()

    def _nothing_stale(self) -> None:
        """Everybody has heard everybody since: nobody passes on where a member was before, whatever the liars say."""
        for node in self.nodes:
            for told in node.book.share(node.rng, b"", set(node.peers)):
                if stale := [a for a in told.addresses if self.former.get(a) == told.id]:
                    raise Violation(f"{node.address} tells where a member was before it moved: {stale}")
            node.book.expire(self.now + FORMER_S)
            if any(self.former.get(p.address) == m and p.verified for m in node.book.members() for p in node.book.places(m)):
                raise Violation(f"{node.address} does not forget where a member was before it moved")
