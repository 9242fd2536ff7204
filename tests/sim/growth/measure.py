"""One run: a graph comes up, settles, and carries a burst of transfers every second."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from tests.sim.growth.count import Counts
from tests.sim.growth.graph import PAYERS, Graph
from tests.sim.growth.overlay import Overlay
from tests.sim.signatures import SIMULATED, signatures

SETTLE_MS = 1_500
BURST_MS = 1_000
TAIL_MS = 1_000


@dataclass(frozen=True)
class Spread:
    """Per node."""

    mean: float
    most: float


@dataclass(frozen=True)
class Load:
    """What one half of the graph sends and receives while transfers are carried, each node, a second."""

    messages: Spread
    bytes: Spread
    kinds: dict[str, tuple[float, float]]
    """Messages and bytes received, by kind, mean of the nodes, a second."""


@dataclass(frozen=True)
class Growth:
    validators: int
    members: int
    heights: int
    transfers: int
    connections: Spread
    """Of a member."""
    joining: Spread
    """Messages of a member until nobody dials any more."""
    joining_bytes: Spread
    refused: float
    """Dials that found no room, per member."""
    member: Load
    validator: Load
    votes_per_height: float
    """Votes and proposals carried over any connection, per height, over validators x validators."""
    votes_to_members: int
    reach_ms: float
    """From a block's first decision until the last node has it, mean of the heights."""


def measure(validators: int, members: int, *, bursts: int = 1, burst: int = 16, seed: int = 1) -> Growth:
    """Raises `RuntimeError` where not all transfers are decided everywhere."""
    nodes = validators + members
    joining = Counts(validators, nodes)
    overlay = Overlay(validators, members, joining, seed)
    overlay.grow()
    with signatures(SIMULATED):
        graph = Graph(overlay, Counts(validators, nodes), seed=seed)
        with graph.ledger.shared():
            graph.start()
            graph.run(SETTLE_MS)
            counts = graph.counts = Counts(validators, nodes)
            carried = _carry(graph, bursts, burst)
    top = max(node.height for node in graph.nodes)
    if {node.height for node in graph.nodes} != {top} or any(node.pool.waiting for node in graph.nodes) or not top:
        raise RuntimeError(f"not everything is decided everywhere: {sorted({node.height for node in graph.nodes})}")
    seconds = (bursts * BURST_MS + TAIL_MS) / 1000
    votes = sum(n for (kind, _), n in counts.kinds.items() if kind in ("votes", "proposals"))
    everybody = range(validators, nodes)
    return Growth(
        validators=validators,
        members=members,
        heights=top,
        transfers=carried,
        connections=spread([len(overlay.places[i].peers) for i in everybody]),
        joining=spread([joining.messages[i] for i in everybody]),
        joining_bytes=spread([joining.bytes[i] for i in everybody]),
        refused=overlay.refused / members,
        member=_load(counts, everybody, seconds, votes=False),
        validator=_load(counts, range(validators), seconds, votes=True),
        votes_per_height=votes / top / validators**2,
        votes_to_members=sum(n for (kind, v), n in counts.kinds.items() if kind in ("votes", "proposals") and not v),
        reach_ms=statistics.mean(times[-1] - times[0] for times in graph.decided_at.values()),
    )


def _carry(graph: Graph, bursts: int, burst: int) -> int:
    """Half of the transfers come in through members."""
    for _ in range(bursts):
        for payer in graph.rng.sample(range(PAYERS), burst):
            through = range(graph.validators) if payer % 2 else range(graph.validators, len(graph.nodes))
            graph.transfer(graph.rng.choice(through), payer)
        graph.run(BURST_MS)
    graph.run(TAIL_MS)
    return bursts * burst


def spread(values: list[int] | list[float]) -> Spread:
    return Spread(statistics.mean(values), max(values))


def _load(counts: Counts, nodes: range, seconds: float, *, votes: bool) -> Load:
    kinds = {
        kind: (counts.kinds[kind, votes] / len(nodes) / seconds, counts.sizes[kind, votes] / len(nodes) / seconds)
        for kind in sorted({kind for kind, v in counts.kinds if v is votes})
    }
    messages = spread([counts.messages[i] / seconds for i in nodes])
    return Load(messages, spread([counts.bytes[i] / seconds for i in nodes]), kinds)


def allowed(few: int, many: int) -> float:
    """How much more may be sent with `many` members than with `few`."""
    return math.log2(many) / math.log2(few)
