"""A newcomer and what answers it: one that talks nonsense keeps nobody out while another one answers well. LC-P2P-36, 38."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from learningchain.chain.contracts.membership import Invitation, Slot, SlotState, invitation_key
from learningchain.chain.crypto import SigningKey
from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.genesis import to_json
from learningchain.client.contracts.membership.http import joining
from learningchain.client.contracts.membership.http.joining import Unanswered, admitted_in, enter, fetch_genesis
from learningchain.client.contracts.membership.http.token import Contact, JoinToken
from learningchain.client.sdk.types import Rejected
from learningchain.p2p.connection import Refused
from tests.unit.ledger_kit import genesis_of, id_of, key_of

GENESIS = genesis_of("alice")
FILE = to_json(GENESIS)
OTHER = to_json(genesis_of("bob"))
OWN = SigningKey(b"\x09" * 32)
NAMES = ("v1", "v2", "v3")
TOKEN = JoinToken(
    1,
    "test",
    GENESIS.chain_id,
    [Contact(id_of(name), f"127.0.0.1:740{n}") for n, name in enumerate(NAMES)],
    key_of("token").secret,
    b"c" * 32,
    10**13,
    5,
    b"b" * 32,
    id_of("v1"),
    key_of("v1").public,
    bytes(64),
)
NONSENSE = [
    b"",
    b"{}",
    b"[]",
    b"7",
    b"\xff\xfe",
    b'"admitted"',
    b'{"state":"admitted"}',
    b'{"state":"admitted","height":"7"}',
    b'{"state":"admitted","height":-1}',
    b'{"state":"no word of it","height":7}',
    b"[" * 100_000,
    OTHER,
]
IN = b'{"state":"admitted","height":7}'


def answering(monkeypatch: pytest.MonkeyPatch, **answers: Any) -> list[str]:
    """By the contacts' names; an exception is raised. Who was asked, in turn."""
    asked: list[str] = []
    names = {id_of(name): name for name in NAMES}

    async def ask(where: str, peer: bytes, question: bytes, **_: Any) -> tuple[int, bytes]:
        asked.append(names[peer])
        answer = answers[names[peer]]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, tuple) else (200, answer)

    monkeypatch.setattr(joining, "ask", ask)
    monkeypatch.setattr(joining, "ca_of", lambda secret: secret)
    return asked


async def entering(told: list[str] | None = None, *, within_s: float = 1) -> int:
    waits = (told if told is not None else []).append
    return await enter(TOKEN, OWN.public, bytes(64), within_s=within_s, told=lambda: waits("waits"))


@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda raw: repr(raw[:20]))
async def test_a_contact_that_answers_nonsense_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch, nonsense: bytes) -> None:
    asked = answering(monkeypatch, v1=nonsense, v2=Refused("no answer"), v3=FILE)
    assert await fetch_genesis(TOKEN) == (GENESIS, FILE)
    assert asked == ["v1", "v2", "v3"]
    answering(monkeypatch, v1=nonsense, v2=(502, nonsense), v3=IN)
    assert await entering() == 7


async def test_a_refusal_of_the_ledger_is_every_member_s(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = msgspec.json.encode({"code": 221, "name": "INVITATION_USED", "message": "used already"})
    asked = answering(monkeypatch, v1=(503, b'{"code":null,"name":"SIGNER","message":"away"}'), v2=(409, refusal), v3=IN)
    with pytest.raises(Rejected) as raised:
        await entering()
    assert (raised.value.code, asked) == (221, ["v1", "v2"])


async def test_who_waits_for_too_long_is_told_to_go_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, v1=b'{"state":"waiting","height":6}', v2=IN, v3=IN)
    told: list[str] = []
    with pytest.raises(Unanswered, match="Run the same command again"):
        await entering(told, within_s=0)
    assert told == ["waits"]


def test_an_answer_says_in_or_wait_and_nothing_else() -> None:
    assert (admitted_in(IN), admitted_in(b'{"state":"waiting","height":7}')) == (7, None)
    for raw in NONSENSE:
        with pytest.raises(Malformed):
            admitted_in(raw)


def test_an_invitation_that_was_used_holds_no_credits_any_more() -> None:
    slot = Slot(b"i" * 32, int(SlotState.OPEN), 90_000)
    held = Invitation(key_of("token").public, id_of("v1"), 90_000, 2_500_000)
    state: Any = {invitation_key(slot.invitation): held}
    empty: Any = {}
    assert joining.shown(state, slot, 5) == {
        "invitation": (b"i" * 32).hex(),
        "state": "open",
        "until": 90_000,
        "credits": "2.5",
        "counts": True,
    }
    assert joining.shown(empty, slot, 5)["credits"] == "0"
