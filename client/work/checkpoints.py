"""The newest checkpoint of each training that is not over, on this disk: what its next start goes on from.

    a run leaves one: keep, in the place of the one before -> its container is lost -> the attempt's next run is given it
                                                           -> the attempt is over: dropped

A file's name says whose it is, how much of its time the training had left, and its hash: whole files alone have such names, so a
node that was killed at any moment finds the newest by its name. No other node ever sees one. Calls block; any thread may call.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from learningchain.chain.storage import private
from learningchain.sandbox import OutputFile, RunSpec

log = structlog.get_logger(__name__)

SAME = ("image_id", "phase", "seed", "threads", "params")
"""What makes a run the same work as an earlier one: its time and its limits are those that it began with."""
_NAME = re.compile(
    r"(?P<attempt>[a-z]+-[0-9a-f]{64}-[0-9]+)\.(?P<work>[0-9a-f]{16})\.(?P<left_ms>[0-9]{1,13})\.(?P<sha256>[0-9a-f]{64})"
)
_COPY = 1 << 20

AttemptKey = tuple[str, bytes, int]
"""Kind, ref and number of an attempt."""


class KeptCheckpoint(NamedTuple):
    path: Path
    left_ms: int
    """What the training had left of its wall clock when it left it."""


class Checkpoints:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, attempt: AttemptKey, spec: RunSpec, file: OutputFile, left_ms: int) -> None:
        """Take over a file from the sandbox; it is on the disk, with its name, when this returns. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = [path for path, _ in self._of(_text(attempt))]
        target = self._folder / f"{_text(attempt)}.{_work(spec)}.{max(0, left_ms)}.{file.sha256.hex()}"
        try:
            os.replace(file.path, target)
        except OSError:  # another file system
            with private.reading(file.path) as source, private.writing(part := f"{target}.new") as copy:
                shutil.copyfileobj(source, copy, _COPY)
                copy.flush()
                os.fsync(copy.fileno())
            os.replace(part, target)
            file.path.unlink(missing_ok=True)
        private.sync_folder(self._folder)
        for path in before:
            if path != target:
                path.unlink(missing_ok=True)

    def newest(self, attempt: AttemptKey, spec: RunSpec) -> KeptCheckpoint | None:
        """Of this very work. One that the disk damaged goes, and the training begins anew. Raises OSError."""
        found = [(int(name["left_ms"]), path, name) for path, name in self._of(_text(attempt)) if name["work"] == _work(spec)]
        for left_ms, path, name in sorted(found, key=lambda one: one[0]):
            if _hash(path) == name["sha256"]:
                return KeptCheckpoint(path, left_ms)
            log.error("a checkpoint on this disk is not what it was", path=str(path))
            path.unlink(missing_ok=True)
        return None

    def drop(self, attempt: AttemptKey) -> None:
        self._drop(f"{_text(attempt)}.")

    def forget(self, ref: bytes) -> None:
        """What is over goes, whatever kinds of attempts it had."""
        self._drop(f"*-{ref.hex()}-")

    def sweep(self, open_: Collection[AttemptKey]) -> None:
        """Remove what belongs to no attempt that is open, and what was not whole when this node was killed."""
        keep = {_text(attempt) for attempt in open_}
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            name = _NAME.fullmatch(path.name)
            if name is None or name["attempt"] not in keep:
                path.unlink(missing_ok=True)

    def _of(self, attempt: str) -> Iterator[tuple[Path, re.Match[str]]]:
        for path in self._folder.glob(f"{attempt}.*"):
            if name := _NAME.fullmatch(path.name):
                yield path, name

    def _drop(self, beginning: str) -> None:
        for path in self._folder.glob(f"{beginning}*"):
            try:
                path.unlink(missing_ok=True)
            except OSError as problem:
                log.warning("a checkpoint stays until the next start", path=str(path), why=str(problem))


def _text(attempt: AttemptKey) -> str:
    kind, ref, number = attempt
    return f"{kind}-{ref.hex()}-{number}"


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with private.reading(path) as file:
        while piece := file.read(_COPY):
            digest.update(piece)
    return digest.hexdigest()


def _work(spec: RunSpec) -> str:
    return hashlib.sha256(msgspec.json.encode([getattr(spec, name) for name in SAME])).hexdigest()[:16]
