"""Job images run by this machine's own sandbox, exactly as a node runs them, for people who try something out. No node is needed.

A command has a sandbox of its own beside the node's: its containers and images have another tag, and are gone when it ends.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learningchain.client.cli.common import Common, Output, WrongUsage, span
from learningchain.client.cli.local_sandbox import opened_sandbox

if TYPE_CHECKING:
    from array import array

    from learningchain.chain.host.terms import Limits
    from learningchain.sandbox import Backend, DataSet, EngineInfo, RunResult

SAMPLE_S = 0.05
"""How often a run is asked how much memory it holds."""
ENOUGH_LOOKS = 20
"""With fewer looks nothing is said of a run's memory: it was too short."""
BUDGET = 0.9
"""The part of the wall clock that a training is told to use, as a worker tells it."""


class RunFailed(Exception):
    """A run did not end as the container contract says. `log` is the end of what the program printed."""

    def __init__(self, result: RunResult) -> None:
        from learningchain.sandbox import RunStatus

        super().__init__(result.reason)
        self.status, self.reason, self.log = result.status.value, result.reason, result.log_tail
        self.here = result.status is RunStatus.ENGINE_ERROR
        """It was this machine's trouble, and says nothing of the image."""


@dataclass(frozen=True)
class Ran:
    """How a run went. `memory`: most bytes that it was seen to hold, None where it ended before it was looked at."""

    seconds: float
    memory: int | None
    losses: array[int] | None = None
    model: Path | None = None


class LocalRuns:
    """One image, and runs of it one after the other."""

    def __init__(self, backend: Backend, engine: EngineInfo, out: Output, params: str, limits: Limits, folder: Path) -> None:
        self.backend, self.engine, self.folder = backend, engine, folder
        self._out, self._params, self._limits = out, params, limits
        self.image_id = ""
        self.sets: Mapping[str, DataSet] = {}
        """What trainings, and evaluations that name no others, find in /lc/in/sets."""
        self.started: list[str] = []
        """What every container was started for, in their order."""

    def train(self, what: str, seed: int, *, mem_mb: int = 0) -> Ran:
        """As a worker. Raises `RunFailed`."""
        wall = float(self._limits.train_s)
        budget = max(1, int(wall * BUDGET))
        from learningchain.sandbox.data import joined

        given: dict[str, Any] = {"phase": "train", "seed": seed, "budget_s": budget, "threads": self._limits.threads}
        if self.sets:
            given["inputs"] = {"sets": joined(self.sets)}
        return self._run(what, wall, mem_mb=mem_mb, **given)

    def evaluate(
        self,
        what: str,
        model: Path,
        *,
        hidden: Path | None = None,
        sets: Mapping[str, DataSet] | None = None,
        threads: int = 0,
        processors: int = 0,
        mem_mb: int = 0,
    ) -> Ran:
        """As worker and verifiers do. Numbers other than 0 replace what was asked for. Raises `RunFailed`."""
        from learningchain.sandbox.data import joined

        inputs: dict[str, Path | DataSet] = {"model": model} if hidden is None else {"model": model, "eval": hidden.resolve()}
        if found := sets or self.sets:
            inputs["sets"] = joined(found)
        given: dict[str, Any] = {"phase": "evaluate", "budget_s": self._limits.eval_s, "inputs": inputs}
        given["threads"] = threads or self._limits.threads
        return self._run(what, float(self._limits.eval_s), processors=processors, mem_mb=mem_mb, **given)

    def _run(self, what: str, wall_s: float, *, processors: int = 0, mem_mb: int = 0, **given: Any) -> Ran:
        import msgspec

        from learningchain.client.contracts.job.roles.policy import container_limits
        from learningchain.sandbox import RunSpec, RunStatus
        from learningchain.sandbox.results import Evaluated

        try:
            limits = msgspec.structs.replace(container_limits(self._limits, wall_s), processors=processors)
            limits = msgspec.structs.replace(limits, mem_mb=mem_mb or limits.mem_mb)
            name = f"{given['phase']}-{secrets.token_hex(4)}"
            spec = RunSpec(run_id=name, image_id=self.image_id, params=self._params, limits=limits, **given)
        except ValueError as problem:
            raise WrongUsage(f"No container can be started with these limits: {problem}") from None
        self.started.append(what)
        with watching(self._out, what) as on_progress, self._sampling(name) as memory:
            result = self.backend.run(spec, on_progress=on_progress)
        if result.status is not RunStatus.OK:
            raise RunFailed(result)
        losses = result.result.losses if isinstance(result.result, Evaluated) else None
        model = result.outputs["model"].path if "model" in result.outputs else None
        return Ran(result.wall_s, max(memory) if len(memory) >= ENOUGH_LOOKS else None, losses, model)

    @contextmanager
    def _sampling(self, run: str) -> Iterator[list[int]]:
        """Fills a list with the bytes that the run holds, as long as it runs."""
        seen: list[int] = []
        over = threading.Event()

        def look() -> None:
            while not over.wait(SAMPLE_S):
                with suppress(Exception):  # it has not begun, or is over: then there is nothing to know
                    held = self.backend.memory(run)
                    if held is not None:
                        seen.append(held)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()


@contextmanager
def watching(out: Output, what: str) -> Iterator[Any]:
    """What runs now, for people: a line that moves on a terminal, and one line for each run where there is none."""
    if out.as_json:
        yield lambda progress: None
        return
    if not out.notes.is_terminal:
        out.note(f"{what}…")
        yield lambda progress: None
        return
    began = time.monotonic()
    with out.notes.status(what) as status:

        def tell(progress: Any) -> None:
            of = f" of {progress.of}" if progress.of else ""
            loss = "" if progress.loss is None else f", loss {progress.loss:g}"
            status.update(f"{what}: step {progress.step}{of}{loss}, {span(time.monotonic() - began)}")

        yield tell
    out.note(f"{what}: {time.monotonic() - began:.1f} s")


@contextmanager
def opened(common: Common, params: str, limits: Limits) -> Iterator[LocalRuns]:
    """Runs in this machine's sandbox. Raises `WrongUsage`."""
    with tempfile.TemporaryDirectory(prefix="learningchain-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        with opened_sandbox(common, folder) as (backend, engine):
            yield LocalRuns(backend, engine, common.out, params, limits, folder)
