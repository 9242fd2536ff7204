"""The parts of the demo of predictions that need no graph: its applicant, its liar, and who is told by callback."""

from __future__ import annotations

import json

import aiohttp
import pytest

from chain.contracts.prediction.tally import Answer, AnswerCode
from client.callbacks.signatures import parse_secret, signed_headers
from examples import asking
from examples.asking import liar
from examples.asking.hook import Hook
from examples.breast_cancer.job import answer
from examples.tabular import features


@pytest.mark.parametrize("example", [asking.EXAMPLE, asking.CLASSES])
def test_what_is_asked_about_is_a_row_of_the_models_schema(example: str) -> None:
    row, _ = asking.known_row(example)
    inputs = json.loads((asking.folder_of(example) / "schema.json").read_bytes())["inputs"]
    assert len(row) == len(inputs)
    assert features(inputs, row)[-1] == 1.0


def test_the_model_that_is_brought_along_knows_the_class_that_is_asked_for() -> None:
    row, truth = asking.known_row(asking.CLASSES)
    inputs = json.loads((asking.folder_of(asking.CLASSES) / "schema.json").read_bytes())["inputs"]
    assert answer(asking.trained(asking.CLASSES), features(inputs, row))[0] == int(truth)


def test_the_liar_lies_once_and_its_check_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [Answer(AnswerCode.ABSTAIN, [], [], 0), *[Answer(AnswerCode.OK, [], [7, -7], 5)] * 2]
    told = iter(said)
    monkeypatch.setattr(liar, "_honest", lambda ended: next(told))
    monkeypatch.setattr(liar, "_lied", [])
    first, second, third = (liar.lying(None) for _ in said)  # type: ignore[arg-type]
    assert (first, third) == (said[0], said[2])
    assert second == Answer(AnswerCode.OK, [], [7 + liar.LIE, -7 + liar.LIE], 5)


async def test_only_what_is_signed_counts_as_told() -> None:
    hook = Hook()
    await hook.start()
    try:
        event = {"type": "prediction.agreed", "ref": "ab", "data": {}}
        body = json.dumps(event).encode()
        good = signed_headers(parse_secret(hook.secret), "ab:agreed", 1_700_000_000, body)
        async with aiohttp.ClientSession() as session:
            for headers, status in ((good | {"webhook-id": "cd:agreed"}, 401), ({}, 401), (good, 204)):
                async with session.post(hook.url, data=body, headers=headers) as response:
                    assert response.status == status
        assert (hook.told, hook.forged) == ([event], 2)
        assert await hook.event("prediction.agreed", "ab", 5) == event
        with pytest.raises(TimeoutError):
            await hook.event("prediction.final", "ab", 0.01)
    finally:
        await hook.stop()
