"""Who is no member may ask to join, and nothing else: on real sockets, with real certificates. LC-P2P-36 to LC-P2P-38."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from learningchain.chain.crypto import SigningKey, account_id
from learningchain.p2p import outsiders
from learningchain.p2p.address_book import AddressBook
from learningchain.p2p.connection import Refused
from learningchain.p2p.outsiders import JOIN_PATH, MAX_ASK, SMALL, Answer, Door, Outsiders, ask
from learningchain.p2p.tls import CA, ca_of, ca_secret, issue_leaf, make_ca, make_contexts
from learningchain.p2p.transport import Network

CHAIN = b"\x21" * 32
MEMBER, STRANGER = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)
OWN = account_id(MEMBER.public)


@asynccontextmanager
async def listening(door: Door | None, ca: CA) -> AsyncIterator[Network]:
    network = Network(
        key=MEMBER,
        own_id=OWN,
        chain_id=CHAIN,
        ca=ca,
        membership=lambda identity: MEMBER.public if identity == OWN else None,
        on_message=lambda *_: None,
        on_peer=lambda *_: None,
        address_book=AddressBook(),
        listen=("127.0.0.1", 0),
        advertise=[],
        door=door,
    )
    await network.start()
    try:
        yield network
    finally:
        await network.stop()


def asking(
    network: Network,
    ca: CA,
    question: bytes = b"hello",
    *,
    peer: bytes = OWN,
    chain_id: bytes = CHAIN,
    key: SigningKey = STRANGER,
) -> Callable[[], object]:
    """A question of who has nothing but what a token carries."""
    return lambda: ask(
        f"127.0.0.1:{network.port()}",
        peer,
        question,
        key=key,
        chain_id=chain_id,
        ca=ca_of(ca_secret(ca)),
        now=time.time(),
        timeout_s=10.0,
    )


def nobody(key: bytes) -> bool:
    return False


@pytest.fixture
def ca() -> CA:
    return make_ca(time.time())


async def _ask(how: Callable[[], object]) -> Answer:
    return await how()  # type: ignore[misc, no-any-return]


async def test_the_door_hears_the_key_that_the_certificate_proves(ca: CA) -> None:
    heard: list[tuple[bytes, bytes]] = []

    async def door(key: bytes, asked: bytes) -> Answer:
        heard.append((key, asked))
        return 409, b"no"

    async with listening(Door(door, nobody), ca) as network:
        assert await _ask(asking(network, ca)) == (409, b"no")
        assert heard == [(STRANGER.public, b"hello")] and network.peers() == []


async def test_who_asks_to_join_has_the_name_of_its_own_key(ca: CA) -> None:
    """LC-P2P-36: a key that speaks for another identity was put there by a rotation; nobody joins with it."""

    async def door(key: bytes, asked: bytes) -> Answer:
        raise AssertionError("it never comes here")

    async with listening(Door(door, nobody), ca) as network:
        leaf = issue_leaf(STRANGER, b"o" * 20, CHAIN, ca, time.time())
        url = f"https://127.0.0.1:{network.port()}{JOIN_PATH}"
        client = make_contexts(leaf, ca).client
        async with aiohttp.ClientSession() as session, session.post(url, data=b"hello", ssl=client) as answer:
            assert answer.status == 403 and "names the id of its own key" in await answer.text()


async def test_what_is_asked_is_bounded(ca: CA) -> None:
    async def door(key: bytes, asked: bytes) -> Answer:
        raise AssertionError("it never comes here")

    async with listening(Door(door, nobody), ca) as network:
        status, text = await _ask(asking(network, ca, b"x" * (MAX_ASK + 1)))
        assert status == 403 and str(MAX_ASK) in text.decode()


async def test_a_large_answer_comes_whole_and_few_are_sent_at_once(ca: CA, monkeypatch: pytest.MonkeyPatch) -> None:
    async def door(key: bytes, asked: bytes) -> Answer:
        return 200, bytes(5 * SMALL + 1)

    async with listening(Door(door, nobody), ca) as network:
        assert await _ask(asking(network, ca)) == (200, bytes(5 * SMALL + 1))
        monkeypatch.setattr(outsiders, "MAX_LARGE", 0)
        assert (await _ask(asking(network, ca)))[0] == 429


async def test_who_asks_too_often_is_told_so(ca: CA, monkeypatch: pytest.MonkeyPatch) -> None:
    async def door(key: bytes, asked: bytes) -> Answer:
        return 200, b""

    monkeypatch.setattr(outsiders, "BURST", 2.0)
    monkeypatch.setattr(outsiders, "RATE", 1e-6)
    async with listening(Door(door, nobody), ca) as network:
        assert [(await _ask(asking(network, ca)))[0] for _ in range(3)] == [200, 200, 429]


async def test_many_keys_together_ask_no_more_than_all_may(ca: CA, monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-P2P-37: another key costs nothing, so there is a bound over all of them, and on what is remembered of them."""

    async def door(key: bytes, asked: bytes) -> Answer:
        return 200, b""

    monkeypatch.setattr(outsiders, "ALL_BURST", 3.0)
    monkeypatch.setattr(outsiders, "ALL_RATE", 1e-6)
    monkeypatch.setattr(outsiders, "MAX_KEYS", 2)
    keys = [SigningKey(bytes([n]) * 32) for n in range(3, 7)]
    async with listening(Door(door, lambda _: False), ca) as network:
        assert [(await _ask(asking(network, ca, key=key)))[0] for key in keys] == [200, 200, 200, 429]
    made = outsiders.Outsiders(Door(door, lambda key: key in invited), lambda: 0.0, 1.0)
    invited = {key.public for key in keys[:1]}
    for key in keys:
        made._has_turn(key.public, 0.0)
    assert list(made._strangers) == [key.public for key in keys[-2:]] and list(made._guests) == [keys[0].public]


async def test_what_one_key_asks_too_often_is_taken_from_nobody_else(ca: CA, monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-P2P-37: questions that are refused for their own key's bound do not count for the bound over all."""

    async def door(key: bytes, asked: bytes) -> Answer:
        return 200, b""

    monkeypatch.setattr(outsiders, "BURST", 1.0)
    monkeypatch.setattr(outsiders, "RATE", 1e-6)
    monkeypatch.setattr(outsiders, "ALL_BURST", 3.0)
    monkeypatch.setattr(outsiders, "ALL_RATE", 1e-6)
    async with listening(Door(door, nobody), ca) as network:
        assert [(await _ask(asking(network, ca)))[0] for _ in range(5)] == [200] + [429] * 4
        others = [SigningKey(bytes([n]) * 32) for n in range(3, 6)]
        assert [(await _ask(asking(network, ca, key=key)))[0] for key in others] == [200, 200, 429]


async def test_the_place_of_a_large_answer_is_free_once_it_was_sent(ca: CA, monkeypatch: pytest.MonkeyPatch) -> None:
    async def door(key: bytes, asked: bytes) -> Answer:
        return 200, bytes(SMALL + 1)

    monkeypatch.setattr(outsiders, "MAX_LARGE", 1)
    async with listening(Door(door, lambda _: False), ca) as network:
        assert [(await _ask(asking(network, ca)))[0] for _ in range(3)] == [200] * 3


async def test_a_newcomer_asks_only_whom_the_token_names(ca: CA) -> None:
    """Nothing is sent before; nor to another network, nor where nobody has a door."""

    async def door(key: bytes, asked: bytes) -> Answer:
        raise AssertionError("nothing was to be sent")

    async with listening(Door(door, nobody), ca) as network:
        with pytest.raises(Refused, match="answered, not"):
            await _ask(asking(network, ca, peer=b"\x09" * 20))
        with pytest.raises(Refused):
            await _ask(asking(network, ca, chain_id=bytes(32)))
    async with listening(None, ca) as network:
        status, text = await _ask(asking(network, ca))
        assert status == 403 and b"not an active member" in text


async def test_made_up_keys_hold_up_nobody_that_is_invited(ca: CA, monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-P2P-37: whoever has an old token has the authority's key, and makes up a key for each question: they took all turns."""

    async def door(key: bytes, asked: bytes) -> Answer:
        return (200, b"") if key == STRANGER.public else (409, b"")

    monkeypatch.setattr(outsiders, "ALL_BURST", 4.0)
    monkeypatch.setattr(outsiders, "ALL_RATE", 1e-6)
    monkeypatch.setattr(outsiders, "MAX_KEYS", 2)
    open_ones = {STRANGER.public}
    async with listening(Door(door, open_ones.__contains__), ca) as network:
        made_up = [SigningKey(bytes([i]) * 32) for i in range(10, 16)]
        assert [(await _ask(asking(network, ca, key=key)))[0] for key in made_up] == [409] * 4 + [429] * 2
        assert (await _ask(asking(network, ca)))[0] == 200
        open_ones.clear()  # it was used: the newcomer asks whether it is in
        assert (await _ask(asking(network, ca, key=made_up[0])))[0] == 429
        assert (await _ask(asking(network, ca)))[0] == 200


async def test_one_token_takes_one_of_the_places_for_large_answers(ca: CA) -> None:
    """LC-P2P-37: four slow readers of one token kept every newcomer from the genesis."""
    began, go_on = asyncio.Event(), asyncio.Event()
    network_door = Outsiders(Door(_large, nobody), time.monotonic, 10.0)

    class Slow(web.StreamResponse):
        async def prepare(self, request: web.BaseRequest) -> None:  # type: ignore[override]
            began.set()
            await go_on.wait()
            raise ConnectionError

    def sending(key: bytes) -> asyncio.Task[web.StreamResponse]:
        request = make_mocked_request("POST", "/", transport=Mock())
        return asyncio.create_task(network_door._send_large(request, key, (200, bytes(SMALL + 1)), lambda: None))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web, "StreamResponse", Slow)
        first = sending(b"one")
        await began.wait()
        assert (await sending(b"one")).status == 429
        other = sending(b"two")
        go_on.set()
        assert {(await first).status, (await other).status} == {200}


async def _large(key: bytes, asked: bytes) -> Answer:
    return 200, bytes(SMALL + 1)
