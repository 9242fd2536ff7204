"""What a trial needs of a node's work, with an engine that answers as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from learningchain.client.config import WorkConfig
from learningchain.client.node.interface import Files
from learningchain.client.work.events import (
    BringImage,
    ContentMissing,
    ContentReady,
    FetchContent,
    ImageFailed,
    ImageReady,
    Input,
    RunEnded,
    StartRun,
)
from learningchain.client.work.trials import Trials
from learningchain.sandbox import RunStatus
from learningchain.sandbox.answers import AnswerReader

IMAGE = "sha256:" + "ab" * 32


class Ground:
    """`says(run)`: the answer's text of the run with this number (from 1), or a status that it ends with."""

    def __init__(self, files: Files, says: Callable[[int], bytes | RunStatus]) -> None:
        self._files, self.says = files, says
        self.config = WorkConfig()
        self.sandbox = ""
        self.image_fault = ""
        self.gate = asyncio.Event()
        """Runs wait for it."""
        self.gate.set()
        self.started: list[StartRun] = []
        self.pinned: list[str] = []
        self.let_go_of: list[bytes] = []
        self.waits_ms: dict[int, int] = {}
        """By its size, how long a file is waited for."""

    def trials(self) -> Trials:
        """In tasks of this loop, which are kept until they end."""
        tasks: set[asyncio.Task[Any]] = set()

        def spawn(work: Any) -> None:
            task = asyncio.get_running_loop().create_task(work)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        self.now = 0.0
        return Trials(self, spawn=spawn, now_s=lambda: self.now, now_ms=lambda: 7)

    def clock(self) -> int:
        return 1_000

    async def ready(self, within_s: float) -> str:
        return self.sandbox

    async def image(self, wanted: BringImage) -> Input:
        return ImageFailed(wanted.ref, self.image_fault, True) if self.image_fault else ImageReady(wanted.ref, IMAGE)

    async def content(self, wanted: FetchContent) -> Input:
        self.pinned.append(wanted.cid)
        self.waits_ms[wanted.max_size] = wanted.until - self.clock()
        try:
            path: Path = await self._files.fetch(wanted.cid, max_size=wanted.max_size, timeout_s=1.0)
        except Exception as problem:
            return ContentMissing(wanted.scope, wanted.tag, False, str(problem))
        return ContentReady(wanted.scope, wanted.tag, path)

    async def run(self, start: StartRun) -> RunEnded:
        self.started.append(start)
        await self.gate.wait()
        said = self.says(start.shown[1])
        assert start.late is not None
        start.late.given()
        if isinstance(said, RunStatus):
            return RunEnded(start.run, said, "it ended so")
        reader = AnswerReader(start.late.form)
        reader.take(said)
        return RunEnded(start.run, RunStatus.OK, "done", reader.finish())

    def log_of(self, run: str) -> str:
        return "loading\nno such row\n"

    async def let_go(self, ref: bytes) -> None:
        self.let_go_of.append(ref)
