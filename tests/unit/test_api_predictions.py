"""Models, requests and policies over HTTP: registering, prices, serving; asking with every way to give rows; tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.membership import SetBoxKey
from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.formulas import least_stake
from learningchain.chain.contracts.prediction.messages import CommitAnswer, OpenAnswer, ServeModel, answer_commitment
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.records import RequestRecord, RequestState
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode
from learningchain.chain.crypto import address
from learningchain.chain.types import format_credits
from learningchain.client.keys.tokens import Tokens, TokenScope, now_ms
from tests.unit.api_kit import MODEL_CID, NAMES, Api, serving, sha

ARCHIVE = {"cid": str(MODEL_CID), "image_id": "sha256:" + sha("image").hex(), "size": 1_000}
DIGITS: dict[str, Any] = {
    "name": "digits",
    "kind": "class",
    "classes": 10,
    "price": "0.001",
    "floor": "0.0001",
    "image": ARCHIVE,
    "model": {"cid": str(MODEL_CID), "size": 700},
}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        api.node.ledger.declare()
        yield api


async def register(api: Api, **changes: Any) -> str:
    sent = {name: value for name, value in (DIGITS | changes).items() if value is not None}
    done = await api.post("/v1/models?wait=10", sent)
    return str(done["model"])


async def test_a_model_is_registered_listed_and_shown(api: Api) -> None:
    model = await register(api)
    own = address(api.node.ledger.own_id)
    found = await api.get(f"/v1/models/{model}")
    assert found == await api.get(f"/v1/models/{own}~digits")
    assert (found["name"], found["owner"], found["state"], found["kind"], found["classes"]) == ("digits", own, "LIVE", "class", 10)
    assert (found["price"], found["floor"], found["deposit"], found["stake_needed"]) == ("0.001", "0.0001", "1", "1.01")
    assert (found["image"]["cid"], found["model"]) == (str(MODEL_CID), {"cid": str(MODEL_CID), "size": 700})
    assert (found["cpus_milli"], found["mem_mb"], found["threads"], found["arch"]) == (1_000, 512, 1, "amd64")
    second = await register(api, name="other")
    assert [one["id"] for one in await api.get("/v1/models")] == [second, model]
    assert [one["id"] for one in await api.get("/v1/models?limit=1")] == [second]
    assert [one["id"] for one in await api.get(f"/v1/models?owner={own}&name=digits")] == [model]
    assert [one["id"] for one in await api.get(f"/v1/models?before={(await api.get('/v1/models'))[0]['number']}")] == [model]
    assert [one["id"] for one in await api.get(f"/v1/models?id={second[:8]}")] == [second]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"job": "ab" * 32}, "exactly one of job and image"),
        ({"image": None}, "exactly one of job and image"),
        ({"classes": None}, "classes is missing"),
        ({"model": None}, "model is missing"),
        ({"tol": "-1"}, "tol"),
        ({"price": "1e3"}, "price"),
        ({"image": {"reference": "digits:latest"}}, "name@sha256"),
        ({"shares": [{"account": "lc1no", "weight": 1}]}, "shares.account"),
    ],
)
async def test_a_model_that_makes_no_sense_is_refused_by_the_field(api: Api, change: dict[str, Any], named: str) -> None:
    sent = {name: value for name, value in (DIGITS | change).items() if value is not None}
    assert named in (await api.post("/v1/models", sent, 400))["error"]["message"]


async def test_prices_change_a_part_at_a_time_and_a_higher_floor_later(api: Api) -> None:
    model = await register(api)
    await api.post(f"/v1/models/{model}/price?wait=10", {"price": "0.002"})
    found = await api.get(f"/v1/models/{model}")
    assert (found["price"], found["floor"], found["next"]) == ("0.002", "0.0001", None)
    await api.post(f"/v1/models/{model}/price?wait=10", {"floor": "0.0005"})
    found = await api.get(f"/v1/models/{model}")
    assert (found["floor"], found["next"]) == ("0.0001", {"price": "0.002", "floor": "0.0005"})
    await api.post(f"/v1/models/{model}/price?wait=10", {"price": "0.004"})
    found = await api.get(f"/v1/models/{model}")
    assert found["next"] == {"price": "0.004", "floor": "0.0005"}, "what is to come stays as it was set last"
    for believed in ({"expected_floor": "0.0001"}, {"expected_price": "0.001"}):
        stale = {"price": "0.003", **believed}
        assert (await api.post(f"/v1/models/{model}/price", stale, 409))["error"]["name"] == "PRICE_CHANGED"
    assert (await api.post(f"/v1/models/{model}/price", {}, 400))["error"]["kind"] == "usage"


# --- requests -----------------------------------------------------------------------------------------------------------------

SERVERS = ("n1", "n2", "n3")
ROW = {"rows": [[0.1, 0.7]]}


def said(api: Api, ops: dict[str, Any]) -> None:
    """A block with a message of each, all of them accepted."""
    assert api.node.ledger.block(**ops) == [0] * len(ops)


async def served(api: Api, **changes: Any) -> str:
    """A model of this node that three others serve."""
    model, ledger = await register(api, **changes), api.node.ledger
    stake = least_stake(PredictionParams().pred_stake, 100)
    said(api, {name: SetBoxKey(key=sha("box", name)) for name in SERVERS})
    said(api, {name: ServeModel(bytes.fromhex(model), stake) for name in SERVERS})
    ledger.mine()
    return model


async def ask(api: Api, model: str, **changes: Any) -> dict[str, Any]:
    body = {"model": model, "n": 3, **ROW} | changes
    sent = {name: value for name, value in body.items() if value is not None}
    return dict(await api.post("/v1/predictions?wait=10", sent))


def answered(api: Api, request: str, *answers: Answer) -> None:
    """All seats commit and open, in the order of the answers; afterwards the tally has run."""
    ledger, ref = api.node.ledger, bytes.fromhex(request)
    names = {identity: name for name, identity in ledger.ids.items()}

    def record() -> RequestRecord:
        found = ledger.state.get(records.request_key(ref))
        assert isinstance(found, RequestRecord)
        return found

    while record().state == RequestState.WAITING:
        ledger.mine()
    seats = [names[one] for one in record().rounds[0].seats]
    own = dict(zip(seats, answers, strict=True))
    sealed = {n: answer_commitment(ledger.chain_id, ref, 1, ledger.ids[n], a, sha(n)) for n, a in own.items()}
    said(api, {name: CommitAnswer(ref, 1, sealed[name]) for name in seats})
    while record().state == RequestState.ANSWER:
        ledger.mine()
    said(api, {name: OpenAnswer(ref, 1, own[name], sha(name)) for name in seats})
    while record().state == RequestState.OPEN:
        ledger.mine()


def seven(score: int = 2_500_000_000) -> Answer:
    return Answer(AnswerCode.OK, [7], [score], score)


async def test_a_request_is_asked_followed_and_paid(api: Api) -> None:
    model = await served(api)
    posted = await ask(api, model)
    assert (posted["tip"], posted["charge"]) == ("0.0003", "0.001395")
    found = await api.get(f"/v1/predictions/{posted['request']}")
    assert (found["state"], found["place"], found["queue"], found["cost"]) == ("WAITING", 1, 1, None)
    assert found["input"] == {"cid": found["input"]["cid"], "size": 10, "inline": True}
    waiting = asyncio.create_task(api.get(f"/v1/predictions/{posted['request']}?wait=20"))
    await asyncio.sleep(0)
    answered(api, posted["request"], seven(), seven(), seven(2_500_000_900))
    found = await waiting
    assert (found["state"], found["outcome"], found["agree"], found["votes"]) == ("AGREED", "AGREED", 3, {"OK": 3})
    assert found["values"] == [{"row": 0, "class": 7, "score": "2.500000000", "support": 3, "new_class": None, "new_score": None}]
    assert (found["cost"], found["locked"]) == ("0.001395", "0")
    assert {seat["code"] for seat in found["seats"]} == {"OK"}
    happened = [event["topic"] for event in await api.get(f"/v1/predictions/{posted['request']}/events")]
    assert happened[-1] == "request.posted" and {"request.answer", "request.open", "request.answered"} <= {*happened}
    assert (await api.refused("GET", f"/v1/predictions/{'ab' * 32}/events", 404))["name"] == "NO_SUCH_REQUEST"
    listed = await api.get(f"/v1/predictions?requester={address(api.node.ledger.own_id)}&model={model}")
    assert [(one["id"], one["cost"]) for one in listed] == [(posted["request"], "0.001395")]
    assert [one["id"] for one in await api.get("/v1/predictions?live=true")] == [posted["request"]]
    assert await api.get(f"/v1/predictions?requester={address(api.node.ledger.ids['n4'])}") == []


async def test_a_price_says_who_is_left_to_judge_an_appeal(api: Api) -> None:
    """An owner's limits may be above what anybody declared: who asks is told before it pays."""
    model, greedy = await served(api), await register(api, name="greedy", limits={"mem_mb": 2_000_000})
    told = [await api.post("/v1/predictions/quote", {"model": one, "n": 3, **ROW}) for one in (model, greedy)]
    others = len(NAMES) - 1
    assert [(one["seats"], one["judges"], one["judges_needed"]) for one in told] == [(3, others - 3, 4), (0, 0, 3)]


async def test_a_model_tells_how_it_answered_lately(api: Api) -> None:
    model = await served(api)
    never = {"counted": 0, "agreed": 0, "weak": 0, "agreement": None, "p50_ms": None, "p95_ms": None, "since": None}
    assert (await api.get(f"/v1/models/{model}"))["answers"] == never
    took = []
    for answers in ([seven()] * 3, [Answer(AnswerCode.FAULT, [], [], 0)] * 3, [seven()] * 3):
        request = (await ask(api, model))["request"]
        answered(api, request, *answers)
        found = await api.get(f"/v1/predictions/{request}")
        times = {one["topic"]: one["time"] for one in await api.get(f"/v1/predictions/{request}/events")}
        took += [times["request.answered"] - times["request.posted"]] if found["outcome"] == "AGREED" else []
    found = (await api.get(f"/v1/models/{model}"))["answers"]
    assert (found["counted"], found["agreed"], found["weak"], found["agreement"]) == (3, 2, 0, 0.6667)
    assert [found["p50_ms"], found["p95_ms"]] == sorted(took)
    (listed,) = await api.get("/v1/models")
    assert listed["answers"] == found


async def test_what_a_request_cost_is_what_left_the_account(api: Api) -> None:
    """One liar of three: two are paid; what the third would have got comes back."""
    model = await served(api)
    account: Any = api.node.ledger.state.get(b"a/" + api.node.ledger.own_id)
    posted = await ask(api, model, tip="0.3")
    answered(api, posted["request"], seven(), Answer(AnswerCode.OK, [3], [5], 5), seven())
    found = await api.get(f"/v1/predictions/{posted['request']}")
    now: Any = api.node.ledger.state.get(b"a/" + api.node.ledger.own_id)
    royalty = 1_000  # this node is the owner, too
    assert found["state"] == "AGREED"
    assert format_credits(account.balance - now.balance + royalty) == found["cost"]


async def test_who_waits_for_a_request_that_left_the_state_is_told_at_once(api: Api) -> None:
    """One without seats leaves with the next posting, maybe before anybody looked; here the longest wait would fail the test."""
    model, ledger = await served(api), api.node.ledger
    first = (await ask(api, model))["request"]
    waiting = asyncio.create_task(api.get(f"/v1/predictions/{first}?wait=60&final=true"))
    while not ledger.readers:
        await asyncio.sleep(0)
    ledger.block(3_700_000)
    await ask(api, model)
    assert ledger.state.get(records.request_key(bytes.fromhex(first))) is None
    async with asyncio.timeout(20):
        found = [await waiting, await api.get(f"/v1/predictions/{first}?wait=60")]
    assert [(one["outcome"], one["cost"]) for one in found] == [("EXPIRED", "0")] * 2


async def test_rows_go_with_the_request_or_lie_in_the_store(api: Api) -> None:
    model = await served(api)
    one = await api.get(f"/v1/predictions/{(await ask(api, model))['request']}")
    text = await api.get(f"/v1/predictions/{(await ask(api, model, rows=None, input='[0.1,0.7]'))['request']}")
    assert (one["rows"], text["rows"], text["input"]["size"]) == (1, 1, 9)
    many = [[0.5] * 40 for _ in range(20)]
    large = await api.get(f"/v1/predictions/{(await ask(api, model, rows=many))['request']}")
    assert (large["rows"], large["input"]["inline"]) == (20, False)
    (_, pin) = api.node.files.added[-1]
    assert api.node.files.unpinned == [pin], "the request holds them from its block on"
    stored = {"cid": str(MODEL_CID), "size": 700}
    named = await api.get(f"/v1/predictions/{(await ask(api, model, rows=None, data=stored, count=3))['request']}")
    assert (named["rows"], named["input"]["cid"]) == (3, str(MODEL_CID))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rows": None}, "exactly one of rows, input and data"),
        ({"input": "[1]"}, "exactly one of rows, input and data"),
        ({"rows": None, "data": {"cid": str(MODEL_CID), "size": 1}}, "count is missing"),
        ({"rows": None, "input": ""}, "one row at least"),
        ({"tip": "much"}, "tip"),
        ({"model": "digits"}, "lc1.../name"),
        ({"policy": "x"}, "policy"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_by_the_field(api: Api, change: dict[str, Any], named: str) -> None:
    body = {"model": await register(api), "n": 3, **ROW} | change
    sent = {name: value for name, value in body.items() if value is not None}
    assert named in (await api.post("/v1/predictions", sent, 400))["error"]["message"]


async def test_a_waiting_request_is_moved_forward_or_taken_back(api: Api) -> None:
    """With one slot a server, a second request waits until the first is answered."""
    model = await served(api, slots=1)
    await ask(api, model)
    posted = await ask(api, model, within_s=600)
    api.node.ledger.mine()
    where = f"/v1/predictions/{posted['request']}"
    await api.post(f"{where}/tip?wait=10", {"amount": "0.1"})
    assert ((await api.get(where))["tip"], (await api.get(where))["state"]) == ("0.1003", "WAITING")
    await api.post(f"{where}/cancel?wait=10", None)
    found = await api.get(where)
    assert (found["outcome"], found["cost"]) == ("CANCELLED", found["burned"])
    assert (await api.post(f"{where}/cancel", None, 409))["error"]["name"] == "WRONG_STATE"
    for rows in ([0], [0, 0]):
        assert (await api.post(f"{where}/appeal", {"rows": rows}, 409))["error"]["name"] == "WRONG_STATE"
    assert (await api.refused("GET", f"/v1/predictions/{'ab' * 32}", 404))["name"] == "NO_SUCH_REQUEST"


async def test_a_policy_decides_the_rows_of_a_request(api: Api) -> None:
    model = await served(api, kind="number", classes=None)
    rates = [{"start": "-999999999", "ppm": 30_000}, {"start": "0.1", "ppm": 125_000}]
    rule = {"model": model, "accept": "below", "threshold": "0.2", "rates": rates}
    later = {**rule, "rates": [{"start": "0", "ppm": 30_000}, rates[1]]}
    assert "rates[0].start is 0" in (await api.post("/v1/policies", later, 400))["error"]["message"]
    policy = (await api.post("/v1/policies?wait=10", rule))["policy"]
    found = await api.get(f"/v1/policies/{policy}")
    assert (found["accept"], found["threshold"], found["least"], found["live"]) == ("below", "0.200000000", 3, 0)
    assert [one["id"] for one in await api.get(f"/v1/policies?model={model}")] == [policy]
    posted = await ask(api, model, policy=policy)
    value = Answer(AnswerCode.OK, [], [150_000_000], 150_000_000)
    answered(api, posted["request"], value, value, value)
    decided = (await api.get(f"/v1/predictions/{posted['request']}"))["decisions"]
    assert decided == [{"row": 0, "decision": "accept", "rate_ppm": 125_000, "borderline": False}]
    assert (await api.refused("GET", f"/v1/policies/{'ab' * 32}", 404))["name"] == "NO_SUCH_POLICY"


async def test_a_token_that_may_predict_asks_within_its_limit_and_registers_nothing(api: Api, tmp_path: Path) -> None:
    model = await served(api)
    with closing(Tokens(tmp_path / "tokens.db")) as tokens:
        _, text = tokens.new(TokenScope.PREDICT, most=2_000, days=None, label="app", now=now_ms())
    headers = {"Authorization": f"Bearer {text}"}
    body = {"model": model, "n": 3, **ROW}
    status, answer = await api.call("POST", "/v1/predictions?wait=10", json=body, headers=headers, token=None)
    assert (status, answer["code"]) == (200, 0)
    refused = await api.refused("POST", "/v1/predictions", 403, json=body, headers=headers, token=None)
    assert refused["name"] == "TOKEN_LIMIT"
    for path, sent in (("/v1/models", DIGITS), (f"/v1/models/{model}/serve", {}), (f"/v1/models/{model}/retire", None)):
        assert (await api.refused("POST", path, 403, json=sent, headers=headers, token=None))["name"] == "TOKEN_SCOPE"
