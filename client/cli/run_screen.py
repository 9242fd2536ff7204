"""One run in a terminal: its loss by step as a curve, and the end of what its program printed, which a stranger wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Group
from rich.text import Text

from learningchain.client.cli.common import brief, clean
from learningchain.client.cli.curve import Point, curve
from learningchain.client.cli.paper import Surface

LINES, FEWEST_LINES = 4, 2
"""Of the log, the last: those that it has before the curve is drawn higher than LOWEST, and before there is a curve at all."""
CHARACTERS: Final = 16_384
"""Of the log that is looked at, the last."""
POINTS: Final = 2_000
WIDTH, HEIGHT, LOWEST = 72, 6, 3
"""The most of a curve in characters, and the fewest lines in which one says something."""
_AROUND_CURVE, _HEADING = 3, 1
"""Lines: a curve's heading, its steps and the empty line after it; the log's heading."""
BOUND: Final = 1e15
"""Losses beyond it are not drawn: with them everything else would lie on one line."""
_LABEL: Final = 12
_ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
"""Control sequences of ECMA-48: CSI, strings such as a title (OSC), and the others; also those that break off."""


def run_screen(run: Any, console: Surface, rows: int) -> Group:
    """`run` as `GET /v1/runs/{run}` tells it, in at most `rows` lines, of which the log has what the curve leaves; nothing in fewer
    than two."""
    height = min(HEIGHT, max(LOWEST, rows - _AROUND_CURVE - _HEADING - LINES))
    drawn = rows >= LOWEST + _AROUND_CURVE + _HEADING + FEWEST_LINES
    parts = _curve(run, console, height) if drawn else []
    most = rows - len(parts) - _HEADING
    if most < 1:
        return Group()
    parts.append(_heading("The end of its log", run, console))
    lines = last_lines(run.get("log"), most)
    parts += [Text(line, no_wrap=True, overflow="ellipsis") for line in lines] or [Text("It has said nothing.", style="dim")]
    return Group(*parts)


def last_lines(log: Any, most: int, *, whole: bool = False) -> list[str]:
    """As a terminal would show them at the end, without what would move its cursor, colour it or change its title. `whole`: of all
    of the log, which the node bounds."""
    text = _ESCAPES.sub("", str(log or "")[0 if whole else -CHARACTERS :])
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return [clean(line.expandtabs()) for line in lines if line][-most:]


def losses(steps: Any) -> list[Point]:
    """Step and loss of the steps that have both, the last POINTS of them; the latest word on a step counts."""
    told: dict[float, float] = {}
    for step in (steps or [])[-POINTS:]:
        at, loss = (_number(step.get(name)) if isinstance(step, dict) else None for name in ("step", "loss"))
        if at is not None and loss is not None:
            told[at] = loss
    return sorted(told.items())


def _number(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if abs(found) < BOUND else None


def _curve(run: Any, console: Surface, height: int) -> list[Any]:
    points = losses(run.get("progress"))
    width = min(WIDTH, console.width - _LABEL - 1)
    lines = curve(points, width, height, ascii_only=not console.encoding.startswith("utf"))
    if not lines:
        return []
    labels = _labels(points, len(lines))
    drawn = [
        Text.assemble((f"{label:>{_LABEL}} ", "dim"), (line or " ", "cyan")) for label, line in zip(labels, lines, strict=True)
    ]
    ends = f"{'step':>{_LABEL}} {points[0][0]:g} to {points[-1][0]:g}"
    return [_heading("Loss by step", run, console), *drawn, Text(ends, "dim", no_wrap=True, overflow="ellipsis"), Text()]


def _heading(what: str, run: Any, console: Surface) -> Text:
    return Text(f"{what}, run {brief(console, clean(run['id']))}", style="bold", no_wrap=True, overflow="ellipsis")


def _labels(points: Sequence[Point], rows: int) -> list[str]:
    """The highest loss beside the first line, the lowest beside the last."""
    values = [loss for _, loss in points]
    return [f"{max(values):.5g}", *[""] * (rows - 2), f"{min(values):.5g}"]
