"""What the API shows is what the ledger holds, field by field, and its bounds stand where they are said to stand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.crypto import address
from learningchain.chain.ledger.state import State
from learningchain.client.api.following import Follower, Followers
from learningchain.client.api.metrics import Metrics
from tests.unit.api_kit import Api, FakeNode, a_run, serving

A, B, JOB = b"a" * 20, b"b" * 20, b"j" * 32


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        yield api


# --- blocks and keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/tx", "/v1/txs"])
async def test_who_offers_more_than_the_graph_takes_is_refused_in_the_end(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async def full(_: float) -> bool:
        return False

    monkeypatch.setattr(api.node.ledger, "room", full)
    ledger = api.node.ledger
    raw = ledger.signed("n1", Transfer(ledger.ids["n2"], 1, b"")).hex()
    if path == "/v1/tx":
        assert (await api.refused("POST", path, 409, json={"raw": raw}))["name"] == "MEMPOOL_FULL"
    else:
        answer = await api.post(path, {"raws": [raw, raw, raw]})
        assert answer["txs"] == [] and [one["index"] for one in answer["refused"]] == [0, 1, 2]
        assert {one["name"] for one in answer["refused"]} == {"MEMPOOL_FULL"}


# --- metrics ----------------------------------------------------------------------------------------------------------------------


def test_metrics_count_what_the_node_says(tmp_path: Path) -> None:
    node = FakeNode(tmp_path)
    assert node.runs is not None
    node.runs.all += [a_run("r1"), a_run("r2"), a_run("r3", "done")]
    node.extra = {"mempool": {"size": 4, "bytes": 900}, "syncing": True, "working": True, "validator": False, "parked": [{}] * 3}
    metrics = Metrics(node)
    metrics.count("GET /v1/jobs", 503, 0.05)
    lines = metrics.expose().decode().splitlines()
    for line in (
        "lc_mempool 4.0",
        "lc_parked 3.0",
        "lc_syncing 1.0",
        "lc_working 1.0",
        "lc_validator 0.0",
        'lc_runs{phase="train",state="running"} 2.0',
        'lc_runs{phase="train",state="done"} 1.0',
        'lc_http_requests_total{route="GET /v1/jobs",status="503"} 1.0',
        'lc_http_seconds_sum{route="GET /v1/jobs"} 0.05',
        'lc_http_seconds_bucket{le="0.025",route="GET /v1/jobs"} 0.0',
        'lc_http_seconds_bucket{le="0.1",route="GET /v1/jobs"} 1.0',
    ):
        assert line in lines, line


async def test_where_the_history_of_a_node_begins_is_told_where_it_is_not_the_first_block(api: Api) -> None:
    api.node.ledger.block()
    for path in ("/v1/blocks/9", f"/v1/tx/{JOB.hex()}"):
        assert "snapshot" not in (text := (await api.refused("GET", path, 404))["message"]) and "before" not in text
    api.node.extra = {"first_block": 5}
    assert "first is 5" in (await api.refused("GET", "/v1/blocks/9999", 404))["message"]
    for path in ("/v1/blocks/4", "/v1/blocks/4/raw", "/v1/blocks/4/receipts/0", "/v1/receipts/4-0", f"/v1/receipts/{'ab' * 32}"):
        refused = await api.refused("GET", path, 404)
        assert refused["name"] == "NOT_KEPT", path
        assert "blocks from 5 on" in refused["message"] and "Ask an archive node" in refused["message"]
    own = f"/v1/accounts/{address(api.node.ledger.ids['n1'])}/history"
    refused = await api.refused("GET", f"{own}?before=0", 404)
    assert refused["name"] == "NOT_KEPT", "a page that is empty because blocks are gone is no end of a history"
    assert isinstance(await api.get(own), list)
    api.node.extra = {"first_block": 2}
    assert (await api.refused("GET", f"{own}?before=0", 404))["name"] == "NOT_KEPT", "one block that is gone is enough"
    api.node.extra = {"first_block": 5}
    assert "in a block before 5" in (await api.refused("GET", f"/v1/tx/{JOB.hex()}", 404))["message"]


async def test_a_history_goes_on_below_a_cursor_and_is_nobody_s_without_an_account(api: Api) -> None:
    ledger = api.node.ledger
    for _ in range(3):
        ledger.block(n1=Transfer(ledger.ids["n2"], 1, b""))
    own = f"/v1/accounts/{address(ledger.ids['n1'])}/history"
    everything = await api.get(own)
    assert await api.get(f"{own}?before={everything[0]['cursor']}") == everything[1:]
    assert len(await api.get(f"{own}?limit=2")) == 2
    assert (await api.refused("GET", f"/v1/accounts/{address(A)}/history", 404))["name"] == "UNKNOWN_ACCOUNT"


class Slow(Follower):
    """Five pieces of work."""

    left = 5

    def step(self) -> bool:
        self.left -= self.left > 0
        return self.left > 0


class Asked(Slow):
    always = False


async def turns_while(work: Any) -> int:
    """How often others had the loop until some work was done."""
    task, turns = asyncio.ensure_future(work), 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    await task
    return turns


async def test_who_asks_waits_for_all_pieces_and_others_have_the_loop_between_them() -> None:
    followers = Followers(State(), [Slow, Asked])
    assert await turns_while(followers.all_settled()) >= 4
    assert (followers.of(Slow).left, followers.of(Asked).left) == (0, 5), "what is only looked at when it is asked for"
    assert await turns_while(followers.settled(Asked)) >= 4
    assert followers.of(Asked).left == 0
    assert (await followers.settled(Asked)) is followers.of(Asked)
