"""A run that prints is told to who listens, as it prints, and what it prints of its owner's data to nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from learningchain.client.api.hub import Hub
from learningchain.client.schema.render import OWN_DATA_PHASE
from tests.unit.api_kit import FakeNode, a_run
from tests.unit.dashboard_kit import HOSTILE, browsing


@pytest.mark.parametrize(
    ("change", "told"),
    [({}, 2), ({"phase": OWN_DATA_PHASE}, 1), ({"state": "done", "ended": 9}, 1)],
    ids=["running", "on own data", "ended"],
)
async def test_a_run_is_told_again_whenever_it_printed_more(tmp_path: Path, change: dict[str, Any], told: int) -> None:
    node = FakeNode(tmp_path)
    assert node.runs is not None
    run = a_run() | change
    node.runs.all = [run]
    hub = Hub(node, queue_bytes=10**6, run_poll_s=60)
    events = hub._changed_runs(node.runs.list())
    for log in (run["log"], run["log"] + " and more"):
        run["log"] = log
        events += hub._changed_runs([one | {"log": ""} for one in node.runs.list()])
    assert len(events) == told
    assert not any(b"long log" in event for event in events), "the log itself stays out of the stream"


async def test_the_page_of_a_run_is_told_that_it_printed_and_shows_it(tmp_path: Path) -> None:
    async with browsing(tmp_path) as browser:
        assert browser.api.node.runs is not None
        run = a_run() | {"log": ""}
        browser.api.node.runs.all = [run]
        _, page = await browser.get("/dashboard/runs/r1")
        assert "It has said nothing" in page.text
        async with browser._session.get(browser.url + "/dashboard/live") as stream, asyncio.timeout(60):
            for said in ("epoch 1", f"epoch 1 epoch 2 {HOSTILE}"):
                while b"event: run" not in await stream.content.readline():
                    pass
                run["log"] = said
            while b"event: run" not in await stream.content.readline():
                pass
        _, page = await browser.get("/dashboard/runs/r1")
        assert "epoch 1 epoch 2" in page.text and "<script>" in page.text
