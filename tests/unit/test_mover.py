"""Data connections on real sockets (LC-CONTENT-16 to 20): who is served what, what a lying sender reaches, and that files come
whole whatever becomes of the processes."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import resource
import signal
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from learningchain.chain.crypto import sha256
from learningchain.p2p.content import moves
from learningchain.p2p.content.cid import Cid, Codec
from learningchain.p2p.content.dag import CHUNK
from learningchain.p2p.content.events import LeavesMoved, MoveEnded, MoveOpened, TakeLeaves
from learningchain.p2p.content.faults import FetchFailed, Reason
from learningchain.p2p.content.messages import HasBulk, decode_message
from learningchain.p2p.content.moves import MIN_MOVED
from learningchain.p2p.content.service import Content
from learningchain.p2p.content.store import ContentStore
from learningchain.p2p.mover import mover, receiving, sending, writing
from learningchain.p2p.mover.mover import Mover
from learningchain.p2p.mover.orders import Connect, KnowTicket
from learningchain.p2p.mover.pace import MovingPace
from learningchain.p2p.mover.places import (
    LOWER_EFFORT,
    MAX_SENDING,
    MAX_SENDING_TO_PEER,
    MAX_STRANGERS_OF_HOST,
    TURN_S,
    yield_to_others,
)
from learningchain.p2p.mover.receiving import LeafReceiver
from learningchain.p2p.mover.sending import ASK, MAX_LEAVES, LeafServer
from learningchain.p2p.tls import CA, Contexts, issue_leaf, make_ca, make_contexts
from tests.slow import SLOW
from tests.unit.content_kit import flip, pattern
from tests.unit.p2p_kit import CA_, CHAIN, id_of, key_of

pytestmark = pytest.mark.timeout(120)
FILE, OTHER = pattern(3 * CHUNK + 5), pattern(5 * CHUNK)[CHUNK:]
TICKET, OTHERS_TICKET = b"t" * 32, b"o" * 32
SENDER, RECEIVER, STRANGER = 1, 2, 3
WAIT = 30 * SLOW


def contexts(i: int, *, key: int | None = None, ca: CA = CA_) -> Contexts:
    return make_contexts(issue_leaf(key_of(i if key is None else key), id_of(i), CHAIN, ca, time.time()), ca)


# --- who is served ----------------------------------------------------------------------------------------------------------------


class Served:
    """A server of two files, both allowed to the receiver, and why it ended connections."""

    def __init__(self, folder: Path, mb_s: int = 0) -> None:
        self.now, self.why, self.sent = 1_000.0, SimpleQueue[str](), SimpleQueue[int]()
        self.server = LeafServer(
            contexts(SENDER).server,
            CHAIN,
            MovingPace(mb_s),
            lambda report: self.sent.put(report.size),
            self.why.put,
            lambda: self.now,
        )
        self.port = self.server.listen("127.0.0.1", 0)
        for ticket, data in ((TICKET, FILE), (OTHERS_TICKET, OTHER)):
            path = folder / ticket.decode()
            path.write_bytes(data)
            self.path = path
            self.server.tickets.add(KnowTicket(ticket, id_of(RECEIVER), key_of(RECEIVER).public, str(path), len(data)))

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), WAIT)

    def open(self, who: Contexts, ticket: bytes = TICKET) -> ssl.SSLSocket:
        tls = who.client.wrap_socket(self.raw())
        tls.sendall(ticket)
        return tls

    def ask(self, tls: ssl.SSLSocket, first: int, count: int) -> bytes:
        """All that comes until so much is there, or the connection ends."""
        size, got = count * CHUNK, bytearray()
        with suppress(OSError):
            tls.sendall(ASK.pack(first, count))
            while len(got) < size and (piece := tls.recv(size - len(got))):
                got += piece
                if (first * CHUNK + len(got)) >= len(FILE):
                    break
        return bytes(got)


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path)


def test_who_shows_its_ticket_gets_the_leaves_that_it_asks_for_and_nothing_else(served: Served) -> None:
    with served.open(contexts(RECEIVER)) as tls:
        assert served.ask(tls, 1, 2) == FILE[CHUNK : 3 * CHUNK]
        assert served.ask(tls, 3, 1) == FILE[3 * CHUNK :]
        assert [served.sent.get(timeout=WAIT), served.sent.get(timeout=WAIT)] == [2 * CHUNK, 5]
    with served.open(contexts(RECEIVER), OTHERS_TICKET) as tls:
        assert served.ask(tls, 0, 1) == OTHER[:CHUNK], "a ticket is for its file, and no question names another one"


def test_what_was_sent_counts_also_where_the_other_side_leaves_before_the_last_leaf(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = LeafServer._send

    def breaks(server: LeafServer, tls: ssl.SSLSocket, file: int, at: int, view: memoryview) -> None:
        if at == 2 * CHUNK:
            raise ConnectionResetError
        send(server, tls, file, at, view)

    monkeypatch.setattr(LeafServer, "_send", breaks)
    with served.open(contexts(RECEIVER)) as tls, suppress(ConnectionError):
        served.ask(tls, 0, 4)
    assert served.sent.get(timeout=WAIT) == 2 * CHUNK


def late(served: Served) -> None:
    served.now += 60.0


def forgotten(served: Served) -> None:
    served.server.forget(id_of(RECEIVER))


def another_length(served: Served) -> None:
    (served.path.parent / TICKET.decode()).write_bytes(FILE[:-1])


def gone(served: Served) -> None:
    (served.path.parent / TICKET.decode()).unlink()


ME = contexts(RECEIVER)


@pytest.mark.parametrize(
    ("who", "ticket", "before", "question", "why"),
    [
        pytest.param(contexts(STRANGER), TICKET, None, (0, 1), "another peer", id="a ticket of another peer"),
        pytest.param(contexts(RECEIVER, key=9), TICKET, None, (0, 1), "another peer", id="a former key of the peer"),
        pytest.param(contexts(RECEIVER, ca=make_ca(time.time())), TICKET, None, (0, 1), "", id="another network"),
        pytest.param(ME, b"x" * 32, None, (0, 1), "no such ticket", id="a ticket that nobody made"),
        pytest.param(ME, b"", None, None, "no ticket", id="no ticket"),
        pytest.param(ME, TICKET[:31], None, None, "in the middle", id="half a ticket"),
        pytest.param(ME, TICKET, late, (0, 1), "expired", id="an expired ticket"),
        pytest.param(ME, TICKET, forgotten, (0, 1), "no such ticket", id="a peer that is gone"),
        pytest.param(ME, TICKET, None, (3, 2), "does not have", id="beyond the end"),
        pytest.param(ME, TICKET, None, (2**64 - 1, 1), "does not have", id="far beyond the end"),
        pytest.param(ME, TICKET, None, (0, 0), "does not have", id="nothing"),
        pytest.param(ME, TICKET, None, (0, MAX_LEAVES + 1), "too many at once", id="too much"),
        pytest.param(ME, TICKET, another_length, (0, 1), "another length", id="a file that was changed"),
        pytest.param(ME, TICKET, gone, (0, 1), "No such file", id="a file that is gone"),
    ],
)
def test_nobody_else_gets_a_byte(
    served: Served, who: Contexts, ticket: bytes, before: Callable[[Served], None] | None, question: Any, why: str
) -> None:
    if before is not None:
        before(served)
    with suppress(OSError), served.open(who, ticket) as tls:
        if question is None:
            tls.unwrap()
        else:
            assert served.ask(tls, *question) == b""
    assert why in served.why.get(timeout=WAIT)
    if before is None:
        with served.open(ME) as tls:
            assert served.ask(tls, 0, 1) == FILE[:CHUNK], "and others are served"


def test_a_ticket_does_not_outlive_its_time_on_a_connection_that_is_there(served: Served) -> None:
    with served.open(ME) as tls:
        assert served.ask(tls, 0, 1) == FILE[:CHUNK]
        late(served)
        assert served.ask(tls, 0, 1) == b""
    assert "expired" in served.why.get(timeout=WAIT)


def test_connections_of_a_peer_that_is_gone_end(served: Served) -> None:
    with served.open(ME) as tls:
        assert served.ask(tls, 0, 1) == FILE[:CHUNK]
        served.server.forget(id_of(RECEIVER))
        assert served.ask(tls, 0, 1) == b""


def test_of_a_peers_tickets_the_oldest_makes_room(served: Served) -> None:
    for number in range(sending.MAX_TICKETS_OF_PEER - 1):
        ticket = b"%032d" % number
        served.server.tickets.add(KnowTicket(ticket, id_of(RECEIVER), key_of(RECEIVER).public, str(served.path), len(OTHER)))
    with suppress(OSError), served.open(ME) as tls:
        assert served.ask(tls, 0, 1) == b""
    assert "no such ticket" in served.why.get(timeout=WAIT)
    with served.open(ME, OTHERS_TICKET) as tls:
        assert served.ask(tls, 0, 1) == OTHER[:CHUNK]


def test_of_all_tickets_the_oldest_makes_room(served: Served) -> None:
    for number in range(sending.MAX_TICKETS - 1):
        served.server.tickets.add(KnowTicket(b"%032d" % number, b"%020d" % number, b"", "", 0))
    with suppress(OSError), served.open(ME) as tls:
        assert served.ask(tls, 0, 1) == b""
    with served.open(ME, OTHERS_TICKET) as tls:
        assert served.ask(tls, 0, 1) == OTHER[:CHUNK]


@pytest.mark.parametrize("junk", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"], ids=["silence", "http", "half a hello"])
def test_whoever_shows_no_ticket_in_time_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, junk: bytes) -> None:
    monkeypatch.setattr(sending, "TICKET_S", 0.2)
    with Served(tmp_path).raw() as sock:
        sock.sendall(junk)
        with suppress(ConnectionError):
            while sock.recv(100):
                """An alert of the TLS library may come first."""


def test_silent_connections_of_a_host_have_few_places(served: Served) -> None:
    held = [served.raw() for _ in range(MAX_STRANGERS_OF_HOST)]
    try:
        with served.raw() as one_more:
            assert one_more.recv(1) == b""
        assert "without a ticket" in served.why.get(timeout=WAIT)
    finally:
        for sock in held:
            sock.close()


def test_a_peer_has_few_places_and_gets_them_back(served: Served) -> None:
    held = [served.open(ME) for _ in range(MAX_SENDING_TO_PEER)]
    for tls in held:
        assert served.ask(tls, 0, 1) == FILE[:CHUNK]
    with suppress(OSError), served.open(ME) as tls:
        assert served.ask(tls, 0, 1) == b""
    assert "no place" in served.why.get(timeout=WAIT)
    for tls in held:
        tls.close()
    while True:  # each place is free once its thread has seen the end
        with suppress(OSError), served.open(ME) as tls:
            if served.ask(tls, 0, 1) == FILE[:CHUNK]:
                break


def test_where_each_has_one_place_the_oldest_gives_it_away_after_its_turn(served: Served) -> None:
    others = range(10, 10 + MAX_SENDING)
    for i in (*others, STRANGER):
        served.server.tickets.add(KnowTicket(b"%032d" % i, id_of(i), key_of(i).public, str(served.path), len(OTHER)))
    held: list[ssl.SSLSocket] = []
    for i in others:  # one after the other: of this host few may be without a ticket
        held.append(served.open(contexts(i), b"%032d" % i))
        assert served.ask(held[-1], 0, 1) == OTHER[:CHUNK]
    for turn, expected in ((0.0, b""), (TURN_S, OTHER[:CHUNK])):
        served.now += turn
        with suppress(OSError), served.open(contexts(STRANGER), b"%032d" % STRANGER) as tls:
            assert served.ask(tls, 0, 1) == expected
    assert [served.ask(tls, 0, 1) for tls in held] == [b"", *[OTHER[:CHUNK]] * (MAX_SENDING - 1)]
    for tls in held:
        tls.close()


def test_what_may_wait_is_marked_as_that(served: Served) -> None:
    with served.open(ME) as tls:
        assert served.ask(tls, 0, 1) == FILE[:CHUNK]
        (own,) = served.server._places._sending
        assert own.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == LOWER_EFFORT
    with socket.socket(socket.AF_INET6) as six:
        yield_to_others(six)
        assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS) == LOWER_EFFORT


def test_whoever_reads_nothing_gives_its_place_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SILENCE_S", 0.3)
    monkeypatch.setattr(sending, "MIN_RATE", 1e12)
    data = bytes(200 * CHUNK)
    served = Served(tmp_path)
    (tmp_path / "large").write_bytes(data)
    served.server.tickets.add(KnowTicket(b"l" * 32, id_of(RECEIVER), key_of(RECEIVER).public, str(tmp_path / "large"), len(data)))
    with served.open(ME, b"l" * 32) as tls:
        tls.sendall(ASK.pack(0, 200))
        assert served.why.get(timeout=WAIT)


# --- what a sender can do ---------------------------------------------------------------------------------------------------------

DIGESTS = [sha256(FILE[at : at + CHUNK]) for at in range(0, len(FILE), CHUNK)]


@contextmanager
def sender(answer: Callable[[ssl.SSLSocket], None], who: Contexts) -> Iterator[int]:
    """A listening sender that reads ticket and question, and then does what it likes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            with suppress(OSError), listening.accept()[0] as sock, who.server.wrap_socket(sock, server_side=True) as tls:
                sending.read_exactly(tls, memoryview(bytearray(32 + ASK.size)))
                answer(tls)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
    thread.join(WAIT)


def fetch(path: Path, port: int, pace: MovingPace | None = None) -> list[Any]:
    """What is reported of one connection that is asked for the whole file. It gives back what it took of the spare buffers."""
    path.write_bytes(bytes(len(FILE)))
    told: SimpleQueue[Any] = SimpleQueue()
    spare = receiving.spare_buffers()
    order = Connect(7, "127.0.0.1", port, id_of(SENDER), key_of(SENDER).public, TICKET, str(path), len(FILE))
    receiver = LeafReceiver(order, contexts(RECEIVER).client, CHAIN, pace or MovingPace(0), spare, told.put)
    receiver.take(TakeLeaves(7, 0, DIGESTS))
    found: list[Any] = []
    while not found or not isinstance(found[-1], MoveEnded):
        found.append(told.get(timeout=WAIT))
        if isinstance(found[-1], LeavesMoved) and sum(one.count for one in found[1:]) == len(DIGESTS):
            receiver.end()
    assert spare.qsize() == receiving.SPARE
    return found


def test_spare_buffers_come_back_however_connections_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve at a time want more of them than there are: whole files, wrong ones, ends in the middle, and too little."""
    write = writing.SteadyWriter.write

    def slowly(writer: writing.SteadyWriter, view: memoryview, at: int) -> None:
        time.sleep(0.1)
        write(writer, view, at)

    monkeypatch.setattr(writing.SteadyWriter, "write", slowly)
    whole = pattern(9 * CHUNK + 5)
    digests = [sha256(whole[at : at + CHUNK]) for at in range(0, len(whole), CHUNK)]
    spoilt = whole[: 5 * CHUNK] + bytes(len(whole) - 5 * CHUNK)
    spare, told = receiving.spare_buffers(), SimpleQueue[Any]()
    receivers, moved = list[LeafReceiver](), [0] * 12
    with ExitStack() as senders:
        for move, sent in enumerate((whole, spoilt, whole[: 6 * CHUNK + 9], whole[:7]) * 3):
            port = senders.enter_context(sender(lambda tls, sent=sent: tls.sendall(sent), contexts(SENDER)))  # type: ignore[misc]
            path = tmp_path / str(move)
            path.write_bytes(bytes(len(whole)))
            order = Connect(move, "127.0.0.1", port, id_of(SENDER), key_of(SENDER).public, TICKET, str(path), len(whole))
            receiver = LeafReceiver(order, contexts(RECEIVER).client, CHAIN, MovingPace(0), spare, told.put)
            receiver.take(TakeLeaves(move, 0, digests))
            receivers.append(receiver)
        ended: set[int] = set()
        while len(ended) < 12:
            said = told.get(timeout=WAIT)
            if isinstance(said, MoveEnded):
                ended.add(said.move)
            elif isinstance(said, LeavesMoved):
                moved[said.move] += said.count
                if moved[said.move] == len(digests):
                    receivers[said.move].end()
    assert len({id(spare.get_nowait()) for _ in range(receiving.SPARE)}) == receiving.SPARE and spare.empty()


WRONG = FILE[: 2 * CHUNK] + b"\1" + FILE[2 * CHUNK + 1 :]


@pytest.mark.parametrize(
    ("answer", "who", "leaves", "wrong"),
    [
        pytest.param(lambda tls: tls.sendall(FILE), contexts(SENDER), 4, False, id="all of it"),
        pytest.param(lambda tls: tls.sendall(WRONG), contexts(SENDER), 2, True, id="a wrong leaf"),
        pytest.param(lambda tls: tls.sendall(bytes(len(FILE))), contexts(SENDER), 0, True, id="all of it wrong"),
        pytest.param(lambda tls: tls.sendall(OTHER), contexts(SENDER), 0, True, id="another file"),
        pytest.param(lambda tls: tls.sendall(FILE[:-1]), contexts(SENDER), 0, False, id="too little"),
        pytest.param(lambda tls: None, contexts(SENDER), 0, False, id="nothing"),
        pytest.param(lambda tls: tls.sendall(FILE), contexts(STRANGER), 0, False, id="another peer"),
        pytest.param(lambda tls: tls.sendall(FILE), contexts(SENDER, key=9), 0, False, id="another key"),
    ],
)
def test_only_right_leaves_reach_the_file(
    tmp_path: Path, answer: Callable[[ssl.SSLSocket], None], who: Contexts, leaves: int, wrong: bool
) -> None:
    with sender(answer, who) as port:
        found = fetch(tmp_path / "file", port)
    assert sum(one.count for one in found if isinstance(one, LeavesMoved)) == leaves
    assert found[-1].wrong == wrong and not found[-1].disk
    size = min(leaves * CHUNK, len(FILE))
    assert (tmp_path / "file").read_bytes() == FILE[:size] + bytes(len(FILE) - size)


@pytest.mark.parametrize(("mb_s", "reports"), [(0, [4]), (100, [4]), (1, [1] * 4)])
def test_where_the_pace_is_slow_each_leaf_is_told(tmp_path: Path, mb_s: int, reports: list[int]) -> None:
    """Sixteen connections that wait for a megabyte each, at one a second, would all be ended as silent."""
    slept: list[float] = []
    with sender(lambda tls: tls.sendall(FILE), contexts(SENDER)) as port:
        found = fetch(tmp_path / "file", port, MovingPace(mb_s, lambda: 0.0, slept.append))
    assert [one.count for one in found if isinstance(one, LeavesMoved)] == reports
    assert (tmp_path / "file").read_bytes() == FILE and len(slept) == (len(reports) if mb_s == 1 else 0)


def test_a_sender_that_falls_silent_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "SILENCE_S", 0.2)
    over = threading.Event()
    with sender(lambda tls: (tls.sendall(FILE[:100]), over.wait(WAIT))[0], contexts(SENDER)) as port:
        found = fetch(tmp_path / "file", port)
        over.set()
    assert isinstance(found[0], MoveOpened) and "timed out" in found[-1].why


def test_a_full_disk_is_this_nodes_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "pwrite", full)
    with sender(lambda tls: tls.sendall(FILE), contexts(SENDER)) as port:
        ended = fetch(tmp_path / "file", port)[-1]
    assert "is full" in ended.disk and not ended.wrong


# --- two nodes and their processes ------------------------------------------------------------------------------------------------

BIG = pattern(60 * CHUNK) + bytes(3 * CHUNK) + pattern(160 * CHUNK)[100 * CHUNK :] + b"end"
"""With a leaf that stands in three places."""


def small_files() -> None:
    """A disk that takes no file of more than 8 MiB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 * 2**20, 8 * 2**20))


class Two:
    """A sender and a receiver in one loop. By messages the sender sends `by_messages` bytes; all else has to come otherwise."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.loop = folder, asyncio.get_running_loop()
        self.nodes: dict[bytes, Content] = {}
        self.movers: dict[bytes, Mover] = {}
        self.by_messages = 200_000
        self.blamed: list[str] = []
        self.told: list[Any] = []
        self.wrong_port = 0

    def add(
        self, i: int, *, mb_s: int = 0, prepare: Callable[[], None] | None = None, moving: bool = True, most_a_day: int = 0
    ) -> Content:
        me, leaf = id_of(i), issue_leaf(key_of(i), id_of(i), CHAIN, CA_, time.time())
        who = {id_of(n): ("127.0.0.1", key_of(n).public) for n in (SENDER, RECEIVER, STRANGER)}
        more: dict[str, Any] = {} if prepare is None else {"prepare": prepare}
        if moving:
            self.movers[me] = Mover(
                listen=("127.0.0.1", 0), chain_id=CHAIN, ca=CA_, leaf=lambda: leaf, find=who.get, mb_s=mb_s, **more
            )
        store = ContentStore(self.folder / str(i), quota=2**30, spare=0)
        node = self.nodes[me] = Content(
            store,
            lambda peer, payload: self._send(me, peer, payload),
            lambda: int(self.loop.time() * 1000),
            penalize=lambda _, text: self.blamed.append(text),
            has_room=lambda: self.by_messages > 0,
            served=self._served,
            mover=self.movers.get(me),
            most_a_day=most_a_day,
        )
        for other, there in self.nodes.items():
            if other != me:
                node.on_peer(other, True)
                there.on_peer(me, True)
        return node

    def _served(self, size: int) -> None:
        self.by_messages -= size

    def _send(self, source: bytes, target: bytes, payload: bytes) -> bool:
        self.told.append(decode_message(payload))
        self.loop.call_soon(lambda: target in self.nodes and self.nodes[target].on_message(source, payload))
        return True

    async def moved(self, root: Cid, **more: Any) -> bytes:
        """Fetched by the receiver. When leaves came by a data connection, the sender may send more by messages, too."""
        fetching = asyncio.create_task(get(self.nodes[id_of(RECEIVER)], root, **more))
        await _until(lambda: self.movers[id_of(RECEIVER)].received > 0)
        self.by_messages = 2**30
        return await fetching

    async def close(self) -> None:
        for node in self.nodes.values():
            await node.close()
            node.store.close()
        for one in self.movers.values():
            one.close()


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    made = Two(tmp_path)
    yield made
    await made.close()


async def get(node: Content, root: Cid, **more: Any) -> bytes:
    return (await node.fetch(root, max_size=2**30, timeout_s=WAIT, **more)).read_bytes()


async def test_a_large_file_goes_by_a_data_connection(two: Two) -> None:
    a, b = two.add(SENDER), two.add(RECEIVER)
    root = await a.add(BIG, pin="test")
    seen: list[int] = []
    assert await two.moved(root, on_progress=lambda done, _: seen.append(done)) == BIG
    assert seen == sorted(seen) and seen[-1] == len(BIG)
    once = len(BIG) - 3 * CHUNK
    assert b.carried()["connections", "in"] <= once
    assert b.carried()["connections", "in"] + b.carried()["messages", "in"] > once
    assert a.carried()["connections", "out"] > MIN_MOVED
    small = await a.add(b"small", pin="test")
    two.told.clear()
    assert await get(b, small) == b"small"
    assert not any(isinstance(one, HasBulk) for one in two.told)


@pytest.mark.parametrize("whose", [SENDER, RECEIVER])
async def test_a_process_that_runs_obeys_a_new_bound_both_ways(two: Two, whose: int) -> None:
    a, b = two.add(SENDER), two.add(RECEIVER)
    first, second = await a.add(BIG, pin="test"), await a.add(BIG[::-1], pin="test")
    assert await two.moved(first) == BIG
    came, began = b.carried()["connections", "in"], time.monotonic()
    two.movers[id_of(whose)].bound(16)
    assert await get(b, second) == BIG[::-1]
    assert time.monotonic() - began >= (b.carried()["connections", "in"] - came) / 16e6 - 0.25 - 4 * CHUNK / 16e6


def test_the_pace_holds_for_all_threads_together_and_leaves_each_enough_time() -> None:
    now, slept = [0.0], list[float]()
    pace = MovingPace(8, lambda: now[0], slept.append)
    for _ in range(3):
        pace.wait(2_000_000)
    assert slept == [0.25, 0.5], "a quarter of a second goes at once, and what is too much waits for all that was before it"
    assert (pace.least(100_000, 4), pace.least(10_000_000, 4)) == (100_000, 1_000_000)
    pace.set(0)
    pace.wait(10**12)
    assert slept == [0.25, 0.5] and pace.least(10_000_000, 4) == 10_000_000


@pytest.mark.parametrize("moving", [True, False])
async def test_who_had_the_bytes_of_a_day_gets_no_more_by_either_way_and_is_told_so(two: Two, moving: bool) -> None:
    two.by_messages = 2**30
    a, b, other = two.add(SENDER, moving=moving, most_a_day=len(BIG) // 2), two.add(RECEIVER), two.add(STRANGER)
    first, second = await a.add(BIG, pin="test"), await a.add(b"another", pin="test")
    with suppress(FetchFailed):  # half of it comes, and what was asked for before that
        await get(b, first)
    assert await get(other, second) == b"another", "each has a day of its own"
    with pytest.raises(FetchFailed) as told:
        await b.fetch(second, max_size=2**30, timeout_s=3)
    assert re.search(
        "all the bytes of files that it sends one peer in a day .* sends more in (24 h 0|23 h 59) min", str(told.value)
    )
    assert a.refused > 0


async def test_it_goes_by_data_connections_of_several_nodes_at_once(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "RUN", 16)
    first, second, taker = two.add(SENDER, mb_s=8), two.add(STRANGER, mb_s=8), two.add(RECEIVER)
    root = await first.add(BIG, pin="test")
    assert await second.add(BIG, pin="test") == root
    assert await two.moved(root) == BIG
    assert first.carried()["connections", "out"] > 0 and second.carried()["connections", "out"] > 0
    assert taker.carried()["connections", "in"] <= len(BIG)


@pytest.mark.parametrize("without", [SENDER, RECEIVER])
async def test_a_node_without_data_connections_gets_and_gives_all_by_messages(two: Two, without: int) -> None:
    two.by_messages = 2**30
    a, b = two.add(SENDER, moving=without != SENDER), two.add(RECEIVER, moving=without != RECEIVER)
    root = await a.add(BIG, pin="test")
    assert await get(b, root) == BIG
    assert b.carried().get(("connections", "in"), 0) == 0


async def _until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT):
        while not what():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("whose", [SENDER, RECEIVER])
async def test_a_process_killed_in_the_middle_costs_nothing_but_time(two: Two, whose: int) -> None:
    a, b = two.add(SENDER, mb_s=8), two.add(RECEIVER)
    root = await a.add(BIG, pin="test")
    fetching = asyncio.create_task(get(b, root))
    await _until(lambda: b.carried()["connections", "in"] > 0)
    pid = two.movers[id_of(whose)].pid
    assert pid is not None and not fetching.done()
    os.kill(pid, signal.SIGKILL)
    two.by_messages = 2**30
    assert await fetching == BIG
    assert not two.blamed


async def test_a_closed_port_leaves_all_to_messages(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = two.add(SENDER), two.add(RECEIVER)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setattr(two.movers[id_of(SENDER)], "offer", lambda *_: (port, TICKET))
    root = await a.add(BIG, pin="test")
    fetching = asyncio.create_task(get(b, root))
    await _until(lambda: any(isinstance(one, HasBulk) for one in two.told))
    two.by_messages = 2**30
    assert await fetching == BIG


async def test_what_is_damaged_on_the_senders_disk_is_found_and_nobody_is_blamed(two: Two) -> None:
    """The sender does not hash what it moves: the receiver asks for the wrong leaf by message, and there the sender looks."""
    a = two.add(SENDER)
    two.add(RECEIVER)
    root = await a.add(BIG, pin="test")
    flip(a.store.path(root), 40 * CHUNK)
    fetching = asyncio.create_task(two.moved(root))
    await _until(lambda: not a.store.has(root))
    assert await a.add(BIG, pin="test") == root, "the owner adds the file again"
    assert await fetching == BIG
    assert not two.blamed


async def test_a_disk_that_is_full_in_the_middle_ends_the_fetch_and_the_next_one_goes_on(two: Two) -> None:
    a, b = two.add(SENDER), two.add(RECEIVER, prepare=small_files)
    root = await a.add(BIG, pin="test")
    with pytest.raises(FetchFailed) as failed:
        await get(b, root)
    assert failed.value.reason == Reason.STORAGE and "File too large" in str(failed.value)
    came = b.carried()["connections", "in"]
    two.by_messages = 2**30
    seen: list[int] = []
    b._mover = None
    b._machine._moves.able = False
    assert await get(b, root, on_progress=lambda done, _: seen.append(done)) == BIG
    assert seen[0] >= came > 0, "what arrived was kept"


async def test_permission_is_asked_when_the_ticket_is_made(two: Two) -> None:
    a, b = two.add(SENDER), two.add(RECEIVER)
    root = await a.add(BIG)
    may: list[bytes] = []
    a.allow = lambda peer, _: peer in may
    with pytest.raises(FetchFailed):
        await b.fetch(root, max_size=2**30, timeout_s=0.5 * SLOW)
    assert not any(isinstance(one, HasBulk) for one in two.told)
    may.append(id_of(RECEIVER))
    assert await two.moved(root) == BIG


# --- the process -----------------------------------------------------------------------------------------------------------------


class One:
    """One node's side, without files."""

    def __init__(self, port: int = 0) -> None:
        self.leaf = issue_leaf(key_of(SENDER), id_of(SENDER), CHAIN, CA_, time.time())
        self.told: list[str] = []
        self.mover = Mover(
            listen=("127.0.0.1", port),
            chain_id=CHAIN,
            ca=CA_,
            leaf=lambda: self.leaf,
            find=lambda _: ("127.0.0.1", b""),
            tell=self.told.append,
        )

    async def ready(self) -> int:
        await _until(self.mover.begin)
        pid = self.mover.pid
        assert pid is not None
        return pid


async def test_a_port_that_cannot_be_had_is_told_and_nobody_is_sent_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        one = One(taken.getsockname()[1])
        assert not one.mover.begin()
        await _until(lambda: bool(one.told))
    assert "in use" in one.told[0]
    assert one.mover.offer(id_of(RECEIVER), Cid(Codec.RAW, bytes(32)), tmp_path, 1) is None
    one.mover.close()


async def test_another_key_of_the_node_is_shown_by_another_process() -> None:
    one = One()
    first = await one.ready()
    one.leaf = issue_leaf(key_of(9), id_of(SENDER), CHAIN, CA_, time.time())
    assert await one.ready() != first
    one.mover.close()


async def test_the_process_ends_when_nobody_needs_it_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mover, "IDLE_S", 0.05)
    one = One()
    one.mover.begin()
    await _until(lambda: one.mover.pid is None)
    one.mover.begin()
    assert one.mover._running is not None
    one.mover.close()
