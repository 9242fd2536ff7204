"""Members with one credit, and strangers, try to stop, to fill or to rob a node's process for data connections. Each is a program
on real sockets against the real process; meanwhile somebody honest asks for a part of a file, and gets it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from learningchain.p2p.content.cid import Cid, Codec
from learningchain.p2p.content.dag import CHUNK
from learningchain.p2p.mover.mover import MAX_NEW_OF_PEER, Mover
from learningchain.p2p.mover.places import MAX_SENDING, MAX_SENDING_TO_PEER, MAX_STRANGERS_OF_HOST
from learningchain.p2p.mover.sending import ASK, MAX_LEAVES, MAX_TICKETS
from learningchain.p2p.tls import Contexts, issue_leaf, make_contexts
from tests.slow import SLOW
from tests.unit.p2p_kit import CA_, CHAIN, id_of, key_of

pytestmark = pytest.mark.timeout(120)
WAIT = 30 * SLOW
TARGET, HONEST, FIRST_BAD = 1, 2, 10
LEAVES = 400
ROOT = Cid(Codec.RAW, bytes(32))


class Target:
    """A node's process for data connections, and a file that it gives to everybody."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "file"
        with self.path.open("wb") as file:
            file.truncate(LEAVES * CHUNK)
        leaf = issue_leaf(key_of(TARGET), id_of(TARGET), CHAIN, CA_, time.time())
        members = {id_of(i): ("127.0.0.1", key_of(i).public) for i in range(2, 40)}
        self.mover = Mover(listen=("0.0.0.0", 0), chain_id=CHAIN, ca=CA_, leaf=lambda: leaf, find=members.get)
        self.over = threading.Event()
        self.held: list[socket.socket] = []
        self._contexts: dict[int, Contexts] = {}

    def ticket(self, i: int, root: Cid = ROOT) -> tuple[int, bytes]:
        """As a member gets it that asks whether the file is here."""
        offer = self.mover.offer(id_of(i), root, self.path, LEAVES * CHUNK)
        assert offer is not None
        return offer

    def raw(self, port: int, host: str = "127.0.0.1") -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", port), WAIT, source_address=(host, 0))
        self.held.append(sock)
        return sock

    def open(self, i: int, port: int, ticket: bytes, host: str = "127.0.0.1") -> ssl.SSLSocket:
        if i not in self._contexts:
            self._contexts[i] = make_contexts(issue_leaf(key_of(i), id_of(i), CHAIN, CA_, time.time()), CA_)
        tls = self._contexts[i].client.wrap_socket(self.raw(port, host))
        self.held.append(tls)
        tls.sendall(ticket)
        return tls

    def served(self, i: int, offer: tuple[int, bytes], leaves: int = 40) -> bool:
        """Whether a member gets a part of the file."""
        view = memoryview(bytearray(leaves * CHUNK))
        with suppress(OSError), self.open(i, *offer) as tls:
            tls.sendall(ASK.pack(0, leaves))
            got = 0
            while got < len(view) and (size := tls.recv_into(view[got:])):
                got += size
            return got == len(view)
        return False


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Target]:
    made = Target(tmp_path)
    async with asyncio.timeout(WAIT):
        while not made.mover.begin():
            await asyncio.sleep(0.01)
    yield made
    made.over.set()
    for sock in made.held:
        sock.close()
    made.mover.close()


# --- what they do: each returns once it does all that it can ----------------------------------------------------------------------

Attack = Callable[[Target, list[tuple[int, bytes]]], None]
"""With a ticket for each place of each of four members."""


def each_place(target: Target, offers: list[tuple[int, bytes]]) -> list[ssl.SSLSocket]:
    """All that there are, taken."""
    held = [target.open(FIRST_BAD + at // MAX_SENDING_TO_PEER, *offer, f"127.0.2.{1 + at}") for at, offer in enumerate(offers)]
    for tls in held:
        tls.sendall(ASK.pack(0, 1))
        left = CHUNK
        while left:
            left -= len(tls.recv(left))
    return held


def a_thousand_connections(target: Target, offers: list[tuple[int, bytes]]) -> None:
    for number in range(1_000):
        with suppress(OSError):
            target.raw(offers[0][0], f"127.0.3.{1 + number // MAX_STRANGERS_OF_HOST}")


def half_a_question(target: Target, offers: list[tuple[int, bytes]]) -> None:
    for tls in each_place(target, offers):
        tls.sendall(b"\0")


def read_a_little(target: Target, offers: list[tuple[int, bytes]]) -> None:
    held = each_place(target, offers)
    for tls in held:
        tls.sendall(ASK.pack(0, LEAVES))

    def read() -> None:
        while not target.over.wait(0.1):
            for tls in held:
                with suppress(OSError):
                    tls.recv(20_000)

    threading.Thread(target=read, daemon=True).start()


def everything_for_ever(target: Target, offers: list[tuple[int, bytes]]) -> None:
    held = each_place(target, offers)

    def read(tls: ssl.SSLSocket) -> None:
        view = memoryview(bytearray(CHUNK))
        with suppress(OSError):
            for _ in range(50):
                tls.sendall(ASK.pack(0, LEAVES))
            while not target.over.is_set() and tls.recv_into(view):
                pass

    for tls in held:
        threading.Thread(target=read, args=(tls,), daemon=True).start()


def beyond_the_end(target: Target, offers: list[tuple[int, bytes]]) -> None:
    for tls, question in zip(
        each_place(target, offers), [(LEAVES, 1), (0, 0), (2**64 - 1, 2**32 - 1), (1, MAX_LEAVES)] * 4, strict=True
    ):
        with suppress(OSError):
            tls.sendall(ASK.pack(*question))
            assert tls.recv(1) == b""


ATTACKS: list[Attack] = [a_thousand_connections, half_a_question, read_a_little, everything_for_ever, beyond_the_end]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_somebody_honest_is_served_meanwhile(target: Target, attack: Attack) -> None:
    bad = [target.ticket(FIRST_BAD + at // MAX_SENDING_TO_PEER, Cid(Codec.RAW, bytes([at] * 32))) for at in range(MAX_SENDING)]
    pid = target.mover.pid
    await asyncio.to_thread(attack, target, bad)
    served = [await asyncio.to_thread(target.served, HONEST, target.ticket(HONEST)) for _ in range(6)]
    assert sum(served) >= 3, "a node asks again: on a busy machine its handshake may take too long"
    assert target.mover.pid == pid


async def test_a_stolen_ticket_gives_nothing_and_stays_its_owners(target: Target) -> None:
    own = target.ticket(HONEST)
    for _ in range(20):
        assert not await asyncio.to_thread(target.served, FIRST_BAD, own, 1)
    assert await asyncio.to_thread(target.served, HONEST, own)


async def test_whoever_asks_for_tickets_without_end_takes_nobody_elses(target: Target) -> None:
    pid, own = target.mover.pid, target.ticket(HONEST)
    for i in range(FIRST_BAD, FIRST_BAD + 20):
        asked = [(id_of(i), Cid(Codec.RAW, b"%032d" % n), target.path, LEAVES * CHUNK) for n in range(MAX_TICKETS // 4)]
        given = [target.mover.offer(*one) for one in asked]
        assert sum(one is not None for one in given) == MAX_NEW_OF_PEER
        assert [target.mover.offer(*one) for one in asked] == given, "who asks again is told the same"
    assert await asyncio.to_thread(target.served, HONEST, own)
    assert target.mover.pid == pid
