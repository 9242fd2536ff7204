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
from learningchain.client.sdk.types import RejectedError
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


async def entering(told: list[str] | None = None, *, within_s: float = 0) -> int:
    say = (told if told is not None else []).append
    return await enter(TOKEN, OWN.public, bytes(64), within_s=within_s, told=lambda: say("waits"), doubt=say)


@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda raw: repr(raw[:20]))
async def test_a_contact_that_answers_nonsense_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch, nonsense: bytes) -> None:
    asked = answering(monkeypatch, v1=nonsense, v2=Refused("no answer"), v3=FILE)
    assert await fetch_genesis(TOKEN) == (GENESIS, FILE)
    assert asked == ["v1", "v2", "v3"]
    answering(monkeypatch, v1=nonsense, v2=(502, nonsense), v3=IN)
    assert await entering() == 7


REFUSED = 409, msgspec.json.encode({"code": 221, "name": "INVITATION_USED", "message": "used already"})
AWAY = 503, b'{"code":null,"name":"SIGNER","message":"away"}'
WAIT = b'{"state":"waiting","height":6}'
NOBODY = Refused("no answer")


@pytest.mark.parametrize(
    ("answers", "came"),
    [
        ((IN, IN, IN), 7),
        ((IN, NOBODY, AWAY), 7),
        ((NOBODY, AWAY, IN), 7),
        ((REFUSED, REFUSED, REFUSED), 221),
        ((REFUSED, NOBODY, AWAY), 221),
        ((NOBODY, NOBODY, AWAY), Unanswered),
        ((WAIT, WAIT, WAIT), Unanswered),
        ((IN, WAIT, NOBODY), "doubt"),
        ((WAIT, IN, IN), Unanswered),
        ((REFUSED, IN, IN), 7),
        ((AWAY, REFUSED, IN), "doubt"),
    ],
)
async def test_no_contact_s_word_decides_alone(monkeypatch: pytest.MonkeyPatch, answers: tuple[Any, Any, Any], came: Any) -> None:
    """Within no time at all: who differs from the others, or is alone, is seen to the end."""
    answering(monkeypatch, **dict(zip(NAMES, answers, strict=True)))
    told: list[str] = []
    if came in (7, "doubt"):
        assert await entering(told) == 7
        assert any("The chain will show" in one for one in told) == (came == "doubt")
        return
    with pytest.raises(came if came is Unanswered else RejectedError) as raised:
        await entering(told)
    assert came is Unanswered or raised.value.code == came


async def test_a_lie_of_the_first_contact_is_outlived(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that the newcomer is in, or refuses: the second one brings the Join in, and in the end all say so."""
    for lie in (IN, REFUSED):
        honest = iter([WAIT, WAIT, IN, IN, IN, IN])
        monkeypatch.setattr(joining, "POLL_S", 0.0)
        answers: dict[str, Any] = {"v1": lie, "v3": NOBODY}

        async def ask(where: str, peer: bytes, question: bytes, **_: Any) -> tuple[int, bytes]:
            name = next(one for one in NAMES if id_of(one) == peer)
            answer = next(honest, IN) if name == "v2" else answers[name]  # noqa: B023
            if isinstance(answer, Exception):
                raise answer
            return answer if isinstance(answer, tuple) else (200, answer)

        monkeypatch.setattr(joining, "ask", ask)
        monkeypatch.setattr(joining, "ca_of", lambda secret: secret)
        told: list[str] = []
        assert await entering(told, within_s=60 if lie is IN else 0.2) == 7
        assert told[0] == "waits"


async def test_who_waits_for_too_long_is_told_to_go_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, v1=WAIT, v2=IN, v3=IN)
    told: list[str] = []
    with pytest.raises(Unanswered, match="Run the same command again"):
        await entering(told)
    assert (told, asked) == (["waits"], ["v1"]), "the others are asked when the first one takes long"


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
