"""The table of a run: on the terminal, or in Markdown for a page."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.figures import Figure, Run

_BAR = 18
BEGIN, END = "<!-- figures: python -m benchmarks --from FILE --page THIS -->", "<!-- end of figures -->"


def rounds(run: Run) -> str:
    count = len(run["rounds"])
    return f"{count} round{'s' * (count != 1)} in one run"


def number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"


def spread(figure: Figure) -> str:
    """Lowest and highest of the rounds; empty for a single value."""
    if len(figure.values) < 2:
        return ""
    return f"{number(figure.low, figure.digits)} - {number(figure.high, figure.digits)}"


def target(figure: Figure) -> str:
    if figure.least is not None:
        return f"at least {figure.least:g}"
    return f"at most {figure.most:g}" if figure.most is not None else ""


def verdict(figure: Figure) -> str:
    return {None: "", True: "yes", False: "no"}[figure.reached]


def share(figure: Figure) -> float | None:
    """How near the target is: 1 is reached; None without a target."""
    if figure.least is not None:
        return figure.median / figure.least
    return figure.most / figure.median if figure.most is not None and figure.median else None


def show(run: Run, figures: list[Figure], console: Console) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, side in (
        ("", "left"),
        ("median", "right"),
        ("range", "right"),
        ("target", "left"),
        ("reached", "left"),
        ("", "left"),
    ):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for point, some in groupby(figures, key=lambda one: one.point):
        table.add_row(Text(point, style="bold"))
        for one in some:
            colour = {None: "", True: "green", False: "yellow"}[one.reached]
            cells = [f"  {one.label}", number(one.median, one.digits), spread(one), target(one)]
            table.add_row(*map(Text, cells), Text(verdict(one), style=colour), Text(bar(share(one)), style=colour))
    console.print(table)
    for line in missing(run):
        console.print(Text(line))


def missing(run: Run) -> list[str]:
    """What was left out or failed, each with its reason."""
    return [f"not measured: {name}: {why}" for name, why in run["left_out"].items()] + [f"FAILED: {why}" for why in run["failed"]]


def bar(part: float | None) -> str:
    """Full where the target is reached."""
    return "" if part is None else "█" * max(1, round(_BAR * min(1.0, part)))


def markdown(run: Run, figures: list[Figure]) -> str:
    """A table for a page: `python -m benchmarks table FILE`."""
    machine: dict[str, Any] = run["machine"]
    lines = [
        f"{machine['cores']} cores, {machine['machine']}, Python {machine['python']}; {rounds(run)}, "
        "medians with the lowest and the highest.",
        "",
        "| figure | median | range | target | reached |",
        "|---|---:|---|---|---|",
    ]
    for point, some in groupby(figures, key=lambda one: one.point):
        lines.append(f"| **{point}** | | | | |")
        for one in some:
            lines.append(f"| {one.label} | {number(one.median, one.digits)} | {spread(one)} | {target(one)} | {verdict(one)} |")
    for line in missing(run):
        lines += ["", line]
    return "\n".join(lines) + "\n"


def placed(page: str, table: str, picture: str) -> str:
    """The page with this table, and the picture's path if there is one, between its two marks. Raises `ValueError` without them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place for figures: two lines {BEGIN} and {END}")
    drawn = f"![Rates beside other systems, and ratios against their targets]({picture})\n\n" if picture else ""
    return f"{before}{BEGIN}\n\n{drawn}{table}\n{END}{after}"
