"""pysyncobj: four processes with their journals on disk, all else as it comes; Raft in Python, without signatures."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.graph import free_ports
from benchmarks.limits import quantile
from benchmarks.peers.base import START_S, Processes, Progress, Rate, Unavailable

MEMBERS = 4


@dataclass(frozen=True)
class SyncObj:
    puts: Rate
    samples: int
    p50_ms: float
    p99_ms: float
    """From the call to its return in the leader's own process, one outstanding: it waits for the tick."""


async def syncobj(env: dict[str, str], samples: int, puts: int, outstanding: int) -> SyncObj:
    """Raises `Unavailable`."""
    return await asyncio.to_thread(_syncobj, env, samples, puts, outstanding)


def _syncobj(env: dict[str, str], samples: int, puts: int, outstanding: int) -> SyncObj:
    with Processes("pysyncobj") as group:
        nodes = [group.start(command, talks=True, env=env) for command in commands(str(group.folder), free_ports(MEMBERS))]
        leader = _leader(group, nodes)
        times = _ask(group, leader, f"one {samples}")
        found = _ask(group, leader, f"many {puts} {outstanding}")
        if (keys := _ask(group, leader, "keys")) != samples + puts:
            raise Unavailable(f"pysyncobj has {keys} of {samples + puts} keys: its figures mean nothing")
    progress = Progress([(at, int(done)) for at, done in found])
    rate = progress.rate()
    return SyncObj(Rate(puts, rate.per_s, 0.0), samples, statistics.median(times), quantile(times, 0.99))


def commands(folder: str, ports: list[int]) -> list[list[str]]:
    names = [f"127.0.0.1:{port}" for port in ports]
    module = [sys.executable, "-m", "benchmarks.peers.syncobj_node"]
    return [[*module, f"{folder}/journal{i}", own, *(n for n in names if n != own)] for i, own in enumerate(names)]


def _leader(group: Processes, nodes: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    ends = time.monotonic() + START_S
    while time.monotonic() < ends:
        for node in nodes:
            if _ask(group, node, "leader?"):
                return node
        time.sleep(0.1)
    raise Unavailable("pysyncobj found no leader")


def _ask(group: Processes, node: subprocess.Popen[bytes], line: str) -> Any:
    if node.stdin is None or node.stdout is None:
        raise Unavailable("pysyncobj: a node without pipes")
    try:
        node.stdin.write(line.encode() + b"\n")
        node.stdin.flush()
        answer = node.stdout.readline()
    except BrokenPipeError:
        answer = b""
    if not answer:
        node.wait(START_S)
        group.check()
    return json.loads(answer)
