"""How long a start takes: the command's help, a validator from its process's first instruction to its first signed vote; and what a
question to a node costs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from benchmarks.graph import PASSPHRASE, VALIDATORS, Graph, Member, make, start, stop
from benchmarks.load import sign, transfers
from learningchain.chain.storage.disk import OsDisk
from learningchain.chain.storage.guard import Kind, _newest, _read
from learningchain.client.keys.keystore import Keystore

_LIMIT_S = 60.0
_LOOK_S = 0.005
_LOAD_S = 0.05
_PAYERS = 4
_EACH = 500
_QUESTIONS = 9


DAEMON = ("learningchain.client.daemon.main", "learningchain.client.work.compose")
"""What a node's processes import."""


@dataclass(frozen=True)
class StartupFigure:
    """Medians over the rounds."""

    rounds: int
    python_ms: float
    """The bare interpreter, start to end: no command can be faster."""
    help_ms: float
    command_help_ms: float
    """`learningchain status --help`."""
    question_ratio: float
    """Processor time of `learningchain status`, asking a node that runs, by that of the bare interpreter."""
    keystore_s: float
    """Opening the keystore, which is slow on purpose: part of what follows."""
    import_s: float
    """An interpreter that imports the daemon: part of what follows as well."""
    rejoin_s: float
    """One validator that starts while the others decide blocks, to its first vote."""
    fresh_s: float
    """Four that start together on a new graph, to the first vote of the last of them."""


def startup(rounds: int) -> StartupFigure:
    """Raises `RuntimeError` where a node does not come to vote."""
    return asyncio.run(_measure(rounds))


async def _measure(rounds: int) -> StartupFigure:
    commands = [["-c", "pass"], ["-m", "learningchain", "--help"], ["-m", "learningchain", "status", "--help"]]
    commands.append(["-c", f"import {', '.join(DAEMON)}"])
    quick = [[_process(words) for words in commands] for _ in range(2 * rounds + 1)][1:]
    graphs = [await _graph() for _ in range(rounds)]
    keystore, fresh, rejoin, question = ([figures[at] for figures in graphs] for at in range(4))
    python, overview, command, imports = (statistics.median(row[at] for row in quick) for at in range(4))
    return StartupFigure(
        rounds,
        python * 1000,
        overview * 1000,
        command * 1000,
        statistics.median(question),
        statistics.median(keystore),
        imports,
        statistics.median(rejoin),
        statistics.median(fresh),
    )


def _process(words: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True, timeout=60, env=_as_installed())
    return time.perf_counter() - began


def _as_installed() -> dict[str, str]:
    """Modules have their byte code, as pip writes it for an installed package, and a clone at the first use: elsewhere most of what
    is measured would be the compiler."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _question_ratio(member: Member) -> float:
    """The least of several, in turns: what else runs on this machine only adds to either."""
    status = ["-m", "learningchain", "status", "--data", str(member.folder), "--json"]
    turns = [(_processor_s(["-c", "pass"]), _processor_s(status)) for _ in range(_QUESTIONS)]
    bare, asked = (min(turn[at] for turn in turns) for at in range(2))
    return asked / bare


def _processor_s(words: list[str]) -> float:
    """Of a process and of those that it started, in user and system time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _process(words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


async def _graph() -> tuple[float, float, float, float]:
    """Seconds to open a keystore, to the first vote of four that start together, and of one that comes back; what a question to it
    costs beside the bare interpreter."""
    graph = make(_PAYERS)
    try:
        began = time.perf_counter()
        Keystore.open(graph.members[0].folder / "keystore.json", PASSPHRASE)
        keystore = time.perf_counter() - began
        signed = await asyncio.to_thread(sign, graph, dict.fromkeys(range(_PAYERS), 0), transfers(graph, _PAYERS, _EACH))
        began = time.perf_counter()
        for member in graph.validators:
            start(member)
        last = graph.validators[-1]
        async with _trickle(graph, signed):
            await asyncio.gather(*(_votes_above(graph, member, (0, -1)) for member in graph.validators))
            fresh = time.perf_counter() - began
            await graph.wait_until_ready(graph.validators, VALIDATORS - 1)
            await asyncio.to_thread(stop, last)
            before = _last_vote(graph, last)
            began = time.perf_counter()
            start(last)
            await _votes_above(graph, last, before)
            rejoin = time.perf_counter() - began
            return keystore, fresh, rejoin, await asyncio.to_thread(_question_ratio, last)
    finally:
        await graph.close()


@contextlib.asynccontextmanager
async def _trickle(graph: Graph, signed: dict[int, list[str]]) -> AsyncIterator[None]:
    """A transfer every 50 ms, as soon as the first node takes one: there is always something to vote on."""

    async def offer() -> None:
        await graph.wait_until_ready(graph.validators[:1], 0)
        node = graph.validators[0]
        for raw in itertools.chain.from_iterable(zip(*signed.values(), strict=True)):
            async with graph.session.post(f"{node.url}/v1/txs", headers=node.headers(), json={"raws": [raw]}) as answer:
                answer.raise_for_status()
            await asyncio.sleep(_LOAD_S)

    task = asyncio.create_task(offer())
    try:
        yield
        if task.done():
            task.result()
            raise RuntimeError("the load ended before the validator voted")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _last_vote(graph: Graph, member: Member) -> tuple[int, int]:
    """Height and round of the last prevote on disk: a vote leaves only after it is there."""
    path = str(member.folder / "guard")
    with contextlib.suppress(OSError):
        state = _newest(_read(path, OsDisk()), graph.genesis.chain_id, path)
        vote = state.entries[Kind.PREVOTE] if state is not None else None
        if vote is not None:
            return vote.height, vote.round
    return 0, -1


async def _votes_above(graph: Graph, member: Member, before: tuple[int, int]) -> None:
    ends = time.monotonic() + _LIMIT_S
    while _last_vote(graph, member) <= before:
        if time.monotonic() > ends or (member.process is not None and member.process.poll() is not None):
            raise RuntimeError(f"{member.name} did not vote:\n{(member.folder / 'log').read_text()[-2000:]}")
        await asyncio.sleep(_LOOK_S)
