"""Samples of this machine's load, from Linux's /proc: at most six hours, taken from the node's start on."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from learningchain.client.node.processors import processor_ticks

EVERY_S: Final = 10.0
MOST: Final = 2_160
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Sample:
    """`time` in milliseconds of the wall clock; `cpu` and `memory` in percent of the machine's, `own` in MiB, `disk_free` in
    bytes."""

    time: int
    cpu: int
    memory: int
    own: int
    disk_free: int


class Load:
    """`folder` lies on the disk that is looked at."""

    def __init__(self, folder: Path) -> None:
        self.samples: deque[Sample] = deque(maxlen=MOST)
        self.processors = os.cpu_count() or 1
        self.memory = _memory().get("MemTotal", 0)
        self._folder, self._ticks = folder, processor_ticks()

    def look(self, now_ms: int) -> None:
        """One sample. Where this system tells nothing of a kind, it is 0."""
        ticks, memory = processor_ticks(), _memory()
        busy, all_ = ticks[0] - self._ticks[0], ticks[1] - self._ticks[1]
        self._ticks = ticks
        used = memory.get("MemTotal", 0) - memory.get("MemAvailable", 0)
        cpu = round(100 * busy / all_) if all_ > 0 else 0
        share = round(100 * used / memory["MemTotal"]) if memory.get("MemTotal") else 0
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError:
            free = 0
        self.samples.append(Sample(now_ms, cpu, share, _own() // 2**20, free))

    async def keep_looking(self) -> None:
        while True:
            self.look(time.time_ns() // 1_000_000)
            await asyncio.sleep(EVERY_S)


def _memory() -> Mapping[str, int]:
    try:
        lines = [line.split() for line in Path("/proc/meminfo").read_text().splitlines()]
        return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines[:5]}
    except (OSError, ValueError, IndexError):
        return {}


def _own() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0
