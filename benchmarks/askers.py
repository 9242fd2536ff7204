"""What members that ask for far more than anybody can use cost the others: a quiet while, one of questions for blocks and one of a
flood of small messages of all channels, in turns on the same nodes (`tests.processes.asker`)."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.limits import quantile
from benchmarks.overload import rss_of
from learningchain.chain.contracts.credits import Transfer
from tests.processes.asker import HISTORY, Asker, askers, make_history
from tests.processes.harness import PATIENCE_S, Graph, NodeProcess, Person, Role, validators, with_params

RATE = 2_000
"""Questions of a member in a second; each is for as many blocks as an answer may hold."""
PIECE = 5_000
"""Messages of a piece of the flood, which goes on until its while is over."""
LOOK_S = 0.1
PAYER = Person("payer")
MEMBERS = ("m0", "m1", "m2")


@dataclass(frozen=True)
class While:
    """What was seen while something went on. Milliseconds."""

    finality: list[float]
    """Transfers one after the other, in turns at all nodes."""
    answers: list[float]
    """Each node's `GET /v1/status`, ten times a second."""
    grew_mb: float
    """Most by which a node's memory was above that of the beginning."""
    cores: float
    """Processor time of this process, those who ask and those who pay, for each second."""


@dataclass(frozen=True)
class AskersFigure:
    """`asked`: three members with 2,000 questions a second each. `flooded`: one as fast as its connections take it. Ratios are of
    medians, to the quiet while before; the median of all turns."""

    turns: int
    asked: int
    answered: int
    flooded: int
    """Messages that left."""
    quiet_p50_ms: float
    asked_ratio: float
    flooded_ratio: float
    quiet_answer_p95_ms: float
    asked_answer_p95_ms: float
    flooded_answer_p95_ms: float
    grew_mb: float
    flood_cores: float
    """What the flood takes of the cores that it shares with the validators."""


async def askers_cost(turns: int, seconds: float) -> AskersFigure:
    """Raises `RuntimeError` where a transfer is not carried out meanwhile, or who asks is not answered."""
    found: list[tuple[While, While, While]] = []
    asked = flooded = 0
    with tempfile.TemporaryDirectory(prefix="learningchain-askers-") as folder:
        roles = [*validators(4), *map(Role, MEMBERS)]
        async with Graph(Path(folder), roles, people=[PAYER], params=with_params(heartbeat=100)) as graph:
            nodes = [graph[f"v{i}"] for i in range(4)]
            await graph.start(*(node.name for node in nodes))
            await make_history(nodes[0], PAYER)
            await asyncio.gather(*(node.reaches(HISTORY) for node in nodes))
            async with askers(graph, list(MEMBERS), nodes) as asking:
                for _ in range(turns):
                    quiet, _ = await _seen(nodes, _nothing(seconds))
                    while_asked, left = await _seen(nodes, _ask(asking, seconds))
                    while_flooded, sent = await _seen(nodes, _flood(asking[0], seconds))
                    found.append((quiet, while_asked, while_flooded))
                    asked, flooded = asked + left, flooded + sent
                if not (answered := sum(one.answered for one in asking)):
                    raise RuntimeError("members that ask were not answered")
            await graph.agree()
    return summary(found, asked, answered, flooded)


async def _nothing(seconds: float) -> int:
    await asyncio.sleep(seconds)
    return 0


async def _ask(asking: list[Asker], seconds: float) -> int:
    return sum(await asyncio.gather(*(one.ask(round(RATE * seconds), seconds) for one in asking)))


async def _flood(asker: Asker, seconds: float) -> int:
    ends, left = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        left += await asker.flood(PIECE)
    return left


async def _seen(nodes: list[NodeProcess], busy: Awaitable[int]) -> tuple[While, int]:
    """Until `busy` has ended, and what it found."""
    used, began = time.process_time(), time.perf_counter()
    before = {node.name: rss_of(node.pid) for node in nodes}
    finality, answers, most, ended = list[float](), list[float](), [0.0], asyncio.Event()

    async def pay() -> None:
        # A lane for each node: the next sequence is asked of it, and it may be a block behind the others.
        for lane, node in itertools.cycle(enumerate(nodes)):
            if ended.is_set():
                return
            offered = time.perf_counter()
            done = await node.api.submit_tx([Transfer(nodes[0].id, 1, b"")], PAYER.key, lane=lane, wait=PATIENCE_S)
            if done["code"] != 0:
                raise RuntimeError(f"a transfer was not carried out: {done}")
            finality.append((time.perf_counter() - offered) * 1_000)

    async def look(node: NodeProcess) -> None:
        while not ended.is_set():
            asked = time.perf_counter()
            await node.api.status()
            answers.append((time.perf_counter() - asked) * 1_000)
            most.append(rss_of(node.pid) - before[node.name])
            await asyncio.sleep(LOOK_S)

    watching = [asyncio.create_task(pay()), *(asyncio.create_task(look(node)) for node in nodes)]
    try:
        done = await busy
    finally:
        ended.set()
        await asyncio.gather(*watching)
    cores = (time.process_time() - used) / (time.perf_counter() - began)
    return While(finality, answers, max(most), cores), done


def summary(found: list[tuple[While, While, While]], asked: int, answered: int, flooded: int) -> AskersFigure:
    def ratio(kind: int) -> float:
        return statistics.median(statistics.median(t[kind].finality) / statistics.median(t[0].finality) for t in found)

    def answer(kind: int) -> float:
        return quantile([ms for turn in found for ms in turn[kind].answers], 0.95)

    return AskersFigure(
        turns=len(found),
        asked=asked,
        answered=answered,
        flooded=flooded,
        quiet_p50_ms=statistics.median(ms for turn in found for ms in turn[0].finality),
        asked_ratio=ratio(1),
        flooded_ratio=ratio(2),
        quiet_answer_p95_ms=answer(0),
        asked_answer_p95_ms=answer(1),
        flooded_answer_p95_ms=answer(2),
        grew_mb=max(one.grew_mb for turn in found for one in turn),
        flood_cores=statistics.median(turn[2].cores for turn in found),
    )
