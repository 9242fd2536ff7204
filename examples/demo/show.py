"""The demo on the terminal: a live display for people, plain lines where standard output is no terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from learningchain.chain.types import format_credits, parse_credits
from learningchain.client.cli.common import cell, clean
from learningchain.client.contracts.job.cli.watch import sparkline
from learningchain.examples.demo.board import Board, Json, NodeLine, Step
from learningchain.examples.demo.plan import NODES, OTHERS

if TYPE_CHECKING:
    from learningchain.examples.demo.check import Verdict
    from learningchain.examples.demo.story import Scene

BAR: Final = 20
WIDE: Final = 120
"""Columns of a terminal that shows everything."""
_WAITING: Final = {
    "OPEN": "claims end in",
    "REVEAL": "models due in",
    "KEY": "key due in",
    "DRAW": "a committee is drawn",
    "COMMIT": "votes due in",
    "COUNT": "votes open until",
}


class Screen(Protocol):
    """Where the demo shows itself."""

    console: Console

    def start(self, board: Board) -> None: ...

    def say(self, text: str, style: str) -> None: ...

    def stop(self) -> None: ...


def screen(*, to_stderr: bool) -> Screen:
    """`to_stderr` leaves standard output to whoever wants a result there."""
    return LiveScreen() if sys.stdout.isatty() and not to_stderr else LineScreen(to_stderr)


class LineScreen:
    """One line for each thing that happens."""

    def __init__(self, to_stderr: bool) -> None:
        self.console = Console(stderr=to_stderr, highlight=False, markup=False, emoji=False, width=120)
        self._began = time.monotonic()

    def start(self, board: Board) -> None:
        return None

    def say(self, text: str, style: str) -> None:
        self.console.print(f"{time.monotonic() - self._began:6.1f} s  {clean(text)}", soft_wrap=True)

    def stop(self) -> None:
        return None


class LiveScreen:
    """News scroll by; below them stands what is going on now."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, markup=False, emoji=False)
        self._began = time.monotonic()
        self._live: Live | None = None

    def start(self, board: Board) -> None:
        self._live = Live(
            console=self.console, refresh_per_second=5, transient=True, get_renderable=lambda: display(board, self.console.width)
        )
        self._live.start()

    def say(self, text: str, style: str) -> None:
        self.console.print(Text(f"{time.monotonic() - self._began:6.1f} s  ", "dim") + Text(clean(text), style), soft_wrap=True)

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


# --- the live display -----------------------------------------------------------------------------------------------------------


def display(board: Board, width: int) -> RenderableType:
    """What goes on now. A narrow terminal is spared the columns that others do without."""
    parts: list[RenderableType] = []
    open_steps = [step for step in board.steps if not step.over]
    if open_steps:
        parts.append(_steps(open_steps))
    if board.nodes:
        parts.append(_nodes(list(board.nodes.values()), wide=width >= WIDE))
    if board.job is not None:
        parts.append(_job(board, board.job))
    elapsed = time.monotonic() - board.began
    title = Text(f"{board.title}, {elapsed:.0f} s")
    # Room for the terminal's own ^C: a line that wraps would leave pieces of the display behind.
    return Panel(Group(*parts), title=title, title_align="left", border_style="blue", width=max(20, width - 3))


def _steps(steps: list[Step]) -> Table:
    table = Table.grid(padding=(0, 2))
    for step in steps:
        measured = step.total > 0
        shown = f"{step.done:.0f} of {step.total:.0f}" if measured and step.total < 1_000 else ""
        table.add_row(Text(step.title), _bar(step.done if measured else None, step.total), Text(shown))
    return table


def _bar(done: float | None, total: float) -> ProgressBar:
    return ProgressBar(total=total or 1, completed=done or 0, width=BAR, pulse=done is None)


def _nodes(nodes: list[NodeLine], *, wide: bool) -> Table:
    """One line a node; a wide terminal also shows roles and loss curves."""
    right = {"block", "peers", "loss"}
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("node", "role", "block", "peers", "sandbox", "at work on", "progress", "loss curve", "loss"):
        if wide or name not in ("role", "loss curve"):
            table.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    for line in nodes:
        proven = "-" if not line.needs_sandbox else {None: "testing", True: "proven", False: "FAILED"}[line.sandbox]
        role = [cell(line.part.role)] if wide else []
        current = line.current()
        run = _run(current[0], wide=wide) if current else [Text("-")]
        table.add_row(cell(line.part.name, "bold"), *role, cell(line.height), cell(line.peers), cell(proven), *run)
    return table


def _run(run: Json, *, wide: bool) -> list[RenderableType]:
    progress = [p for p in run.get("progress") or [] if isinstance(p, dict)]
    last: Json = progress[-1] if progress else {}
    what = f"{run.get('phase')} {run.get('attempt') or ''}".strip()
    step, of = last.get("step"), last.get("of")
    known = isinstance(step, int | float) and isinstance(of, int | float) and of > 0
    bar = _bar(float(step), float(of)) if known and step is not None and of is not None else _bar(None, 0)
    curve = [cell(sparkline([p.get("loss") for p in progress], 20), "cyan")] if wide else []
    return [cell(what), bar, *curve, cell(_short(last.get("loss")))]


def _short(loss: Any) -> str:
    return f"{loss:.4f}" if isinstance(loss, int | float) else "-"


def _job(board: Board, job: Json) -> RenderableType:
    left, state = board.left_s(), str(job.get("state"))
    table = Table.grid(padding=(0, 2))
    bounty = Text(f"bounty {job.get('bounty')}")
    if left is not None:
        whole = max(1.0, (job["deadline"] - job["posted"]) / 1_000) if state == "OPEN" else max(left, 10.0)
        waiting = f"{_WAITING.get(state, 'deadline in')} {max(0.0, left):.0f} s"
        table.add_row(cell(f"job {str(job.get('id'))[:12]}", "bold"), cell(state, "cyan"), bounty, Text(waiting), _bar(left, whole))
    else:
        table.add_row(cell(f"job {str(job.get('id'))[:12]}", "bold"), cell(state, "bold green"), bounty)
    parts: list[RenderableType] = [Text(), table]
    claims = job.get("claims") or []
    if claims:
        parts.append(_claims(board, claims))
    return Group(*parts)


def _claims(board: Board, claims: list[Json]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("rank", "claimant", "announced loss", "claims", "revealed", "judged"):
        table.add_column(name, justify="right" if name in ("rank", "announced loss", "claims") else "left")
    for rank, claim in enumerate(claims[:8], start=1):
        judged = claim.get("result")
        style = "green" if judged == "OK" else "red" if judged else ""
        row = [cell(rank), cell(board.name(claim["claimant"]), "bold"), cell(claim["loss"]), cell(claim["claim"])]
        table.add_row(*row, cell(claim["revealed"]), cell(judged, style))
    return table


# --- the end -------------------------------------------------------------------------------------------------------------------


def final_tables(console: Console, scene: Scene, verdict: Verdict) -> None:
    """Blocks and roots of every node, and the balances, which add up to the supply."""
    nodes = Table(title=f"Every node at block {verdict.height}", title_justify="left", header_style="bold")
    for name in ("node", "block", "state root"):
        nodes.add_column(name, no_wrap=True)
    for seen in verdict.seen:
        nodes.add_row(cell(seen.name, "bold"), cell(seen.block["block_id"][:16]), cell(seen.block["state_root"]))
    console.print(nodes)
    first = verdict.seen[0]
    balances = Table(title="Balances", title_justify="left", header_style="bold", show_footer=True)
    balances.add_column("account", "supply")
    balances.add_column(
        "", first.supply["supply"] + " = " + "minted " + first.supply["minted"] + " - burned " + first.supply["burned"]
    )
    balances.add_column("before", "", justify="right")
    total = sum(parse_credits(a["balance"]) + parse_credits(a["frozen"]) for a in first.accounts)
    balances.add_column("now", format_credits(total + parse_credits(first.supply["escrows"])), justify="right")
    grants = {part.name: part for part in (*NODES, *OTHERS)}
    for account in sorted(first.accounts, key=lambda a: scene.board.name(a["id"])):
        part = grants.get(scene.board.name(account["id"]))
        status = account["status"] if account["status"] != "active" else part.role if part else ""
        now = format_credits(parse_credits(account["balance"]) + parse_credits(account["frozen"]))
        balances.add_row(cell(scene.board.name(account["id"]), "bold"), cell(status), cell(part.grant if part else "-"), cell(now))
    balances.add_row(cell("escrows"), cell("of jobs that run"), cell("0"), cell(first.supply["escrows"]))
    console.print(balances)
