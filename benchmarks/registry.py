"""What `make bench` measures and which lines of the table come of it.

A new measurement is one file with a function that returns a frozen dataclass, and one line in `MEASURES` here; its lines of the
table go to `rows.py`. One that raises `Unavailable` is left out and its reason printed; any other exception ends the run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.ledger import LedgerSize, ledger
from benchmarks.limits import limits
from benchmarks.peers import install
from benchmarks.peers.base import Unavailable
from benchmarks.peers.etcd import etcd
from benchmarks.peers.evm import anvil, ganache
from benchmarks.peers.syncobj import syncobj
from benchmarks.replay import replay
from benchmarks.sandbox_overhead import sandbox_overhead
from benchmarks.wan import wan
from sandbox import SandboxError
from tests.processes.netns import Refused


@dataclass(frozen=True)
class PeerSize:
    """Operations of each peer; the EVM chains' second number is postings and claims together."""

    samples: int
    etcd: int
    etcd_outstanding: int
    syncobj_samples: int
    syncobj: int
    syncobj_outstanding: int
    anvil: tuple[int, int]
    anvil_outstanding: int
    ganache: tuple[int, int]
    ganache_outstanding: int


@dataclass(frozen=True)
class Size:
    """How much is measured. `limit_s`: seconds for each of the machine's limits; `runs` of a container; `wan`: transfers."""

    rounds: int
    limit_s: float
    ledger: LedgerSize
    peers: PeerSize
    replay: int
    runs: int
    wan: int


FULL = Size(
    rounds=4,
    limit_s=1.5,
    ledger=LedgerSize(
        samples=400, transfers=40_000, outstanding=8_000, tens=8_000, hundreds=1_600, jobs=8_000, overload_s=15.0, overload=120_000
    ),
    peers=PeerSize(
        samples=1_000,
        etcd=30_000,
        etcd_outstanding=1_000,
        syncobj_samples=20,
        syncobj=60_000,
        syncobj_outstanding=8_000,
        anvil=(20_000, 8_000),
        anvil_outstanding=8_000,
        ganache=(1_000, 300),
        ganache_outstanding=200,
    ),
    replay=40_000,
    runs=15,
    wan=60,
)
QUICK = Size(
    rounds=1,
    limit_s=0.4,
    ledger=LedgerSize(
        samples=80, transfers=8_000, outstanding=4_000, tens=1_600, hundreds=640, jobs=2_560, overload_s=4.0, overload=60_000
    ),
    peers=PeerSize(
        samples=200,
        etcd=6_000,
        etcd_outstanding=1_000,
        syncobj_samples=10,
        syncobj=10_000,
        syncobj_outstanding=4_000,
        anvil=(4_000, 2_000),
        anvil_outstanding=4_000,
        ganache=(300, 100),
        ganache_outstanding=100,
    ),
    replay=6_000,
    runs=3,
    wan=8,
)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Measure:
    """`name` is where the figures stand in the JSON; `once`: not in every round but behind the last."""

    name: str
    run: Callable[[Size, Say], Awaitable[Any]]
    once: bool = False


async def _etcd(size: Size, say: Say) -> Any:
    p = size.peers
    return await etcd(install.etcd(), p.samples, p.etcd, p.etcd_outstanding)


async def _syncobj(size: Size, say: Say) -> Any:
    p = size.peers
    return await syncobj(install.python_env(), p.syncobj_samples, p.syncobj, p.syncobj_outstanding)


async def _anvil(size: Size, say: Say) -> Any:
    return await anvil(install.npm(), *size.peers.anvil, size.peers.anvil_outstanding)


async def _ganache(size: Size, say: Say) -> Any:
    return await ganache(install.npm(), *size.peers.ganache, size.peers.ganache_outstanding)


async def _sandbox(size: Size, say: Say) -> Any:
    try:
        return sandbox_overhead(size.runs)
    except SandboxError as problem:
        raise Unavailable(str(problem)) from None


async def _wan(size: Size, say: Say) -> Any:
    try:
        return await wan(size.wan)
    except Refused as problem:
        raise Unavailable(str(problem)) from None


MEASURES = (
    Measure("limits", lambda size, say: limits(size.limit_s)),
    Measure("ledger", lambda size, say: ledger(size.ledger, say)),
    Measure("etcd", _etcd),
    Measure("syncobj", _syncobj),
    Measure("anvil", _anvil),
    Measure("ganache", _ganache),
    Measure("sync", lambda size, say: replay(size.replay, size.ledger.outstanding), once=True),
    Measure("sandbox", _sandbox, once=True),
    Measure("wan", _wan, once=True),
)
