"""Pictures of docs/federation-attacks.md, a field an attack: accuracy by round, with and without a defence, and pay by owner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from tests.verification.picture import line, text

from .figures import BAD, NAMES, NONE, OWNERS, WAYS, Cell, Cells
from .rounds import ROUNDS

COLUMNS, FIELD, HIGH = 4, 200.0, 120.0
LEFT, TOP, ACROSS, DOWN = 46.0, 66.0, 234.0, 180.0
WIDTH = 970
FAINT, GREY, INK = "#e2e8f0", "#64748b", "#1e293b"
COLOURS = {"mean": "#dc2626", "peers": "#3b82f6", "reference": "#15803d"}
WORDS = {
    "mean": "plain mean of what is sent",
    "peers": "the rules, no reference",
    "reference": "the rules, with a reference",
}
HONEST, ATTACKER = "#3b82f6", "#dc2626"
MOST = max(BAD)


def accuracy(cells: Cells) -> str:
    """Lines are means of the seeds, the bands behind them reach from the worst seed to the best."""
    parts: list[Iterable[str]] = [
        [text(24, 24, f"Accuracy by round in percent, {MOST} of {OWNERS} owners attack", size=16, weight="bold")]
    ]
    for number, name in enumerate(NAMES):
        field = _Field(number, 100.0)
        parts.append(field.frame(name if name != NONE else "no attack", (0, 25, 50, 75, 100)))
        for way in WAYS:
            parts.append(field.curve(cells[name, 0 if name == NONE else MOST, way]))
        parts.append(
            [text(field.x + at, field.y + HIGH + 15, f"{r}", size=10, anchor="middle", colour=GREY) for r, at in _rounds()]
        )
    legend = _Field(len(NAMES), 100.0)
    for n, way in enumerate(WAYS):
        at = legend.y + 20 + 22 * n
        parts.append([line(legend.x, at, legend.x + 26, at, COLOURS[way]), text(legend.x + 34, at + 4, WORDS[way], size=12)])
    parts.append([text(legend.x, legend.y + 88, "band: worst to best of the seeds", size=11, colour=GREY)])
    return _svg(chain.from_iterable(parts), cells)


def pay(cells: Cells) -> str:
    """Of the rules with a reference, by points."""
    title = f"Pay by owner in percent of what was paid, with a reference, {MOST} of {OWNERS} owners attack"
    parts: list[Iterable[str]] = [[text(24, 24, title, size=16, weight="bold")]]
    top = 5.0 * (1 + max(max(cells[name, 0 if name == NONE else MOST, "reference"].pay) for name in NAMES) // 5)
    for number, name in enumerate(NAMES):
        cell, field = cells[name, 0 if name == NONE else MOST, "reference"], _Field(number, top)
        parts.append(field.frame(name if name != NONE else "no attack", range(0, int(top) + 1, 5)))
        parts.append(field.bars(cell))
        parts.append(
            [text(field.x, field.y + HIGH + 15, f"attackers: {cell.bad_pay:.1f} %", size=11, colour=GREY)] if cell.bad else []
        )
    legend = _Field(len(NAMES), top)
    for n, (colour, words) in enumerate(((HONEST, "honest owner"), (ATTACKER, "attacker"), (INK, "an equal share"))):
        at = legend.y + 20 + 22 * n
        parts.append([line(legend.x, at, legend.x + 26, at, colour), text(legend.x + 34, at + 4, words, size=12)])
    return _svg(chain.from_iterable(parts), cells)


def _rounds() -> list[tuple[int, float]]:
    return [(r, FIELD * (r - 1) / (ROUNDS - 1)) for r in (1, 5, 10, 15, 20, 25)]


class _Field:
    """The place of one attack; upwards from 0 to `most`."""

    def __init__(self, number: int, most: float) -> None:
        self.x, self.y = LEFT + ACROSS * (number % COLUMNS), TOP + DOWN * (number // COLUMNS)
        self.most = most

    def up(self, value: float) -> float:
        return self.y + HIGH * (1 - value / self.most)

    def frame(self, title: str, marks: Iterable[int]) -> Iterator[str]:
        yield text(self.x, self.y - 8, title, size=13, weight="bold")
        for mark in marks:
            yield line(self.x, self.up(mark), self.x + FIELD, self.up(mark), FAINT)
            yield text(self.x - 6, self.up(mark) + 4, f"{mark}", size=10, anchor="end", colour=GREY)

    def curve(self, cell: Cell) -> Iterator[str]:
        worst, mean, best = cell.curves
        step = FIELD / (len(mean) - 1)

        def path(values: Iterable[tuple[int, float]]) -> str:
            return " ".join(f"{self.x + n * step:.1f},{self.up(value):.1f}" for n, value in values)

        band = path([*enumerate(best), *reversed(list(enumerate(worst)))])
        yield f'<polygon points="{band}" fill="{COLOURS[cell.way]}" opacity="0.15"/>'
        yield f'<polyline points="{path(enumerate(mean))}" fill="none" stroke="{COLOURS[cell.way]}" stroke-width="1.8"/>'

    def bars(self, cell: Cell) -> Iterator[str]:
        step = FIELD / OWNERS
        for owner, share in enumerate(cell.pay):
            colour = ATTACKER if owner >= OWNERS - cell.bad else HONEST
            at, high = self.x + owner * step, self.y + HIGH - self.up(share)
            yield f'<rect x="{at + 1:.1f}" y="{self.up(share):.1f}" width="{step - 2:.1f}" height="{high:.1f}" fill="{colour}"/>'
        equal, right = self.up(100 / OWNERS), self.x + FIELD
        yield f'<path d="M{self.x:g} {equal:.1f}H{right:g}" stroke="{INK}" stroke-dasharray="4 3"/>'


def _svg(parts: Iterable[str], cells: Cells) -> str:
    seeds = len(next(iter(cells.values())).runs)
    height = round(TOP + DOWN * -(-(len(NAMES) + 1) // COLUMNS) + 10)
    foot = text(
        24, height - 12, f"means of {seeds} seeds; digits, {OWNERS} owners, Dirichlet 0.5, {ROUNDS} rounds", size=12, colour=GREY
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    style = 'font-family="Helvetica, Arial, DejaVu Sans, sans-serif"'
    return f'{head} {style}><rect width="100%" height="100%" fill="white"/>\n' + "\n".join([*parts, foot]) + "\n</svg>\n"
