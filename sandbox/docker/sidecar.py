"""Holds a run's inputs and outputs in memory, outside the container that a stranger's program runs in.

A run has two volumes in memory: `in`, read-only for the job, and `out`. A volume in memory is empty again as soon as
nothing mounts it, and the outputs are collected after the job is dead; so a container of our own mounts both from before
the job starts. Inputs go in and outputs come out through the program in it (`sidecar_program`), over its standard streams:
the Engine's archive calls would start a process of the engine's, as root, for each of them, and take 60 ms each.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
import requests.exceptions

from learningchain.chain.storage import private
from learningchain.sandbox.docker.attached import Attached, Dialogue
from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.docker.isolation import (
    differences,
    in_options,
    new_uid,
    out_options,
    plain_volume,
    sidecar_config,
    view_options,
    volume_mount,
)
from learningchain.sandbox.errors import EngineError
from learningchain.sandbox.results import BadResult
from learningchain.sandbox.spec import MIB, RunSpec

IN_DIR = "/lc/in"
OUT_DIR = "/lc/out"
CHUNK = 1 << 18
LINE = 256
"""Bytes of an answer of the sidecar's program."""


class SidecarSize(msgspec.Struct, frozen=True):
    """What a sidecar was made for. A run may take over a waiting sidecar of exactly its size."""

    in_bytes: int
    out_bytes: int

    @staticmethod
    def of(spec: RunSpec, total: int = 0) -> SidecarSize:
        """What a run needs with so many bytes of inputs in memory, beside its late ones."""
        return SidecarSize.for_inputs(total + spec.row.late_bytes, spec.row.out_bytes(spec.limits.model_cap))

    @staticmethod
    def for_inputs(total: int, out_bytes: int) -> SidecarSize:
        """Rounded up, so that runs of one job fit the same sidecar."""
        wanted = total + 4 * MIB
        return SidecarSize(1 << (wanted - 1).bit_length(), out_bytes)


class Sidecar:
    """A running sidecar with its two volumes. `close` removes all three; it may be called twice."""

    def __init__(self, engine: Engine, name: str, uid: int, size: SidecarSize, volume: str = "") -> None:
        """`volume`: what the names of its volumes begin with, where another sidecar made them."""
        self.name = name
        # Of volumes a job may see the names (/proc/self/mountinfo): they tell of no node, and so of nobody's part in a job.
        self._volume = volume or f"lc-{name.rpartition('-')[2]}"
        self.uid = uid
        self.size = size
        self._engine = engine
        self._dialogue: Dialogue | None = None
        self._view = False

    @staticmethod
    def open(
        engine: Engine, *, name: str, image_id: str, runtime: str, rootless: bool, size: SidecarSize, labels: dict[str, str]
    ) -> Sidecar:
        """Makes volumes and container and starts it. Leaves nothing behind where that fails. Raises EngineError."""
        sidecar = Sidecar(engine, name, new_uid(rootless=rootless), size)
        sidecar._begin(image_id, runtime, labels)
        return sidecar

    @staticmethod
    def beside(
        engine: Engine,
        *,
        name: str,
        image_id: str,
        runtime: str,
        size: SidecarSize,
        labels: dict[str, str],
        uid: int,
        volume: str,
        view: bool,
    ) -> Sidecar:
        """The same over the volumes of a sidecar whose node is gone. `view`: a job sees them with data.
        Raises EngineError, also where they were changed."""
        sidecar = Sidecar(engine, name, uid, size, volume)
        for end, options in (("in", in_options(size.in_bytes, uid)), ("out", out_options(size.out_bytes, uid))):
            check_volume(engine, f"{volume}-{end}", {"type": "tmpfs", "device": "tmpfs", "o": options}, labels)
        sidecar._view = view
        sidecar._begin(image_id, runtime, labels)
        return sidecar

    def _begin(self, image_id: str, runtime: str, labels: dict[str, str]) -> None:
        mounts = self._mounts(labels, for_job=False)
        config = sidecar_config(image_id, runtime=runtime, uid=self.uid, memory=self.size.in_bytes, labels=labels, mounts=mounts)
        try:
            create_container(self._engine, self.name, config)
            self._dialogue = Dialogue(Attached(self._engine, self.name, stdin=True), "the sidecar of a run")
            self._engine.call("starting the sidecar of a run", lambda api: api.start(self.name))
        except EngineError:
            self.close()
            raise

    def job_mounts(self, labels: dict[str, str]) -> list[dict[str, Any]]:
        mounts = self._mounts(labels, for_job=True)
        return [plain_volume(f"{self._volume}-view", IN_DIR), mounts[1]] if self._view else mounts

    @property
    def volumes(self) -> tuple[str, ...]:
        """The names of its two volumes in memory, and of the view of them with the data."""
        return f"{self._volume}-in", f"{self._volume}-out", *([f"{self._volume}-view"] if self._view else [])

    def show(self, folders: Sequence[str], labels: dict[str, str]) -> None:
        """Puts folders of data volumes beside the inputs in memory: the job sees them all as /lc/in. Raises EngineError.

        They are merged when the job starts; what is put in later it might not see.
        """
        inside = self._engine.call("looking at a volume", lambda api: api.inspect_volume(f"{self._volume}-in"))["Mountpoint"]
        try:
            options = view_options([str(inside), *folders])
        except ValueError as problem:
            raise EngineError("showing a run its data", str(problem)) from problem
        self._view = True
        create_volume(self._engine, f"{self._volume}-view", options, labels)

    def shown(self, labels: dict[str, str]) -> list[str]:
        """The folders that an earlier process put into the view of a run. Raises EngineError, also where the view was changed."""
        facts = self._engine.call("looking at a volume", lambda api: api.inspect_volume(f"{self._volume}-view"))
        inside = self._engine.call("looking at a volume", lambda api: api.inspect_volume(f"{self._volume}-in"))["Mountpoint"]
        folders = str((facts.get("Options") or {}).get("o")).partition("lowerdir=")[2].split(":")[1:]
        try:
            options = view_options([str(inside), *folders])
        except ValueError as problem:
            raise EngineError("looking at a run's data", str(problem)) from problem
        check_volume(self._engine, f"{self._volume}-view", options, labels, facts)
        self._view = True
        return folders

    def _mounts(self, labels: dict[str, str], *, for_job: bool) -> list[dict[str, Any]]:
        inside = in_options(self.size.in_bytes, self.uid)
        outside = out_options(self.size.out_bytes, self.uid)
        return [
            volume_mount(f"{self._volume}-in", IN_DIR, inside, labels, read_only=for_job),
            volume_mount(f"{self._volume}-out", OUT_DIR, outside, labels, read_only=not for_job),
        ]

    def running(self) -> bool:
        """False where the sidecar died, and with it what it kept."""
        try:
            return self._ask("ping") == "ok"
        except EngineError:
            return False

    def stay(self, seconds: float) -> None:
        """Let it hold the volumes for so long after it was let go of, for whoever comes back. Raises EngineError."""
        answer = self._ask(f"stay {seconds:g}")
        if answer != "ok":
            raise EngineError("the sidecar of a run", answer)

    def put(self, files: Mapping[str, bytes | Path]) -> None:
        """Writes the inputs, readable by everybody in the container. A link in a file's place is not followed: it would show a
        stranger's program another file of the host. Raises EngineError, OSError."""
        for name, content in files.items():
            if isinstance(content, bytes):
                self._put(name, len(content), iter([content]))
            else:
                with private.reading(content) as file:
                    size = os.fstat(file.fileno()).st_size
                    self._put(name, size, exactly(file, size))

    def _put(self, name: str, size: int, pieces: Iterator[bytes]) -> None:
        """Sends a file as it is read: a model never lies in our memory as a whole."""
        talk = self._talk()
        talk.send(f"put {name} {size}\n".encode())
        for piece in pieces:
            talk.send(piece)
        answer = talk.line(LINE)
        if answer != "ok":
            raise EngineError("handing a run its inputs", answer)

    def read_output(self, name: str, cap: int) -> Iterator[bytes]:
        """The bytes of /lc/out/<name>, which must be a regular file of at most `cap` bytes.

        Raises BadResult for anything else, EngineError where the sidecar fails; never follows a link.
        """
        return self._bytes_of("get", name, cap)

    def read_start(self, name: str, most: int) -> Iterator[bytes]:
        """The first `most` bytes of such a file, however long it is. Raises as `read_output`.

        Who stops before the end lets go of the sidecar: it would take the rest for an answer.
        """
        return self._bytes_of("start", name, most)

    def read_now(self, name: str, most: int) -> Iterator[bytes]:
        """The same of a small file that may change meanwhile: what was in it when it was read."""
        return self._bytes_of("take", name, most)

    def copy_output(self, name: str, cap: int, seen: str) -> tuple[str, int, Iterator[bytes]]:
        """A copy of an output of a job that goes on: what tells it from others, its size, and its bytes, to be read to their end.
        `seen`: of the copy before. Raises BadResult where there is nothing new that can be taken, and at the end of the bytes where
        the job changed them meanwhile; EngineError."""
        status, _, rest = self._ask(f"copy {name} {cap} {seen}").partition(" ")
        if status != "ok":
            raise BadResult(f"{name} {rest}")
        size, _, stamp = rest.partition(" ")
        announced = self._announced(name, size, cap)
        return stamp, announced, self._copied(name, announced)

    def _copied(self, name: str, size: int) -> Iterator[bytes]:
        yield from self._some(size)
        if self._talk().line(LINE) != "whole":
            raise BadResult(f"{name} was changed while it was read")

    def _bytes_of(self, request: str, name: str, cap: int) -> Iterator[bytes]:
        status, _, rest = self._ask(f"{request} {name} {cap}").partition(" ")
        if status != "ok":
            raise BadResult(f"{name} {rest}")
        yield from self._some(self._announced(name, rest, cap))

    def _announced(self, name: str, told: str, cap: int) -> int:
        size = int(told) if told.isascii() and told.isdigit() else -1
        if not 0 <= size <= cap:
            raise EngineError(f"collecting {name}", f"an answer of {told[:20]!r} bytes; the limit is {cap}")
        return size

    def _some(self, left: int) -> Iterator[bytes]:
        while left:
            piece = self._talk().some(min(CHUNK, left))
            left -= len(piece)
            yield piece

    def _ask(self, request: str) -> str:
        talk = self._talk()
        talk.send(f"{request}\n".encode())
        return talk.line(LINE)

    def _talk(self) -> Dialogue:
        if self._dialogue is None:
            raise EngineError("the sidecar of a run", "it is closed")
        return self._dialogue

    def let_go(self) -> None:
        """Ends the connection, and by that the sidecar's program."""
        dialogue, self._dialogue = self._dialogue, None
        if dialogue is not None:
            dialogue.close()

    def close(self) -> list[str]:
        """Removes container and volumes; returns what could not be removed."""
        self.let_go()
        problems = remove_container(self._engine, self.name)
        for volume in (*([f"{self._volume}-view"] if self._view else []), f"{self._volume}-in", f"{self._volume}-out"):
            problems += remove_volume(self._engine, volume)
        return problems


def create_container(engine: Engine, name: str, config: dict[str, Any]) -> None:
    """Creates a container under its name, and makes sure that it is what was asked for. A leftover of the same name (an attempt
    that the engine finished without our hearing of it) is removed first. Raises EngineError."""

    def create(api: Any) -> None:
        api.create_container_from_config(config, name)

    try:
        engine.call("creating a container", create)
    except EngineError as problem:
        if problem.status != 409:
            raise
        remove_container(engine, name)
        engine.call("creating a container", create)
    differing = differences(config, engine.call("looking at a container", lambda api: api.inspect_container(name)))
    if differing:
        remove_container(engine, name)
        raise EngineError("the engine made another container than was asked for, and nothing ran", "; ".join(differing)[:400])


def create_volume(engine: Engine, name: str, options: dict[str, str], labels: dict[str, str]) -> str:
    """Creates a volume under a name that nobody has yet, and makes sure that it is what was asked for; returns the folder that the
    engine keeps it in. Raises EngineError.

    An engine answers the same where the name is taken, by whatever driver with whatever options: so what it has is compared.
    """
    made = engine.call("creating a volume", lambda api: api.create_volume(name, driver="local", driver_opts=options, labels=labels))
    return check_volume(engine, name, options, labels, made)


def check_volume(
    engine: Engine, name: str, options: dict[str, str], labels: dict[str, str], facts: dict[str, Any] | None = None
) -> str:
    """The folder of a volume that is still what it was made as. Raises EngineError."""
    found = facts or engine.call("looking at a volume", lambda api: api.inspect_volume(name))
    wanted: list[tuple[str, object, object]] = [
        ("Name", found.get("Name"), name),
        ("Driver", found.get("Driver"), "local"),
        ("Options", found.get("Options") or {}, options),
        ("Labels", found.get("Labels") or {}, labels),
        ("Scope", found.get("Scope"), "local"),
    ]
    differing = [f"its {key} is {str(value)[:80]}" for key, value, asked in wanted if value != asked]
    if differing:
        raise EngineError(
            "the engine has another volume than was asked for, and nothing ran", f"{name}: {'; '.join(differing)}"[:300]
        )
    return str(found["Mountpoint"])


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


def exactly(file: IO[bytes], size: int) -> Iterator[bytes]:
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
