"""A node's side of its reaper (`reaper_program`): started before the first container, and again where it is gone."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from learningchain.sandbox.docker import reaper_program
from learningchain.sandbox.errors import SandboxUnavailable
from learningchain.sandbox.programs import start_program

LEAVE_S = 600.0
"""How long a run that may outlive its node waits for one to come back."""
START_S = 30.0
"""What a busy machine may take to start it."""
AGAIN_S = 1.0
_KEEP = ("HOME", "LANG", "PATH", "LD_LIBRARY_PATH", "SSH_AUTH_SOCK")
_LOG_CAP = 256 * 1024

log = logging.getLogger("learningchain.sandbox")


class Reaper:
    """Of one sandbox. `folder` has its lock and what it says of its doings; `engine` is empty for the environment's."""

    def __init__(self, engine: str, tag: str, folder: Path, leave_s: float) -> None:
        # Absolute, for the reaper runs in another folder.
        self._engine, self._tag, self._folder, self._leave_s = engine, tag, folder.absolute(), leave_s
        self._mutex = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = -1

    def ensure(self) -> None:
        """See to it that a reaper lives: no container starts without one. Raises SandboxUnavailable."""
        with self._mutex:
            if self._process is not None and self._process.poll() is None:
                return
            try:
                self._start()
            except OSError as problem:
                raise SandboxUnavailable(
                    f"the process that ends a dead node's containers cannot be started: {problem}"
                ) from problem

    def _start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock, told = self._folder / "reaper.lock", self._folder / "reaper.log"
        words = (reaper_program.__file__, self._engine, self._tag, str(lock), f"{self._leave_s:g}")
        with open(told, "ab") as said:
            if said.tell() > _LOG_CAP:
                said.truncate(0)
            process = start_program(
                [sys.executable, "-P", *words],
                ready=reaper_program.READY,
                within_s=START_S,
                said=said,
                stdin=subprocess.PIPE,
                keeps=lambda name: name in _KEEP or name.startswith("DOCKER_"),
            )
        if process is None:
            raise OSError(f"it ended or said nothing within {START_S:g} s; {told} says why")
        self._process = process
        threading.Thread(target=self._replace, args=(process,), name="sandbox-reaper", daemon=True).start()
        if self._lock < 0:  # shared, by all that have this folder: a reaper takes it alone, to see that nobody has it
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_SH)

    def _replace(self, process: subprocess.Popen[bytes]) -> None:
        """One that dies while containers run has another in its place."""
        process.wait()
        time.sleep(AGAIN_S)
        if self._process is process:
            try:
                self.ensure()
            except SandboxUnavailable as problem:
                log.error("%s; the next container tries again", problem)

    def close(self, *, left: bool = False) -> None:
        """Let it go: it ends at once, or where runs were left to whoever comes back (`left`), with these."""
        with self._mutex:
            process, self._process = self._process, None
            if process is None or process.stdin is None:
                return
            os.close(self._lock)
            self._lock = -1
            with contextlib.suppress(OSError):
                if not left:
                    process.stdin.write(b"done\n")
                process.stdin.close()
            if not left:
                process.wait()
