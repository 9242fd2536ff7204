"""How far something is, for people: a line that is redrawn in a terminal, a bar in a notebook, elsewhere a line for each change."""

from __future__ import annotations

import sys
from html import escape
from typing import Any

WIDTH = 24


class ProgressBar:
    """`show` it as often as anything is known; it never goes back. Nothing is written where it is not `on`."""

    def __init__(self, what: str, *, on: bool = True) -> None:
        self._what, self._on = what, on
        self._done, self._said = 0.0, ""
        self._display: Any = _notebook() if on else None
        self._handle: Any = None

    def show(self, done: float, text: str) -> None:
        """`done`: from 0 to 1."""
        if not self._on:
            return
        self._done = max(self._done, min(done, 1.0))
        if self._display is not None:
            self._in_notebook(text)
        elif sys.stderr.isatty():
            filled = round(WIDTH * self._done)
            line = f"{self._what} [{'#' * filled}{'.' * (WIDTH - filled)}] {text}"
            sys.stderr.write(f"\r{line.ljust(len(self._said))}")
            self._said = line
        elif text != self._said:
            sys.stderr.write(f"{self._what}: {text}\n")
            self._said = text
        sys.stderr.flush()

    def close(self) -> None:
        """The line stays, and what is written next begins a new one."""
        if self._on and self._said and self._display is None and sys.stderr.isatty():
            sys.stderr.write("\n")

    def _in_notebook(self, text: str) -> None:
        shown = {"text/html": f"{escape(self._what)} <progress value='{self._done:.3f}'></progress> {escape(text)}"}
        shown["text/plain"] = f"{self._what}: {text}"
        if self._handle is None:
            self._handle = self._display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)


def _notebook() -> Any:
    """What shows something in the notebook that this runs in; None where it runs in none. Only who runs in one has imported it."""
    ask: Any = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = None if ask is None else ask()
    return getattr(sys.modules.get("IPython.display"), "display", None) if hasattr(shell, "kernel") else None
