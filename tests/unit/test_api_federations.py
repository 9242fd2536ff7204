"""Federations over HTTP: opening, joining, rounds, what files and models came to, ends; each refusal with its code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.federation.messages import FileCode, ServeCells
from learningchain.chain.crypto import address
from learningchain.client.contracts.federation import callbacks
from learningchain.client.contracts.federation.arithmetic.places import published_digest
from learningchain.client.contracts.federation.http.live import LiveFederations
from learningchain.client.keys.tokens import Tokens, TokenScope, now_ms
from tests.unit.api_kit import MODEL_CID, Api, serving, sha
from tests.unit.federation_play import HELPERS, OPENING, OWNERS, FederationPlay, helpers_serve

SECOND = 10**9
DATA = "ab" * 32


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        helpers_serve(api.node.ledger)
        yield api


async def opened(api: Api, **changes: Any) -> str:
    sent = {name: value for name, value in (OPENING | changes).items() if value is not None}
    return str((await api.post("/v1/federations?wait=10", sent))["federation"])


async def played(api: Api, *rounds: tuple[int, tuple[FileCode, ...]], **changes: Any) -> FederationPlay:
    """A federation of two owners whose initial model has a loss of 2; then a round for each (loss, codes)."""
    play = FederationPlay(api.node.ledger, await opened(api, **changes))
    play.join(*OWNERS)
    play.begin(0)
    play.measure(2 * SECOND)
    for r, (loss, codes) in enumerate(rounds, 1):
        play.round(r, loss, *codes)
    return play


def who(api: Api, name: str) -> str:
    return address(api.node.ledger.ids[name])


# --- opening and lists ----------------------------------------------------------------------------------------------------------


async def test_a_federation_is_opened_listed_and_shown(api: Api) -> None:
    first = await opened(api)
    second = await opened(api, rounds=5)
    own = address(api.node.ledger.own_id)
    found = await api.get(f"/v1/federations/{first}")
    assert (found["sponsor"], found["state"], found["end"], found["round"], found["rounds"]) == (own, "IDLE", None, 0, 3)
    assert (found["bounty"], found["bounty_left"], found["paid"], found["initial"], found["best"]) == (
        "100",
        "100",
        "0",
        None,
        None,
    )
    assert (found["most_starts"], found["members"], found["attempt"]) == (8, {"pending": 0, "active": 0, "gone": 0}, None)
    terms = found["terms"]
    assert (terms["secrecy"], terms["rule"], terms["split"], terms["min_sum"], terms["vetted"]) == ("sum", "mean", "equal", 2, True)
    assert terms["model"] == {"cid": str(MODEL_CID), "size": 4_296, "dims": 1_024}
    assert [one["id"] for one in await api.get("/v1/federations")] == [second, first]
    assert [one["id"] for one in await api.get("/v1/federations?live=true&limit=1")] == [second]
    assert [one["id"] for one in await api.get("/v1/federations?live=true&before=1")] == [first]
    assert [one["id"] for one in await api.get("/v1/federations?before=1")] == [first]
    assert [one["id"] for one in await api.get(f"/v1/federations?id={first[:9]}")] == [first]
    assert [one["id"] for one in await api.get(f"/v1/federations?sponsor={own}&before=1")] == [first]
    assert await api.get(f"/v1/federations?member={own}") == []


SMALL: dict[str, Any] = {
    "model": {"cid": str(MODEL_CID), "size": 284, "dims": 21},
    "round_s": 600,
    "min_members": 3,
    "max_members": 20,
    "reference": True,
}


async def test_a_small_model_is_opened_with_sum_where_all_that_it_takes_is_there(api: Api) -> None:
    """Where nothing is said of secrecy the terms follow; what is said stays, and the ledger judges it."""

    async def taken(**changes: Any) -> tuple[str, str | None]:
        quote = await api.post("/v1/federations/quote", OPENING | SMALL | changes)
        return quote["secrecy"], None if quote["refusal"] is None else quote["refusal"]["name"]

    assert await taken() == ("open", None), "nobody serves such federations"
    cells: dict[str, Any] = {name: ServeCells(True) for name in HELPERS}
    assert set(api.node.ledger.block(**cells)) == {0}
    assert await taken() == ("sum", None)
    for less in ({"reference": False}, {"min_members": 2}, {"round_s": 60}, {"rule": "krum"}, {"rounds": 21}):
        assert await taken(**less) == ("open", None), less
        assert await taken(secrecy="sum", **less) == ("sum", "BAD_TERMS"), less
    terms = (await api.get(f"/v1/federations/{await opened(api, **SMALL)}"))["terms"]
    assert (terms["secrecy"], terms["split"], terms["max_members"], terms["dp_milli"]) == ("sum", "equal", 20, 251)
    many = (await api.get(f"/v1/federations/{await opened(api, **SMALL | {'min_members': 12})}"))["terms"]
    assert many["split"] == "half", "of three cells and more each earns by what it reaches"
    found = await api.get(f"/v1/federations/{(await api.get('/v1/federations'))[0]['id']}/joining")
    assert any("cosine" in text for text in found["warnings"]) and found["sketch_numbers"] == 100


async def test_a_quote_says_what_is_locked_and_who_could_serve_and_sends_nothing(api: Api) -> None:
    quote = await api.post("/v1/federations/quote", OPENING)
    assert (quote["bounty"], quote["panel"], quote["aggregators"], quote["refusal"]) == ("100", 4, 4, None)
    assert quote["fee"] == quote["least_fee"]
    fee = round(float(quote["fee"]) * 10**6)
    assert round(float(quote["fees"]) * 10**6) == fee * (3 * 8 + 5 * 4)
    large = await api.post("/v1/federations/quote", OPENING | {"limits": {"cpus": 1_000, "mem_mb": 256}})
    assert (large["panel"], large["aggregators"]) == (0, 0)
    refused = await api.post("/v1/federations/quote", OPENING | {"bounty": "1000000"})
    assert refused["refusal"]["name"] == "INSUFFICIENT_CREDITS"
    assert await api.get("/v1/federations") == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"image": {"reference": "digits:latest"}}, "name@sha256"),
        ({"image": {}}, "exactly one of image.cid and image.reference"),
        ({"image": {"cid": str(MODEL_CID)}}, "image.image_id"),
        ({"model": {"cid": "no", "size": 4_296, "dims": 1_024}}, "model.cid"),
        ({"ends": 5}, "exactly one of ends_in_s and ends"),
        ({"tol": "-1"}, "tol"),
        ({"bounty": "1e3"}, "bounty"),
        ({"target": "low"}, "target"),
        ({"target": "1000000000"}, "target"),
        ({"secrecy": "none"}, "secrecy"),
        ({"schema": "x"}, "schema"),
        ({"params": {"x": "y" * 9_000}}, "params"),
        ({"rounds": -1}, "rounds"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_terms_that_make_no_sense_are_refused_by_the_field(api: Api, change: dict[str, Any], named: str) -> None:
    assert named in (await api.post("/v1/federations", OPENING | change, 400))["error"]["message"]


async def test_live_ones_are_those_that_live_also_after_changes_that_nobody_followed(api: Api) -> None:
    """More changes than are kept for a follower: it begins anew, and nothing of before counts."""
    ended, lives = await opened(api), await opened(api)
    followed = LiveFederations(api.node.ledger.state)
    await followed.settled()
    assert [one.hex() for _, one in followed.newest(None, 9)] == [lives, ended]
    play = FederationPlay(api.node.ledger, ended)
    play.begin(0)
    play.measure(2 * SECOND)
    await api.post(f"/v1/federations/{ended}/close?wait=10", None)
    followed._feed.lost = True
    await followed.settled()
    assert [one.hex() for _, one in followed.newest(None, 9)] == [lives]


# --- joining --------------------------------------------------------------------------------------------------------------------


async def test_joining_is_told_before_anybody_agrees(tmp_path: Path) -> None:
    async with serving(tmp_path, own="n3") as api:
        ledger = api.node.ledger
        helpers_serve(ledger)
        ledger.own = "boss"
        play = await played(api)
        ledger.own = "n3"
        found = await api.get(f"/v1/federations/{play.id.hex()}/joining")
        assert (found["bytes_each_round"], found["sketch_numbers"], found["dims"]) == (4 * 1_024 + 500, 64, 1_024)
        assert (found["readable_from"], found["opens_alone"], found["members"], found["vetted"]) == (2, 1, 2, 2)
        assert (found["worst_share"], found["pays_at_zero"], found["best"]) == ("25", "100", "2.000000000")
        assert (found["epsilon"], found["approved_by_sponsor"], found["refusal"]) == (None, False, None)
        assert any("two members" in text for text in found["warnings"])
        assert any("no noise" in text for text in found["warnings"])
        done = await api.post(f"/v1/federations/{play.id.hex()}/join?wait=10", {"digest": DATA})
        assert done["published"] == published_digest(play.id, bytes.fromhex(DATA)).hex()
        assert done["published"] != DATA, "the digest of the data themselves stays here"
        assert (await api.get(f"/v1/federations/{play.id.hex()}/joining"))["refusal"]["name"] == "ALREADY_MEMBER"
        members = await api.get(f"/v1/federations/{play.id.hex()}/members")
        assert [(one["account"], one["index"]) for one in members] == [(who(api, f"n{n}"), n - 1) for n in (1, 2, 3)]
        assert members[2]["digest"] == done["published"]
        await api.post(f"/v1/federations/{play.id.hex()}/data?wait=10", {"digest": "cd" * 32})
        twice = (await api.post(f"/v1/federations/{play.id.hex()}/data", {"digest": "ef" * 32}, 409))["error"]
        assert (twice["code"], twice["name"]) == (533, "TOO_OFTEN")
        await api.post(f"/v1/federations/{play.id.hex()}/leave?wait=10", None)
        gone = (await api.post(f"/v1/federations/{play.id.hex()}/leave", None, 409))["error"]
        assert (gone["code"], gone["name"]) == (507, "NOT_A_MEMBER")
        assert [one["id"] for one in await api.get(f"/v1/federations?member={who(api, 'n3')}")] == [play.id.hex()]


async def test_who_was_summed_on_a_model_reads_before_joining_that_nothing_more_leaves_it_there(api: Api) -> None:
    first, second = await played(api, (SECOND, (FileCode.USED, FileCode.USED))), await opened(api, rounds=5)
    for name, sent_in in (("n1", first.id.hex()), ("n3", None)):
        api.node.ledger.own = name
        found = await api.get(f"/v1/federations/{second}/joining")
        assert found["sent_in"] == sent_in
        assert (f"in federation {first.id.hex()[:12]}" in found["warnings"][0]) is (sent_in is not None)
    await api.post(f"/v1/federations/{second}/join?wait=10", {"digest": "ab" * 32})
    api.node.ledger.own = "boss"
    third = await opened(api, rounds=6)
    api.node.ledger.own = "n3"
    found = await api.get(f"/v1/federations/{third}/joining")
    assert found["sent_in"] is None and f"in federation {second[:12]}, whose model has as many values" in found["warnings"][0]


async def test_a_sponsor_admits_and_removes(api: Api) -> None:
    federation = await opened(api, admit="approve")
    FederationPlay(api.node.ledger, federation).join("n1", "n2")
    path = f"/v1/federations/{federation}"
    assert [one["state"] for one in await api.get(f"{path}/members")] == ["PENDING", "PENDING"]
    await api.post(f"{path}/admit?wait=10", {"member": who(api, "n2")})
    assert (await api.get(path))["members"] == {"pending": 1, "active": 1, "gone": 0}
    again = (await api.post(f"{path}/admit", {"member": who(api, "n2")}, 409))["error"]
    assert (again["code"], again["name"]) == (506, "ALREADY_MEMBER")
    await api.post(f"{path}/remove?wait=10", {"member": who(api, "n2")})
    members = await api.get(f"{path}/members")
    assert [(one["account"], one["state"]) for one in members] == [(who(api, "n2"), "GONE"), (who(api, "n1"), "PENDING")]
    stranger = (await api.post(f"{path}/remove", {"member": who(api, "n4")}, 409))["error"]
    assert (stranger["code"], stranger["name"]) == (507, "NOT_A_MEMBER")
    assert "member" in (await api.post(f"{path}/admit", {"member": "lc1nobody"}, 400))["error"]["message"]


# --- the sponsor's rounds, ends -------------------------------------------------------------------------------------------------


async def test_a_sponsor_starts_rounds_and_closes(api: Api) -> None:
    federation = await opened(api)
    path = f"/v1/federations/{federation}"
    assert (await api.post(f"{path}/start?wait=10", {}))["round"] == 0
    early = (await api.post(f"{path}/close", None, 409))["error"]
    assert (early["code"], early["name"]) == (511, "WRONG_STATE")
    play = FederationPlay(api.node.ledger, federation)
    while play.state == "DRAW":
        api.node.ledger.block()
    play.measure(2 * SECOND)
    other = (await api.post(f"{path}/start", {"round": 2}, 409))["error"]
    assert (other["code"], other["name"]) == (513, "WRONG_ROUND")
    few = (await api.post(f"{path}/start", {}, 409))["error"]
    assert (few["code"], few["name"]) == (514, "TOO_FEW_MEMBERS")
    await api.post(f"{path}/close?wait=10", None)
    found = await api.get(path)
    assert (found["state"], found["end"], found["bounty_left"], found["fees_left"]) == ("END", "CLOSED", "0", "0")
    assert await api.get("/v1/federations?live=true") == []
    over = (await api.post(f"{path}/close", None, 409))["error"]
    assert (over["code"], over["name"]) == (511, "WRONG_STATE")


async def test_only_the_sponsor_governs(api: Api) -> None:
    federation = await opened(api)
    api.node.ledger.own = "n1"
    for what, body in (
        ("start", {}),
        ("close", None),
        ("admit", {"member": who(api, "n2")}),
        ("remove", {"member": who(api, "n2")}),
    ):
        refused = (await api.post(f"/v1/federations/{federation}/{what}", body, 409))["error"]
        assert (refused["code"], refused["name"]) == (504, "NOT_SPONSOR")


# --- refusals, tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "body"),
    [("start", {}), ("close", None), ("leave", None), ("join", {"digest": DATA}), ("data", {"digest": DATA})],
)
async def test_nothing_is_sent_about_what_is_not_there(api: Api, what: str, body: Any) -> None:
    assert (await api.post(f"/v1/federations/{'ab' * 32}/{what}", body, 404))["error"]["name"] == "NO_SUCH_FEDERATION"


async def test_a_token_that_reads_may_not_join_and_one_that_posts_has_its_limit(api: Api, tmp_path: Path) -> None:
    with closing(Tokens(tmp_path / "tokens.db")) as tokens:
        _, reads = tokens.new(TokenScope.READ, most=None, days=None, label="reads", now=now_ms())
        _, posts = tokens.new(TokenScope.POST, most=10**6, days=None, label="posts", now=now_ms())
    status, answer = await api.call("POST", "/v1/federations", token=reads, json=OPENING)
    assert (status, answer["error"]["kind"]) == (403, "unauthorized")
    status, answer = await api.call("POST", "/v1/federations/quote", token=reads, json=OPENING)
    assert status == 200
    status, answer = await api.call("POST", "/v1/federations", token=posts, json=OPENING)
    assert (status, answer["error"]["name"]) == (403, "TOKEN_LIMIT")
    assert await api.get("/v1/federations") == []


def test_the_published_digest_is_of_one_federation() -> None:
    """LC-FILE-48, known answer by hashlib alone."""
    import hashlib

    federation, content = sha("federation"), sha("content")
    by_hand = hashlib.sha256(bytes([len(b"lc/fed-data")]) + b"lc/fed-data" + federation + content).digest()
    assert published_digest(federation, content) == by_hand
    assert published_digest(sha("another"), content) != by_hand


async def test_what_is_locked_is_shown_with_the_account(api: Api) -> None:
    quote = await api.post("/v1/federations/quote", OPENING)
    await opened(api)
    locked = (await api.get(f"/v1/accounts/{address(api.node.ledger.own_id)}"))["locked"]
    assert round(float(locked) * 10**6) == round((100 + float(quote["fees"])) * 10**6)
    history = await api.get(f"/v1/accounts/{address(api.node.ledger.own_id)}/history")
    assert {"fed.bounty.locked", "fed.fees.locked"} <= {row["reason"] for row in history}


async def test_what_callbacks_say_of_an_end_is_who_was_paid_and_the_model_that_is_better(api: Api) -> None:
    assert callbacks.named("fed.measured", {"r": 0, "invalid": False}) == "measured"
    assert callbacks.named("fed.measured", {"r": 0, "invalid": True}) is None, "rounds cannot start"
    assert callbacks.named("fed.measured", {"r": 1, "invalid": False}) is None
    none = await played(api)
    state = api.node.ledger.state
    await api.post(f"/v1/federations/{none.id.hex()}/close?wait=10", None)
    said = callbacks.data(state, none.id, callbacks.ENDED, None)
    assert (said["best_model"], said["owners"], said["end"]) == (None, [], "CLOSED"), "nobody made it better"
    one = FederationPlay(api.node.ledger, await opened(api))
    one.join(*OWNERS, "n3")
    one.begin(0)
    one.measure(2 * SECOND)
    one.round(1, SECOND)
    said = callbacks.data(state, one.id, callbacks.ENDED, None)
    assert [owner["account"] for owner in said["owners"]] == [who(api, name) for name in OWNERS], "n3 joined, and sent nothing"
    assert said["best_model"] and said["end"] == "REACHED"


async def test_rounds_files_measurements_and_pay_are_told(api: Api) -> None:
    play = await played(api, (2 * SECOND - SECOND // 4, (FileCode.USED, FileCode.USED)))
    path = f"/v1/federations/{play.id.hex()}"
    found = await api.get(path)
    assert (found["state"], found["round"], found["initial"], found["best"]) == ("IDLE", 2, "2.000000000", "1.750000000")
    assert (found["paid"], found["bounty_left"], found["best_round"]) == ("25", "75", 1)
    (one,) = await api.get(f"{path}/rounds")
    assert (one["round"], one["attempt"], one["outcome"], one["loss"], one["pot"]) == (1, 2, "PROGRESS", "1.750000000", "25")
    assert one["accepted"] == [who(api, name) for name in OWNERS]
    members = await api.get(f"{path}/members")
    assert [(one["paid"], one["share_ppm"]) for one in members] == [("12.5", 125_000)] * 2
    (attempt,) = (await api.get(f"{path}/attempts"))["attempts"]
    assert (attempt["round"], attempt["attempt"], attempt["void"], attempt["accepted"]) == (1, 2, None, 2)
    assert [(file["member"], file["code"], file["accepted"]) for file in attempt["files"]] == [
        (who(api, name), "USED", True) for name in OWNERS
    ]
    told = await api.get(f"{path}/measurements")
    assert told["before"] is None
    last, first = told["measurements"]
    assert (last["round"], last["loss"], first["round"], first["loss"]) == (1, "1.750000000", 0, "2.000000000")
    assert {vote["loss"] for vote in last["votes"]} == {"1.750000000"}
    assert sorted(last["counted"]) == sorted(vote["seat"] for vote in last["votes"])
