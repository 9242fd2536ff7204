"""The SDK's `predict` and `predict_many`: rows over the wire, the answer that is waited for, batches in the order of rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from client.sdk import Client, SyncClient
from client.sdk_types import Rejected, Unavailable, Usage
from tests.slow import SLOW
from tests.unit.client_fake_api import DONE, TOKEN, Fake, refusal, serving
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


async def test_rows_may_be_text_or_a_file(api: Fake, node: Client, tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("[1]\n[2]\n")
    await node.predict(MODEL, tmp_path / "rows")
    await node.predict(MODEL, "[1]\n[2]\n")
    first, second = api.bodies("POST", "/v1/predictions")
    assert first == second and first["input"] == "[1]\n[2]\n"
    with pytest.raises(Usage, match="no JSON value"):
        await node.predict(MODEL, [float("nan")])
    with pytest.raises(Usage, match="cannot be read"):
        await node.predict(MODEL, tmp_path / "nothing")
    with pytest.raises(Usage, match="no text in UTF-8"):
        await node.predict(MODEL, b"\xff")


async def test_a_request_that_failed_is_an_answer_and_one_that_was_refused_is_none(api: Fake, node: Client) -> None:
    api.answers[HERE] = FAILED
    assert (await node.predict(MODEL, [1]))["outcome"] == "NO_AGREEMENT"
    api.answers["POST /v1/predictions"] = refusal("rejected", 409, 420, "NO_SERVERS")
    with pytest.raises(Rejected):
        await node.predict(MODEL, [1])


async def test_what_is_not_answered_in_time_goes_on_and_is_named(api: Fake, node: Client) -> None:
    api.answers[HERE] = WAITING
    with pytest.raises(Unavailable, match=REQUEST):
        await node.predict(MODEL, [1], timeout_s=0.3 * SLOW)


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


async def test_many_rows_asked_again_in_one_run_are_not_paid_again(api: Fake, node: Client) -> None:
    rows: list[object] = [[1], [1], [1], [1], [5]]
    first = await keys(api, node, rows)
    assert len(set(first)) == 3 and all(key and key.startswith("run:") for key in first), (
        "alike batches of one list are two requests"
    )
    assert await keys(api, node, rows, max_charge="9") == first
    async with Client(api.url, TOKEN) as other:
        assert await keys(api, other, rows) == first
    assert not {*await keys(api, node, rows, n=3), *await keys(api, node, [[2], *rows[1:]])} & {first[0]}
    assert await keys(api, node, rows, anew=True) == [None] * 3


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
    with pytest.raises(Unavailable):  # the caller's own word is a promise
        await node.predict_many(MODEL, [["full"]], once="a word")


async def test_a_trial_that_takes_too_long_is_told_and_goes_on(api: Fake, node: Client) -> None:
    api.answers[f"POST /v1/models/{MODEL}/serve"] = refusal("unavailable", 503, name="TRIAL_RUNNING")
    api.answers[f"GET /v1/models/{MODEL}/trial"] = {"step": "fetches the image", "state": "fetching"}
    with pytest.raises(Unavailable) as told:
        await node.serve(MODEL, trial_s=0)
    assert told.value.name == "TRIAL_RUNNING" and (await node.model_trial(MODEL))["state"] == "fetching"


async def test_a_batch_that_failed_leaves_its_rows_without_values(api: Fake, node: Client) -> None:
    api.answers[HERE] = FAILED
    found = await node.predict_many(MODEL, [1, 2, 3])
    assert [row["score"] for row in found] == [None] * 3 and {row["outcome"] for row in found} == {"NO_AGREEMENT"}


def test_the_blocking_client_asks_as_well(api: Fake) -> None:
    with SyncClient(api.url, TOKEN) as node:
        assert node.predict(MODEL, [1]) == AGREED
        api.answers[f"POST /v1/models/{MODEL}/serve"] = DONE
        assert node.serve(MODEL)["status"] == "final"


@pytest.mark.parametrize("name", ["a/../b", "lc1x/UPPER", "x y"])
async def test_a_models_name_becomes_no_other_path(node: Client, name: str) -> None:
    with pytest.raises(Usage):
        await node.model(name)
