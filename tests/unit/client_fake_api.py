"""A small HTTP API with fixed answers, in a thread of its own, for tests of the SDK and the command line.

It speaks the shapes of the real one (client/api): what the fake says wrong on purpose, tests set in `Fake.answers`.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from learningchain.client.sdk.files import StreamName

TOKEN = "test-token"
OWN = "lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq"
OTHER = "lc1p6d9qa0fjffaqk75dwpvn5dydvk7trshr6d9x3"
CHAIN = "ab" * 32
JOB = "3fa9c1" + "00" * 29
TX = "9c" * 32
MODEL = bytes(range(256)) * 2_000
"""More than one chunk, so its CID is that of a tree."""


def cid_of(data: bytes) -> tuple[str, str]:
    name = StreamName()
    name.feed(data)
    return name.finish()


HELD = {"what": "own model that won", "of": "job", "ref": JOB, "until": 1_700_000_000_000}
CONTENTS = {
    "used": 5_000_000,
    "stays": 2_000_000,
    "quota": 2**33,
    "contents": [
        {"cid": cid, "size": size, "complete": True, "since": 1_700_000_000_000, "goes": goes, "reasons": len(why), "kept_for": why}
        for cid, size, goes, why in (("bafk" + "a" * 55, 3_000_000, None, [HELD]), ("bafk" + "b" * 55, 2_000_000, 1, list[Any]()))
    ],
    "next": None,
}
COMING = {
    "cid": "bafk" + "c" * 55,
    "done": 2**20,
    "size": 2**30,
    "rate": 50 * 2**20,
    "left_s": 21,
    "since": 1_700_000_000_000,
    "kept_for": [HELD],
}


STATUS = {
    "network": "test",
    "chain_id": CHAIN,
    "height": 7,
    "block_id": "cd" * 32,
    "state_root": "ef" * 32,
    "time": 1_700_000_000_000,
    "clock": 1_700_000_000_000,
    "clock_now": 1_700_000_000_000,
    "id": OWN,
    "validator": True,
    "validators": [OWN],
    "peers": 3,
    "syncing": False,
    "audited": 5,
    "working": True,
    "supply": {"minted": "1000", "burned": "1", "supply": "999"},
    "version": "0.1.0",
}
ACCOUNT = {
    "id": OWN,
    "status": "active",
    "balance": "12.5",
    "frozen": "0",
    "locked": "3",
    "bandwidth": {"left": 245_760, "per_s": 256},
    "root": OWN,
    "verifier": True,
    "rests_until": 0,
    "capacity": {
        "arch": "amd64",
        "cpus_milli": 2_500,
        "mem_mb": 4_096,
        "image": 2**32,
        "model_cap": 2**30,
        "eval_s": 600,
        "since": 1_700_000_000_000,
    },
    "validator": True,
    "strikes": [],
    "sequences": [4, 0, 0, 0],
    "case": None,
}
ENTRY = {
    "cursor": 3,
    "height": 5,
    "time": 1_700_000_000_000,
    "tx": TX,
    "reason": "transfer",
    "amount": "-2",
    "ref": "memo \x1b[31mred",
    "other": OTHER,
}
VOTE = {"candidate": OTHER, "vote": "OK", "measured": "0.100000000", "probe_loss": "0.1", "hidden_loss": None, "bad_key": False}
CLAIM = {"index": 0, "claimant": OTHER, "loss": "0.100000000", "claimed": 1_700_000_000_000, "revealed": True, "result": "OK"}
FINISHED: dict[str, Any] = {
    "id": JOB,
    "number": 0,
    "state": "PAID",
    "poster": OWN,
    "bounty": "100",
    "fee": "0.1",
    "posted": 1_700_000_000_000,
    "expiry": 1_700_000_060_000,
    "deadline": None,
    "claimants": 1,
    "image": {"kind": "archive", "reference": "", "cid": cid_of(b"image")[0], "image_id": "11" * 32, "size": 5},
    "limits": {"cpus_milli": 1000, "mem_mb": 512},
    "winner": OTHER,
    "terms": {"params": "{}", "finalists": 3, "float_kind": "f32", "tol": "0", "floor": "0", "on_cheat": "refund"},
    "claims": [CLAIM],
    "rounds": [
        {"audit": 0, "round": 1, "committee": [{"voter": OWN, "committed": True, "opened": True, "votes": [VOTE], "fee": "0.1"}]}
    ],
    "payments": {"bounty_to": OTHER, "bounty_paid": "100"},
    "model": {"cid": cid_of(MODEL)[0], "sha256": "00" * 32, "size": len(MODEL)},
}
HAPPENED: list[dict[str, Any]] = [
    {"cursor": number, "height": number + 2, "time": 1_600_000_000_000 + 1_000 * number, "tx": TX, "topic": topic, "data": data}
    for number, (topic, data) in enumerate(
        [
            ("job.posted", {"poster": OWN, "bounty": "100", "fee": "0.1", "expiry": 1_700_000_060_000}),
            ("claim", {"claimant": OTHER, "loss": "0.100000000", "claim": 1}),
            ("reveal.open", {"deadline": 1_700_000_070_000, "must": [OTHER]}),
            ("reveal", {"claimant": OTHER, "loss": "0.100000000", "model": cid_of(MODEL)[0], "size": len(MODEL)}),
            ("audit", {"audit": 0, "round": 1, "deadline": 1_700_000_080_000, "models": []}),
            ("vote", {"audit": 0, "round": 1, "voter": OWN, "candidate": 0, "vote": "OK", "measured": "0.100000000"}),
            ("verdict", {"audit": 0, "round": 1, "claimant": OTHER, "result": "OK", "rule": "QUORUM", "opened": 1}),
            ("paid", {"winner": OTHER, "bounty": "100", "model": cid_of(MODEL)[0], "loss": "0.100000000"}),
        ]
    )
]
"""What happened to the job, oldest first; long before what the wall clock says now."""
OPEN: dict[str, Any] = FINISHED | {
    "state": "OPEN",
    "winner": None,
    "model": None,
    "deadline": 1_700_000_060_000,
    "rounds": [],
    "claims": [CLAIM | {"revealed": False, "result": None}],
}
RUN = {
    "id": "r-17",
    "job": JOB,
    "phase": "train",
    "state": "running",
    "attempt": 1,
    "seed": 7,
    "progress": [{"step": 1, "of": 3, "loss": 0.5}, {"step": 2, "of": 3, "loss": 0.2}],
    "loss": None,
    "reason": "",
    "log": "",
    "started": 1_700_000_000_000,
    "ended": None,
}
QUOTE: dict[str, Any] = {
    "bounty": "100",
    "fees": "28.4",
    "bond": "40",
    "deposit": "0",
    "total": "168.4",
    "free": "200",
    "stake": "10",
    "fee": "0.1",
    "least_fee": "0.0006",
    "finalists": 4,
    "expiry": 1_700_000_060_000,
    "ends": [
        {"state": "PAID", "usual": "100.7", "most": "168.4"},
        {"state": "REFUNDED", "usual": "10.7", "most": "68.4"},
        {"state": "EMPTY", "usual": "0", "most": "2.8"},
    ],
    "verifiers": 12,
    "judges": 9,
    "train_s": 60,
    "trainers": 3,
    "conspirators": None,
    "refusal": None,
    "comparable": {
        "jobs": 5,
        "paid": 3,
        "without_winner": 2,
        "bounty_lowest": "20",
        "bounty_median": "80",
        "bounty_highest": "120",
        "claimants": 4,
        "how": "of the newest 1,000 jobs",
    },
}
PEER = {"id": OTHER, "address": "127.0.0.1:7400", "direction": "out", "rtt_ms": 1.5, "height": 7, "bytes_in": 10, "bytes_out": 2048}
SEEN = {
    "time": 1_700_000_000_000,
    "event": "refused by peer",
    "address": "198.51.100.7:7400",
    "id": None,
    "reason": "lc1x is not an active member",
}
BLOCK = STATUS | {"round": 0, "proposer": OWN, "txs": [TX], "certificate": {"round": 0, "signers": [OWN]}}
TX_VIEW = {
    "tx": TX,
    "height": 7,
    "index": 0,
    "sender": OWN,
    "lane": 0,
    "sequence": 3,
    "ops": [{"type": "Transfer", "target": OTHER, "amount": "2"}],
    "code": 0,
    "code_name": "OK",
    "events": [{"type": "moved", "amount": "2"}],
}
PROVEN = {"height": 7, "header": "9e", "certificate": "95", "index": 1, "tx": TX, "receipt": "93", "proof": "93"}
DONE = {"tx": TX, "status": "final", "height": 8, "index": 0, "code": 0, "code_name": "OK"}


def refusal(kind: str, status: int, code: int | None = None, name: str | None = None) -> tuple[int, Any]:
    return status, {"error": {"kind": kind, "code": code, "name": name, "message": f"{kind} because of the test"}}


LOAD = {
    "processors": 4,
    "memory": 8 * 2**30,
    "samples": [{"time": 1_700_000_000_000, "cpu": 37, "memory": 55, "own": 123, "disk_free": 90 * 2**30}],
}


class Fake:
    """`answers` maps "METHOD /path" to JSON, or to (status, JSON or bytes), or to a list of the latter: one a call, the last stays;
    or to what makes one of these out of the query.

    `seen` are the requests that arrived: (method, path, query, body).
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "GET /v1/status": STATUS,
            f"GET /v1/accounts/{OWN}": ACCOUNT,
            f"GET /v1/accounts/{OTHER}": ACCOUNT | {"id": OTHER},
            "GET /v1/accounts": [ACCOUNT],
            f"GET /v1/accounts/{OWN}/history": [ENTRY],
            "GET /v1/supply": {"minted": "1000", "burned": "1", "supply": "999", "accounts": "900", "escrows": "99"},
            "GET /v1/peers": [PEER],
            "GET /v1/contents": CONTENTS,
            "GET /v1/transfers": [COMING],
            "GET /v1/connections": [SEEN],
            "GET /readyz": {"ready": True, "height": 7, "sandbox": {"ok": True}},
            "GET /v1/config": {"name": "node"},
            "GET /v1/blocks/latest": BLOCK,
            f"GET /v1/tx/{TX}": TX_VIEW,
            "GET /v1/blocks/7/receipts/1": PROVEN,
            "GET /v1/proofs/672f": PROVEN,
            "GET /v1/handovers": {"handovers": ["93"]},
            "GET /v1/jobs": [FINISHED],
            f"GET /v1/jobs/{JOB}": FINISHED,
            f"GET /v1/jobs/{JOB}/events": HAPPENED[::-1],
            f"GET /v1/jobs/{JOB}/model": (200, MODEL),
            "GET /v1/runs": [RUN],
            "GET /v1/reasons": [{"ref": JOB, "why": "the bounty is 1, below 5 ([work] min_bounty)"}],
            "GET /v1/runs/r-17": RUN,
            "DELETE /v1/runs/r-17": {"id": "r-17", "cancelled": True},
            "POST /v1/transfers": DONE,
            "POST /v1/tx": DONE,
            "POST /v1/judgements": DONE,
            "POST /v1/jobs/quote": QUOTE,
            f"POST /v1/jobs/{JOB}/cancel": DONE | {"job": JOB},
            f"POST /v1/jobs/{JOB}/extension": DONE | {"job": JOB, "expiry": 1_700_000_060_000},
            "POST /v1/hidden-keys": {"key_hash": "77" * 32},
            "POST /v1/releases": DONE,
            "POST /v1/jobs": DONE | {"job": JOB, "expiry": 1_700_000_060_000},
            "GET /v1/events": (200, b"retry: 1000\n\n"),
            "GET /v1/load": LOAD,
        }
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.came_back: list[str | None] = []
        """The id with which each stream of events was asked for."""
        self.url = ""
        self.hold = threading.Event()
        """While set, streams of events stay open at their end."""

    def bodies(self, method: str, path: str) -> list[Any]:
        return [json.loads(body) for m, p, _, body in self.seen if (m, p) == (method, path)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append((request.method, request.path, dict(request.query), body))
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            status, document = refusal("unauthorized", 401)
            return web.json_response(document, status=status)
        if request.path == "/v1/events":
            self.came_back.append(request.headers.get("Last-Event-ID"))
        answer = self.answers.get(f"{request.method} {request.path}")
        if request.path == "/v1/files" and request.method == "POST" and answer is None:
            answer = {"cid": cid_of(body)[0], "size": len(body)}
        if isinstance(answer, list) and answer and isinstance(answer[0], tuple):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if callable(answer):
            answer = answer(dict(request.query))
        if answer is None:
            answer = refusal("not_found", 404)
        status, document = answer if isinstance(answer, tuple) else (200, answer)
        if isinstance(document, bytes):
            return await self._stream(request, status, document)
        return web.json_response(document, status=status)

    async def _stream(self, request: web.Request, status: int, data: bytes) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        await response.write(data)
        while request.path == "/v1/events" and self.hold.is_set():
            await asyncio.sleep(0.01)
        await response.write_eof()
        return response


@contextmanager
def serving() -> Iterator[Fake]:
    """A fake API on a free port."""
    fake = Fake()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", fake.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        fake.hold.clear()
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
