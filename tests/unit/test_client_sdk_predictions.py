"""The SDK's `predict` and `predict_many`: rows over the wire, the answer that is waited for, batches in the order of rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from learningchain.client.sdk.client import Client
from learningchain.client.sdk.types import UnavailableError, UsageError
from tests.unit.client_fake_api import TOKEN, Fake, refusal, serving
from tests.unit.test_client_cli_predictions import AGREED, FAILED, MODEL, POSTED, REQUEST, WAITING, WHOLE

HERE = f"GET /v1/predictions/{REQUEST}"


@pytest.fixture(scope="module")
def server() -> Iterator[Fake]:
    with serving() as fake:
        yield fake


@pytest.fixture
def api(server: Fake) -> Iterator[Fake]:
    before = dict(server.answers)
    server.seen.clear()
    server.answers |= {"POST /v1/predictions": POSTED, HERE: AGREED, f"GET /v1/models/{MODEL}": WHOLE}
    yield server
    server.answers = before


@pytest.fixture
async def node(api: Fake) -> AsyncIterator[Client]:
    async with Client(api.url, TOKEN) as client:
        yield client


async def test_rows_are_asked_and_the_answer_is_waited_for(api: Fake, node: Client) -> None:
    api.answers[HERE] = [(200, WAITING), (200, AGREED)]
    found = await node.predict(MODEL, [[1, 2], {"a": "ü"}], n=3, tip="0.5", agree=2, max_charge="1")
    assert found == AGREED
    (sent,) = api.bodies("POST", "/v1/predictions")
    assert sent == {
        "model": MODEL,
        "n": 3,
        "within_s": 30.0,
        "agree": 2,
        "tip": "0.5",
        "max_charge": "1",
        "input": '[1,2]\n{"a":"ü"}\n',
    }


async def test_who_waits_for_what_is_final_gets_no_answer_that_an_appeal_may_change(api: Fake, node: Client) -> None:
    api.answers[HERE] = [(200, AGREED), (200, AGREED | {"state": "FINAL"})]
    assert (await node.predict(MODEL, [1], final=True))["state"] == "FINAL"


async def test_many_rows_go_in_batches_and_come_back_in_their_order(api: Fake, node: Client) -> None:
    """The model takes two rows at a time; what a request says of its first row stands for it."""
    found = await node.predict_many(MODEL, [[row] for row in range(5)], n=3, tip_per_row="0.1", at_once=2)
    sent = api.bodies("POST", "/v1/predictions")
    assert sorted(body["input"] for body in sent) == ["[0]\n[1]\n", "[2]\n[3]\n", "[4]\n"]
    assert sorted(body["tip"] for body in sent) == ["0.1", "0.2", "0.2"]
    assert [(row["class"], row["score"]) for row in found] == [(7, "2.500000000"), (None, None)] * 2 + [(7, "2.500000000")]
    assert {row["request"] for row in found} == {REQUEST} and {row["outcome"] for row in found} == {"AGREED"}


async def test_many_rows_under_a_word_are_sent_under_the_same_keys_again(api: Fake, node: Client) -> None:
    for _ in range(2):
        await node.predict_many(MODEL, [[row] for row in range(5)], once="night of the 3rd", at_once=1)
    keys = [(body["idempotency_key"], body["input"]) for body in api.bodies("POST", "/v1/predictions")]
    assert keys[:3] == keys[3:] == [(f"night of the 3rd:{n}", text) for n, text in enumerate(["[0]\n[1]\n", "[2]\n[3]\n", "[4]\n"])]


async def keys(api: Fake, node: Client, rows: list[object], **more: object) -> list[str | None]:
    """Under which the batches of one call were sent."""
    api.seen.clear()
    await node.predict_many(MODEL, rows, at_once=1, **more)  # type: ignore[arg-type]
    return [body.get("idempotency_key") for body in api.bodies("POST", "/v1/predictions")]


async def test_a_batch_without_an_answer_is_asked_again_under_another_key(api: Fake, node: Client) -> None:
    rows: list[object] = [["it fails"]]
    api.answers[HERE] = FAILED
    first, second = await keys(api, node, rows), await keys(api, node, rows)
    api.answers[HERE] = AGREED
    third = await keys(api, node, rows)
    assert len({*first, *second, *third}) == 3 and await keys(api, node, rows) == third


async def test_a_busy_key_is_waited_for_and_too_many_are_done_without(api: Fake, node: Client) -> None:
    api.answers["POST /v1/predictions"] = [refusal("unavailable", 409, name="KEY_BUSY"), (200, POSTED)]
    sent = await keys(api, node, [["busy"]])
    assert len(sent) == 2 and sent[0] == sent[1]
    full = refusal("unavailable", 503, name="TOO_MANY_KEYS")
    api.answers["POST /v1/predictions"] = [full, (200, POSTED)]
    assert (await keys(api, node, [["full"]]))[1] is None
    api.answers["POST /v1/predictions"] = full
    with pytest.raises(UnavailableError):  # the caller's own word is a promise
        await node.predict_many(MODEL, [["full"]], once="a word")


@pytest.mark.parametrize("name", ["a/../b", "lc1x/UPPER", "x y"])
async def test_a_models_name_becomes_no_other_path(node: Client, name: str) -> None:
    with pytest.raises(UsageError):
        await node.model(name)
