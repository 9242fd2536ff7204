"""Members that misbehave on the wire: broken frames, silence, floods, no reading. Each costs only itself."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from chain.crypto import sha256
from chain.params import PROTOCOL_VERSION
from p2p.tls import issue_leaf, make_contexts
from p2p.wire import MAX_FRAME, NODE, Hello, Ping, peers_message
from tests.unit.p2p_kit import CA_, CHAIN, FAST, Node, id_of, key_of, members_of, pair, raw, running, until


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
    a = Node(0, members_of(0, 1), config=replace(FAST, hello_timeout=0.1))
    context = make_contexts(issue_leaf(key_of(1), id_of(1), CHAIN, CA_, time.time()), CA_).client
    async with running(a):
        reader, writer = await asyncio.open_connection("127.0.0.1", a.net.port(), ssl=context)
        async with asyncio.timeout(5):  # TLS done, nothing sent: not even a request
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize(
    "frame",
    [b"", b"\x03x", b"\xff", b"\xff\0\0\0\0", b"\xff\0\0\0\x09a", b"\xfe\x09\x00xx", b"\xfe\x02\x00tiny", b"\x01garbage" * 9_000],
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
    members = members_of(0, 1, 2)
    a = Node(0, members, config=replace(FAST, drain_timeout=0.3))
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
            info = {p.id: p for p in a.net.peers()}[deaf_id]
            assert info.queued_bytes <= 16_000_000 and info.dropped == refusals
            await until(lambda: len(b.messages) == 40)
            await until(lambda: a.connected() == {b.id})
            assert "reads nothing" in a.reasons("peer gone")


async def test_a_peer_above_its_rate_is_slowed_down_not_lost() -> None:
    config = replace(FAST, messages_per_s=2_000.0, burst_s=0.05)
    members = members_of(0, 1)
    a = Node(0, members, config=config)
    async with running(a):
        b = Node(1, members, seeds=[a.address])
        async with running(b):
            await until(lambda: a.connected() and b.connected())
            start = time.monotonic()
            for i in range(3_000):
                assert b.net.send(a.id, NODE, b"%d" % i, 0)
            await until(lambda: len(a.messages) == 3_000)
            assert [int(m[2]) for m in a.messages] == list(range(3_000))
            # Not a speed test: the limiter must have made it wait for about half a second after each batch.
            assert time.monotonic() - start > 0.5
