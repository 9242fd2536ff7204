"""Work: the machines of every contract on one node, driven on its event loop.

    blocks, time --> machines (pure) --> effects: images, runs (threads), files, the database (a thread), the outbox

`WorkDriver` is composed by the daemon. It knows no contract: its machines, and what it must know of them, come from the contracts'
slices (`machine`). Nothing in it blocks the loop: the sandbox, the database and hashing have threads of their own. What an effect
comes to goes back into the machines as an input. A node that is killed goes on from the ledger and the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from chain.ledger.transition import chain_record
from client.config import WorkConfig
from client.core import Files, Ledger
from client.work.artifacts import Images, Models, Pins, durably, in_thread, reason
from client.work.changes import MAX_PIECE, WatchedChanges
from client.work.database import Intent, IntentState, WorkDatabase
from client.work.engine import RunLog, ThreadedSandbox
from client.work.events import (
    RECENT_MS,
    BringImage,
    Chain,
    Changed,
    Decrypt,
    DropFile,
    DropSecret,
    Effect,
    EndScope,
    FetchContent,
    Forget,
    Input,
    Kept,
    Kill,
    NotPublished,
    Pin,
    PublishFile,
    RefFaulted,
    ReleaseImage,
    Secret,
    SecretRefused,
    Settled,
    StartRun,
    Submit,
    Unpin,
)
from client.work.execution import Execution
from client.work.fetching import Fetching
from client.work.machine import Machine, Recalled, Slice, find_slices, ledger_statuses_of
from client.work.outbox import Outbox
from sandbox import AsyncBackend, Backend, SandboxError

log = structlog.get_logger(__name__)

TICK_S = 1.0
"""The chain clock goes on between blocks: deadlines are looked at this often."""
PUMP_S = 0.02
"""Blocks that come faster than this are looked at together."""
LOOK_SHARE = 20
"""After a look at the state the next one waits this many times as long as it took."""
PIECES = 32
"""Pieces of what changed that are told between two looks."""
PIECE_SHARE = 3
"""After a piece, others have the loop for this many times as long as it took."""
PREPARE_SOON_S = 2.0
"""A busy engine may fail a check once: the first new try comes soon, each further one after twice the time, to a limit."""
PREPARE_AGAIN_S = 60.0
STOP_S = 30.0
"""How long killing the containers may take."""
MAX_WHY = 500
"""Characters kept of what a part that fails says."""
MAX_UNTOLD = 1_024
"""Keys of which a machine could not be told, kept to be told again."""
MAX_STARTS = 2
"""An attempt that was under way so often when the node died is not started again: it may be what kills it."""


@dataclass(frozen=True)
class _Part:
    """A machine, and what is told to it: its contract's changes."""

    machine: Machine
    changes: WatchedChanges


class WorkDriver:
    """Implements `client.core.Runs`. `data` is the folder of this part alone, beside the sandbox's own (`sandbox`).

    `now()`: wall-clock milliseconds; `rng(n)`: n random bytes. `self_test`: prove every
    limit of the sandbox here, where the caller has not done it before. `engine` and `executor` replace the sandbox and the threads,
    `slices` those of the contracts. `stop` closes the sandbox.
    """

    def __init__(
        self,
        ledger: Ledger,
        files: Files,
        sandbox: Backend | None,
        data: Path,
        config: WorkConfig,
        *,
        now: Callable[[], int],
        rng: Callable[[int], bytes],
        self_test: bool = False,
        engine: AsyncBackend | None = None,
        executor: Executor | None = None,
        slices: Sequence[Slice] | None = None,
    ) -> None:
        if engine is None and sandbox is None:
            raise ValueError("work needs a sandbox")
        self._ledger, self._files, self._config = ledger, files, config
        self._now, self._rng = now, rng
        self._folder, self._leftovers = data, data.parent / "sandbox" / "out"
        self._engine: AsyncBackend = engine or ThreadedSandbox(sandbox, config.concurrent + 1, self_test)  # type: ignore[arg-type]
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="work-database")
        self._log = RunLog(now)
        self._slices = list(find_slices() if slices is None else slices)
        self._parts: dict[str, _Part] = {}
        """By the machine's name, in the order in which they are asked."""
        self._changes: list[WatchedChanges] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._scopes: dict[tuple[str, str], set[asyncio.Task[None]]] = {}
        """Fetches under way, by machine and scope."""
        self._fetching: set[bytes] = set()
        self._releasing: set[bytes] = set()
        self._letting_go: set[bytes] = set()
        self._wake, self._ready = asyncio.Event(), asyncio.Event()
        self._started = self._stopping = False
        self._failing: dict[str, tuple[int, str]] = {}
        """Machines that fail at present: since when, and why."""
        self._untold: dict[str, set[bytes]] = {}
        """Keys that a machine failed at when it was told of them."""
        self.report: dict[str, Any] | None = None
        """What the sandbox's self-test said; None before it is over. `ok` false: no job runs, `reason` says why."""

    # --- life ------------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Go on where this node stopped. Raises BookError. The sandbox is prepared meanwhile; duties that need none are done."""
        path = self._folder / "work.db"
        self._database = await self._call(lambda: WorkDatabase(path, self._ledger.chain_id, self._ledger.own_id))
        self._pins = Pins(self._files, self._database, self._executor)
        await self._pins.load()
        self._images = Images(self._files, self._engine, self._pins)
        self._models = Models(self._folder / "models", self._executor)
        hidden = self._folder / "hidden"
        self._fetch = Fetching(self._ledger, self._files, self._images, self._pins, hidden, self._executor)
        self._execution = Execution(self._engine, self._log, self._models, self._database, self._executor)
        await self._recall()
        statuses = ledger_statuses_of(self._slices)
        self._outbox = Outbox(self._database, self._ledger, statuses, now=self._now, executor=self._executor, settled=self._settled)
        await self._outbox.start()
        self._started = True
        runs = any(part.runs(self._config) for part in self._slices)
        for task in (*((self._prepare(),) if runs else ()), self._follow(), self._pump()):
            self._spawn(task)

    async def _recall(self) -> None:
        """The machines know again what this node knew."""
        database = self._database
        await self._call(lambda: database.prune(self._now()))
        await self._pins.expire(self._now())
        secrets, pending = await self._call(database.secrets), await self._call(database.pending)
        attempts = await self._call(lambda: database.attempts(MAX_STARTS))
        for part in self._slices:
            known = Recalled(
                me=self._ledger.own_id,
                chain_id=self._ledger.chain_id,
                config=self._config,
                rng=self._rng,
                secrets=[secret for secret in secrets if part.owns(secret.kind)],
                attempts={kind: used for kind, used in attempts.items() if part.owns(kind)},
                pending=[(intent.kind, intent.key, intent.ref) for intent in pending if part.owns(intent.kind)],
            )
            changes = WatchedChanges(self._ledger.state, part.watch)
            self._changes.append(changes)
            for machine in part.machines(known):
                if machine.name in self._parts:
                    raise ValueError(f"two machines are called {machine.name}")
                self._parts[machine.name] = _Part(machine, changes)
        await self._models.sweep({secret.path for secret in secrets if secret.path is not None}, self._leftovers)
        await self._call(self._fetch.sweep)

    async def stop(self) -> None:
        """Kill what runs and stop; what is pending stays in the database. Also after a `start` that failed."""
        self._stopping = True
        if self._started:
            self._execution.stopping = True
        self._log.cancel_all("this node is stopping")
        runs = [task for task in self._tasks if task.get_name().startswith("run ")]
        if runs:
            await asyncio.wait(runs, timeout=STOP_S)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._started:
            await self._outbox.stop()
            await self._call(self._database.close)
        try:
            await self._engine.close()
        except SandboxError as problem:
            log.warning("containers may stay until the next start", why=str(problem))
        self._executor.shutdown(wait=False)

    async def _prepare(self) -> None:
        """Nothing of a stranger runs before every limit of the sandbox was seen to hold."""
        keep = await self._live_images()
        pause = PREPARE_SOON_S
        while not self._ready.is_set():
            try:
                self.report = await self._engine.prepare(set(keep.values()))
                await self._images.adopt(keep)
                self._ready.set()
                log.info("the sandbox is ready", **{k: self.report[k] for k in self.report if k != "checks"})
            except Exception as problem:
                self.report = {"ok": False, "reason": str(problem)}
                log.error("no job can run here", why=str(problem), again_in_s=pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, PREPARE_AGAIN_S)

    async def _live_images(self) -> dict[bytes, str]:
        """By ref. Looks through all that lives, a few at a time."""
        found = {}
        for part in self._slices:
            for number, (ref, image_id) in enumerate(part.images(self._ledger.state)):
                if number % MAX_PIECE == MAX_PIECE - 1:
                    await asyncio.sleep(0)
                found[ref] = image_id
        return found

    # --- the loop --------------------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            try:
                async for _ in self._ledger.committed():
                    self._wake.set()
                return
            except LookupError:  # far behind: the state is what counts, not the blocks
                self._wake.set()

    async def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._tell_changes()
            began = loop.time()
            self._step()
            # With many runs and messages of its own a look takes long: never more than a small part of the loop that votes.
            await asyncio.sleep(min(TICK_S, max(PUMP_S, LOOK_SHARE * (loop.time() - began))))
            if not all(changes.complete for changes in self._changes):
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._wake.wait()
            self._wake.clear()

    async def _tell_changes(self) -> None:
        """The machines learn what blocks changed, a piece at a time: also at a start no piece holds the loop up."""
        loop = asyncio.get_running_loop()
        for changes in self._changes:
            for _ in range(PIECES):
                began = loop.time()
                changed = changes.take()
                if changed is None:
                    break
                for name, part in self._parts.items():
                    if part.changes is changes:
                        self._tell(name, changed)
                await asyncio.sleep(PIECE_SHARE * (loop.time() - began))

    def _tell(self, name: str, changed: Changed) -> None:
        """A key at which a machine fails hides no other from it, and is told again with the next change."""
        tell = self._parts[name].machine.handle
        keys = (*changed.keys, *sorted(self._untold.pop(name, set()) - {*changed.keys}))
        try:
            said = tell(Changed(changed.reader, keys, changed.anew))
        except Exception as fault:
            self._fails(name, fault)
        else:
            self._do(name, said)
            return
        for piece in (Changed(changed.reader, (), changed.anew), *(Changed(changed.reader, (key,)) for key in keys)):
            try:
                self._do(name, tell(piece))
            except Exception as fault:
                log.error("what changed could not be told", part=name, keys=[key.hex() for key in piece.keys], why=repr(fault))
                untold = self._untold.setdefault(name, set())
                untold |= {*piece.keys} if len(untold) < MAX_UNTOLD else set()

    def _step(self) -> None:
        """One look at the committed state."""
        state, clock = self._ledger.state, self._ledger.clock
        held = frozenset((self._images.refs | self._pins.refs) - self._releasing)
        recent = self._now() - chain_record(state).time <= RECENT_MS + 3 * self._ledger.params.heartbeat
        for name, part in self._parts.items():
            busy = any(other.machine.busy for other in self._parts.values() if other is not part)
            self._ask(name, Chain(state, clock, busy, part.changes.complete, held, recent))

    def _feed(self, given: Input, only: str | None = None) -> None:
        """An answer: to the machine that asked, or to all of them."""
        if self._stopping:
            return
        for name in self._parts if only is None else (only,):
            self._ask(name, given)
        self._wake.set()

    def _ask(self, name: str, given: Input) -> None:
        """Ask one machine and do what it says, before the next one is asked.

        A machine notes that it said something, and says it once: what it said is done whatever becomes of the others. One that
        fails is asked again at the next block, and until it answers the status says so.
        """
        try:
            effects = self._parts[name].machine.handle(given)
        except Exception as fault:
            self._fails(name, fault)
            return
        stumbled = [effect for effect in effects if isinstance(effect, RefFaulted)]
        for failure in stumbled:
            self._fails(name, failure.fault, failure.ref)
        if not stumbled and self._failing.pop(name, None) is not None:
            log.info("a part of this node's work goes on", part=name)
        self._do(name, effects)

    def _do(self, name: str, effects: Sequence[Effect]) -> None:
        for effect in effects:
            try:
                self._perform(name, effect)
            except Exception:
                log.exception("an effect failed", part=name, effect=type(effect).__name__)

    def _fails(self, part: str, fault: Exception, ref: bytes = b"") -> None:
        if part not in self._failing:
            text = "a part of this node's work fails; it is asked again at the next block"
            log.error(text, part=part, ref=ref.hex(), exc_info=fault)
            of = f" ({ref.hex()})" if ref else ""
            self._failing[part] = (self._now(), f"{type(fault).__name__}: {fault}{of}"[:MAX_WHY])

    def _settled(self, intent: Intent, state: IntentState, note: str) -> None:
        self._feed(Settled(intent.kind, intent.key, intent.ref))

    # --- effects ---------------------------------------------------------------------------------------------------------------

    def _perform(self, name: str, effect: Effect) -> None:
        """`name`: the machine that said it."""
        match effect:
            case StartRun():
                self._spawn(self._run(name, effect), f"run {effect.run}")
            case Kill():
                self._log.cancel(effect.run, effect.reason)
            case BringImage() if effect.ref not in self._fetching:
                self._fetching.add(effect.ref)
                self._spawn(self._image(effect))
            case BringImage(urgent=True):
                self._images.hurry(effect.ref, effect.image)
            case FetchContent():
                self._of_scope(name, effect.scope, self._answer(name, self._fetch.content(effect)))
            case Decrypt():
                self._of_scope(name, effect.scope, self._answer(name, self._fetch.decrypted(name, effect)))
            case EndScope():
                for task in self._scopes.pop((name, effect.scope), ()):
                    task.cancel()
                self._spawn(self._fetch.done(name, effect.scope))
            case Submit():
                self._spawn(self._submit(name, effect))
            case PublishFile():
                self._spawn(self._serve(name, effect))
            case DropSecret():
                self._spawn(self._drop_secret(effect))
            case DropFile():
                self._spawn(self._models.drop(effect.path))
            case Pin():
                until = self._now() + effect.ms if effect.ms else 0
                self._spawn(self._pinned(self._pins.pin(effect.cid, effect.reason, effect.ref, until), effect.ref))
            case Unpin():
                self._spawn(self._pinned(self._pins.give_up(effect.ref, (effect.reason,)), effect.ref))
            case ReleaseImage() if effect.ref not in self._fetching and self._nobody_else_needs(name, effect.ref):
                self._letting_go.add(effect.ref)
                self._spawn(self._let_go(effect.ref))
            case Forget() if effect.ref not in self._releasing:
                self._releasing.add(effect.ref)
                self._spawn(self._clean(effect))
            case _:
                pass

    def _nobody_else_needs(self, name: str, ref: bytes) -> bool:
        return all(part.machine.gives_up(ref) for other, part in self._parts.items() if other != name)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str | None = None) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task of this node's work ended by a fault", exc_info=task.exception())

    def _of_scope(self, name: str, scope: str, work: Coroutine[Any, Any, None]) -> None:
        """A task that nobody needs once the scope is done."""
        tasks = self._scopes.setdefault((name, scope), set())
        task = self._spawn(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _answer(self, name: str, work: Coroutine[Any, Any, Input]) -> None:
        self._feed(await work, name)

    async def _run(self, name: str, start: StartRun) -> None:
        run = self._execution.begin(start)
        self._feed(await self._execution.run(start, run), name)

    async def _image(self, effect: BringImage) -> None:
        try:
            await self._ready.wait()
            while effect.ref in self._letting_go:
                await asyncio.sleep(TICK_S)
            answer: Input = await self._fetch.image(effect)
        finally:
            self._fetching.discard(effect.ref)
        self._feed(answer)

    async def _submit(self, name: str, effect: Submit) -> None:
        if effect.needs is not None and not effect.needs.is_file():
            log.error("a message is not sent: the file that it needs is gone from this disk", intent=effect.key)
            return
        answer = await self._outbox.submit(effect)
        if isinstance(answer, SecretRefused):
            await asyncio.sleep(TICK_S)
        if answer is not None:
            self._feed(answer, name)

    async def _serve(self, name: str, effect: PublishFile) -> None:
        """From now on everybody who asks can have the file."""
        try:
            await self._pins.pin(effect.cid, reason(effect.pin, effect.ref), effect.ref)
            cid, _ = await self._files.add(effect.path, pin=reason(effect.pin, effect.ref))
        except Exception as problem:  # a full disk, a store that is closing: its time is not over yet
            log.error("a file cannot be served; trying again", ref=effect.ref.hex(), why=str(problem))
            await asyncio.sleep(TICK_S)
            self._feed(NotPublished(effect.ref, effect.cid), name)
            return
        if cid != effect.cid:
            log.error("a file on this disk is not what it was", ref=effect.ref.hex(), cid=cid)

    async def _drop_secret(self, effect: DropSecret) -> None:
        known = await durably(self._executor, lambda: self._database.secret(effect.kind, effect.key))
        if known is not None:
            await durably(self._executor, lambda: self._database.drop_secret(effect.kind, effect.key))
            if known.path is not None:
                await self._models.drop(known.path)

    async def _pinned(self, work: Coroutine[Any, Any, None], ref: bytes) -> None:
        try:
            await work
        except sqlite3.Error as problem:
            log.warning("a pin could not be changed", ref=ref.hex(), why=str(problem))

    async def _clean(self, effect: Forget) -> None:
        """A ref that is over is owed nothing more, but what was published for it and is to stay."""
        try:
            while not await self._cleaned(effect):
                await asyncio.sleep(TICK_S)
        finally:
            self._releasing.discard(effect.ref)

    async def _let_go(self, ref: bytes) -> None:
        try:
            await self._images.let_go(ref)
        except sqlite3.Error as problem:
            log.warning("what was fetched stays until its ref is over", ref=ref.hex(), why=str(problem))
        finally:
            self._letting_go.discard(ref)

    async def _cleaned(self, effect: Forget) -> bool:
        """False where the disk refused: what was given up until then is not there the next time."""
        ref = effect.ref
        try:
            for one in effect.keep:
                for cid in [one.cid] if one.cid else self._pins.of(reason(one.pinned, ref)):
                    if self._pins.holds(cid, reason(one.pinned, ref)):
                        await self._pins.pin(cid, reason(one.pin, ref), ref, self._now() + one.ms)
            await self._pins.release(ref)
            await self._images.release(ref)
            for path in await self._call(lambda: self._database.forget(ref)):
                await self._models.drop(path)
            await self._pins.expire(self._now())
        except sqlite3.Error as problem:
            log.error("what is over cannot be forgotten yet; trying again", ref=ref.hex(), why=str(problem))
            return False
        return True

    # --- for the API -----------------------------------------------------------------------------------------------------------

    def failing(self) -> list[dict[str, Any]]:
        """Machines that fail at present: which, since when (wall clock, ms), why."""
        return [{"part": part, "since": since, "why": why} for part, (since, why) in sorted(self._failing.items())]

    def list_runs(self) -> list[dict[str, Any]]:
        """Newest first, without logs."""
        return self._log.list()

    def get_run(self, run_id: str) -> dict[str, Any] | None:
        return self._log.get(run_id)

    def cancel_run(self, run_id: str) -> bool:
        return self._log.cancel(run_id, "cancelled by the operator")

    async def keep(self, secret: Secret) -> None:
        """Keep what a user hands to this node's work; its contract's machines are told."""
        await self._call(lambda: self._database.save(secret, self._now()))
        self._feed(Kept(secret))

    # --- helpers ---------------------------------------------------------------------------------------------------------------

    async def _call(self, work: Callable[[], Any]) -> Any:
        return await in_thread(self._executor, work)
