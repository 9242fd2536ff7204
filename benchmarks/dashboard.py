"""What people at the dashboard cost the ledger: finality with and without them, in turns, in one run on one graph of real nodes
with a state of many members and jobs.

Each person goes from page to page of one validator and stays at each while its stream draws it anew, as a browser does. Finality is
asked of that validator and the three others.
"""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice

import aiohttp

from benchmarks.graph import PASSPHRASE, Graph, Member, make, start
from benchmarks.growth import Chain
from benchmarks.limits import quantile
from benchmarks.link import Link
from benchmarks.load import Ledger, follow, transfers
from benchmarks.throughput import Signed, prepare
from learningchain.chain.crypto import address
from learningchain.chain.storage.datadir import DataDir
from learningchain.chain.storage.guard import Guard
from learningchain.chain.storage.wal import Wal
from learningchain.client.keys.keystore import Keystore

PEOPLE = 10
STAY_S = 4.0
"""At one page, with its stream open."""
WARM_S = 3.0
"""After people came or went, before it counts."""
SEEN_S = 60.0
"""Within which somebody has gone to another page, and was told of a block at one."""
PAYERS = 2
_ONE_FORM = re.compile(r'name="code" value="([^"]+)"')


@dataclass(frozen=True)
class DashboardCost:
    """Milliseconds. `ratio` of the two p99; `page`: from a request to the whole page; `told`: from a block at the fastest of all
    streams of one node to its event at an open page, the pause between two events of a page included."""

    members: int
    jobs: int
    people: int
    turns: int
    samples: int
    without_p50_ms: float
    without_p99_ms: float
    with_p50_ms: float
    with_p99_ms: float
    ratio: float
    pages: int
    page_p50_ms: float
    page_p99_ms: float
    slowest_page: str
    slowest_page_p99_ms: float
    pages_per_s: float
    told_p50_ms: float
    told_p99_ms: float


@dataclass
class Seen:
    """What people saw; only while `counts`."""

    counts: bool = False
    pages: dict[str, list[float]] = field(default_factory=dict)
    blocks: dict[int, float] = field(default_factory=dict)
    """When the node's own stream of events told of a height."""
    told: list[float] = field(default_factory=list)

    async def something(self) -> None:
        """Waits until somebody has seen a page and an event at one: a few transfers may be final before. Raises TimeoutError."""
        async with asyncio.timeout(SEEN_S):
            while not (self.pages and self.told):
                await asyncio.sleep(0.1)


class GraphChain(Chain):
    """The grown database of a graph's first validator."""

    def __init__(self, graph: Graph, members: int, jobs: int) -> None:
        first = graph.validators[0]
        self.folder, self.signing, self.accounts = first.folder, 0, members
        self.identity = Keystore.open(first.folder / "keystore.json", PASSPHRASE)
        self.begin(graph.genesis, [m.key for m in graph.validators], jobs)


def grown_graph(members: int, jobs: int) -> tuple[Graph, list[str], list[str]]:
    """Four validators that begin at the same grown state; ids of some of its jobs and members. Blocks."""
    graph = make(PAYERS)
    chain = GraphChain(graph, members, jobs)
    found = [key[2:].hex() for key in islice(chain.state.keys(b"j/"), 0, None, max(1, jobs // 50))]
    known = [address(key[2:]) for key in islice(chain.state.keys(b"m/"), 0, None, max(1, members // 50))]
    chain.store.close()
    first = graph.validators[0].folder
    for other in graph.validators[1:]:
        for file in first.glob("db*"):
            (shutil.copytree if file.is_dir() else shutil.copy)(file, other.folder / file.name)
        lock = DataDir.open(str(other.folder), create=False)
        Wal.open(lock.wal, chain_id=graph.genesis.chain_id, create=True).close()
        Guard.create(lock.guard, chain_id=graph.genesis.chain_id).close()
        lock.close()
    return graph, found, known


# --- people -------------------------------------------------------------------------------------------------------------------


async def log_in(member: Member, session: aiohttp.ClientSession) -> None:
    """As `learningchain dashboard` does it."""
    async with session.post(f"{member.url}/v1/dashboard/links?plain=true", headers=member.headers(), json={}) as answer:
        path = (await answer.json())["path"]
    async with session.get(member.url + path) as page:
        code = _ONE_FORM.search(await page.text())
    if code is None:
        raise RuntimeError("the page that a login link leads to has no form")
    async with session.post(f"{member.url}/dashboard/login", data={"code": code[1]}, headers={"Origin": member.url}) as home:
        if home.status != 200:
            raise RuntimeError(f"the dashboard lets nobody in: {home.status}")


def ways(jobs: list[str], members: list[str], rng: random.Random) -> list[tuple[str, str]]:
    """(kind, path) of pages in the order in which one person goes to them."""
    every = [
        ("overview", "/dashboard"),
        ("jobs", "/dashboard/jobs"),
        ("all jobs", "/dashboard/jobs?which=all"),
        ("older jobs", f"/dashboard/jobs?which=all&before={rng.randrange(100, 9_000)}"),
        ("job by its id", f"/dashboard/jobs?which=all&id={rng.choice(jobs)[:6]}"),
        ("one job", f"/dashboard/jobs/{rng.choice(jobs)}"),
        ("members", f"/dashboard/members?after={rng.choice(members)}"),
        ("account", f"/dashboard/accounts/{rng.choice(members)}"),
        ("models", "/dashboard/models"),
        ("federations", "/dashboard/federations"),
        ("blocks", "/dashboard/blocks"),
        ("peers", "/dashboard/peers"),
        ("proposals", "/dashboard/proposals"),
        ("cases", "/dashboard/cases"),
    ]
    rng.shuffle(every)
    return every


async def person(
    member: Member, session: aiohttp.ClientSession, seen: Seen, jobs: list[str], members: list[str], number: int
) -> None:
    """Until cancelled. Raises `RuntimeError` where a page is refused."""
    rng = random.Random(number)
    while True:
        for kind, path in ways(jobs, members, rng):
            text = await load(member, session, seen, kind, path)
            with suppress(TimeoutError):
                async with asyncio.timeout(STAY_S):
                    await stay(member, session, seen, kind, path, text)


async def load(member: Member, session: aiohttp.ClientSession, seen: Seen, kind: str, path: str) -> str:
    began = time.perf_counter()
    async with session.get(member.url + path) as answer:
        text = await answer.text()
    if answer.status != 200:
        raise RuntimeError(f"{path} is answered with {answer.status}")
    if seen.counts:
        seen.pages.setdefault(kind, []).append((time.perf_counter() - began) * 1_000)
    return text


async def stay(member: Member, session: aiohttp.ClientSession, seen: Seen, kind: str, path: str, text: str) -> None:
    stream = re.search(r'sse-connect="([^"]+)"', text)
    if stream is None:
        await asyncio.sleep(STAY_S)
        return
    timeout = aiohttp.ClientTimeout(total=None)
    async with session.get(member.url + stream[1].replace("&amp;", "&"), timeout=timeout) as events:
        async for line in events.content:
            if not line.startswith(b"id:"):
                continue
            if seen.counts and (first := seen.blocks.get(int(line[3:]))) is not None:
                seen.told.append((time.perf_counter() - first) * 1_000)
            await load(member, session, seen, kind, path)


@asynccontextmanager
async def people(graph: Graph, seen: Seen, jobs: list[str], members: list[str], count: int) -> AsyncIterator[None]:
    """So many at one validator. What one of them met fails the measurement."""
    member = graph.validators[0]
    tasks = [asyncio.create_task(_watch(graph, member, seen))]
    async with AsyncExitStack() as stack:
        for number in range(count):
            jar = aiohttp.CookieJar(unsafe=True)
            session = await stack.enter_async_context(aiohttp.ClientSession(trust_env=False, cookie_jar=jar))
            await log_in(member, session)
            tasks.append(asyncio.create_task(person(member, session, seen, jobs, members, number)))
        try:
            await asyncio.sleep(WARM_S)
            seen.counts = True
            yield
        finally:
            seen.counts = False
            for task in tasks:
                task.cancel()
            for met in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(met, Exception):
                    raise RuntimeError(f"somebody at the dashboard was refused: {met}") from met


async def _watch(graph: Graph, member: Member, seen: Seen) -> None:
    ledger = Ledger()
    reading = asyncio.create_task(follow(graph, member, ledger))
    try:
        while True:
            await ledger.changed.wait()
            ledger.changed.clear()
            for block in ledger.blocks:
                seen.blocks[block.height] = time.perf_counter()
            ledger.blocks.clear()
    finally:
        reading.cancel()


# --- finality -----------------------------------------------------------------------------------------------------------------


async def finality(graph: Graph, signed: Signed) -> list[float]:
    """Milliseconds from the request that offers a transfer to the answer that it is final, one at a time, node after node."""
    times: list[float] = []
    links = [await Link(m.url, m.headers()).__aenter__() for m in graph.validators]
    try:
        for number, raw in enumerate(signed.raws[0]):
            began = time.perf_counter()
            status, answer = await links[number % len(links)].post("/v1/tx?wait=30", b'{"raw":"%s"}' % raw.encode())
            times.append((time.perf_counter() - began) * 1_000)
            if status != 200 or b'"status":"final"' not in answer:
                raise RuntimeError(f"a transfer was not final: {status}, {answer[-500:]!r}")
    finally:
        for link in links:
            await link.__aexit__(None, None, None)
    return times


async def dashboard(members: int, jobs: int, samples: int, turns: int) -> DashboardCost:
    """`samples` transfers in each of `turns` turns, without people and with them."""
    graph, some, known = await asyncio.to_thread(grown_graph, members, jobs)
    alone: list[float] = []
    beside: list[float] = []
    seen, took = Seen(), 0.0
    try:
        for member in graph.validators:
            start(member)
        await graph.wait_until_ready(graph.validators, len(graph.validators) - 1)
        await finality(graph, await _signed(graph, samples // 4))
        for _ in range(turns):
            alone += await finality(graph, await _signed(graph, samples))
            signed = await _signed(graph, samples)
            async with people(graph, seen, some, known, PEOPLE):
                began = time.perf_counter()
                beside += await finality(graph, signed)
                await seen.something()
                took += time.perf_counter() - began
            await asyncio.sleep(WARM_S)
    finally:
        await graph.close()
    every = [one for times in seen.pages.values() for one in times]
    slowest = max(seen.pages, key=lambda kind: quantile(seen.pages[kind], 0.99))
    return DashboardCost(
        members=members,
        jobs=jobs,
        people=PEOPLE,
        turns=turns,
        samples=len(beside),
        without_p50_ms=quantile(alone, 0.5),
        without_p99_ms=quantile(alone, 0.99),
        with_p50_ms=quantile(beside, 0.5),
        with_p99_ms=quantile(beside, 0.99),
        ratio=quantile(beside, 0.99) / quantile(alone, 0.99),
        pages=len(every),
        page_p50_ms=quantile(every, 0.5),
        page_p99_ms=quantile(every, 0.99),
        slowest_page=slowest,
        slowest_page_p99_ms=quantile(seen.pages[slowest], 0.99),
        pages_per_s=len(every) / took,
        told_p50_ms=quantile(seen.told, 0.5),
        told_p99_ms=quantile(seen.told, 0.99),
    )


async def _signed(graph: Graph, count: int) -> Signed:
    return await prepare(graph, {0: transfers(graph, 2, count)[0]})


if __name__ == "__main__":
    import json
    import sys
    from dataclasses import asdict

    given = [int(word) for word in sys.argv[1:]] or [10_000, 10_000, 400, 3]
    print(json.dumps(asdict(asyncio.run(dashboard(*given))), indent=1))
