"""Connections at their bounds: to the second, to the last of what is let in, and what each failure leaves behind."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from learningchain.chain.params import PROTOCOL_VERSION
from learningchain.p2p import connection as connections
from learningchain.p2p import listener
from learningchain.p2p.connection import MAX_OPEN, Connection, Intake, Link, Refused, Times, exchange_hello
from learningchain.p2p.gossip import GossipTargets
from learningchain.p2p.limits import Meter
from learningchain.p2p.listener import Listener
from learningchain.p2p.tls import (
    MAX_CERTIFICATE,
    NotAuthenticated,
    PeerIdentity,
    WrongPeer,
    certificate_identity,
    check_member,
    issue_leaf,
    make_contexts,
)
from learningchain.p2p.wire import (
    NODE,
    PATH,
    PEERS,
    Hello,
    PeerAddresses,
    Peers,
    Ping,
    batch_frame,
    peers_message,
)
from tests.descriptors import targets
from tests.unit.p2p_kit import CA_, CHAIN, FAST, Node, Raw, id_of, key_of, members_of, raw, running, until
from tests.unit.test_p2p_peers import rng

NOW = 1_800_000_000.0
DAY = 86_400.0


class Wire:
    """A transport that hands nothing on."""

    def __init__(self) -> None:
        self.came: list[str] = []

    def get_protocol(self) -> Any:
        return self

    def set_protocol(self, _protocol: object) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.came.append(name)


def connection(now: list[float], websocket: Any = None) -> Connection:
    wire: Any = Wire()
    link, meter = Link(websocket or wire, wire, "h:1", True), Meter(1e9, 1e9, 1, 1, now[0])
    hello, identity = Hello(PROTOCOL_VERSION, CHAIN, 0, [], 0), PeerIdentity(id_of(1), key_of(1).public)
    times = Times(drain_timeout=10, silence_timeout=30, ping_interval=5, close_timeout=1)
    return Connection(link, identity, hello, times, meter, lambda: now[0], Intake(wire, lambda: None))


# --- keepalive --------------------------------------------------------------------------------------------------------------------


def test_a_connection_is_asked_for_a_sign_of_life_so_often_and_ends_when_none_comes() -> None:
    one = connection([100.0])
    assert [(one.tick(at, 7), one.queues.count) for at in (100.0, 104.9, 105.0, 109.9, 110.0)] == [
        (None, 1),
        (None, 1),
        (None, 2),
        (None, 2),
        (None, 3),
    ]
    one.last_heard = 120.0
    assert one.tick(150.0, 7) is None
    assert one.tick(150.1, 7) == "silent for 30 s"


def test_a_peer_that_takes_nothing_is_given_up_sooner_than_one_that_says_nothing() -> None:
    one = connection([100.0])
    one._writing_since = 101.0
    assert one.tick(111.0, 7) is None
    assert one.tick(111.1, 7) == "reads nothing for 10 s"
    one._writing_since = None
    assert one.tick(111.1, 7) is None


def test_the_round_trip_is_that_of_the_ping_that_was_answered() -> None:
    now = [100.0]
    one = connection(now)
    one.tick(100.0, 7)
    one.tick(105.0, 8)
    now[0] = 105.25
    one.pong(7)
    assert one.rtt is None, "the answer to an older one says nothing any more"
    one.pong(8)
    assert one.rtt == 0.25


@pytest.mark.parametrize(("overhead", "cut"), [(6, False), (14, False), (15, True)])
def test_the_heads_of_frames_count_as_frames_and_what_is_more_does_not(
    monkeypatch: pytest.MonkeyPatch, overhead: int, cut: bool
) -> None:
    """However long a connection lasts: an honest peer's heads never add up, and a byte too many at each frame does."""
    monkeypatch.setattr(connections, "MAX_OPEN", 1_000)
    told: list[str] = []
    wire: Any = Wire()
    intake = Intake(wire, lambda: told.append("too much"))
    for _ in range(1_100):
        intake.data_received(bytes(overhead + 40))
        intake.frame(40)
    assert bool(told) is cut


# --- messages ---------------------------------------------------------------------------------------------------------------------


async def test_nothing_of_a_frame_is_delivered_after_the_message_that_ended_its_connection() -> None:
    a = Node(0, members_of(0, 1))
    async with running(a), raw(a) as peer:
        await until(lambda: a.connected())
        a.handler = lambda *_: a.net.disconnect(id_of(1), "enough")
        await peer.ws.send_bytes(batch_frame([b"\0first", b"\0second", b"\0third"]))
        assert await peer.reason() == (4001, "enough")
        assert a.messages == [(id_of(1), NODE, b"first")]


async def test_a_second_hello_and_a_message_that_nobody_reads_count_against_the_peer() -> None:
    a = Node(0, members_of(0, 1))
    async with running(a), raw(a) as peer:
        await until(lambda: a.connected())
        for turn, wrong in enumerate((bytes((PEERS,)) + b"\xc1", peers_message(Hello(PROTOCOL_VERSION, CHAIN, 0, [], 0))), 1):
            await peer.ws.send_bytes(wrong)
            await until(lambda turn=turn: a.net.peers()[0].score > FAST.penalty * (turn - 0.1))  # type: ignore[misc]
        assert a.connected() and a.messages == []


async def test_one_answer_is_taken_for_one_question_and_of_members_alone() -> None:
    a = Node(0, members_of(0, 1, 2, 3), config=replace(FAST, ask_often=60))
    async with running(a), raw(a) as peer:
        await until(lambda: a.connected())
        a.net._peers[id_of(1)].asked_peers = True
        for told in ([(2, "10.1.2.3:7000"), (9, "10.1.2.9:7000"), (0, "10.1.2.1:7000")], [(3, "10.1.2.4:7000")]):
            await peer.ws.send_bytes(peers_message(Peers([PeerAddresses(id_of(i), [where]) for i, where in told])))
        await until(lambda: a.net.peers()[0].messages_in >= 2)
        assert set(a.book.members()) == {id_of(2)}, "neither a stranger, nor the node itself, nor what came unasked"


# --- who is let in ----------------------------------------------------------------------------------------------------------------


async def test_a_member_that_is_connected_may_connect_anew_where_there_is_no_room_for_others() -> None:
    a = Node(0, members_of(0, 1, 2), config=replace(FAST, max_peers=1, cross_window=0))
    async with running(a), raw(a) as old:
        await until(lambda: a.connected())
        async with raw(a):
            assert (await old.reason())[0] == 4002
            await until(lambda: a.ups == [(id_of(1), True), (id_of(1), False), (id_of(1), True)])
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with raw(a, 2):
                    pass
            assert refused.value.status == 403 and "no room" in a.reasons("connection refused")


async def test_a_place_that_was_taken_before_the_hello_is_not_given_twice() -> None:
    a = Node(0, members_of(0, 1, 2), config=replace(FAST, max_peers=1, hello_timeout=8))
    async with running(a), silent(a) as slow, raw(a, 2):
        await until(lambda: a.connected() == {id_of(2)})
        code, reason = await slow.greet()
        assert code == 4001 and "no room" in reason and a.ups == [(id_of(2), True)]


async def test_a_member_that_was_blocked_before_its_hello_is_refused() -> None:
    a = Node(0, members_of(0, 1), config=replace(FAST, hello_timeout=8))
    async with running(a), silent(a) as slow:
        while not a.reasons("blocked"):
            a.net.penalize(id_of(1), "a message of an earlier connection")
        code, reason = await slow.greet()
        assert code == 4001 and "blocked for" in reason and not a.ups


class Silent(Raw):
    """A member whose websocket is there and that has not said hello."""

    async def greet(self) -> tuple[int | None, str]:
        """Says hello. How the connection ends."""
        await self.ws.send_bytes(peers_message(Hello(PROTOCOL_VERSION, CHAIN, 0, [], 0)))
        return await self.reason()


@asynccontextmanager
async def silent(node: Node) -> AsyncIterator[Silent]:
    context = make_contexts(issue_leaf(key_of(1), id_of(1), CHAIN, CA_, time.time()), CA_).client
    async with aiohttp.ClientSession() as session:
        ws = await session.ws_connect(f"wss://{node.address}{PATH}", ssl=context, autoping=False)
        yield Silent(session, ws)
        await ws.close()


@pytest.mark.parametrize(
    ("port", "known"), [(7_001, {"named:1", "127.0.0.1:7001"}), (0, {"named:1"})], ids=["it listens", "it listens nowhere"]
)
async def test_a_peer_is_known_where_it_says_and_where_it_came_from(port: int, known: set[str]) -> None:
    a = Node(0, members_of(0, 1), config=replace(FAST, other_peers=0))
    async with running(a), raw(a, hello=peers_message(Hello(PROTOCOL_VERSION, CHAIN, port, ["named:1"], 0))):
        await until(lambda: a.connected())
        assert {place.address for place in a.book.places(id_of(1))} == known


# --- upkeep -----------------------------------------------------------------------------------------------------------------------


async def test_the_book_is_written_once_in_its_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = Node(0, members_of(0, 1), config=replace(FAST, save_interval=30, tick=60), path=tmp_path / "book")
    now, written = [begin := a.net._clock() + 1], list[float]()
    a.net._clock = lambda: now[0]
    write = a.book.write
    monkeypatch.setattr(a.book, "write", lambda content: (written.append(now[0]), write(content)))

    async def a_turn() -> None:
        a.book.succeeded(id_of(1), "127.0.0.1:1", now[0])
        a.net._wake.set()
        await until(lambda: not a.net._wake.is_set())

    async with running(a):
        for later in (0.0, 29.9, 30.0, 31.0):
            now[0] = begin + later
            await a_turn()
        await until(lambda: len(written) >= 2)
        assert [at - begin for at in written] == pytest.approx([0, 30])


# --- the listener -----------------------------------------------------------------------------------------------------------------


async def test_a_connection_that_cannot_be_accepted_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be no descriptor left for it."""
    loop = asyncio.get_running_loop()
    accept, faults = loop.sock_accept, [OSError(errno.EMFILE, os.strerror(errno.EMFILE))]

    async def failing(sock: Any) -> Any:
        if faults:
            raise faults.pop()
        return await accept(sock)

    monkeypatch.setattr(loop, "sock_accept", failing)
    a = Node(0, members_of(0, 1))
    async with running(a):
        await until(lambda: "cannot accept: Too many open files" in a.reasons("connection refused"))
        async with raw(a):
            await until(lambda: a.connected())


async def test_where_nothing_can_be_accepted_it_is_not_tried_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop that votes is the same one; and each try would be a line for the operator."""
    loop, tries = asyncio.get_running_loop(), 0

    async def failing(sock: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries > 100:
            await asyncio.Event().wait()
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(loop, "sock_accept", failing)
    async with running(Node(0, members_of(0, 1))):
        await until(lambda: tries > 0)
        for _ in range(200):
            await asyncio.sleep(0)
        assert tries < 100


async def test_the_hosts_of_the_book_are_gathered_once_in_a_while_however_many_knock(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [100.0], list[float]()
    monkeypatch.setattr(listener, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def known() -> list[str]:
        asked.append(now[0])
        return ["10.0.0.1"] if len(asked) == 1 else ["2001:db8::1"]

    door = Listener(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), lambda _: None, lambda *_: None, 1.0, known)  # type: ignore[arg-type, return-value]
    for at in (100.0, 101.0, 104.9):
        now[0] = at
        assert door._is_known("10.0.0.1") and door._is_known("::ffff:10.0.0.1") and not door._is_known("10.0.0.2")
    now[0] = 105.0
    assert door._is_known("2001:db8::ffff") and not door._is_known("10.0.0.1")
    assert asked == [100.0, 105.0]


# --- certificates -----------------------------------------------------------------------------------------------------------------


def der(now: float) -> bytes:
    leaf = issue_leaf(key_of(1), id_of(1), CHAIN, CA_, now)
    return x509.load_pem_x509_certificate(leaf.cert_pem).public_bytes(Encoding.DER)


def test_a_certificate_holds_from_a_day_before_it_was_made_for_ten_years() -> None:
    made = der(NOW)
    for at in (NOW - DAY, NOW, NOW + 3_650 * DAY):
        assert certificate_identity(made, CHAIN, at).id == id_of(1)
    for at, why in ((NOW - DAY - 1, "not yet valid"), (NOW + 3_650 * DAY + 1, "expired")):
        with pytest.raises(NotAuthenticated, match=why):
            certificate_identity(made, CHAIN, at)


def test_a_certificate_that_is_too_long_is_not_read() -> None:
    for size, why in ((MAX_CERTIFICATE, "cannot be read"), (MAX_CERTIFICATE + 1, "at most 4096 allowed")):
        with pytest.raises(NotAuthenticated, match=why):
            certificate_identity(bytes(size), CHAIN, NOW)


def test_whoever_answers_in_anothers_place_is_named_as_that_also_where_it_is_no_member() -> None:
    """The address is not that of the one who was dialled: it is struck out. That of a banned member is not."""
    identity = PeerIdentity(id_of(1), key_of(1).public)
    for current in (None, key_of(2).public, key_of(1).public):
        with pytest.raises(WrongPeer):
            check_member(identity, current, id_of(2))
    for current in (None, key_of(2).public):
        with pytest.raises(NotAuthenticated) as refused:
            check_member(identity, current, id_of(1))
        assert not isinstance(refused.value, WrongPeer)
    check_member(identity, key_of(1).public, id_of(1))
    check_member(identity, key_of(1).public, None)


@pytest.mark.parametrize("in_memory", [True, False])
def test_nothing_is_left_of_the_tls_key_that_was_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if not in_memory:
        monkeypatch.delattr(os, "memfd_create")
    leaf = issue_leaf(key_of(1), id_of(1), CHAIN, CA_, time.time())
    contexts = make_contexts(leaf, CA_)
    assert not [target for target in targets() if target.startswith(("/memfd:tls", str(tmp_path)))]
    assert list(tmp_path.iterdir()) == []
    assert contexts.server.num_tickets == 0


# --- gossip -----------------------------------------------------------------------------------------------------------------------


def test_who_left_is_told_nothing_and_its_place_in_the_mesh_is_anothers() -> None:
    gossip = GossipTargets(2, rng())
    gossip.set_validators([id_of(8), id_of(9)])
    for i in (1, 2, 3, 8, 9):
        gossip.peer(id_of(i), True)
    for gone in (gossip.mesh_targets()[0], id_of(8)):
        gossip.peer(gone, False)
        assert gone not in gossip.mesh_targets() + gossip.consensus_targets()
        for _ in range(5):
            gossip.refresh()
            assert gone not in gossip.mesh_targets() and len(gossip.mesh_targets()) == 2
    assert gossip.consensus_targets() == [id_of(9)]


# --- the hello --------------------------------------------------------------------------------------------------------------------


class Speaker:
    """The other side of a connection: it says one thing, and notes how it is told goodbye."""

    def __init__(self, said: object) -> None:
        self.said, self.closed, self.cut = said, list[tuple[int, bytes]](), False

    async def send_bytes(self, _data: bytes) -> None: ...

    async def receive(self) -> Any:
        if isinstance(self.said, Exception):
            raise self.said
        if self.said is None:
            await asyncio.Event().wait()
        return self.said

    async def close(self, code: int, message: bytes) -> None:
        self.closed.append((code, message))

    def abort(self) -> None:
        self.cut = True


def said(kind: aiohttp.WSMsgType, data: object = None, extra: str | None = None) -> aiohttp.WSMessage:
    return aiohttp.WSMessage(kind, data, extra)


OWN = Hello(PROTOCOL_VERSION, CHAIN, 7_000, [], 5)


async def greeted(speaker: Speaker, timeout: float = 5.0) -> Hello:
    link: Any = Link(speaker, speaker, "h:1", True)  # type: ignore[arg-type]
    return await exchange_hello(link, OWN, timeout)


async def test_a_hello_of_this_network_is_taken_and_nobody_is_told_anything() -> None:
    theirs = Hello(PROTOCOL_VERSION, CHAIN, 0, ["h:2"], 9)
    speaker = Speaker(said(aiohttp.WSMsgType.BINARY, peers_message(theirs)))
    assert await greeted(speaker) == theirs
    assert (speaker.closed, speaker.cut) == ([], False)


@pytest.mark.parametrize(
    ("what", "why", "by_peer", "told"),
    [
        (said(aiohttp.WSMsgType.CLOSE, 4_001, "no\nroom"), r"no\?room", True, 0),
        (said(aiohttp.WSMsgType.CLOSE, 1_001), "closed with code 1001", True, 0),
        (said(aiohttp.WSMsgType.TEXT, "hello"), r"ended before the hello \(text\)", False, 0),
        (said(aiohttp.WSMsgType.ERROR, ValueError("odd")), r"ended before the hello \(odd\)", False, 0),
        (said(aiohttp.WSMsgType.CLOSED), r"ended before the hello \(closed\)", False, 0),
        (ConnectionResetError("reset"), "connection lost before the hello: reset", False, 0),
        (said(aiohttp.WSMsgType.BINARY, peers_message(Ping(1))), "not a hello", False, 4_001),
        (said(aiohttp.WSMsgType.BINARY, b"\x01" + bytes(40_000)), "32768", False, 4_001),
    ],
)
async def test_whoever_says_no_hello_is_refused_and_who_says_another_is_told_why(
    what: object, why: str, by_peer: bool, told: int
) -> None:
    speaker = Speaker(what)
    with pytest.raises(Refused, match=why) as refused:
        await greeted(speaker)
    assert refused.value.by_peer is by_peer
    assert [code for code, _ in speaker.closed] == ([told] if told else [])
    assert [reason.decode() for _, reason in speaker.closed] == ([str(refused.value)[:120]] if told else [])
    assert speaker.cut is bool(told)


async def test_whoever_says_nothing_is_given_up() -> None:
    with pytest.raises(Refused, match=r"no hello within 0\.01 s") as refused:
        await greeted(Speaker(None), 0.01)
    assert not refused.value.by_peer


def test_each_frame_pays_for_its_own_bytes_only() -> None:
    """Bytes that make up no frame stay counted while whole frames come between them (LC-P2P-28)."""

    class Wire:
        def get_protocol(self) -> Any:
            return self

        def set_protocol(self, _protocol: object) -> None: ...

        def data_received(self, _data: bytes) -> None: ...

    calls: list[int] = []
    wire: Any = Wire()
    intake = Intake(wire, lambda: calls.append(1))
    for _ in range(3 * MAX_OPEN // 50_000):
        intake.data_received(bytes(50_000 + 1_000))
        intake.frame(1_000)
    assert calls == [1], "once"
