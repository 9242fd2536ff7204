"""What a program's token may not: have strangers' programs run on the owner's own data, or read what they say of these."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts.federation.messages import ServeCells
from learningchain.client.api.hub import Hub
from learningchain.client.contracts.federation.cli.joining import LEAST_VETTED
from learningchain.client.contracts.federation.http import joining, member_api
from learningchain.client.contracts.federation.http.joining import MIN_VETTED
from learningchain.client.contracts.federation.roles.making import NO_UPDATES
from learningchain.client.contracts.federation.roles.member import MemberBook, MemberMachine
from learningchain.client.contracts.federation.wishes import StopWish, TrainedFederation, TrainWish, wish_in
from learningchain.client.keys.signing import SignerUnavailable
from learningchain.client.keys.tokens import Tokens, TokenScope, now_ms
from tests.unit.api_kit import Api, a_run, serving
from tests.unit.federation_play import HELPERS, OPENING, helpers_serve
from tests.unit.test_api_federations import DATA, SMALL, opened, played
from tests.unit.test_client_cli_federations import own


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        helpers_serve(api.node.ledger)
        api.node.work.data["scans"] = own("scans")
        yield api


def token(tmp_path: Path, scope: TokenScope) -> str:
    with closing(Tokens(tmp_path / "tokens.db")) as tokens:
        return tokens.new(scope, most=None, days=None, label="program", now=now_ms())[1]


async def test_only_a_token_that_may_everything_lends_own_data(api: Api, tmp_path: Path) -> None:
    play = await played(api, admit="open")
    posts, everything = token(tmp_path, TokenScope.POST), token(tmp_path, TokenScope.ALL)
    path = f"/v1/federations/{play.id.hex()}"
    opening = OPENING | {"reference": True, "look_after": {"reference": "scans"}}
    for where, body in (
        (f"{path}/join", {"data": "scans", "min_vetted": 0}),
        (f"{path}/data", {"data": "scans"}),
        (f"{path}/preview", {"data": "scans"}),
        ("/v1/federations", opening),
    ):
        status, answer = await api.call("POST", where, token=posts, json=body)
        assert (status, answer["error"]["name"]) == (403, "TOKEN_SCOPE"), where
    assert not api.node.work.secrets.all, "nothing of it is kept for the node to do"
    api.node.ledger.own = "n3"
    status, _ = await api.call("POST", f"{path}/join?wait=10", token=posts, json={"digest": DATA})
    assert status == 200, "what trains elsewhere is no matter of this node's data"
    api.node.ledger.own = "n4"
    status, _ = await api.call("POST", f"{path}/join?wait=10", token=everything, json={"data": "scans"})
    assert status == 200
    (trains,) = [wish for wish in map(wish_in, api.node.work.secrets.all) if isinstance(wish, TrainWish)]
    assert trains.data == "scans"


async def test_what_the_rules_refuse_leaves_no_wish_and_who_wants_no_company_gets_none(api: Api) -> None:
    """A wish to train where the account is no member would wait on the disk for a federation that never comes."""
    play = await played(api, admit="open")
    path = f"/v1/federations/{play.id.hex()}"
    refused = (await api.post(f"{path}/join", {"data": "scans"}, 409))["error"]
    assert (refused["name"], api.node.work.secrets.all) == ("OWN_FEDERATION", [])
    with pytest.raises(joining.CannotJoin, match="sponsor of a federation cannot be its member"):
        joining.check_join(api.node, play.id, api.node.work.data["scans"])
    api.node.ledger.own = "n3"
    await api.post(f"{path}/join?wait=10", {"data": "scans", "min_vetted": 0})
    (trains,) = [wish for wish in map(wish_in, api.node.work.secrets.all) if isinstance(wish, TrainWish)]
    assert trains.min_vetted == 0, "none is a number, too"


async def test_shares_of_a_vault_go_to_other_members_that_validators_know_each_once(api: Api) -> None:
    play = await played(api, admit="open", max_members=8)
    ledger = api.node.ledger
    play.join("n3", "n4")
    others = [ledger.ids[name] for name in ("n2", "n3", "n4")]
    ledger.own = "n1"
    own_id = ledger.ids["n1"]
    for holders, why in (
        ([*others, own_id], "no other member"),
        ([*others, others[0], others[1], others[2]], "shared by 4 or 5"),
        ([*others, ledger.ids["boss"]], "no other member"),
        ([*others, bytes(20), *others], "no other member"),  # four of them, whoever stands twice
    ):
        with pytest.raises(joining.CannotJoin, match=why):
            await joining.keep_vault(api.node, play.id, True, holders)
    assert not api.node.work.secrets.all


async def test_what_a_user_wants_is_kept_before_the_ledger_hears_of_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that dies in between trains where it joined; and who left sends no further update, though the message has to wait."""
    play = await played(api, admit="open")
    api.node.ledger.own = "n3"
    sends = api.node.ledger.submit
    known: list[type[Any]] = []

    async def submit(ops: list[Any], **more: Any) -> bytes:
        known[:] = [type(wish_in(secret)) for secret in api.node.work.secrets.all]
        return await sends(ops, **more)

    monkeypatch.setattr(api.node.ledger, "submit", submit)
    await joining.agree_to_join(api.node, play.id, "scans", joining.JoinTerms(min_vetted=0))
    assert TrainWish in known
    await joining.stop(api.node, play.id)
    assert known[-1] is StopWish

    async def away(ops: list[Any], **more: Any) -> bytes:
        raise SignerUnavailable("the signer is away")

    api.node.work.secrets.all.clear()
    monkeypatch.setattr(api.node.ledger, "submit", away)
    with pytest.raises(SignerUnavailable):
        await joining.stop(api.node, play.id)
    assert [wish_in(secret) for secret in api.node.work.secrets.all] == [StopWish(play.id)]


async def test_a_node_without_numpy_refuses_what_it_would_never_do(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Joined, opened or served there, nothing would ever happen, and nobody would say why. Who wants to stop still can."""
    play = await played(api, admit="open")
    for module in (joining, member_api):
        monkeypatch.setattr(module, "numpy_missing", lambda: "numpy is not here: pip install 'learningchain[federation]'")
    path = f"/v1/federations/{play.id.hex()}"
    with pytest.raises(joining.CannotJoin, match="federation"):
        await joining.look_after(api.node, play.id, tmp_path / "initial")
    served = await api.post("/v1/federations/serving", {"on": True}, 409)
    api.node.ledger.own = "n3"
    joined = await api.post(f"{path}/join", {"data": "scans"}, 409)
    for refused in (served, joined):
        assert "[federation]" in refused["error"]["message"], refused
    assert not api.node.work.secrets.all
    api.node.ledger.own = "n1"
    await api.post(f"{path}/leave?wait=10", None)


async def test_the_digest_of_own_data_is_told_to_their_owner_alone(api: Api, tmp_path: Path) -> None:
    """The ledger publishes a hash of it and of the federation: whoever knew it could say whose data are where."""
    digest = api.node.work.data["scans"].digest.hex()
    for scope in (TokenScope.READ, TokenScope.PREDICT, TokenScope.POST):
        status, answer = await api.call("GET", "/v1/data", token=token(tmp_path, scope))
        assert status == 200 and [(one["name"], one["digest"]) for one in answer] == [("scans", None)]
        assert digest not in str(answer)
    for everything in ({}, {"token": token(tmp_path, TokenScope.ALL)}):
        _, answer = await api.call("GET", "/v1/data", **everything)
        assert [one["digest"] for one in answer] == [digest]


async def test_what_a_program_says_of_own_data_is_shown_to_their_owner_alone(api: Api, tmp_path: Path) -> None:
    """A sponsor's image may print rows; its losses tell who is among them."""
    secret: dict[str, Any] = {"phase": "local", "loss": "0.123", "log": "row 7: Jane Doe"}
    assert api.node.runs is not None
    api.node.runs.all = [a_run("r1") | secret, a_run("r2")]
    reads = token(tmp_path, TokenScope.READ)
    hidden: dict[str, Any] = {"loss": None, "log": "", "progress": []}
    for given, first in ((reads, hidden), (None, secret)):
        more = {} if given is None else {"token": given}
        _, listed = await api.call("GET", "/v1/runs", **more)
        _, one = await api.call("GET", "/v1/runs/r1", **more)
        assert [{name: run[name] for name in first} for run in (listed[0], one)] == [first, first]
        assert listed[1]["log"] == "a long log", "other runs are shown as before"
    stream = b"".join(Hub(api.node, queue_bytes=10**6, run_poll_s=1.0)._changed_runs(api.node.runs.list()))
    assert b"0.123" not in stream and b"Jane" not in stream


async def test_other_data_leave_the_number_of_vetted_members_as_the_owner_wanted_it(api: Api) -> None:
    play = await played(api)
    api.node.ledger.own = "n1"
    path = f"/v1/federations/{play.id.hex()}/data?wait=10"
    api.node.work.books[MemberMachine.name] = encode(MemberBook([TrainedFederation(play.id, "scans", 10)], NO_UPDATES))
    await api.post(path, {"data": "scans"})
    assert wish_in(api.node.work.secrets.all[-1]) == TrainWish(play.id, "scans", 10)
    assert MIN_VETTED == LEAST_VETTED == 2, "what the command tells is what the node does"
    done = await api.post(f"/v1/federations/{play.id.hex()}/demand", {"min_vetted": 4})
    assert (done["data"], done["min_vetted"]) == ("scans", 4)
    assert wish_in(api.node.work.secrets.all[-1]) == TrainWish(play.id, "scans", 4), "changed without leaving, on the same data"
    api.node.work.books.clear()
    refused = (await api.post(f"/v1/federations/{play.id.hex()}/demand", {"min_vetted": 4}, 409))["error"]
    assert "does not train" in refused["message"]


async def test_data_of_one_small_model_are_used_for_a_second_one_only_where_the_owner_says_so(api: Api) -> None:
    """Whatever the set is called: sums of two federations with the same data are compared. Other federations ask nothing."""
    cells: dict[str, Any] = {name: ServeCells(True) for name in HELPERS}
    assert set(api.node.ledger.block(**cells)) == {0}
    first, second = [await opened(api, **SMALL, admit="open") for _ in range(2)]
    large = await opened(api, admit="open")
    api.node.ledger.own = "n3"
    api.node.work.data["others"] = replace(own("others"), digest=bytes(32))
    api.node.work.data["renamed"] = replace(own("renamed"), digest=own("scans").digest)

    async def join(federation: str, data: str, status: int = 200, **more: Any) -> Any:
        return await api.post(f"/v1/federations/{federation}/join?wait=10", {"data": data, "min_vetted": 0} | more, status)

    await join(first, "scans")
    await join(large, "renamed")
    refused = (await join(second, "renamed", 409))["error"]
    assert refused["name"] == "CANNOT_JOIN" and first[:12] in refused["message"] and "--again" in refused["message"]
    await join(second, "others")
    await api.post(f"/v1/federations/{second}/data?wait=10", {"data": "scans", "min_vetted": 0}, 409)
    await api.post(f"/v1/federations/{second}/data?wait=10", {"data": "scans", "min_vetted": 0, "again": True})


async def test_a_node_in_the_place_of_a_lost_one_knows_what_its_data_were_used_for(api: Api) -> None:
    cells: dict[str, Any] = {name: ServeCells(True) for name in HELPERS}
    assert set(api.node.ledger.block(**cells)) == {0}
    first, second = [await opened(api, **SMALL, admit="open") for _ in range(2)]
    api.node.ledger.own = "n3"
    api.node.work.data["others"] = replace(own("others"), digest=bytes(32))
    await api.post(f"/v1/federations/{first}/join?wait=10", {"data": "scans", "min_vetted": 0})
    api.node.work.secrets.all.clear()
    await api.post(f"/v1/federations/{first}/recover", {"data": "scans", "min_vetted": 0})
    refused = (await api.post(f"/v1/federations/{second}/join?wait=10", {"data": "scans", "min_vetted": 0}, 409))["error"]
    assert refused["name"] == "CANNOT_JOIN" and first[:12] in refused["message"]
    await api.post(f"/v1/federations/{second}/join?wait=10", {"data": "others", "min_vetted": 0})
    refused = (await api.post(f"/v1/federations/{second}/recover", {"data": "scans", "min_vetted": 0}, 409))["error"]
    assert first[:12] in refused["message"], "other data than it had are held against what was used, too"
