"""Which containers of the served models wait for a request, and which request gets which of them. Pure: no clock, no engine.

    ask --> waiting --> given to a READY container of its model --> the container dies with its answer
                          ^
    start --> STARTING --> READY --> closed: its model was idle, or is served no more, or another model's request needs the memory
                 |            |
                 v            v
               failed        died: another try later, ever more rarely while they fail

A container is given to one request, ever. What every step keeps to:

- At most `slots` requests are answered at a time, and no more containers are there than `memory_mb` and `MAX_CONTAINERS` allow.
  A container counts with all that it may use, from its start until it is gone.
- A request that waits has a container started for it, also where its model failed before, and at the cost of containers that wait
  for other models' requests. Keeping containers ready takes what is left, and never that.
- Of each model that was asked within `idle_s` seconds so many are kept ready as it is to have; further ones than the first are
  started when nothing is being answered.

`WarmPool` (`client.work.warm_pool`) carries out what this says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

MAX_CONTAINERS = 32
"""Of all models together."""
MAX_WAITING = 256
"""Requests that wait for a container."""
MAX_STARTING = 2
"""Containers that are started to be kept, at a time."""
RETRY_S, RETRY_MOST_S = 1.0, 300.0
"""After a container that failed the next one is started so much later; after each further one twice that."""
PROVEN_S = 60.0
"""A container that waited so long has not failed when it ends."""
NOTED_FAILURES = 3
"""Failures in a row after which the operator is told."""


class ContainerState(Enum):
    STARTING = "starting"
    READY = "ready"
    GIVEN = "given"
    """It has its request, or is being closed: it is gone soon."""


@dataclass(frozen=True)
class Start:
    """Answered by `started` or `start_failed`."""

    container: int
    ref: bytes


@dataclass(frozen=True)
class Give:
    """Hand the request to the container; answered by `gone`."""

    container: int
    ask: str


@dataclass(frozen=True)
class Close:
    """Kill it unused; answered by `gone`."""

    container: int


@dataclass(frozen=True)
class Refuse:
    """There is no container for this request. `failure`: of the start that failed, where that is why; it is the driver's."""

    ask: str
    why: str
    failure: object = None


Action = Start | Give | Close | Refuse


@dataclass
class _Served:
    cost_mb: int
    keep: int
    used: float
    """When it was asked last, or served first."""
    failures: int = 0
    why: str = ""
    here: bool = False
    """The last failure was this machine's own trouble."""
    retry_at: float = 0.0
    """Before that none is started to be kept."""
    ask_at: float = 0.0
    """Before that none is started for a request."""


@dataclass
class _Container:
    ref: bytes
    cost_mb: int
    state: ContainerState
    since: float


@dataclass(frozen=True)
class _Waiting:
    ask: str
    ref: bytes
    until: float


@dataclass
class Warmth:
    """All times are seconds of one clock that never goes back. Whoever calls does what is returned, in its order, at once."""

    slots: int
    memory_mb: int
    idle_s: float
    _models: dict[bytes, _Served] = field(default_factory=dict)
    _containers: dict[int, _Container] = field(default_factory=dict)
    _waiting: dict[str, _Waiting] = field(default_factory=dict)
    _answering: set[int] = field(default_factory=set)
    _last: int = 0

    # --- what happens ----------------------------------------------------------------------------------------------------------

    def serve(self, ref: bytes, cost_mb: int, keep: int, now: float) -> list[Action]:
        """Raises ValueError where not even one container of it fits."""
        if cost_mb > self.memory_mb:
            raise ValueError(
                f"a container of this model may use {cost_mb} MiB, and all that this node serves has {self.memory_mb} MiB; "
                "raise serve.mem_mb, or do not serve it"
            )
        self._models[ref] = _Served(cost_mb, keep, now)
        return self._settle(now)

    def unserve(self, ref: bytes, now: float) -> list[Action]:
        """Requests that have their container are answered; those that wait are refused."""
        self._models.pop(ref, None)
        gone = [waiting.ask for waiting in self._waiting.values() if waiting.ref == ref]
        return [*(self._refuse(ask, "this node does not serve the model any more") for ask in gone), *self._settle(now)]

    def ask(self, ask: str, ref: bytes, until: float, now: float) -> list[Action]:
        """A request; it waits for a container until `until`. Raises ValueError for a name that waits already."""
        if ask in self._waiting:
            raise ValueError(f"{ask} waits already")
        if ref not in self._models:
            return [Refuse(ask, "this node does not serve the model")]
        if len(self._waiting) >= MAX_WAITING:
            return [Refuse(ask, f"{MAX_WAITING} requests wait for a container already")]
        self._models[ref].used = now
        self._waiting[ask] = _Waiting(ask, ref, until)
        return self._settle(now)

    def call_off(self, ask: str, now: float) -> list[Action]:
        """A request that waits is wanted no more."""
        return [self._refuse(ask, "it was called off"), *self._settle(now)] if ask in self._waiting else []

    def started(self, container: int, now: float) -> list[Action]:
        found = self._containers[container]
        found.state, found.since = ContainerState.READY, now
        return self._settle(now)

    def start_failed(self, container: int, why: str, failure: object, now: float, *, here: bool) -> list[Action]:
        """`here`: it is this machine's own trouble, and who waits goes on waiting. Else the request that has waited longest for
        this model is told: it would end the same way with another container."""
        found = self._containers.pop(container)
        self._failed(found.ref, why, now, here=here)
        told: list[Action] = []
        first = next((waiting for waiting in self._waiting.values() if waiting.ref == found.ref), None)
        if first is not None and not here:
            told.append(self._refuse(first.ask, why, failure))
        return [*told, *self._settle(now)]

    def died(self, container: int, now: float) -> list[Action]:
        """One that waited has ended by itself. One that was taken meanwhile is none of these."""
        found = self._containers.get(container)
        if found is None or found.state is not ContainerState.READY:
            return []
        del self._containers[container]
        if now - found.since < PROVEN_S:
            self._failed(found.ref, "its container ended while it waited for a request", now, here=True)
        elif found.ref in self._models:
            self._models[found.ref].failures = 0
        return self._settle(now)

    def found_dead(self, container: int, ask: str, until: float, now: float) -> list[Action]:
        """One that was given to a request had ended before: the request waits for another one, before all others."""
        found = self._containers.pop(container)
        self._answering.discard(container)
        self._failed(found.ref, "its container ended while it waited for a request", now, here=True)
        if found.ref not in self._models:
            return [Refuse(ask, "this node does not serve the model any more"), *self._settle(now)]
        self._waiting = {ask: _Waiting(ask, found.ref, until), **self._waiting}
        return self._settle(now)

    def gone(self, container: int, now: float, *, proven: bool = False) -> list[Action]:
        """One that was given to a request, or closed. `proven`: it did what a container of this model should."""
        found = self._containers.pop(container)
        self._answering.discard(container)
        if proven and found.ref in self._models:
            self._models[found.ref].failures = 0
        return self._settle(now)

    def forgive(self, now: float, *, everything: bool) -> list[bytes]:
        """The models whose last failures were this machine's own trouble and count no more: of all, or of those that nobody asks,
        for which nothing is tried that could show that the trouble is over."""
        forgiven = [
            ref
            for ref, model in self._models.items()
            if model.failures and model.here and (everything or self._is_idle(model, now))
        ]
        for ref in forgiven:
            model = self._models[ref]
            model.failures, model.why, model.retry_at, model.ask_at = 0, "", now, now
        return forgiven

    def tick(self, now: float) -> list[Action]:
        return self._settle(now)

    # --- what is so ------------------------------------------------------------------------------------------------------------

    @property
    def memory_taken_mb(self) -> int:
        return sum(container.cost_mb for container in self._containers.values())

    def ready(self) -> list[int]:
        return [number for number, container in self._containers.items() if container.state is ContainerState.READY]

    def counts(self, ref: bytes) -> tuple[int, int, int]:
        """Of a model: containers that start, that are ready, and that answer."""
        states = Counter(container.state for container in self._containers.values() if container.ref == ref)
        return states[ContainerState.STARTING], states[ContainerState.READY], states[ContainerState.GIVEN]

    def troubles(self, now: float) -> Iterator[tuple[bytes, str]]:
        """Models of which no container is to be had, or none stays: what the operator should know."""
        for ref, model in self._models.items():
            if model.failures >= NOTED_FAILURES and not self.counts(ref)[1]:
                again = f"again in {max(0, round(model.retry_at - now))} s"
                yield ref, f"no container of the model is kept ready, after {model.failures} failures: {model.why}; {again}"

    # --- how it goes on --------------------------------------------------------------------------------------------------------

    def _settle(self, now: float) -> list[Action]:
        late = [waiting for waiting in self._waiting.values() if waiting.until <= now]
        said: list[Action] = [self._refuse(waiting.ask, self._why_late(waiting)) for waiting in late]
        said += self._cool(now)
        for waiting in list(self._waiting.values()):
            if len(self._answering) < self.slots:
                said += self._give(waiting)
        said += self._start_for_requests(now)
        return [*said, *self._start_to_keep(now)]

    def _why_late(self, waiting: _Waiting) -> str:
        why = self._models[waiting.ref].why if waiting.ref in self._models else ""
        return f"no container was free in time: {why}" if why else "no container was free in time"

    def _cool(self, now: float) -> Iterator[Action]:
        for number, container in self._containers.items():
            model = self._models.get(container.ref)
            if (
                container.state is ContainerState.READY
                and (model is None or self._is_idle(model, now))
                and not self._asked(container.ref)
            ):
                container.state = ContainerState.GIVEN
                yield Close(number)

    def _give(self, waiting: _Waiting) -> Iterator[Action]:
        for number, container in self._containers.items():
            if container.ref == waiting.ref and container.state is ContainerState.READY:
                container.state = ContainerState.GIVEN
                self._answering.add(number)
                del self._waiting[waiting.ask]
                yield Give(number, waiting.ask)
                return

    def _start_for_requests(self, now: float) -> Iterator[Action]:
        """A container for each request that could be answered now. Requests go in their order: behind one for which there is no
        memory nothing is started."""
        coming = Counter(
            found.ref for found in self._containers.values() if found.state in (ContainerState.STARTING, ContainerState.READY)
        )
        for waiting in list(self._waiting.values())[: max(0, self.slots - len(self._answering))]:
            if coming[waiting.ref]:
                coming[waiting.ref] -= 1
                continue
            model = self._models[waiting.ref]
            if model.ask_at > now:
                continue
            for number in self._to_make_room(model.cost_mb, waiting.ref):
                self._containers[number].state = ContainerState.GIVEN
                yield Close(number)
            if not self._fits(model.cost_mb):
                return  # what is closed has to be gone first
            yield self._start(waiting.ref, now)

    def _start_to_keep(self, now: float) -> Iterator[Action]:
        if self._waiting:
            return
        for ref, model in self._models.items():
            starting, ready, _ = self.counts(ref)
            while (
                starting + ready < model.keep
                and not self._is_idle(model, now)
                and model.retry_at <= now
                and not (self._answering and starting + ready)
                and sum(found.state is ContainerState.STARTING for found in self._containers.values()) < MAX_STARTING
                and self._fits(model.cost_mb)
            ):
                starting += 1
                yield self._start(ref, now)

    def _start(self, ref: bytes, now: float) -> Start:
        self._last += 1
        self._containers[self._last] = _Container(ref, self._models[ref].cost_mb, ContainerState.STARTING, now)
        return Start(self._last, ref)

    def _to_make_room(self, cost_mb: int, ref: bytes) -> list[int]:
        """Containers that wait for requests of other models, those of the model that was asked longest ago first; none where that
        would not be enough either. None of them is waited for: while there is a free slot, `_give` leaves no such container."""
        others = [
            (self._models[found.ref].used if found.ref in self._models else 0.0, number)
            for number, found in self._containers.items()
            if found.state is ContainerState.READY and found.ref != ref
        ]
        closed: list[int] = []
        # What is closed already will be free in a moment.
        free = self.memory_mb - sum(
            found.cost_mb
            for number, found in self._containers.items()
            if found.state is not ContainerState.GIVEN or number in self._answering
        )
        for _, number in sorted(others):
            if free >= cost_mb and len(self._containers) - len(closed) < MAX_CONTAINERS:
                break
            closed.append(number)
            free += self._containers[number].cost_mb
        return closed if free >= cost_mb else []

    def _fits(self, cost_mb: int) -> bool:
        return self.memory_taken_mb + cost_mb <= self.memory_mb and len(self._containers) < MAX_CONTAINERS

    def _asked(self, ref: bytes) -> bool:
        return any(waiting.ref == ref for waiting in self._waiting.values())

    def _is_idle(self, model: _Served, now: float) -> bool:
        return now - model.used >= self.idle_s

    def _failed(self, ref: bytes, why: str, now: float, *, here: bool) -> None:
        model = self._models.get(ref)
        if model is not None:
            model.failures += 1
            model.why, model.here = why, here
            model.ask_at = now + RETRY_S if here else now
            model.retry_at = now + min(RETRY_MOST_S, RETRY_S * 2.0 ** min(model.failures - 1, 10))

    def _refuse(self, ask: str, why: str, failure: object = None) -> Refuse:
        del self._waiting[ask]
        return Refuse(ask, why, failure)
