"""Who gets connected with whom: everybody starts at once, knows two others, and asks its way on with the product's own rules."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import lru_cache
from unittest import mock

from learningchain.chain.crypto import SigningKey, account_id, sha256
from learningchain.p2p import wire
from learningchain.p2p.address_book import AddressBook, normal
from learningchain.p2p.config import TransportConfig
from learningchain.p2p.discovery import Dial, Wanted, absorb, choose_dials
from tests.sim.growth.count import Counts

CONFIG = TransportConfig()
START = 1_700_000_000.0
CHAIN = bytes(32)
MOST_ROUNDS = 240
PATIENCE = 60
"""Rounds after which a small graph, in which there are not enough to connect with, counts as at rest."""


@dataclass
class Place:
    """A node as the others find it. `wants`: it is not yet connected with as many as it looks for."""

    id: bytes
    address: str
    book: AddressBook
    rng: random.Random
    peers: set[int] = field(default_factory=set)
    wants: bool = True
    ask_at: float = START
    ask_every: float = CONFIG.ask_often


def key_of(index: int) -> SigningKey:
    return SigningKey(sha256(b"growth %d" % index))


class Overlay:
    """`validators` places, then `members`. `links` is who is connected with whom once nobody dials any more."""

    def __init__(self, validators: int, members: int, counts: Counts, seed: int) -> None:
        self.rng = random.Random(seed)
        self.counts = counts
        self.places = [self._place(i) for i in range(validators + members)]
        self.validators = frozenset(p.id for p in self.places[:validators])
        self._wanted = Wanted(self.validators, CONFIG.other_peers, CONFIG.max_dials)
        self._at = {p.address: i for i, p in enumerate(self.places)}
        self._index = {p.id: i for i, p in enumerate(self.places)}
        self.refused = self.rounds = 0
        self._now = START
        for i, place in enumerate(self.places):
            known = range(validators) if i < validators else self.rng.sample(range(i), min(2, i))
            for other in known:
                if other != i:
                    place.book.learn(self.places[other].id, [self.places[other].address], self.places[other].id)

    def _place(self, index: int) -> Place:
        where = f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}:7400"
        return Place(account_id(key_of(index).public), where, AddressBook(), random.Random(index))

    def grow(self) -> None:
        """In turns of `CONFIG.tick`, until nobody dials."""
        with mock.patch("learningchain.p2p.address_book.normal", lru_cache(None)(normal)):  # the same addresses again and again
            self._grow()

    def _grow(self) -> None:
        while any(p.wants for p in self.places):
            if self.rounds == MOST_ROUNDS:
                raise RuntimeError("the graph does not come to rest")
            self.rounds += 1
            self._now += CONFIG.tick
            order = [i for i, p in enumerate(self.places) if p.wants]
            self.rng.shuffle(order)
            for index in order:
                self._turn(index, self._now)

    def _turn(self, index: int, now: float) -> None:
        place = self.places[index]
        connected = {self.places[p].id for p in place.peers}
        dials = choose_dials(place.book, now, self._wanted, own_id=place.id, connected=connected, dialling=(), rng=place.rng)
        for dial in dials:
            self._dial(index, dial, now)
        place.wants = bool(dials) or (self._lacks(index) and self.rounds < PATIENCE)
        if place.peers and now >= place.ask_at:
            self._ask(index, self.rng.choice(sorted(place.peers)))
            place.ask_at, place.ask_every = now + place.ask_every, min(place.ask_every * 1.5, CONFIG.ask_rarely)

    def _dial(self, index: int, dial: Dial, now: float) -> None:
        place, other = self.places[index], self._at[dial.address]
        target = self.places[other]
        if len(target.peers) >= CONFIG.max_peers and place.id not in self.validators:
            self.refused += 1
            place.book.failed(target.id, dial.address, now, place.rng)
            return
        if other in place.peers:
            return
        place.peers.add(other)
        target.peers.add(index)
        place.book.succeeded(target.id, target.address, now)
        place.book.settled(target.id, target.address)
        hello = wire.peers_message(wire.Hello(1, CHAIN, 7400, [], 0))
        for a, b in ((index, other), (other, index)):
            self.counts.note(a, b, "hello", len(hello))
        target.book.learn(place.id, [place.address], place.id)
        for a, b in ((index, other), (other, index)):
            if self._lacks(a):
                self._ask(a, b)

    def _lacks(self, index: int) -> bool:
        place = self.places[index]
        return self._wanted.lacks(place.id, [self.places[p].id for p in place.peers])

    def _ask(self, index: int, other: int) -> None:
        place, target = self.places[index], self.places[other]
        connected = {self.places[p].id for p in target.peers}
        answer = wire.Peers(target.book.share(target.rng, place.id, connected))
        self.counts.note(index, other, "peers", len(wire.peers_message(wire.GetPeers())))
        self.counts.note(other, index, "peers", len(wire.peers_message(answer)))
        if absorb(place.book, answer, target.id, place.id, self._index.__contains__, self._now) and self._lacks(index):
            place.ask_every = CONFIG.ask_often
