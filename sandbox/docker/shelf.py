"""The owner's own data on the engine's disk: volumes that stay when the node stops, until they are removed by name.

    add: room -> volume created -> filled through a filler, hashed on the way -> on the disk -> recorded
    hold (a run of phase `local` begins) -> shown read-only by a view (`Sidecar.show`) -> release

What is recorded here is whole and on the disk; a volume without a record is what a killed node left half filled, and `sweep`
removes it. A record is a file in the node's own folder, named like the data. Whoever uses data has its file locked for others, so
that nothing is removed below a run, whichever process asks; the kernel takes the lock from a killed one. Nothing is mounted from
the node's disk, so the engine may be on another machine. Jobs can see a volume's name: it is drawn, and tells of no owner.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from learningchain.sandbox.data import MAX_DATA_BYTES, TRIAL, DataSet, OnBytes, OwnData, check_own_name
from learningchain.sandbox.disk import leave_room
from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.docker.isolation import DATA_LABEL, OWN_LABEL
from learningchain.sandbox.docker.sidecar import check_volume, create_volume, remove_container, remove_volume
from learningchain.sandbox.docker.sidecar_program import FILES
from learningchain.sandbox.docker.volumes import LOOK_EVERY, Filler, Maker
from learningchain.sandbox.errors import DataRefused, EngineError

MAX_OWN = 64
"""Data sets of one owner."""
IN_FOLDER = "data"
"""What the folder is called in a run's inputs (`sandbox.phases`)."""
LOST = (
    "the data {0} are gone from the engine, where somebody removed their volume: learningchain data remove {0}, then add them again"
)
_LOCK = ".lock"
_SUFFIX = ".json"
_RECORD_CAP = 1 << 16

log = logging.getLogger("learningchain.sandbox")


class _Record(msgspec.Struct, frozen=True):
    """What is known of data that are whole and on the disk."""

    volume: str
    data: OwnData


class DataShelf:
    """The own data of one node; safe from several threads and processes. `folder`: for the records. `cap`: most bytes in all."""

    def __init__(
        self,
        engine: Engine,
        labels: dict[str, str],
        maker: Callable[[], Maker],
        disk: Callable[[], Path | None],
        folder: Path,
        cap: int = MAX_DATA_BYTES,
    ) -> None:
        self._engine, self._maker, self._disk = engine, maker, disk
        self._own_labels = labels | {OWN_LABEL: "yes"}
        self._folder, self._cap = folder, cap
        self._mutex = threading.Lock()
        self._held: dict[str, list[int]] = {}
        """The locks on records in use, by name."""

    def listed(self) -> list[OwnData]:
        """What is kept, by name. Asks no engine."""
        return [record.data for record in self._records() if not record.data.name.startswith(TRIAL)]

    def lost(self) -> list[str]:
        """The names of data whose volume is gone from the engine. Raises EngineError."""
        return [record.data.name for record in self._records() if self._is_gone(record)]

    def _is_gone(self, record: _Record) -> bool:
        try:
            self._engine.call("looking at a volume", lambda api: api.inspect_volume(record.volume))
        except EngineError as problem:
            if problem.status != 404:
                raise
            return True
        return False

    def add(
        self,
        name: str,
        data: DataSet,
        *,
        notes: Mapping[str, str],
        on_bytes: OnBytes,
        cancel: threading.Event | None,
    ) -> OwnData:
        """Brings data to the engine and records them under a new name. Leaves nothing where it fails. Raises DataRefused with what
        to do, EngineError, OSError."""
        check_own_name(name.removeprefix(TRIAL))
        own = OwnData(name=name, digest=data.content_digest, size=data.size, files=len(data.files), notes=dict(notes))
        self._folder.mkdir(parents=True, exist_ok=True)
        if name.startswith(TRIAL):  # a moment's few bytes: they wait for nobody
            return self._place(data, own, on_bytes, cancel)
        with self._alone():
            self._check_room(own)
            _report(self._sweep())
            return self._place(data, own, on_bytes, cancel)

    def _place(self, data: DataSet, own: OwnData, on_bytes: OnBytes, cancel: threading.Event | None) -> OwnData:
        volume = self._fill(data, own, on_bytes, cancel)
        try:
            self._write(_Record(volume, own))
        except BaseException:
            _report(remove_volume(self._engine, volume))
            raise
        return own

    def _check_room(self, own: OwnData) -> None:
        kept = [record.data for record in self._records()]
        if any(other.name == own.name for other in kept):
            raise DataRefused(f"there are data called {own.name} already: choose another name, or remove those first")
        if len(kept) >= MAX_OWN:
            raise DataRefused(f"there are {MAX_OWN} data sets already, the most that are kept: remove one first")
        used = sum(other.size for other in kept)
        if used + own.size > self._cap:
            raise DataRefused(
                f"the data have {own.size} bytes, and {used} of the {self._cap} that may be kept are used: remove other data, or "
                f"raise sandbox.data_mb"
            )

    def _fill(self, data: DataSet, own: OwnData, on_bytes: OnBytes, cancel: threading.Event | None) -> str:
        what, files = "bringing data to the engine's disk", len(data.files) + len(data.folders()) + 2
        leave_room(self._disk(), what, data.size, files)
        volume, placed = f"lc-data-{os.urandom(12).hex()}", data.below(IN_FOLDER).files
        create_volume(self._engine, volume, {}, self._volume_labels(own))
        looked = 0
        try:
            with Filler(self._engine, f"{volume}-filler", self._maker(), volume, self._own_labels) as filler:
                for file in placed:
                    for size in filler.keep(file):
                        on_bytes(size)
                        looked += size
                        _go_on(cancel)
                        if looked >= LOOK_EVERY:
                            looked = 0
                            leave_room(self._disk(), what)
                for file in placed:
                    filler.sync(file)
                    _go_on(cancel)
        except BaseException:
            _report(remove_volume(self._engine, volume))
            raise
        return volume

    def _volume_labels(self, own: OwnData) -> dict[str, str]:
        return self._own_labels | {DATA_LABEL: own.digest.hex()}

    def remove(self, name: str) -> OwnData:
        """Removes data that no run uses. Raises DataRefused, EngineError, OSError."""
        with self._locked(name, fcntl.LOCK_EX) as record:
            problems = remove_volume(self._engine, record.volume)
            if problems:
                raise DataRefused(f"the engine keeps the data {name}: {problems[0]}. Try again when no run uses them")
            self._path(name).unlink()
        return record.data

    def hold(self, own: OwnData) -> str:
        """The engine's folder with these data, which stay until `release`. Raises DataRefused, EngineError."""
        with self._locked(own.name, fcntl.LOCK_SH, keep=True) as record:
            if record.data.digest != own.digest:
                raise DataRefused(f"the data {own.name} are others than when the run was made: they were removed and added again")
            if self._is_gone(record):
                raise DataRefused(LOST.format(own.name))
            return f"{check_volume(self._engine, record.volume, {}, self._volume_labels(record.data))}/{FILES}"

    def release(self, own: OwnData) -> None:
        with self._mutex:
            locks = self._held.get(own.name, [])
            if locks:
                os.close(locks.pop())

    def sweep(self) -> list[str]:
        """Removes what a killed node left: the filler and the volume that have no record, and the self-test's data. Returns the
        problems. Where somebody brings data in this moment, and where a record is damaged, all of it stays."""
        try:
            with self._alone():
                for record in self._records():
                    if record.data.name.startswith(TRIAL):
                        self._path(record.data.name).unlink()
                return self._sweep()
        except DataRefused as why:
            log.warning("what is left of own data stays: %s", why)
            return []

    def _sweep(self) -> list[str]:
        mine = {"label": [f"{key}={value}" for key, value in self._own_labels.items()]}
        known = {record.volume for record in self._records(every=True)}
        fillers: list[Any] = self._engine.call("listing containers", lambda api: api.containers(all=True, filters=mine))
        problems = [problem for facts in fillers for problem in remove_container(self._engine, facts["Id"])]
        found: list[Any] = self._engine.call("listing volumes", lambda api: api.volumes(filters=mine)).get("Volumes") or []
        lost = [str(facts["Name"]) for facts in found if facts["Name"] not in known]
        return problems + [problem for name in lost for problem in remove_volume(self._engine, name)]

    def clear(self) -> None:
        """Forgets all; whoever calls this removes the volumes."""
        for record in self._records():
            self._path(record.data.name).unlink()

    # --- records ---------------------------------------------------------------------------------------------------------------

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"

    def _records(self, *, every: bool = False) -> list[_Record]:
        """In the order of their names, without those that are damaged; `every`: raises DataRefused for one."""
        found = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            try:
                found.append(self._read(path.name.removesuffix(_SUFFIX)))
            except FileNotFoundError:
                continue
            except DataRefused as why:
                if every:
                    raise
                log.warning("%s", why)
        return found

    def _read(self, name: str) -> _Record:
        path = self._path(name)
        try:
            with path.open("rb") as file:
                record = msgspec.json.decode(file.read(_RECORD_CAP), type=_Record)
        except (msgspec.DecodeError, ValueError) as problem:
            raise DataRefused(f"{path} is damaged ({problem}): remove it, and add the data again") from None
        if record.data.name != name:
            raise DataRefused(f"{path} is the record of {record.data.name}: remove it, and add the data again")
        return record

    def _write(self, record: _Record) -> None:
        """Whole or not at all, and on the disk when it returns."""
        path = self._path(record.data.name)
        fresh = path.with_suffix(".new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(record))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
        folder = os.open(self._folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    # --- locks -----------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Data are brought, and leftovers removed, by one at a time. Raises DataRefused."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with open(os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600), "rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataRefused("other data are being added to this node: wait until that is done") from None
            yield

    @contextmanager
    def _locked(self, name: str, how: int, *, keep: bool = False) -> Iterator[_Record]:
        """The record of data, locked; `keep`: until `release`, where the block ends well. Raises DataRefused."""
        check_own_name(name.removeprefix(TRIAL))
        try:
            lock = os.open(self._path(name), os.O_RDONLY)
        except FileNotFoundError:
            raise DataRefused(f"there are no data called {name} on this node: add them, or see what there is") from None
        try:
            try:
                fcntl.flock(lock, how | fcntl.LOCK_NB)
                record = self._read(name)
                if os.fstat(lock).st_ino != self._path(name).stat().st_ino:  # what is locked went, and another came
                    raise FileNotFoundError
            except BlockingIOError:
                raise DataRefused(f"the data {name} are in use by a run, or being removed: try again when that is over") from None
            except FileNotFoundError:
                raise DataRefused(f"the data {name} have just been removed") from None
            yield record
        except BaseException:
            os.close(lock)
            raise
        if not keep:
            return os.close(lock)
        with self._mutex:
            self._held.setdefault(name, []).append(lock)
        return None


def _report(problems: list[str]) -> None:
    for problem in problems:
        log.warning("left behind until the next clean-up: %s", problem)


def _go_on(cancel: threading.Event | None) -> None:
    if cancel is not None and cancel.is_set():
        raise DataRefused("it was called off; nothing was kept")
