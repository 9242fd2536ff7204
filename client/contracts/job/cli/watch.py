"""`job watch`: a job live, from its claims to its end.

What is shown is always read whole from the node; events only say when to read again. So nothing is missed when the stream of events
breaks, and a node without events would still be followed, more slowly.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console, Group
from rich.live import Live

from learningchain.client.cli.common import HERE, Common, Output, cell, clean, facts, listing, named, nested, span, when
from learningchain.client.cli.files import coming_for, coming_table
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console as Paper
from learningchain.client.cli.paper import Text
from learningchain.client.contracts.job.cli.export import CsvExport
from learningchain.client.contracts.job.cli.jobs import (
    ENDED,
    JobId,
    claims_table,
    meaning,
    own_runs,
    parked_here,
    show_job,
    state_text,
    votes_table,
    who,
)
from learningchain.client.contracts.job.cli.shown import Shown
from learningchain.client.contracts.job.cli.tensorboard import TensorBoardExport
from learningchain.client.contracts.job.references import find
from learningchain.client.sdk.http import COMING_S
from learningchain.client.sdk.types import ApiError, NotFoundError, UnreachableError

if TYPE_CHECKING:
    from learningchain.client.contracts.job.http.schema import JobView
    from learningchain.client.schema.bodies import EventView
    from learningchain.client.sdk.client import Client

POLL_S = 3.0
"""Read again at least this often."""
REST_S = 0.25
"""Read at most this often."""
RETRIES = 10
PAGE = 1_000
"""Events that one question to the node lists at most."""
_BARS = "▁▂▃▄▅▆▇█"
CURVE = 48


def watch(
    job: JobId,
    /,
    *,
    verbose: Annotated[
        bool, Parameter(negative="", show_default=False, help="Also each step of each verifier: commitments, and losses it shows.")
    ] = False,
    export: Annotated[
        Path | None,
        Parameter(help="A folder in which claims, events and your runs' curves are kept up to date, as CSV and for TensorBoard."),
    ] = None,
    common: Common = HERE,
) -> int:
    """Follow a job until it has ended. With --json one line for each change."""

    async def follow(node: Client) -> int:
        job_id = await find(node, job)
        common.goes_on("The job goes on without you", f"job watch {job_id[:12]}")
        own = (await node.status())["id"]
        lines = LineView(common.out, own, verbose=verbose)
        view: View = JsonView(common.out) if common.json else LiveView(own) if sys.stdout.isatty() else lines
        files = () if export is None else (CsvExport(export.expanduser()), TensorBoardExport(export.expanduser()))
        with view:
            async with aclosing(changes(node, job_id)) as shown_ones:  # it listens to the node: that ends first
                async for shown in shown_ones:
                    view.update(shown)
                    for file in files:
                        await asyncio.to_thread(file.update, shown)
                    if shown.job.get("state") in ENDED:
                        break
        return 0

    return common.ask(follow)


async def changes(node: Client, job_id: str) -> AsyncGenerator[Shown, None]:
    """The job as it is now, and again whenever it changed. Raises `UnreachableError` when the node stays away."""
    bell = asyncio.Event()
    listener = asyncio.create_task(_listen(node, job_id, bell))
    last: Any = None
    cursor = -1
    failures = 0
    try:
        while True:
            bell.clear()
            try:
                shown = await _read(node, job_id, cursor)
                failures = 0
            except UnreachableError:
                failures += 1
                if failures > RETRIES:
                    raise
                await asyncio.sleep(min(0.2 * 2**failures, 5.0))
                continue
            if (now := (shown.job, shown.runs, shown.parked, shown.coming)) != last or shown.events:
                last = now
                cursor = shown.events[-1]["cursor"] if shown.events else cursor
                yield shown
            with suppress(TimeoutError):
                await asyncio.wait_for(bell.wait(), min(COMING_S, POLL_S) if shown.coming else POLL_S)
            await asyncio.sleep(REST_S)
    finally:
        listener.cancel()
        with suppress(asyncio.CancelledError):
            await listener


async def _read(node: Client, job_id: str, cursor: int) -> Shown:
    """The events are read after the job: what its state tells is among them."""
    job, status = await node.job(job_id), await node.status()
    events = await _events(node, job_id, cursor)
    runs = await own_runs(node, job_id)
    return Shown(job, runs, status["clock_now"], parked_here(status, job_id), events, await coming_for(node, job_id))


async def _events(node: Client, job_id: str, cursor: int) -> list[EventView]:
    """What happened after the event at `cursor` (-1: from the begin on), oldest first. The node lists the newest first."""
    found: list[EventView] = []
    while True:
        try:
            page = await node.job_events(job_id, before=found[-1]["cursor"] if found else None, limit=PAGE)
        except NotFoundError:  # an older node does not tell
            return []
        new = [event for event in page if cursor < event["cursor"] and (not found or event["cursor"] < found[-1]["cursor"])]
        found += new
        if len(new) < PAGE:
            return found[::-1]


async def _listen(node: Client, job_id: str, bell: asyncio.Event) -> None:
    """Ring when something concerns the job. A broken stream is opened again; polling goes on meanwhile."""
    while True:
        with suppress(ApiError):
            async for event in node.watch(kinds=["note", "run"]):
                if event.data.get("ref") == job_id or event.data.get("job") == job_id:
                    bell.set()
        await asyncio.sleep(1.0)


# --- views ---------------------------------------------------------------------------------------------------------------------


class View:
    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, shown: Shown) -> None:
        raise NotImplementedError


class JsonView(View):
    """One line of JSON for each change."""

    def __init__(self, out: Output) -> None:
        self._out = out

    def update(self, shown: Shown) -> None:
        names = ("job", "runs", "clock", "parked", "events", "coming")
        self._out.line({name: getattr(shown, name) for name in names})


class LineView(View):
    """For pipes and logs: a line for each thing that happened, with the time of its block; the whole job at its end. What a
    verifier does on its way to its votes is told where it is asked for."""

    def __init__(self, out: Output, own: str, *, verbose: bool) -> None:
        self._out, self._own, self._verbose, self._began = out, own, verbose, False

    def update(self, shown: Shown) -> None:
        if not self._began and (not shown.events or shown.events[0]["topic"] != FIRST):
            since = f"before block {shown.events[0]['height']} " if shown.events else ""
            self._out.note(f"What happened to this job {since}is not in this node's history: it begins later.")
        self._began = True
        for event in shown.events:
            if event["topic"] in STEPS and not self._verbose:
                continue
            self._out.console.print(f"{when(event['time'])}  {named(clean(told(event, shown.job)))}", soft_wrap=True)
        if shown.job.get("state") in ENDED:
            show_job(self._out.console, shown.job, self._own, shown.now())


FIRST = "job.posted"
STEPS = frozenset(("commit", "column", "opened"))
"""Of one seat there are as many as it has candidates, and more; what comes of them stands in its votes."""
_TOLD = {
    FIRST: "{poster} posts the job for a bounty of {bounty}: it is OPEN",
    "claim": "{claimant} claims loss {loss}",
    "reveal.open": "claims are closed: the job is in REVEAL",
    "reveal": "{claimant} revealed its model",
    "silent": "{claimant} showed no model",
    "key.open": "the poster is to reveal the key of the hidden data: the job is in KEY",
    "key": "the poster revealed the key",
    "key.missing": "the poster revealed no key",
    "key.bad": "the key opens no hidden data",
    "draw": "a committee will be drawn in block {height}: the job is in DRAW",
    "audit": "a committee is drawn: the job is in COMMIT",
    "dropped": "{claimant} is out: banned",
    "commit": "{voter} committed to its votes",
    "count": "the committee opens its votes: the job is in COUNT",
    "column": "{voter} shows losses of {candidate}",
    "column.hidden": "{voter} shows losses of {candidate} on the hidden data",
    "opened": "{voter} has shown all that it measured: its votes count",
    "second.round": "the votes differ: a larger committee is drawn for a second round",
    "vote": "{voter} votes {vote} on {candidate}, measured {measured}",
    "verdict": "claim of {claimant} judged {result}",
    "unrepeatable": "the votes on {claimant} lie too far apart: nobody is struck, and it counts in the poster's record",
    "bond": "of the poster's bond {burned} burned, {returned} came back",
    "cancelled": "{poster} took the job back",
    "extended": "{poster} gave the job more time",
    "paid": "job {job} is PAID: {bounty} to {winner}",
    "refunded": "job {job} is REFUNDED: {amount} back to {poster}",
    "empty": "job {job} is EMPTY: everything went back",
    "parked": "job {job} is parked: a program failed here; its credits are kept until the validators release it",
}
"""What an event says to people. One that is not here is told by its topic and its values."""


def told(event: EventView, job: JobView) -> str:
    """An event as a line. A vote names its claim by number: here by who made it."""
    topic, data = str(event.get("topic")), dict(event.get("data") or {})
    claimants: dict[Any, str] = {c["index"]: c["claimant"] for c in job.get("claims") or []}
    values = data | {"job": job.get("id"), "candidate": claimants.get(data.get("candidate"), data.get("candidate"))}
    try:
        return _TOLD["column.hidden" if topic == "column" and data.get("hidden") else topic].format_map(values)
    except KeyError:
        return f"{topic.replace('.', ' ')}: {nested(data)}" if data else topic.replace(".", " ")


class LiveView(View):
    """A display that counts down by itself between two readings."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._shown: Shown | None = None
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._live = Live(console=self._console, refresh_per_second=4, get_renderable=self._render, transient=True)

    def __enter__(self) -> View:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        if self._shown is not None:
            show_job(Paper(), self._shown.job, self._own, self._shown.now(), self._shown.parked)

    def update(self, shown: Shown) -> None:
        self._shown = shown
        self._live.refresh()

    def _render(self) -> Group:
        if self._shown is None:
            return Group(Text("Reading the job…"))
        return Group(*display(self._shown, self._own))


def display(shown: Shown, own: str) -> list[Any]:
    """The parts of the live display."""
    job = shown.job
    left = shown.left()
    says = meaning(job, shown.parked)
    rows: list[tuple[str, Any]] = [("state", state_text(job.get("state"))), ("", says), ("bounty", job.get("bounty"))]
    if left is not None and shown.parked is None:
        rows.append((_WAITING.get(str(job.get("state")), "deadline"), "any moment" if left <= 0 else span(left)))
    if job.get("winner"):
        rows.append(("winner", who(job["winner"], own)))
    parts: list[Any] = [facts(f"Job {job.get('id')}", rows)]
    if claims := job.get("claims"):
        parts += [Text(), claims_table(claims[:20], own, shown.now())]
    if (votes := votes_table(job, own, most=30)) is not None:
        parts += [Text(), votes]
    if shown.coming:
        parts += [Text(), coming_table(shown.coming)]
    if shown.runs:
        parts += [Text(), runs_table(shown.runs)]
    return parts


_WAITING = {
    "OPEN": "claims end in",
    "REVEAL": "models due in",
    "KEY": "key due in",
    "COMMIT": "votes due in",
    "COUNT": "votes open until",
}


def runs_table(runs: list[Any]) -> Any:
    """This node's own runs with their loss curves."""
    rows = []
    for run in runs[-8:]:
        progress = [p for p in run.get("progress") or [] if isinstance(p, dict)]
        last = progress[-1] if progress else {}
        step = f"{last.get('step')}/{last.get('of')}" if last.get("of") else str(last.get("step", ""))
        curve = cell(sparkline([p.get("loss") for p in progress]), "cyan")
        rows.append([run.get("id"), run.get("phase"), run.get("state"), step, curve, run.get("loss") or last.get("loss")])
    return listing(["own run", "phase", "state", "step", "loss curve", "loss"], rows, {"loss"})


def sparkline(values: list[Any], width: int = CURVE) -> str:
    """Numbers as a row of bars, the last `width` of them; what is no number is left out."""
    numbers = [float(v) for v in values if isinstance(v, int | float) and v == v and abs(v) != float("inf")][-width:]
    if not numbers:
        return ""
    low, high = min(numbers), max(numbers)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((n - low) * scale)] for n in numbers)
