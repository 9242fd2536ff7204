"""`python -m benchmarks.joining`: how long a machine that has nothing takes into a graph of four on loopback, by one command.

From the command `learningchain join TOKEN` to the line that says that its node has the blocks up to its admission, and the stages
on the way as the command tells them. Each round is another machine, invited by another validator.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.graph import PASSPHRASE, VALIDATORS, Graph, Member, free_ports, make, start

STAGES = {"identity_s": "Identity lc1", "genesis_s": "Genesis of", "admitted_s": "Admitted:", "synced_s": "Synced to block"}
"""What is measured by the line that ends it."""
LIMIT_S = 120.0


@dataclass(frozen=True)
class JoiningFigure:
    """Medians over the rounds, each from the command on."""

    rounds: int
    identity_s: float
    genesis_s: float
    admitted_s: float
    synced_s: float


async def joining(rounds: int) -> JoiningFigure:
    """At most as many rounds as validators. Raises `RuntimeError` where a machine does not come in."""
    graph = make(0)
    try:
        for member in graph.validators:
            start(member)
        await graph.wait_until_ready(graph.validators, VALIDATORS - 1)
        found = [await _round(graph, graph.validators[number], number) for number in range(rounds)]
    finally:
        await graph.close()
    return JoiningFigure(rounds, **{name: statistics.median(one[name] for one in found) for name in STAGES})


async def _round(graph: Graph, inviter: Member, number: int) -> dict[str, float]:
    url, body = f"{inviter.url}/v1/invitations?wait=30", {"lasts_ms": 600_000, "credits": "1"}
    async with graph.session.post(url, headers=inviter.headers(), json=body) as answer:
        answer.raise_for_status()
        token = (await answer.json())["token"]
    return await asyncio.to_thread(_joined, token, graph.folder / f"newcomer{number}")


def _joined(token: str, data: Path) -> dict[str, float]:
    p2p, api = free_ports(2)
    words = ["join", "--data", str(data), "--listen", f"127.0.0.1:{p2p}", "--api-listen", f"127.0.0.1:{api}"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEARNINGCHAIN_")}
    secret = {"LEARNINGCHAIN_PASSPHRASE": PASSPHRASE, "LEARNINGCHAIN_TOKEN": token, "PYTHONUNBUFFERED": "1"}
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "learningchain", *words],
        env=kept | secret,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        return dict(_stages(process, began))
    finally:
        process.kill()
        process.wait()


def _stages(process: subprocess.Popen[str], began: float) -> Iterator[tuple[str, float]]:
    lines, said = process.stderr or (), ""
    left = dict(STAGES)
    for line in lines:
        said += line
        for name, text in list(left.items()):
            if text in line:
                del left[name]
                yield name, time.perf_counter() - began
        if not left:
            return
        if time.perf_counter() - began > LIMIT_S:
            break
    raise RuntimeError(f"the newcomer did not come in:\n{said[-2000:]}")


if __name__ == "__main__":
    rounds = min(int((sys.argv[1:] or ["3"])[0]), VALIDATORS)
    for name, value in asdict(asyncio.run(joining(rounds))).items():
        print(f"{name:12} {value}")
