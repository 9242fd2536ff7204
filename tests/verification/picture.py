"""docs/pictures/verification.svg: false claims by pool and collusion, draws that are chosen, and then beside now."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from math import floor, log10

from .figures import POOLS, SHARES, VALIDATORS, Results
from .ranges import Rate, short
from .targets import TARGETS

WIDTH, HEIGHT = 960, 900
INK, FAINT, GREY, PALE = "#1e293b", "#e2e8f0", "#64748b", "#94a3b8"
COLOURS = ("#93c5fd", "#3b82f6", "#1d4ed8", "#7c3aed", "#db2777")
GOOD, BAD = "#15803d", "#dc2626"
DRAWN_POOLS = (10, 20, 50, 100, 300)
FIRST_EDITION = {10: 0.0, 20: 0.005, 30: 0.217, 33: 0.481, 40: 2.80, 50: 59.0}
"""False claims paid of 100 verifiers, 2 % silent, in percent."""
BEFORE = (0.48, 3.7, 13.0, None, None, 100.0, 129.0, None, 17.7, 0.93, None)
"""Of TARGETS, in percent; None where there is none, or none in percent."""


class Panel:
    """A field with a logarithmic scale of percent upwards."""

    def __init__(self, x: float, y: float, width: float, height: float, low: float, places: dict[int, str]) -> None:
        self.x, self.y, self.width, self.height, self.low = x, y, width, height, low
        self.places = places
        self.least, self.most = min(places), max(places)

    def across(self, place: float) -> float:
        return self.x + self.width * (place - self.least) / (self.most - self.least)

    def up(self, share: float) -> float:
        top = log10(100)
        return self.y + self.height * (top - log10(max(100 * share, self.low))) / (top - log10(self.low))

    def frame(self, title: str, below: str) -> Iterable[str]:
        yield text(self.x - 46, self.y - 26, title, size=16, weight="bold")
        for power in range(floor(log10(self.low)), 3):
            at = self.up(10.0**power / 100)
            yield line(self.x, at, self.x + self.width, at, FAINT)
            yield text(self.x - 8, at + 4, f"{10.0**power:g} %", size=11, anchor="end", colour=GREY)
        for place, words in self.places.items():
            yield text(self.across(place), self.y + self.height + 18, words, size=11, anchor="middle", colour=GREY)
        yield text(self.x + self.width / 2, self.y + self.height + 36, below, size=12, anchor="middle", colour=GREY)

    def curve(self, points: list[tuple[float, float]], colour: str, dash: str = "") -> str:
        inside = [(self.across(x), self.up(y)) for x, y in points if 100 * y >= self.low]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in inside)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'

    def spot(self, x: float, rate: Rate, colour: str) -> str:
        """A point with its range; nothing where nothing was seen."""
        if 100 * rate.share < self.low:
            return ""
        low, high = rate.range()
        at = self.across(x)
        return line(at, self.up(low), at, self.up(high), colour) + dot(at, self.up(rate.share), colour)


def svg(results: Results) -> str:
    parts = [*_claims(results), *_draws(results), *_targets(results)]
    foot = f"version {results['version']}, seed {results['seed']}; points: Monte Carlo of the rules as implemented, 95 % ranges"
    parts.append(text(20, HEIGHT - 14, foot, size=12, colour=GREY))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    style = 'font-family="Helvetica, Arial, DejaVu Sans, sans-serif"'
    body = "\n".join(part for part in parts if part)
    return f'{head} {style}><rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'


def _claims(results: Results) -> Iterable[str]:
    """Lines are the exact sums, points the Monte Carlo."""
    panel = Panel(70, 56, 400, 300, 1e-4, {share: f"{share} %" for share in SHARES if share not in (25, 33)} | {33: "1/3"})
    yield from panel.frame("False claim paid", "of the verifiers collude; 2 % of the others are silent")
    places = {share: 100 / 3 if share == 33 else float(share) for share in SHARES}
    yield panel.curve([(places[share], found / 100) for share, found in FIRST_EDITION.items()], PALE, "6 4")
    yield text(panel.across(26.5), panel.up(0.0014), "first edition, 100", size=12, anchor="end", colour=GREY)
    for pool, colour in zip(DRAWN_POOLS, COLOURS, strict=True):
        cells = {share: results["cells"][f"paid/{pool}/{share}/2"] for share in SHARES}
        yield panel.curve([(places[share], cell["exact OK"]) for share, cell in cells.items()], colour)
        for share, cell in cells.items():
            yield panel.spot(places[share], Rate(round(cell["OK"]), round(cell["tries"])), colour)
    for i, (pool, colour) in enumerate(zip(DRAWN_POOLS, COLOURS, strict=True)):
        at = panel.y + 12 + 18 * i
        yield line(panel.x + 12, at, panel.x + 36, at, colour)
        yield text(panel.x + 42, at + 4, f"pool of {pool}", size=12)
    assert set(DRAWN_POOLS) <= set(POOLS)


def _draws(results: Results) -> Iterable[str]:
    panel = Panel(560, 56, 370, 300, 1e-2, {i: str(many) for i, many in enumerate(VALIDATORS)})
    yield from panel.frame(
        "The same, by a committee that was chosen", "validators, a third less one of them in collusion; 100 verifiers"
    )
    ways = (
        ("held", "a last message is held", COLOURS[1]),
        ("withheld", "and secrets are left out", COLOURS[2]),
        ("timed out", "and slots time out", COLOURS[3]),
        ("adjacent", "secrets left out, ids side by side", BAD),
    )
    for i, (way, words, colour) in enumerate(ways):
        cells = [results["cells"][f"draw/100/{many}/{way}"] for many in VALIDATORS]
        rates = [Rate(round(cell["OK"]), round(cell["tries"])) for cell in cells]
        yield panel.curve([(float(place), rate.share) for place, rate in enumerate(rates)], colour)
        for place, rate in enumerate(rates):
            yield panel.spot(place, rate, colour)
        at = panel.y + 12 + 18 * i
        yield line(panel.x + 12, at, panel.x + 36, at, colour)
        yield text(panel.x + 42, at + 4, words, size=12)


def _targets(results: Results) -> Iterable[str]:
    top, left, right, low = 462.0, 500.0, 780.0, 1e-4
    yield text(24, top - 26, "First edition, second edition, and what was to be reached", size=16, weight="bold")

    def at(percent: float) -> float:
        return left + (right - left) * (log10(max(percent, low)) - log10(low)) / (log10(200) - log10(low))

    rows = list(zip(TARGETS, BEFORE, strict=True))
    for power in range(-4, 3):
        yield line(at(10.0**power), top, at(10.0**power), top + 34 * len(rows) - 8, FAINT)
        yield text(at(10.0**power), top - 4, "0" if power == -4 else f"{10.0**power:g} %", size=11, anchor="middle", colour=GREY)
    for i, (target, before) in enumerate(rows):
        y = top + 14 + 34 * i
        rate = target.found(results)
        now, high = 100 * rate.share, 100 * rate.range()[1]
        colour = GOOD if target.reached(results) else BAD
        for j, words in enumerate(_wrapped(target.words, 74)):
            yield text(24, y - 2 + 14 * j, words, size=12)
        if before is not None:
            yield line(at(now), y, at(before), y, FAINT)
            yield dot(at(before), y, PALE, 6)
        if target.most:
            yield line(at(100 * target.most), y - 9, at(100 * target.most), y + 9, INK)
        yield line(at(now), y, at(high), y, colour)
        yield dot(at(now), y, colour, 6)
        arrow = "" if before is None else f"{short(before)} % → "
        yield text(right + 16, y + 4, f"{arrow}{short(now)} %", weight="bold", colour=INK if colour == GOOD else BAD)
    yield text(
        24,
        top + 34 * len(rows) + 12,
        "grey: first edition; bar: to be reached; at the left edge: not once; red: not reached",
        size=11,
        colour=GREY,
    )


def _wrapped(words: str, width: int) -> list[str]:
    lines = [""]
    for word in words.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="1.5"/>'


def dot(x: float, y: float, colour: str, size: float = 3) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{colour}"/>'


def text(
    x: float, y: float, words: str, *, size: int = 13, weight: str = "normal", anchor: str = "start", colour: str = INK
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{colour}"'
    rim = 'stroke="white" stroke-width="3" paint-order="stroke"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style} {rim}>{escape(words)}</text>'
