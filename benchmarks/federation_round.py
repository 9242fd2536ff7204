"""A round of federated training on real nodes: four validators, of which one is the sponsor and three add up and measure, and five
owners. Real daemons, TLS, disks, processes that compute; programs end at once (`no_program`).

    started --> drawn --> train --> collect --> rows --> screen --> screened --> summed --> open --> settled     by blocks' times

All nine work on the cores of one machine, where each would have its own: beside the time by the clock stands the processor time.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.idle import cpu_s
from benchmarks.no_program import DATA
from learningchain.client.sdk.types import Json
from learningchain.examples.federation.federated import model_bytes
from tests.processes.harness import Graph, NodeProcess, Role, eventually, with_params

OWNERS = tuple(f"o{n}" for n in range(5))
VERIFIERS = ("v1", "v2", "v3")
BACKEND = {"sandbox.backend": "no_program"}
SERVES = BACKEND | {"work.verify": True, "federation.serve": True}
ROLES = [
    Role("v0", validator=True, settings=BACKEND),
    *(Role(name, validator=True, verifier=True, settings=SERVES) for name in VERIFIERS),
    *(Role(name, settings=BACKEND | {"work.enabled": True}) for name in OWNERS),
]
PARAMS = with_params(heartbeat=5_000, fed_base=60_000, fed_ready=30_000, fed_open=30_000, fed_least=1_000)
IMAGE = "registry.example/none@sha256:" + "ab" * 32
WARM = 2
"""Rounds before those that count: the baseline, and one in which processes start."""
PATIENCE_S = 240.0
MOST_STEP_MS = 5.0
SMALL, LARGE = 100_000, 1_000_000
PARTS = (
    "fed.started",
    "fed.drawn",
    "fed.train",
    "fed.collect",
    "fed.rows",
    "fed.screen",
    "fed.screened",
    "fed.summed",
    "fed.open",
    "fed.settled",
)
"""What ends one part of a round and begins the next one."""


@dataclass(frozen=True)
class Real:
    """Rounds of one kind; milliseconds by the clock, medians over rounds. A round is from the block that settles the one before to
    the block that settles it."""

    dims: int
    secret: bool
    rounds: int
    round_ms: float
    own_ms: float
    """Less the time in which a program of anybody ran."""
    parts: dict[str, float]
    """By the event that ends each; the first is the sponsor's start."""
    blocks: float
    block_ms: float
    """A transfer of an owner until it is final, between such rounds."""
    cpu_ms: float
    """Processor time of all nine nodes and the processes that compute for them, for one round."""
    owner_out: float
    owner_in: float
    """Bytes of one owner and one round on all its links, votes and blocks of others included."""
    step_ms: float
    """Processor time of the longest step of any node's event loop; 0 where steps were not watched."""
    slow: dict[str, int]
    """Steps of over 5 ms, by what ran."""
    steps: int
    load: float


def rounds_of(events: Sequence[Json], first: int) -> list[Json]:
    """Of each whole round from number `first` on: `parts` in ms, `blocks`, `from` and `to` in ms of the chain's clock. Events in
    their order. RuntimeError where an attempt came to nothing, or an update was not used: such rounds measure something else."""
    bad = next((event for event in events if event["topic"] in ("fed.void", "fed.again", "fed.unstarted")), None)
    if bad is not None:
        raise RuntimeError(f"a round was not whole: {bad['topic']} at height {bad['height']}: {bad['data']}")
    found: list[Json] = []
    last: Json | None = None
    seen: dict[str, Json] = {}
    for event in events:
        if event["topic"] in PARTS:
            seen[event["topic"]] = event
        if event["topic"] != PARTS[-1]:
            continue
        if last is not None and set(seen) == set(PARTS) and event["data"]["r"] >= first:
            steps = [last, *(seen[topic] for topic in PARTS)]
            parts = {b["topic"]: b["time"] - a["time"] for a, b in pairwise(steps)}
            blocks = event["height"] - seen[PARTS[0]]["height"] + 1
            found.append({"r": event["data"]["r"], "parts": parts, "blocks": blocks, "from": last["time"], "to": event["time"]})
        last, seen = event, {}
    return found


def covered_ms(spans: Sequence[tuple[float, float]], start: float, end: float) -> float:
    """Of the time from `start` to `end` the part that the spans cover together."""
    total, at = 0.0, start
    for begin, stop in sorted(spans):
        begin, stop = max(begin, at), min(stop, end)
        if stop > begin:
            total, at = total + stop - begin, stop
    return total


@dataclass(frozen=True)
class RealRounds:
    """`watched`: the small sum again, with an eye on every step of the nodes' event loops."""

    sum: Real
    open: Real
    large: Real
    watched: Real


async def federation_round(rounds: int, large_rounds: int) -> RealRounds:
    """Four graphs, one after the other. RuntimeError where a round is not whole."""
    return RealRounds(
        sum=await real_rounds(SMALL, True, rounds),
        open=await real_rounds(SMALL, False, rounds),
        large=await real_rounds(LARGE, True, large_rounds),
        watched=await real_rounds(SMALL, True, rounds, own_loop=True),
    )


async def real_rounds(dims: int, secret: bool, rounds: int, own_loop: bool = False) -> Real:
    """`own_loop`: watch every step of the nodes' event loops, which makes them a little slower. RuntimeError where a round is not
    whole."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="learningchain-bench-") as name:
        folder = Path(name)
        (folder / "graph").mkdir()
        async with Graph(folder / "graph", ROLES, params=PARAMS) as graph:
            notes = {node.name: folder / f"{node.name}.json" for node in graph}
            for node in graph:
                watch = ["--own-loop"] if own_loop else []
                node.program = [sys.executable, "-m", "benchmarks.probed_node", str(notes[node.name]), *watch]
            federation = await _opened(graph, folder, dims, secret, WARM + rounds)
            await _settled(graph["v0"], federation, WARM - 1)
            _toggle(graph)
            before, cpu = await _traffic(graph), _cpu_s(graph)
            await _settled(graph["v0"], federation, WARM + rounds - 1)
            cpu, after = _cpu_s(graph) - cpu, await _traffic(graph)
            _toggle(graph)
            block_ms = statistics.median([await _transfer(graph) for _ in range(9)])
            events = await _events(graph["v0"], federation)
            await asyncio.gather(*(node.stop() for node in graph))
            seen = [json.loads(path.read_text()) for path in notes.values()]
    found = rounds_of(events, WARM)
    programs = [(1_000 * begin, 1_000 * end) for one in seen for _, begin, end in one["programs"]]
    walls = [one["to"] - one["from"] for one in found]
    own = [wall - covered_ms(programs, one["from"], one["to"]) for wall, one in zip(walls, found, strict=True)]
    slow = [(ms, what) for one in seen for ms, what in one["slow"]]
    over = [what for ms, what in slow if ms > MOST_STEP_MS]
    return Real(
        dims=dims,
        secret=secret,
        rounds=len(found),
        round_ms=statistics.median(walls),
        own_ms=statistics.median(own),
        parts={topic: statistics.median(one["parts"][topic] for one in found) for topic in PARTS},
        blocks=statistics.median(one["blocks"] for one in found),
        block_ms=block_ms,
        cpu_ms=1_000 * cpu / rounds,
        owner_out=(after[0] - before[0]) / len(OWNERS) / rounds,
        owner_in=(after[1] - before[1]) / len(OWNERS) / rounds,
        step_ms=max((ms for ms, _ in slow), default=0.0),
        slow={what: over.count(what) for what in sorted(set(over))},
        steps=sum(one["steps"] for one in seen),
        load=load,
    )


async def _opened(graph: Graph, folder: Path, dims: int, secret: bool, rounds: int) -> str:
    """All nodes run, and the federation has its five members; its sponsor starts rounds by itself from then on."""
    await asyncio.gather(*(node.start(within=PATIENCE_S) for node in graph))
    await graph.connected(PATIENCE_S)
    sponsor = graph["v0"]
    for name in VERIFIERS:
        await eventually(f"{name} may be drawn", lambda n=graph[name]: _serves(n), PATIENCE_S)  # type: ignore[misc]
    initial = folder / "initial.safetensors"
    initial.write_bytes(model_bytes({"w": np.zeros(dims, np.float32)}))
    model = await sponsor.api.upload(initial)
    terms: Json = {
        "image": {"reference": IMAGE},
        "model": {"cid": model["cid"], "size": model["size"], "dims": dims},
        "bounty": "10",
        "target": "0.000001",
        "rounds": rounds,
        "ends_in_s": 3_600,
        "round_s": 120,
        "limits": {"mem_mb": 64, "train_s": 30, "eval_s": 30},
        "vetted": False,
        "min_members": len(OWNERS),
        "min_sum": 3,
        "secrecy": "sum" if secret else "open",
        "admit": "open",
        "clip": "1000",
    }
    federation = (await sponsor.api.open_federation(terms, wait=30))["federation"]
    for name in OWNERS:
        await eventually(f"{name} knows it", lambda n=graph[name]: _knows(n, federation), PATIENCE_S)  # type: ignore[misc]
    await asyncio.gather(*(graph[name].api.join_federation(federation, DATA, min_vetted=0, wait=30) for name in OWNERS))
    await sponsor.api.look_after_federation(federation)
    return federation


async def _serves(node: NodeProcess) -> bool:
    found = await node.api.federation_serving()
    return found["on"] and bool((await node.api.account())["capacity"])


async def _knows(node: NodeProcess, federation: str) -> bool:
    return any(one["id"] == federation for one in await node.api.federations())


async def _settled(node: NodeProcess, federation: str, r: int) -> None:
    async def there() -> bool:
        events = await node.api.federation_events(federation, limit=50)
        return any(event["topic"] == "fed.settled" and event["data"]["r"] >= r for event in events)

    await eventually(f"round {r} is settled", there, PATIENCE_S)


async def _events(node: NodeProcess, federation: str) -> list[Json]:
    """All, in their order."""
    found: list[Json] = []
    before: int | None = None
    while page := await node.api.federation_events(federation, before=before, limit=100):
        found += map(dict, page)
        before = page[-1]["cursor"]
    return found[::-1]


async def _transfer(graph: Graph) -> float:
    began = time.perf_counter()
    await graph["o0"].api.transfer(graph["v1"].address, "0.001", wait=30)
    return 1_000 * (time.perf_counter() - began)


async def _traffic(graph: Graph) -> tuple[int, int]:
    """Bytes that owners sent and got so far."""
    peers = [peer for name in OWNERS for peer in await graph[name].api.peers()]
    return sum(peer["bytes_out"] for peer in peers), sum(peer["bytes_in"] for peer in peers)


def _toggle(graph: Graph) -> None:
    """The nodes begin to note, or end it."""
    for node in graph:
        node.signal(signal.SIGUSR2)


def _cpu_s(graph: Graph) -> float:
    return sum(cpu_s(pid) for node in graph for pid in (node.pid, *_children(node.pid)))


def _children(pid: int) -> list[int]:
    """Each thread has its own."""
    return [int(one) for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()]
