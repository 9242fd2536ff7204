"""A sandbox in virtual time: `client.work.engine.Engine` whose runs take as long as the plan says.

A model is the JSON text of the loss that it has. What an evaluation writes is up to the image's program: an honest one spreads that
loss over its examples, off by the little by which honest machines differ; a lying one says what it likes (`Program`).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from learningchain.chain.losses import MAX_LOSS, LossTree
from learningchain.chain.types import format_loss, parse_loss
from learningchain.sandbox import (
    AsyncWarmRun,
    DataSet,
    Evaluated,
    ImageLimits,
    OutputFile,
    OwnData,
    Progress,
    RunResult,
    RunSpec,
    RunStatus,
    SandboxError,
)
from tests.sim.market.content import Web

LOOK_S = 0.25
"""How often a run looks whether it was cancelled."""
WOBBLE = 4
"""Loss units by which a machine may be off: two of them differ by less than the smallest tolerance."""
EXAMPLES = 24
"""Of every evaluation: more than a probe shows, and not a power of two."""
APART = 10**7
"""How far the losses of a model's examples may lie from their mean."""
NOTHING = -MAX_LOSS - 1
NOBODY = "nobody/has-it@sha256:" + "00" * 32
"""An image that cannot be pulled."""


class Seen(NamedTuple):
    """What a program sees inside its container, and what nothing can hide from it."""

    clock: int
    """Milliseconds of virtual time."""
    machine: int
    """Its processor tells it apart."""
    dice: random.Random
    by: str
    """Who made the model: a model can say it."""


Program = Callable[[Seen, int], int | RunStatus]
"""What an image's evaluation says of a model that has this loss: another one, or how it ends instead."""


def model_of(loss: int, made_by: str) -> bytes:
    return json.dumps({"loss": format_loss(loss), "by": made_by}).encode()


def truth_of(data: bytes) -> int | None:
    """The loss that a model really has, None for what is no model."""
    try:
        return parse_loss(json.loads(data)["loss"])
    except (ValueError, KeyError, TypeError):
        return None


def losses_of(data: bytes, loss: int) -> list[int]:
    """One for each example, with this mean: as far apart as the model's bytes say, on every machine alike."""
    digest = hashlib.sha512(data).digest()
    apart = [int.from_bytes(digest[3 * k : 3 * k + 3], "big") % APART for k in range(EXAMPLES // 2)]
    return [loss + sign * d for d in apart for sign in (1, -1)]


def evaluated(losses: Sequence[int]) -> Evaluated:
    tree = LossTree(losses)
    return Evaluated(tree.measurement, tree.losses)


class SimEngine:
    """`fail`: how often the engine fails for no reason of the job's. `at_once`: runs that have a thread; the others wait."""

    def __init__(
        self, web: Web, index: int, folder: Path, rng: random.Random, at_once: int, fail: float, train_s: float, eval_s: float
    ) -> None:
        self._web, self._index, self._folder, self._rng = web, index, folder, rng
        self.fail, self.train_s, self.eval_s = fail, train_s, eval_s
        folder.mkdir(parents=True, exist_ok=True)
        self._at_once = at_once
        self._threads = asyncio.Semaphore(at_once)
        self.images: set[str] = set()
        self._references: dict[str, str] = {}
        self.wobble = rng.randint(-WOBBLE, WOBBLE)
        self.running = self.most = self.trained = self.evaluated = self.failures = 0

    def lost_power(self) -> None:
        self.running = 0
        self._threads = asyncio.Semaphore(self._at_once)

    async def prepare(self, keep_images: Collection[str], keep_runs: Collection[RunSpec]) -> dict[str, Any]:
        await asyncio.sleep(0.05)
        self.images &= set(keep_images)
        return {"ok": True, "checks": [], "arch": "amd64", "cpus": 64, "mem_mb": 65_536, "kept": self.images}

    async def look(self, *, again: bool) -> None:
        return

    async def load(self, path: Path, image_id: str, limits: ImageLimits) -> str:
        await asyncio.sleep(0.05)
        self.images.add(image_id)
        return image_id

    async def pull(self, reference: str, limits: ImageLimits) -> str:
        await asyncio.sleep(0.1)
        if reference == NOBODY:
            raise SandboxError("no registry has this image")
        image = "sha256:" + hashlib.sha256(reference.encode()).hexdigest()
        self.images.add(image)
        self._references[image] = reference
        return image

    async def own_data(self) -> list[OwnData]:
        return []

    async def remove_data(self, name: str) -> None:
        raise NotImplementedError

    async def keep_set(self, name: str, data: DataSet) -> None:
        raise NotImplementedError

    async def has_image(self, image_id: str) -> bool:
        return image_id in self.images

    async def remove(self, image_id: str) -> None:
        self.images.discard(image_id)

    async def close(self) -> None:
        return None

    def leave(self) -> None:
        raise NotImplementedError

    def elsewhere(self) -> int:
        return 0

    def evaluators(self) -> int:
        return 1

    def troubles(self) -> list[str]:
        return []

    async def start(self, spec: RunSpec, cancel: threading.Event) -> AsyncWarmRun | RunResult:
        return RunResult(status=RunStatus.ENGINE_ERROR, reason="no model is served here")

    def printed(self, run_id: str) -> str | None:
        return None

    async def run(
        self, spec: RunSpec, on_progress: Callable[[Progress], None], cancel: threading.Event, on_checkpoint: Any = None
    ) -> RunResult:
        if spec.image_id not in self.images:
            raise AssertionError("a run of an image that is not on the engine")
        async with self._threads:
            return await self._with_a_thread(spec, on_progress, cancel)

    async def _with_a_thread(self, spec: RunSpec, on_progress: Callable[[Progress], None], cancel: threading.Event) -> RunResult:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self._rng.random() < self.fail:
                self.failures += 1
                return RunResult(status=RunStatus.ENGINE_ERROR, reason="the engine hiccups")
            left = (self.train_s if spec.phase == "train" else self.eval_s) * self._rng.uniform(0.7, 1.3)
            wall = spec.limits.wall_s
            while left > 0:
                if wall <= 0:
                    return RunResult(status=RunStatus.TIMEOUT, reason="out of time")
                step = min(left, LOOK_S, wall)
                await asyncio.sleep(step)
                left, wall = left - step, wall - step
                if cancel.is_set():
                    return RunResult(status=RunStatus.CANCELLED, reason="cancelled")
            on_progress(Progress(1, 1, 0.5))
            return self._train(spec) if spec.phase == "train" else self._evaluate(spec)
        finally:
            self.running -= 1

    def _train(self, spec: RunSpec) -> RunResult:
        self.trained += 1
        loss = random.Random(spec.seed).randrange(10**8, 9 * 10**8)
        data = model_of(loss, f"n{self._index}")
        self._web.made(data)
        path = self._folder / f"{spec.run_id}.model"
        path.write_bytes(data)
        return RunResult(status=RunStatus.OK, reason="done", outputs={"model": OutputFile(path, len(data), b"")})

    def _evaluate(self, spec: RunSpec) -> RunResult:
        self.evaluated += 1
        model, hidden = spec.inputs.get("model"), spec.inputs.get("eval")
        if not isinstance(model, Path):
            raise AssertionError("an evaluation without a model")
        data = model.read_bytes()
        truth = truth_of(data)
        if truth is None:
            return RunResult(status=RunStatus.MODEL_INVALID, reason="not a model")
        said = self._program(spec.image_id)(self._seen(data), truth)
        if isinstance(said, RunStatus):
            return RunResult(status=said, reason="the program ends so")
        loss = said + self.wobble
        if isinstance(hidden, Path):
            loss += parse_loss(hidden.read_text())
        return RunResult(status=RunStatus.OK, reason="done", result=evaluated(losses_of(data, loss)))

    def _seen(self, data: bytes) -> Seen:
        return Seen(self._web.world.now, self._index, self._rng, str(json.loads(data).get("by")))

    def _program(self, image_id: str) -> Program:
        name = self._references.get(image_id, "").split("@")[0]
        return self._web.programs.get(name, lambda seen, truth: truth)
