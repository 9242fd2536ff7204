"""A run that was started and waits for its late inputs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from learningchain.sandbox.data import DataSet, KnownSet, OwnData
from learningchain.sandbox.docker.runner import ContainerRun
from learningchain.sandbox.docker.sidecar import Sidecar
from learningchain.sandbox.results import ResultReader
from learningchain.sandbox.spec import RunResult, RunSpec, RunStatus

WARM_S = 600.0
"""Seconds after which a run that nobody gives its late inputs ends."""
LOOK_S = 10.0
"""How often it is looked at how much a waiting run has computed."""
IDLE_CPU_S, IDLE_CPU_SHARE = 2.0, 0.05
"""Processor seconds that a waiting run may use, and so much of each second that it waits: for what its libraries do on the side.
One that goes on computing takes the machine of whoever keeps it ready, and is ended."""

log = logging.getLogger("learningchain.sandbox")


class Placed:
    """One run and what is its own on the engine, besides the container."""

    def __init__(self, run: ContainerRun, sidecar: Sidecar, held: Sequence[DataSet | OwnData | KnownSet]) -> None:
        self.run, self.sidecar, self.held = run, sidecar, held


class Warm:
    """A `WarmRun`. Whoever takes it first, to finish it, to close it, or because its time is up, is the only one.

    `cooled` is told once when it is over, with the result where it was used.
    """

    def __init__(
        self,
        spec: RunSpec,
        place: Placed,
        cooled: Callable[[Warm, RunSpec, Placed, RunResult | None], None],
        computed: Callable[[], float | None],
    ) -> None:
        """`computed`: processor seconds that the run has used, where the engine says so."""
        self._spec, self._place, self._cooled = spec, place, cooled
        self.run_id = spec.run_id
        self._lock = threading.Lock()
        self._taken = False
        self._timer = threading.Timer(WARM_S, self.close)
        self._timer.daemon = True
        self._timer.start()
        self._computed, self._before, self._since = computed, computed(), time.monotonic()
        self._watch = self._look_later()

    def _look_later(self) -> threading.Timer:
        watch = threading.Timer(LOOK_S, self._look)
        watch.daemon = True
        watch.start()
        return watch

    def _look(self) -> None:
        used = self._computed()
        if used is not None and self._before is not None:
            waited, spent = time.monotonic() - self._since, used - self._before
            if spent > IDLE_CPU_S + IDLE_CPU_SHARE * waited:
                log.warning("a run that waits for its inputs is ended: it computed for %.1f s in %.0f s", spent, waited)
                return self.close()
        with self._lock:
            if not self._taken:
                self._watch = self._look_later()
        return None

    def _take(self) -> bool:
        with self._lock:
            taken, self._taken = self._taken, True
            watch = self._watch
        self._timer.cancel()
        watch.cancel()
        return not taken

    def alive(self) -> bool:
        """False where it was taken, or where its job ended: then it is closed."""
        with self._lock:
            waits = not self._taken and self._place.run.alive()
        if not waits:
            self.close()
        return waits

    def finish(
        self,
        late: Mapping[str, Path | bytes],
        *,
        wall_s: float | None = None,
        read: Callable[[], ResultReader] | None = None,
        cancel: threading.Event | None = None,
    ) -> RunResult:
        """Gives the job what it waits for and runs it to its end. Raises ValueError for what it does not wait for, and for a wall
        clock that no run has."""
        if wall_s is not None and not 0 < wall_s <= self._spec.row.longest_s:
            raise ValueError(f"a run lasts at most {self._spec.row.longest_s:g} s, not {wall_s:g} s")
        rows = {file.name: file for file in self._spec.row.inputs if file.late}
        if late.keys() - rows.keys() or any(row.needed and name not in late for name, row in rows.items()):
            raise ValueError(f"this run waits for {', '.join(sorted(rows))}, not for {', '.join(sorted(late)) or 'nothing'}")
        if not self._take():
            return RunResult(status=RunStatus.CANCELLED, reason="it had its inputs, or ended, before")
        result: RunResult | None = None
        try:
            for name, given in late.items():
                if (len(given) if isinstance(given, bytes) else given.stat().st_size) > rows[name].cap:
                    return RunResult(status=RunStatus.NOT_STARTED, reason=f"{name} is larger than {rows[name].cap} bytes")
            result = self._place.run.finish(self._place.sidecar, late, wall_s=wall_s, read=read, cancel=cancel)
            return result
        except OSError as problem:
            return RunResult(status=RunStatus.ENGINE_ERROR, reason=f"this machine: {problem}")
        finally:
            self._cooled(self, self._spec, self._place, result)

    def close(self) -> None:
        """Kills it unused; nothing where somebody took it."""
        if self._take():
            self._cooled(self, self._spec, self._place, None)
