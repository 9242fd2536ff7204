"""`top`: what the node does, live in a terminal: where the ledger stands, what the node computes, how its jobs do; of the newest
run its loss by step as a curve, and the end of its log.

The stream of events says when to look again, the API what there is: at most once a second, at least every few seconds. Without a
terminal, or with --json, one frame is printed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console, Group
from rich.live import Live

from learningchain.client.cli.common import HERE, Common, ago, brief, cell, facts, listing, span
from learningchain.client.cli.paper import Printable, Text
from learningchain.client.cli.run_screen import run_screen
from learningchain.client.sdk.types import ApiError, NotFoundError, UnreachableError

if TYPE_CHECKING:
    from learningchain.client.sdk.client import Client

REST_S: Final = 1.0
"""Between two looks, however much happens."""
LONGEST_S: Final = 5.0
"""Between two looks where nothing happens."""
MOST_CLAIMS: Final = 3


@dataclass(frozen=True)
class Most:
    """How many of each are shown."""

    runs: int
    jobs: int
    boards: int


HIGH, LOW = Most(8, 6, 3), Most(2, 3, 1)
LOW_LINES: Final = 45
"""Of a terminal with fewer it is LOW."""
UNBOUND_ROWS: Final = 18
"""Of a run where there is no terminal."""
_KINDS = ("block", "run", "note")
_LEAVES = b"qQ\x03\x04"


@dataclass(frozen=True)
class Frame:
    """What one look found, as the API tells it. `boards`: live jobs that the node posted, with their claims. `watched`: the run
    whose curve and log are shown, None where there is none."""

    status: Any
    account: Any
    runs: list[Any]
    jobs: list[Any]
    boards: list[Any]
    load: Any
    watched: Any


def top(*, common: Common = HERE) -> int:
    """Watch the node: blocks, runs with their losses, live jobs, leaderboards of its own; of the run that began last its loss
    curve and the end of its log. Press q to leave."""
    live = not common.json and sys.stdout.isatty() and sys.stdin.isatty()
    if live:
        return common.ask(_live)
    frame = common.ask(look)
    document = {"status": frame.status, "account": frame.account, "runs": frame.runs, "jobs": frame.jobs, "boards": frame.boards}
    document |= {"load": frame.load, "watched": frame.watched}
    common.out.show(document, lambda console: console.print(draw(frame, _rich(console.width), Pace())))
    return 0


async def look(node: Client) -> Frame:
    status = await node.status()
    own = status["id"]
    runs = await node.runs()
    jobs = await node.jobs(live=True, limit=100)
    boards = [await node.job(job["id"]) for job in jobs if job["poster"] == own][: HIGH.boards]
    return Frame(status, await node.account(own), runs, jobs, boards, await _load(node), await _watched(node, runs))


async def _watched(node: Client, runs: list[Any]) -> Any:
    """The run that began last, of those that still run if any do; None where it is gone meanwhile."""
    if not runs:
        return None
    newest = max(runs, key=lambda run: (run.get("ended") is None, run.get("started") or 0))
    try:
        return await node.run(newest["id"])
    except NotFoundError:
        return None


async def _load(node: Client) -> Any:
    """None where an older node does not tell it."""
    try:
        return await node.load()
    except NotFoundError:
        return None


class Pace:
    """Blocks by second, as far as they were seen here."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, float]] = deque(maxlen=60)

    def see(self, height: int, now_s: float) -> None:
        if not self._seen or height > self._seen[-1][0]:
            self._seen.append((height, now_s))

    @property
    def text(self) -> str:
        if len(self._seen) < 2:
            return ""
        (first, begin), (last, end) = self._seen[0], self._seen[-1]
        return f", one every {span((end - begin) / (last - first))}" if end > begin else ""


# --- live -----------------------------------------------------------------------------------------------------------------------


async def _live(node: Client) -> int:
    console, pace, left = _rich(), Pace(), asyncio.Event()
    first = await look(node)
    happened = asyncio.Event()
    listening = asyncio.create_task(_listen(node, happened))
    pace.see(first.status["height"], time.monotonic())
    try:
        with _keys(left), Live(draw(first, console, pace), console=console, screen=True, auto_refresh=False) as shown:
            shown.refresh()
            while not await _rest(left, happened):
                try:
                    frame = await look(node)
                except (ApiError, UnreachableError) as problem:
                    shown.update(draw(first, console, pace, f"No answer: {problem}"), refresh=True)
                    continue
                first = frame
                pace.see(frame.status["height"], time.monotonic())
                shown.update(draw(frame, console, pace), refresh=True)
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
    return 0


async def _listen(node: Client, happened: asyncio.Event) -> None:
    """A stream that ends or is refused is asked for again: until then it is looked as often as where nothing happens."""
    while True:
        with contextlib.suppress(ApiError, UnreachableError):
            async for _ in node.watch(kinds=_KINDS):
                happened.set()
        await asyncio.sleep(LONGEST_S)


async def _rest(left: asyncio.Event, happened: asyncio.Event) -> bool:
    """Whether the user leaves, once it is time to look again."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(left.wait(), REST_S)
    waits = [asyncio.create_task(left.wait()), asyncio.create_task(happened.wait())]
    try:
        await asyncio.wait(waits, timeout=LONGEST_S - REST_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()
    happened.clear()
    return left.is_set()


@contextlib.contextmanager
def _keys(left: asyncio.Event) -> Iterator[None]:
    """Keys as they are pressed, unseen; afterwards the terminal is as it was."""
    import termios
    import tty

    loop, keys = asyncio.get_running_loop(), sys.stdin.fileno()
    before = termios.tcgetattr(keys)

    def pressed() -> None:
        typed = os.read(keys, 64)
        if not typed or any(key in _LEAVES for key in typed):
            left.set()
        if not typed:
            loop.remove_reader(keys)

    tty.setcbreak(keys)
    loop.add_reader(keys, pressed)
    try:
        yield
    finally:
        loop.remove_reader(keys)
        termios.tcsetattr(keys, termios.TCSADRAIN, before)


def _rich(width: int | None = None) -> Console:
    return Console(highlight=False, markup=False, emoji=False, width=width)


# --- what is drawn --------------------------------------------------------------------------------------------------------------


def draw(frame: Frame, console: Console, pace: Pace, trouble: str = "") -> Group:
    """What the last look found, below `trouble`. In a terminal the run that is watched comes last and has the lines that are left,
    so that what does not fit is its curve and its log, and neither jobs nor leaderboards."""
    most = LOW if console.is_terminal and console.height < LOW_LINES else HIGH
    parts: list[Any] = [cell(trouble, "red")] if trouble else []
    parts += [_facts(frame, pace), Text(), _runs(frame.runs, console, most.runs), Text(), _jobs(frame.jobs, console, most.jobs)]
    for job in frame.boards[: most.boards]:
        parts += [Text(), _board(job, console)]
    end = [*([] if trouble else [Text()]), Text("q leaves", style="dim")]
    if frame.watched is not None:
        parts.append(Text())
        taken = len(console.render_lines(Group(*parts, *end), pad=False))
        parts.append(run_screen(frame.watched, console, console.height - taken if console.is_terminal else UNBOUND_ROWS))
    return Group(*parts, *end)


def _facts(frame: Frame, pace: Pace) -> Printable:
    status = frame.status
    rows: list[tuple[str, Any]] = [
        ("height", f"{status['height']}, {ago(status['time'])}{pace.text}"),
        ("peers", f"{status['peers']}, {len(status['validators'])} validators{', syncing' if status['syncing'] else ''}"),
        ("credits", f"{frame.account['balance']} free, {frame.account['locked']} locked"),
        ("mempool", status.get("mempool")),
        *((("machine", _machine(frame.load)),) if frame.load is not None else ()),
        *(("failing", f"{one['part']}: {one['why']}") for one in status.get("failing", [])[:2]),
        *(("notice", one["text"]) for one in status.get("notices", [])[:3]),
    ]
    return facts(f"Network {status['network']}, {status['id']}", rows)


def _machine(load: Any) -> str:
    if not load["samples"]:
        return "not sampled yet"
    now = load["samples"][-1]
    of = f"{load['processors']} processors" if load["processors"] != 1 else "its processor"
    used = f"{now['cpu']} % of {of}, {now['memory']} % of {load['memory'] / 2**30:.1f} GiB of memory ({now['own']} MiB by the node)"
    return f"{used}, {now['disk_free'] / 2**30:.1f} GiB of disk free"


def _runs(runs: list[Any], console: Console, most: int) -> Any:
    if not runs:
        return Text("No run.")
    shown = sorted(runs, key=lambda run: run.get("ended") is not None)[:most]
    columns = ["run", "phase", "state", "step", "loss", "began"]
    rows = [
        [brief(console, run["id"]), run["phase"], run["state"], _step(run), _loss(run), ago(run.get("started"))] for run in shown
    ]
    return listing(columns, rows, {"step", "loss"})


def _step(run: Any) -> str:
    steps = run.get("progress") or []
    return f"{steps[-1]['step']} of {steps[-1]['of']}" if steps and steps[-1].get("of") else "-"


def _loss(run: Any) -> Any:
    steps = run.get("progress") or []
    return run.get("loss") or (steps[-1].get("loss") if steps else None)


def _jobs(jobs: list[Any], console: Console, most: int) -> Any:
    if not jobs:
        return Text("No live job.")
    rows = [[brief(console, job["id"]), job["state"], job["bounty"], job["claimants"], ago(job["posted"])] for job in jobs[:most]]
    more = [Text(f"and {len(jobs) - most} more", style="dim")] if len(jobs) > most else []
    return Group(listing(["live job", "state", "bounty", "claimants", "posted"], rows, {"bounty", "claimants"}), *more)


def _board(job: Any, console: Console) -> Any:
    claims = sorted(job["claims"], key=lambda claim: (float(claim["loss"]), claim["claimed"]))[:MOST_CLAIMS]
    rows = [
        [place, brief(console, claim["claimant"]), claim["loss"], ago(claim["claimed"])] for place, claim in enumerate(claims, 1)
    ]
    if not rows:
        return Text(f"Your job {job['id'][:16]} has no claim yet.")
    return listing([f"your job {job['id'][:8]}", "claimant", "loss", "claimed"], rows, {"loss"})
