"""The table of hostile cases in docs/sandbox.md. `python -m tests.sandbox.hostile.table` writes it anew."""

from __future__ import annotations

import re
from pathlib import Path

from .cases import ARCHIVES, PROGRAMS, Archive, Program
from .programs.kit import FINE, HELD, STOPPED, Verdict

PAGE = Path(__file__).resolve().parents[3] / "docs" / "sandbox.md"
CATEGORIES = (
    *("network", "host files", "data", "local", "kernel", "bombs", "outputs", "losses", "answers", "processes"),
    *("names", "whiteouts", "kinds", "headers", "amounts", "documents", "settings", "images"),
)
BEGIN, END = "<!-- hostile cases: written by tests/sandbox/hostile/table.py -->", "<!-- end of the hostile cases -->"


def table() -> str:
    """All cases in the order of their categories, as Markdown."""
    cases = sorted([*PROGRAMS.values(), *ARCHIVES.values()], key=lambda case: CATEGORIES.index(case.category))
    rows = [_row(case.category, case.name, case.tries, _becomes(case)) for case in cases]
    head = ["| what | case | what it tries | what becomes of it |", "|---|---|---|---|"]
    return "\n".join([*head, *rows])


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("_", " ") if i == 1 else cell for i, cell in enumerate(cells)) + " |"


def _words(verdict: Verdict) -> str:
    if verdict == HELD:
        return "every attempt is refused"
    if verdict == FINE:
        return "runs as any other"
    return f"{verdict[0]}: {verdict[1]}"


def _becomes(case: Program | Archive) -> str:
    if isinstance(case, Archive) and case.refused:
        return f"refused: {case.refused}"
    return _words(case.ends) + _under_gvisor(case.ends, case.gvisor)


def _under_gvisor(usual: Verdict, there: tuple[Verdict, ...]) -> str:
    if there == (usual,):
        return ""
    if set(STOPPED) <= set(there):
        return "; under gVisor: stopped by one limit or another"
    return "; under gVisor: " + ", or ".join(_words(verdict) for verdict in there)


def whole(page: str) -> str:
    """The page with the table as it should be. Raises ValueError where it has no place for it."""
    found = re.subn(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: f"{BEGIN}\n\n{table()}\n\n{END}", page, flags=re.DOTALL)
    if found[1] != 1:
        raise ValueError(f"the page has {found[1]} places for the table")
    return found[0]


if __name__ == "__main__":
    PAGE.write_text(whole(PAGE.read_text()))
