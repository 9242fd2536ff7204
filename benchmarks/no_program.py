"""A sandbox backend that starts no container: `local` and `evaluate` of a federation are a few sums in a thread of the node.

So a round of real nodes is measured without the programs that sponsors write, and without an engine.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from learningchain.chain.losses import LossTree
from learningchain.sandbox import BackendSettings, Evaluated, OutputFile, OwnData, Progress, RunResult, RunSpec, RunStatus
from learningchain.sandbox.backend import OnCheckpoint
from tests.toy.stillness import Stillness

DATA = "rows"
"""The own data that every node has."""
STEP, NOISE = 0.05, 0.002
EXAMPLES = 64


class NoProgram(Stillness):
    """`local` goes a part of the way to ones, each owner a little beside it; `evaluate` says how far the model is from them."""

    def __init__(self, settings: BackendSettings) -> None:
        super().__init__(settings)
        self._tag = sha256(settings.node_tag.encode()).digest()
        self._rng = np.random.default_rng(list(self._tag))

    def lost_data(self) -> list[str]:
        return []

    def list_data(self) -> list[OwnData]:
        return [OwnData(name=DATA, digest=self._tag, size=1, files=1)]

    def run(
        self,
        spec: RunSpec,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        cancel: threading.Event | None = None,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> RunResult:
        if spec.phase not in ("local", "evaluate"):
            return super().run(spec, on_progress=on_progress, cancel=cancel)
        model = spec.inputs["model"]
        if not isinstance(model, Path):
            return RunResult(status=RunStatus.NOT_STARTED, reason="the model is no file")
        raw = model.read_bytes()
        start = 8 + int.from_bytes(raw[:8], "little")
        values = np.frombuffer(raw, "<f4", offset=start)
        if spec.phase == "evaluate":
            return _measured(values)
        noise = self._rng.normal(0, NOISE, len(values))
        moved = raw[:start] + (values + STEP * (1 - values) + noise).astype("<f4").tobytes()
        self._out.mkdir(parents=True, exist_ok=True)
        path = self._out / f"{spec.run_id}.model"
        path.write_bytes(moved)
        return RunResult(
            status=RunStatus.OK, reason="nothing ran", outputs={"model": OutputFile(path, len(moved), b"")}, result=_losses(values)
        )


def _losses(values: Any) -> Evaluated:
    far = (values[:EXAMPLES].astype(np.float64) - 1) ** 2
    losses = array("q", [int(one) for one in far * 1e9])
    return Evaluated(LossTree(losses).measurement, losses)


def _measured(values: Any) -> RunResult:
    return RunResult(status=RunStatus.OK, reason="nothing ran", result=_losses(values))


BACKEND = NoProgram
