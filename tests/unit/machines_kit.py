"""A node with a place for machines, and the programs of those that joined: the real ones, on loopback connections with real TLS.
Their engines are doubles.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import threading
from array import array
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.losses import LossTree
from learningchain.client.machines import gate
from learningchain.client.machines import program as program_module
from learningchain.client.machines.backend import MachinesBackend
from learningchain.client.machines.program import MachineProgram, join
from learningchain.client.machines.trust import MachineSecrets, parse_token
from learningchain.sandbox import (
    ContainerLimits,
    DataSet,
    EngineError,
    Evaluated,
    ImageLimits,
    OutputFile,
    Progress,
    RunResult,
    RunSpec,
    RunStatus,
)

IMAGE = "sha256:" + "ab" * 32
LIMITS = ContainerLimits(cpus=1, mem_mb=64, model_cap=100)
ARCHIVE = b"an image" * 100_000
MEASURED = (500_000_123, 0, -7, 3_000_000_000)
"""Losses that an evaluation comes to."""
STEP = b"step 5 of 10"
"""What a training leaves on its way."""


def spec(mode: str = "ok", **more: Any) -> RunSpec:
    given = {"run_id": f"train-{mode}", "phase": "train", "seed": 1, "budget_s": 60, "params": json.dumps({"mode": mode})}
    return RunSpec(**{"image_id": IMAGE, "limits": LIMITS, **given, **more})  # type: ignore[arg-type]


class ScriptedEngine:
    """An engine that does what a run's parameters say."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.images, self.ran = folder, set[str](), list[str]()
        self.began, self.go = asyncio.Event(), asyncio.Event()
        self.loaded = b""
        self.pulled: list[str] = []
        self.registry: str | None = IMAGE
        """What the registry gives here, if it can be reached."""
        self.given: dict[str, bytes] = {}

    async def prepare(self, keep_images: Collection[str], keep_runs: Collection[RunSpec]) -> dict[str, Any]:
        return {"ok": True, "engine": "1", "arch": "x86_64", "cpus": 4, "mem_mb": 4_096, "runs": (), "kept": ()}

    async def load(self, path: Path, image_id: str, limits: ImageLimits) -> str:
        self.loaded = path.read_bytes()
        self.images.add(image_id)
        return image_id

    async def pull(self, reference: str, limits: ImageLimits) -> str:
        if self.registry is None:
            raise EngineError("pulling an image", "the registry cannot be reached")
        self.pulled.append(reference)
        self.images.add(self.registry)
        return self.registry

    async def keep_set(self, name: str, data: DataSet) -> None:
        raise NotImplementedError

    async def has_image(self, image_id: str) -> bool:
        return image_id in self.images

    async def remove(self, image_id: str) -> None:
        self.images.discard(image_id)

    def printed(self, run_id: str) -> str | None:
        return "step\x1b"

    async def run(
        self, spec: RunSpec, on_progress: Callable[[Progress], None], cancel: threading.Event, on_checkpoint: Any = None
    ) -> RunResult:
        self.ran.append(spec.run_id)
        self.given = {name: path.read_bytes() for name, path in spec.inputs.items() if isinstance(path, Path)}
        self.given |= {f.name: f.path.read_bytes() for s in spec.inputs.values() if isinstance(s, DataSet) for f in s.files}
        self.began.set()
        on_progress(Progress(1, 2, 0.5))
        match json.loads(spec.params)["mode"]:
            case "wait":
                await self.go.wait()
            case "save":
                await self._save(spec, on_checkpoint)
                await self.go.wait()
            case "last":
                while not cancel.is_set():
                    await asyncio.sleep(0)
                await self._save(spec, on_checkpoint)
                return RunResult(status=RunStatus.CANCELLED, reason="cancelled")
            case "exit":
                return RunResult(status=RunStatus.FAILED, reason="exit 3", exit_code=3, log_tail="no\n")
            case "late":
                return RunResult(status=RunStatus.TIMEOUT, reason="still running")
            case "for-ever":
                while not cancel.is_set():
                    await asyncio.sleep(0)
                return RunResult(status=RunStatus.CANCELLED, reason="cancelled")
        if spec.phase == "evaluate":
            losses = array("q", MEASURED)
            found = Evaluated(LossTree(losses).measurement, losses)
            return RunResult(status=RunStatus.OK, reason="done", result=found, exit_code=0)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{spec.run_id}.model"
        path.write_bytes(b"a model")
        digest = hashlib.sha256(b"a model").digest()
        return RunResult(status=RunStatus.OK, reason="done", outputs={"model": OutputFile(path, 7, digest)}, exit_code=0)

    async def _save(self, spec: RunSpec, on_checkpoint: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{spec.run_id}.checkpoint"
        path.write_bytes(STEP)
        await asyncio.to_thread(on_checkpoint, OutputFile(path, len(STEP), hashlib.sha256(STEP).digest()))

    def leave(self) -> None:
        return None

    async def close(self) -> None:
        return None


class Site:
    """A node with a place for machines, and the programs of those that joined."""

    def __init__(self, folder: Path, port: int = 0, trusted: Collection[str] = ()) -> None:
        self.folder, self.now = folder, 1_000_000
        self.own = ScriptedEngine(folder / "own")
        self.backend = MachinesBackend(
            self.own,  # type: ignore[arg-type]
            folder / "node",
            f"127.0.0.1:{port}",
            lambda: self.now,
            trusted=trusted,
        )
        self.hub = self.backend.hub
        self.hub.arch = "x86_64"
        self.hub.start()
        self.where = f"127.0.0.1:{self.hub.port}"
        self.engines: dict[str, ScriptedEngine] = {}
        self.programs: dict[str, MachineProgram] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def image(self) -> None:
        path = self.folder / "image.tar"
        path.write_bytes(ARCHIVE)
        await self.backend.load(path, IMAGE, ImageLimits())

    async def joined(self, name: str) -> MachineSecrets:
        return await join(parse_token(self.hub.add(name, self.where)[0]))

    async def machine(self, name: str) -> ScriptedEngine:
        secrets = await self.joined(name)
        engine = self.engines[name] = ScriptedEngine(self.folder / name / "out")
        program = self.programs[name] = MachineProgram(secrets, self.folder / name, engine, "1")  # type: ignore[arg-type]
        self._tasks.append(asyncio.create_task(program.run()))
        await self.until(lambda: self.state(name) == "ready")
        return engine

    def state(self, name: str) -> str:
        return next((str(row["state"]) for row in self.hub.shown() if row["name"] == name), "")

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not holds():
                await asyncio.sleep(0.01)

    async def run(self, given: RunSpec, cancel: threading.Event | None = None) -> RunResult:
        return await self.backend.run(given, lambda progress: None, cancel or threading.Event())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.backend.close()


@contextlib.asynccontextmanager
async def a_site(folder: Path, monkeypatch: pytest.MonkeyPatch, trusted: Collection[str] = ()) -> AsyncIterator[Site]:
    monkeypatch.setattr(program_module, "FIRST_PAUSE_S", 0.01)
    # Whoever runs these beside much else has a slow machine, and no hostile one.
    monkeypatch.setattr(gate, "HELLO_S", 60.0)
    monkeypatch.setattr(program_module, "CONNECT_S", 60.0)
    made = Site(folder, trusted=trusted)
    yield made
    await made.close()
