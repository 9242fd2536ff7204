"""One key, one request: asked again, after a kill at any moment, with other words, by two at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.codec import encode
from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.errors import InvalidTx, TxCode
from learningchain.chain.host import read_params
from learningchain.client.contracts.prediction.http import asked_once
from learningchain.client.keys.tokens import Tokens, TokenScope, now_ms
from learningchain.client.work.database import WorkDatabase
from learningchain.client.work.events import Secret
from tests.unit.api_kit import Api, serving
from tests.unit.test_api_predictions import ROW, ask, served

KEY = {"idempotency_key": "batch 7"}


class Killed(Exception):
    """The node ends here."""


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        api.node.ledger.declare()
        yield api


async def requests(api: Api) -> list[str]:
    return [one["id"] for one in await api.get("/v1/predictions")]


async def test_the_same_key_is_the_same_request_whatever_it_may_cost_by_now(api: Api) -> None:
    model = await served(api)
    first = await ask(api, model, **KEY)
    again = await ask(api, model, **KEY, max_charge="9")
    assert {name: again[name] for name in ("request", "tx", "charge", "tip")} == {
        name: first[name] for name in ("request", "tx", "charge", "tip")
    }
    other = await ask(api, model, idempotency_key="batch 8")
    unkeyed = await ask(api, model)
    assert len({first["request"], other["request"], unkeyed["request"]}) == 3 == len(await requests(api))


async def test_a_token_has_keys_of_its_own(api: Api, tmp_path: Path) -> None:
    model = await served(api)
    first = await ask(api, model, **KEY)
    with closing(Tokens(tmp_path / "tokens.db")) as tokens:
        _, text = tokens.new(TokenScope.PREDICT, most=None, days=1, label="app", now=now_ms())
    status, said = await api.call("POST", "/v1/predictions?wait=10", json={"model": model, "n": 3, **ROW, **KEY}, token=text)
    assert status == 200 and said["request"] != first["request"]


async def test_a_kill_between_the_disk_and_the_wire_sends_the_same_bytes_later(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    model, ledger = await served(api), api.node.ledger

    async def killed(raw: bytes) -> bytes:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(ledger, "submit_raw", killed)
        status, _ = await api.call("POST", "/v1/predictions", json={"model": model, "n": 3, **ROW, **KEY})
        assert status == 500 and await requests(api) == []
    (kept,) = api.node.work.secrets.all
    again = await ask(api, model, **KEY)
    assert await requests(api) == [again["request"]] and again["status"] == "final"
    assert [kept] == api.node.work.secrets.all
    assert (await ask(api, model, **KEY))["request"] == again["request"]


async def test_a_kill_before_the_disk_sends_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    model = await served(api)

    async def killed(secret: Any) -> None:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(api.node.work.secrets, "keep", killed)
        status, _ = await api.call("POST", "/v1/predictions", json={"model": model, "n": 3, **ROW, **KEY})
    assert status == 500 and await requests(api) == []
    assert await requests(api) == [] and len({(await ask(api, model, **KEY))["request"] for _ in range(2)}) == 1


async def test_what_can_come_no_more_is_asked_anew_under_its_key(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sequence went to another message of the account: nothing was paid for it."""
    model, ledger = await served(api), api.node.ledger
    whole = ledger.submit_raw

    async def lost(raw: bytes) -> bytes:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(ledger, "submit_raw", lost)
        await api.call("POST", "/v1/predictions", json={"model": model, "n": 3, **ROW, **KEY})
    first = api.node.work.secrets.all[0].blob

    async def used(raw: bytes) -> bytes:
        if raw in first:
            raise InvalidTx(TxCode.SEQUENCE_USED, "sequence 1 was used")
        return await whole(raw)

    monkeypatch.setattr(ledger, "submit_raw", used)
    other = await ask(api, model, tip="1")  # takes the sequence
    done = [(await ask(api, model, **KEY))["request"] for _ in range(2)]
    assert sorted({*done, other["request"]}) == sorted(await requests(api)) and len({*done}) == 1


async def test_a_place_that_the_disk_has_for_other_bytes_sends_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that had just started knew of no keys when it was asked first; the first record of a place stays."""
    model, keep, kept, known = await served(api), api.node.work.secrets.keep, api.node.work.secrets.of, [False]
    await ask(api, model, **KEY)

    async def first_stays(secret: Secret) -> None:
        known[0] = True
        if all(one.key != secret.key for one in api.node.work.secrets.all):
            await keep(secret)

    async def late(*given: Any) -> list[Secret]:
        return await kept(*given) if known[0] else []

    monkeypatch.setattr(api.node.work.secrets, "keep", first_stays)
    monkeypatch.setattr(api.node.work.secrets, "of", late)
    api.node.ledger.mine()
    error = (await api.post("/v1/predictions", {"model": model, "n": 3, **ROW, **KEY}, 503))["error"]
    assert "nothing was sent" in error["message"] and len(await requests(api)) == 1


async def test_a_key_outlives_its_result(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-PRE-46: the records have left the state, and the node's archive has them; nothing is paid twice."""
    model, ledger = await served(api), api.node.ledger
    first = (await ask(api, model, **KEY))["request"]
    params = read_params(ledger.state, records.NUMBER, PredictionParams)
    assert [one.keep_ms for one in api.node.work.secrets.all] == [params.pred_keep + 7 * 86_400_000]
    terms = records.terms_key(bytes.fromhex(first))
    ledger.archive[terms] = (ledger.height, encode(ledger.state.get(terms)))
    ledger.state.commit([(terms, None)], ledger.state.tree)

    async def nothing(raw: bytes) -> bytes:
        raise AssertionError("it was sent again")

    async def archived(refs: Any) -> dict[bytes, bool]:
        return {ref: True for ref in refs if ref.hex() == first}

    monkeypatch.setattr(ledger, "submit_raw", nothing)
    monkeypatch.setattr(api.node, "archived", archived)
    status, said = await api.call("POST", "/v1/predictions", json={"model": model, "n": 3, **ROW, **KEY})
    assert (status, said["request"]) == (202, first)


async def test_one_token_leaves_keys_to_others(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever tokens take, the next one has half of what is left; the owner is a holder as they are."""
    monkeypatch.setattr(asked_once, "MOST", 8)
    model = await served(api)
    body = {"model": model, "n": 3, **ROW}
    with closing(Tokens(tmp_path / "tokens.db")) as tokens:
        greedy, other = (tokens.new(TokenScope.PREDICT, most=None, days=1, label="", now=now_ms())[1] for _ in range(2))

    async def until_refused(**whose: str) -> tuple[int, str]:
        for number in range(9):
            status, said = await api.call("POST", "/v1/predictions", json=body | {"idempotency_key": f"key {number}"}, **whose)
            if status != 202:
                return number, said["error"]["name"]
            api.node.ledger.mine()
        raise AssertionError("nothing bounds it")

    before = len(await requests(api))
    assert [await until_refused(token=greedy), await until_refused(token=other), await until_refused()] == [
        (4, "TOO_MANY_OWN_KEYS"),
        (2, "TOO_MANY_OWN_KEYS"),
        (1, "TOO_MANY_OWN_KEYS"),
    ]
    assert len(await requests(api)) - before == 7, "what is refused is not sent"
    again = await api.call("POST", "/v1/predictions", json=body | {"idempotency_key": "key 0"}, token=greedy)
    assert again[0] == 202, "a key that is known is answered though no place is free"


async def test_keys_are_on_the_disk_after_a_restart(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill before the wire, then a node that knows what its database holds alone."""
    model, ledger = await served(api), api.node.ledger

    async def killed(raw: bytes) -> bytes:
        raise Killed

    def start() -> WorkDatabase:
        database = WorkDatabase(tmp_path / "work.db", ledger.chain_id, ledger.own_id)

        async def keep(secret: Secret) -> None:
            database.save(secret, now_ms())

        async def kept(kind: str, beginning: bytes = b"") -> list[Secret]:
            return database.secrets_of(kind, beginning)

        monkeypatch.setattr(api.node.work.secrets, "keep", keep)
        monkeypatch.setattr(api.node.work.secrets, "of", kept)
        return database

    done = []
    for lost in (True, False, False):
        with closing(start()), monkeypatch.context() as dying:
            if lost:
                dying.setattr(ledger, "submit_raw", killed)
                assert (await api.call("POST", "/v1/predictions", json={"model": model, "n": 3, **ROW, **KEY}))[0] == 500
            else:
                done.append((await ask(api, model, **KEY))["request"])
    assert await requests(api) == [done[0]] and done[0] == done[1]
    later = start()
    later.prune(now_ms() + 38 * 86_400_000)
    assert later.secrets() == []
    later.close()
