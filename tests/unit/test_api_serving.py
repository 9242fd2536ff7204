"""A node tries a model's sample twice before it says that it serves the model: what is asked of it over HTTP, what it refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.membership import SetBoxKey
from learningchain.chain.contracts.prediction import records
from learningchain.client.contracts.prediction.http import serving_api
from learningchain.client.keys.tokens import Tokens, TokenScope, now_ms
from learningchain.client.work import trials as node_trials
from learningchain.client.work.trials import WantedTrial
from learningchain.p2p.content.cid import Codec, cid_of
from learningchain.sandbox import RunStatus
from tests.unit.api_kit import MODEL_CID, TOKEN, Api, serving, sha
from tests.unit.trial_kit import Ground

SUMS: dict[str, Any] = {
    "name": "sums",
    "kind": "number",
    "price": "0.001",
    "floor": "0.0001",
    "tol": "0.000001",
    "image": {"cid": str(MODEL_CID), "image_id": "sha256:" + sha("image").hex(), "size": 1_000},
}
SAID = b"3.0\n0.5\ncheck 4.0\n"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path, own="n1") as api:
        api.node.ledger.declare()
        assert api.node.ledger.block(n1=SetBoxKey(key=sha("box", "n1"))) == [0]
        yield api


@pytest.fixture
def ground(api: Api) -> Ground:
    """A node with an engine that always says the same."""
    ground = Ground(api.node.files, lambda _: SAID)
    api.node.trials = ground.trials()
    return ground


async def register(
    api: Api, sample: bytes | None = b"[1, 2]\n[0.5]\n", answers: bytes | None = SAID, name: str = "sums", **terms: Any
) -> str:
    files = {"sample": sample, "sample_answers": answers}
    named = {name: api.node.files.put(data) for name, data in files.items() if data is not None}
    weights = api.node.files.put(b"weights")
    sent = SUMS | named | terms | {"name": name, "model": {"cid": weights, "size": 7}}
    return str((await api.post("/v1/models?wait=10", sent))["model"])


def is_served(api: Api, model: str) -> bool:
    ledger = api.node.ledger
    return ledger.state.get(records.server_key(bytes.fromhex(model), ledger.own_id)) is not None


async def refused(api: Api, model: str, status: int, **sent: Any) -> tuple[str, str]:
    """The name and the words of a refusal; nothing was sent."""
    before = api.node.ledger.height
    error = (await api.post(f"/v1/models/{model}/serve?wait=10", sent, status))["error"]
    assert api.node.ledger.height == before and not is_served(api, model)
    return error["name"], error["message"]


async def test_a_model_that_answers_its_sample_twice_alike_is_served(api: Api, ground: Ground) -> None:
    model = await register(api)
    done = await api.post(f"/v1/models/{model}/serve?wait=10", {})
    assert (done["status"], done["tried"]) == ("final", True) and is_served(api, model)
    first, second = ground.started
    assert (first.spec.phase, first.warm, first.shown, second.shown) == ("predict", b"", ("try", 1), ("try", 2))  # type: ignore[union-attr]
    assert first.late is not None and first.late.given()["input"] == b"[1, 2]\n[0.5]\n"
    found = await api.get(f"/v1/models/{model}/trial")
    assert (found["state"], found["runs"], found["why"], found["since"]) == ("passed", [first.run, second.run], "", 7)
    assert bytes.fromhex(model) in api.node.trials.refs, "what was fetched stays for the server"  # type: ignore[union-attr]
    assert ground.let_go_of == [bytes.fromhex(model)]


@pytest.mark.parametrize(
    ("says", "answers", "why"),
    [
        ([SAID, b"3.0\n0.6\ncheck 4.0\n"], SAID, "two runs of the sample on this machine differ in 1 rows (2)"),
        ([SAID, SAID], b"3.0\n9.0\ncheck 4.0\n", "this machine's answers to the sample and the owner's differ in 1 rows (2)"),
        ([SAID, SAID], b"no answers", "the owner's answers to its sample cannot be read"),
        ([RunStatus.TIMEOUT], SAID, "run 1 of the sample gave no answer (overrun): it ended so. Its last words: no such row"),
    ],
)
async def test_a_model_that_would_cost_its_server_the_stake_is_not_served(
    api: Api, ground: Ground, says: list[bytes | RunStatus], answers: bytes | None, why: str
) -> None:
    ground.says = lambda run: says[run - 1]
    model = await register(api, answers=answers)
    name, text = await refused(api, model, 409)
    assert name == "TRIAL_FAILED" and why in text and "untried" in text
    assert (await api.get(f"/v1/models/{model}/trial"))["state"] == "failed"
    assert not api.node.trials.refs, "what was fetched may go"  # type: ignore[union-attr]
    # Who was told may try again: the next call is a new trial, and who does not want one says so.
    ground.says = lambda _: SAID
    assert (await api.post(f"/v1/models/{model}/serve?wait=10", {"untried": True}))["tried"] is False and is_served(api, model)


async def test_a_model_that_is_too_large_to_be_served_here_is_not_run(api: Api, ground: Ground) -> None:
    """It would take the memory of the models that are served, and then not be served all the same."""
    model = await register(api, limits={"mem_mb": 64_000})
    name, text = await refused(api, model, 409)
    assert name == "TRIAL_FAILED" and "may use 640" in text and "serve.mem_mb is 2048" in text and not ground.started


async def test_a_large_model_on_a_slow_connection_is_waited_for_as_an_image_is(ground: Ground) -> None:
    """At the megabyte a second that a transfer is given time for; a small one for ten minutes: who has it may be off just now."""
    sizes = (100_000, 5 * 10**9)
    nothing: Any = None
    for size in sizes:
        wanted = WantedTrial(
            sha(str(size)), "try", lambda _: nothing, (("model", str(cid_of(Codec.RAW, b"%d" % size)), size),), nothing
        )
        await ground.trials().begin(wanted).over.wait()
    assert [ground.waits_ms[size] // 1_000 for size in sizes] == [600, 5_060]


async def test_a_failed_trial_is_tried_anew_once_it_was_told(api: Api, ground: Ground) -> None:
    model = await register(api)
    ground.says = lambda _: RunStatus.TIMEOUT
    assert (await refused(api, model, 409))[0] == "TRIAL_FAILED"
    ground.says = lambda _: SAID
    assert (await api.post(f"/v1/models/{model}/serve?wait=10", {}))["tried"] is True


async def test_trials_go_one_after_the_other_and_not_too_many_wait(
    api: Api, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_api, "HOLD_S", 0.01)
    monkeypatch.setattr(node_trials, "MOST_WAITING", 2)
    ground.gate.clear()
    models = []
    for number in range(3):
        models.append(await register(api, name=f"sums{number}"))
    for model in models[:2]:
        assert (await refused(api, model, 503))[0] == "TRIAL_RUNNING"
    assert (await api.get(f"/v1/models/{models[1]}/trial"))["state"] == "waiting" and len(ground.started) == 1
    assert (await refused(api, models[2], 503))[0] == "TRIALS_BUSY"
    trials = api.node.trials
    assert trials is not None and trials.figure().values == {("waiting",): 1, ("fetching",): 0, ("running",): 1}
    ground.gate.set()
    for model in models[:2]:
        state = trials.find(bytes.fromhex(model))
        assert state is not None
        await state.over.wait()
    assert not any(trials.figure().values.values())
    assert [start.ref.hex() for start in ground.started] == [models[0]] * 2 + [models[1]] * 2


async def test_one_token_holds_two_trials_and_its_next_one_waits_for_another_s(
    api: Api, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that has had its turn lets others go first; the owner's places are beside those of all tokens."""
    monkeypatch.setattr(serving_api, "HOLD_S", 0.01)
    monkeypatch.setattr(node_trials, "MOST_WAITING", 4)
    ground.gate.clear()
    models = [await register(api, name=f"sums{number}") for number in range(7)]
    with closing(Tokens(tmp_path / "tokens.db")) as tokens:
        one, two, three = (tokens.new(TokenScope.POST, most=None, days=1, label="", now=now_ms())[1] for _ in range(3))

    async def asked(model: str, token: str = TOKEN) -> str:
        status, said = await api.call("POST", f"/v1/models/{model}/serve", json={}, token=token)
        assert status == 503
        return str(said["error"]["name"])

    assert [await asked(model, one) for model in models[:3]] == ["TRIAL_RUNNING", "TRIAL_RUNNING", "TOO_MANY_OWN_TRIALS"]
    assert await asked(models[0], two) == "TRIAL_RUNNING", "who asks for the same model waits for the same trial"
    assert [await asked(model, two) for model in models[2:5]] == ["TRIAL_RUNNING", "TRIAL_RUNNING", "TOO_MANY_OWN_TRIALS"]
    assert await asked(models[4], three) == "TRIALS_BUSY"
    assert await asked(models[5]) == "TRIAL_RUNNING"
    states = [api.node.trials.find(bytes.fromhex(model)) for model in models]  # type: ignore[union-attr]
    ground.gate.set()
    for state in states:
        if state is not None:
            await state.over.wait()
    began = [start.ref.hex() for start in ground.started[::2]]
    assert began == [models[0], models[2], models[5], models[1], models[3]]
