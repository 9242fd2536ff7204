"""A sandbox in virtual time: `client.work.engine.Engine` whose runs take as long as the plan says.

A model is the JSON text of the loss that it has. Evaluating it gives that loss, off by the little by which honest machines differ,
and a probe loss that nobody knows without the model and the probe.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from chain.contracts.job.rules import MAX_LOSS
from chain.types import format_loss, parse_loss
from sandbox import EvaluationResult, ImageLimits, OutputFile, Progress, RunResult, RunSpec, RunStatus, SandboxError
from tests.sim.market.content import Web

LOOK_S = 0.25
"""How often a run looks whether it was cancelled."""
WOBBLE = 4
"""Loss units by which a machine may be off: two of them differ by less than the smallest tolerance."""
NOTHING = -MAX_LOSS - 1
NOBODY = "nobody/has-it@sha256:" + "00" * 32
"""An image that cannot be pulled."""


def model_of(loss: int, made_by: str) -> bytes:
    return json.dumps({"loss": format_loss(loss), "by": made_by}).encode()


def truth_of(data: bytes) -> int | None:
    """The loss that a model really has, None for what is no model."""
    try:
        return parse_loss(json.loads(data)["loss"])
    except (ValueError, KeyError, TypeError):
        return None


def probe_loss(loss: int, probe: int) -> int:
    """The loss over the examples that the probe selects: another for every probe."""
    drawn = hashlib.sha256(b"%d" % probe).digest()
    return loss + int.from_bytes(drawn[:4], "big")


class SimEngine:
    """`fail`: how often the engine fails for no reason of the job's."""

    def __init__(self, web: Web, index: int, folder: Path, rng: random.Random, fail: float, train_s: float, eval_s: float) -> None:
        self._web, self._index, self._folder, self._rng = web, index, folder, rng
        self.fail, self.train_s, self.eval_s = fail, train_s, eval_s
        folder.mkdir(parents=True, exist_ok=True)
        self.images: set[str] = set()
        self.wobble = rng.randint(-WOBBLE, WOBBLE)
        self.running = self.most = self.trained = self.evaluated = self.failures = 0

    def lost_power(self) -> None:
        self.running = 0

    async def prepare(self, keep_images: Collection[str]) -> dict[str, Any]:
        await asyncio.sleep(0.05)
        self.images &= set(keep_images)
        return {"ok": True, "checks": []}

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
        return image

    async def has_image(self, image_id: str) -> bool:
        return image_id in self.images

    async def remove(self, image_id: str) -> None:
        self.images.discard(image_id)

    async def close(self) -> None:
        return None

    async def run(self, spec: RunSpec, on_progress: Callable[[Progress], None], cancel: threading.Event) -> RunResult:
        if spec.image_id not in self.images:
            raise AssertionError("a run of an image that is not on the engine")
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
        return RunResult(
            status=RunStatus.OK, reason="done", result=EvaluationResult(1, 1), outputs={"model": OutputFile(path, len(data), b"")}
        )

    def _evaluate(self, spec: RunSpec) -> RunResult:
        self.evaluated += 1
        model, hidden = spec.inputs.get("model"), spec.inputs.get("eval")
        if not isinstance(model, Path):
            raise AssertionError("an evaluation without a model")
        truth = truth_of(model.read_bytes())
        if truth is None:
            return RunResult(status=RunStatus.MODEL_INVALID, reason="not a model")
        loss = truth + self.wobble
        if isinstance(hidden, Path):
            loss += parse_loss(hidden.read_text())
        return RunResult(status=RunStatus.OK, reason="done", result=EvaluationResult(loss, 9, probe_loss(loss, spec.probe)))
