"""What a node says to the person at its terminal: a few lines for people, while its log goes into a file of its data folder."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from learningchain.chain.storage import private

FILE: Final = "node.log"
MOST_BYTES: Final = 8 * 2**20
"""Of the log, and of the one before it."""
_WHY: Final = ("why", "reason", "problem", "error")


def _started(said: Mapping[str, Any]) -> str:
    return f"Network {said.get('network')}, block {said.get('height')}. This node is {said.get('address')}"


def _work(said: Mapping[str, Any]) -> str:
    does = [what for what, on in (("runs others' jobs", said.get("train")), ("judges claims", said.get("verify"))) if on]
    if not does:
        return "It runs no jobs of others: learningchain node --work"
    return f"It {' and '.join(does)} once its sandbox is proven, which takes up to a minute"


def _ended(said: Mapping[str, Any]) -> str:
    loss = f", loss {said['loss']}" if said.get("loss") is not None else ""
    return f"Run {said.get('run')} has ended: {said.get('status')}{loss}"


TOLD: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "node started": _started,
    "looking for work": _work,
    "the sandbox is ready": lambda _: "Its sandbox is proven: it takes jobs. Which, and why not: learningchain runs",
    "a run goes on": lambda said: f"Run {said.get('run')} goes on",
    "run ended": _ended,
    "the container engine is back": lambda _: "The container engine is back",
    "settings are in force": lambda _: "Changed settings are in force",
    "node stopping": lambda _: "The node stops",
}
"""What is said of an event of the log. Others are the log's alone, unless they warn."""


class RollingFile:
    """A text file of the owner's alone; when it is full it becomes the one before, and a new one begins."""

    def __init__(self, path: Path, most: int = MOST_BYTES) -> None:
        self._path, self._most, self._lock = path, most, threading.Lock()
        self._open()

    def _open(self) -> None:
        self._file = os.fdopen(private.open_or_create(self._path), "a", encoding="utf-8")
        self._file.seek(0, os.SEEK_END)

    def write(self, text: str) -> int:
        with self._lock:
            if self._file.tell() > self._most:
                self._file.close()
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
                self._open()
            return self._file.write(text)

    def flush(self) -> None:
        with self._lock:
            self._file.flush()


class Screen:
    """A processor of the log: it says to people what is for them, and leaves each event to the file."""

    def __init__(self, folder: Path) -> None:
        self.file: Any = RollingFile(folder / FILE)
        self._warned = ""
        """The last warning: what is tried again and again is said once."""
        self._say(f"Its log: {folder / FILE}")

    def __call__(self, _: Any, level: str, event: dict[str, Any]) -> dict[str, Any]:
        name = str(event.get("event"))
        if name in TOLD:
            self._say(TOLD[name](event))
        elif level in ("warning", "error", "critical", "exception"):
            why = next((f": {event[key]}" for key in _WHY if event.get(key)), "")
            if self._warned != (line := f"{level}: {name}{why}"):
                self._warned = line
                self._say(line)
        return event

    def _say(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
