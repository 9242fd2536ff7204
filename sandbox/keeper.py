"""Holds a run's inputs and outputs in memory, outside the container that a stranger's program runs in.

A run has two volumes in memory: `in`, read-only for the job, and `out`. A volume in memory is empty again as soon as
nothing mounts it, and the outputs are collected after the job is dead; so a container of our own, which only sleeps,
mounts both from before the job starts. Inputs go in and outputs come out through it, by the Engine's archive calls.
"""

from __future__ import annotations

import os
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec
import requests.exceptions

from sandbox.engine import Engine
from sandbox.errors import EngineError
from sandbox.isolation import in_options, keeper_config, new_uid, out_options, volume_mount
from sandbox.spec import MIB
from sandbox.targuard import CHUNK, BadTar, read_one_file

IN_DIR = "/lc/in"
OUT_DIR = "/lc/out"


class KeeperSize(msgspec.Struct, frozen=True):
    """What a keeper was made for. A run may take over a waiting keeper of exactly its size."""

    in_bytes: int
    model_cap: int

    @staticmethod
    def for_inputs(total: int, model_cap: int) -> KeeperSize:
        """Rounded up, so that runs of one job fit the same keeper."""
        wanted = total + 4 * MIB
        return KeeperSize(1 << (wanted - 1).bit_length(), model_cap)


class Keeper:
    """A running keeper with its two volumes. `close` removes all three; it may be called twice."""

    def __init__(self, engine: Engine, name: str, uid: int, size: KeeperSize) -> None:
        self.name = name
        self.uid = uid
        self.size = size
        self._engine = engine

    @staticmethod
    def open(
        engine: Engine, *, name: str, image_id: str, runtime: str, rootless: bool, size: KeeperSize, labels: dict[str, str]
    ) -> Keeper:
        """Makes volumes and container and starts it. Leaves nothing behind where that fails. Raises EngineError."""
        keeper = Keeper(engine, name, new_uid(rootless=rootless), size)
        config = keeper_config(image_id, runtime=runtime, labels=labels, mounts=keeper._mounts(labels, for_job=False))
        try:
            create_container(engine, name, config)
            engine.call("starting the keeper of a run", lambda api: api.start(name))
        except EngineError:
            keeper.close()
            raise
        return keeper

    def job_mounts(self, labels: dict[str, str]) -> list[dict[str, Any]]:
        return self._mounts(labels, for_job=True)

    def _mounts(self, labels: dict[str, str], *, for_job: bool) -> list[dict[str, Any]]:
        inside = in_options(self.size.in_bytes)
        outside = out_options(self.size.model_cap, self.uid)
        return [
            volume_mount(f"{self.name}-in", IN_DIR, inside, labels, read_only=for_job),
            volume_mount(f"{self.name}-out", OUT_DIR, outside, labels, read_only=not for_job),
        ]

    def running(self) -> bool:
        """False where the keeper died, and with it what it kept. Raises EngineError."""
        try:
            facts = self._engine.call("looking up a keeper", lambda api: api.inspect_container(self.name))
        except EngineError as problem:
            if problem.status == 404:
                return False
            raise
        return bool(facts["State"]["Running"])

    def put(self, files: Mapping[str, bytes | Path]) -> None:
        """Writes the inputs, readable by everybody in the container. Raises EngineError, OSError."""

        def send(api: Any) -> None:
            api.put_archive(self.name, IN_DIR, _tar_stream(files))

        self._engine.call("handing a run its inputs", send)

    def read_output(self, name: str, cap: int) -> Iterator[bytes]:
        """The bytes of /lc/out/<name>, which must be a regular file of at most `cap` bytes.

        Raises BadTar for anything else, EngineError where the engine fails; never follows a link.
        """

        def fetch(api: Any) -> tuple[Any, dict[str, Any]]:
            stream, facts = api.get_archive(self.name, f"{OUT_DIR}/{name}", chunk_size=CHUNK)
            return stream, facts

        try:
            stream, facts = self._engine.call(f"collecting {name}", fetch)
        except EngineError as problem:
            if problem.status == 404 and self.running():
                raise BadTar(f"{name} is missing") from problem
            raise
        declared = int(facts.get("size", 0))
        if declared > cap:
            _drop(stream)
            raise BadTar(f"{name} has {declared} bytes; the limit is {cap}")
        try:
            yield from read_one_file(_Pieces(stream), name, cap)
        finally:
            _drop(stream)

    def close(self) -> list[str]:
        """Removes container and volumes; returns what could not be removed."""
        problems = remove_container(self._engine, self.name)
        for volume in (f"{self.name}-in", f"{self.name}-out"):
            problems += remove_volume(self._engine, volume)
        return problems


def create_container(engine: Engine, name: str, config: dict[str, Any]) -> None:
    """Creates a container under its name. A leftover of the same name (an attempt that the engine finished without
    our hearing of it) is removed first. Raises EngineError."""

    def create(api: Any) -> None:
        api.create_container_from_config(config, name)

    try:
        engine.call("creating a container", create)
    except EngineError as problem:
        if problem.status != 409:
            raise
        remove_container(engine, name)
        engine.call("creating a container", create)


def remove_container(engine: Engine, name: str) -> list[str]:
    """Kills and removes; a container that is gone already is no problem. Returns the problems."""
    return _gone(engine, f"removing container {name}", lambda api: api.remove_container(name, v=True, force=True))


def remove_volume(engine: Engine, name: str) -> list[str]:
    return _gone(engine, f"removing volume {name}", lambda api: api.remove_volume(name, force=True))


def _gone(engine: Engine, what: str, action: Any) -> list[str]:
    try:
        engine.call(what, action)
    except EngineError as problem:
        # 404: gone. 409: "removal is already in progress".
        if problem.status == 404 or "already in progress" in str(problem):
            return []
        return [str(problem)]
    return []


def _drop(stream: Any) -> None:
    """Ends a transfer that nobody reads to the end."""
    close = getattr(stream, "close", None)
    if close is not None:
        close()


class _Pieces:
    """The engine's chunks as a file to read from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def _tar_stream(files: Mapping[str, bytes | Path]) -> Iterator[bytes]:
    """A tar of the inputs, made while it is sent: a model never lies in our memory as a whole."""
    for name, content in files.items():
        info = tarfile.TarInfo(name)
        info.mode, info.mtime = 0o444, 0
        if isinstance(content, bytes):
            info.size = len(content)
            yield info.tobuf(tarfile.GNU_FORMAT) + content
        else:
            with content.open("rb") as file:
                info.size = os.fstat(file.fileno()).st_size
                yield info.tobuf(tarfile.GNU_FORMAT)
                yield from _exactly(file, info.size)
        yield b"\0" * (-info.size % 512)
    yield b"\0" * 1024


def _exactly(file: IO[bytes], size: int) -> Iterator[bytes]:
    while size:
        piece = file.read(min(CHUNK, size))
        if not piece:
            raise OSError("an input file became shorter while it was read")
        size -= len(piece)
        yield piece


def wait_dead(engine: Engine, name: str, seconds: float) -> int | None:
    """Waits for a container to be dead; its exit code, or None where it still runs after `seconds`.

    Raises EngineError.
    """
    deadline = time.monotonic() + seconds
    while True:
        # A long wait is cut in slices: an engine that went away is noticed by the next slice.
        left = max(0.05, min(deadline - time.monotonic(), 5.0))

        def wait(api: Any, left: float = left) -> int | None:
            try:
                return int(api.wait(name, timeout=left)["StatusCode"])
            except requests.exceptions.RequestException as problem:
                if "timed out" in str(problem).lower():
                    return None
                raise

        code = engine.call("waiting for a container", wait)
        if code is not None or time.monotonic() >= deadline:
            return code
