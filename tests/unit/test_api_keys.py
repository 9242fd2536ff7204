"""The routes about keys: what each asks the ledger for, what they refuse, and what an owner is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from learningchain.chain.contracts.keys import ObjectRecovery, Recover, SetGuardians, new_key_digest
from learningchain.chain.crypto import SigningKey, address
from learningchain.chain.errors import Malformed
from learningchain.client.contracts.keys.http.request import check_request, make_request, parse_request
from learningchain.client.contracts.keys.roles.watching import say, say_coming
from tests.unit.api_kit import Api, serving

NEW = SigningKey(b"\7" * 32)
DAY = 24 * 3_600_000


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        yield api


def who(api: Api, name: str) -> str:
    return address(api.node.ledger.ids[name])


def rotation(api: Api, *, sealed: bytes = b"sealed", of: bytes | None = None) -> dict[str, str]:
    ledger = api.node.ledger
    signature = NEW.sign(new_key_digest(ledger.chain_id, of or ledger.own_id, NEW.public))
    return {"key": NEW.public.hex(), "signature": signature.hex(), "sealed": sealed.hex()}


async def test_a_key_is_here_before_it_is_asked_for(api: Api) -> None:
    done = await api.post("/v1/key?wait=10", rotation(api))
    assert done["code"] == 0 and api.node.taken == [NEW.public]
    shown = await api.get(f"/v1/accounts/{who(api, 'boss')}")
    assert (shown["key"], shown["key_changes"]) == (NEW.public.hex(), 1)


async def test_a_rotation_that_the_node_could_not_follow_is_not_sent(api: Api) -> None:
    error = await api.refused("POST", "/v1/key", 400, json=rotation(api, sealed=b"other"))
    assert "not sealed" in error["message"]
    assert (await api.get(f"/v1/accounts/{who(api, 'boss')}"))["key_changes"] == 0
    error = await api.refused("POST", "/v1/key", 409, json=rotation(api, of=api.node.ledger.ids["n1"]))
    assert error["name"] == "BAD_PROOF"


async def test_guardians_are_named_shown_and_dropped(api: Api) -> None:
    two = sorted((who(api, "n1"), who(api, "n2")))
    body = {"guardians": two[::-1], "threshold": 2, "delay": DAY}
    assert (await api.post("/v1/guardians?wait=10", body))["code"] == 0
    shown = await api.get(f"/v1/accounts/{who(api, 'boss')}")
    assert (sorted(shown["guardians"]), shown["guardian_threshold"], shown["guardian_delay"]) == (two, 2, DAY)
    error = await api.refused("POST", "/v1/guardians", 409, json=body | {"threshold": 3})
    assert error["name"] == "BAD_THRESHOLD"
    error = await api.refused("POST", "/v1/guardians", 409, json=body | {"delay": 5})
    assert error["name"] == "BAD_DELAY" and "use 1 d to 90 d" in error["message"]
    assert (await api.post("/v1/guardians?wait=10", {"guardians": [], "threshold": 0, "delay": 0}))["code"] == 0
    shown = await api.get(f"/v1/accounts/{who(api, 'boss')}")
    assert sorted(shown["guardians"]) == two, "those of now have the time of their delay"
    assert shown["guardians_coming"] | {"since": 0} == {"since": 0, "guardians": [], "threshold": 0, "delay": 0}
    assert "no guardians from" in say_coming(api.node.ledger.state, api.node.ledger.own_id)
    assert (await api.post("/v1/guardians?wait=10", body))["code"] == 0
    assert (await api.get(f"/v1/accounts/{who(api, 'boss')}"))["guardians_coming"] is None, "taken back"
    assert say_coming(api.node.ledger.state, api.node.ledger.own_id) == ""


async def test_a_guardian_approves_a_line_and_the_owner_is_told_and_objects(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        ledger = api.node.ledger
        lost = ledger.ids["n1"]
        line = make_request(NEW, lost, ledger.chain_id)
        error = await api.refused("POST", "/v1/recoveries", 409, json={"request": line})
        assert error["name"] == "NOT_A_GUARDIAN"
        for wrong in (line[:-1], line.replace(".", " "), line[:-2] + "00", ""):
            error = await api.refused("POST", "/v1/recoveries", 400, json={"request": wrong})
            assert error["message"].startswith("request is not valid")
        error = await api.refused("POST", "/v1/objections", 409)
        assert error["name"] == "NO_RECOVERY" and say(ledger.state, lost) == ""
        ledger.block(n1=SetGuardians([ledger.own_id], 1, DAY))
        assert (await api.post("/v1/recoveries?wait=10", {"request": line}))["code"] == 0
        shown = await api.get(f"/v1/accounts/{who(api, 'n1')}")
        words = [{"guardian": who(api, "boss"), "key": NEW.public.hex()}]
        assert (shown["recovery"]["key"], shown["recovery"]["words"]) == (NEW.public.hex(), words)
        assert "recover object" in say(ledger.state, lost)
        assert (shown["recovery"]["needed"], shown["recovery"]["objected"]) == (1, False)
        assert ledger.block(n1=ObjectRecovery()) == [0] and "speak with them" in say(ledger.state, lost)
        shown = await api.get(f"/v1/accounts/{who(api, 'n1')}")
        assert (shown["recovery"]["needed"], shown["recovery"]["objected"]) == (1, True)


def test_a_request_is_one_line_that_says_whose_key_and_for_which_network() -> None:
    chain, account = b"\5" * 32, b"\6" * 20
    line = make_request(NEW, account, chain)
    message = parse_request(f"  {line}\n")
    assert isinstance(message, Recover) and (message.account, message.key) == (account, NEW.public)
    check_request(message, chain)
    with pytest.raises(Malformed, match="another network"):
        check_request(message, bytes(32))
    with pytest.raises(Malformed, match="no public key"):
        parse_request(line.replace(f".{NEW.public.hex()}.", "." + "05" * 33 + "."))
    with pytest.raises(Malformed, match="typing mistake"):
        parse_request(line.replace(address(account), address(account)[:-1] + "x"))
