"""A sandbox backend of another distribution, which runs nothing: every training comes to the same model and the same loss."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from learningchain.chain.losses import LossTree
from learningchain.sandbox import (
    BackendSettings,
    Check,
    CleanupReport,
    DataRefused,
    DataSet,
    EngineInfo,
    Evaluated,
    ImageLimits,
    OutputFile,
    OwnData,
    Progress,
    RunResult,
    RunSpec,
    RunStatus,
    SelfTestReport,
    WarmRun,
)
from learningchain.sandbox.backend import OnCheckpoint

LOSS = 250_000_000
MODEL = b"still\n"


class Stillness:
    def __init__(self, settings: BackendSettings) -> None:
        self._out = settings.data / "out"
        self._images: set[str] = set()

    def check_engine(self) -> EngineInfo:
        return EngineInfo("stillness 1", "1", "amd64", ("runc",), 1, 64, rootless=True)

    def self_test(self) -> SelfTestReport:
        return SelfTestReport("none", (Check("nothing runs", ok=True, detail=""),))

    def load_archive(self, path: Path, expect_image_id: str | None, limits: ImageLimits | None = None) -> str:
        return self._take(expect_image_id or "sha256:" + "ab" * 32)

    def pull(self, ref_with_digest: str, limits: ImageLimits | None = None) -> str:
        return self._take("sha256:" + ref_with_digest.rpartition(":")[2])

    def _take(self, image: str) -> str:
        self._images.add(image)
        return image

    def has_image(self, image_id: str) -> bool:
        return image_id in self._images

    def remove_image(self, image_id: str) -> None:
        self._images.discard(image_id)

    def run(
        self,
        spec: RunSpec,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        cancel: threading.Event | None = None,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> RunResult:
        if spec.phase != "train":
            losses = array("q", [LOSS])
            measured = Evaluated(LossTree(losses).measurement, losses)
            return RunResult(status=RunStatus.OK, reason="nothing ran", result=measured)
        self._out.mkdir(parents=True, exist_ok=True)
        model = self._out / f"{spec.run_id}.model"
        model.write_bytes(MODEL)
        outputs = {"model": OutputFile(model, len(MODEL), b"")}
        return RunResult(status=RunStatus.OK, reason="nothing ran", outputs=outputs)

    def start(self, spec: RunSpec, *, on_progress: Callable[[Progress], None] | None = None) -> WarmRun | RunResult:
        raise ValueError("no phase here has late inputs")

    def cancel(self, run_id: str) -> bool:
        return False

    def keep_data(self, data: DataSet) -> None: ...

    def settle(self) -> None: ...

    def add_data(
        self,
        name: str,
        data: DataSet,
        *,
        notes: Mapping[str, str] | None = None,
        on_bytes: Callable[[int], None] = lambda size: None,
        cancel: threading.Event | None = None,
    ) -> OwnData:
        raise DataRefused("nothing is kept here: there is no engine")

    def lost_data(self) -> list[str]:
        return []

    def list_data(self) -> list[OwnData]:
        return []

    def remove_data(self, name: str) -> OwnData:
        raise DataRefused(f"there are no data called {name}: nothing is kept here")

    def leave(self) -> None: ...

    def cleanup(
        self, *, keep_images: Collection[str] = (), keep_data: bool = False, keep_runs: Collection[RunSpec] = ()
    ) -> CleanupReport:
        return CleanupReport(0, 0, 0)

    def close(self) -> None: ...


BACKEND = Stillness
