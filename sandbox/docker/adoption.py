"""Runs that an earlier process of this node began, and that go on: known again, or removed.

    container of the run's name -> compared with what would be started -> a sidecar beside the old one -> what it left still there?
                                                                                     -> Adopted, until `run` asks for it

All that is looked at is the engine's word. A job can change none of it: a name, labels, a mount or a limit come from whoever talks
to the engine, which no container does. `job_config` says what would be started now; a container that differs in anything, or that
carries a later deadline than it can have been given, is none of ours.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from learningchain.sandbox.data import KnownSet, KnownSets
from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.docker.isolation import differences, job_config
from learningchain.sandbox.docker.reaper_program import UNTIL_LABEL, read_until
from learningchain.sandbox.docker.runner import START_S
from learningchain.sandbox.docker.sidecar import OUT_DIR, Sidecar, SidecarSize, remove_container
from learningchain.sandbox.errors import EngineError, ImageNotFound, SandboxUnavailable
from learningchain.sandbox.spec import RunSpec

_VOLUME = re.compile(r"(lc-[0-9a-f]{12})-out")
_USER = re.compile(r"([1-9][0-9]{4,9}):\1")

_TRIES = 4
"""An engine may be busy when a node starts; what it refuses so often, it refuses for good, and the node goes on without the run."""

log = logging.getLogger("learningchain.sandbox")


class NotOurs(Exception):
    """The run cannot be gone on with; the text says why."""


class RunLost(NotOurs):
    """It ended by itself while nobody was there to take what it left."""


class Adopted:
    """A run of an earlier process, with a sidecar of this one. `until`: its deadline on the monotonic clock. `volumes`: those of
    its data sets."""

    def __init__(self, spec: RunSpec, name: str, sidecar: Sidecar, until: float, volumes: Sequence[str]) -> None:
        self.spec, self.name, self.sidecar, self.until, self.volumes = spec, name, sidecar, until, volumes

    @property
    def held(self) -> list[KnownSet]:
        """What it has of the engine's disk."""
        return sets_of(self.spec)


def sets_of(spec: RunSpec) -> list[KnownSet]:
    """In the order in which a run finds them."""
    given = (spec.inputs.get(file.name) for file in spec.row.inputs)
    return [one for known in given if isinstance(known, KnownSets) for one in known.sets]


class Ground(Protocol):
    """What the sandbox is to its adoptions."""

    def within_engine(self, spec: RunSpec) -> RunSpec: ...

    def require_image(self, image_id: str) -> str:
        """What the engine calls it. Raises ImageNotFound, EngineError."""
        ...

    def container(self, run_id: str) -> str: ...

    def labels(self, run_id: str) -> dict[str, str]: ...

    def job_labels(self, spec: RunSpec) -> dict[str, str]: ...

    def open_beside(self, spec: RunSpec, uid: int, volume: str) -> Sidecar:
        """A sidecar beside the one that the run had, over the volumes whose names begin so. Raises EngineError."""
        ...

    def hold_again(self, sets: Sequence[KnownSet], folders: Sequence[str]) -> list[str]:
        """The volumes of its data, held for it. Raises EngineError."""
        ...

    def let_go_of(self, sets: Sequence[KnownSet]) -> None: ...

    def release(self, held: Sequence[KnownSet]) -> None: ...


class Adoptions:
    """The runs of earlier processes that nobody has asked for yet. Safe from several threads."""

    def __init__(self, engine: Engine, ground: Ground, runtime: str) -> None:
        self._engine, self._ground, self._runtime = engine, ground, runtime
        self._lock = threading.Lock()
        self._adopted: dict[str, Adopted] = {}
        self._refused = Counter[str]()

    def adopt(self, specs: Collection[RunSpec]) -> tuple[list[Adopted], list[str]]:
        """Know runs again: those that go on, or ended a moment ago; and the ids of those that are lost. Raises EngineError."""
        lost = list[str]()
        for spec in specs:
            try:
                adopted = self._adopt(spec)
            except (NotOurs, ImageNotFound, SandboxUnavailable) as why:
                log.warning("the run %s does not go on: %s", spec.run_id, why)
                lost += [spec.run_id] if isinstance(why, RunLost) else []
            except EngineError as why:
                self._refused[spec.run_id] += 1
                if self._refused[spec.run_id] < _TRIES:
                    raise
                log.warning("the run %s cannot be gone on with: %s", spec.run_id, why)
            else:
                with self._lock:
                    self._adopted[spec.run_id] = adopted
        with self._lock:
            return list(self._adopted.values()), lost

    def claim(self, spec: RunSpec) -> Adopted | None:
        """The run of an earlier process that this one is. One of its name that is another ends."""
        with self._lock:
            adopted = self._adopted.pop(spec.run_id, None)
        if adopted is None or adopted.spec == spec:
            return adopted
        self.end(adopted)
        return None

    def end_all(self) -> None:
        """Nobody asked for these: their job is over, or this node does not work on it any more."""
        for adopted in self._take_all():
            log.warning("a run of an earlier start is ended: nobody goes on with %s", adopted.spec.run_id)
            self.end(adopted)

    def let_go(self) -> bool:
        """They go on, for another process; whether there are any."""
        adopted = self._take_all()
        for one in adopted:
            one.sidecar.let_go()
            self._ground.let_go_of(one.held)
        return bool(adopted)

    def _take_all(self) -> list[Adopted]:
        with self._lock:
            adopted, self._adopted = list(self._adopted.values()), {}
        return adopted

    def end(self, adopted: Adopted) -> None:
        """Remove a run and what it left."""
        for problem in remove_container(self._engine, adopted.name) + adopted.sidecar.close():
            log.warning("left behind until the next clean-up: %s", problem)
        self._ground.release(adopted.held)

    def _adopt(self, given: RunSpec) -> Adopted:
        """Raises NotOurs, ImageNotFound, SandboxUnavailable, EngineError."""
        spec, engine, ground = self._ground.within_engine(given), self._engine, self._ground
        name, labels, image = ground.container(spec.run_id), ground.job_labels(spec), ground.require_image(spec.image_id)
        facts = _inspect(engine, name)
        until = _deadline(spec, facts)
        volume, uid = _volume_and_user(facts)
        before, sets = Sidecar(engine, name, uid, SidecarSize.of(spec), volume), sets_of(spec)
        folders = _seen(lambda: before.shown(ground.labels(spec.run_id))) if sets else []
        mounts = before.job_mounts(labels)
        labels = labels | {UNTIL_LABEL: facts["Config"]["Labels"][UNTIL_LABEL]}
        asked = job_config(spec, runtime=self._runtime, uid=uid, labels=labels, mounts=mounts) | {"Image": image}
        differing = differences(asked, facts)
        if differing or facts.get("Image") != image:
            raise NotOurs(f"it is another container than would be started: {'; '.join(differing)[:300] or 'of another image'}")
        if len(folders) != len(sets):
            raise NotOurs("it has other data sets than it was given")
        holders = _holding(engine, f"{volume}-out")
        volumes = _seen(lambda: ground.hold_again(sets, folders))
        try:
            sidecar = self._beside(spec, uid, volume, (*holders, name))
        except BaseException:
            ground.let_go_of(sets)
            raise
        return Adopted(given, name, sidecar, until, volumes)

    def _beside(self, spec: RunSpec, uid: int, volume: str, holders: Sequence[str]) -> Sidecar:
        """Raises RunLost, EngineError."""
        sidecar = self._ground.open_beside(spec, uid, volume)
        # Only now: a volume in memory that nothing mounted for a moment is empty, and looks like a job that wrote nothing.
        if not any(_runs(self._engine, holder) for holder in holders):
            sidecar.let_go()
            raise RunLost("it ended while this node was away, and what it left is gone")
        return sidecar


def _seen(look: Callable[[], list[str]]) -> list[str]:
    """What the engine says of a run's data. Raises NotOurs where they are gone, EngineError."""
    try:
        return look()
    except EngineError as problem:
        if problem.status == 404:
            raise NotOurs("its data sets are gone") from None
        raise


def _inspect(engine: Engine, name: str) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = engine.call("looking at a run", lambda api: api.inspect_container(name))
    except EngineError as problem:
        if problem.status == 404:
            raise NotOurs("its container is gone") from None
        raise
    state = facts.get("State") or {}
    if state.get("Paused") or state.get("Restarting") or facts.get("RestartCount") or state.get("Status") == "created":
        raise NotOurs("somebody stopped or restarted it, or it never began")
    return facts


def _deadline(spec: RunSpec, facts: dict[str, Any]) -> float:
    until = read_until((facts["Config"].get("Labels") or {}).get(UNTIL_LABEL, ""))
    if until > time.monotonic() + spec.limits.wall_s + START_S:
        # So it is where the machine started anew: its clock began anew, and whatever ran had ended.
        ended = not (facts.get("State") or {}).get("Running")
        raise (RunLost if ended else NotOurs)("its deadline is later than it can have been given")
    return until


def _volume_and_user(facts: dict[str, Any]) -> tuple[str, int]:
    mounts, user = facts.get("Mounts") or [], str(facts["Config"].get("User"))
    outside = next((str(mount.get("Name")) for mount in mounts if mount.get("Destination") == OUT_DIR), "")
    volume, uid = _VOLUME.fullmatch(outside), _USER.fullmatch(user)
    if volume is None or uid is None:
        raise NotOurs("it has another user or other volumes than any run has")
    return volume[1], int(uid[1])


def _holding(engine: Engine, volume: str) -> list[str]:
    """The containers that mount a volume."""
    found: list[Any] = engine.call("listing containers", lambda api: api.containers(all=True, filters={"volume": volume}))
    return [str(facts["Id"]) for facts in found]


def _runs(engine: Engine, name: str) -> bool:
    try:
        facts = engine.call("looking at a container", lambda api: api.inspect_container(name))
    except EngineError as problem:
        if problem.status == 404:
            return False
        raise
    return bool((facts.get("State") or {}).get("Running"))
