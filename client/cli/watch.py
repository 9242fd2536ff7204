"""`job watch`: a job live, from its claims to its end.

What is shown is always read whole from the node; events only say when to read again. So nothing is missed when the stream of events
breaks, and a node without events would still be followed, more slowly.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from client.cli.common import HERE, Common, Output, cell, clean, facts, listing, span
from client.cli.jobs import ENDED, JobId, claims_table, find_job, meaning, parked_here, show_job, state_text, votes_rows, who
from client.sdk_types import ApiError, Job, ParkedReference, Unreachable

if TYPE_CHECKING:
    from client.sdk import Client

POLL_S = 3.0
"""Read again at least this often."""
REST_S = 0.25
"""Read at most this often."""
RETRIES = 10
_BARS = "▁▂▃▄▅▆▇█"
CURVE = 48


def watch(job: JobId, /, *, common: Common = HERE) -> int:
    """Follow a job until it has ended. With --json one line for each change."""

    async def follow(node: Client) -> int:
        job_id = await find_job(node, job)
        own = (await node.status())["id"]
        view: View = JsonView(common.out) if common.json else LiveView(own) if sys.stdout.isatty() else LineView(common.out, own)
        with view:
            async for shown in changes(node, job_id):
                view.update(shown)
                if shown.job.get("state") in ENDED:
                    break
        return 0

    return common.ask(follow)


class Shown:
    """What is known at one moment. `clock` is the chain clock in milliseconds, read at `at` of the monotonic clock. `parked`: the
    job's entry in the status, where it is parked."""

    def __init__(self, job: Job, runs: list[Any], clock: int, parked: ParkedReference | None = None) -> None:
        self.job, self.runs, self.clock, self.parked, self.at = job, runs, clock, parked, time.monotonic()

    def now(self) -> int:
        """The chain clock, counted on from the last reading."""
        return self.clock + round(1000 * (time.monotonic() - self.at))

    def left(self) -> float | None:
        """Seconds until the present deadline."""
        deadline = self.job.get("deadline")
        return None if deadline is None else (deadline - self.now()) / 1000


async def changes(node: Client, job_id: str) -> AsyncIterator[Shown]:
    """The job as it is now, and again whenever it changed. Raises `Unreachable` when the node stays away."""
    bell = asyncio.Event()
    listener = asyncio.create_task(_listen(node, job_id, bell))
    last: Any = None
    failures = 0
    try:
        while True:
            bell.clear()
            try:
                shown = await _read(node, job_id)
                failures = 0
            except Unreachable:
                failures += 1
                if failures > RETRIES:
                    raise
                await asyncio.sleep(min(0.2 * 2**failures, 5.0))
                continue
            if (now := (shown.job, shown.runs, shown.parked)) != last:
                last = now
                yield shown
            with suppress(TimeoutError):
                await asyncio.wait_for(bell.wait(), POLL_S)
            await asyncio.sleep(REST_S)
    finally:
        listener.cancel()
        with suppress(asyncio.CancelledError):
            await listener


async def _read(node: Client, job_id: str) -> Shown:
    job, status = await node.job(job_id), await node.status()
    try:
        runs = [run for run in await node.runs() if run.get("job") == job_id]
    except Unreachable:
        raise
    except ApiError:  # a node without a worker
        runs = []
    return Shown(job, runs, status["clock_now"], parked_here(status, job_id))


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
        self._out.line({"job": shown.job, "runs": shown.runs, "clock": shown.clock, "parked": shown.parked})


class LineView(View):
    """For pipes and logs: a line with its time for each claim, vote and state, and the whole job at its end."""

    def __init__(self, out: Output, own: str) -> None:
        self._out, self._own = out, own
        self._said: set[str] = set()

    def update(self, shown: Shown) -> None:
        for line in news(shown):
            if line not in self._said:
                self._said.add(line)
                self._out.console.print(f"{time.strftime('%H:%M:%S')}  {clean(line)}", soft_wrap=True)
        if shown.job.get("state") in ENDED:
            show_job(self._out.console, shown.job, self._own, shown.now())


def news(shown: Shown) -> list[str]:
    """What there is to tell about a job, each thing once: the lines are stable texts."""
    job = shown.job
    lines = [f"{c.get('claimant')} claims loss {c.get('loss')}" for c in job.get("claims") or []]
    lines += [f"{c.get('claimant')} revealed its model" for c in job.get("claims") or [] if c.get("revealed")]
    for round_ in job.get("rounds") or []:
        for seat in round_.get("committee") or []:
            for vote in seat.get("votes") or []:
                lines.append(
                    f"{seat.get('voter')} votes {vote.get('vote')} on {vote.get('candidate')}, measured {vote.get('measured')}"
                )
    lines += [f"claim of {c.get('claimant')} judged {c['result']}" for c in job.get("claims") or [] if c.get("result")]
    lines.append(f"job {job.get('id')} is {job.get('state')}")
    return [*lines, f"job {job.get('id')} is {meaning(job, shown.parked)}"] if shown.parked else lines


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
            show_job(self._console, self._shown.job, self._own, self._shown.now(), self._shown.parked)

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
    if votes := votes_rows(job, own):
        parts += [Text(), listing(["round", "voter", "candidate", "vote", "measured", "fee"], votes[:30], {"measured", "fee"})]
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
