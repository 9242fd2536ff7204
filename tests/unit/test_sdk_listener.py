"""Before a token goes to a port of this machine: who listens there, and what others have to show."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from aiohttp import web

from learningchain.client.keys.tokens import Tokens, TokenScope, now_ms
from learningchain.client.sdk import listener as sdk_listener
from learningchain.client.sdk.client import Client
from learningchain.client.sdk.listener import PortHolder, Stranger, listening_users, proof_of, token_key
from learningchain.client.sdk.types import UnreachableError
from tests.unit.api_kit import TOKEN, serving

THEIRS = 12_345
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LOOPBACK6 = "00000000000000000000000001000000"
ANY6 = "0" * 32


def line(address: str, port: int, uid: int, state: str = "0A") -> str:
    here, there = f"{address}:{port:04X}", "00000000:0000"
    return f"   0: {here} {there} {state} 00000000:00000000 00:00000000 00000000  {uid}        0 1 1 0 100 0 0 10 0\n"


def proc(folder: Path, tcp: Iterable[str] = (), tcp6: Iterable[str] = ()) -> Path:
    (folder / "tcp").write_text(HEAD + "".join(tcp))
    (folder / "tcp6").write_text(HEAD + "".join(tcp6))
    return folder


@pytest.mark.skipif(sys.byteorder != "little", reason="the lines are those of a little-endian machine")
@pytest.mark.parametrize(
    ("tcp", "tcp6", "host", "users"),
    [
        ([line("0100007F", 7401, 7)], [], "127.0.0.1", {7}),
        ([line("0100007F", 7402, 7)], [], "127.0.0.1", set()),
        ([line("0100007F", 7401, 7, "01")], [], "127.0.0.1", set()),
        ([line("00000000", 7401, 7)], [], "127.0.0.1", {7}),
        ([line("00000000", 7401, 8), line("0100007F", 7401, 7)], [], "127.0.0.1", {7}),
        ([line("0100007F", 7401, 7)], [line(ANY6, 7401, 8)], "127.0.0.1", {7}),
        ([], [line(ANY6, 7401, 8)], "127.0.0.1", {8}),
        ([line("0100007F", 7401, 7)], [line(LOOPBACK6, 7401, 8)], "::1", {8}),
        (["nonsense\n"], [], "127.0.0.1", set()),
    ],
)
def test_who_listens_is_read_by_the_most_exact_address(
    tmp_path: Path, tcp: list[str], tcp6: list[str], host: str, users: set[int]
) -> None:
    assert listening_users([host], 7401, proc(tmp_path, tcp, tcp6)) == users


async def test_the_owner_s_and_root_s_listeners_are_asked_nothing_and_others_once() -> None:
    asked: list[str] = []
    users = {os.getuid()}

    async def ask(name: str, nonce: str) -> str:
        asked.append(nonce)
        return proof_of(token_key(b"t" * 20), "127.0.0.1", 7401, bytes.fromhex(nonce))

    listener = PortHolder("127.0.0.1", 7401, "t" * 20, ask, owners=lambda *_: users)
    await listener.check()
    users = {0}
    await listener.check()
    assert not asked
    users = {THEIRS}
    await listener.check()
    await listener.check()
    assert len(asked) == 1, "who proved it is known"
    users = {THEIRS + 1}
    await listener.check()
    users = set()
    await listener.check()
    await listener.check()
    assert len(set(asked)) == len(asked) == 4, "with a new nonce each time"


@pytest.mark.parametrize(
    ("host", "port", "key", "said"),
    [
        ("::1", 7402, b"t" * 20, None),
        ("::1", 7401, b"u" * 20, None),
        ("127.0.0.1", 7401, b"t" * 20, None),  # what the other loopback passes on
        ("::1", 7401, b"", ""),
        ("::1", 7401, b"", "ü"),
    ],
)
async def test_what_another_address_port_or_token_says_proves_nothing(host: str, port: int, key: bytes, said: str | None) -> None:
    async def ask(name: str, nonce: str) -> str:
        return proof_of(token_key(key), host, port, bytes.fromhex(nonce)) if said is None else said

    with pytest.raises(Stranger, match="12345"):
        await PortHolder("::1", 7401, "t" * 20, ask, owners=lambda *_: {THEIRS}).check()


async def test_whoever_took_the_port_is_sent_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.path, str(request.headers)))
        return web.json_response({"proof": "00" * 32, "height": 1})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setattr(sdk_listener.PortHolder, "check", _as_a_stranger(sdk_listener.PortHolder.check))
    try:
        async with Client(f"http://127.0.0.1:{runner.addresses[0][1]}", TOKEN, timeout_s=10) as client:
            with pytest.raises(UnreachableError, match="Nothing was sent"):
                await client.status()
    finally:
        await runner.cleanup()
    assert [path for path, _ in seen] == ["/v1/proof"] and TOKEN not in str(seen)


def _as_a_stranger(check):  # type: ignore[no-untyped-def]
    async def of(self: PortHolder) -> None:
        self._owners = lambda *_: {THEIRS + 1}
        await check(self)

    return of


async def test_a_node_of_another_user_proves_that_it_knows_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a service of its own user, asked by a program with a token of its own."""
    store = Tokens(tmp_path / "tokens.db")
    token, text = store.new(TokenScope.READ, most=None, days=None, label="", now=now_ms())
    monkeypatch.setattr(sdk_listener.PortHolder, "check", _as_a_stranger(sdk_listener.PortHolder.check))
    async with serving(tmp_path) as api:
        for good in (TOKEN, text):
            async with Client(api.url, good) as client:
                assert (await client.status())["height"] == 0
        for bad in ("x" * 43, "lct_00000000_" + "A" * 43):
            async with Client(api.url, bad) as client:
                with pytest.raises(UnreachableError, match="Nothing was sent"):
                    await client.status()
        store.revoke(token.id, now_ms())
        await api.refused("GET", f"/v1/proof?token={token.id}&nonce={'00' * 32}", 404, token=None)
    store.close()


# --- the other loopback --------------------------------------------------------------------------------------------------------


async def at_the_other_loopback(port: int, seen: list[str]) -> web.AppRunner:
    """Another user's listener at [::1], which would pass on what the node at 127.0.0.1 says."""

    async def answer(request: web.Request) -> web.Response:
        seen.append(str(request.headers))
        return web.json_response({"height": 1})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "::1", port).start()
    return runner


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no [::1], so nobody can listen there")
async def test_the_name_of_this_machine_leads_to_the_node_and_nobody_else_can_take_the_other_loopback(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        port = int(api.url.rpartition(":")[2])
        with pytest.raises(OSError):
            await at_the_other_loopback(port, [])
        for name in ("localhost", "lc-ab.localhost"):
            async with Client(f"http://{name}:{port}", TOKEN) as client:
                assert client.api.url == f"http://127.0.0.1:{port}" and (await client.status())["height"] >= 0
        link = await api.post("/v1/dashboard/links", {})
        assert link["host"].endswith(".localhost"), "both loopbacks are the node's"


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no [::1], so nobody can listen there")
async def test_where_another_program_has_the_other_loopback_links_name_the_address(tmp_path: Path) -> None:
    seen: list[str] = []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    thief = await at_the_other_loopback(port, seen)
    try:
        async with serving(tmp_path, port=port) as api:
            assert (await api.post("/v1/dashboard/links", {}))["host"] == ""
            async with Client(f"http://localhost:{port}", TOKEN) as client:
                await client.status()
    finally:
        await thief.cleanup()
    assert not seen
