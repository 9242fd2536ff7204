"""What a node asks of whatever runs its job images. `sandbox.docker` is the backend here; `sandbox.backends` finds those of other
distributions, and `tests/sandbox/backend_suite.py` is what every backend must pass.

    check_engine -> cleanup -> self_test -> (load_archive | pull) -> run, run, ... -> cleanup -> close

`Backend` is what a backend implements: calls that block, safe from several threads. `AsyncBackend` is the same as seen by the loop
of a node, which must never wait in a call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from learningchain.sandbox.data import DataSet, OnBytes, OwnData
from learningchain.sandbox.progress import Progress
from learningchain.sandbox.results import ResultReader
from learningchain.sandbox.spec import CleanupReport, EngineInfo, ImageLimits, OutputFile, RunResult, RunSpec, SelfTestReport

OnProgress = Callable[[Progress], None]
OnCheckpoint = Callable[[OutputFile], None]
"""Told of the newest checkpoint of a run that goes on, on the run's own thread; it moves the file away."""


class WarmRun(Protocol):
    """A run that was started, has said that it is ready, and waits for its late inputs. It gets them once, and ends."""

    def alive(self) -> bool:
        """Whether it still waits; false for good where it ended, its time was up, or somebody took it. Returns at once."""
        ...

    def finish(
        self,
        late: Mapping[str, Path | bytes],
        *,
        wall_s: float | None = None,
        read: Callable[[], ResultReader] | None = None,
        cancel: threading.Event | None = None,
    ) -> RunResult:
        """Hands it what it waits for, and waits until it is done. Its wall clock counts from here anew: `wall_s` seconds, or those
        of its limits. `read` makes what reads the output that is read, in place of the row's own. Raises ValueError for other
        inputs than it waits for."""
        ...

    def close(self) -> None:
        """Kills it unused. May be called twice, and after `finish`."""
        ...


class Backend(Protocol):
    """Runs images for one node. Errors are those of `sandbox.errors`; a run that fails is a result, never an error."""

    def check_engine(self) -> EngineInfo:
        """What engine this is. Raises SandboxUnavailable naming what is missing."""
        ...

    def self_test(self) -> SelfTestReport:
        """Tries to break every limit. Raises SandboxUnavailable where there is nothing to test."""
        ...

    def load_archive(self, path: Path, expect_image_id: str | None, limits: ImageLimits | None = None) -> str:
        """Checks an image and takes it in; returns its posted id. Raises BadImage, EngineError, SandboxUnavailable."""
        ...

    def pull(self, ref_with_digest: str, limits: ImageLimits | None = None) -> str:
        """The same from a registry. Raises BadImage, ImageNotFound, EngineError, SandboxUnavailable."""
        ...

    def has_image(self, image_id: str) -> bool: ...

    def remove_image(self, image_id: str) -> None:
        """Gives up this node's hold on an image; one that is gone is no error."""
        ...

    def run(
        self,
        spec: RunSpec,
        *,
        on_progress: OnProgress | None = None,
        on_checkpoint: OnCheckpoint | None = None,
        cancel: threading.Event | None = None,
    ) -> RunResult:
        """A run from its inputs to its outputs; one that `cleanup` kept is gone on with. Where nobody takes checkpoints none are
        looked for. Raises ValueError where one of the same run_id is under way."""
        ...

    def start(
        self, spec: RunSpec, *, on_progress: OnProgress | None = None, cancel: threading.Event | None = None
    ) -> WarmRun | RunResult:
        """Starts a run of a phase with late inputs and returns when it is ready, or with its result where it ended before that.
        Raises ValueError for a phase without late inputs."""
        ...

    def cancel(self, run_id: str) -> bool:
        """Kills a run; false where none of this id is under way."""
        ...

    def printed(self, run_id: str) -> str | None:
        """The end of what a run has printed so far; None where none of this id runs. Asks no engine."""
        ...

    def memory(self, run_id: str) -> int | None:
        """Bytes of memory that a run holds now, without what the kernel would drop first; None where none of this id runs."""
        ...

    def keep_data(self, data: DataSet) -> None:
        """Brings a data set to where runs read it from before a run needs it. Raises EngineError, OSError, SandboxUnavailable."""
        ...

    def keep_set(self, name: str, data: DataSet) -> None:
        """The same with a published set, under the name that runs know it by. Raises also OSError where a file is not what the set
        says of it."""
        ...

    def add_data(
        self,
        name: str,
        data: DataSet,
        *,
        notes: Mapping[str, str] | None = None,
        on_bytes: OnBytes = ...,
        cancel: threading.Event | None = None,
    ) -> OwnData:
        """Keeps the owner's own data under a name until they are removed, also when the node stops, for runs of `local` alone.
        Whole or not at all. Raises ValueError for the name, DataRefused, EngineError, OSError, SandboxUnavailable."""
        ...

    def list_data(self) -> list[OwnData]:
        """The owner's own data by name; asks no engine."""
        ...

    def lost_data(self) -> list[str]:
        """The names of own data that the engine has no more, whoever removed them there. Raises EngineError, OSError,
        SandboxUnavailable."""
        ...

    def remove_data(self, name: str) -> OwnData:
        """Raises ValueError for the name, DataRefused where there are none or a run uses them, EngineError, OSError."""
        ...

    def settle(self) -> None:
        """Waits until what ended runs left is removed."""
        ...

    def leave(self) -> None:
        """Lets go of the runs that stay (`RunSpec.stays`): they go on, and `run` returns with a result that says so. For a node
        that is about to close, and to start again within minutes: what nobody comes back for ends. A backend whose runs cannot
        outlive it does nothing, and keeps none in `cleanup`."""
        ...

    def cleanup(
        self, *, keep_images: Collection[str] = (), keep_data: bool = False, keep_runs: Collection[RunSpec] = ()
    ) -> CleanupReport:
        """Removes all that this node ever made there but `keep_images`, and with `keep_data` but own data that are whole. Runs in
        `keep_runs` that an earlier process of this node began, and that are still exactly those, stay for `run`. Raises
        EngineError."""
        ...

    def close(self) -> None: ...


class AsyncWarmRun(Protocol):
    """A `WarmRun` as seen by the loop."""

    async def alive(self) -> bool: ...

    async def finish(
        self, late: Mapping[str, Path | bytes], *, wall_s: float, read: Callable[[], ResultReader], cancel: threading.Event
    ) -> RunResult: ...

    async def close(self) -> None: ...


class AsyncBackend(Protocol):
    """What the work machines' driver asks of a sandbox. Errors are the sandbox's own."""

    async def prepare(self, keep_images: Collection[str], keep_runs: Collection[RunSpec]) -> dict[str, Any]:
        """`kept` of the answer: which of these images are there; `runs`, `lost_runs`: as in `CleanupReport`."""

    async def look(self, *, again: bool) -> None:
        """Whether it is still there. `again`: it was gone meanwhile, and its limits are proved anew. Raises SandboxUnavailable."""
        ...

    async def load(self, path: Path, image_id: str, limits: ImageLimits) -> str: ...

    async def pull(self, reference: str, limits: ImageLimits) -> str: ...

    async def keep_set(self, name: str, data: DataSet) -> None:
        """As `Backend.keep_set`."""
        ...

    async def own_data(self) -> list[OwnData]:
        """The owner's own data by name; asks no engine."""
        ...

    async def remove_data(self, name: str) -> None: ...

    async def has_image(self, image_id: str) -> bool: ...

    async def remove(self, image_id: str) -> None: ...

    async def run(
        self, spec: RunSpec, on_progress: OnProgress, cancel: threading.Event, on_checkpoint: OnCheckpoint | None = None
    ) -> RunResult:
        """`on_checkpoint` as `Backend.run` has it: not on the loop's thread."""
        ...

    def printed(self, run_id: str) -> str | None:
        """As `Backend.printed`: at once."""
        ...

    def leave(self) -> None:
        """As `Backend.leave`: at once."""
        ...

    def elsewhere(self) -> int:
        """How many trainings would begin now on other machines than the one whose engine does everything else: at once."""
        ...

    def evaluators(self) -> int:
        """How many machines may evaluate now, that one and others whose word is as good: at once."""
        ...

    def troubles(self) -> list[str]:
        """What their owner should know of those others, in words: at once."""
        ...

    async def start(self, spec: RunSpec, cancel: threading.Event) -> AsyncWarmRun | RunResult:
        """Of a phase with late inputs: ready for them, or with its result where it ended before."""
        ...

    async def close(self) -> None: ...
