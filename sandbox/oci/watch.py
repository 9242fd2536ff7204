"""What a container holds of the memory and has used of the processors, by /proc of the engine's process namespace."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_KIB = 1024
_TICK_RATE = os.sysconf("SC_CLK_TCK")


def processes_of(init: int) -> list[int]:
    """The process and all below it."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                parent = int(Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    found, waiting = list[int](), [init]
    while waiting:
        found.append(one := waiting.pop())
        waiting += children.get(one, [])
    return found


def held_by(init: int, in_memory: Iterable[str]) -> int:
    """Bytes: the part of each process in what it maps, and the files below these places, which lie in memory."""
    total = 0
    for process in processes_of(init):
        with suppress(OSError, ValueError):
            for line in Path("/proc", str(process), "smaps_rollup").read_text().splitlines():
                if line.startswith(("Pss_Anon:", "SwapPss:")):
                    total += int(line.split()[1]) * _KIB
    for place in in_memory:
        with suppress(OSError):
            facts = os.statvfs(f"/proc/{init}/root{place}")
            total += (facts.f_blocks - facts.f_bfree) * facts.f_frsize
    return total


def used_by(init: int) -> float:
    """Processor seconds, of its ended processes too as far as somebody waited for them."""
    total = 0
    for process in processes_of(init):
        with suppress(OSError, ValueError, IndexError):
            words = Path("/proc", str(process), "stat").read_text().rpartition(")")[2].split()
            total += sum(int(word) for word in words[11:15])
    return total / _TICK_RATE
