"""etcd: four members on loopback with their default, durable settings; one put per request.

A put sets one key and is answered when more than half of the members have it on disk. It tolerates crashes only; nothing is signed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.graph import free_ports
from benchmarks.limits import quantile
from benchmarks.link import Link
from benchmarks.peers.base import START_S, Processes, Progress, Rate, Unavailable
from benchmarks.peers.h2 import Calls, message

MEMBERS = 4
VALUE = bytes(112)
"""With its key of 16 bytes as long as a signed transfer."""
PUT = "/etcdserverpb.KV/Put"


@dataclass(frozen=True)
class Etcd:
    puts: Rate
    samples: int
    p50_ms: float
    p99_ms: float
    """From the request to its answer, one outstanding, at the four members in turns."""


async def etcd(program: str, samples: int, puts: int, outstanding: int) -> Etcd:
    """Raises `Unavailable`."""
    async with running(program) as clients:
        leader = await _leader(clients)
        times = await latency(clients, samples)
        rate = await _throughput(clients[leader], puts, outstanding)
        counted = await _count(clients[0])
        if counted != samples + puts:
            raise Unavailable(f"etcd has {counted} of {samples + puts} keys: its figures mean nothing")
    return Etcd(rate, samples, statistics.median(times), quantile(times, 0.99))


@asynccontextmanager
async def running(program: str) -> AsyncIterator[list[int]]:
    """Four members; the ports for clients. Raises `Unavailable`."""
    ports = free_ports(2 * MEMBERS)
    clients = ports[:MEMBERS]
    with Processes("etcd") as group:
        for command in commands(program, str(group.folder), ports):
            group.start(command)
        for port in clients:
            await asyncio.to_thread(group.wait_for_port, port)
        await _leader(clients)
        yield clients


def commands(program: str, folder: str, ports: list[int]) -> list[list[str]]:
    """`ports`: those for clients, then those between members."""
    members = len(ports) // 2
    peers = [f"http://127.0.0.1:{port}" for port in ports[members:]]
    cluster = ",".join(f"m{i}={peer}" for i, peer in enumerate(peers))
    return [
        [
            program,
            *(
                "--name",
                f"m{i}",
                "--data-dir",
                f"{folder}/m{i}",
                "--log-outputs",
                "stderr",
                "--logger",
                "zap",
                "--log-level",
                "error",
            ),
            *("--listen-client-urls", f"http://127.0.0.1:{ports[i]}", "--advertise-client-urls", f"http://127.0.0.1:{ports[i]}"),
            *("--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i]),
            *("--initial-cluster", cluster, "--initial-cluster-token", "benchmark"),
        ]
        for i in range(members)
    ]


async def _ask(port: int, path: str, body: dict[str, Any]) -> Any:
    async with Link(f"http://127.0.0.1:{port}") as link:
        status, answer = await link.post(path, json.dumps(body).encode())
    if status != 200:
        raise Unavailable(f"etcd answered {status}: {answer[:200]!r}")
    return json.loads(answer)


async def _leader(ports: list[int]) -> int:
    """The member that leads once there is a leader: clients do best to speak to it."""
    ends = time.monotonic() + START_S
    while time.monotonic() < ends:
        states = [await _ask(port, "/v3/maintenance/status", {}) for port in ports]
        for i, state in enumerate(states):
            if state.get("leader", "0") == state["header"]["member_id"]:
                return i
        await asyncio.sleep(0.1)
    raise Unavailable("etcd found no leader")


async def _count(port: int) -> int:
    every = base64.b64encode(b"\0").decode()
    return int((await _ask(port, "/v3/kv/range", {"key": every, "range_end": every, "count_only": True})).get("count", 0))


class _Calls:
    """Open connections and an event for each time that answers came."""

    def __init__(self) -> None:
        self.links: list[Calls] = []
        self.done = 0
        self.changed = asyncio.Event()

    def answered(self, count: int) -> None:
        self.done += count
        self.changed.set()

    async def open(self, port: int) -> Calls:
        loop, address = asyncio.get_running_loop(), f"127.0.0.1:{port}"
        _, link = await loop.create_connection(lambda: Calls(PUT, address, self.answered), "127.0.0.1", port)
        self.links.append(link)
        return link

    async def wait_until(self, done: int) -> None:
        """Raises `Unavailable` when a connection failed before."""
        while self.done < done:
            self.changed.clear()
            if failed := next((link.failed for link in self.links if link.failed), ""):
                raise Unavailable(f"etcd: {failed}")
            await self.changed.wait()

    def close(self) -> None:
        for link in self.links:
            link.close()


async def latency(ports: list[int], samples: int) -> list[float]:
    """Milliseconds of each put, one after the other, at the members in turns. Raises `Unavailable`."""
    calls, times = _Calls(), []
    try:
        links = [await calls.open(port) for port in ports]
        async with asyncio.timeout(120):
            for i in range(samples):
                put = message((1, b"one-%012d" % i), (2, VALUE))
                began = time.perf_counter()
                links[i % len(links)].call([put])
                await calls.wait_until(i + 1)
                times.append((time.perf_counter() - began) * 1000)
    finally:
        calls.close()
    return times


async def _throughput(port: int, puts: int, outstanding: int) -> Rate:
    waiting = [message((1, b"all-%012d" % i), (2, VALUE)) for i in range(puts)]
    calls = _Calls()
    try:
        link = await calls.open(port)
        progress, sent = Progress(), 0
        async with asyncio.timeout(120):
            while calls.done < puts:
                more = min(puts, calls.done + outstanding) - sent
                link.call(waiting[sent : sent + more])
                sent += more
                await calls.wait_until(progress.done + 1)
                progress.add(calls.done - progress.done)
    finally:
        calls.close()
    return progress.rate()
