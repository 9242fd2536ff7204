"""Copies a training's checkpoint out of its volume while the training goes on.

    due -> asked of the sidecar -> nothing new, or none that can be taken: later
                                -> copied piece by piece into a file here, hashed -> whole: handed over, which ends the one before

Whoever watches the run calls `step` between two looks at it, so a large checkpoint delays neither a cancellation nor the end of the
wall clock. A job replaces its checkpoint by renaming; one that is changed while it is read is left, and read again later. What goes
wrong with a checkpoint never ends a run.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from learningchain.chain.storage import private
from learningchain.sandbox.backend import OnCheckpoint
from learningchain.sandbox.disk import leave_room
from learningchain.sandbox.docker.sidecar import Sidecar
from learningchain.sandbox.errors import EngineError
from learningchain.sandbox.phases import CHECKPOINT
from learningchain.sandbox.results import BadResult
from learningchain.sandbox.spec import OutputFile

EVERY_S = 60.0
"""Seconds between two looks at a job's checkpoint."""
SHARE = 20
"""After a copy the next look waits this many times as long as the copy took."""
LAST_S = 10.0
"""How long a copy may take of a job that was killed: a node that stops waits no longer."""
_STEP = 4 << 20
_NONE_SEEN = "-"

log = logging.getLogger("learningchain.sandbox")


class CheckpointCopier:
    """Of one run. `path`: where the copy is made; whole, it is handed to `keep`, which moves it away."""

    def __init__(
        self,
        sidecar: Sidecar,
        path: Path,
        cap: int,
        keep: OnCheckpoint,
        *,
        every_s: float = EVERY_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sidecar, self._path, self._cap, self._keep = sidecar, path, cap, keep
        self._every_s, self._now = every_s, now
        self._seen = _NONE_SEEN
        self._due = now() + every_s
        self._began = 0.0
        self._pieces: Iterator[bytes] | None = None
        """Of the copy under way."""
        self._file: IO[bytes] | None = None
        """None: this disk takes no more of it, and the rest is thrown away."""
        self._digest, self._size = hashlib.sha256(), 0
        self.kept = 0
        """How many were handed over."""

    def step(self) -> bool:
        """Does a part of what is due; true where the copy goes on with the next step. Raises EngineError where the sidecar fails:
        with it the run's outputs are lost too."""
        if self._pieces is None and (self._now() < self._due or not self._begin()):
            return False
        return self._copy_some()

    def take_last(self) -> bool:
        """The checkpoint of a job that is dead, within `LAST_S`; whether one was ever handed over. Raises EngineError."""
        until = self._now() + LAST_S
        for _ in range(2):  # after a copy that was under way, what the job left since
            if self._pieces is None:
                self._due = 0.0
            while self.step() and self._now() < until:
                pass
        return self.kept > 0

    def finish(self) -> None:
        """Ends a copy that is under way, for whoever wants the sidecar's next answer. Raises EngineError."""
        while self._copy_some():
            pass

    def close(self) -> None:
        """Leaves no file behind."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
            self._path.unlink(missing_ok=True)

    def _begin(self) -> bool:
        self._due = self._now() + self._every_s
        self._began = self._now()
        try:
            self._seen, size, self._pieces = self._sidecar.copy_output(CHECKPOINT, self._cap, self._seen)
        except BadResult:
            return False
        self._digest, self._size = hashlib.sha256(), 0
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            leave_room(self._path.parent, "keeping a checkpoint", size, 1)
            self._file = private.writing(self._path)
        except (EngineError, OSError) as problem:
            self._give_up(problem)
        return True

    def _copy_some(self) -> bool:
        pieces, taken = self._pieces, 0
        if pieces is None:
            return False
        while taken < _STEP:
            try:
                piece = next(pieces, b"")
            except BadResult:
                self._end(whole=False)
                return False
            if not piece:
                self._end(whole=True)
                return False
            taken += len(piece)
            self._write(piece)
        return True

    def _write(self, piece: bytes) -> None:
        if self._file is None:
            return
        try:
            self._file.write(piece)
        except OSError as problem:
            self._give_up(problem)
        self._digest.update(piece)
        self._size += len(piece)

    def _give_up(self, problem: Exception) -> None:
        log.warning("a checkpoint cannot be kept on this disk: %s", problem)
        self.close()

    def _end(self, *, whole: bool) -> None:
        self._pieces = None
        self._due = max(self._due, self._now() + SHARE * (self._now() - self._began))
        file = self._file
        if file is None or not whole:
            self._seen = _NONE_SEEN
            self.close()
            return
        try:
            file.flush()
            os.fsync(file.fileno())
        except OSError as problem:
            self._give_up(problem)
            return
        file.close()
        self._file = None
        self.kept += 1
        self._keep(OutputFile(self._path, self._size, self._digest.digest()))
