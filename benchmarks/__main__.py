"""`python -m benchmarks [--quick] [--json FILE]`: everything in one run, a table on the terminal, all figures in a file."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.graph import make, start
from benchmarks.limits import verify_rate
from benchmarks.sandbox_overhead import sandbox_overhead
from benchmarks.sync import sync
from benchmarks.throughput import finality, throughput
from sandbox import SandboxError

PAYERS = 64


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    transfers: int
    outstanding: int
    samples: int
    verify_s: float
    runs: int


FULL = Size(rounds=3, transfers=60_000, outstanding=8_000, samples=400, verify_s=2.0, runs=15)
QUICK = Size(rounds=1, transfers=12_000, outstanding=4_000, samples=100, verify_s=0.5, runs=3)


async def measure_graph(size: Size) -> dict[str, Any]:
    """Limit, finality and throughput in turns, so that a slow moment of the machine strikes all three; then the sync."""
    graph = await asyncio.to_thread(make, PAYERS)
    rounds: list[dict[str, Any]] = []
    try:
        for member in graph.validators:
            start(member)
        await graph.wait_until_ready(graph.validators, len(graph.validators) - 1)
        for number in range(size.rounds):
            say(f"round {number + 1} of {size.rounds}")
            one = await asyncio.to_thread(verify_rate, 1, size.verify_s)
            two = await asyncio.to_thread(verify_rate, 2, size.verify_s)
            latency = await finality(graph, size.samples)
            many = await throughput(graph, size.transfers, size.outstanding)
            load = os.getloadavg()[0]
            found = {"verify_one": one, "verify_two": two, "load": load, "finality": asdict(latency), "throughput": asdict(many)}
            rounds.append(found)
        say("sync of a fresh node")
        txs = sum(r["throughput"]["transfers"] + r["finality"]["samples"] for r in rounds)
        synced = asdict(await sync(graph, txs))
    finally:
        await graph.close()
    return {"rounds": rounds, "sync": synced}


def measure_sandbox(runs: int) -> dict[str, Any] | None:
    say("sandbox")
    try:
        return asdict(sandbox_overhead(runs))
    except SandboxError as problem:
        say(f"not measured: {problem}")
        return None


def say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


# --- showing ------------------------------------------------------------------------------------------------------------------


def summary(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(what, median, range over the rounds)."""
    rounds = found["rounds"]
    committee = [r["verify_two"] / 4 for r in rounds]
    rates = [r["throughput"]["per_s"] for r in rounds]
    rows = [
        row("signature checks/s, one thread", [r["verify_one"] for r in rounds], 0),
        row("signature checks/s, two processes", [r["verify_two"] for r in rounds], 0),
        row("committee limit (that / 4 validators), transfers/s", committee, 0),
        row("committed transfers/s, many outstanding", rates, 0),
        row("  of the committee limit", [a / b for a, b in zip(rates, committee, strict=True)], 2),
        row("  processor time of four validators, us/transfer", [r["throughput"]["cpu_us_per_transfer"] for r in rounds], 0),
        row("  transfers in a block", [r["throughput"]["txs_per_block"] for r in rounds], 0),
        row("  bytes on all links per transfer", [r["throughput"]["bytes_per_transfer"] for r in rounds], 0),
        row("finality, one outstanding, p50 ms", [r["finality"]["p50_ms"] for r in rounds], 1),
        row("finality, one outstanding, p99 ms", [r["finality"]["p99_ms"] for r in rounds], 1),
        row("sync of a fresh node, blocks/s", [found["sync"]["blocks_per_s"]], 0),
        row("sync of a fresh node, transactions/s", [found["sync"]["txs_per_s"]], 0),
    ]
    box = found["sandbox"]
    if box is not None:
        rows += [
            row("docker run --rm --network none, ms", [box["docker_ms"], *box["docker_quartiles_ms"]], 0),
            row("sandbox run of the same program, ms", [box["sandbox_ms"], *box["sandbox_quartiles_ms"]], 0),
            row("  difference of neighbours, ms", [box["overhead_ms"]], 0),
        ]
    return [*rows, row(f"load average during it (cores: {os.cpu_count()})", [r["load"] for r in rounds], 1)]


def row(what: str, values: list[float], digits: int) -> tuple[str, str, str]:
    middle = f"{statistics.median(values):,.{digits}f}"
    spread = f"{min(values):,.{digits}f} - {max(values):,.{digits}f}" if len(values) > 1 else ""
    return what, middle, spread


def show(rows: list[tuple[str, str, str]]) -> None:
    width = max(len(r[0]) for r in rows)
    print(f"{'':{width}}  {'median':>10}  range")
    for what, middle, spread in rows:
        print(f"{what:{width}}  {middle:>10}  {spread}")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measures a graph of four validators on this machine."
    )
    parser.add_argument("--quick", action="store_true", help="one short round: shows that everything works")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    given = parser.parse_args()
    size = QUICK if given.quick else FULL
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count(), "time": time.time()}
    found = {"size": asdict(size), "machine": machine, **asyncio.run(measure_graph(size)), "sandbox": measure_sandbox(size.runs)}
    rows = summary(found)
    show(rows)
    if given.json is not None:
        given.json.write_text(json.dumps(found | {"table": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
