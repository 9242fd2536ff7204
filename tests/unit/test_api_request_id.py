"""One id from the API call to the block, in the log lines between; and what a hostile one may do: nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from learningchain.client.node.ledger import NodeLedger
from learningchain.client.node.request_id import HEADER, LINES_AT_ONCE, MAX, RequestLines, current, request_id
from tests.unit.api_kit import TOKEN, Api, serving

ZERO, TX = bytes(32), b"t" * 32


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        yield api


class Lines:
    """A log that remembers."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def info(self, event: str, **more: Any) -> None:
        self.said.append({"event": event} | more)


@pytest.mark.parametrize("bad", [None, "", "x" * (MAX + 1), "a b", "a\nlevel=error", "ä", "‮", 'a"', "{}", "\x00"])
def test_any_other_is_replaced(bad: str | None) -> None:
    made = request_id(bad)
    assert made != bad and len(made) == 16 and made != request_id(bad)


async def test_every_answer_names_the_id_of_its_request(api: Api) -> None:
    for method, path, token in (
        ("GET", "/v1/status", TOKEN),
        ("GET", "/healthz", ""),
        ("GET", "/nowhere", ""),
        ("PUT", "/v1/status", TOKEN),
    ):
        headers = {"Authorization": f"Bearer {token}", HEADER: "mine-7"}
        async with api.session.request(method, api.url + path, headers=headers) as response:
            assert response.headers[HEADER] == "mine-7"
    async with api.session.get(api.url + "/healthz", headers={HEADER: "x" * 500}) as response:
        assert len(response.headers[HEADER]) == 16


async def test_a_submission_is_made_under_the_id_of_its_request_and_nothing_after_it_is(api: Api) -> None:
    seen: list[str | None] = []
    submit_raw = api.node.ledger.submit_raw

    async def look(raw: bytes) -> bytes:
        seen.append(current.get())
        return await submit_raw(raw)

    api.node.ledger.submit_raw = look  # type: ignore[method-assign]
    await api.call("POST", "/v1/tx", json={"raw": "00"}, headers={HEADER: "pay-1"})
    assert seen == ["pay-1"] and current.get() is None


# --- from the pool to the block --------------------------------------------------------------------------------------------------


def a_ledger(lines: Lines, submit: Any = lambda raw: TX) -> NodeLedger:
    node = SimpleNamespace(chain_id=ZERO, own_id=bytes(20), sync=SimpleNamespace(best=0))
    ledger = NodeLedger(cast(Any, node), cast(Any, None), cast(Any, None))
    ledger.attach(cast(Any, SimpleNamespace(submit=submit)))
    ledger._lines = RequestLines(lines)
    return ledger


async def test_what_the_node_goes_on_with_is_no_part_of_the_request() -> None:
    seen: list[str | None] = []

    def submit(raw: bytes) -> bytes:
        seen.append(current.get())
        return TX

    ledger = a_ledger(Lines(), submit)
    token = current.set("pay-3")
    await ledger.submit_raw(b"raw")
    current.reset(token)
    assert seen == [None]


def test_who_asks_without_end_fills_no_log_and_what_is_left_out_is_counted() -> None:
    lines, now = Lines(), [0.0]
    told = RequestLines(lines, lambda: now[0])
    for _ in range(int(LINES_AT_ONCE) + 7):
        told.say("request answered", "a")
    assert len(lines.said) == LINES_AT_ONCE
    now[0] = 1.0
    told.say("request answered", "b")
    assert lines.said[-1]["left_out"] == 7
