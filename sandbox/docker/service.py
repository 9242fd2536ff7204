"""The sandbox as the rest of a node sees it: one object per node, safe to use from several threads.

    check_engine -> cleanup -> self_test -> (load_archive | pull) -> run, run, ... -> cleanup

Removing what a run leaves, and preparing the sidecar of the next one, happens on two background threads, so that a run
takes little longer than the program in it. `cleanup` finds everything by label and tag, whoever left it behind.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import msgspec

from learningchain.sandbox.backend import OnCheckpoint, WarmRun
from learningchain.sandbox.data import MAX_DATA_BYTES, DataSet, KnownSet, KnownSets, OnBytes, OwnData, joined, measure
from learningchain.sandbox.docker.adoption import Adopted, Adoptions
from learningchain.sandbox.docker.checkpoints import EVERY_S, CheckpointCopier
from learningchain.sandbox.docker.devices import DeviceEdits, edits_of, why_no_devices
from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.docker.isolation import NODE_LABEL, OWN_LABEL, RUN_LABEL, is_gvisor
from learningchain.sandbox.docker.reaper import LEAVE_S, Reaper
from learningchain.sandbox.docker.reaper_program import STAYS_LABEL
from learningchain.sandbox.docker.runner import ContainerRun
from learningchain.sandbox.docker.selftest import self_test
from learningchain.sandbox.docker.shelf import DataShelf
from learningchain.sandbox.docker.sidecar import Sidecar, SidecarSize, remove_container, remove_volume
from learningchain.sandbox.docker.store import IMAGES_CAP, ImageStore
from learningchain.sandbox.docker.volumes import KEPT_BYTES, DataVolumes, Maker
from learningchain.sandbox.docker.warm import Placed, Warm
from learningchain.sandbox.errors import BadImage, DataRefused, DeviceRefused, EngineError, ImageNotFound, SandboxUnavailable
from learningchain.sandbox.image_writer import ImageBuildError
from learningchain.sandbox.images import sidecar_image
from learningchain.sandbox.phases import CHECKPOINT, PHASES, SETS
from learningchain.sandbox.progress import Progress
from learningchain.sandbox.spec import (
    MIB,
    Check,
    CleanupReport,
    EngineInfo,
    ImageLimits,
    RunResult,
    RunSpec,
    RunStatus,
    SelfTestReport,
    dump_run,
    on_disk,
)

_NODE_TAG = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_MAX_CHORES = 16
DISK_FROM = 64 * MIB
"""Inputs of so many bytes lie on the engine's disk, smaller ones in its memory."""
MAX_WARM = 64
"""Runs of phases with late inputs at a time: each holds memory, also while nobody uses it."""

log = logging.getLogger("learningchain.sandbox")


class Sandbox:
    """Runs job images on one engine for one node.

    `node_tag` marks everything that this node makes there; it must differ between the nodes that share an engine.
    `cache_dir` keeps the images of the self-test between starts; it may be shared by nodes of one user.
    `data_cap`: most bytes of the owner's own data in all, `images_cap` of images, `sets_cap` of what lies on the engine's disk
    for runs. `devices`: those that runs may be given. `leave_s`: how long what may outlive the node waits for its next start.
    `checkpoint_s`: how often a run's checkpoint is looked at.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        base_url: str | None = None,
        runtime: str = "runc",
        node_tag: str,
        cache_dir: Path | None = None,
        disk_from: int = DISK_FROM,
        data_cap: int = MAX_DATA_BYTES,
        images_cap: int = IMAGES_CAP,
        sets_cap: int = KEPT_BYTES,
        devices: Collection[str] = (),
        leave_s: float = LEAVE_S,
        checkpoint_s: float = EVERY_S,
        engine: Engine | None = None,
    ) -> None:
        if len(node_tag) > 40 or _NODE_TAG.fullmatch(node_tag) is None:
            raise ValueError(f"node_tag {node_tag!r} must be at most 40 of a-z, 0-9 and single . _ - between them")
        self._dir = data_dir
        self._cache = cache_dir or data_dir / "cache"
        self._runtime = runtime
        self._node_tag = node_tag
        self._offered = tuple(sorted(devices))
        self._engine = engine or Engine(base_url)
        self._reaper = Reaper(base_url or (self._engine.context.url if self._engine.context else ""), node_tag, data_dir, leave_s)
        self._leave_s, self._leaving = leave_s, threading.Event()
        self._checkpoint_s = checkpoint_s
        self._left = False
        """Whether a run goes on without this process."""
        self._adoptions, self._unclaimed = Adoptions(self._engine, self, runtime), list[threading.Timer]()
        labels = {NODE_LABEL: node_tag, RUN_LABEL: "pull"}
        self._store = ImageStore(self._engine, node_tag, data_dir / "scratch", labels, disk=self._disk, cap=images_cap)
        self._disk_from = disk_from
        self._data = DataVolumes(self._engine, self.labels("data"), self._maker, self._disk, sets_cap)
        self._own = DataShelf(self._engine, self.labels("data"), self._maker, self._disk, data_dir / "data", data_cap)
        self._lock = threading.Lock()
        self._info: EngineInfo | None = None
        self._sidecar_image: str | None = None
        self._spare: Sidecar | None = None
        self._closed = False
        self._active: dict[str, threading.Event] = {}
        self._printing: dict[str, ContainerRun] = {}
        """The runs under way, and what kills each."""
        self._warm: set[Warm] = set()
        self._waiting: set[str] = set()
        """The runs that are warm, or on their way there, or had their inputs and have not ended."""
        self._chores: set[Future[None]] = set()
        self._tidying: dict[str, Future[None]] = {}
        """The containers of ended runs that are still to be removed, by their names."""
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
        return msgspec.structs.replace(info, devices=tuple(map(self._known_device, self._offered)))

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
        engine = self.check_engine()
        whole = engine.cpus if engine.whole_processors else 0
        return self_test(self, self._cache, self._dir / "scratch", self._runtime, self._offered, whole)

    def _known_device(self, device: str) -> Check:
        try:
            edits = self.edits_of(device)
        except DeviceRefused as refused:
            return Check(device, False, str(refused))
        return Check(device, True, f"it brings {', '.join((*edits.nodes, *edits.mounts))}, by {edits.source}")

    def edits_of(self, device: str) -> DeviceEdits:
        """What a device brings into a container, as the engine's files have it now. Raises DeviceRefused."""
        info = self._known_engine()
        if device not in self._offered:
            raise DeviceRefused(device, "the owner of this node does not offer it", "work.gpus has those that are offered")
        if is_gvisor(self._runtime):
            raise DeviceRefused(device, f"the runtime {self._runtime} gives none", "Set sandbox.runtime to runc, or offer none")
        if why := why_no_devices(info):
            raise DeviceRefused(device, why, "Or offer none: work.gpus")
        if not self._engine.local:
            raise DeviceRefused(device, "the engine is on another machine, whose CDI files cannot be read", "Run the node there")
        return edits_of(device, info.device_folders)

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
        on_checkpoint: OnCheckpoint | None = None,
        cancel: threading.Event | None = None,
    ) -> RunResult:
        """Runs a job to its end and returns what it came to; blocks meanwhile.

        `on_progress` is called on this thread, at most ten times a second, and so is `on_checkpoint`, a few times an hour. Setting
        `cancel` kills the run at once.
        Raises ValueError where a run of the same run_id is under way.
        """
        late = {file.name for file in spec.row.inputs if file.late}
        if late:
            given = {name: path for name, path in spec.inputs.items() if name in late and isinstance(path, Path)}
            rest = {name: path for name, path in spec.inputs.items() if name not in late}
            warm = self._begin(msgspec.structs.replace(spec, inputs=rest), on_progress, cancel)
            return warm if isinstance(warm, RunResult) else warm.finish(given)
        cancel = self._enter(spec, cancel)
        try:
            if spec.stays and self._leaving.is_set():
                return RunResult(status=RunStatus.CANCELLED, reason="it is the next start's", left=True)
            before = self._adoptions.claim(spec)
            place = self._place(spec, on_progress, cancel, before, on_checkpoint)
            if isinstance(place, RunResult):
                if before is not None:
                    self._adoptions.end(before)
                return place
            result: RunResult | None = None
            try:
                if before is None:
                    result = place.run.execute(place.sidecar)
                else:
                    result = place.run.resume(place.sidecar, before.until)
                return result
            finally:
                self._leave(place, result)
        finally:
            self._exit(spec)

    def leave(self) -> None:
        """Lets go of the runs that stay: they go on, and `run` returns with a result that says so. For a node that is about to
        close, and to start again within `leave_s` seconds."""
        self._leaving.set()

    def start(
        self,
        spec: RunSpec,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> WarmRun | RunResult:
        """Starts a run of a phase with late inputs; returns when it is ready for them, or with its result where it ended before.

        It ends by itself after `warm.WARM_S` seconds. Raises ValueError for another phase, for late inputs that are given already,
        and where a run of the same run_id is under way.
        """
        if not spec.row.waits or any(file.late and file.name in spec.inputs for file in spec.row.inputs):
            raise ValueError(f"a run of phase {spec.phase!r} with these inputs waits for nothing")
        return self._begin(spec, on_progress, cancel)

    def cancel(self, run_id: str) -> bool:
        """Kills a run; false where none of this id is under way."""
        with self._lock:
            cancel = self._active.get(run_id)
            warm = next((warm for warm in self._warm if warm.run_id == run_id), None)
        if cancel is None:
            return False
        cancel.set()
        if warm is not None:
            warm.close()
        return True

    def printed(self, run_id: str) -> str | None:
        """The end of what a run has printed so far; None where none of this id runs."""
        with self._lock:
            run = self._printing.get(run_id)
        return None if run is None else run.printed()

    def memory(self, run_id: str) -> int | None:
        """Bytes of memory that a run holds now, without what the kernel would drop first; None where none of this id runs."""
        found = self._stats(run_id).get("memory_stats", {})
        if "usage" not in found:
            return None
        # The first name is that of control groups of version 1, the second that of version 2.
        dropped = found.get("stats", {}).get("total_inactive_file", found.get("stats", {}).get("inactive_file", 0))
        return max(0, int(found["usage"]) - int(dropped))

    def _computed(self, run_id: str) -> float | None:
        """Processor seconds that a run has used; None where none of this id runs."""
        used = self._stats(run_id).get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage")
        return None if used is None else int(used) / 1e9

    def _stats(self, run_id: str) -> dict[str, Any]:
        with self._lock:
            if run_id not in self._active:
                return {}
        name = self.container(run_id)
        try:
            seen = self._engine.call("looking at a run", lambda api: api.stats(name, stream=False, one_shot=True), attempts=1)
        except EngineError:  # its container is not there yet, or not any more
            return {}
        return dict(seen)

    def _begin(
        self, spec: RunSpec, on_progress: Callable[[Progress], None] | None, cancel: threading.Event | None
    ) -> Warm | RunResult:
        event = self._enter(spec, cancel)
        warm: Warm | None = None
        try:
            with self._lock:
                if len(self._waiting) >= MAX_WARM:
                    return RunResult(status=RunStatus.ENGINE_ERROR, reason=f"{MAX_WARM} runs wait for their inputs already")
                self._waiting.add(spec.run_id)
            place = self._place(spec, on_progress, event)
            if isinstance(place, RunResult):
                return place
            result: RunResult | None = None
            try:
                result = place.run.warm_up(place.sidecar)
                if result is not None:
                    return result
                warm = Warm(spec, place, self._cooled, lambda: self._computed(spec.run_id))
            finally:
                if warm is None:
                    self._leave(place, result)
            with self._lock:
                self._warm.add(warm)
            return warm
        finally:
            if warm is None:
                self._exit(spec)

    def _cooled(self, warm: Warm, spec: RunSpec, place: Placed, result: RunResult | None) -> None:
        """A warm run is over, used or not."""
        place.run.let_go()
        self._leave(place, result)
        with self._lock:
            self._warm.discard(warm)
        self._exit(spec)

    def _enter(self, spec: RunSpec, cancel: threading.Event | None) -> threading.Event:
        with self._lock:
            if spec.run_id in self._active:
                raise ValueError(f"run {spec.run_id} is under way already")
            event = self._active.setdefault(spec.run_id, cancel or threading.Event())
            tidying = self._tidying.get(self.container(spec.run_id))
        if tidying is not None:  # it would remove the new container, which has the same name
            wait({tidying})
        return event

    def container(self, run_id: str) -> str:
        """The name of a run's container."""
        return f"lc-{self._node_tag}-{run_id}"

    def _exit(self, spec: RunSpec) -> None:
        with self._lock:
            self._active.pop(spec.run_id, None)
            self._printing.pop(spec.run_id, None)
            self._waiting.discard(spec.run_id)

    def _place(
        self,
        spec: RunSpec,
        on_progress: Callable[[Progress], None] | None,
        cancel: threading.Event,
        before: Adopted | None = None,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> Placed | RunResult:
        """Everything that a run needs but its container; the result where that is not to be had. `before`: it has a sidecar."""
        if cancel.is_set():
            return RunResult(status=RunStatus.CANCELLED, reason="cancelled before it began")
        held: list[DataSet | OwnData | KnownSet] = []
        sidecar: Sidecar | None = None
        placed = False
        try:
            self._reaper.ensure()
            spec = self.within_engine(spec)
            in_memory, there = self._parted(spec) if before is None else ({}, [])
            for device in spec.devices:
                self.edits_of(device)
            size = SidecarSize.of(spec, sum(path.stat().st_size for path in in_memory.values()))
            loaded = self._store.require(spec.image_id)
            folders = []
            for data in there:
                folders.append(self._own.hold(data) if isinstance(data, OwnData) else self._data.hold(data))
                held.append(data)
            if before is not None:
                held += before.held
            sidecar = before.sidecar if before is not None else self._take_sidecar(size)
            if folders:
                sidecar.show(folders, self.labels(spec.run_id))
            run = ContainerRun(
                self._engine,
                msgspec.structs.replace(spec, image_id=loaded),
                name=self.container(spec.run_id),
                runtime=self._runtime,
                labels=self.job_labels(spec),
                out_dir=self._dir / "out",
                files=in_memory,
                on_progress=on_progress,
                cancel=cancel,
                leave=self._leaving if spec.stays else None,
                stay_s=self._leave_s,
                copier=self._copier(spec, sidecar, on_checkpoint),
            )
            with self._lock:
                self._printing[spec.run_id] = run
            placed = True
            return Placed(run, sidecar, held)
        except (BadImage, DataRefused, DeviceRefused, ImageNotFound, EngineError, SandboxUnavailable, OSError) as problem:
            return RunResult(status=RunStatus.ENGINE_ERROR, reason=str(problem))
        except ValueError as problem:
            return RunResult(status=RunStatus.NOT_STARTED, reason=f"the posting cannot be run: {problem}")
        finally:
            if not placed:
                _report(sidecar.close() if sidecar is not None else [])
                self.release(held)

    def _copier(self, spec: RunSpec, sidecar: Sidecar, keep: OnCheckpoint | None) -> CheckpointCopier | None:
        cap = min(spec.row.checkpoint_cap(spec.limits.model_cap), spec.limits.file_cap)
        path = self._dir / "out" / f"{spec.run_id}.{CHECKPOINT}"
        return CheckpointCopier(sidecar, path, cap, keep, every_s=self._checkpoint_s) if keep is not None and cap else None

    def _parted(self, spec: RunSpec) -> tuple[dict[str, Path], list[DataSet | OwnData]]:
        """A run's inputs: those for the memory, and those for the disk, each under the name that the job knows, in the row's order:
        a job finds its folder the same whoever listed its inputs.

        A phase with late inputs has all of them in memory: what a job sees of the disk is fixed when it starts.
        """
        in_memory: dict[str, Path] = {}
        there: list[DataSet | OwnData] = []
        for name, given in ((file.name, spec.inputs[file.name]) for file in spec.row.inputs if file.name in spec.inputs):
            if isinstance(given, OwnData):
                there.append(given)
            elif isinstance(given, DataSet):
                there += on_disk(name, given)
            elif isinstance(given, KnownSets):
                raise EngineError("giving a run its data", "they are gone with the run of an earlier process: it has to begin anew")
            elif given.stat().st_size >= self._disk_from and not spec.row.waits:
                there.append(DataSet((measure(name, given),)))
            else:
                in_memory[name] = given
        if there and spec.row.waits:
            raise ValueError("a phase with late inputs takes no data set")
        return in_memory, there

    def _leave(self, place: Placed, result: RunResult | None) -> None:
        """Removes what a run leaves; at once where something may still run, as far as the engine allows. Nothing of one that goes
        on."""
        place.sidecar.let_go()
        if result is not None and result.left:
            self._left = True
        elif result is not None and result.status is not RunStatus.ENGINE_ERROR:
            tidying = self._later(lambda: self._tidy(place))
            if tidying is not None:
                with self._lock:
                    self._tidying = {name: future for name, future in self._tidying.items() if not future.done()}
                    self._tidying[place.run.name] = tidying
            self._later(lambda: self._prepare(place.sidecar.size))
        else:
            self._tidy(place)

    def release(self, held: Sequence[DataSet | OwnData | KnownSet]) -> None:
        """A run that used them has ended."""
        for data in held:
            if isinstance(data, OwnData):
                self._own.release(data)
            else:
                _report(self._data.release(data))

    def hold_again(self, sets: Sequence[KnownSet], folders: Sequence[str]) -> list[str]:
        """The volumes of the data of a run that goes on. Raises EngineError."""
        return self._data.hold_again(sets, folders)

    def let_go_of(self, sets: Sequence[KnownSet]) -> None:
        """The run goes on, for another process."""
        self._data.let_go(sets)

    def keep_data(self, data: DataSet) -> None:
        """Brings a data set to the engine's disk before a run needs it, under each name that a phase's row has for one; published
        sets have names of their own, and come with their runs.

        It stays as long as few enough others come after it. Raises EngineError, OSError, SandboxUnavailable.
        """
        for name in sorted({file.name for row in PHASES.values() for file in row.inputs if file.folder and not file.own} - {SETS}):
            self._data.hold(data.below(name))
            self.release([data.below(name)])

    def keep_set(self, name: str, data: DataSet) -> None:
        """Brings a published set to the engine's disk, where runs find it under this name, before a run needs it: each of its files
        is read once, and compared with what the set says of it. Raises EngineError, SandboxUnavailable, and OSError for one that is
        not so."""
        for part in on_disk(SETS, joined({name: data})):
            self._data.keep(part)

    def add_data(
        self,
        name: str,
        data: DataSet,
        *,
        notes: Mapping[str, str] | None = None,
        on_bytes: OnBytes = lambda size: None,
        cancel: threading.Event | None = None,
    ) -> OwnData:
        """Keeps the owner's own data under a name until they are removed, also when the node stops. Runs of `local` get them, and
        no other run. `on_bytes` is told of each piece that was sent. A kill on the way leaves nothing that counts.

        Raises ValueError for the name, DataRefused, EngineError, OSError, SandboxUnavailable.
        """
        return self._own.add(name, data, notes=notes or {}, on_bytes=on_bytes, cancel=cancel)

    def list_data(self) -> list[OwnData]:
        """The owner's own data by name. Asks no engine. Raises OSError."""
        return self._own.listed()

    def lost_data(self) -> list[str]:
        return self._own.lost()

    def remove_data(self, name: str) -> OwnData:
        """Removes own data that no run uses. Raises ValueError for the name, DataRefused, EngineError, OSError."""
        self.settle()  # a run that has just ended would hold them
        return self._own.remove(name)

    def _maker(self) -> Maker:
        return Maker(self._store.require(self._ensure_sidecar_image()), self._runtime, self._known_engine().rootless)

    def require_image(self, image_id: str) -> str:
        """What the engine calls an image of this node. Raises ImageNotFound, EngineError."""
        return self._store.require(image_id)

    def within_engine(self, spec: RunSpec) -> RunSpec:
        """The same run with no more processors than there are: engines refuse to promise more."""
        there, limits = self._known_engine().cpus, spec.limits
        within = msgspec.structs.replace(limits, cpus=min(limits.cpus, float(there)), processors=min(limits.processors, there))
        return msgspec.structs.replace(spec, limits=within)

    def labels(self, run_id: str) -> dict[str, str]:
        return {NODE_LABEL: self._node_tag, RUN_LABEL: run_id}

    def job_labels(self, spec: RunSpec) -> dict[str, str]:
        """What every run's container carries, beside its deadline; `spec` as within this engine. Of a run that stays its order too:
        parameters and budget are in no other setting."""
        return self.labels(spec.run_id) | ({STAYS_LABEL: hashlib.sha256(dump_run(spec)).hexdigest()} if spec.stays else {})

    def _take_sidecar(self, size: SidecarSize) -> Sidecar:
        """The waiting sidecar where it fits, else a new one."""
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            if spare.size == size and spare.running():
                return spare
            self._later(lambda: _report(spare.close()))
        return self._open_sidecar(size)

    def _open_sidecar(self, size: SidecarSize) -> Sidecar:
        name, maker = f"lc-{self._node_tag}-sidecar-{os.urandom(6).hex()}", self._maker()
        return Sidecar.open(
            self._engine,
            name=name,
            image_id=maker.image_id,
            runtime=maker.runtime,
            rootless=maker.rootless,
            size=size,
            labels=self.labels("sidecar"),
        )

    def _ensure_sidecar_image(self) -> str:
        with self._lock:
            if self._sidecar_image is None:
                machine = self._known_engine().architecture
                try:
                    path, image = sidecar_image(self._cache, machine)
                except ImageBuildError as problem:
                    raise SandboxUnavailable(f"the sidecar's image cannot be made: {problem}") from problem
                except OSError as problem:
                    raise SandboxUnavailable(
                        f"images cannot be kept in {self._cache}: {problem.strerror}. Let this user write there, or name another "
                        "folder: learningchain config set sandbox.cache_dir FOLDER"
                    ) from problem
                self._sidecar_image = self._store.load(path, image, ImageLimits(), machine)
                self._store.keep(self._sidecar_image)
            return self._sidecar_image

    def _tidy(self, place: Placed) -> None:
        """Removes a finished run's objects."""
        _report(remove_container(self._engine, place.run.name) + place.sidecar.close())
        self.release(place.held)

    def _prepare(self, size: SidecarSize) -> None:
        """Gets a sidecar ready for the next run, where none waits and this is not closed."""
        with self._lock:
            if self._spare is not None or self._closed:
                return
        try:
            spare = self._open_sidecar(size)
        except (EngineError, ImageNotFound, SandboxUnavailable) as problem:
            log.warning("no sidecar could be prepared: %s", problem)
            return
        with self._lock:
            if self._closed:
                left_over: Sidecar | None = spare
            else:
                self._spare, left_over = spare, self._spare
        if left_over is not None:
            _report(left_over.close())

    def _later(self, chore: Callable[[], None]) -> Future[None] | None:
        """Hands work to the janitor; does it here, and returns None, where the janitor is far behind or has gone."""
        with self._lock:
            self._chores = {future for future in self._chores if not future.done()}
            behind = len(self._chores) >= _MAX_CHORES
            if not behind:
                try:
                    future = self._janitor.submit(chore)
                    self._chores.add(future)
                    return future
                except RuntimeError:
                    pass  # closed
        chore()
        return None

    def settle(self) -> None:
        """Waits until the janitor has done what it has to do."""
        with self._lock:
            chores = set(self._chores)
        wait(chores)

    def cleanup(
        self, *, keep_images: Collection[str] = (), keep_data: bool = False, keep_runs: Collection[RunSpec] = ()
    ) -> CleanupReport:
        """Removes every container, volume and image that a node of this tag made, also before it was killed.

        Runs of this node that are under way are killed by it. Those in `keep_runs`, which an earlier process began, stay for `run`,
        and end after `leave_s` seconds in which nobody asked for them. Images in `keep_images` stay; with `keep_data` the owner's
        own data do, as far as they are whole. Raises EngineError where the engine does not answer; what it refuses to remove is in
        the report.
        """
        self._close_warm()
        self.settle()
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.let_go()
        _report(self._data.clear())
        adopted, lost = self._adopt(keep_runs)
        spared = {name for one in adopted for name in (one.name, one.sidecar.name, *one.sidecar.volumes, *one.volumes)}
        problems: list[str] = []
        mine = {"label": f"{NODE_LABEL}={self._node_tag}"}
        problems += self._own.sweep()
        found = self._engine.call("listing containers", lambda api: api.containers(all=True, filters=mine))
        found = [facts for facts in found if not spared & {name.removeprefix("/") for name in facts.get("Names") or ()}]
        containers = [facts for facts in found if not (keep_data and OWN_LABEL in (facts.get("Labels") or {}))]
        for facts in containers:
            problems += remove_container(self._engine, facts["Id"])
        there: list[Any] = self._engine.call("listing volumes", lambda api: api.volumes(filters=mine)).get("Volumes") or []
        there = [facts for facts in there if facts["Name"] not in spared]
        volumes = [facts for facts in there if not (keep_data and OWN_LABEL in (facts.get("Labels") or {}))]
        for facts in volumes:
            problems += remove_volume(self._engine, facts["Name"])
        if not keep_data:
            self._own.clear()
        keep = {*keep_images, *(one.spec.image_id for one in adopted)}
        if adopted or len(containers) < len(found):  # somebody brings data: what its filler is made of stays
            keep.add(self._ensure_sidecar_image())
        with self._lock:
            if self._sidecar_image is not None and self._sidecar_image not in keep:
                self._sidecar_image = None
        images, more, kept = self._store.remove_all(keep)
        runs = tuple(one.spec.run_id for one in adopted)
        return CleanupReport(len(containers), len(volumes), images, tuple(problems + more), tuple(kept), runs, tuple(lost))

    def _adopt(self, specs: Collection[RunSpec]) -> tuple[list[Adopted], list[str]]:
        """Those that go on wait for `run`, but not longer than for a node to come back."""
        self._adoptions.let_go()
        if not specs:
            return [], []
        self._reaper.ensure()
        adopted, lost = self._adoptions.adopt(specs)
        for one in adopted:
            one.sidecar.stay(self._leave_s)
        timer = threading.Timer(self._leave_s, self._adoptions.end_all)
        timer.daemon = True
        timer.start()
        self._unclaimed.append(timer)
        return adopted, lost

    def open_beside(self, spec: RunSpec, uid: int, volume: str) -> Sidecar:
        """A sidecar for a run of an earlier process, beside the one that it had."""
        name, maker = f"lc-{self._node_tag}-sidecar-{os.urandom(6).hex()}", self._maker()
        return Sidecar.beside(
            self._engine,
            name=name,
            image_id=maker.image_id,
            runtime=maker.runtime,
            size=SidecarSize.of(spec),
            labels=self.labels("sidecar"),
            uid=uid,
            volume=volume,
            view=bool(spec.inputs),
        )

    def close(self) -> None:
        """Removes containers and volumes of this node and stops the janitor; images stay for the next start, and what was left goes
        on."""
        with self._lock:
            self._closed = True
        self._close_warm()
        self.settle()
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            _report(spare.close())
        _report(self._data.clear())
        for timer in self._unclaimed:
            timer.cancel()
            timer.join()
        if self._leaving.is_set():
            self._left = self._adoptions.let_go() or self._left
        self._adoptions.end_all()
        self._janitor.shutdown(wait=True)
        self._reaper.close(left=self._left)

    def _close_warm(self) -> None:
        with self._lock:
            warm = list(self._warm)
            for run_id in self._waiting:  # also those that are not ready yet
                self._active[run_id].set()
        for run in warm:
            run.close()


def _report(problems: list[str]) -> None:
    for problem in problems:
        log.warning("left behind until the next clean-up: %s", problem)
