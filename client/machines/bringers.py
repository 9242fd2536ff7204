"""Who brought a model of which job: another machine checks it, after a start of the node too. A private file of the newest jobs."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Final

import msgspec
import structlog

from learningchain.chain.storage import private
from learningchain.sandbox import RunSpec

log = structlog.get_logger("machines")

MAX_BROUGHT: Final = 1_024
"""Jobs of which it is remembered."""
MAX_FILE: Final = 4 << 20


class ModelBringers:
    """`path`: the file. What cannot be written is known until the node's end; one that cannot be read is an empty one."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, asyncio.Lock()
        self._names = self._read()
        """By job, the oldest first."""

    def of(self, spec: RunSpec) -> frozenset[str]:
        return frozenset(self._names.get(_job_of(spec), ()))

    async def add(self, spec: RunSpec, name: str) -> None:
        """Noted before it returns: whoever checks the model may belong to the next start."""
        job = _job_of(spec)
        self._names[job] = sorted({*self._names.pop(job, ()), name})
        while len(self._names) > MAX_BROUGHT:
            del self._names[next(iter(self._names))]
        async with self._lock:
            try:
                await asyncio.to_thread(private.replace, self._path, msgspec.json.encode(self._names))
            except OSError as fault:
                log.warning("who brought a model could not be noted", why=str(fault))

    def _read(self) -> dict[str, list[str]]:
        try:
            with private.reading(self._path) as file:
                return msgspec.json.decode(file.read(MAX_FILE), type=dict[str, list[str]])
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as fault:
            log.warning("who brought models before this start cannot be read", why=str(fault))
            return {}


def _job_of(spec: RunSpec) -> str:
    """What the runs of one job have in common, wherever they run."""
    return hashlib.sha256(f"{spec.image_id}\n{spec.params}".encode()).hexdigest()
