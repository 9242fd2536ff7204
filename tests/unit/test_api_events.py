"""The live stream: what it carries, who may choose what, and that a reader who does not read costs only itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.crypto import address
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.api import events
from learningchain.client.api.route import ServerLimits
from learningchain.client.keys.tokens import Tokens, TokenScope, now_ms
from tests.slow import SLOW
from tests.unit.api_kit import NAMES, TOKEN, Api, a_run, serving
from tests.unit.job_kit import ballot

OK = ballot(BallotCode.OK, 5_000)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(
        tmp_path, limits=ServerLimits(streams=4, streams_per_token=1, run_poll_s=0.01, queue_bytes=400_000, heartbeat_s=0.05)
    ) as api:
        yield api


class Stream:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.comments: list[str] = []

    async def next(self) -> tuple[str, dict[str, Any]]:
        kind, data = "", ""
        while line := (await asyncio.wait_for(self.response.content.readline(), 10 * SLOW)).decode():
            line = line.rstrip("\n")
            if line.startswith(":"):
                self.comments.append(line)
            elif line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                data = line[6:]
            elif not line and kind:
                return kind, msgspec.json.decode(data)
        raise EOFError

    async def until(self, wanted: str, **fields: Any) -> dict[str, Any]:
        while True:
            kind, data = await self.next()
            if kind == wanted and fields.items() <= data.items():
                return data


@asynccontextmanager
async def listening(api: Api, kinds: str = "", token: str = TOKEN) -> AsyncIterator[Stream]:
    headers = {"Authorization": f"Bearer {token}"}
    path = "/v1/events" + (f"?kinds={kinds}" if kinds else "")
    async with api.session.get(api.url + path, headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        yield Stream(response)


async def test_blocks_and_every_note_of_a_job_arrive_by_name(api: Api) -> None:
    ledger = api.node.ledger
    worker = address(ledger.ids["n1"])
    async with listening(api) as stream:
        job = ledger.judged_job(OK).hex()
        block = await stream.until("block")
        assert (block["height"], block["txs"], block["state_root"]) == (1, 4, ledger.blocks[0][0].state_root.hex())
        posted = await stream.until("note", topic="job.posted", ref=job)
        assert posted["data"] | {"poster": address(ledger.ids["boss"]), "bounty": "10", "fee": "0.001"} == posted["data"]
        assert posted["tx"] == ledger.blocks[1][1][0].id.hex()
        claim = await stream.until("note", topic="claim")
        assert claim["data"] == {"claimant": worker, "loss": "0.000005000", "claim": 1}
        opened = await stream.until("note", topic="reveal.open")
        assert (opened["data"]["must"], opened["tx"]) == ([worker], None)
        assert (await stream.until("note", topic="audit"))["data"]["round"] == 1
        vote = await stream.until("note", topic="vote")
        assert (vote["data"]["vote"], vote["data"]["measured"]) == ("OK", "0.000005000")
        assert (await stream.until("note", topic="verdict"))["data"]["result"] == "OK"
        paid = await stream.until("note", topic="paid")
        assert paid["data"] | {"winner": worker, "bounty": "10"} == paid["data"]


async def test_runs_are_told_when_they_move_without_their_logs(api: Api) -> None:
    runs = api.node.runs
    assert runs is not None
    run = a_run()
    runs.all.append(run)
    async with listening(api, "run") as stream:
        first = await stream.until("run", id="r1")
        assert (first["progress"], "log" in first) == ({"step": 1, "of": 9, "loss": "0.3"}, False)
        run["progress"].append({"step": 2, "of": 9, "loss": "0.2"})
        assert (await stream.until("run", id="r1"))["progress"]["step"] == 2
        run["state"] = "done"
        assert (await stream.until("run", id="r1"))["state"] == "done"


async def test_a_listener_learns_that_blocks_were_lost(api: Api) -> None:
    async with listening(api) as stream:
        (reader,) = api.node.ledger.readers
        reader.put_nowait(LookupError("1,000 blocks behind"))
        assert "behind" in (await stream.until("gap"))["reason"]


def made(folder: Path, count: int) -> list[str]:
    with closing(Tokens(folder / "tokens.db")) as tokens:
        return [tokens.new(TokenScope.READ, most=None, days=None, label="", now=now_ms())[1] for _ in range(count)]


async def test_tokens_that_were_made_leave_a_stream_to_the_owner(api: Api, tmp_path: Path) -> None:
    one, two, three, four = made(tmp_path, 4)
    async with listening(api, token=one), listening(api, token=two), listening(api, token=three):
        assert (await api.refused("GET", "/v1/events", 503, token=four))["name"] == "TOO_MANY"
        async with listening(api):
            assert (await api.refused("GET", "/v1/events", 503))["name"] == "TOO_MANY"


async def test_no_token_takes_all_streams(api: Api, tmp_path: Path) -> None:
    (other,) = made(tmp_path, 1)
    async with listening(api), listening(api):
        assert (await api.refused("GET", "/v1/events", 429))["name"] == "TOO_MANY_OWN"
        async with listening(api, token=other):
            own = await api.refused("GET", "/v1/events", 429, token=other)
            assert own["name"] == "TOO_MANY_OWN" and "at most 1 event streams" in own["message"]
    status = 429
    while status == 429:
        async with api.session.get(api.url + "/v1/events", headers={"Authorization": f"Bearer {TOKEN}"}) as response:
            status = response.status
    assert status == 200


async def test_a_reader_that_does_not_read_is_dropped_and_the_others_are_not(api: Api) -> None:
    ids = api.node.ledger.ids
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    slow.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(slow, ("127.0.0.1", api.port))
    head = f"GET /v1/events?kinds=move HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    await loop.sock_sendall(slow, head.encode())
    await loop.sock_recv(slow, 100)
    many = [Transfer(ids["boss"], 1, b"x" * 64)] * 100
    async with listening(api, "move") as fast:
        assert await is_full(api)
        for height in range(1, 1_000):
            api.node.ledger.block(**dict.fromkeys(NAMES[1:], many))
            for _ in range(len(many) * len(NAMES[1:])):
                assert (await fast.until("move"))["height"] == height
            if not await is_full(api):
                break
        assert not await is_full(api)
    slow.close()


async def is_full(api: Api) -> bool:
    """Whether another stream would be one too many."""
    async with api.session.get(api.url + "/v1/events", headers={"Authorization": f"Bearer {TOKEN}"}) as response:
        return response.status == 429


async def test_a_reader_that_took_nothing_for_too_long_is_cut_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for it would else be held until it reads: its stream does not end as one that is over."""

    async def stalled(*_: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(events, "_pump", stalled)
    with pytest.raises(aiohttp.ClientError):
        async with listening(api) as stream:
            await stream.response.content.read()


async def test_a_stopped_server_ends_its_streams(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as session:
        async with serving(tmp_path) as api:
            response = await session.get(api.url + "/v1/events", headers={"Authorization": f"Bearer {TOKEN}"})
            await response.content.readline()
        with pytest.raises((aiohttp.ClientError, EOFError, ConnectionError)):
            while await asyncio.wait_for(response.content.readline(), 10 * SLOW):
                pass
            raise EOFError


async def test_a_reader_comes_back_by_header_or_query_and_an_idle_stream_says_how_far_it_is(api: Api) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with api.session.get(api.url + "/v1/events?kinds=block", headers=headers) as response:
        assert await response.content.readline() == b": ok\n"
        first, idle = [
            [await asyncio.wait_for(response.content.readline(), 10 * SLOW) for _ in range(4)] for _ in ("begin", "heartbeat")
        ]
        begins = first[1]
        assert first == idle == [b"event: alive\n", begins, b"data: {}\n", b"\n"] and begins.startswith(b"id: ")
    api.node.ledger.block()
    last = begins.decode().removeprefix("id: ").strip()
    for how in ({"headers": headers | {"Last-Event-ID": last}}, {"headers": headers, "params": {"last_event_id": last}}):
        async with api.session.get(api.url + "/v1/events?kinds=block", **how) as response:
            assert (await Stream(response).next())[1]["height"] == 1
