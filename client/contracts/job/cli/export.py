"""What `job watch --export DIR` writes: claims, events and the curves of this node's runs, as CSV for spreadsheets and plots."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from learningchain.client.contracts.job.cli.shown import Shown

MAX_FILES = 1_000


class CsvExport:
    """Each file is whole at any time: it is written beside its place and then moved there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._events: list[Sequence[Any]] = []
        self._written: dict[str, list[Sequence[Any]]] = {}

    def update(self, shown: Shown) -> None:
        """What is new since the last time. Raises OSError."""
        self._events += [(one["time"], one["height"], one["topic"], json.dumps(one["data"])) for one in shown.events]
        self._write("events.csv", ("time_ms", "block", "event", "data"), self._events)
        claims = [(one["claimed"], one["claimant"], one["loss"], one.get("rank")) for one in shown.job.get("claims") or []]
        self._write("claims.csv", ("time_ms", "claimant", "loss", "rank"), claims)
        for run in shown.runs:
            steps = [(step.get("step"), step.get("of"), step.get("loss")) for step in run.get("progress") or []]
            name = "".join(c for c in str(run["id"]) if c.isalnum() or c in "-_")[:128]
            self._write(f"run-{name}.csv", ("step", "of", "loss"), steps)

    def _write(self, name: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        listed = list(rows)
        if self._written.get(name) == listed or (name not in self._written and len(self._written) >= MAX_FILES):
            return
        handle, beside = tempfile.mkstemp(prefix=".learningchain-", dir=self._folder)
        try:
            with os.fdopen(handle, "w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([head, *listed])
            os.chmod(beside, 0o644)
            Path(beside).replace(self._folder / name)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
        self._written[name] = listed
