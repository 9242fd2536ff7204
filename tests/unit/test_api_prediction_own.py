"""What only the requester's node knows of a request, over HTTP: the key of a private one, plain values, its callback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.messages import GiveKeys
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.records import RequestRecord, RequestState, RequestTerms
from learningchain.chain.crypto import sha256
from learningchain.chain.host import read_params
from learningchain.client.addresses import AllowedAddresses
from learningchain.client.callbacks.following import find_sources
from learningchain.client.callbacks.posting import Caller
from learningchain.client.callbacks.service import CallbackService
from learningchain.client.callbacks.signatures import parse_secret
from learningchain.client.contracts.prediction import callbacks
from learningchain.client.contracts.prediction.roles import private
from learningchain.client.contracts.prediction.roles.private import blinded, plain_input
from learningchain.client.keys.tokens import Tokens, TokenScope, now_ms
from learningchain.client.work.events import Secret
from tests.unit.api_kit import Api, serving, sha
from tests.unit.callbacks_kit import QUICK, Chain, HttpServer, until
from tests.unit.test_api_predictions import ROW, answered, ask, served, seven


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        ledger: Any = api.node.ledger
        ledger.declare()
        caller = Caller(AllowedAddresses.of(["loopback"]), "1")
        service = CallbackService(tmp_path / "callbacks.db", ledger, Chain(), find_sources(), caller, times=QUICK)
        await service.start()
        api.node.callbacks = service
        yield api
        await service.stop()


def terms(api: Api, request: str) -> RequestTerms:
    found = api.node.ledger.state.get(records.terms_key(bytes.fromhex(request)))
    assert isinstance(found, RequestTerms)
    return found


async def give_keys(api: Api, request: str, key: bytes) -> None:
    """What the requester's machine does."""
    ledger, ref = api.node.ledger, bytes.fromhex(request)

    def record() -> RequestRecord:
        found = ledger.state.get(records.request_key(ref))
        assert isinstance(found, RequestRecord)
        return found

    while record().state == RequestState.WAITING:
        ledger.mine()
    seats = record().rounds[0].seats
    assert record().state == RequestState.KEYS
    assert ledger.block(boss=GiveKeys(ref, 1, private.boxes(key, ref, 1, [(one, sha(one)) for one in seats], sha_bytes))) == [0]


def sha_bytes(count: int) -> bytes:
    return (sha("once") * 3)[:count]


async def test_a_private_request_leaves_the_node_encrypted_and_comes_back_blinded(api: Api) -> None:
    model = await served(api)
    done = await ask(api, model, private=True)
    request, ref = done["request"], bytes.fromhex(done["request"])
    asked = terms(api, request).terms
    (kept,) = api.node.work.secrets.all
    assert kept.kind == private.KEY and asked.key_hash == [sha256(kept.blob)]
    assert b"0.7" not in asked.inline and plain_input(asked.inline, kept.blob) == b"[0.1,0.7]\n" and asked.size == len(asked.inline)
    assert await api.get(f"/v1/predictions/{request}/key") == {"request": request, "key": kept.blob.hex()}
    found = await api.get(f"/v1/predictions/{request}")
    assert found["private"] and found["plain"] is None
    await give_keys(api, request, kept.blob)
    hidden = blinded(seven(), kept.blob, ref, [0], 10)
    assert (hidden.classes, hidden.scores) != ([7], [2_500_000_000])
    answered(api, request, hidden, hidden, hidden)
    found = await api.get(f"/v1/predictions/{request}")
    assert (found["outcome"], found["values"][0]["class"]) == ("AGREED", hidden.classes[0])
    assert found["plain"]["values"] == [{"class": 7, "score": "2.500000000", "support": 3}]
    # What its callback tells is the same: the URL is the requester's.
    state = api.node.ledger.state
    told = callbacks.data(state, ref, "agreed", None)
    assert told["blinded"] and told["values"][0]["class"] == hidden.classes[0]
    assert callbacks.secret_of(state, ref) == (private.KEY, kept.key)
    plain = callbacks.opened(state, ref, told, kept.blob)
    assert (plain["values"], plain["blinded"], plain["agree"]) == (found["plain"]["values"], False, 3)
    with pytest.raises(ValueError, match="key"):
        callbacks.opened(state, ref, told, bytes(32))
    api.node.work.secrets.all.clear()
    assert (await api.get(f"/v1/predictions/{request}"))["plain"] is None
    assert (await api.refused("GET", f"/v1/predictions/{request}/key", 404))["name"] == "NO_SUCH_KEY"


async def test_a_token_that_may_only_read_reads_nothing_that_is_private(api: Api, tmp_path: Path) -> None:
    model = await served(api)
    request = (await ask(api, model, private=True))["request"]
    (kept,) = api.node.work.secrets.all
    await give_keys(api, request, kept.blob)
    answered(api, request, *[blinded(seven(), kept.blob, bytes.fromhex(request), [0], 10)] * 3)
    with closing(Tokens(tmp_path / "tokens.db")) as tokens:
        for scope in (TokenScope.READ, TokenScope.PREDICT):
            text = tokens.new(scope, most=None, days=1, label="", now=now_ms())[1]
            found = await api.get(f"/v1/predictions/{request}", token=text)
            assert (found["plain"] is None) is (scope is TokenScope.READ)
            assert (await api.call("GET", f"/v1/predictions/{request}/key", token=text))[0] == 403


async def test_a_node_that_cannot_keep_the_key_sends_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(secret: Secret) -> None:
        raise OSError("no space left on the device")

    model = await served(api)
    monkeypatch.setattr(api.node.work.secrets, "keep", fails)
    await api.post("/v1/predictions", {"model": model, "n": 3, "private": True, **ROW}, 500)
    assert await api.get("/v1/predictions") == []


async def test_what_becomes_of_a_request_is_told_by_its_callback(api: Api) -> None:
    model = await served(api)
    async with HttpServer() as server:
        done = await ask(api, model, callback=server.url("/in"))
        request = done["request"]
        parse_secret(done["callback_secret"])
        found = await api.get(f"/v1/predictions/{request}")
        assert found["callback"]["url"] == server.url("/in") and found["callback"]["events"] == []
        answered(api, request, seven(), seven(), seven())
        await server.until(1)
        while (await api.get(f"/v1/predictions/{request}"))["state"] != "FINAL":
            api.node.ledger.mine(60_000)

        async def ended() -> bool:
            return (await api.get(f"/v1/predictions/{request}"))["callback"]["state"] == "ended"  # type: ignore[no-any-return]

        await until(ended)
    agreed, final = (post.said for post in server.posts)
    assert (agreed["type"], final["type"]) == ("prediction.agreed", "prediction.final")
    assert agreed["data"] | {"values": []} == {
        "request": request,
        "model": model,
        "rows": 1,
        "private": False,
        "outcome": "AGREED",
        "agree": 3,
        "values": [],
    }
    assert agreed["data"]["values"] == final["data"]["values"] == [{"class": 7, "score": "2.500000000", "support": 3}]


async def test_what_is_told_of_a_request_that_left_unseen_is_what_is_proven(api: Api) -> None:
    """An answer would stand in the state for `pred_keep`: before that is over, a request of which nothing is known has none."""
    state: Any = api.node.ledger.state
    keep = read_params(state, records.NUMBER, PredictionParams).pred_keep
    assert callbacks.left(state, ["agreed"], None, 10 * keep) == "final"
    assert callbacks.left(state, ["agreed", "overturned"], 0, 0) == "final"
    assert [callbacks.left(state, [], 1_000, clock) for clock in (999 + keep, 1_000 + keep)] == ["failed", "left"]
    assert callbacks.left(state, [], None, 1_000) == "left", "it may never have been"
    done = await ask(api, await served(api))
    ref = bytes.fromhex(done["request"])
    assert callbacks.knows(state, ref) and not callbacks.knows(state, sha("other"))
    assert set(callbacks.data(state, sha("other"), "left", {"outcome": None})) == {"request", "outcome"}
