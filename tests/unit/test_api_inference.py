"""The Open Inference Protocol over HTTP, on real blocks: an inference is one paid request, refusals have the protocol's shape."""

from __future__ import annotations

import asyncio
import gzip
import json
import struct
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from learningchain.chain.contracts.membership.messages import SetBoxKey
from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.messages import (
    CommitAnswer,
    OpenAnswer,
    PredictionCode,
    RequestPrediction,
    ServeModel,
    answer_commitment,
    inline_cid,
)
from learningchain.chain.contracts.prediction.records import RequestRecord, RequestState
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode
from learningchain.chain.crypto import address
from learningchain.chain.types import format_credits, parse_credits
from learningchain.client.api.errors import rejected, unavailable
from learningchain.client.api.server import ApiServer
from learningchain.client.contracts.prediction import schemas
from learningchain.client.contracts.prediction.http import inference_api
from learningchain.client.contracts.prediction.http.day_budget import DayBudget
from tests.unit.api_kit import CREDIT, MODEL_CID, NAMES, TOKEN, Api, serving, sha

SERVERS = tuple(name for name in NAMES if name != "boss")
SCHEMA = {
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [2], "min": -100, "max": 100},
        {"name": "n", "datatype": "INT64"},
    ],
    "classes": ["no", "yes"],
}
MODEL: dict[str, Any] = {
    "name": "sums",
    "kind": "class",
    "classes": 2,
    "price": "0.001",
    "floor": "0.0001",
    "max_rows": 4,
    "image": {"cid": str(MODEL_CID), "image_id": "sha256:" + sha("image").hex(), "size": 1_000},
    "model": {"cid": str(MODEL_CID), "size": 700},
}
ANSWER_S = 60
TENSORS: list[dict[str, Any]] = [
    {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[0.5, 1], [2.25, -3]]},
    {"name": "n", "datatype": "INT64", "shape": [2], "data": [7, -8]},
]


class Graph:
    """A node before a ledger on which a model is registered and four servers answer it, class and score by the row's sum."""

    def __init__(self, api: Api) -> None:
        self.api, self.ledger = api, api.node.ledger
        self.ledger.declare()
        self.model = ""
        self.code = AnswerCode.OK
        self.settings: dict[str, Any] = {}
        api.node.config = lambda: {f"predict.{name}": {"value": one, "source": "file"} for name, one in self.settings.items()}  # type: ignore[method-assign]

    async def register(self, schema: Any = SCHEMA, **changes: Any) -> str:
        raw = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
        stored = {} if schema is None else {"schema": {"cid": self.api.node.files.put(raw), "size": len(raw)}}
        done = await self.api.post("/v1/models?wait=10", MODEL | stored | changes)
        self.model = done["model"]
        model = bytes.fromhex(self.model)
        self.block({name: SetBoxKey(sha("box", name)) for name in SERVERS})
        self.block({name: ServeModel(model, 2 * CREDIT) for name in SERVERS})
        self.ledger.block()
        return f"{address(self.ledger.own_id)}:sums"

    def block(self, said: Mapping[str, Any]) -> None:
        """What each member says stands in one block, and none of it is refused."""
        assert set(self.ledger.block(1_000, **said)) == {0}

    async def answer(self) -> None:
        """Plays the servers until it is called off."""
        async for _ in self.ledger.committed():
            for request in self.waiting():
                self.play(request)

    def ask_as(self, name: str) -> None:
        """A request of somebody else."""
        raw = b"[[1, 2], 3]\n"
        asked = RequestPrediction(
            bytes.fromhex(self.model), inline_cid(raw), len(raw), raw, 1, 3, 2, 3_000, 10**9, 60_000, key_hash=[], policy=[]
        )
        self.block({name: asked})

    def waiting(self) -> list[bytes]:
        newest = records.REQUESTS.newest(self.ledger.state, None, 10)
        return [one.request for _, one in newest if self.record(one.request).state == RequestState.WAITING]

    def record(self, request: bytes) -> RequestRecord:
        found = self.ledger.state.get(records.request_key(request))
        assert isinstance(found, RequestRecord)
        return found

    def play(self, request: bytes) -> None:
        for _ in range(4):
            if self.record(request).state == RequestState.WAITING:
                self.ledger.block()
        record = self.record(request)
        if record.state != RequestState.ANSWER:
            return
        asked: Any = self.ledger.state.get(records.terms_key(request))
        rows = [json.loads(line) for line in asked.terms.inline.splitlines()]
        sums = [round(sum(x) * 10**9) + n for x, n in rows]
        ok = self.code == AnswerCode.OK
        answer = Answer(self.code, [int(one > 0) for one in sums], sums, 5) if ok else Answer(self.code, [], [], 0)
        names = {account: name for name, account in self.ledger.ids.items()}
        seats = [names[one] for one in record.rounds[-1].seats]
        of = {name: (request, 1, self.ledger.ids[name], answer, sha(name)) for name in seats}
        sealed = {name: CommitAnswer(request, 1, answer_commitment(self.ledger.chain_id, *one)) for name, one in of.items()}
        self.block(sealed)
        self.ledger.block()
        self.block({name: OpenAnswer(request, 1, answer, sha(name)) for name in seats})
        self.ledger.block()

    async def call(self, method: str, path: str, body: Any = None, *, token: str | None = TOKEN, **headers: str) -> Any:
        """Status, headers and bytes, without what the other tests take for the shape of a refusal."""
        raw = json.dumps(body).encode() if isinstance(body, dict) else body
        auth = {} if token is None else {"Authorization": f"Bearer {token}"}
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | auth
        from yarl import URL

        url = URL(self.api.url + path, encoded=True)
        # Bounded: an inference that nobody answers is a test that fails, not one that hangs.
        async with asyncio.timeout(ANSWER_S), self.api.session.request(method, url, data=raw, headers=sent) as response:
            return response.status, response.headers, await response.read()

    async def infer(self, name: str, body: Any, **headers: str) -> Any:
        status, head, raw = await self.call("POST", f"/v2/models/{name}/infer", body, **headers)
        assert status == 200, raw
        return head, raw

    async def refused(self, method: str, path: str, status: int, body: Any = None, **how: Any) -> str:
        got, _, raw = await self.call(method, path, body, **how)
        answer = json.loads(raw)
        assert (got, set(answer)) == (status, {"error"}), raw
        assert isinstance(answer["error"], str)
        return answer["error"]


@asynccontextmanager
async def playing(graph: Graph) -> AsyncIterator[None]:
    servers = asyncio.create_task(graph.answer())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        servers.cancel()
        await asyncio.gather(servers, return_exceptions=True)


@pytest.fixture
async def graph(tmp_path: Path) -> AsyncIterator[Graph]:
    async with serving(tmp_path) as api:
        yield Graph(api)


async def test_an_inference_is_one_paid_request(graph: Graph) -> None:
    name = await graph.register()
    before = graph.ledger.state.get(b"a/" + graph.ledger.own_id).balance  # type: ignore[union-attr]
    async with playing(graph):
        _, raw = await graph.infer(name, {"id": "mine", "inputs": TENSORS})
    found = json.loads(raw)
    assert (found["model_name"], found["model_version"], found["id"]) == (name, graph.model, "mine")
    assert [output["data"] for output in found["outputs"]] == [[1, 0], [1.500000007, -0.750000008], [3, 3]]
    told = found["parameters"]
    assert (told["state"], told["agree"]) == ("AGREED", 3)
    view = await graph.api.get(f"/v1/predictions/{told['id']}")
    assert (view["cost"], view["rows"]) == (told["cost"], 2)
    after = graph.ledger.state.get(b"a/" + graph.ledger.own_id).balance  # type: ignore[union-attr]
    assert before - after > 0


async def test_binary_tensors_packed_bodies_and_every_way_to_name_a_model(graph: Graph) -> None:
    name = await graph.register()
    owner = name.partition(":")[0]
    x, n = struct.pack("<4f", 0.5, 1, 2.25, -3), struct.pack("<2q", 7, -8)
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": [2, 2], "parameters": {"binary_data_size": len(x)}},
        {"name": "n", "datatype": "INT64", "shape": [2, 1], "parameters": {"binary_data_size": len(n)}},
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    length = {"Inference_Header_Content_Length": str(len(head))}
    ways: list[tuple[str, bytes, dict[str, str]]] = [
        (f"{owner}%3Asums", head + x + n, {}),
        (f"{owner}%2Fsums", gzip.compress(head + x + n), {"Content_Encoding": "gzip"}),
        (f"{owner}/sums", zlib.compress(head + x + n), {"Content_Encoding": "deflate"}),
        (f"{graph.model}/versions/{graph.model}", head + x + n, {}),
    ]
    for path, body, headers in ways:
        async with playing(graph):
            answered, raw = await graph.infer(path, body, **length, **headers)
        size = int(answered["Inference-Header-Content-Length"])
        sizes = [output["parameters"]["binary_data_size"] for output in json.loads(raw[:size])["outputs"]]
        assert sizes == [16, 16, 8]
        assert struct.unpack("<2q2d2i", raw[size:]) == (1, 0, 1.500000007, -0.750000008, 3, 3)
        for rest in ("", "/ready"):
            assert (await graph.call("GET", f"/v2/models/{path}{rest}"))[0] == 200
    found = json.loads((await graph.call("GET", f"/v2/models/{owner}/sums"))[2])
    assert found["inputs"] == [
        {"name": "x", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "n", "datatype": "INT64", "shape": [-1]},
    ]
    assert [output["name"] for output in found["outputs"]] == ["class", "score", "agree"]
    assert found["versions"] == [graph.model]


@asynccontextmanager
async def restarted(graph: Graph, folder: Path) -> AsyncIterator[Graph]:
    """The same node's API in another process, as it were: what it knew in memory is gone."""
    server = ApiServer(graph.api.node, listen=("127.0.0.1", 0), token=TOKEN, version="9.9", kept=folder)
    port = await server.start()
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            again = Graph.__new__(Graph)
            again.api = Api(graph.api.node, port, session)
            yield again
    finally:
        await server.stop()


DAY = {"daily": "0.005", "n": 3, "tip": "0.0002"}


async def test_what_a_day_may_take_bounds_inferences_also_after_a_start(graph: Graph, tmp_path: Path) -> None:
    name = await graph.register()
    graph.settings = dict(DAY)
    path = f"/v2/models/{name}/infer"
    async with playing(graph):
        first = json.loads((await graph.infer(name, {"inputs": TENSORS}))[1])
        view = await graph.api.get(f"/v1/predictions/{first['parameters']['id']}")
        assert (view["n"], view["tip"]) == (3, "0.0012")
        said = await graph.refused("POST", path, 429, {"inputs": TENSORS})
        assert f"and {view['cost']} of the 0.005 that a day may take are spent" in said, "what came back counts no more"
        graph.settings["daily"] = "10"
        await graph.infer(name, {"inputs": TENSORS})
        # What is asked in another way takes nothing of it.
        await graph.api.post("/v1/predictions?wait=10", {"model": graph.model, "rows": [[[1, 2], 3]]})
        graph.settings["daily"] = "0.0085"
        async with restarted(graph, tmp_path) as again:
            spent = format_credits(2 * parse_credits(view["cost"]))
            assert f"and {spent} of the 0.0085" in await again.refused("POST", path, 429, {"inputs": TENSORS})


async def test_what_nobody_waited_for_counts_as_it_cost_and_not_as_it_was_locked(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await graph.register()
    graph.settings = dict(DAY)
    path = f"/v2/models/{name}/infer"

    async def away(*given: Any) -> None:
        raise unavailable("the caller is gone")

    with monkeypatch.context() as gone:
        gone.setattr(inference_api, "_ended", away)
        await graph.refused("POST", path, 503, {"inputs": TENSORS})
    (request,) = graph.waiting()
    graph.code = AnswerCode.BAD_INPUT  # most of what was locked comes back
    async with restarted(graph, tmp_path) as again:
        said = await again.refused("POST", path, 429, {"inputs": TENSORS})
        assert "that a day may take are spent" in said, "it is not answered yet"
        graph.play(request)
        cost = (await graph.api.get(f"/v1/predictions/{request.hex()}"))["cost"]
        graph.settings["daily"] = "0.001"
        assert f"and {cost} of the 0.001" in await again.refused("POST", path, 429, {"inputs": TENSORS})


async def test_a_request_that_ended_and_left_before_anybody_looked_holds_nobody_up(graph: Graph) -> None:
    """One without seats leaves with anybody's next posting. Its inference waited on for an hour, and counted as it was locked."""
    name = await graph.register()
    graph.settings = dict(DAY)
    path = f"/v2/models/{name}/infer"

    async def expire() -> None:
        async for _ in graph.ledger.committed():
            for request in graph.waiting():
                graph.ledger.block(3_700_000)
                graph.ask_as("n2")
                assert graph.ledger.state.get(records.request_key(request)) is None
                return

    other = asyncio.create_task(expire())
    await asyncio.sleep(0)
    said = await graph.refused("POST", path, 424, {"inputs": TENSORS})
    await other
    assert said.startswith("EXPIRED: ") and "it cost 0 credits" in said
    graph.settings["daily"] = "0.001"
    assert "and 0 of the 0.001" in await graph.refused("POST", path, 429, {"inputs": TENSORS})


async def test_an_inference_under_a_key_is_asked_and_counted_once(graph: Graph) -> None:
    name = await graph.register()
    graph.settings = dict(DAY)
    key = {"Idempotency_Key": "order 17"}
    async with playing(graph):
        first, second = [json.loads((await graph.infer(name, {"inputs": TENSORS}, **key))[1]) for _ in range(2)]
        assert first == second, "and the day, which holds one of them, refused none"
        other = [{**TENSORS[0], "data": [0.5, 1, 2.25, -4]}, TENSORS[1]]
        said = await graph.refused("POST", f"/v2/models/{name}/infer", 409, {"inputs": other}, **key)
    assert said.startswith("KEY_REUSED: ")


async def test_a_day_that_cannot_be_counted_spends_nothing(graph: Graph, tmp_path: Path) -> None:
    name = await graph.register()
    graph.settings = dict(DAY)
    (tmp_path / "inferences.db").write_bytes(b"no database" * 1_000)
    said = await graph.refused("POST", f"/v2/models/{name}/infer", 503, {"inputs": TENSORS})
    assert said.startswith("DISK: ") and graph.waiting() == []


async def test_an_inference_signs_what_was_counted_whatever_its_caller_or_the_setting_allow(graph: Graph) -> None:
    name = await graph.register()
    graph.settings = {**DAY, "daily": "10", "max_charge": "50"}
    async with playing(graph):
        for given in ({}, {"max_charge": "900"}):
            body = {"inputs": TENSORS} | ({"parameters": given} if given else {})
            found = json.loads((await graph.infer(name, body))[1])["parameters"]["id"]
            terms: Any = graph.ledger.state.get(records.terms_key(bytes.fromhex(found)))
            assert 0 < terms.terms.max_charge < CREDIT // 100


async def test_a_request_that_a_block_refuses_takes_nothing_of_the_day(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner who raises its price at every request would otherwise end a stranger's day, for all models."""
    name = await graph.register()
    graph.settings = {"daily": "0.005", "n": 3, "tip": "0.0002"}

    async def dearer(*given: Any) -> None:
        raise rejected("The request was refused in block 7", PredictionCode.CHARGE_TOO_HIGH)

    with monkeypatch.context() as changed:
        changed.setattr(inference_api, "_ended", dearer)
        for _ in range(3):
            error = await graph.refused("POST", f"/v2/models/{name}/infer", 409, {"inputs": TENSORS})
            assert error.startswith("CHARGE_TOO_HIGH: "), "not DAILY_BUDGET"


def test_the_budget_is_of_the_last_day_and_knows_what_came_back(tmp_path: Path) -> None:
    one, two, three = (sha(word) for word in ("1", "2", "3"))
    with closing(DayBudget(tmp_path / "day.db")) as budget:
        assert budget.take(one, 10, 1_000, 30) is None and budget.take(two, 20, 2_000, 30) is None
        assert budget.take(three, 1, 3_000, 30) == 30
        budget.settle(one, 4)
        budget.settle(one, 0)
        assert budget.take(three, 7, 3_000, 30) == 24 and budget.unsettled() == [two]
    with closing(DayBudget(tmp_path / "day.db")) as budget:
        assert budget.take(three, 30, 86_401_000, 30) == 20 and budget.unsettled() == [two]
        assert budget.take(three, 30, 86_402_000, 30) is None
        # The clock was wrong, and is set back by a year: a day later nothing of then counts.
        assert budget.take(one, 1, 1_000, 30) == 30 and budget.take(one, 30, 86_401_000, 30) is None


def test_of_many_requests_whose_cost_is_not_known_the_oldest_are_looked_up(tmp_path: Path) -> None:
    with closing(DayBudget(tmp_path / "day.db")) as budget:
        for at in range(1, 301):
            assert budget.take(sha(at), 1, at, 1_000) is None
        assert budget.unsettled() == [sha(at) for at in range(1, 257)]


BAD_SCHEMAS = [
    (b"{}", "says nothing clear"),
    (json.dumps({**SCHEMA, "classes": ["a", "b", "c"]}).encode(), "names 3 classes, the model has 2"),
]


@pytest.mark.parametrize(("schema", "why"), BAD_SCHEMAS)
async def test_a_strangers_model_whose_schema_is_of_no_use_cannot_be_asked_so(graph: Graph, schema: bytes, why: str) -> None:
    name = await graph.register()
    schemas._KEPT.clear()
    (file,) = graph.api.node.files.folder.iterdir()
    file.write_bytes(schema)  # as if a stranger, whose node does not look, had registered it
    assert why in await graph.refused("POST", f"/v2/models/{name}/infer", 400, {"inputs": TENSORS})
    assert why in await graph.refused("GET", f"/v2/models/{name}", 400)


async def test_rows_that_do_not_fit_are_refused_before_anything_is_paid(graph: Graph) -> None:
    """The same schema guards a request that comes the other way."""
    await graph.register()
    asked = {"model": graph.model, "rows": [[[1, 2], 3], {"n": 4, "x": [5, 101]}]}
    error = (await graph.api.post("/v1/predictions", asked, 400))["error"]
    assert error["name"] == "BAD_ROW"
    assert "row 2, x[1]: 101 is not a number from -100 to 100 (FP32)" in error["message"]
    assert (await graph.api.post("/v1/predictions/quote", asked, 400))["error"]["name"] == "BAD_ROW"
    assert list(records.REQUESTS.newest(graph.ledger.state, None, 10)) == []
    good = {"model": graph.model, "rows": [[[1, 2], 3], {"n": 4, "x": [5, 6.0]}]}
    done = await graph.api.post("/v1/predictions?wait=10", good)
    terms: Any = graph.ledger.state.get(records.terms_key(bytes.fromhex(done["request"])))
    assert terms.terms.inline == b"[[1,2],3]\n[[5,6],4]\n"
    unchecked = {"model": graph.model, "input": "anything\n", "unchecked": True}
    await graph.api.post("/v1/predictions?wait=10", unchecked)
