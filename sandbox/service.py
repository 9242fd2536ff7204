"""The sandbox as the rest of a node sees it: one object per node, safe to use from several threads.

    check_engine -> cleanup -> self_test -> (load_archive | pull) -> run, run, ... -> cleanup

Removing what a run leaves, and preparing the keeper of the next one, happens on two background threads, so that a run
takes little longer than the program in it. `cleanup` finds everything by label and tag, whoever left it behind.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import msgspec

from sandbox.engine import Engine
from sandbox.errors import BadImage, EngineError, ImageNotFound, SandboxUnavailable
from sandbox.images import ImageBuildError, keeper_image
from sandbox.isolation import NODE_LABEL, RUN_LABEL
from sandbox.keeper import Keeper, KeeperSize, remove_container, remove_volume
from sandbox.runner import Run
from sandbox.selftest import self_test
from sandbox.spec import (
    CleanupReport,
    EngineInfo,
    ImageLimits,
    Progress,
    RunOutcome,
    RunSpec,
    SelfTestReport,
    Status,
)
from sandbox.store import ImageStore

_NODE_TAG = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_MAX_CHORES = 16
_CLEANUP_ROUNDS = 3

log = logging.getLogger("learningchain.sandbox")


class Sandbox:
    """Runs job images on one engine for one node.

    `node_tag` marks everything that this node makes there; it must differ between the nodes that share an engine.
    `cache_dir` keeps the images of the self-test between starts; it may be shared by nodes of one user.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        base_url: str | None = None,
        runtime: str = "runc",
        node_tag: str,
        cache_dir: Path | None = None,
    ) -> None:
        if len(node_tag) > 40 or _NODE_TAG.fullmatch(node_tag) is None:
            raise ValueError(f"node_tag {node_tag!r} must be at most 40 of a-z, 0-9 and single . _ - between them")
        self._dir = data_dir
        self._cache = cache_dir or data_dir / "cache"
        self._runtime = runtime
        self._node_tag = node_tag
        self._engine = Engine(base_url)
        labels = {NODE_LABEL: node_tag, RUN_LABEL: "pull"}
        self._store = ImageStore(self._engine, node_tag, data_dir / "scratch", labels, disk=self._disk)
        self._lock = threading.Lock()
        self._info: EngineInfo | None = None
        self._keeper_image: str | None = None
        self._spare: Keeper | None = None
        self._active: set[str] = set()
        self._chores: set[Future[None]] = set()
        self._janitor = ThreadPoolExecutor(2, thread_name_prefix="sandbox-janitor")

    def check_engine(self) -> EngineInfo:
        """What engine this is. Raises SandboxUnavailable naming what is missing."""
        info = self._engine.info()
        if self._runtime not in info.runtimes:
            known = ", ".join(info.runtimes) or "none"
            raise SandboxUnavailable(
                f"the engine has no runtime {self._runtime!r} (it has: {known}); add it under "
                f"\"runtimes\" in the engine's daemon.json, or choose another runtime in this node's configuration"
            )
        self._info = info
        return info

    def _disk(self) -> Path | None:
        """Where the engine keeps images; None where that is on another machine."""
        folder = self._known_engine().folder
        return Path(folder) if folder and self._engine.local else None

    def _known_engine(self) -> EngineInfo:
        return self._info or self.check_engine()

    def self_test(self) -> SelfTestReport:
        """Tries to break every limit on this engine, with our own image; a limit that gives way is named in the report.

        Takes a few seconds. Raises SandboxUnavailable where there is nothing to test.
        """
        self.check_engine()
        return self_test(self, self._cache, self._runtime)

    def load_archive(self, path: Path, expect_image_id: str | None, limits: ImageLimits | None = None) -> str:
        """Checks a docker-archive and loads it; returns its posted id. Raises BadImage, EngineError,
        SandboxUnavailable."""
        return self._store.load(path, expect_image_id, limits or ImageLimits(), self._known_engine().architecture)

    def pull(self, ref_with_digest: str, limits: ImageLimits | None = None) -> str:
        """Pulls name@sha256:... and returns the posted id. Raises BadImage, ImageNotFound, EngineError."""
        return self._store.pull(ref_with_digest, limits or ImageLimits(), self._known_engine().architecture)

    def has_image(self, image_id: str) -> bool:
        """True where the engine has this image already. Raises EngineError."""
        return self._store.known(image_id)

    def remove_image(self, image_id: str) -> None:
        """Gives up this node's hold on an image. Raises EngineError."""
        self.settle()  # the container of a run that has just ended would keep it
        self._store.remove(image_id)

    def run(
        self,
        spec: RunSpec,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> RunOutcome:
        """Runs a job to its end and returns what it came to; blocks meanwhile.

        `on_progress` is called on this thread, at most ten times a second. Setting `cancel` kills the run at once.
        Raises ValueError where a run of the same run_id is under way.
        """
        with self._lock:
            if spec.run_id in self._active:
                raise ValueError(f"run {spec.run_id} is under way already")
            self._active.add(spec.run_id)
        try:
            return self._run(spec, on_progress, cancel)
        finally:
            with self._lock:
                self._active.discard(spec.run_id)

    def _run(self, spec: RunSpec, on_progress: Callable[[Progress], None] | None, cancel: threading.Event | None) -> RunOutcome:
        if cancel is not None and cancel.is_set():
            return RunOutcome(status=Status.CANCELLED, reason="cancelled before it began")
        try:
            spec = self._within_engine(spec)
            size = _keeper_size(spec)
            spec = msgspec.structs.replace(spec, image_id=self._store.require(spec.image_id))
            keeper = self._take_keeper(size)
        except (BadImage, ImageNotFound, EngineError, SandboxUnavailable, OSError) as problem:
            return RunOutcome(status=Status.ENGINE_ERROR, reason=str(problem))
        name = f"lc-{self._node_tag}-{spec.run_id}"
        run = Run(
            self._engine,
            spec,
            name=name,
            runtime=self._runtime,
            labels=self._labels(spec.run_id),
            out_dir=self._dir / "out",
            on_progress=on_progress,
            cancel=cancel,
        )
        clean = False
        try:
            outcome = run.execute(keeper)
            clean = outcome.status is not Status.ENGINE_ERROR
            return outcome
        finally:
            keeper.let_go()
            if clean:
                self._later(lambda: self._tidy(name, keeper))
                self._later(lambda: self._prepare(keeper.size))
            else:
                # Something may still run: nobody goes on before it is removed, as far as the engine allows.
                self._tidy(name, keeper)

    def _within_engine(self, spec: RunSpec) -> RunSpec:
        """The same run with no more processors than there are: engines refuse to promise more."""
        cpus = min(spec.limits.cpus, float(self._known_engine().cpus))
        return msgspec.structs.replace(spec, limits=msgspec.structs.replace(spec.limits, cpus=cpus))

    def _labels(self, run_id: str) -> dict[str, str]:
        return {NODE_LABEL: self._node_tag, RUN_LABEL: run_id}

    def _take_keeper(self, size: KeeperSize) -> Keeper:
        """The waiting keeper where it fits, else a new one."""
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            if spare.size == size and spare.running():
                return spare
            self._later(lambda: _report(spare.close()))
        return self._open_keeper(size)

    def _open_keeper(self, size: KeeperSize) -> Keeper:
        name = f"lc-{self._node_tag}-keeper-{os.urandom(6).hex()}"
        return Keeper.open(
            self._engine,
            name=name,
            image_id=self._store.require(self._ensure_keeper_image()),
            runtime=self._runtime,
            rootless=self._known_engine().rootless,
            size=size,
            labels=self._labels("keeper"),
        )

    def _ensure_keeper_image(self) -> str:
        with self._lock:
            if self._keeper_image is None:
                machine = self._known_engine().architecture
                try:
                    path, image = keeper_image(self._cache, machine)
                except ImageBuildError as problem:
                    raise SandboxUnavailable(f"the keeper's image cannot be made: {problem}") from problem
                self._keeper_image = self._store.load(path, image, ImageLimits(), machine)
            return self._keeper_image

    def _tidy(self, name: str, keeper: Keeper) -> None:
        """Removes a finished run's objects."""
        _report(remove_container(self._engine, name) + keeper.close())

    def _prepare(self, size: KeeperSize) -> None:
        """Gets a keeper ready for the next run, where none waits."""
        with self._lock:
            if self._spare is not None:
                return
        try:
            spare = self._open_keeper(size)
        except (EngineError, ImageNotFound, SandboxUnavailable) as problem:
            log.warning("no keeper could be prepared: %s", problem)
            return
        with self._lock:
            self._spare, left_over = spare, self._spare
        if left_over is not None:
            _report(left_over.close())

    def _later(self, chore: Callable[[], None]) -> None:
        """Hands work to the janitor; does it here where the janitor is far behind or has gone."""
        with self._lock:
            self._chores = {future for future in self._chores if not future.done()}
            behind = len(self._chores) >= _MAX_CHORES
            if not behind:
                try:
                    self._chores.add(self._janitor.submit(chore))
                    return
                except RuntimeError:
                    pass  # closed
        chore()

    def settle(self) -> None:
        """Waits until the janitor has done what it has to do."""
        with self._lock:
            chores = set(self._chores)
        wait(chores)

    def cleanup(self, *, keep_images: Collection[str] = ()) -> CleanupReport:
        """Removes every container, volume and image that a node of this tag made, also before it was killed.

        Runs of this node that are under way are killed by it. Images in `keep_images` stay. Raises EngineError where
        the engine does not answer; what it refuses to remove is in the report.
        """
        self.settle()
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.let_go()
        problems: list[str] = []
        mine = {"label": f"{NODE_LABEL}={self._node_tag}"}
        containers = self._engine.call("listing containers", lambda api: api.containers(all=True, filters=mine))
        for facts in containers:
            problems += remove_container(self._engine, facts["Id"])
        volumes: list[Any] = self._engine.call("listing volumes", lambda api: api.volumes(filters=mine)).get("Volumes") or []
        for facts in volumes:
            problems += remove_volume(self._engine, facts["Name"])
        keep = set(keep_images)
        with self._lock:
            if self._keeper_image is not None and self._keeper_image not in keep:
                self._keeper_image = None
        images, more = self._store.remove_all(keep)
        return CleanupReport(len(containers), len(volumes), images, tuple(problems + more))

    def close(self) -> None:
        """Removes containers and volumes of this node and stops the janitor; images stay for the next start."""
        self.settle()
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            _report(spare.close())
        self._janitor.shutdown(wait=True)


def _keeper_size(spec: RunSpec) -> KeeperSize:
    total = sum(path.stat().st_size for path in (spec.model, spec.eval_file) if path is not None)
    return KeeperSize.for_inputs(total, spec.limits.model_cap)


def _report(problems: list[str]) -> None:
    for problem in problems:
        log.warning("left behind until the next clean-up: %s", problem)
