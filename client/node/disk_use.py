"""How much room is left on the disk of the data folder, looked at beside the loop: a disk that does not answer holds nobody up."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Final, NamedTuple

EVERY_S: Final = 15.0


class DiskRoom(NamedTuple):
    free: int
    size: int


class DiskUse:
    """Bytes of the file system of `folder`. `now` is None until it was looked at."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.now: DiskRoom | None = None

    async def run(self) -> None:
        while True:
            try:
                found = await asyncio.to_thread(shutil.disk_usage, self._folder)
                self.now = DiskRoom(found.free, found.total)
            except OSError:
                self.now = None
            await asyncio.sleep(EVERY_S)
