"""What `make bench` measures and which lines of the table come of it.

A new measurement is one file with a function that returns a frozen dataclass, and one line in `MEASURES` here; its lines of the
table go to `rows.py`. One that raises `Unavailable` is left out and its reason printed; any other exception is printed and makes
the whole run fail at its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

from benchmarks import catch_up
from benchmarks.askers import AskersFigure, askers_cost
from benchmarks.beside_file import BesideFileFigure, beside_file
from benchmarks.block_askers import AskersCost, block_askers
from benchmarks.building import BuildingFigure, building
from benchmarks.dashboard import DashboardCost, dashboard
from benchmarks.federation import Federation, federation
from benchmarks.federation_round import RealRounds, federation_round
from benchmarks.full_mempools import FullMempoolsFigure, full_mempools
from benchmarks.growth import Growth, growth
from benchmarks.idle import IdleFigure, idle
from benchmarks.large_file import LargeFileFigure, large_file
from benchmarks.ledger import LedgerFigures, LedgerSize, ledger
from benchmarks.limits import Limits, limits
from benchmarks.machines import MachinesFigure, machines_here
from benchmarks.many_jobs import ManyJobsFigure, many_jobs
from benchmarks.peers import install
from benchmarks.peers.base import Unavailable
from benchmarks.peers.etcd import Etcd, etcd
from benchmarks.peers.evm import Evm, anvil, ganache
from benchmarks.peers.syncobj import SyncObj, syncobj
from benchmarks.predictions import Predictions, predictions
from benchmarks.published_set import PublishedSetFigure, published_set
from benchmarks.replay import replay
from benchmarks.sandbox_overhead import SandboxFigure, sandbox_overhead
from benchmarks.set_on_nodes import SetOnNodesFigure, set_on_nodes
from benchmarks.slow_link import SlowLinkFigure, slow_link
from benchmarks.snapshot import SnapshotFigure, snapshot
from benchmarks.startup import StartupFigure, startup
from benchmarks.sync import SyncFigure
from benchmarks.wan import Wan, wan
from benchmarks.warm_answers import WarmAnswersFigure, warm_answers
from learningchain.examples.federation.wheel import VERSION as TORCH
from learningchain.sandbox import SandboxError
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
class ReplaySize:
    rounds: int
    blocks: int
    txs_per_block: int


@dataclass(frozen=True)
class Size:
    """How much is measured. `limit_s`: seconds for each of the machine's limits; `sync`, `wan`: transfers; `runs` of a container.

    `growth`, `snapshot`: accounts and jobs of the state. `predictions`: requests one after the other, and batches of rows.
    `federation`: rounds of each kind; `federation_round`: on real nodes, and those of a million values.
    `dashboard`: members and jobs of the state, transfers of a turn, turns. `full_mempools`: accounts that fill them, pairs of
    turns. `askers`: turns, seconds of each while. `slow_link`: pairs of turns, transfers of each. `block_askers`: transfers of
    a turn, turns. `building`: what pip is asked for, turns. `large_file`, `published_set`: MiB, turns. `set_on_nodes`: MiB, files.
    `beside_file`: transfers of a turn, turns, MiB. `machines`: how many, seconds, starts of the node.
    """

    rounds: int
    limit_s: float
    ledger: LedgerSize
    peers: PeerSize
    sync: int
    replay: ReplaySize
    growth: tuple[int, int]
    snapshot: tuple[int, int]
    many_jobs: int
    idle_s: float
    startup: int
    runs: int
    predictions: tuple[int, int]
    federation: int
    federation_round: tuple[int, int]
    wan: int
    dashboard: tuple[int, int, int, int]
    full_mempools: tuple[int, int]
    askers: tuple[int, float]
    block_askers: tuple[int, int]
    slow_link: tuple[int, int]
    building: tuple[str, int]
    large_file: tuple[int, int]
    published_set: tuple[int, int]
    set_on_nodes: tuple[int, int]
    beside_file: tuple[int, int, int]
    machines: tuple[int, int, int]


FULL = Size(
    rounds=4,
    limit_s=1.5,
    ledger=LedgerSize(
        samples=400, transfers=40_000, outstanding=8_000, tens=8_000, hundreds=1_600, jobs=16_000, overload_s=12.0, overload=180_000
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
    sync=40_000,
    replay=ReplaySize(rounds=3, blocks=40, txs_per_block=1_000),
    growth=(1_000_000, 100_000),
    snapshot=(200_000, 20_000),
    many_jobs=65_000,
    idle_s=60.0,
    startup=5,
    runs=15,
    predictions=(20, 16),
    federation=15,
    federation_round=(10, 4),
    wan=60,
    dashboard=(10_000, 10_000, 800, 3),
    full_mempools=(10, 3),
    askers=(3, 5.0),
    slow_link=(3, 40),
    block_askers=(400, 3),
    building=(f"torch=={TORCH}", 2),
    large_file=(512, 5),
    published_set=(1_024, 3),
    set_on_nodes=(1_024, 10_000),
    beside_file=(400, 3, 512),
    machines=(64, 20, 20),
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
    sync=6_000,
    replay=ReplaySize(rounds=1, blocks=6, txs_per_block=1_000),
    growth=(50_000, 5_000),
    snapshot=(10_000, 1_000),
    many_jobs=5_000,
    idle_s=8.0,
    startup=1,
    runs=3,
    predictions=(3, 2),
    federation=2,
    federation_round=(2, 1),
    wan=8,
    dashboard=(500, 500, 150, 1),
    full_mempools=(2, 1),
    askers=(1, 3.0),
    slow_link=(1, 12),
    block_askers=(60, 1),
    building=("scikit-learn", 1),
    large_file=(128, 1),
    published_set=(128, 1),
    set_on_nodes=(128, 1_000),
    beside_file=(60, 1, 128),
    machines=(16, 5, 5),
)
SMALLEST = Size(
    rounds=1,
    limit_s=0.02,
    ledger=LedgerSize(samples=4, transfers=640, outstanding=320, tens=64, hundreds=64, jobs=64, overload_s=0.5, overload=2_000),
    peers=PeerSize(
        samples=4,
        etcd=200,
        etcd_outstanding=50,
        syncobj_samples=2,
        syncobj=200,
        syncobj_outstanding=50,
        anvil=(64, 64),
        anvil_outstanding=64,
        ganache=(64, 64),
        ganache_outstanding=64,
    ),
    sync=640,
    replay=ReplaySize(rounds=1, blocks=2, txs_per_block=500),
    growth=(1_000, 100),
    snapshot=(1_000, 100),
    many_jobs=500,
    idle_s=0.5,
    startup=1,
    runs=2,
    predictions=(1, 1),
    federation=1,
    federation_round=(1, 1),
    wan=2,
    dashboard=(50, 50, 8, 1),
    full_mempools=(1, 1),
    askers=(1, 1.0),
    slow_link=(1, 4),
    block_askers=(8, 1),
    building=("packaging", 1),
    large_file=(8, 1),
    published_set=(16, 1),
    set_on_nodes=(16, 20),
    beside_file=(8, 1, 16),
    machines=(2, 1, 1),
)
"""What shows that a measurement runs, and nothing about speed: tests/processes/test_benchmark_rows.py."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Measure:
    """`name` is where the figures stand in the JSON, `figure` the dataclass that they are. `once`: not in every round but behind
    the last."""

    name: str
    run: Callable[[Size, Say], Awaitable[Any]]
    figure: type = object
    once: bool = False


async def apart(work: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """In a process of its own, for what fills memory, sets up the collector or runs an event loop of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, partial(work, *args, **options))


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


def boxed(work: Callable[..., Any], *given: int) -> Any:
    """In the process that runs it: not every error of the sandbox comes through the pipe of a pool."""
    try:
        return work(*given)
    except SandboxError as problem:
        raise Unavailable(str(problem)) from None


async def _slow_link(size: Size, say: Say) -> Any:
    try:
        return await slow_link(*size.slow_link)
    except Refused as problem:
        raise Unavailable(str(problem)) from None


async def _set_on_nodes(size: Size, say: Say) -> Any:
    try:
        return await set_on_nodes(*size.set_on_nodes)
    except SandboxError as problem:
        raise Unavailable(str(problem)) from None


async def _wan(size: Size, say: Say) -> Any:
    try:
        return await wan(size.wan)
    except Refused as problem:
        raise Unavailable(str(problem)) from None


MEASURES = (
    Measure("limits", lambda size, say: limits(size.limit_s), Limits),
    Measure("ledger", lambda size, say: ledger(size.ledger, say), LedgerFigures),
    Measure("etcd", _etcd, Etcd),
    Measure("syncobj", _syncobj, SyncObj),
    Measure("anvil", _anvil, Evm),
    Measure("ganache", _ganache, Evm),
    Measure("sync", lambda size, say: replay(size.sync, size.ledger.outstanding), SyncFigure, once=True),
    Measure("replay", lambda size, say: apart(catch_up.replay, **asdict(size.replay)), catch_up.ReplayFigure, once=True),
    Measure("snapshot", lambda size, say: apart(snapshot, *size.snapshot), SnapshotFigure, once=True),
    Measure("growth", lambda size, say: apart(growth, *size.growth), Growth, once=True),
    Measure("many_jobs", lambda size, say: apart(many_jobs, size.many_jobs), ManyJobsFigure, once=True),
    Measure("idle", lambda size, say: apart(idle, size.idle_s), IdleFigure, once=True),
    Measure("startup", lambda size, say: apart(startup, size.startup), StartupFigure, once=True),
    Measure("sandbox", lambda size, say: apart(boxed, sandbox_overhead, size.runs), SandboxFigure, once=True),
    Measure("building", lambda size, say: apart(building, *size.building), BuildingFigure, once=True),
    Measure("answers", lambda size, say: apart(boxed, warm_answers, size.runs), WarmAnswersFigure, once=True),
    Measure("predictions", lambda size, say: predictions(*size.predictions, install.etcd), Predictions, once=True),
    Measure("federation", lambda size, say: apart(federation, size.federation, install.flower), Federation, once=True),
    Measure("federation_round", lambda size, say: federation_round(*size.federation_round), RealRounds, once=True),
    Measure("wan", _wan, Wan, once=True),
    Measure("dashboard", lambda size, say: dashboard(*size.dashboard), DashboardCost, once=True),
    Measure("full_mempools", lambda size, say: full_mempools(*size.full_mempools), FullMempoolsFigure, once=True),
    Measure("askers", lambda size, say: askers_cost(*size.askers), AskersFigure, once=True),
    Measure("block_askers", lambda size, say: block_askers(*size.block_askers), AskersCost, once=True),
    Measure("large_file", lambda size, say: large_file(*size.large_file), LargeFileFigure, once=True),
    Measure("published_set", lambda size, say: apart(boxed, published_set, *size.published_set), PublishedSetFigure, once=True),
    Measure("set_on_nodes", _set_on_nodes, SetOnNodesFigure, once=True),
    Measure("beside_file", lambda size, say: beside_file(*size.beside_file), BesideFileFigure, once=True),
    Measure("machines", lambda size, say: apart(machines_here, *size.machines), MachinesFigure, once=True),
    Measure("slow_link", _slow_link, SlowLinkFigure, once=True),
)
