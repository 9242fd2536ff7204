"""Finality over long links: four validators, 100 ms and 1 % loss between any two of them, one transfer outstanding.

Every node has a network namespace of its own. Delay and loss come from the kernel's netem where it has it, and otherwise from
`tests.processes.slow_link`, which carries the frames between the namespaces; `Wan.means` says which. `python -m benchmarks.wan`
prints the figures. Needs root.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.params import Params
from learningchain.chain.types import TxBody, net_of
from tests.processes.harness import Graph, NodeProcess, Person, validators
from tests.processes.netns import Lan, Refused
from tests.processes.slow_link import SlowLink

DELAY_MS = 100.0
LOSS = 0.01
VALIDATORS = 4
RATE = 125e6
"""Bytes a second of a link."""
VALID_UNTIL = 90_000
WARM = 8
"""Transfers before the first that counts."""


@dataclass(frozen=True)
class Wan:
    """Times are from the request at a validator to the answer that its transfer is final; `delays` are one-way delays."""

    samples: int
    means: str
    delay_ms: float
    """As the nodes measure it: half a round trip, median of all connections."""
    p50_ms: float
    p99_ms: float
    p50_delays: float
    p99_delays: float
    by_turn_p50_delays: list[float]
    """By how many turns the node that took the transfer was from proposing: 0 proposed it itself."""
    rounds: float
    """Mean round in which the heights were decided."""


@contextlib.asynccontextmanager
async def long_links(lan: Lan, delay_ms: float, loss: float) -> AsyncIterator[str]:
    """Between any two nodes; yields what makes them."""
    if all(_netem(lan.namespace(name), delay_ms, loss) for name in lan.names):
        yield "netem"
        return
    async with contextlib.AsyncExitStack() as stack:
        # A frame goes over two cables, its sender's and its receiver's.
        once = 1 - (1 - loss) ** 0.5
        for name in lan.names:
            await stack.enter_async_context(SlowLink(lan, name, rate=RATE, delay=delay_ms / 2000, loss=once))
        yield "frames carried between namespaces: this kernel has no netem"


def _netem(namespace: str, delay_ms: float, loss: float) -> bool:
    rule = ["netem", "limit", "100000", "delay", f"{delay_ms}ms", "loss", f"{loss * 100}%"]
    command = ["ip", "netns", "exec", namespace, "tc", "qdisc", "replace", "dev", "graph", "root", *rule]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


async def wan(samples: int, *, delay_ms: float = DELAY_MS, loss: float = LOSS) -> Wan:
    """Raises `Refused` where this machine has no namespaces, `RuntimeError` when a transfer is not final."""
    lan = Lan([f"v{i}" for i in range(VALIDATORS)])
    payer = Person("payer")
    with tempfile.TemporaryDirectory(prefix="learningchain-wan-") as folder, lan:
        graph = Graph(Path(folder), lan.roles(validators(VALIDATORS)), people=[payer], params=Params())
        async with long_links(lan, delay_ms, loss) as means, graph:
            lan.inhabit(graph)
            await graph.start()
            return await _measure(graph, payer, samples, means)


async def _measure(graph: Graph, payer: Person, samples: int, means: str) -> Wan:
    nodes = list(graph)
    order = sorted(node.id for node in nodes)
    times: list[list[float]] = [[] for _ in nodes]
    rounds: list[int] = []
    rng = random.Random(samples)
    for number in range(WARM + samples):
        node = rng.choice(nodes)  # a fixed order would keep each node as far from its turn as it is at first
        began = time.perf_counter()
        height = await _final(graph, node, payer, number)
        took = (time.perf_counter() - began) * 1000
        if number >= WARM:
            block = await node.api.block(height)
            rounds.append(block["round"])
            times[(height - order.index(node.id)) % len(nodes)].append(took)
    rtts = [peer["rtt_ms"] for node in nodes for peer in await node.api.peers() if peer["rtt_ms"] is not None]
    delay = statistics.median(rtts) / 2
    found = sorted(t for turn in times for t in turn)
    p50, p99 = statistics.median(found), found[min(len(found) - 1, int(len(found) * 0.99))]
    turns = [statistics.median(turn) / delay if turn else 0.0 for turn in times]
    return Wan(samples, means, delay, p50, p99, p50 / delay, p99 / delay, turns, statistics.mean(rounds))


async def _final(graph: Graph, node: NodeProcess, payer: Person, number: int) -> int:
    """The height that holds one more transfer of the payer, offered to this node."""
    chain_id = graph.genesis.chain_id
    op = msgspec.Raw(encode(Transfer(node.id, 1, b"")))
    raw = sign_tx(payer.key, chain_id, TxBody(net_of(chain_id), payer.id, 0, number, VALID_UNTIL, [op]))
    done = await node.api.submit_raw(raw, wait=60)
    if "height" not in done:
        raise RuntimeError(f"a transfer was not final: {done}")
    return done["height"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wan", description="Finality over long links; needs root.")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--delay-ms", type=float, default=DELAY_MS)
    parser.add_argument("--loss", type=float, default=LOSS, help="of one frame, between 0 and 1")
    given = parser.parse_args()
    try:
        found = asyncio.run(wan(given.samples, delay_ms=given.delay_ms, loss=given.loss))
    except Refused as reason:
        print(f"not measured: {reason}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(found), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
