"""The tables of docs/federation-attacks.md, out of the figures; each stands between two marks that name it."""

from __future__ import annotations

from .figures import BAD, NONE, OWNERS, WAYS, Cell, Cells
from .rounds import ROUNDS

END = "<!-- end of table -->"


def begin(name: str) -> str:
    return f"<!-- table: {name}, by python -m tests.federation_attacks --write -->"


def blocks(cells: Cells) -> dict[str, str]:
    return {"run": _run(cells), "accuracy": _accuracy(cells), "pay": _pay(cells)}


def placed(page: str, found: dict[str, str]) -> str:
    """The page with these blocks between their marks. Raises ValueError where one has no place, or a place no block."""
    if missing := [name for name in found if page.count(begin(name)) != 1]:
        raise ValueError(f"the page has no place for: {', '.join(missing)}")
    if page.count("<!-- table: ") != len(found):
        raise ValueError("the page has a place for a table that nobody makes")
    for name, block in found.items():
        before, _, rest = page.partition(begin(name))
        _, end, after = rest.partition(END)
        if not end:
            raise ValueError(f"the place for {name} has no end: {END}")
        page = f"{before}{begin(name)}\n\n{block}\n\n{END}{after}"
    return page


def _run(cells: Cells) -> str:
    seeds = len(next(iter(cells.values())).runs)
    return (
        f"{OWNERS} owners, {ROUNDS} rounds, {seeds} runs of each case, with the seeds 0 to {seeds - 1}: {seeds * len(cells)} runs."
    )


def _attacks(cells: Cells) -> list[str]:
    return list(dict.fromkeys(name for name, _, _ in cells if name != NONE))


def _accuracy(cells: Cells) -> str:
    def cell(one: Cell) -> str:
        mean, worst = one.accuracy
        return f"{mean:.1f} ({worst:.1f})"

    heads = [f"{bad} of {OWNERS}: {way}" for bad in BAD for way in WAYS]
    none = [cell(cells[NONE, 0, way]) for way in WAYS]
    rows = [["none", *none, *none]]
    rows += [[name, *(cell(cells[name, bad, way]) for bad in BAD for way in WAYS)] for name in _attacks(cells)]
    return _table(["attack", *heads], rows)


def _pay(cells: Cells) -> str:
    def cell(name: str, bad: int, way: str) -> str:
        return f"{cells[name, bad, way].bad_pay:.1f}"

    ways = WAYS[1:]
    heads = [f"{bad} of {OWNERS}: {way}" for bad in BAD for way in ways]
    rows = [["an equal share would be", *(f"{100 * bad / OWNERS:.1f}" for bad in BAD for _ in ways)]]
    rows += [[name, *(cell(name, bad, way) for bad in BAD for way in ways)] for name in _attacks(cells)]
    return _table(["attack", *heads], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
