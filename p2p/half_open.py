"""Connections that have not said hello yet, bounded for each host, for each network and over all (LC-P2P-8). Pure.

An outsider who fills these places must not shut others out, so nobody is refused one: a connection that had more time to
say hello gives up its own (LC-P2P-34). Part of the places is for hosts where members were reached (LC-P2P-35).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from learningchain.p2p.hosts import host_of_address, network_of_address

MAX_HALF_OPEN: Final = 256
MAX_HALF_OPEN_PER_HOST: Final = 32
MAX_HALF_OPEN_PER_NETWORK: Final = 64
"""LC-P2P-8: connections that have not said hello yet; of one IPv4 address or IPv6 /64; of one IPv4 /24 or IPv6 /48."""
KEPT: Final = 4
"""LC-P2P-35: one of this many places is for hosts of the address book."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Place:
    host: str
    network: str
    known: bool


class HalfOpen(Generic[T]):
    """Places in order of their age. `most` is the bound over all."""

    def __init__(self, most: int = MAX_HALF_OPEN) -> None:
        self._most, self._strangers = most, most - most // KEPT
        self._places: dict[T, _Place] = {}
        self._hosts: Counter[str] = Counter()
        self._networks: Counter[str] = Counter()
        self._unknown = 0

    def __len__(self) -> int:
        return len(self._places)

    def enter(self, item: T, address: str, *, known: bool) -> list[T]:
        """Give `item` a place. Those that lost theirs for it, at most one for each bound."""
        new, gone = _Place(host_of_address(address), network_of_address(address), known), []
        while counted := self._full_for(new):
            first = self._first_to_go(counted)
            self.leave(first)
            gone.append(first)
        self._places[item] = new
        self._count(new, 1)
        return gone

    def leave(self, item: T) -> bool:
        """The connection said hello, or is over. True when it had a place."""
        place = self._places.pop(item, None)
        if place is None:
            return False
        self._count(place, -1)
        return True

    def _count(self, place: _Place, change: int) -> None:
        self._unknown += 0 if place.known else change
        for counter, name in ((self._hosts, place.host), (self._networks, place.network)):
            counter[name] += change
            if not counter[name]:
                del counter[name]

    def _full_for(self, new: _Place) -> list[T]:
        """What a bound counts that leaves no place for `new`; empty when there is one."""
        if self._hosts[new.host] >= MAX_HALF_OPEN_PER_HOST:
            return [item for item, place in self._places.items() if place.host == new.host]
        if self._networks[new.network] >= MAX_HALF_OPEN_PER_NETWORK:
            return [item for item, place in self._places.items() if place.network == new.network]
        strangers_full = not new.known and self._unknown >= self._strangers
        if strangers_full or len(self._places) >= self._most:
            return [item for item, place in self._places.items() if not place.known] or list(self._places)
        return []

    def _first_to_go(self, counted: list[T]) -> T:
        """LC-P2P-34: the oldest of the network that has most places: who holds few is not pushed out by who holds many."""
        most = max(self._networks[self._places[item].network] for item in counted)
        return next(item for item in counted if self._networks[self._places[item].network] == most)
