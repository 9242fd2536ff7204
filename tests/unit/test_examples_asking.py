"""The parts of the demo of predictions that need no graph: its applicant, its liar, and who is told by callback."""

from __future__ import annotations

import json

import aiohttp
import pytest

from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode
from learningchain.client.callbacks.signatures import parse_secret, signed_headers
from learningchain.examples.asking import liar
from learningchain.examples.asking.hook import Hook


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
