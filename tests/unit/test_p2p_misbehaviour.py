"""Members that misbehave on the wire: broken frames, silence, floods, no reading. Each costs only itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest

from learningchain.chain.crypto import sha256
from learningchain.chain.params import PROTOCOL_VERSION
from learningchain.p2p.connection import MAX_OPEN, SLICE
from learningchain.p2p.tls import issue_leaf, make_contexts
from learningchain.p2p.wire import (
    MAX_FRAME,
    NODE,
    PATH,
    PEERS,
    GetPeers,
    Hello,
    Peers,
    PeersMessage,
    Ping,
    Pong,
    Reassembler,
    batch_frame,
    parse_peers,
    peers_message,
)
from tests.slow import SLOW
from tests.unit.loops import as_nodes_run
from tests.unit.p2p_kit import CA_, CHAIN, FAST, Node, Raw, id_of, key_of, members_of, pair, raw, running, until

HELLO = peers_message(Hello(PROTOCOL_VERSION, CHAIN, 0, [], 0))


@asynccontextmanager
async def silent(node: Node) -> AsyncIterator[Raw]:
    """A member whose hello does not come by itself."""
    context = make_contexts(issue_leaf(key_of(1), id_of(1), CHAIN, CA_, time.time()), CA_).client
    where = f"wss://{node.address}{PATH}"
    async with aiohttp.ClientSession() as session, session.ws_connect(where, ssl=context, autoping=False) as ws:
        yield Raw(session, ws)


@pytest.mark.parametrize(
    ("hello", "reason"),
    [
        (peers_message(Hello(PROTOCOL_VERSION + 1, CHAIN, 0, [], 0)), "protocol version"),
        (peers_message(Hello(PROTOCOL_VERSION, sha256(b"x"), 0, [], 0)), "another network"),
        (peers_message(Ping(1)), "not a hello"),
        (bytes((NODE,)) + b"hi", "not a hello"),
        (b"", "not a hello"),
    ],
)
async def test_a_wrong_hello_is_answered_with_the_reason(hello: bytes, reason: str) -> None:
    a = Node(0, members_of(0, 1))
    async with running(a), raw(a, hello=hello) as peer:
        _, said = await peer.reason()
        assert reason in said and not a.ups
        await until(lambda: reason in a.reasons("connection refused"))


async def test_a_silent_dialler_is_cut_off() -> None:
    a = Node(0, members_of(0, 1), config=replace(FAST, hello_timeout=0.25 * SLOW))
    context = make_contexts(issue_leaf(key_of(1), id_of(1), CHAIN, CA_, time.time()), CA_).client
    async with running(a):
        reader, writer = await asyncio.open_connection("127.0.0.1", a.net.port(), ssl=context)
        async with asyncio.timeout(5 * SLOW):  # TLS done, nothing sent: not even a request
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize(
    "frame",
    [b"", b"\x04x", b"\xff", b"\xff\0\0\0\0", b"\xff\0\0\0\x09a", b"\xfe\x09\x00xx", b"\xfe\x02\x00tiny", b"\x01garbage" * 9_000],
)
async def test_a_broken_frame_ends_the_connection_and_counts_against_the_peer(frame: bytes) -> None:
    a = Node(0, members_of(0, 1))
    async with running(a), raw(a) as peer:
        await until(lambda: a.connected())
        await peer.ws.send_bytes(frame)
        code, _ = await peer.reason()
        assert code == 4003
        await until(lambda: not a.connected())
        assert a.messages == []


async def test_who_breaks_the_rules_of_frames_twice_is_blocked() -> None:
    a = Node(0, members_of(0, 1, 2))
    async with running(a), raw(a, 2) as good:
        for turn in range(2):
            async with raw(a) as peer:
                await until(lambda: id_of(1) in a.connected())
                before = a.net._standing.score(id_of(1), time.monotonic())
                assert (before > 0) == (turn > 0), "a broken frame is remembered"
                await peer.ws.send_bytes(b"\xff")
                assert (await peer.reason())[0] == 4003
                await until(lambda: id_of(1) not in a.connected())
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with raw(a):
                pass
        assert refused.value.status == 403
        assert "blocked for" in a.reasons("connection refused")
        await good.ws.send_bytes(b"\0fine")
        await until(lambda: (id_of(2), NODE, b"fine") in a.messages)


async def test_a_member_that_is_silent_after_its_hello_is_dropped() -> None:
    """The nodes' clock goes on when a ping was answered, which is all that the other node says: no machine is too slow for that."""
    now = [1_000.0]
    config = replace(FAST, silence_timeout=10, ask_often=3_600, ping_interval=1)
    a = Node(0, members_of(0, 1, 2), config=config, clock=lambda: now[0])
    async with running(a):
        b = Node(2, members_of(0, 1, 2), seeds=[a.address], config=replace(config, ping_interval=3_600), clock=lambda: now[0])
        async with running(b), raw(a) as mute:
            await until(lambda: len(a.connected()) == 2)
            for second in range(1, 12):
                assert len(a.connected()) == 2, f"nobody was silent for more than {second - 1} s"
                now[0] += 1
                await until(lambda: a.net._peers[b.id].last_heard == now[0])
            code, reason = await mute.reason()  # it reads, and answers no ping
            assert code == 4005 and "silent for" in reason
            await until(lambda: a.connected() == {b.id})  # who answers pings stays


@pytest.mark.parametrize("key", [None, key_of(2).public], ids=["banned", "another key"])
async def test_who_is_banned_or_loses_its_key_between_handshake_and_hello_stays_outside(key: bytes | None) -> None:
    members = members_of(0, 1)
    a = Node(0, members, config=replace(FAST, hello_timeout=5))
    async with running(a), silent(a) as peer:
        theirs = await peer.ws.receive()  # the node's hello: this member was admitted
        assert theirs.type is aiohttp.WSMsgType.BINARY
        members.pop(id_of(1))
        if key is not None:
            members[id_of(1)] = key
        await peer.ws.send_bytes(HELLO)
        code, reason = await peer.reason()
        assert code == 4001 and "no longer an active member" in reason
        assert not a.ups and not a.connected()


async def received(peer: Raw, end: int) -> list[PeersMessage]:
    """What came on PEERS before the ping with this number."""
    found: list[PeersMessage] = []
    async with asyncio.timeout(8 * SLOW):
        while True:
            frame = await peer.ws.receive()
            assert frame.type is aiohttp.WSMsgType.BINARY
            for channel, payload in Reassembler().feed(frame.data):
                if channel != PEERS:
                    continue
                message = parse_peers(payload)
                if isinstance(message, Ping) and message.nonce == end:
                    return found
                found.append(message)


async def test_questions_for_peers_at_once_get_one_answer() -> None:
    a = Node(0, members_of(0, 1), config=replace(FAST, answer_interval=60, ask_often=60, ping_interval=60))
    async with running(a), raw(a) as peer:
        await until(lambda: a.connected())
        for question in (GetPeers(), GetPeers(), Ping(1), Ping(2), Ping(3)):
            await peer.ws.send_bytes(peers_message(question))
        await until(lambda: a.net.peers() and a.net.peers()[0].messages_in >= 5)
        a.net._peers[id_of(1)].send(0, peers_message(Ping(99)))
        found = [type(message) for message in await received(peer, 99)]
        assert found.count(Peers) == 1
        assert found.count(Pong) == 1, "pings have a pause, too"


async def test_who_connects_again_and_again_is_refused_and_has_no_more_than_before() -> None:
    """Each connection costs handshakes, news to its peers, and once brought the right to a burst of messages.

    The node's clock stands still: however long the handshakes take, nothing is earned back meanwhile.
    """
    members = members_of(0, 1, 2)
    config = replace(FAST, connections=3, cross_window=0, messages_per_s=100, burst_s=1)
    a = Node(0, members, config=config, clock=lambda: 1_000.0)
    async with running(a), raw(a, 2) as good:
        for turn in range(3):
            async with raw(a) as peer:
                await until(lambda: id_of(1) in a.connected())
                meter = a.net._meters[id_of(1)]
                if turn == 0:
                    await peer.ws.send_bytes(batch_frame([b"\0x"] * 90))
                    await until(lambda: len(a.messages) == 90)
            await until(lambda: id_of(1) not in a.connected())
        assert a.net._meters[id_of(1)] is meter, "one for all connections"
        assert meter.messages.take(1_000.0, 50) > 0
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with raw(a):
                pass
        assert refused.value.status == 403 and "connects too often" in a.reasons("connection refused")
        await good.ws.send_bytes(b"\0fine")
        await until(lambda: (id_of(2), NODE, b"fine") in a.messages)


async def test_what_arrives_late_on_a_replaced_connection_is_not_delivered() -> None:
    """The newer connection is told to the node first: a message of the older one would seem to be one of the newer."""
    a = Node(0, members_of(0, 1), config=replace(FAST, cross_window=0))
    async with running(a), raw(a) as old:
        await until(lambda: a.connected())
        first = a.net._peers[id_of(1)]
        async with raw(a) as new:
            await until(lambda: a.ups == [(id_of(1), True), (id_of(1), False), (id_of(1), True)])
            a.net._deliver(first, NODE, b"late")
            await new.ws.send_bytes(b"\0new")
            await until(lambda: a.messages)
            assert [payload for _, _, payload in a.messages] == [b"new"]
        assert (await old.reason())[0] == 4002


async def test_a_flood_of_one_member_takes_few_of_each_turn_of_the_loop() -> None:
    """Frames that are here already are not handled in one go: what another member sent comes in between."""
    a = Node(0, members_of(0, 1, 2))
    async with running(a), raw(a, 1) as flooder, raw(a, 2) as good:
        await until(lambda: len(a.connected()) == 2)
        turns: list[int] = []
        count = 0

        def turn() -> None:
            nonlocal count
            turns.append(count)
            count = 0
            if len(a.messages) < 2_000:
                asyncio.get_running_loop().call_soon(turn)

        def note(peer: bytes, _channel: int, _payload: bytes) -> None:
            nonlocal count
            count += peer == id_of(1)

        a.handler = note
        asyncio.get_running_loop().call_soon(turn)
        for _ in range(4):
            await flooder.ws.send_bytes(batch_frame([b"\0x"] * 500))
        await good.ws.send_bytes(b"\0vote")
        await until(lambda: len(a.messages) == 2_001)
        assert max(turns) <= SLICE


async def test_an_oversize_frame_ends_the_connection() -> None:
    a = Node(0, members_of(0, 1))
    async with running(a), raw(a) as peer:
        await until(lambda: a.connected())
        await peer.ws.send_bytes(bytes(MAX_FRAME + 1))
        code, _ = await peer.reason()
        assert code in (1009, 4003, None)
        await until(lambda: not a.connected())


@pytest.mark.parametrize("kind", ["text", "ping"])
async def test_other_websocket_frames_end_the_connection(kind: str) -> None:
    a = Node(0, members_of(0, 1))
    async with running(a), raw(a) as peer:
        await until(lambda: a.connected())
        await (peer.ws.send_str("hello") if kind == "text" else peer.ws.ping())
        assert (await peer.reason())[0] == 4003


async def test_refused_messages_block_a_member_for_a_while() -> None:
    async with pair() as (a, b):
        for _ in range(10):
            a.net.penalize(b.id, "a forged vote")
        await until(lambda: not a.connected() and "blocked for" in b.reasons("refused by peer"))
        assert "a forged vote" in b.reasons("peer gone") and not a.connected()


async def test_a_callback_that_fails_costs_only_the_peer_that_sent_the_message() -> None:
    members = members_of(0, 1, 2)
    a = Node(0, members)

    def fail(peer: bytes, _channel: int, payload: bytes) -> None:
        if payload == b"poison":
            raise RuntimeError("a mistake of ours")

    a.handler = fail
    async with running(a), raw(a, 1) as bad, raw(a, 2) as good:
        await until(lambda: len(a.connected()) == 2)
        await bad.ws.send_bytes(b"\0poison")
        await bad.reason()
        await until(lambda: a.connected() == {id_of(2)})
        await good.ws.send_bytes(b"\0fine")
        await until(lambda: (id_of(2), NODE, b"fine") in a.messages)


async def test_a_peer_that_does_not_read_is_bounded_dropped_and_slows_nobody() -> None:
    """The node's clock goes on when the other one has everything: whatever takes long before, only who does not read has waited."""
    members, now = members_of(0, 1, 2), [1_000.0]
    a = Node(0, members, config=replace(FAST, drain_timeout=10, silence_timeout=1e9), clock=lambda: now[0])
    async with running(a):
        b = Node(2, members, seeds=[a.address])
        async with running(b), raw(a, 1):
            await until(lambda: len(a.connected()) == 2)
            deaf_id = id_of(1)
            # The raw client never calls receive: its buffers fill, then ours.
            refusals = 0
            for i in range(40):
                refusals += not a.net.send(deaf_id, NODE, bytes(1_000_000), 2)
                a.net.send(b.id, NODE, b"%d" % i, 0)
            assert refusals > 0
            assert a.net.queued(deaf_id, 2) > 14_000_000 and a.net.queued(deaf_id, 3) == a.net.queued(id_of(9), 2) == 0
            info = {p.id: p for p in a.net.peers()}[deaf_id]
            assert info.queued_bytes <= 16_000_000 and info.dropped == refusals
            await until(lambda: len(b.messages) == 40 and a.net._peers[b.id]._writing_since is None)
            assert len(a.connected()) == 2

            def it_is_gone_later() -> bool:
                now[0] += 11  # again and again: at first the buffers may not be full yet, and another piece begins
                return a.connected() == {b.id}

            await until(it_is_gone_later)
            assert "reads nothing" in a.reasons("peer gone")


# --- bytes that make up no frame ------------------------------------------------------------------------------------------------

BEGUN = b"\x02\x80\0\0\0\0"
PIECE = b"\x00\x80\0\0\0\0"
"""The begin of a binary message, and one more piece of it: both empty, and neither the last."""


def pour(peer: Raw) -> None:
    connection = peer.ws._response.connection
    assert connection is not None and connection.transport is not None
    connection.transport.write(BEGUN + PIECE * (MAX_OPEN // len(PIECE) + 100_000))


@as_nodes_run
async def test_pieces_of_a_message_that_never_ends_end_the_connection() -> None:
    node = Node(0, members_of(0, 1))
    async with running(node), raw(node) as peer:
        await until(lambda: id_of(1) in node.connected())
        pour(peer)
        code, reason = await peer.reason()
        assert code in (4003, None)
        await until(lambda: not node.connected())
        assert "make up no frame" in node.reasons("peer gone")
        assert node.net._standing.score(id_of(1), time.monotonic()) > 0
    assert code is None or "no frame" in reason


@as_nodes_run
async def test_nor_are_they_taken_before_the_hello() -> None:
    node = Node(0, members_of(0, 1), config=replace(FAST, hello_timeout=60.0))
    async with running(node), silent(node) as peer:
        pour(peer)
        await peer.reason()
        await until(lambda: node.net._standing.score(id_of(1), time.monotonic()) > 0)
        assert not node.ups


async def all_come(node: Node, count: int) -> None:
    await until(lambda: len(node.messages) == count, 30)


@as_nodes_run
async def test_whole_frames_do_not_count_however_many_there_are() -> None:
    async with pair() as (a, b):
        for one, other in ((a, b), (b, a)):
            for _ in range(60):
                assert one.net.send(other.id, NODE, bytes(100_000), 2)
            await all_come(other, 60)
        assert 2 * MAX_OPEN < 60 * 100_000
        assert a.connected() and b.connected() and len(a.ups) == len(b.ups) == 1
