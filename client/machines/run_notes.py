"""The runs that a node gave to its machines, in a private file: its next start goes on with them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from learningchain.chain.storage import private
from learningchain.client.machines.frames import MAX_FRAME, MAX_HELD, Take
from learningchain.sandbox import RunSpec
from learningchain.sandbox.spec import load_run

log: Any = structlog.get_logger("machines")

MAX_NOTES: Final = MAX_HELD * 2 * MAX_FRAME
GivenRun = tuple[str, Take]
"""The machine, and what it was given."""


def load_order(take: Take) -> RunSpec:
    """The run that was ordered; its files are not where it says. Raises ValueError."""
    return load_run(take.order, {given.name: Path(given.name) for given in take.inputs})


class RunNotes:
    """One writer at a time, and the newest list is what stays. Raises OSError where it cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, asyncio.Lock()

    async def write(self, runs: Sequence[GivenRun]) -> None:
        async with self._lock:
            await asyncio.to_thread(private.replace, self._path, msgspec.json.encode(runs))

    def read(self) -> list[GivenRun]:
        """Those of an earlier start, as far as they can be read."""
        try:
            with private.reading(self._path) as file:
                found = msgspec.json.decode(file.read(MAX_NOTES), type=list[GivenRun])
            for _, take in found:
                load_order(take)
        except FileNotFoundError:
            return []
        except (OSError, TypeError, ValueError) as fault:
            log.warning("runs that were given to machines cannot be read: they end", why=str(fault))
            return []
        return found
