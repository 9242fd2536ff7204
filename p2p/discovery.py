"""Whom to dial now, and what to believe of what a peer says about others. Pure: the address book, time and randomness come in."""

from __future__ import annotations

from collections.abc import Callable, Collection
from random import Random
from typing import NamedTuple, TypeVar

from learningchain.p2p.address_book import LAN, AddressBook
from learningchain.p2p.wire import Peers

T = TypeVar("T", bytes, str)
LAN_DIALS = 2
"""LC-P2P-45: dials under way to addresses that were only heard on the local network, where anybody may say anything."""
NEAR = 4
"""Validators that a member outside the set prefers to others: transactions go in through them."""


class Dial(NamedTuple):
    """An address to dial and whom to expect there (None: whoever proves to be a member)."""

    address: str
    peer: bytes | None


class Wanted(NamedTuple):
    """How many connections a node keeps up: a validator to all validators and `others` more, everybody else `others` in all, so
    that nobody's connections grow with the members. At most `dials` attempts run at once."""

    validators: frozenset[bytes]
    others: int
    dials: int

    def counted(self, own_id: bytes, connected: Collection[bytes]) -> int:
        """The connections that count towards `others`."""
        return sum(1 for peer in connected if own_id not in self.validators or peer not in self.validators)

    def lacks(self, own_id: bytes, connected: Collection[bytes]) -> bool:
        """Whether it is worth while to ask for more addresses."""
        lost = own_id in self.validators and not self.validators <= {own_id, *connected}
        return lost or self.counted(own_id, connected) < self.others


def choose_dials(
    address_book: AddressBook,
    now: float,
    wanted: Wanted,
    *,
    own_id: bytes,
    connected: Collection[bytes],
    dialling: Collection[Dial],
    rng: Random,
    blocked: Collection[bytes] = (),
    sought: Collection[bytes] = (),
) -> list[Dial]:
    """LC-P2P-33: validators first (outside the set: NEAR of them), then configured seeds, then members that are `sought`, then
    others until there are enough. One attempt per member, none to those that are `blocked` here."""
    room = wanted.dials - len(dialling)
    busy = {d.address for d in dialling}
    taken = {own_id, *connected, *blocked, *(d.peer for d in dialling if d.peer is not None)}
    chosen: list[Dial] = []
    heard = sum(1 for d in dialling if d.peer is not None and _teller(address_book, d.peer, d.address) == LAN)

    def consider(peer: bytes) -> bool:
        nonlocal heard
        if peer in taken or len(chosen) >= room:
            return False
        due = (p for p in address_book.places(peer) if p.due(now) and p.address not in busy)
        place = next((p for p in due if p.teller != LAN or heard < LAN_DIALS), None)
        if place is None:
            return False
        heard += place.teller == LAN
        chosen.append(Dial(place.address, peer))
        taken.add(peer)
        busy.add(place.address)
        return True

    def failed(peer: bytes) -> bool:
        """One that had no room for us: the last free place is not for asking it again and again."""
        return any(p.failures for p in address_book.places(peer))

    votes = own_id in wanted.validators
    others = wanted.counted(own_id, connected) + len(dialling)
    near = len(wanted.validators.intersection(connected))
    for validator in _shuffled(wanted.validators, rng):
        if votes:
            consider(validator)
        elif near < NEAR and others < wanted.others and not failed(validator) and consider(validator):
            near, others = near + 1, others + 1
    for address in _shuffled(address_book.seeds, rng):
        peer = address_book.seed_member(address)
        if (
            len(chosen) < room
            and address not in busy
            and (peer is None or peer not in taken)
            and address_book.seeds[address].due(now)
        ):
            chosen.append(Dial(address, peer))
            busy.add(address)
            if peer is not None:
                taken.add(peer)
    for peer in _shuffled(sought, rng):
        others += consider(peer)
    for peer in _shuffled(address_book.members(), rng):
        if others >= wanted.others:
            break
        if not (votes and peer in wanted.validators) and consider(peer):
            others += 1
    return chosen


def _teller(address_book: AddressBook, peer: bytes, address: str) -> bytes | None:
    return next((p.teller for p in address_book.places(peer) if p.address == address), None)


def _shuffled(items: Collection[T], rng: Random) -> list[T]:
    out = sorted(items)
    rng.shuffle(out)
    return out


def absorb(
    address_book: AddressBook,
    answer: Peers,
    teller: bytes,
    own_id: bytes,
    is_member: Callable[[bytes], bool],
    now: float = 0.0,
    told: Callable[[str], bool] = lambda _: True,
) -> int:
    """LC-P2P-32, 40: takes addresses of members only, as rumours of `teller`, of those that `told` finds meaningful. How many were
    new."""
    heard = ((e.id, [a for a in e.addresses if told(a)]) for e in answer.peers if e.id != own_id and is_member(e.id))
    return sum(address_book.learn(peer, addresses, teller, now) for peer, addresses in heard)
