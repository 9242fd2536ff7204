"""A run that was started and waits for its late inputs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from sandbox.data import DataSet
from sandbox.docker.runner import ContainerRun
from sandbox.docker.sidecar import Sidecar
from sandbox.spec import RunResult, RunSpec, RunStatus

WARM_S = 600.0
"""Seconds after which a run that nobody gives its late inputs ends."""


class Placed:
    """One run and what is its own on the engine, besides the container."""

    def __init__(self, run: ContainerRun, sidecar: Sidecar, held: list[DataSet]) -> None:
        self.run, self.sidecar, self.held = run, sidecar, held


class Warm:
    """A `WarmRun`. Whoever takes it first, to finish it, to close it, or because its time is up, is the only one.

    `cooled` is told once when it is over, with the result where it was used.
    """

    def __init__(self, spec: RunSpec, place: Placed, cooled: Callable[[Warm, RunSpec, Placed, RunResult | None], None]) -> None:
        self._spec, self._place, self._cooled = spec, place, cooled
        self.run_id = spec.run_id
        self._lock = threading.Lock()
        self._taken = False
        self._timer = threading.Timer(WARM_S, self.close)
        self._timer.daemon = True
        self._timer.start()

    def _take(self) -> bool:
        with self._lock:
            taken, self._taken = self._taken, True
        self._timer.cancel()
        return not taken

    def finish(self, late: Mapping[str, Path], *, cancel: threading.Event | None = None) -> RunResult:
        """Gives the job what it waits for and runs it to its end. Raises ValueError for what it does not wait for."""
        rows = {file.name: file for file in self._spec.row.inputs if file.late}
        if late.keys() - rows.keys() or any(row.needed and name not in late for name, row in rows.items()):
            raise ValueError(f"this run waits for {', '.join(sorted(rows))}, not for {', '.join(sorted(late)) or 'nothing'}")
        if not self._take():
            return RunResult(status=RunStatus.CANCELLED, reason="it had its inputs, or ended, before")
        result: RunResult | None = None
        try:
            for name, path in late.items():
                if path.stat().st_size > rows[name].cap:
                    return RunResult(status=RunStatus.FAILED, reason=f"{name} is larger than {rows[name].cap} bytes")
            result = self._place.run.finish(self._place.sidecar, late, cancel)
            return result
        except OSError as problem:
            return RunResult(status=RunStatus.ENGINE_ERROR, reason=f"this machine: {problem}")
        finally:
            self._cooled(self, self._spec, self._place, result)

    def close(self) -> None:
        """Kills it unused; nothing where somebody took it."""
        if self._take():
            self._cooled(self, self._spec, self._place, None)
