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

from sandbox.data import DataSet
from sandbox.results import Progress
from sandbox.spec import CleanupReport, EngineInfo, ImageLimits, RunResult, RunSpec, SelfTestReport

OnProgress = Callable[[Progress], None]


class WarmRun(Protocol):
    """A run that was started, has said that it is ready, and waits for its late inputs. It gets them once, and ends."""

    def finish(self, late: Mapping[str, Path], *, cancel: threading.Event | None = None) -> RunResult:
        """Hands it what it waits for, and waits for its end. Its wall clock counts from here anew."""
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

    def run(self, spec: RunSpec, *, on_progress: OnProgress | None = None, cancel: threading.Event | None = None) -> RunResult:
        """A run from its inputs to its outputs. Raises ValueError where one of the same run_id is under way."""
        ...

    def start(self, spec: RunSpec, *, on_progress: OnProgress | None = None) -> WarmRun | RunResult:
        """Starts a run of a phase with late inputs and returns when it is ready, or with its result where it ended before that.
        Raises ValueError for a phase without late inputs."""
        ...

    def cancel(self, run_id: str) -> bool:
        """Kills a run; false where none of this id is under way."""
        ...

    def keep_data(self, data: DataSet) -> None:
        """Brings a data set to where runs read it from before a run needs it. Raises EngineError, OSError, SandboxUnavailable."""
        ...

    def settle(self) -> None:
        """Waits until what ended runs left is removed."""
        ...

    def cleanup(self, *, keep_images: Collection[str] = ()) -> CleanupReport:
        """Removes all that this node ever made there but `keep_images`. Raises EngineError."""
        ...

    def close(self) -> None: ...


class AsyncBackend(Protocol):
    """What the work machines' driver asks of a sandbox. Errors are the sandbox's own."""

    async def prepare(self, keep_images: Collection[str]) -> dict[str, Any]: ...

    async def load(self, path: Path, image_id: str, limits: ImageLimits) -> str: ...

    async def pull(self, reference: str, limits: ImageLimits) -> str: ...

    async def has_image(self, image_id: str) -> bool: ...

    async def remove(self, image_id: str) -> None: ...

    async def run(self, spec: RunSpec, on_progress: OnProgress, cancel: threading.Event) -> RunResult: ...

    async def close(self) -> None: ...
