"""Reads the nodes' APIs while the demo goes on and keeps the board up to date: heights, runs, the job, the ledger's notes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

import aiohttp

from learningchain.client.sdk.client import Client
from learningchain.client.sdk.types import ApiError, Event
from learningchain.examples.demo.board import Board, Json, NodeLine
from learningchain.examples.demo.graph import Graph, Home
from learningchain.examples.demo.plan import CONTRACTOR

POLL_S: Final = 0.4


class Watcher:
    """One task for each node, one for the stream of events. `start` once the nodes answer; `stop` before they end."""

    def __init__(self, graph: Graph, board: Board, clients: dict[str, Client]) -> None:
        self._graph, self._board, self._clients = graph, board, clients
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = aiohttp.ClientSession(trust_env=False, timeout=aiohttp.ClientTimeout(total=5.0))

    def start(self) -> None:
        work = [self._node(home) for home in self._graph.nodes]
        self._tasks = [asyncio.create_task(w) for w in (*work, self._events(), self._job())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._ready.close()

    # nodes

    async def _node(self, home: Home) -> None:
        line, client = self._board.nodes[home.name], self._clients[home.name]
        while True:
            with contextlib.suppress(ApiError):
                status = await client.status()
                line.height, line.peers = status["height"], status["peers"]
                line.validator, line.working = status["validator"], status["working"]
                for run in reversed(await client.runs()):  # oldest first, as it happened
                    self._run(line, run)
            if line.needs_sandbox and line.sandbox is not True:
                await self._sandbox(home, line)
            await asyncio.sleep(POLL_S)

    async def _sandbox(self, home: Home, line: NodeLine) -> None:
        """A node is ready when its sandbox has proven that it isolates."""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError):
            async with self._ready.get(f"{home.url}/readyz") as response:
                answer = await response.json()
            report = answer.get("sandbox")
            if isinstance(report, dict):
                # A report without checks proves nothing.
                line.sandbox = bool(report.get("ok")) and bool(report.get("checks"))
            line.note = str((answer.get("error") or {}).get("message") or "")[:300]

    def _run(self, line: NodeLine, run: Json) -> None:
        before = line.runs.get(run["id"])
        line.runs[run["id"]] = run
        who, what = line.part.name, _what(run)
        if before is None and run.get("ended") is None:
            self._board.say(f"{who}: {what} starts", "dim")
        if (before is None or before.get("ended") is None) and run.get("ended") is not None:
            came = f"loss {run['loss']}" if run.get("loss") is not None else f"{run.get('state')}: {run.get('reason')}"
            self._board.say(f"{who}: {what} ended, {came}", "dim")

    # the job

    async def _job(self) -> None:
        client = self._clients[CONTRACTOR]
        while True:
            if self._board.job_id:
                with contextlib.suppress(ApiError):
                    await read_job(self._board, client)
            await asyncio.sleep(POLL_S)

    # events

    async def _events(self) -> None:
        """Told from the poster's node: it is no validator and sees what every member sees."""
        client = self._clients[CONTRACTOR]
        while True:
            with contextlib.suppress(ApiError):
                async for event in client.watch():
                    self._tell(event)
            await asyncio.sleep(POLL_S)

    def _tell(self, event: Event) -> None:
        if event.kind != "note":
            return
        told = narrate(self._board, event.data)
        if told:
            self._board.say(f"[{event.data.get('height')}] {told[0]}", told[1])


async def read_job(board: Board, client: Client) -> Json:
    job, status = dict(await client.job(board.job_id)), await client.status()
    board.job, board.clock, board.clock_at = job, status["clock_now"], time.monotonic()
    return job


def _what(run: Json) -> str:
    phase, attempt = str(run.get("phase")), run.get("attempt")
    if phase == "train":
        return f"training {attempt} (seed {run.get('seed')})"
    return f"{phase} of training {attempt}" if attempt else phase


# --- the ledger's notes in words ------------------------------------------------------------------------------------------------

Told = tuple[str, str]


def narrate(board: Board, note: Json) -> Told | None:
    """A note of the ledger as a sentence and its style; None where there is nothing to tell."""
    tell = _WORDS.get(str(note.get("topic")))
    data = note.get("data") or {}
    return tell(board, str(note.get("ref")), data) if tell else None


def _vote(board: Board, _ref: str, d: Json) -> Told:
    style = "green" if d["vote"] == "OK" else "red"
    return f"{board.name(d['voter'])} votes {d['vote']}: it measured {d['measured']}", style


def _verdict(board: Board, _ref: str, d: Json) -> Told:
    style = "bold green" if d["result"] == "OK" else "bold red"
    return f"verdict on {board.name(d['claimant'])}: {d['result']} ({d['opened']} votes opened)", style


def _bond(_board: Board, _ref: str, d: Json) -> Told | None:
    """Nothing is told where nothing burned."""
    burned = d["burned"]
    return (f"as much of the poster's bond burns as verdicts burned of stakes: {burned}", "red") if burned != "0" else None


def _many(board: Board, identities: Any) -> str:
    return ", ".join(board.name(i) for i in identities or []) or "nobody"


_WORDS: Final[dict[str, Callable[[Board, str, Json], Told | None]]] = {
    "job.posted": lambda b, r, d: (f"{b.name(d['poster'])} posts job {r[:12]}, bounty {d['bounty']}", "bold"),
    "claim": lambda b, r, d: (f"{b.name(d['claimant'])} claims loss {d['loss']} (its claim {d['claim']})", "cyan"),
    "reveal.open": lambda b, r, d: (f"claims are closed; to be revealed by {_many(b, d.get('must'))}", "bold"),
    "reveal": lambda b, r, d: (f"{b.name(d['claimant'])} reveals model {d['model']} for its loss {d['loss']}", "cyan"),
    "silent": lambda b, r, d: (f"{b.name(d['claimant'])} did not reveal: its stake is burned", "red"),
    "draw": lambda b, r, d: (f"block {d['height']} will draw the committee: nobody can time that", "dim"),
    "audit": lambda b, r, d: (f"audit {d['audit'] + 1}, round {d['round']}: a committee is drawn and evaluates", "bold"),
    "commit": lambda b, r, d: (f"{b.name(d['voter'])} has committed its vote", "magenta"),
    "count": lambda b, r, d: ("the committee has voted; votes are opened", "bold"),
    "vote": _vote,
    "verdict": _verdict,
    "paid": lambda b, r, d: (f"{b.name(d['winner'])} is paid {d['bounty']} for loss {d['loss']}", "bold green"),
    "refunded": lambda b, r, d: (f"the bounty, {d['amount']}, goes back to {b.name(d['poster'])}", "yellow"),
    "bond": _bond,
    "empty": lambda b, r, d: (f"the job ends without a winner; everything goes back to {b.name(d['poster'])}", "yellow"),
    "suspended": lambda b, r, d: (f"{b.name(r)} is suspended, {d['frozen']} of its credits are frozen: a case is open", "bold red"),
    "case.extended": lambda b, r, d: (
        f"{b.name(r)}: another false claim joins the case, {d['frozen']} more are frozen",
        "bold red",
    ),
    "case.judged": lambda b, r, d: (f"{b.name(d['validator'])} votes to {d['judgement']} the ban of {b.name(r)}", "red"),
    "banned": lambda b, r, d: (
        f"{b.name(r)} is banned by {d['confirmed']} of {d['judges']} judges, its credits are burned",
        "bold red",
    ),
    "case.lapsed": lambda b, r, d: (
        f"nobody is banned by silence: the case against {b.name(r)} lapses, its credits are free",
        "bold green",
    ),
    "case.lifted": lambda b, r, d: (
        f"the case against {b.name(r)} is lifted by {d['lifted']} of {d['judges']} judges",
        "bold green",
    ),
    "strike": lambda b, r, d: (f"{b.name(r)} gets a strike ({d.get('reason')})", "red"),
}
