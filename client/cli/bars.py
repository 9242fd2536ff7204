"""How much of a file has come, how fast, and how long the rest takes: for people at a terminal alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from learningchain.client.cli.common import Output, clean

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from learningchain.client.sdk.http import Progress as OnProgress


def columns() -> tuple[ProgressColumn, ...]:
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    return TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()


class Bar:
    """A progress bar on standard error."""

    def __init__(self, out: Output, text: str) -> None:
        from rich.progress import Progress

        self.on = not out.as_json and sys.stderr.isatty()
        self._bar = Progress(*columns(), console=out.notes, transient=True, disable=not self.on)
        self._task = self._bar.add_task(clean(text), total=None)

    def __enter__(self) -> OnProgress:
        self._bar.start()
        return lambda done, total: self._bar.update(self._task, completed=done, total=total or None)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
