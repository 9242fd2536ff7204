"""The real node, seen by its own loop: `python -m benchmarks.probed_node FIGURES [--own-loop] node --data DIR …`.

It has the sandbox backend `no_program`. From one SIGUSR2 to the next it notes when a program runs, and writes that to FIGURES at
its end. With `--own-loop` it runs on Python's own event loop instead of uvloop and notes each step of that loop, too: the
processor time of the loop's thread, so that other programs of the machine, and other threads of the node, do not count.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from asyncio import events
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SLOW_S = 0.001
"""Steps of the loop from here on are noted by name."""


class Probe:
    """What is noted; written when the node stops."""

    def __init__(self, path: Path) -> None:
        self._path, self.on = path, False
        self.programs: list[tuple[str, float, float]] = []
        self.slow: list[tuple[float, str]] = []
        self.steps, self.busy_s = 0, 0.0
        signal.signal(signal.SIGUSR2, self._toggle)

    def _toggle(self, *_: Any) -> None:
        self.on = not self.on

    def write(self) -> None:
        found = {"programs": self.programs, "slow": self.slow, "steps": self.steps, "busy_s": self.busy_s}
        self._path.write_text(json.dumps(found))


def name_of(callback: Any) -> str:
    """Of what a step of the loop ran: the coroutine of a task, else the function."""
    task = getattr(callback, "__self__", None)
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
    found = coroutine if coroutine is not None else getattr(callback, "func", callback)
    return str(getattr(found, "__qualname__", found))


def watch_loop(probe: Probe) -> None:
    """Every step of Python's own loop."""
    from learningchain.client.daemon import main as daemon

    plain = events.Handle._run

    def timed(self: Any) -> None:
        callback, began = self._callback, time.thread_time()
        plain(self)
        took = time.thread_time() - began
        if probe.on:
            probe.steps += 1
            probe.busy_s += took
            if took >= SLOW_S:
                probe.slow.append((1_000 * took, name_of(callback)))

    events.Handle._run = timed  # type: ignore[method-assign]
    setattr(daemon, "uvloop", SimpleNamespace(new_event_loop=asyncio.new_event_loop))  # noqa: B010


def watch_programs(probe: Probe) -> None:
    from benchmarks import no_program

    plain = no_program.NoProgram.run

    def timed(self: Any, spec: Any, **more: Any) -> Any:
        began = time.time()
        found = plain(self, spec, **more)
        if probe.on:
            probe.programs.append((spec.phase, began, time.time()))
        return found

    no_program.NoProgram.run = timed  # type: ignore[method-assign]


def main() -> int:
    """What is imported here the process that computes does without, which imports this module, too."""
    from learningchain.sandbox import backends

    probe = Probe(Path(sys.argv[1]))
    backends.backends = lambda: {"no_program": "benchmarks.no_program"}
    watch_programs(probe)
    if sys.argv[2] == "--own-loop":
        watch_loop(probe)
        del sys.argv[2]
    del sys.argv[1]
    from learningchain.client.cli.app import main as run

    try:
        return run()
    finally:
        probe.write()


if __name__ == "__main__":
    raise SystemExit(main())
