"""Takes up what is written into config.toml while the node runs, where that needs no restart (`config_change.is_at_once`).

The command writes the file, the dashboard and the API do, and people do with an editor: the file alone is looked at, so each of
these ways counts. What cannot be read changes nothing, and is said once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog

from learningchain.client import config, config_change
from learningchain.client.config import ConfigError, Loaded

log: Any = structlog.get_logger("settings")

EVERY_S: Final = 1.0


class SettingsWatch:
    """`take` is given the settings that are in force from now on, on the loop."""

    def __init__(self, data: Path, loaded: Loaded, take: Callable[[Loaded], None]) -> None:
        self._data, self._loaded, self._take = data, loaded, take
        self._seen: tuple[int, int, int] | None = None

    async def run(self) -> None:
        """Look at the file now and then, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Take up what changed since the last look."""
        stamp = await asyncio.to_thread(self._stamp)
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            written = await asyncio.to_thread(config.load, self._data)
        except ConfigError as problem:
            log.error("the settings stay as they are", why=str(problem))
            return
        found = config_change.in_force(self._loaded, written)
        names = config_change.changed(self._loaded.config, found.config)
        self._loaded = found
        if names:
            log.info("settings are in force", **{name: config.display(name, config.value_of(found.config, name)) for name in names})
            self._take(found)

    def _stamp(self) -> tuple[int, int, int] | None:
        """What tells one content of the file from another without reading it; None where there is no file."""
        try:
            found = (self._data / config.FILE).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
