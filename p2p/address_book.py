"""The address book: where members were reached, kept over restarts, bounded, with back-off for addresses that do not answer.

An address is *verified* once the member authenticated itself there. What other peers tell stays unverified: few per teller, tried
at most `RUMOUR_TRIES` times, never pushing out a verified one, nor what the member said of itself. What was tried in vain rests,
longer each time, however often it is told. An address is *former* once the member named others, or was reached at another one after
this one had failed: it is told to nobody, tried last, and soon forgotten. Times are Unix seconds and come in, randomness too. Only
`load` and `save` touch the disk. The file is a cache: a damaged one is put aside and the address book starts empty.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from learningchain.chain.crypto import address as show
from learningchain.chain.crypto import parse_address
from learningchain.chain.storage import private
from learningchain.p2p.wire import MAX_ADDRESS, MAX_ADDRESSES, MAX_ENTRIES, PeerAddresses

MAX_MEMBERS: Final = 1_024
MAX_SEEDS: Final = 64
MAX_RUMOURS: Final = 64
"""LC-P2P-32: unverified addresses kept from one teller."""
RUMOUR_TRIES: Final = 3
FIRST_RETRY: Final = 0.5
LAST_RETRY: Final = 120.0
FIRST_REST: Final = 60.0
LAST_REST: Final = 86_400.0
MAX_RESTING: Final = 4_096
"""LC-P2P-39: seconds for which an address that was tried in vain is not taken from others again, at first and at most; how many
are remembered."""
FORMER_S: Final = 86_400.0
"""LC-P2P-41: seconds after which a former address is forgotten."""
LAN: Final = b"lan"
"""The teller of what was heard on the local network, where nobody proves who speaks: no identity has three bytes."""
_MAX_FILE: Final = 4_000_000
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)


def parse_endpoint(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[ipv6]:port`. Raises ValueError with what is wrong."""
    host, _, port = text.rpartition(":")
    if len(text) > MAX_ADDRESS or not host or not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65_536):
        raise ValueError("an address is host:port, with a port from 1 to 65535")
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1])), int(port)
        except ValueError:
            raise ValueError(f"{host} is not an IPv6 address") from None
    if not _HOST.fullmatch(host):
        raise ValueError("a host is a name, an IPv4 address or an [IPv6 address]")
    return host, int(port)


def endpoint(host: str, port: int) -> str:
    """The one text of an address: IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def normal(text: str) -> str | None:
    """The address in its one form, None when it is none. Names are folded to lower case."""
    try:
        host, port = parse_endpoint(text)
    except ValueError:
        return None
    return endpoint(host.lower(), port)


def parse_seed(text: str) -> tuple[bytes | None, str]:
    """Identity (None when not named) and address of `lc1…@host:port` or `host:port`. Raises ValueError."""
    name, at, where = text.rpartition("@")
    host, port = parse_endpoint(where)
    return (parse_address(name) if at else None), endpoint(host.lower(), port)


@dataclass(slots=True)
class KnownAddress:
    """One address and how it went."""

    address: str
    verified: bool = False
    teller: bytes | None = None
    last_success: float = 0.0
    failures: int = 0
    next_try: float = 0.0
    former: float = 0.0
    """Since when it is a former one; 0: it is none."""

    def due(self, now: float) -> bool:
        # A clock that was set back must not postpone a dial for long.
        return now >= self.next_try or self.next_try - now > LAST_RETRY * 2

    def failed(self, now: float, rng: Random) -> None:
        self.failures = min(self.failures + 1, 1_000)
        delay = min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(self.failures - 1, 20))
        self.next_try = now + delay * rng.uniform(0.5, 1.5)


class _SavedPlace(msgspec.Struct, array_like=True):
    address: str
    last_success: float
    failures: int


class _Saved(msgspec.Struct):
    version: int
    members: dict[str, list[_SavedPlace]]


class AddressBook:
    """Addresses per member. `seeds` are configured addresses whose member need not be known."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.changed = False
        self.damaged: Path | None = None
        """Where a damaged file was put."""
        self._members: dict[bytes, list[KnownAddress]] = {}
        self.seeds: dict[str, KnownAddress] = {}
        self._seed_ids: dict[str, bytes] = {}
        self._pinned: set[str] = set()
        """Seeds whose member was configured: whoever else answers there is refused."""
        self._rumours: dict[bytes, int] = {}
        self._resting: OrderedDict[tuple[bytes, str], tuple[float, float]] = OrderedDict()
        """Member and address where it was not: until when it rests, and for how long. The one that failed longest ago first."""
        self._worthy = False
        """The address book has no member that would make room for a rumour about another."""

    # --- disk -----------------------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Reads the file, if there is one. Only verified addresses are kept in it."""
        if self.path is None or not os.path.lexists(self.path):
            return
        try:
            with private.reading(self.path) as file:
                content = file.read(_MAX_FILE + 1)
            if len(content) > _MAX_FILE:
                raise ValueError("too large")
            saved = msgspec.json.decode(content, type=_Saved)
            if saved.version != 1:
                raise ValueError(f"version {saved.version}")
            for name, places in list(saved.members.items())[:MAX_MEMBERS]:
                kept = [KnownAddress(a, True, None, p.last_success, max(0, p.failures)) for p in places if (a := normal(p.address))]
                if kept:
                    self._members[parse_address(name)] = kept[:MAX_ADDRESSES]
        except (ValueError, msgspec.DecodeError, RecursionError, OSError):
            self._members.clear()
            self.damaged = self.path.with_suffix(".damaged")
            os.replace(self.path, self.damaged)

    def snapshot(self) -> bytes:
        """The file's content; `write` puts it on disk."""
        members = {
            show(peer): [_SavedPlace(p.address, p.last_success, p.failures) for p in places if p.verified]
            for peer, places in self._members.items()
        }
        self.changed = False
        return msgspec.json.encode(_Saved(1, {name: places for name, places in members.items() if places}))

    def write(self, content: bytes) -> None:
        """Replaces the file in one step, readable by its owner alone. May run in a thread."""
        if self.path is None:
            return
        private.replace(self.path, content)

    # --- what is known --------------------------------------------------------------------------------------------------------

    def members(self) -> list[bytes]:
        return sorted(self._members)

    def places(self, peer: bytes) -> list[KnownAddress]:
        """A member's addresses, the most promising first."""
        return sorted(
            self._members.get(peer, ()), key=lambda p: (p.former > 0, not p.verified, p.failures, -p.last_success, p.address)
        )

    def hosts(self) -> set[str]:
        """Addresses without ports, as text, where members proved themselves or that were configured. Names are among them."""
        places = [*self.seeds, *(p.address for known in self._members.values() for p in known if p.verified)]
        return {parse_endpoint(address)[0] for address in places}

    def seed_member(self, address: str) -> bytes | None:
        """Who answered at a seed, once that is known."""
        return self._seed_ids.get(address)

    def remove_seed(self, address: str) -> None:
        """The address turned out to be the node's own."""
        self.seeds.pop(address, None)
        self._seed_ids.pop(address, None)

    # --- learning -------------------------------------------------------------------------------------------------------------

    def add_seed(self, text: str) -> None:
        """A configured `lc1…@host:port` or `host:port`. Raises ValueError."""
        peer, address = parse_seed(text)
        if len(self.seeds) >= MAX_SEEDS:
            raise ValueError(f"at most {MAX_SEEDS} known peers can be configured")
        self.seeds[address] = KnownAddress(address)
        if peer is not None:
            self._seed_ids[address] = peer
            self._pinned.add(address)

    def learn(self, peer: bytes, addresses: list[str], teller: bytes, now: float = 0.0) -> int:
        """Unverified addresses of a member, told by `teller` (the member itself, or another). How many were new.

        LC-P2P-39: one that rests is taken from the member itself, or from others when its rest is over, and tried once. Where
        `now` is not given no rest is over.
        """
        new = 0
        told = [place for text in addresses[:MAX_ADDRESSES] if (place := normal(text)) is not None]
        for place in told:
            known = next((p for p in self._members.get(peer, ()) if p.address == place), None)
            if known is not None:
                if teller == peer and known.teller not in (None, peer):
                    self._ascribe(known, peer)
                continue
            rest = self._resting.get((peer, place))
            if rest is not None and teller != peer and now < rest[0]:
                continue
            if self._rumours.get(teller, 0) >= MAX_RUMOURS or not self._room(peer, told if teller == peer else None):
                continue
            added = KnownAddress(place, failures=0 if rest is None else RUMOUR_TRIES - 1)
            self._members.setdefault(peer, []).append(added)
            self._ascribe(added, teller)
            new += 1
        return new

    def named(self, peer: bytes, addresses: list[str], now: float, told: Callable[[str], bool] = lambda _: True) -> None:
        """LC-P2P-41: the member said itself, over its own connection, that these are its addresses: what else it said before is
        void, its other verified ones are former ones from now on. `told`: whether it would have named an address of that kind."""
        current = {normal(text) for text in addresses}
        for place in list(self._members.get(peer, ())):
            if place.address in current:
                place.former = 0.0
            elif not told(place.address):
                continue
            elif place.verified:
                place.former = place.former or now
            elif place.teller == peer:
                self._drop(peer, place)

    def expire(self, now: float) -> None:
        """LC-P2P-41: forgets what has been a former address for long enough."""
        for peer in self.members():
            # A clock that was set back must not keep it for long.
            for place in [p for p in self._members[peer] if p.former and abs(now - p.former) >= FORMER_S]:
                self._rest(peer, place.address, now)
                self._drop(peer, place)

    def _rest(self, peer: bytes, address: str, now: float) -> None:
        """LC-P2P-39: the member is not there. Longer each time."""
        _, before = self._resting.pop((peer, address), (0.0, 0.0))
        wait = min(LAST_REST, before * 2 or FIRST_REST)
        self._resting[peer, address] = (now + wait, wait)
        while len(self._resting) > MAX_RESTING:
            self._resting.popitem(last=False)

    def _ascribe(self, place: KnownAddress, teller: bytes) -> None:
        self._release(place)
        place.teller = teller
        self._rumours[teller] = self._rumours.get(teller, 0) + 1

    def _room(self, peer: bytes, own: list[str] | None) -> bool:
        """Makes room for one more address of this member by giving up a worse one; False when all are worth more. `own`: what the
        member says of itself, which is worth more than what others say of it and what it said before.

        The verified address that answered last stays, however long its member has been away: otherwise whoever tells lies about
        members that are down would have them forgotten. So does, for others, what the member said of itself.
        """
        places = self._members.get(peer)
        if places is None:
            return len(self._members) < MAX_MEMBERS or self._room_for_a_member(own=own is not None)
        if len(places) < MAX_ADDRESSES:
            return True
        best = max((p for p in places if p.verified), key=lambda p: (not p.former, p.last_success), default=None)
        loose = [p for p in places if p is not best and (not p.verified or p.failures > 5 or p.former)]
        if own is None:
            loose = [p for p in loose if p.teller != peer]
        worst_place = max(loose, key=lambda p: p.failures, default=None)
        if own is not None and (worst_place is None or not worst_place.failures):
            before = [p for p in loose if p.address not in own]
            worst_place = next((p for p in before if p.teller != peer), before[0] if before else None)
        elif worst_place is None or not worst_place.failures:
            return False
        if worst_place is None:
            return False
        self._drop(peer, worst_place)
        return True

    def _room_for_a_member(self, *, own: bool) -> bool:
        """Gives up a member of whom there are rumours only: one whose addresses did not answer, or (`own`) of whom only others
        spoke. The whole address book is not looked through again for a rumour before something in it failed or went."""
        if self._worthy and not own:
            return False
        rumoured = [m for m, known in self._members.items() if not any(p.verified for p in known)]
        worst = max(rumoured, key=lambda m: (min(p.failures for p in self._members[m]), m), default=None)
        if worst is None or all(not p.failures for p in self._members[worst]):
            self._worthy = True
            worst = next((m for m in rumoured if own and all(p.teller != m for p in self._members[m])), None)
        if worst is None:
            return False
        self.forget(worst)
        return True

    def _drop(self, peer: bytes, place: KnownAddress) -> None:
        places = self._members.get(peer, [])
        if place not in places:
            return
        places.remove(place)
        self._worthy = False
        self.changed |= place.verified
        self._release(place)
        if not places:
            del self._members[peer]

    def _release(self, place: KnownAddress) -> None:
        """A rumour that is gone or came true no longer counts against its teller."""
        if place.teller is None:
            return
        left = self._rumours.get(place.teller, 0) - 1
        if left > 0:
            self._rumours[place.teller] = left
        else:
            self._rumours.pop(place.teller, None)
        place.teller = None

    def forget(self, peer: bytes) -> None:
        for place in list(self._members.get(peer, ())):
            self._drop(peer, place)

    # --- how a dial went ------------------------------------------------------------------------------------------------------

    def succeeded(self, peer: bytes, address: str, now: float) -> None:
        """`peer` authenticated itself at `address`, which we dialled."""
        if address in self.seeds:
            self._seed_ids[address] = peer
        places = self._members.setdefault(peer, [])
        place = next((p for p in places if p.address == address), None)
        if place is None:
            if len(places) >= MAX_ADDRESSES:
                self._drop(peer, max(places, key=lambda p: (not p.verified, p.failures, -p.last_success)))
                places = self._members.setdefault(peer, places)
            place = KnownAddress(address)
            places.append(place)
        self._release(place)
        self._resting.pop((peer, address), None)
        place.verified, place.last_success, place.former = True, now, 0.0
        for other in [p for p in places if p is not place and p.verified]:
            if other.former:
                self._rest(peer, other.address, now)
                self._drop(peer, other)
            elif other.failures:
                other.former = now
        self.changed = True
        if len(self._members) > MAX_MEMBERS:
            others = (m for m in self._members if m != peer)
            self.forget(min(others, key=lambda m: (max(p.last_success for p in self._members[m]), m)))

    def settled(self, peer: bytes, address: str) -> None:
        """A connection to `address` lasted: its failures are forgotten."""
        for place in [*self._members.get(peer, ()), *self.seeds.values()]:
            if place.address == address:
                place.failures, place.next_try = 0, 0.0

    def failed(self, peer: bytes | None, address: str, now: float, rng: Random) -> None:
        """Nobody, or nobody who would have us for long, answered at `address`."""
        self._worthy = False
        if address in self.seeds:
            self.seeds[address].failed(now, rng)
        place = next((p for p in self._members.get(peer or b"", ()) if p.address == address), None)
        if peer is None:
            return
        if place is not None:
            place.failed(now, rng)
            if (place.verified and not place.former) or place.failures < RUMOUR_TRIES:
                return
            self._drop(peer, place)
        elif address in self.seeds:  # it is tried again whatever happens
            return
        self._rest(peer, address, now)

    def mistaken(self, peer: bytes | None, address: str) -> None:
        """Somebody else than `peer` answered at `address`: that address is not this member's."""
        place = next((p for p in self._members.get(peer or b"", ()) if p.address == address), None)
        if peer is not None and place is not None:
            self._drop(peer, place)
        if address not in self._pinned:
            self._seed_ids.pop(address, None)

    # --- telling --------------------------------------------------------------------------------------------------------------

    def share(
        self, rng: Random, exclude: bytes, connected: set[bytes], told: Callable[[str], bool] = lambda _: True
    ) -> list[PeerAddresses]:
        """LC-P2P-31: what another peer is told: verified addresses, and what connected members said of themselves. `told`: whether
        an address means anything where that peer is."""

        def good(member: bytes, place: KnownAddress) -> bool:
            known = place.verified or (place.teller == member and member in connected)
            return known and not place.former and told(place.address)

        members = sorted(m for m, places in self._members.items() if m != exclude and any(good(m, p) for p in places))
        rng.shuffle(members)
        members.sort(key=lambda m: m not in connected)
        found = {m: [p.address for p in self.places(m) if good(m, p)] for m in members[:MAX_ENTRIES]}
        return [PeerAddresses(m, addresses[:MAX_ADDRESSES]) for m, addresses in found.items()]
