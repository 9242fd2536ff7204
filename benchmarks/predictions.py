"""From a request to the value that five servers agreed on: four validators, five serving nodes and a node that asks, real daemons
and real containers on this machine. Beside it, in turns, plain HTTP to the same program in a container and a put into etcd.

    posted --> drawn --> all committed --> all opened --> told        the parts of a request, by the times of its blocks

The five nodes answer at the same time on the cores of one machine. What a machine of its own for each would make of it is the sum
of parts that were measured one at a time: a block for each step of the contract, and one answer of one waiting container.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.limits import quantile
from benchmarks.peers import etcd
from benchmarks.peers.base import Unavailable
from benchmarks.warm_answers import INPUT, JOB, PlainServer, warm_answers
from learningchain.client.sdk.types import Json
from learningchain.sandbox import Sandbox, SandboxUnavailable
from learningchain.sandbox.images import build_python_image
from tests.network import NetworkParams
from tests.processes.harness import Graph, NodeProcess, Role, eventually

SERVERS = ("v1", "v2", "v3", "s0", "s1")
SERVES = {"work.verify": True, "serve.mem_mb": 512, "serve.warm": 2}
ROLES = [
    Role("v0", validator=True),
    *(Role(name, validator=name[0] == "v", verifier=True, settings=SERVES) for name in SERVERS),
]
"""`v0` owns the model and asks: whoever asks is never drawn for it."""
ROWS = 256
"""Of a batch: as many as a request may have."""
PUTS = 8
"""Into etcd in each turn."""
STEP_BLOCKS = 6
"""That a request needs at least: one takes it, the next one draws, one takes the commitments, the next one lets them open, one
takes the openings, the next one settles. What ends early ends in the next block, with that block's beacon (LC-PRE-23, 24)."""
PATIENCE_S = 120.0
STEPS = ("request.posted", "request.answer", "request.open", "request.answered")


@dataclass(frozen=True)
class Predictions:
    """Milliseconds; of `parts` medians, by the clocks of the proposers."""

    requests: int
    p50_ms: float
    p95_ms: float
    """From the call of the SDK to the agreed values, of requests of 16 rows, one outstanding, containers waiting."""
    http_p50_ms: float
    etcd_p50_ms: float | None
    etcd_left_out: str
    to_http: float
    """Median of the ratios of neighbours."""
    parts: dict[str, float]
    blocks: float
    """From the block that takes the request to the one that settles it, both counted; median."""
    transfer_p50_ms: float
    """A transfer of the asking node until it is final: what one block of the same graph takes, in turns with the others."""
    alone_ms: float
    """One answer of one waiting container, after the graph has ended."""
    own_machines_ms: float
    """By the parts: a transfer for each of `STEP_BLOCKS`, and one answer alone."""
    batches: int
    rows_per_s: float
    """Of batches of 256 rows, four under way, until the last of them has its agreed values."""
    load: float
    """Load average of the machine when it began."""


@dataclass(frozen=True)
class Turn:
    """One of each, in milliseconds."""

    asked_ms: float
    http_ms: float
    transfer_ms: float
    puts_ms: list[float]
    parts: dict[str, float]
    blocks: int


async def predictions(requests: int, batches: int, etcd_program: Callable[[], str]) -> Predictions:
    """Raises `Unavailable` without an engine, `RuntimeError` where a request does not come to its agreed values."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="learningchain-bench-") as name:
        folder = Path(name)
        image_id = build_python_image(folder / "job.tar", {"/lc/job": JOB}, with_packages=())
        (folder / "model").write_bytes(b"weights" * 10_000)
        (folder / "graph").mkdir()
        async with (
            _plain_server(folder, image_id) as server,
            _etcd(etcd_program) as (ports, left_out),
            Graph(folder / "graph", ROLES, params=NetworkParams()) as graph,
        ):
            model = await _served(graph, folder, image_id)
            turns = [await _turn(graph, model, server, ports) for _ in range(requests + 1)][1:]
            rows_per_s = await _batches(graph, model, batches)
    alone = await asyncio.to_thread(warm_answers, max(3, requests // 4))
    return summary(turns, left_out, alone.warm_ms, batches, rows_per_s, load)


def summary(turns: list[Turn], left_out: str, alone_ms: float, batches: int, rows_per_s: float, load: float) -> Predictions:
    asked = [turn.asked_ms for turn in turns]
    blocks, transfer_ms = statistics.median(turn.blocks for turn in turns), statistics.median(t.transfer_ms for t in turns)
    puts = [one for turn in turns for one in turn.puts_ms]
    return Predictions(
        requests=len(turns),
        p50_ms=statistics.median(asked),
        p95_ms=quantile(asked, 0.95),
        http_p50_ms=statistics.median(turn.http_ms for turn in turns),
        etcd_p50_ms=statistics.median(puts) if puts else None,
        etcd_left_out=left_out,
        to_http=statistics.median(turn.asked_ms / turn.http_ms for turn in turns),
        parts={part: statistics.median(turn.parts[part] for turn in turns) for part in turns[0].parts},
        blocks=blocks,
        transfer_p50_ms=transfer_ms,
        alone_ms=alone_ms,
        own_machines_ms=STEP_BLOCKS * transfer_ms + alone_ms,
        batches=batches,
        rows_per_s=rows_per_s,
        load=load,
    )


# --- what is asked -------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _plain_server(folder: Path, image_id: str) -> AsyncIterator[PlainServer]:
    """The same program as a server that answers everybody."""
    (folder / "room").mkdir()
    room = Sandbox(folder / "room", node_tag=f"bench-{os.getpid()}")
    try:
        room.check_engine()
        await asyncio.to_thread(room.load_archive, folder / "job.tar", image_id)
        server = await asyncio.to_thread(PlainServer, room._store.require(image_id))
        try:
            yield server
        finally:
            await asyncio.to_thread(server.close)
    except SandboxUnavailable as problem:
        raise Unavailable(str(problem)) from None
    finally:
        await asyncio.to_thread(room.cleanup)
        room.close()


@asynccontextmanager
async def _etcd(program: Callable[[], str]) -> AsyncIterator[tuple[list[int], str]]:
    """Ports of its members, or none and why it is not there."""
    try:
        found = await asyncio.to_thread(program)
    except Unavailable as problem:
        yield [], str(problem)
        return
    async with etcd.running(found) as ports:
        yield ports, ""


async def _served(graph: Graph, folder: Path, image_id: str) -> str:
    """A model that the five serve, at the settings that a graph begins with."""
    await graph.start()
    owner = graph["v0"]
    image, model = await owner.api.upload(folder / "job.tar"), await owner.api.upload(folder / "model")
    terms: Json = {
        "name": "sums",
        "kind": "number",
        "image": {"cid": image["cid"], "image_id": image_id, "size": image["size"]},
        "model": model,
        "limits": {"cpus": 1, "mem_mb": 64, "tmp_mb": 8},
    }
    registered = (await owner.api.register_model(terms, wait=30))["model"]
    for name in SERVERS:
        await eventually(f"{name} has a box key", lambda node=graph[name]: _box_key(node), PATIENCE_S)  # type: ignore[misc]
        await graph[name].api.serve(registered, wait=30)
    return registered


async def _box_key(node: NodeProcess) -> str | None:
    return (await node.api.account())["box_key"]


async def _warm(graph: Graph) -> None:
    """Every server has all the containers waiting that it keeps."""

    async def ready(node: NodeProcess) -> bool:
        return any(one["ready"] >= SERVES["serve.warm"] for one in (await node.api.status())["serving"])

    for name in SERVERS:
        await eventually(f"containers of {name} wait", lambda node=graph[name]: ready(node), PATIENCE_S)  # type: ignore[misc]


# --- what is measured ----------------------------------------------------------------------------------------------------------


async def _turn(graph: Graph, model: str, server: PlainServer, ports: list[int]) -> Turn:
    """One of each, one after the other, on a graph whose containers wait."""
    await _warm(graph)
    asker = graph["v0"]
    http_ms = await asyncio.to_thread(server.ask)
    puts_ms = await etcd.latency(ports, PUTS) if ports else []
    began = time.perf_counter()
    await asker.api.transfer(graph["v1"].address, "0.001", wait=30)
    transferred = time.perf_counter()
    found = await asker.api.predict(model, INPUT, n=5, tip="0.01")
    ended, told = time.perf_counter(), time.time()
    if found["state"] not in ("AGREED", "FINAL") or found["agree"] != len(SERVERS) or found["valued"] != INPUT.count(b"\n"):
        raise RuntimeError(f"a request did not come to its agreed values: {found}")
    steps = {event["topic"]: event for event in await asker.api.prediction_events(found["id"])}
    posted, drawn, opening, answered = (steps[topic]["time"] for topic in STEPS)
    parts = {
        "sent_ms": posted - 1_000 * (told - (ended - transferred)),
        "drawn_ms": float(drawn - posted),
        "committed_ms": float(opening - drawn),
        "opened_ms": float(answered - opening),
        "told_ms": 1_000 * told - answered,
    }
    blocks = steps[STEPS[-1]]["height"] - steps[STEPS[0]]["height"] + 1
    return Turn(1_000 * (ended - transferred), http_ms, 1_000 * (transferred - began), puts_ms, parts, blocks)


async def _batches(graph: Graph, model: str, batches: int) -> float:
    """Rows a second, containers waiting at first and started anew for every request after that."""
    await _warm(graph)
    rows = [[0.5, row % 97, -1.25, 3] for row in range(ROWS * batches)]
    began = time.perf_counter()
    values = await graph["v0"].api.predict_many(model, rows, n=5, batch=ROWS)
    spent = time.perf_counter() - began
    wrong = [value for value, row in zip(values, rows, strict=True) if value["score"] != f"{sum(row):.9f}"]
    if wrong:
        raise RuntimeError(f"{len(wrong)} of {len(rows)} rows have no value, or a wrong one: {wrong[0]}")
    return len(rows) / spent
