"""The door of the HTTP API: whoever writes half requests, drips, or does not read loses its place; the owner is answered."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from learningchain.client.api import http_listener, route
from learningchain.client.api.http_listener import MAX_FIELD, MAX_HEADERS
from learningchain.client.api.route import ServerLimits
from learningchain.client.api.server import ApiServer
from tests.slow import SLOW
from tests.unit.api_kit import TOKEN, Api, FakeNode
from tests.unit.loops import as_nodes_run

HALF = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Half: "
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LONG = 3_600.0


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_listener, "SWEEP_S", 0.01)
    monkeypatch.setattr(http_listener, "LINGER_S", 0.1)


class House:
    """A server, its door, and clients that only the kernel knows."""

    def __init__(self, api: Api, server: ApiServer) -> None:
        assert server._door is not None
        self.api, self.server, self.door = api, server, server._door
        self.open: list[socket.socket] = []

    async def knock(self, sent: bytes = b"", source: str = "127.0.0.1", room: int | None = None) -> socket.socket:
        """A connection that is accepted, with `sent` on its way."""
        seen = self.door.seen
        sock = socket.socket()
        if room is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        sock.setblocking(False)
        sock.bind((source, 0))
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", self.api.port))
        self.open.append(sock)
        if sent:
            await loop.sock_sendall(sock, sent)
        await until(lambda: self.door.seen > seen)
        return sock

    def hosts(self) -> list[str]:
        return sorted(c.host for c in self.door.connections)


async def until(condition: Any) -> None:
    async with asyncio.timeout(20 * SLOW):
        while not condition():
            await asyncio.sleep(0.002)


async def ended(sock: socket.socket) -> bytes:
    """What the other side sent before it ended the connection."""
    loop, got = asyncio.get_running_loop(), b""
    async with asyncio.timeout(20 * SLOW):
        with contextlib.suppress(ConnectionError):
            while piece := await loop.sock_recv(sock, 65_536):
                got += piece
    return got


@asynccontextmanager
async def house(folder: Path, **limits: Any) -> AsyncIterator[House]:
    (folder / "files").mkdir()
    node = FakeNode(folder / "files")
    patient: dict[str, Any] = {"header_s": LONG, "idle_s": LONG, "stall_s": LONG}
    server = ApiServer(
        node, listen=("127.0.0.1", 0), token=TOKEN, version="9.9", spool=folder / "spool", limits=ServerLimits(**(patient | limits))
    )
    port = await server.start()
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            made = House(Api(node, port, session), server)
            yield made
    finally:
        for sock in made.open:  # first: a server that stops has patience with whoever it is answering
            sock.close()
        await server.stop()


# --- times --------------------------------------------------------------------------------------------------------------------


@as_nodes_run
async def test_a_header_that_drips_is_cut_off_although_it_never_stands_still(tmp_path: Path) -> None:
    async with house(tmp_path, header_s=0.2 * SLOW) as at:
        sock, sent = await at.knock(HALF), 0
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(20 * SLOW):
                while True:
                    await asyncio.get_running_loop().sock_sendall(sock, b"x")
                    sent += 1
                    await asyncio.sleep(0.01)
        assert sent > 1
        assert not at.door.connections


@pytest.mark.parametrize("path", ["/v1/files", "/v1/jobs"])
@as_nodes_run
async def test_a_body_that_drips_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """One byte at a time is never idle, and would hold one of four uploads for as long as somebody likes."""
    monkeypatch.setattr(route, "BODY_TIMEOUT_S", 0.2 * SLOW)
    async with house(tmp_path, read_idle_s=0.2 * SLOW) as at:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100000\r\n\r\n"
        sock = await at.knock(head.encode())
        answer = asyncio.create_task(ended(sock))
        with contextlib.suppress(ConnectionError):
            while not answer.done():
                await asyncio.get_running_loop().sock_sendall(sock, b"x")
                await asyncio.sleep(0.01)
        assert b"HTTP/1.1 408" in await answer
        assert not at.door.connections


@as_nodes_run
async def test_nor_may_an_upload_drip_after_a_fast_beginning(tmp_path: Path) -> None:
    async with house(tmp_path, read_idle_s=0.2, slowest_bytes=1_000) as at:
        head = f"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100000\r\n\r\n"
        sock = await at.knock(head.encode() + bytes(5_000))
        answer = asyncio.create_task(ended(sock))
        sent = 0
        with contextlib.suppress(ConnectionError):
            while not answer.done() and sent < 500:
                await asyncio.get_running_loop().sock_sendall(sock, b"x")
                await asyncio.sleep(0.01)
                sent += 1
        assert sent < 500, "less than the next thousand bytes, and many times `read_idle_s`"
        assert b"HTTP/1.1 408" in await answer


@pytest.mark.parametrize("public", [True, False])
@as_nodes_run
async def test_who_does_not_read_an_answer_is_cut_off_and_its_slot_comes_back(tmp_path: Path, public: bool) -> None:
    async with house(tmp_path, downloads=1) as at:
        cid = at.api.node.files.put(bytes(16_000_000))
        one = b"GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        asked = f"GET /v1/files/{cid} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        await at.knock(one * 100 if public else asked, room=4_096)
        await until(lambda: any(c._unsent for c in at.door.connections))
        patient, at.door.limits = at.door.limits, replace(at.door.limits, stall_s=0.3)
        await until(lambda: not at.door.connections)
        at.door.limits = patient
        status, got = await at.api.call("GET", f"/v1/files/{cid}")
        assert (status, len(got)) == (200, 16_000_000)


@as_nodes_run
async def test_a_download_that_nobody_reads_keeps_its_slot_until_its_last_byte(tmp_path: Path) -> None:
    """What is bounded is how many are under way, not how many are looked for."""
    async with house(tmp_path, downloads=1) as at:
        cid = at.api.node.files.put(bytes(16_000_000))
        asked = f"GET /v1/files/{cid} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        reader = await at.knock(asked, room=4_096)
        await until(lambda: any(c._unsent for c in at.door.connections))
        status, answer = await at.api.call("GET", f"/v1/files/{cid}")
        assert status == 503
        assert answer["error"]["name"] == "TOO_MANY"
        reader.close()
        await until(lambda: not any(c._unsent for c in at.door.connections))
        status, got = await at.api.call("GET", f"/v1/files/{cid}")
        assert (status, len(got)) == (200, 16_000_000)


# --- places -------------------------------------------------------------------------------------------------------------------


@as_nodes_run
async def test_1500_half_requests_of_one_address_do_not_keep_the_owner_out(tmp_path: Path) -> None:
    """The same address as the attacker's: on loopback everybody has that one."""
    async with house(tmp_path) as at:
        bound = at.server._limits.connections_per_address
        kept = aiohttp.TCPConnector(keepalive_timeout=3_600)  # by itself it would give up a connection unused for 15 s
        async with aiohttp.ClientSession(connector=kept, headers={"Authorization": f"Bearer {TOKEN}"}) as owner:
            await (await owner.get(at.api.url + "/v1/status")).read()  # a connection that is kept alive, the oldest of all
            for number in range(1_500):
                await at.knock(HALF)
                assert len(at.door.connections) <= bound
                if number % 300 == 299:
                    async with aiohttp.ClientSession() as newcomer, newcomer.get(at.api.url + "/healthz") as answer:
                        assert answer.status == 200
            async with owner.get(at.api.url + "/v1/status") as answer:
                assert answer.status == 200
            # None of the owner's connections was cut off: 1 kept alive, 5 newcomers, no second attempt.
            assert at.door.seen == 1 + 1_500 + 5
            assert len(at.door.connections) >= bound - 1
            assert sum(c.known for c in at.door.connections) == 1


@pytest.mark.parametrize("token", [b"", b"Authorization: Bearer " + b"x" * len(TOKEN) + b"\r\n"], ids=["none", "a wrong one"])
@as_nodes_run
async def test_only_the_right_token_makes_a_connection_known(tmp_path: Path, token: bytes) -> None:
    """Whoever asks without it makes room before the owner does, however long the owner's connection has waited."""
    ask = b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n"
    async with house(tmp_path, connections_per_address=2) as at:
        for sent, status in ((b"Authorization: Bearer " + TOKEN.encode() + b"\r\n", b"200"), (token, b"401")):
            sock = await at.knock(ask + sent + b"\r\n")
            assert (await asyncio.get_running_loop().sock_recv(sock, 65_536)).startswith(b"HTTP/1.1 " + status)
            await until(lambda: not any(c.busy for c in at.door.connections))
            if status == b"200":
                (owner,) = at.door.connections
        assert [c for c in at.door.connections if c.known] == [owner]
        await at.knock()
        assert at.door.refused == 1 and owner in at.door.connections


@as_nodes_run
async def test_a_storm_from_many_loopback_addresses_does_not_push_the_owner_s_new_connection_out(tmp_path: Path) -> None:
    """The owner has other connections from 127.0.0.1, each of the strangers one of its own: the oldest of all goes first."""
    async with house(tmp_path, connections_per_address=20) as at:
        await at.api.get("/v1/status")
        for number in range(1, 40):
            await at.knock(source=f"127.0.{number}.1")
        owner = await at.knock()
        for number in range(40, 55):
            await at.knock(source=f"127.0.{number}.1")
        await asyncio.get_running_loop().sock_sendall(owner, WHOLE)
        async with asyncio.timeout(20 * SLOW):
            assert b"HTTP/1.1 200" in await asyncio.get_running_loop().sock_recv(owner, 65_536)
        assert len(at.door.connections) == 20


@as_nodes_run
async def test_event_streams_count_and_are_not_pushed_out(tmp_path: Path) -> None:
    """Where all places are busy the newcomer goes, not somebody who is being answered."""
    async with house(tmp_path, connections=3, connections_per_address=3) as at:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with contextlib.AsyncExitStack() as stack:
            streams = [
                await stack.enter_async_context(at.api.session.get(at.api.url + "/v1/events", headers=headers)) for _ in range(3)
            ]
            for _ in range(5):
                assert await ended(await at.knock(WHOLE)) == b""
            at.api.node.ledger.mine()
            for stream in streams:
                while not (await asyncio.wait_for(stream.content.readline(), 10 * SLOW)).startswith(b"event: block"):
                    pass
        await until(lambda: len(at.door.connections) < 3)
        await at.api.get("/v1/status")


@as_nodes_run
async def test_a_server_that_stops_leaves_no_connection(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        socks = [await at.knock(HALF) for _ in range(5)]
        await at.server.stop()
        for sock in socks:
            assert await ended(sock) == b""
        gc.collect()
        assert not at.door.connections


FIELDS = "".join(f"x-{number}: {number}\r\n" for number in range(MAX_HEADERS - 1))


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (FIELDS, 200),
        (FIELDS + "one: more\r\n", 431),
        (f"x: {'v' * (MAX_FIELD - 10)}\r\n", 200),
        (f"x: {'v' * (MAX_FIELD + 10)}\r\n", 431),
        (f"{'n' * (MAX_FIELD + 10)}: v\r\n", 431),
    ],
    ids=["as many fields as may be", "one more", "a long value", "too long a value", "too long a name"],
)
@as_nodes_run
async def test_what_a_header_may_hold_in_memory_is_bounded(tmp_path: Path, fields: str, status: int) -> None:
    async with house(tmp_path) as at:
        sock = await at.knock(f"GET /healthz HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())
        async with asyncio.timeout(10 * SLOW):
            assert (await asyncio.get_running_loop().sock_recv(sock, 65_536)).split()[1] == str(status).encode()


# --- what is no request -------------------------------------------------------------------------------------------------------

NONSENSE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: secretbytes\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nsecret\x1b[31mbytes: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"secretbytes" * 10_000 + b"\r\n\r\n",
    b"secretbytes\r\n\r\n",
    b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nsecretbytes\r\n",
    f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    + b"secretbytes\r\n",
]


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    with structlog.testing.capture_logs() as captured:
        yield captured  # type: ignore[misc]


@pytest.mark.parametrize("sent", NONSENSE)
@as_nodes_run
async def test_what_is_no_request_is_refused_in_the_one_shape_and_costs_a_line(
    tmp_path: Path, sent: bytes, lines: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    async with house(tmp_path) as at:
        got = await ended(await at.knock(sent))
        head, _, body = got.partition(b"\r\n\r\n")
        assert b"secretbytes" not in got
        if head:
            assert head.split()[1] in (b"400", b"401", b"431")
            assert b"application/json" in head
            assert set(json.loads(body)) == {"error"}
    assert not caplog.records, "nothing of the library's own"
    for line in lines:
        assert "exc_info" not in line and "exception" not in line
        assert str(line).isprintable() and len(str(line)) < 600
    assert len(lines) <= 2


# --- requests without the token --------------------------------------------------------------------------------------------------


@as_nodes_run
async def test_requests_without_the_token_take_turns_and_hold_the_owner_up_never(tmp_path: Path) -> None:
    async with house(tmp_path, strangers_per_s=1 / LONG, strangers_at_once=3.0) as at:
        sock = await at.knock(3 * WHOLE)
        loop, got = asyncio.get_running_loop(), b""
        async with asyncio.timeout(20 * SLOW):
            while got.count(b"HTTP/1.1 200") < 3:
                got += await loop.sock_recv(sock, 65_536)
        wants_more = [await at.knock(10 * WHOLE, f"127.0.1.{n}") for n in range(1, 9)]
        for _ in range(20):
            await at.api.get("/v1/status")
        for waits in wants_more:
            with pytest.raises(BlockingIOError):
                waits.recv(1)
        strangers = [c for c in at.door.connections if not c.known]
        assert len(strangers) == 9 and not any(c.busy for c in strangers), "they still make room for others"


def a_login(at: House) -> bytes:
    """Its header, and the begin of a body that never ends."""
    head = f"POST /dashboard/login HTTP/1.1\r\nHost: 127.0.0.1:{at.api.port}\r\nOrigin: {at.api.url}\r\nContent-Length: 900"
    return f"{head}\r\n\r\ncode=".encode()


@as_nodes_run
async def test_logins_that_never_end_leave_the_owner_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, known = [], ApiServer._is_login
    monkeypatch.setattr(ApiServer, "_is_login", lambda self, request: seen.append(1) or known(self, request))
    async with house(tmp_path, connections_per_address=4, requests=4) as at:
        for _ in range(4):
            await at.knock(a_login(at))
        await until(lambda: len(seen) == 4)
        assert not any(c.busy for c in at.door.connections), "they still make room for others"
        await at.api.get("/v1/status")


@as_nodes_run
async def test_of_a_stranger_s_body_little_is_read(tmp_path: Path) -> None:
    """Pieces of one byte, without end: the refusal comes, and what the node read is what came with the header."""
    async with house(tmp_path) as at:
        head = b"POST /v1/txs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        sock, loop = await at.knock(head + b"1\r\nx\r\n"), asyncio.get_running_loop()
        async with asyncio.timeout(20 * SLOW):
            assert (await loop.sock_recv(sock, 65_536)).startswith(b"HTTP/1.1 401")
            poured = 0
            with contextlib.suppress(ConnectionError):
                while poured < 50_000_000:
                    await loop.sock_sendall(sock, b"1\r\nx\r\n" * 10_000)
                    poured += 60_000
        assert poured < 50_000_000
        await until(lambda: not at.door.connections)
        await at.api.get("/v1/status")


@as_nodes_run
async def test_a_login_with_its_code_waits_behind_no_stranger_and_makes_room_for_none(tmp_path: Path) -> None:
    """Strangers of this machine hold all places and all turns, and knock again and again."""
    async with house(tmp_path, strangers_per_s=1 / LONG, strangers_at_once=1.0, connections_per_address=6) as at:
        waits = [await at.knock(2 * WHOLE) for _ in range(6)]
        code = at.server._sessions.new_link(time.monotonic(), plain=True)
        head = f"Host: 127.0.0.1:{at.api.port}\r\nOrigin: {at.api.url}\r\n"
        body = f"code={code}"
        for request in (
            f"GET /dashboard/login?code={code} HTTP/1.1\r\n{head}\r\n",
            f"POST /dashboard/login HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}",
        ):
            owner = await at.knock(request.encode())
            waits += [await at.knock(WHOLE) for _ in range(6)]
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(20 * SLOW):
                answer = await loop.sock_recv(owner, 65_536)
            assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 303")), answer[:200]
        guessed = await at.knock(f"GET /dashboard/login?code=guessed HTTP/1.1\r\n{head}\r\n".encode())
        with pytest.raises(BlockingIOError):
            guessed.recv(1)
