"""A machine as its node knows it, and the runs that it has."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from learningchain.client.machines import frames as f
from learningchain.client.machines.rests import LossRecord
from learningchain.sandbox import DataSet, ImageLimits, OutputFile, Progress, RunResult, RunSpec, RunStatus
from learningchain.sandbox.backend import OnCheckpoint
from learningchain.sandbox.phases import CHECKPOINT


@dataclass(eq=False)
class ImageArchive:
    """An image, already checked by this node: as the content store has it, or where its registry has it (`reference`)."""

    path: Path
    limits: ImageLimits
    reference: str = ""

    @property
    def there(self) -> bool:
        return bool(self.reference) or self.path.is_file()

    @property
    def size(self) -> int:
        """Bytes that a machine fetches at most. Raises OSError."""
        return self.limits.archive_bytes if self.reference else self.path.stat().st_size


@dataclass(eq=False)
class RemoteRun:
    spec: RunSpec
    take: f.Take
    archive: ImageArchive | None
    """None where an earlier start gave it."""
    on_progress: Callable[[Progress], None]
    done: asyncio.Future[RunResult]
    on_checkpoint: OnCheckpoint | None = None
    asked: bool = True
    """False for one of an earlier start that nobody has asked for yet."""
    cancel: threading.Event | None = None
    """None until somebody waits for its end; `began`: since when, by the hub's clock."""
    began: float = 0.0
    outputs: dict[str, OutputFile] = field(default_factory=dict)
    measured: object = None
    """What this node read of the output that is read."""
    printed: str = ""

    @property
    def order(self) -> bytes:
        return hashlib.sha256(self.take.order).digest()

    def cap(self, name: str) -> int:
        """Most bytes of an output or a checkpoint; 0 for what it has none of."""
        row, limits = self.spec.row, self.spec.limits
        if name == CHECKPOINT:
            return min(row.checkpoint_cap(limits.model_cap), limits.file_cap)
        return {output.name: row.cap(output, limits.model_cap) for output in row.outputs}.get(name, 0)

    def lacks(self) -> str:
        """The name of an output that did not come; empty where all are here."""
        came = {row.name: self.measured is not None if row.read else row.name in self.outputs for row in self.spec.row.outputs}
        return min((name for name, there in came.items() if not there), default="")

    def moving(self) -> int:
        """Bytes that may move for it in both directions."""
        outputs = sum(self.cap(row.name) for row in self.spec.row.outputs)
        sets = sum(given.size for given in self.spec.inputs.values() if isinstance(given, DataSet))
        return outputs + self.take.archive_bytes + self.cap(CHECKPOINT) + sum(i.size for i in self.take.inputs) + sets

    def fail(self, why: str, *, lost: bool = False) -> bool:
        """It is over, by no doing of its program. False where it was already."""
        if self.done.done():
            return False
        self.done.set_result(RunResult(status=RunStatus.ENGINE_ERROR, reason=why, lost=lost))
        return True


class LeasedFor(NamedTuple):
    """The run that a machine is for, and what its engine says of it."""

    run: str
    said: str


@dataclass(eq=False)
class JoinedMachine:
    """A machine as the node knows it now."""

    name: str
    hello: f.MachineHello | None = None
    writer: asyncio.StreamWriter | None = None
    heard_ms: int | None = None
    runs: dict[str, RemoteRun] = field(default_factory=dict)
    trouble: str = ""
    trouble_until: float = 0.0
    losses: LossRecord = field(default_factory=LossRecord)
    bulk: int = 0
    lost: asyncio.TimerHandle | None = None

    def why_not(self, now: float, arch: str) -> str:
        """Why it takes no run for engines of `arch` at present; empty where it does."""
        if self.hello is None or self.writer is None:
            return "it is away"
        if not self.hello.trouble and self.hello.arch != arch:
            return f"its engine is of {f.shown(self.hello.arch)}, and the node's of {arch or 'nothing known yet'}"
        return self.hello.trouble or self.resting(now) or (self.trouble if now < self.trouble_until else "")

    def resting(self, now: float) -> str:
        """Why it takes no run although it is there and says that all is well; empty where it does not rest."""
        rest_s = self.losses.rest_s(now)
        lost = f"it lost its runs {len(self.losses.losses)} times within a day"
        return f"{lost}, and takes none for {rest_s / 60:g} minutes" if rest_s else ""

    def lose(self, runs: Iterable[RemoteRun], why: str, now: float) -> None:
        """These are over since it, or what it had of them, is gone. One that starts again and again is left alone for a while."""
        if sum(run.fail(why, lost=True) for run in runs):
            self.losses.add(now)

    def send(self, message: f.FromNode) -> None:
        """Frames to a machine are few and small; one that takes none loses its connection by its own silence."""
        if self.writer is not None:
            self.writer.write(f.framed(message))

    async def ping(self, writer: asyncio.StreamWriter) -> None:
        """As long as this is its connection."""
        while self.writer is writer:
            self.send(f.MachinePing())
            try:
                await f.drained(writer)
            except OSError:  # it takes nothing: what waits for it must not grow
                writer.transport.abort()
                return
            await asyncio.sleep(f.PING_S)

    def row(self, now: float, arch: str, drains: bool) -> dict[str, Any]:
        """How it is shown to its owner."""
        why, hello = self.why_not(now, arch), self.hello
        there = "failing" if why else "draining" if drains else "ready"
        return {
            "name": self.name,
            "state": "away" if self.writer is None else there,
            "why": why,
            "cpus_milli": 0 if hello is None else hello.cpus_milli,
            "mem_mb": 0 if hello is None else hello.mem_mb,
            "engine": "" if hello is None else f.shown(hello.engine),
            "version": "" if hello is None else f.shown(hello.program),
            "drains": drains,
            "runs": sorted(self.runs),
            "heard": self.heard_ms,
        }


def waiting_row(name: str, lease: LeasedFor | None) -> dict[str, Any]:
    """Return how a machine is shown that has not come yet: invited by its owner, or waited for as a job of a cluster."""
    return {
        "name": name,
        "state": "invited" if lease is None else "queued",
        "why": "" if lease is None else f.shown(lease.said),
        "cpus_milli": 0,
        "mem_mb": 0,
        "engine": "",
        "version": "",
        "drains": False,
        "runs": [],
        "heard": None,
    }
