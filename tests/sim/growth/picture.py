"""An SVG of the growth: messages and bytes per node and second against the members, both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tests.sim.growth.measure import allowed

WIDTH, HEIGHT = 430, 330
LEFT, RIGHT, TOP, BOTTOM = 66, 28, 34, 46
LINES = (
    ("member", "mean", "member, mean", "#1f6fb4", ""),
    ("member", "most", "member, the busiest", "#1f6fb4", "5 4"),
    ("validator", "mean", "validator, mean", "#c2571a", ""),
    ("validator", "most", "validator, the busiest", "#c2571a", "5 4"),
)


def picture(found: Sequence[dict[str, Any]]) -> str:
    parts = [_panel(found, what, i * WIDTH) for i, what in enumerate(("messages", "bytes"))]
    legend = "".join(
        _legend(i, name, color, dash)
        for i, (_, _, name, color, dash) in enumerate([*LINES, ("", "", "log(members)", "#888888", "2 3")])
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT + 30}" font-family="sans-serif" font-size="12">'
    )
    background = f'<rect width="{2 * WIDTH}" height="{HEIGHT + 30}" fill="white"/>'
    return "\n".join([head, background, *parts, legend, "</svg>", ""])


def _legend(index: int, name: str, color: str, dash: str) -> str:
    x, y = 30 + index * 165, HEIGHT + 12
    line = f'<line x1="{x}" y1="{y}" x2="{x + 26}" y2="{y}" stroke="{color}" stroke-width="2" stroke-dasharray="{dash}"/>'
    return f'{line}<text x="{x + 32}" y="{y + 4}">{name}</text>\n'


def _panel(found: Sequence[dict[str, Any]], what: str, shift: int) -> str:
    members = [f["members"] for f in found]
    lines = {(who, which): [f[who][what][which] for f in found] for who, which, *_ in LINES}
    values = [v for line in lines.values() for v in line]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))

    def at(x: float, y: float) -> tuple[float, float]:
        across = math.log(x / members[0]) / math.log(members[-1] / members[0])
        up = math.log(y / low) / math.log(high / low)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def path(points: list[float], color: str, dash: str, dots: bool) -> str:
        places = [at(x, y) for x, y in zip(members, points, strict=True)]
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        line = f'<polyline points="{text}" fill="none" stroke="{color}" stroke-width="2" stroke-dasharray="{dash}"/>'
        return line + "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in places if dots)

    out = [f'<g transform="translate({shift},0)">']
    title = "messages" if what == "messages" else "bytes"
    out.append(f'<text x="{WIDTH / 2}" y="18" text-anchor="middle" font-weight="bold">{title} per node and second</text>')
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        x, y = at(members[0], 10**power)
        out.append(f'<line x1="{x}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#dddddd"/>')
        out.append(f'<text x="{x - 6}" y="{y + 4:.1f}" text-anchor="end">{10**power:,}</text>')
    for count in members:
        x, y = at(count, low)
        out.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{count:,}</text>')
    out.append(f'<text x="{(WIDTH + LEFT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">members</text>')
    first = lines["member", "mean"][0]
    out.append(path([first * allowed(members[0], n) for n in members], "#888888", "2 3", dots=False))
    for who, which, _, color, dash in LINES:
        out.append(path(lines[who, which], color, dash, dots=True))
    return "\n".join([*out, "</g>"])
