"""Finds members on the local networks of this machine, and tells them of this node, by multicast DNS (LC-P2P-43 to LC-P2P-46).

    an interface comes up -> a socket in the multicast group there -> announce and ask, three times in three seconds
    every minute          -> announce, and look which interfaces there are
    a question            -> announce, at most once a second on an interface
    an announcement       -> a candidate for the address book; who is there proves itself when it is dialled

Whoever is on the same network may say anything, as often as it can, in anybody's name. So a packet adds at most one address, the
one that it came from; so many packets are looked at in a second, and the kernel drops the others; so few addresses are taken of one
host. Nothing is ever sent to one host: nobody can be flooded through this. Reading and sending never block.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import random
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog

from learningchain.p2p import mdns
from learningchain.p2p.address_book import endpoint
from learningchain.p2p.limits import TokenBucket

log: Any = structlog.get_logger("p2p")

REFRESH_S: Final = 60.0
REPEAT_S: Final = (0.0, 1.0, 3.0)
"""LC-P2P-43: when a node announces itself and asks, after an interface came up."""
ANSWER_S: Final = 1.0
"""LC-P2P-43: at most one answer on one interface in this time."""
MAX_INTERFACES: Final = 16
PACKETS: Final = 1_024.0
"""LC-P2P-45: packets that are taken from the kernel in a second, on one interface; it drops what does not fit."""
BATCH: Final = 32
"""Packets in one turn of the event loop, and how long it rests where more come than that. One takes 4 us; one that is read takes
60, at worst 300."""
PAUSE_S: Final = 1 / 32
READ_RATE, READ_BURST = 64.0, 64.0
HOST_RATE, HOST_BURST = 4.0, 8.0
"""LC-P2P-45: packets that are read: in a second, and at once after a rest; of all hosts, and of one."""
ADDRESS_RATE, ADDRESS_BURST = 1 / 60, 4.0
"""LC-P2P-45: new addresses that are taken of one host."""
MAX_HOSTS: Final = 256
"""Hosts whose rates are remembered."""
_SIOCGIFFLAGS, _SIOCGIFADDR, _SIOCGIFNETMASK = 0x8913, 0x8915, 0x891B
_UP, _LOOPBACK, _MULTICAST = 0x1, 0x8, 0x1000
_IP_MULTICAST_ALL: Final = 49


@dataclass(frozen=True)
class Interface:
    """An interface that is up and can multicast. `address` is what this node is reached at on it."""

    name: str
    index: int
    address: ipaddress.IPv4Address
    network: ipaddress.IPv4Network


def interfaces(listen: ipaddress.IPv4Address) -> list[Interface]:
    """Those on which a node that listens on `listen` is reached: one, or all of them for 0.0.0.0."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for index, name in socket.if_nameindex():
            one = _interface(any_socket, index, name)
            if one is None:
                continue
            if listen.is_unspecified:
                found.append(one)
            elif listen in one.network:
                found.append(Interface(name, index, listen, one.network))
    return found[:MAX_INTERFACES]


def _interface(any_socket: socket.socket, index: int, name: str) -> Interface | None:
    """None for one that is down, cannot multicast, has no IPv4 address, or is the machine's own."""

    def ask(what: int) -> bytes:
        return fcntl.ioctl(any_socket, what, struct.pack("16s24x", name.encode()))

    try:
        (flags,) = struct.unpack_from("H", ask(_SIOCGIFFLAGS), 16)
        if flags & (_UP | _LOOPBACK | _MULTICAST) != _UP | _MULTICAST:
            return None
        own, mask = (ipaddress.IPv4Address(ask(what)[20:24]) for what in (_SIOCGIFADDR, _SIOCGIFNETMASK))
    except OSError:
        return None
    return Interface(name, index, own, ipaddress.IPv4Network(f"{own}/{mask}", strict=False))


def open_socket(on: Interface) -> socket.socket:
    """A socket that hears the group on this interface alone, and speaks to it. Nothing else reaches it. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        member = struct.pack("4s4si", socket.inet_aton(mdns.GROUP), on.address.packed, on.index)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # others on this machine speak mDNS, too
        sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, member)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        sock.setblocking(False)
        sock.bind((mdns.GROUP, mdns.PORT))
    except BaseException:
        sock.close()
        raise
    return sock


class _Host:
    """What is left to somebody who speaks."""

    def __init__(self, now: float) -> None:
        self.packets = TokenBucket(HOST_RATE, HOST_BURST, now)
        self.addresses = TokenBucket(ADDRESS_RATE, ADDRESS_BURST, now)


class _Link:
    """One interface that is listened on."""

    def __init__(self, interface: Interface, sock: socket.socket, now: float) -> None:
        self.interface, self.sock = interface, sock
        self.packets = TokenBucket(PACKETS, PACKETS, now)
        self.answer_from = now
        """When a question is answered again."""
        self.timers: set[asyncio.TimerHandle] = set()


class LanDiscovery:
    """See the module. `is_news` says whether a member's address is worth a place in the address book, `add` puts it there."""

    def __init__(
        self,
        own: mdns.Announcement,
        listen: ipaddress.IPv4Address,
        is_news: Callable[[bytes, str], bool],
        add: Callable[[bytes, str], object],
        *,
        rng: random.Random | None = None,
        found: Callable[[ipaddress.IPv4Address], Collection[Interface]] = interfaces,
        opened: Callable[[Interface], socket.socket] = open_socket,
    ) -> None:
        self._own, self._listen, self._is_news, self._add = own, listen, is_news, add
        self._rng, self._found, self._opened = rng or random.Random(), found, opened
        self._links: dict[Interface, _Link] = {}
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        """The one that spoke longest ago first."""
        self._packets = TokenBucket(READ_RATE, READ_BURST, 0.0)
        self._nowhere = Interface("", 0, listen, ipaddress.IPv4Network(0))
        """Stands for all interfaces where there is none, or where they cannot be looked for."""
        self._troubles: dict[Interface, str] = {}
        self._task: asyncio.Task[None] | None = None

    # life

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Leaves no task, no timer and no socket."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for link in list(self._links.values()):
            self._close(link)

    async def _run(self) -> None:
        while True:
            try:
                self._refresh()
            except OSError as fault:
                self._trouble(None, fault)
            await asyncio.sleep(REFRESH_S)

    def _refresh(self) -> None:
        loop = asyncio.get_running_loop()
        present = set(self._found(self._listen))
        for interface, link in list(self._links.items()):
            if interface in present:
                self._say(link, mdns.announcement(self._own, interface.address))
            else:
                self._close(link)
        still = present or {self._nowhere}
        self._troubles = {interface: why for interface, why in self._troubles.items() if interface in still}
        for interface in sorted(present - self._links.keys(), key=lambda one: one.index):
            try:
                sock = self._opened(interface)
            except OSError as fault:
                self._trouble(interface, fault)
                continue
            link = self._links[interface] = _Link(interface, sock, loop.time())
            loop.add_reader(sock, self._readable, link)
            log.info("looking for members on the local network", interface=interface.name, address=str(interface.address))
            for after in REPEAT_S:
                self._later(link, after, partial(self._introduce, link))
        if not present:
            self._trouble(None, f"no interface has {self._listen}" if not self._listen.is_unspecified else "there is none")

    def _trouble(self, interface: Interface | None, why: object) -> None:
        """Said once; it is tried again every minute."""
        key = interface or self._nowhere
        if self._troubles.get(key) == str(why):
            return
        self._troubles[key] = str(why)
        where = "no interface" if interface is None else interface.name
        log.warning("members are not looked for on the local network; it is tried again", interface=where, why=str(why))

    def _close(self, link: _Link) -> None:
        self._links.pop(link.interface, None)
        asyncio.get_running_loop().remove_reader(link.sock)
        for timer in link.timers:
            timer.cancel()
        link.sock.close()

    def _later(self, link: _Link, seconds: float, action: Callable[[], object]) -> None:
        def act() -> None:
            link.timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(seconds, act)
        link.timers.add(timer)

    # speaking

    def _introduce(self, link: _Link) -> None:
        self._say(link, mdns.announcement(self._own, link.interface.address))
        self._say(link, mdns.question())

    def _say(self, link: _Link, packet: bytes) -> None:
        try:
            link.sock.sendto(packet, (mdns.GROUP, mdns.PORT))
        except BlockingIOError:  # it is said again in a minute
            return
        except OSError as fault:
            self._trouble(link.interface, fault)

    # hearing

    def _readable(self, link: _Link) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(BATCH):
            try:
                packet, (host, port) = link.sock.recvfrom(mdns.MAX_PACKET + 1)
            except BlockingIOError:
                return
            except OSError as fault:
                self._trouble(link.interface, fault)
                self._close(link)
                return
            if port == mdns.PORT:  # RFC 6762: others speak from elsewhere, and would have to be answered there
                self._take(link, packet, host)
            if link.packets.take(loop.time(), 1.0) > 0:
                loop.remove_reader(link.sock)  # the kernel drops what does not fit meanwhile
                self._later(link, PAUSE_S, partial(loop.add_reader, link.sock, self._readable, link))
                return

    def _take(self, link: _Link, packet: bytes, host: str) -> None:
        now = asyncio.get_running_loop().time()
        left = self._host(host, now)
        if not left.packets.spend(now, 1.0) or not self._packets.spend(now, 1.0):
            return
        said = mdns.parse(packet)
        if isinstance(said, mdns.Question):
            self._answer(link, now)
        elif said is not None and said.chain_id == self._own.chain_id and ipaddress.IPv4Address(host) in link.interface.network:
            where = endpoint(host, said.port)
            if self._is_news(said.id, where) and left.addresses.spend(now, 1.0):
                self._add(said.id, where)

    def _host(self, host: str, now: float) -> _Host:
        if host not in self._hosts:
            self._hosts[host] = _Host(now)
        self._hosts.move_to_end(host)
        while len(self._hosts) > MAX_HOSTS:
            self._hosts.popitem(last=False)
        return self._hosts[host]

    def _answer(self, link: _Link, now: float) -> None:
        """LC-P2P-43: to all at once, after a moment that others do not share."""
        if now < link.answer_from:
            return
        link.answer_from = now + ANSWER_S
        packet = mdns.announcement(self._own, link.interface.address)
        self._later(link, self._rng.uniform(0.02, 0.12), partial(self._say, link, packet))
