"""Invitations and leaving over HTTP, on a real ledger; what a member's node answers to one that asks to join."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts.membership import Join, MemberCode, join_digest
from learningchain.chain.crypto import SigningKey, address
from learningchain.chain.errors import Malformed
from learningchain.client.contracts.membership.http import joining
from learningchain.client.contracts.membership.http.token import JoinToken, parse_token, to_text
from learningchain.client.contracts.membership.outsiders import Ask, JoinDoor, Wish
from learningchain.client.contracts.membership.roles import box
from learningchain.client.keys.signing import SignerUnavailable
from learningchain.client.work.boxes import box_in
from learningchain.p2p.tls import CA, ca_secret
from tests.unit.api_kit import Api, serving
from tests.unit.ledger_kit import id_of

NEWCOMER = SigningKey(b"\x09" * 32)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        yield api


async def invited(api: Api, **how: Any) -> Any:
    return await api.post("/v1/invitations?wait=5", {"lasts_ms": 60_000, "credits": "2"} | how)


async def test_an_invitation_is_a_token_that_is_shown_once(api: Api) -> None:
    """LC-MEM-32"""
    done = await invited(api)
    token = parse_token(done["token"])
    assert (token.network, token.inviter) == ("test", api.node.ledger.own_id)
    assert [(one.id, one.address) for one in token.contacts] == [(api.node.ledger.own_id, "127.0.0.1:7400")]
    assert token.expires == done["expires"]
    listed = await api.get("/v1/invitations")
    assert [(one["invitation"], one["state"], one["credits"], one["counts"]) for one in listed] == [
        (done["invitation"], "open", "2", True)
    ]
    assert token.secret.hex() not in msgspec.json.encode(listed).decode()


async def test_a_token_says_which_network_from_which_block_and_four_places_at_most(api: Api) -> None:
    """LC-MEM-32: what a machine that knows nothing needs, so that nobody shows it another network."""
    places, ledger, genesis = [f"node{n}.example:7400" for n in range(4)], api.node.ledger, api.node.genesis()
    secrets = set()
    for _ in range(2):
        before = api.node.status()
        token = parse_token((await invited(api, addresses=places))["token"])
        assert [(one.id, one.address) for one in token.contacts] == [(ledger.own_id, place) for place in places]
        assert (token.height, token.block_id) == (before["height"], bytes.fromhex(before["block_id"]) or genesis.chain_id)
        assert (token.chain_id, token.authority) == (genesis.chain_id, ca_secret(CA(genesis.ca_cert, genesis.ca_key)))
        assert token.inviter_key == joining.own_key(ledger.state, ledger.own_id) != b""
        secrets.add(token.secret)
    assert len(secrets) == 2, "each has a key of its own"
    await api.refused("POST", "/v1/invitations", 400, json={"lasts_ms": 60_000, "addresses": [*places, "fifth.example:7400"]})
    api.node.reached = [(id_of(f"v{n}"), f"10.0.0.{n}:7400") for n in range(1, 7)]
    token = parse_token((await invited(api))["token"])
    assert [one.address for one in token.contacts] == [f"10.0.0.{n}:7400" for n in range(1, 5)]


async def test_an_invitation_is_taken_back_by_its_id(api: Api) -> None:
    done = await invited(api)
    assert (await api.post("/v1/revocations?wait=5", {"invitation": done["invitation"]}))["code"] == 0
    assert (await api.get("/v1/invitations"))[0]["state"] == "revoked"
    refusal = await api.refused("POST", "/v1/revocations", 409, json={"invitation": done["invitation"]})
    assert refusal["code"] == MemberCode.INVITATION_REVOKED
    await api.refused("POST", "/v1/revocations", 400, json={"invitation": "zz"})


async def test_a_box_key_is_renewed_and_its_private_half_never_shown(api: Api) -> None:
    """LC-MEM-29"""
    assert await api.get("/v1/box-key") == {"key": None, "since": 0, "here": False, "kept": []}
    first, second = [(await api.post("/v1/box-key?wait=5", {}))["key"] for _ in range(2)]
    shown = await api.get("/v1/box-key")
    assert (shown["key"], shown["here"], [one["key"] for one in shown["kept"]]) == (second, True, [first, second])
    own = await api.get(f"/v1/accounts/{address(api.node.ledger.own_id)}")
    assert own["box_key"] == second and shown["since"] > 0
    for secret in api.node.work.secrets.all:
        assert box_in(secret).private.hex() not in msgspec.json.encode(shown).decode()


async def test_a_box_key_whose_private_half_is_elsewhere_is_told_as_that_and_what_is_here_oldest_first(api: Api) -> None:
    await api.post("/v1/box-key?wait=5", {})
    ledger = api.node.ledger
    public = ledger.keys[ledger.own].public
    made = [box.of_box(bytes([n]) * 32, public, at) for n, at in ((1, 30), (2, 10), (3, 20))]
    api.node.work.secrets.all = list(made)
    shown = await api.get("/v1/box-key")
    assert shown["here"] is False and shown["key"] not in [one["key"] for one in shown["kept"]]
    assert [(one["made"], one["key"]) for one in shown["kept"]] == [
        (10, made[1].key.hex()),
        (20, made[2].key.hex()),
        (30, made[0].key.hex()),
    ]
    newer = (await api.post("/v1/box-key?wait=5", {}))["key"]
    assert (await api.get("/v1/box-key"))["kept"][-1]["key"] == newer


# --- tokens -------------------------------------------------------------------------------------------------------------------


async def test_a_token_with_any_character_changed_is_refused(api: Api) -> None:
    """LC-MEM-32"""
    text = (await invited(api))["token"]
    for at in range(0, len(text), 7):
        with pytest.raises(Malformed):
            parse_token(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :])
    for bad in ("", "lcjoin1", text[:-1], text + "A", text + "=", "x" * 9_000):
        with pytest.raises(Malformed):
            parse_token(bad)
    token = parse_token(text)
    with pytest.raises(Malformed, match="altered"):
        parse_token(to_text(replace(token, network="another")))
    assert parse_token(f"  {text}\n") == token
    wrapped = "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76))
    assert parse_token(wrapped) == parse_token(text.replace("lcjoin1", "lcjoin1\N{NO-BREAK SPACE}")) == token, "as mail wraps it"


# --- the door -----------------------------------------------------------------------------------------------------------------


class Outside:
    """A newcomer with a token, in front of a node."""

    def __init__(self, api: Api, token: JoinToken) -> None:
        self.api, self.token, self.now = api, token, 0
        self.door = JoinDoor(api.node.ledger, lambda: b"the genesis", lambda: self.now)

    def join(self, who: SigningKey = NEWCOMER, **changed: Any) -> Join:
        token, chain_id = self.token, self.api.node.ledger.chain_id
        digest = join_digest(chain_id, token.key.public, who.public)
        return replace(Join(token.inviter, token.key.public, who.public, who.sign(digest), token.key.sign(digest)), **changed)

    async def asks(self, *join: Join, key: bytes | None = None, **changed: Any) -> tuple[int, Any]:
        asked = replace(
            Ask(self.api.node.ledger.chain_id, self.token.inviter, Wish.JOIN if join else Wish.GENESIS, list(join)), **changed
        )
        status, body = await self.door.answer(key or self.token.key.public, encode(asked))
        return status, body if body == b"the genesis" else msgspec.json.decode(body)


async def test_the_door_gives_the_genesis_and_brings_one_join(api: Api) -> None:
    """LC-P2P-36: who is in is told so, again and again; the token lets in nobody else."""
    outside = Outside(api, parse_token((await invited(api))["token"]))
    assert await outside.asks() == (200, b"the genesis")
    api.node.ledger.auto = False
    assert (await outside.asks(outside.join()))[1]["state"] == "waiting"
    api.node.ledger.mine()
    for _ in range(2):
        assert (await outside.asks(outside.join()))[1]["state"] == "admitted"
    status, refusal = await outside.asks(outside.join(SigningKey(b"\x0a" * 32)))
    assert (status, refusal["name"]) == (409, "INVITATION_USED")
    assert (await outside.asks())[1]["name"] == "INVITATION_USED"


async def test_the_door_refuses_everything_else(api: Api) -> None:
    """LC-P2P-36"""
    outside = Outside(api, parse_token((await invited(api))["token"]))
    height = api.node.ledger.height
    assert (await outside.asks(chain_id=bytes(32)))[1]["name"] == "FOREIGN_NETWORK"
    assert (await outside.asks(key=NEWCOMER.public))[1]["name"] == "NO_INVITATION"
    assert (await outside.asks(outside.join(), key=NEWCOMER.public))[1]["name"] == "BAD_PROOF"
    assert (await outside.asks(outside.join(signature=bytes(64))))[1]["name"] == "BAD_PROOF"
    assert (await outside.asks(outside.join(key=api.node.ledger.keys["n1"].public)))[1]["code"] is not None
    assert (await outside.door.answer(outside.token.key.public, b"\xc1"))[0] == 400
    assert api.node.ledger.height == height, "nothing of it became a transaction"


async def test_a_member_whose_signer_is_away_says_so_and_tries_again_at_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = Outside(api, parse_token((await invited(api))["token"]))

    async def away(*_: Any, **__: Any) -> bytes:
        raise SignerUnavailable("no signer at unix:/run/secret/place")

    with monkeypatch.context() as patch:
        patch.setattr(api.node.ledger, "submit", away)
        status, refusal = await outside.asks(outside.join())
    assert (status, refusal["name"], refusal["code"]) == (503, "SIGNER", None)
    assert "/run/secret" not in refusal["message"], "a stranger learns nothing of this machine"
    assert (await outside.asks(outside.join()))[0] == 200 and api.node.ledger.height


async def test_one_token_makes_its_member_send_one_join_at_a_time(api: Api) -> None:
    """LC-P2P-37: whoever holds it could else have the member pay for as many as it makes up newcomers."""
    outside = Outside(api, parse_token((await invited(api))["token"]))
    api.node.ledger.auto = False
    for number in range(1, 6):
        assert (await outside.asks(outside.join(SigningKey(bytes([number]) * 32))))[1]["state"] == "waiting"
    assert len(api.node.ledger.pool) == 1
    outside.now += 5_000
    await outside.asks(outside.join(SigningKey(b"\x05" * 32)))
    assert len(api.node.ledger.pool) == 2
