"""What a validator behind a slow link costs the others: 1 MB/s and 200 ms each way, and a quick link, in turns on the same nodes.

Every node has a network namespace of its own; in both kinds of turns the link is a program that carries frames
(`tests.processes.slow_link`). Transfers go one after the other, each to one of the three others. Needs root.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.limits import quantile
from learningchain.chain.contracts.credits import Transfer
from tests.processes.harness import PATIENCE_S, Graph, NodeProcess, Person, Role, validators, with_params
from tests.processes.netns import Lan
from tests.processes.slow_link import SlowLink

SLOW, QUICK = (1e6, 0.2), (125e6, 0.0)
"""Bytes a second, seconds each way."""
PROPOSE_MS = 1_000
"""Longer than a proposal is under way: a turn that is lost is lost to the link and the load on it."""
WARM = 4
"""Transfers after each change of the link that do not count."""


@dataclass(frozen=True)
class Turn:
    times: list[float]
    """Milliseconds to finality, one transfer after the other."""
    turns: int
    taken: int
    """Heights whose first proposer was the validator behind the link, and those of them that have its block."""


@dataclass(frozen=True)
class SlowLinkFigure:
    """Finality at the three others, from the request to the answer; ratios are of neighbouring turns, their median."""

    pairs: int
    transfers: int
    quick_p50_ms: float
    slow_p50_ms: float
    p50_ratio: float
    slow_p95_ms: float
    quick_turns_taken: float
    slow_turns_taken: float
    """Of the heights that were its turn, the share that has its block."""


async def slow_link(pairs: int, transfers: int) -> SlowLinkFigure:
    """Raises `netns.Refused` where this machine has no namespaces or taps, `RuntimeError` when a transfer is not final."""
    payer, names = Person("payer"), ["v0", "v1", "v2", "slow"]
    roles, params = [*validators(3), Role("slow", validator=True)], with_params(timeout_propose=PROPOSE_MS)
    with tempfile.TemporaryDirectory(prefix="learningchain-slow-") as folder, Lan(names) as lan:
        graph = Graph(Path(folder), lan.roles(roles), people=[payer], params=params)
        async with SlowLink(lan, "slow", rate=QUICK[0], delay=QUICK[1]) as link, graph:
            lan.inhabit(graph)
            await graph.start()
            quick, slow = list[Turn](), list[Turn]()
            for kind, found in itertools.islice(itertools.cycle([(QUICK, quick), (SLOW, slow)]), 2 * pairs):
                link.become(*kind)
                found.append(await _turn(graph, payer, transfers))
    return summary(quick, slow)


def summary(quick: list[Turn], slow: list[Turn]) -> SlowLinkFigure:
    at_once, late = ([one for turn in turns for one in turn.times] for turns in (quick, slow))
    ratios = [statistics.median(b.times) / statistics.median(a.times) for a, b in zip(quick, slow, strict=True)]
    return SlowLinkFigure(
        pairs=len(quick),
        transfers=len(quick[0].times),
        quick_p50_ms=statistics.median(at_once),
        slow_p50_ms=statistics.median(late),
        p50_ratio=statistics.median(ratios),
        slow_p95_ms=quantile(late, 0.95),
        quick_turns_taken=_share(quick),
        slow_turns_taken=_share(slow),
    )


def _share(turns: list[Turn]) -> float:
    return sum(turn.taken for turn in turns) / max(1, sum(turn.turns for turn in turns))


async def _turn(graph: Graph, payer: Person, transfers: int) -> Turn:
    others, behind = [graph[f"v{i}"] for i in range(3)], graph["slow"]
    times: list[float] = []
    for number in range(WARM + transfers):
        if number == WARM:
            first = await others[0].height() + 1
        began = time.perf_counter()
        lane = number % len(others)  # one for each node: the next sequence is asked of it, and it may be a block behind the others
        done = await others[lane].api.submit_tx([Transfer(behind.id, 1, b"")], payer.key, lane=lane, wait=PATIENCE_S)
        if done["code"] != 0:
            raise RuntimeError(f"a transfer was not carried out: {done}")
        times.append((time.perf_counter() - began) * 1_000)
    last = await others[0].height()
    await behind.reaches(last)
    return Turn(times[WARM:], *await _its_turns(graph, behind, first, last))


async def _its_turns(graph: Graph, behind: NodeProcess, first: int, last: int) -> tuple[int, int]:
    """Of these heights those that were its turn (LC-CON-4), and those of them that have its block."""
    order = sorted(node.id for node in graph)
    own = [height for height in range(first, last + 1) if height % len(order) == order.index(behind.id)]
    blocks = [await graph["v0"].api.block(height) for height in own]
    return len(own), sum(block["proposer"] == behind.address for block in blocks)
