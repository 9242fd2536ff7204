"""Leases: machines that an engine of the owner's site gives for one run each (`slurm`), and takes back after it.

    noted -> asked -> queued -> running -> its program is there, self-test passed -> the run -> let go -> ended
       any of: the engine ended it, it waited too long, its program says what is wrong, the node gave the run up -> ended

The engine queues and places. A lease that would begin too late is not asked for, and the node's own engine takes the run. A lease
is noted in a file before it is asked for: the node's next start goes on with those whose runs go on, and ends the others. What the
engine says of its end counts at once, whatever its process still does: the machine is removed, and what it brings later is refused.
A cluster whose leases come to nothing one after the other rests, as a machine does that loses its runs (`rests`).
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Collection, Coroutine
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

import msgspec
import structlog

from learningchain.chain.storage import private
from learningchain.client.config import OF_CLUSTER
from learningchain.client.machines.book import MachineError
from learningchain.client.machines.hub import ENDING_S, SLOWEST, MachineHub
from learningchain.client.machines.joined import ImageArchive, LeasedFor
from learningchain.client.machines.lease_file import LeaseOrder
from learningchain.client.machines.placing import ASIDE_MB
from learningchain.client.machines.rests import LossRecord
from learningchain.client.machines.slurm import WARN_S, LeaseNews, LeaseShape, LeaseStanding, Slurm, SlurmError
from learningchain.sandbox import RunResult, RunSpec, RunStatus

log: Any = structlog.get_logger("leases")

LOOK_S: Final = 10.0
"""The engine's controller serves a whole site: one question for all leases, this often."""
PAUSE_S: Final = 0.1
SELF_TEST_S: Final = 120.0
"""What a lease's program may take until it takes its run."""
LET_GO_S: Final = 30.0
"""What a lease's program may take to end in order, before the engine ends it."""
QUIET: Final = 3
"""Questions that may fail in a row before that is news."""
MAX_NOTES: Final = 1 << 20


class LeaseTerms(msgspec.Struct, frozen=True):
    """`folder`: of the node, and seen by the cluster's machines under the same name. `address`: where they reach the node.
    `queue_max_s`: what a lease may wait for its start."""

    folder: Path
    address: str
    queue_max_s: float
    backend: str
    runtime: str
    devices: tuple[str, ...] = ()
    """GPUs of the cluster that the operator offers, by the node's names for them."""
    cdi: str = ""
    """How a GPU is called there by its number."""


@dataclass(eq=False)
class Lease:
    name: str
    run: str
    wanted: float
    """Since when its run waits, by the clock of `Leases`; `asked`: since when for this lease."""
    asked: float
    news: LeaseNews | None = None
    known: bool = False
    """The engine has answered that it has it: what it does not know from then on is over."""
    let_go: bool = False
    """Its run is over."""
    ended: str = ""
    """Why it is over; empty while it is not."""

    def waited_s(self, now: float) -> float:
        return max(0.0, now - self.wanted)


class Leases:
    """For the loop's thread alone. `notes`: the file of leases under way. `stop` it in the end."""

    def __init__(self, engine: Slurm, hub: MachineHub, notes: Path, terms: LeaseTerms) -> None:
        self._engine, self._hub, self._path, self._terms = engine, hub, notes, terms
        self._leases: dict[str, Lease] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._noting = asyncio.Lock()
        self._watching = False
        self._failures = 0
        self._losses, self._lost_by = LossRecord(), ""
        """Leases in a row of which none came to take its run, and what the last came to."""
        self.leaving = False

    async def recall(self, kept: Collection[str]) -> None:
        """Those of an earlier start: of `kept` runs they go on. To be called before any is taken."""
        for name, run in await asyncio.to_thread(self._noted):
            lease = self._leases[name] = Lease(name, run, now := self._now(), now, known=True)
            self._hub.leased[name] = LeasedFor(run, "")
            if run not in kept:
                self._spawn(self._end(lease))
        self._watch()

    async def take(self, spec: RunSpec, archive: ImageArchive, cancel: threading.Event) -> Lease | RunResult | None:
        """A lease whose machine waits for this run; None where there is none to be had, and it can run here; a result where it came
        to nothing."""
        wanted = self._now()
        until = wanted + self._terms.queue_max_s
        while spec.devices and self.resting() and self._now() < until and not (cancel.is_set() or self.leaving):
            await asyncio.sleep(PAUSE_S)  # it can run nowhere else, and waits as it would in the queue
        if cancel.is_set() or self.leaving:
            return self._called_off(cancel)
        if why := self.resting():
            return _not_to_be_had(spec, why)
        try:
            shape = shape_of(spec, archive.size)
            start = await self._engine.try_out(shape)
        except (OSError, SlurmError) as fault:
            return _not_to_be_had(spec, str(fault))
        if start is not None and start > time.time() + self._terms.queue_max_s:
            return _not_to_be_had(spec, f"it would begin in {int(start - time.time())} s, later than slurm.queue_max_s allows")
        lease = Lease(f"slurm-{token_hex(6)}", spec.run_id, wanted, self._now())
        self._leases[lease.name] = lease
        self._hub.leased[lease.name] = LeasedFor(lease.run, "it is asked for")
        handed = False
        try:
            await self._ask(lease, shape, len(spec.devices))
            result = await self._ready(lease, cancel, excused=not spec.devices)
            handed = result is None
            return lease if result is None else result
        except (MachineError, OSError, SlurmError) as fault:
            return _not_to_be_had(spec, f"{lease.name}: {fault}")
        finally:
            if not handed:
                self._spawn(self._end(lease))

    async def prove_devices(self) -> list[dict[str, Any]]:
        """Of each GPU of the cluster that is offered, whether the engine would give a lease that has it, as a self-test says it."""
        proved = []
        for device in self._terms.devices:
            said = f"a job of Slurm gets it by --gres={gres_of([device])}"
            try:
                await self._engine.try_out(LeaseShape(1, ASIDE_MB, 1, gres_of([device])))
            except SlurmError as fault:
                said = f"the device {device} is given to no job: {fault}. Look at work.gpus and slurm.partition (docs/slurm.md)"
                log.warning("a GPU of the cluster is not to be had", device=device, why=str(fault))
                proved.append({"name": device, "ok": False, "detail": said})
            else:
                proved.append({"name": device, "ok": True, "detail": said})
        return proved

    def waited_s(self, lease: Lease) -> float:
        return lease.waited_s(self._now())

    def let_go(self, run_id: str) -> None:
        """The run on this lease is over: its program ends by itself, or is ended a while later."""
        for lease in [lease for lease in self._leases.values() if lease.run == run_id]:
            self._spawn(self._let_go(lease))

    async def stop(self) -> None:
        """Leases whose runs go on without the node stay; the others end."""
        stays = {run for lease in self._leases.values() if self.leaving and self._hub.has(run := lease.run)}
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._end(lease) for lease in list(self._leases.values()) if lease.run not in stays))

    # --- one lease -------------------------------------------------------------------------------------------------------------

    async def _ask(self, lease: Lease, shape: LeaseShape, devices: int) -> None:
        terms = self._terms
        await self._note()
        token, _ = self._hub.add(lease.name, terms.address, good_ms=int(1_000 * (terms.queue_max_s + SELF_TEST_S)))
        order = LeaseOrder(token, terms.backend, terms.runtime, devices, terms.cdi if devices else "")
        await asyncio.to_thread(self._write_order, lease.name, order)
        await self._engine.ask(lease.name, shape, self._order(lease.name), self._printed(lease.name))
        lease.known = True
        self._watch()

    async def _ready(self, lease: Lease, cancel: threading.Event, *, excused: bool) -> RunResult | None:
        """None once its machine waits for the run. `excused`: whether a machine that is there and takes no run says nothing. Where
        the cluster's GPUs are refused, the next lease is told the same."""
        until = self._now() + self._terms.queue_max_s
        began = False
        while True:
            trouble = self._hub.trouble_of(lease.name)
            if trouble == "":
                self._losses.clear()
                log.info("a lease is there", lease=lease.name, run=lease.run, waited_s=round(self.waited_s(lease), 1))
                return None
            if trouble:
                return self._lost(lease, trouble, excused=excused)
            if lease.ended:
                said = await asyncio.to_thread(self._last_words, lease.name)
                return self._lost(lease, lease.ended + (f"; it wrote: {said}" if said else ""))
            if cancel.is_set() or self.leaving:
                return self._called_off(cancel)
            if not began and lease.news is not None and lease.news.standing is LeaseStanding.RUNNING:
                began, until = True, self._now() + SELF_TEST_S
            if self._now() > until:
                within = f"within {until - lease.asked:.0f} s"
                if began:
                    return self._lost(lease, f"its program did not come to the node {within}")
                return _came_to_nothing(f"the lease {lease.name}: it waited for its start, {self._why(lease)} {within}")
            if not self._hub.lets_in(lease.name):
                return _came_to_nothing(f"the lease {lease.name} was removed")
            await asyncio.sleep(PAUSE_S)

    def _lost(self, lease: Lease, why: str, *, excused: bool = True) -> RunResult:
        """It had its machine, or was to have it, and its program took no run. Several that were asked for together are one loss."""
        if not self._losses.losses or lease.asked > self._losses.losses[-1]:
            self._losses.add(self._now())
            self._lost_by = why
        return _came_to_nothing(f"the lease {lease.name}: {why}", excused=excused)

    def _called_off(self, cancel: threading.Event) -> RunResult:
        status = RunStatus.CANCELLED if cancel.is_set() else RunStatus.ENGINE_ERROR
        return RunResult(status=status, reason="cancelled" if cancel.is_set() else "the node is stopping")

    def resting(self) -> str:
        """Why no lease is asked for although there may be some; empty where the cluster does not rest."""
        rest_s = self._losses.rest_s(self._now())
        lost = f"its last {len(self._losses.losses)} jobs took no run, the last one: {self._lost_by}"
        return f"the cluster rests: {lost}. None is asked for within {rest_s / 60:g} minutes" if rest_s else ""

    def _why(self, lease: Lease) -> str:
        return "and the engine did not say why" if lease.news is None else lease.news.why

    async def _let_go(self, lease: Lease) -> None:
        """Its program ends by itself, in order; the engine says so."""
        lease.let_go, until = True, self._now() + LET_GO_S
        while not lease.ended and self._now() < until:
            await asyncio.sleep(PAUSE_S)
        await self._end(lease)

    async def _end(self, lease: Lease) -> None:
        """Its machine comes in no more, whatever its process does, and the engine is told."""
        try:
            self._hub.remove(lease.name, lease.ended or "its lease is over")
            await self._engine.end(lease.name)
        except (MachineError, SlurmError) as fault:  # its time is over by itself some day
            log.warning("a lease could not be ended", lease=lease.name, why=str(fault))
        for path in (self._order(lease.name), self._printed(lease.name)):
            await asyncio.to_thread(path.unlink, missing_ok=True)
        self._leases.pop(lease.name, None)
        self._hub.leased.pop(lease.name, None)
        await self._note()
        log.info("a lease is over", lease=lease.name, run=lease.run, why=lease.ended or "it is not needed any more")

    # --- all of them -----------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        if not self._watching and self._leases:
            self._watching = True
            self._spawn(self._look())

    async def _look(self) -> None:
        try:
            while self._leases:
                await self._look_once()
                await asyncio.sleep(LOOK_S)
        finally:
            self._watching = False

    async def _look_once(self) -> None:
        asked = [lease for lease in self._leases.values() if lease.known and not lease.ended]
        try:
            found = await self._engine.look([lease.name for lease in asked]) if asked else {}
        except SlurmError as fault:
            self._failures += 1
            if self._failures == QUIET:
                log.warning("the engine that gives leases does not answer; they go on", why=str(fault))
            return
        if self._failures >= QUIET:
            log.info("the engine that gives leases answers again")
        self._failures = 0
        for lease in asked:
            news = found.get(lease.name)
            if news is None or news.standing is LeaseStanding.ENDED:
                self._over(lease, "the engine knows it no more" if news is None else f"the engine ended it: {news.why}")
            elif lease.name in self._leases:
                lease.news = news
                self._hub.leased[lease.name] = LeasedFor(lease.run, news.why)

    def _over(self, lease: Lease, why: str) -> None:
        lease.ended = why
        if not lease.let_go:
            log.warning("a lease ended by its engine", lease=lease.name, run=lease.run, why=why)
        try:
            self._hub.remove(lease.name, why)
        except MachineError as fault:
            log.warning("the machine of a lease could not be removed", lease=lease.name, why=str(fault))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- files -----------------------------------------------------------------------------------------------------------------

    def _order(self, name: str) -> Path:
        return self._terms.folder / f"{name}.json"

    def _printed(self, name: str) -> Path:
        return self._terms.folder / f"{name}.log"

    def _write_order(self, name: str, order: LeaseOrder) -> None:
        self._terms.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        order.write(self._order(name))

    def _last_words(self, name: str) -> str:
        """The end of what its program wrote: why it did not come."""
        try:
            with private.reading(self._printed(name)) as file:
                file.seek(max(0, file.seek(0, 2) - 300))
                said = file.read(300).decode("utf-8", "replace")
        except OSError:
            return ""
        return " ".join("".join(char if char.isprintable() else " " for char in said).split())

    async def _note(self) -> None:
        async with self._noting:
            rows = [(lease.name, lease.run) for lease in self._leases.values()]
            try:
                await asyncio.to_thread(private.replace, self._path, msgspec.json.encode(rows))
            except OSError as fault:
                log.warning("leases could not be noted", why=str(fault))

    def _noted(self) -> list[tuple[str, str]]:
        try:
            with private.reading(self._path) as file:
                return msgspec.json.decode(file.read(MAX_NOTES), type=list[tuple[str, str]])
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as fault:
            log.warning("leases of an earlier start cannot be read: their own time ends them", why=str(fault))
            return []

    def _now(self) -> float:
        return time.monotonic()


def shape_of(spec: RunSpec, archive: int) -> LeaseShape:
    """What one run needs of its machine: its own, room for the program, and time for the self-test, the image's way (`archive`
    bytes), the model's, and the warning before the end."""
    limits = spec.limits
    moving = (limits.model_cap + archive) / SLOWEST
    seconds = limits.wall_s + moving + ENDING_S + SELF_TEST_S + WARN_S
    return LeaseShape(math.ceil(limits.cpus), limits.mem_mb + ASIDE_MB, math.ceil(seconds / 60), gres_of(spec.devices))


def gres_of(devices: Collection[str]) -> str:
    """GPUs of the cluster as Slurm asks for them: slurm/gpu.a100=0 and slurm/gpu.a100=1 are gpu:a100:2."""
    kinds = Counter(device.removeprefix(OF_CLUSTER).partition("=")[0].replace(".", ":", 1) for device in devices)
    return ",".join(f"{kind}:{count}" for kind, count in sorted(kinds.items()))


def _not_to_be_had(spec: RunSpec, why: str) -> RunResult | None:
    """A run whose devices are the cluster's runs nowhere else."""
    log.warning("no lease is to be had", run=spec.run_id, why=why, stays_here=not spec.devices)
    return _came_to_nothing(f"no lease is to be had: {why}") if spec.devices else None


def _came_to_nothing(why: str, *, excused: bool = True) -> RunResult:
    return RunResult(status=RunStatus.ENGINE_ERROR, reason=why, lost=excused)
