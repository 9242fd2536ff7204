"""Data on the engine's own disk: what is too large for memory, brought there once and read by any number of runs.

    hold: measured -> volume created -> filled through a filler, hashed on the way -> shown to runs -> release

A volume of the engine's `local` driver has neither a size nor mount flags. So it is written to through the filler alone, a
container of the node's own that ends before the first run starts, and what is sent is counted here; and no job has it mounted: a
job sees its folder through a view of its own (`Sidecar.show`), a read-only overlay with noexec, nosuid and nodev. Nothing is
mounted from the node's disk, so the engine may be on another machine.

A volume is known by the hash of what is in it, and used again by runs of the same content as long as this sandbox lives. Its name
holds a number that is drawn at each start: what a killed node left, filled or half filled, is never taken for one of ours, and the
clean-up removes it by its label.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from learningchain.sandbox import tarwriter
from learningchain.sandbox.data import DataFile, DataSet, KnownSet, measure
from learningchain.sandbox.disk import leave_room
from learningchain.sandbox.docker.attached import Attached, Dialogue
from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.docker.isolation import DATA_LABEL, new_uid, plain_volume, sidecar_config
from learningchain.sandbox.docker.sidecar import (
    LINE,
    check_volume,
    create_container,
    create_volume,
    remove_container,
    remove_volume,
)
from learningchain.sandbox.docker.sidecar_program import DATA, FILES
from learningchain.sandbox.errors import EngineError
from learningchain.sandbox.targuard import FILE, FOLDER

IDLE_VOLUMES = 64
"""Volumes that no run uses and that are kept for the next one of the same content, while all have room."""
KEPT_BYTES = 64 << 30
LOOK_EVERY = 64 << 20
"""Bytes after which the engine's disk is looked at again: others write to it too."""
PIECE = 1 << 20

log = logging.getLogger("learningchain.sandbox")


class Maker(msgspec.Struct, frozen=True):
    """What fillers are made of, as the sandbox knows it."""

    image_id: str
    """As the engine calls the sidecar's image."""
    runtime: str
    rootless: bool


class _Volume:
    """One content on the disk, and how many runs use it."""

    def __init__(self, name: str, folder: str, size: int, labels: dict[str, str]) -> None:
        self.name, self.folder, self.size, self.labels = name, folder, size, labels
        self.users = 0


class DataVolumes:
    """The data volumes of one sandbox; safe from several threads. `disk`: where the engine keeps them, if that is here. `cap`: most
    bytes of all together; the longest unused make room. One that a run uses stays, and may be more."""

    def __init__(
        self,
        engine: Engine,
        labels: dict[str, str],
        maker: Callable[[], Maker],
        disk: Callable[[], Path | None],
        cap: int = KEPT_BYTES,
    ) -> None:
        self._engine, self._labels, self._maker, self._disk, self._cap = engine, labels, maker, disk, cap
        self._prefix = f"lc-data-{os.urandom(6).hex()}"  # jobs see it: it tells of no node
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._volumes: dict[bytes, _Volume] = {}
        self._coming: dict[bytes, int] = {}
        """What is being brought, and how large it is. What is there already waits for none of it."""

    def hold(self, data: DataSet) -> str:
        """The engine's folder with these files, which stays until `release`. Raises EngineError, OSError."""
        digest = data.digest
        while (volume := self._present(digest)) is None:
            with self._filled:
                if digest in self._coming or digest in self._volumes:
                    self._filled.wait_for(lambda: digest not in self._coming)
                    continue
                self._coming[digest] = data.size
            try:
                volume = self._fill(data)
                with self._lock:
                    self._volumes[digest], volume.users = volume, 1
                return volume.folder
            finally:
                with self._filled:
                    del self._coming[digest]
                    self._filled.notify_all()
        return volume.folder

    def keep(self, data: DataSet) -> None:
        """Has it there for the next run, as far as there is room for it, and every file read and compared once. Raises EngineError,
        and OSError where a file is not what the set says of it."""
        if data.size <= self._cap:
            self.hold(data)
            for problem in self.release(data):
                log.warning("left behind until the next clean-up: %s", problem)
            return
        for file in data.files:
            if (real := measure(file.name, file.path)) != file:
                raise OSError(f"{file.path} has {real.size} bytes, or another hash than its set says")

    def _present(self, digest: bytes) -> _Volume | None:
        """The volume with this content, held once more; None where there is none, or the engine has it no more."""
        with self._lock:
            volume = self._volumes.get(digest)
            if volume is None:
                return None
            volume.users += 1
        try:
            check_volume(self._engine, volume.name, {}, volume.labels)
        except EngineError as problem:
            with self._lock:
                volume.users -= 1
                if problem.status == 404 and not volume.users:  # somebody tidied up the engine
                    del self._volumes[digest]
                    return None
            raise
        return volume

    def hold_again(self, sets: Sequence[KnownSet], folders: Sequence[str]) -> list[str]:
        """Hold the volumes of a run that an earlier process began, which finds its sets in these folders of the engine; returns the
        names of the volumes. Raises EngineError, also where a folder is of no volume of this node with that content."""
        found, mine = [], {"label": [f"{key}={value}" for key, value in self._labels.items()]}
        there: list[Any] = self._engine.call("listing volumes", lambda api: api.volumes(filters=mine)).get("Volumes") or []
        names = {f"{one.get('Mountpoint')}/{FILES}": str(one["Name"]) for one in there}
        for known, folder in zip(sets, folders, strict=True):
            if folder not in names:
                raise EngineError("finding a run's data again", "they lie in no volume of this node", status=404)
            labels = self._labels | {DATA_LABEL: known.digest.hex()}
            check_volume(self._engine, names[folder], {}, labels)
            found.append(_Volume(names[folder], folder, known.size, labels))
        with self._lock:
            for known, volume in zip(sets, found, strict=True):
                self._volumes.setdefault(known.digest, volume).users += 1
        return [volume.name for volume in found]

    def let_go(self, sets: Sequence[KnownSet]) -> None:
        """The runs that use them go on, for another process: nothing is removed."""
        with self._lock:
            for known in sets:
                self._volumes[known.digest].users -= 1
                if not self._volumes[known.digest].users:
                    del self._volumes[known.digest]

    def release(self, data: DataSet | KnownSet) -> list[str]:
        """A run is over, and its container is gone. Removes what is too much to be kept; returns the problems."""
        with self._lock:
            volume = self._volumes.get(data.digest)
            if volume is None:
                return []
            volume.users -= 1
            # The most recently used ones come last.
            self._volumes[data.digest] = self._volumes.pop(data.digest)
        return self._make_room()

    def _make_room(self) -> list[str]:
        """Removes the longest unused volumes until all, with those that are coming, are within the bound; returns the problems."""
        with self._lock:
            idle, gone = [key for key, volume in self._volumes.items() if not volume.users], list[_Volume]()
            total = sum(volume.size for volume in self._volumes.values()) + sum(self._coming.values())
            while idle and (total > self._cap or len(idle) > IDLE_VOLUMES):
                gone.append(self._volumes.pop(idle.pop(0)))
                total -= gone[-1].size
        return [problem for volume in gone for problem in remove_volume(self._engine, volume.name)]

    def clear(self) -> list[str]:
        """Removes every volume that no run uses; returns the problems."""
        with self._lock:
            gone = {key: volume for key, volume in self._volumes.items() if not volume.users}
            for key in gone:
                del self._volumes[key]
        return [problem for volume in gone.values() for problem in remove_volume(self._engine, volume.name)]

    def _fill(self, data: DataSet) -> _Volume:
        what, files = "bringing data to the engine's disk", len(data.files) + len(data.folders()) + 1
        problems = self._make_room()
        try:
            leave_room(self._disk(), what, data.size, files)
        except EngineError:  # what nobody uses is worth less than what a run waits for
            problems += self.clear()
            leave_room(self._disk(), what, data.size, files)
        finally:
            for problem in problems:
                log.warning("left behind until the next clean-up: %s", problem)
        digest = data.digest.hex()
        name = f"{self._prefix}-{digest[:16]}-{os.urandom(3).hex()}"
        labels = self._labels | {DATA_LABEL: digest}
        folder = create_volume(self._engine, name, {}, labels)
        try:
            with Filler(self._engine, f"{name}-filler", self._maker(), name, self._labels) as filler:
                filler.fill(data, lambda: leave_room(self._disk(), what))
        except BaseException:
            for problem in remove_volume(self._engine, name):
                log.warning("left behind until the next clean-up: %s", problem)
            raise
        return _Volume(name, f"{folder}/{FILES}", data.size, labels)


class Filler:
    """A sidecar's program with one data volume. Raises EngineError, OSError."""

    def __init__(self, engine: Engine, name: str, maker: Maker, volume: str, labels: dict[str, str]) -> None:
        self._engine, self._name = engine, name
        uid = new_uid(rootless=maker.rootless)
        mounts = [plain_volume(volume, DATA, no_copy=False)]
        self._config = sidecar_config(maker.image_id, runtime=maker.runtime, uid=uid, memory=0, labels=labels, mounts=mounts)

    def __enter__(self) -> Filler:
        try:
            create_container(self._engine, self._name, self._config)
            self._talk = Dialogue(Attached(self._engine, self._name, stdin=True), "the filler of a data volume")
            self._engine.call("starting the filler of a data volume", lambda api: api.start(self._name))
            self._ask(b"new\n")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        talk = getattr(self, "_talk", None)
        if talk is not None:
            talk.close()
        for problem in remove_container(self._engine, self._name):
            log.warning("left behind until the next clean-up: %s", problem)

    def fill(self, data: DataSet, look: Callable[[], None]) -> None:
        """Sends all files as one archive, which the engine itself unpacks. The filler's program would write them into its own small
        memory, and ten thousand files would be ten thousand questions. `look`: called after each `LOOK_EVERY` bytes.
        Raises OSError where a file is not what was measured, and what `look` raises."""
        faults = list[OSError]()

        def pieces() -> Iterator[bytes]:
            sent = 0
            try:
                for piece in packed(data):
                    yield piece
                    sent += len(piece)
                    if sent >= LOOK_EVERY:
                        sent = 0
                        look()
            except OSError as problem:  # the engine's client would take it for a broken connection
                faults.append(problem)
                raise

        def put(api: Any) -> None:
            api.put_archive(self._name, f"{DATA}/{FILES}", pieces())

        try:
            self._engine.call("bringing data to the engine's disk", put, attempts=1, transfer=True)
        except EngineError:
            if faults:
                raise faults[0] from None
            raise

    def keep(self, file: DataFile) -> Iterator[int]:
        """Sends one file of data that outlive the engine's machine, and tells the size of each piece. Raises OSError where it is
        not what was measured."""
        self._talk.send(f"keep {file.name.encode().hex()} {file.size}\n".encode())
        for piece in measured(file):
            self._talk.send(piece)
            yield len(piece)
        self._ask()

    def sync(self, file: DataFile) -> None:
        """One that was added is on the disk when this returns."""
        self._ask(f"sync {file.name.encode().hex()}\n".encode())

    def _ask(self, request: bytes = b"") -> None:
        self._talk.send(request)
        answer = self._talk.line(LINE)
        if answer != "ok":
            raise EngineError("the filler of a data volume", f"the volume {answer.removeprefix('no ')}")


def packed(data: DataSet) -> Iterator[bytes]:
    """A data set as an archive: files that everybody may read and nobody may write. Raises as `measured`."""
    for folder in sorted(data.folders()):
        yield tarwriter.header(folder, FOLDER, mode=0o755)
    for file in data.files:
        yield tarwriter.header(file.name, FILE, size=file.size, mode=0o444)
        yield from measured(file)
        yield tarwriter.padding(file.size)
    yield tarwriter.END


def measured(file: DataFile) -> Iterator[bytes]:
    """The bytes of a file, hashed while whoever asked for them sends them on. Raises OSError where it is a link, or not what was
    measured."""
    digest, left = hashlib.sha256(), file.size
    descriptor = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", buffering=0) as source, ThreadPoolExecutor(1) as beside:
        while left:
            piece = source.read(min(PIECE, left))
            if not piece:
                raise OSError(f"{file.path} became shorter while it was read")
            left -= len(piece)
            hashing = beside.submit(digest.update, piece) if left else None  # a small file is worth no thread
            yield piece
            digest.update(piece) if hashing is None else hashing.result()
        if source.read(1) or digest.digest() != file.sha256:
            raise OSError(f"{file.path} is not what it was when it was measured")
