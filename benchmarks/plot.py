"""The figures of a run as one SVG: the peers side by side, and every ratio against its target."""

from __future__ import annotations

import math
from html import escape

from benchmarks.figures import Figure, Run
from benchmarks.report import number, rounds, share, target

WIDTH, LEFT, RIGHT, LINE, HEAD = 960, 380, 250, 22, 62
SPAN = WIDTH - LEFT - RIGHT
OURS, PEERS, REACHED, MISSED, INK, FAINT = "#2563eb", "#94a3b8", "#15803d", "#d97706", "#1e293b", "#cbd5e1"
MOST_SHARE = 2.0
"""Bars of what is far beyond its target end here."""

RATES = (
    ("Transfers per second, many outstanding", ("transfers", "etcd", "syncobj", "anvil", "ganache")),
    ("Job postings and claims per second", ("jobs", "jobs_anvil", "jobs_ganache")),
    ("Finality with one outstanding, milliseconds", ("p50", "etcd_p50", "syncobj_p50", "p99", "etcd_p99")),
)
_OURS = ("transfers", "jobs", "p50", "p99")


def svg(run: Run, figures: list[Figure]) -> str:
    """A white page; bars of rates have a logarithmic scale, and a thin line from the lowest round to the highest."""
    known = {one.key: one for one in figures}
    parts, y = [], 20.0
    for title, keys in RATES:
        if some := [known[key] for key in keys if key in known and known[key].median > 0]:
            panel, y = _rates(title, some, y)
            parts.append(panel)
    if aims := [one for one in figures if share(one) is not None]:
        panel, y = _ratios(aims, y)
        parts.append(panel)
    machine = run["machine"]
    foot = f"{machine['cores']} cores, {machine['machine']}, Python {machine['python']}, {rounds(run)}"
    parts.append(_text(20, y + 14, foot, size=12, colour="#64748b"))
    height = round(y + 30)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    style = 'font-family="Helvetica, Arial, DejaVu Sans, sans-serif"'
    return f'{head} {style}><rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"


def _rates(title: str, some: list[Figure], y: float) -> tuple[str, float]:
    low = 10 ** math.floor(math.log10(min(one.low for one in some if one.low > 0) * 0.999))
    high = 10 ** math.ceil(math.log10(max(one.high for one in some)))

    def at(value: float) -> float:
        return LEFT + SPAN * math.log(max(value, low) / low) / math.log(high / low)

    parts = [_text(20, y + 16, title, size=16, weight="bold")]
    top, bottom = y + HEAD - 24, y + HEAD - 16 + LINE * len(some)
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        parts.append(_line(at(10**power), top, at(10**power), bottom, FAINT))
        parts.append(_text(at(10**power), top - 4, f"{10**power:,g}", size=11, anchor="middle", colour="#64748b"))
    for i, one in enumerate(some):
        line = y + HEAD - 16 + i * LINE
        parts.append(_text(LEFT - 10, line + 12, one.label, anchor="end"))
        parts.append(_bar(LEFT, line, at(one.median) - LEFT, OURS if one.key in _OURS else PEERS))
        if one.high > one.low:
            parts.append(_line(at(one.low), line + 8, at(one.high), line + 8, INK))
        parts.append(_text(max(at(one.median), at(one.high)) + 8, line + 12, number(one.median, one.digits), weight="bold"))
    return "\n".join(parts), bottom + 24


def _ratios(aims: list[Figure], y: float) -> tuple[str, float]:
    parts = [_text(20, y + 16, "Ratios against their targets: the line is the target, longer is better", size=16, weight="bold")]
    top, bottom = y + HEAD - 24, y + HEAD - 16 + LINE * len(aims)
    goal = LEFT + SPAN / MOST_SHARE
    for i, one in enumerate(aims):
        line, part = y + HEAD - 16 + i * LINE, min(MOST_SHARE, share(one) or 0.0)
        parts.append(_text(LEFT - 10, line + 12, one.label, anchor="end"))
        parts.append(_bar(LEFT, line, max(1.0, SPAN * part / MOST_SHARE), REACHED if one.reached else MISSED))
        parts.append(_text(LEFT + SPAN + 8, line + 12, number(one.median, one.digits), weight="bold"))
        parts.append(_text(WIDTH - 20, line + 12, target(one), anchor="end", colour="#64748b"))
    parts.append(_line(goal, top, goal, bottom, INK))
    parts.append(_text(goal, top - 4, "target", size=11, anchor="middle", colour=INK))
    return "\n".join(parts), bottom + 16


def _bar(x: float, y: float, width: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="16" rx="2" fill="{colour}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="1.5"/>'


def _text(
    x: float, y: float, text: str, *, size: int = 13, weight: str = "normal", anchor: str = "start", colour: str = INK
) -> str:
    # The white rim keeps a number readable where a line crosses it.
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{colour}"'
    rim = 'stroke="white" stroke-width="3" paint-order="stroke"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style} {rim}>{escape(text)}</text>'
