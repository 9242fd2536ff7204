"""Work: the machines of every contract on one node, driven on its event loop.

    blocks, time --> machines (pure) --> effects: images, runs (threads), files, the database (a thread), the outbox

`compose` (client.work.compose) makes a `WorkDriver`. It knows no contract: its machines, and what it must know of them, come from
the contracts' slices (`machine`). Nothing in it blocks the loop: the sandbox, the database and hashing have threads of their own.
What an effect comes to goes back into the machines as an input. A node that is killed goes on from the ledger and the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog

from learningchain.chain.ledger.transition import chain_record
from learningchain.client.config import WorkConfig
from learningchain.client.node.block_figures import AnyFigure
from learningchain.client.node.interface import PRIVATE, Files, KeptFor, KeptRoom, Ledger
from learningchain.client.work.artifacts import IMAGE, Images, KeptLosses, Models, Pins, durably, in_thread, parse_reason, reason
from learningchain.client.work.changes import MAX_PIECE, WatchedChanges
from learningchain.client.work.checkpoints import Checkpoints
from learningchain.client.work.computing import ComputerLost, Computing, ComputingProcess, TaskRefused
from learningchain.client.work.database import Intent, IntentState, RunUnderWay, WorkDatabase
from learningchain.client.work.engine import RunLog, engine_ready
from learningchain.client.work.engine_watch import EngineWatch
from learningchain.client.work.events import (
    RECENT_MS,
    SERVED,
    BringImage,
    Chain,
    Changed,
    Compute,
    Computed,
    ComputeFailed,
    Decrypt,
    DropFile,
    DropLosses,
    DropSecret,
    Effect,
    EndScope,
    FetchContent,
    Forget,
    ImageFailed,
    Input,
    KeepBook,
    KeepSecret,
    KeepWarm,
    Kept,
    Kill,
    LetCool,
    Notice,
    NotPublished,
    OpenLosses,
    Pin,
    PublishFile,
    RefFaulted,
    ReleaseImage,
    RunEnded,
    Secret,
    SecretRefused,
    SecretStored,
    SendPeer,
    ServeFile,
    Settled,
    StartRun,
    StopServing,
    Submit,
    Unpin,
)
from learningchain.client.work.execution import MAX_STARTS, Execution
from learningchain.client.work.fetching import Fetching, Seek
from learningchain.client.work.kept_secrets import KeptSecrets
from learningchain.client.work.machine import Machine, Recalled, Slice, ledger_statuses_of
from learningchain.client.work.notices import MAX_NOTICES, MAX_WHY, Failures, Notices
from learningchain.client.work.outbox import Outbox
from learningchain.client.work.owners import Owners, held_for, released_for
from learningchain.client.work.peers import PeerChannels, Penalize, Send
from learningchain.client.work.served import ServedFiles
from learningchain.client.work.slots import MachineShare, training_room
from learningchain.client.work.trials import PIN, Trials
from learningchain.client.work.vanished import VanishedImages
from learningchain.client.work.warm_pool import WarmPool
from learningchain.p2p.content.cid import from_bytes, parse
from learningchain.sandbox import AsyncBackend, OwnData, SandboxError

log = structlog.get_logger(__name__)

T = TypeVar("T")

TICK_S = 1.0
"""The chain clock goes on between blocks: deadlines are looked at this often."""
PUMP_S = 0.02
"""Blocks that come faster than this are looked at together."""
LOOK_SHARE = 20
"""After a look at the state the next one waits this many times the processor time that it took: on a busy machine most of the time
that passes meanwhile is that of others."""
PIECES = 32
"""Pieces of what changed that are told between two looks."""
PIECE_SHARE = 3
"""After a piece, others have the loop for this many times the processor time that it took."""
PREPARE_SOON_S = 2.0
KEEPS = {IMAGE: "image, or file beside it", PIN: "file of a trial"}
"""As a slice's `keeps`, of what every contract's machines ask for."""
"""A busy engine may fail a check once: the first new try comes soon, each further one after twice the time, to a limit."""
PREPARE_AGAIN_S = 60.0
ENGINE_GONE = (
    "the container engine is gone, so this node runs nothing: {}. Start it again; the node goes on by itself once its limits hold"
)
AHEAD_MS = 24 * 3_600_000
"""A clock that is so far beyond the newest block ends nothing that is kept up to a date: it is wrong, or this node is behind."""
STOP_S = 30.0
"""How long killing the containers may take."""
MAX_UNTOLD = 1_024
"""Keys of which a machine could not be told, kept to be told again."""


def spent() -> tuple[float, float]:
    """Seconds of processor time of this thread, and on the loop's clock."""
    return time.thread_time(), asyncio.get_running_loop().time()


def rest(share: int, began: tuple[float, float]) -> float:
    """Seconds that others have the loop: `share` times the processor time since `began`, and where a disk was waited for no less
    than it took. No more processor time counts than passed by the loop's clock: a simulated one alone decides what happens."""
    processor, clock = (now - then for now, then in zip(spent(), began, strict=True))
    return max(share * min(processor, clock), clock)


@dataclass(frozen=True)
class _Part:
    """A machine, and what is told to it: its contract's changes."""

    machine: Machine
    changes: WatchedChanges
    slice: Slice


class WorkDriver:
    """Implements `client.node.interface.Runs` and `Work`. `data` is the folder of this part alone, beside the engine's (`sandbox`).

    `now()`: wall-clock milliseconds; `rng(n)`: n random bytes. `drawn()`: whether this account may now be called to a duty that it
    did not ask for; the engine is prepared when that, or the settings, call for runs. `executor` and `computing` replace the
    threads and the process that computes. `sign`: the account's signature of 32 bytes, None where its key is not on this machine;
    `derive` as `Recalled` has it. `send`, `penalize` and `seek`: the network's. `stop` closes the engine.
    """

    def __init__(
        self,
        ledger: Ledger,
        files: Files,
        engine: AsyncBackend,
        data: Path,
        config: WorkConfig,
        *,
        slices: Sequence[Slice],
        drawn: Callable[[], bool],
        now: Callable[[], int],
        rng: Callable[[int], bytes],
        executor: Executor | None = None,
        computing: Computing | None = None,
        sign: Callable[[bytes], bytes] | None = None,
        derive: Callable[[bytes, bytes], Sequence[bytes]] | None = None,
        send: Send = lambda _, __, ___: False,
        penalize: Penalize = lambda _, __: None,
        seek: Seek = lambda _: None,
    ) -> None:
        self._ledger, self._files, self._config = ledger, files, config
        self._now, self._rng = now, rng
        self._folder, self._leftovers = data, data.parent / "sandbox" / "out"
        self._engine = engine
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="work-database")
        # Trees over losses take seconds: nothing that has to be written down waits for one.
        self._trees = executor or ThreadPoolExecutor(1, thread_name_prefix="work-losses")
        self._made = data / "made"
        self._served = ServedFiles(files.allow)
        files.share_by(self._may_have)
        self._computing: Computing = computing or ComputingProcess(self._made)
        self._sign, self._derive, self._send, self._penalize, self._seek = sign, derive, send, penalize, seek
        self._peers: PeerChannels | None = None
        self._books: dict[str, bytes] = {}
        self._waiting: dict[str, deque[Effect]] = {}
        """What machines said after a book that is not on the disk yet."""
        self._log = RunLog(now)
        self._slices = list(slices)
        self._parts: dict[str, _Part] = {}
        """By the machine's name, in the order in which they are asked."""
        self._held: dict[str, frozenset[bytes]] = {}
        """Refs that something is held for here, by slice, at the last look."""
        self._changes: list[WatchedChanges] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._scopes: dict[tuple[str, str], set[asyncio.Task[None]]] = {}
        """Fetches under way, by machine and scope."""
        self._fetching: set[bytes] = set()
        self._releasing: set[bytes] = set()
        self._letting_go: set[bytes] = set()
        self.drawn = drawn
        self._wake, self._ready = asyncio.Event(), asyncio.Event()
        self._started = self._stopping = self._preparing = False
        self._failures, self._notices = Failures(now), Notices(now)
        self._serves: dict[bytes, str] = {}
        """Models that are served: the machine that said so."""
        self._untold: dict[str, set[bytes]] = {}
        """Keys that a machine failed at when it was told of them."""
        self.report: dict[str, Any] | None = None
        """What the sandbox's self-test said; None before it is over. `ok` false: no job runs, `reason` says why."""
        self._proved: dict[str, Any] | None = None
        """What `report` was before the engine was gone."""
        self._gone = ""
        self.trials: Trials | None = None
        """None before the start."""

    # --- life ------------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Go on where this node stopped. Raises BookError. The sandbox is prepared meanwhile; duties that need none are done."""
        path = self._folder / "work.db"
        self._database = await self._call(lambda: WorkDatabase(path, self._ledger.chain_id, self._ledger.own_id))
        self._pins = Pins(self._files, self._database, self._executor)
        await self._pins.load()
        self._images = Images(self._files, self._engine, self._pins)
        self._models = Models(self._folder / "models", self._executor)
        self._secrets = KeptSecrets(self._database, self._models, self._executor, since=self._since, over=self._over)
        self._losses = KeptLosses(self._folder / "losses", self._trees)
        await self._losses.load()
        self._owners = Owners(self._slices, self._database, self._executor)
        await self._owners.load(self._refs())
        hidden = self._folder / "hidden"
        self._fetch = Fetching(self._ledger, self._files, self._images, self._pins, hidden, self._executor, self._seek)
        engine = VanishedImages(self._engine, self._images.bring_again)
        self._warm = WarmPool(
            engine,
            slots=self._config.serve.slots,
            memory_mb=self._config.serve.mem_mb,
            keep=self._config.serve.warm,
            idle_s=float(self._config.serve.warm_idle_s),
            tell=lambda told: self._feed(told, self._serves.get(told.model)),
            now=asyncio.get_running_loop().time,
        )
        self._checkpoints = Checkpoints(self._folder / "checkpoints")
        parts = self._models, self._losses, self._database, self._executor, self._warm, self._checkpoints
        self._execution = Execution(engine, self._log, *parts)
        loop_time = asyncio.get_running_loop().time
        self.trials = Trials(_TrialGround(self), spawn=self._spawn, now_s=loop_time, now_ms=self._now)
        await self._recall()
        self._peers = PeerChannels(
            self._slices,
            lambda: self._ledger.state,
            self._ledger.own_id,
            tell=self._heard,
            now_s=loop_time,
            penalize=self._penalize,
        )
        statuses = ledger_statuses_of(self._slices)
        self._outbox = Outbox(self._database, self._ledger, statuses, now=self._now, executor=self._executor, settled=self._settled)
        await self._outbox.start()
        self._started = True
        self._prepare_if_needed()
        for task in (self._follow(), self._pump()):
            self._spawn(task)

    @property
    def runs(self) -> bool:
        """Whether any machine starts runs, with these settings and with the duties that this account may be called to now."""
        drawn = self.drawn()
        asked = any(part.machine.runs for part in self._parts.values())
        return asked or any(part.runs(self._config, drawn) for part in self._slices)

    def _prepare_if_needed(self) -> None:
        """At the start, or when the ledger makes this account one that is called to duties. An engine stays once it was needed."""
        if not self._preparing and self.runs:
            self._preparing = True
            self._spawn(self._prepare())

    async def _recall(self) -> None:
        """The machines know again what this node knew."""
        database = self._database
        await self._call(lambda: database.prune(self._over()))
        await self._pins.expire(self._over())
        secrets, pending = await self._call(database.secrets), await self._call(database.pending)
        attempts = await self._call(lambda: database.attempts(MAX_STARTS))
        runs = await self._call(database.runs)
        books = await self._call(database.books)
        self._books, named = dict(books), self._execution.recall(runs)
        for part in self._slices:
            known = Recalled(
                me=self._ledger.own_id,
                chain_id=self._ledger.chain_id,
                config=self._config,
                rng=self._rng,
                secrets=[secret for secret in secrets if part.owns(secret.kind) or secret.kind in part.reads],
                attempts={kind: used for kind, used in attempts.items() if part.owns(kind)},
                under_way=_under_way(run for run in runs if part.owns(run.kind)),
                pending=[(intent.kind, intent.key, intent.ref) for intent in pending if part.owns(intent.kind)],
                books={name: blob for name, blob in books.items() if part.owns(name)},
                sign=self._sign,
                derive=self._derive,
            )
            named |= part.files(known.books)
            changes = WatchedChanges(self._ledger.state, part.watch)
            self._changes.append(changes)
            for machine in part.machines(known):
                if machine.name in self._parts:
                    raise ValueError(f"two machines are called {machine.name}")
                self._parts[machine.name] = _Part(machine, changes, part)
        named |= {secret.path for secret in secrets if secret.path is not None}
        await self._models.sweep(named, self._leftovers, self._made)
        await self._call(self._fetch.sweep)
        await self._call(lambda: self._checkpoints.sweep(database.open_attempts()))

    async def stop(self, *, leave: bool = False) -> None:
        """Kill what runs and stop; what is pending stays in the database. Also after a `start` that failed. `leave`: trainings go
        on, for the node to come back to within minutes."""
        self._stopping = True
        if self._started:
            self._execution.stopping = True
        if leave:
            self._engine.leave()
        self._log.cancel_all("this node is stopping")
        if self._started:
            await self._warm.stop(STOP_S)
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
        self._computing.close()
        self._executor.shutdown(wait=False)
        self._trees.shutdown(wait=False)

    async def _prepare(self) -> None:
        """Nothing of a stranger runs before every limit of the sandbox was seen to hold."""
        keep = await self._live_images()
        pause = PREPARE_SOON_S
        while not self._ready.is_set():
            try:
                self.report = await self._engine.prepare(set(keep.values()), self._execution.before())
                self._images.adopt(keep, self.report.pop("kept", ()))
                await self._execution.found(self.report.pop("runs", ()), self.report.pop("lost_runs", ()))
                self._ready.set()
                self._feed(engine_ready(self.report))
                self._spawn(EngineWatch(self._engine, self._engine_is).run())
                log.info("the sandbox is ready", **{k: self.report[k] for k in self.report if k not in ("checks", "devices")})
            except Exception as problem:
                self.report = {"ok": False, "reason": str(problem)}
                log.error("no job can run here", why=str(problem), again_in_s=pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, PREPARE_AGAIN_S)

    def _engine_is(self, gone: str) -> None:
        """What a look at the engine came to: why it is gone, or an empty text."""
        if gone and not self._gone:
            self._proved = self.report
            log.error("the container engine is gone", why=gone)
        elif self._gone and not gone:
            self.report = self._proved
            log.info("the container engine is back")
        if gone:
            self.report = {"ok": False, "reason": f"the container engine is gone: {gone}"}
        else:
            self._warm.engine_answers(back=bool(self._gone))
        self._gone = gone
        self._notices.note(self._said_notices())

    async def _live_images(self) -> dict[bytes, str]:
        """By ref. Looks through all that lives, a few at a time."""
        found = {}
        for part in self._slices:
            for number, (ref, image_id) in enumerate(part.images(self._ledger.state)):
                if number % MAX_PIECE == MAX_PIECE - 1:
                    await asyncio.sleep(0)
                found[ref] = image_id
        return found

    def reconfigure(self, config: WorkConfig) -> None:
        """Go on with other settings: everything that lives is judged by them anew."""
        self._config = config
        for part in self._parts.values():
            part.machine.reconfigure(config)
        for changes in self._changes:
            changes.again()
        self._wake.set()

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
        while True:
            await self._tell_changes()
            began = spent()
            self._step()
            # With many runs and messages of its own a look takes long: never more than a small part of the loop that votes.
            await asyncio.sleep(min(TICK_S, max(PUMP_S, rest(LOOK_SHARE, began))))
            if not all(changes.complete for changes in self._changes):
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._wake.wait()
            self._wake.clear()

    async def _tell_changes(self) -> None:
        """The machines learn what blocks changed, a piece at a time: also at a start no piece holds the loop up."""
        for changes in self._changes:
            for _ in range(PIECES):
                began = spent()
                changed = changes.take()
                if changed is None:
                    break
                for name, part in self._parts.items():
                    if part.changes is changes:
                        self._tell(name, changed)
                await asyncio.sleep(rest(PIECE_SHARE, began))

    def _tell(self, name: str, changed: Changed) -> None:
        """A key at which a machine fails hides no other from it, and is told again with the next change."""
        tell = self._parts[name].machine.handle
        keys = (*changed.keys, *sorted(self._untold.pop(name, set()) - {*changed.keys}))
        try:
            said = tell(Changed(changed.reader, keys, changed.anew))
        except Exception as fault:
            self._failures.fails(name, fault)
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
        self._prepare_if_needed()
        state = self._ledger.state
        trials = self.trials.refs if self.trials is not None else set()
        held = self._owners.share(state, self._refs() - self._releasing - trials)
        self._held = {name: frozenset(refs) for name, refs in held.items()}
        for name, part in self._parts.items():
            self._ask(name, self._seen_by(part))
        self._notices.note(self._said_notices())

    def _refs(self) -> set[bytes]:
        """Refs that something is held for here."""
        return self._images.refs | self._pins.refs | self._losses.refs

    def _seen_by(self, part: _Part) -> Chain:
        """What a machine is shown: the state now, and what was held for it at the last look of all."""
        state = self._ledger.state
        busy = any(other.machine.busy for other in self._parts.values() if other is not part)
        room = training_room(self._machine(), self._warm.aside(), self._execution.taken())
        recent = self._now() - chain_record(state).time <= RECENT_MS + 3 * self._ledger.params.heartbeat
        held, there = self._held.get(part.slice.name, frozenset()), self._engine.elsewhere()
        evaluators = self._engine.evaluators()
        return Chain(state, self._ledger.clock, busy, part.changes.complete, held, recent, room, there, evaluators)

    def _machine(self) -> MachineShare | None:
        """What the engine's machine has, where the engine is there."""
        there = self.report if self.report is not None and self.report.get("ok") else None
        return None if there is None else MachineShare(1_000 * int(there.get("cpus", 0)), int(there.get("mem_mb", 0)))

    def _said_notices(self) -> Iterator[tuple[str, Sequence[Notice]]]:
        for name, part in self._parts.items():
            try:
                yield name, part.machine.notices()[:MAX_NOTICES]
            except Exception as fault:
                self._failures.fails(name, fault)
        refused = [str(one["detail"]) for one in (self.report or {}).get("devices", ()) if not one["ok"]]
        yield "", [Notice("device.refused", b"", "; ".join(refused))] if refused else []
        own = [Notice("engine.gone", b"", ENGINE_GONE.format(self._gone))] if self._gone else []
        yield "", [*own, *(Notice("model.cold", ref, text) for ref, text in self._warm.notices()[:MAX_NOTICES])]

    def _feed(self, given: Input, only: str | None = None, *, done: bool = False) -> None:
        """An answer: to the machine that asked, or to all of them. `done`: it is what a task of this node came to, and a machine
        that is prompt goes on at once. What others send is not: as many looks as they like would be theirs."""
        if self._stopping:
            return
        for name in self._parts if only is None else (only,):
            self._ask(name, given)
            part = self._parts[name]
            if done and part.machine.prompt and part.changes.complete:
                self._ask(name, self._seen_by(part))
        self._wake.set()

    def _ask(self, name: str, given: Input) -> None:
        """Ask one machine and do what it says, before the next one is asked.

        A machine notes that it said something, and says it once: what it said is done whatever becomes of the others. One that
        fails is asked again at the next block, and until it answers the status says so.
        """
        try:
            effects = self._parts[name].machine.handle(given)
        except Exception as fault:
            self._failures.fails(name, fault)
            return
        stumbled = [effect for effect in effects if isinstance(effect, RefFaulted)]
        for failure in stumbled:
            self._failures.fails(name, failure.fault, failure.ref)
        if not stumbled:
            self._failures.goes_on(name)
        self._do(name, effects)

    def _do(self, name: str, effects: Iterable[Effect]) -> None:
        """In their order. What comes after a book waits until that is on the disk."""
        for effect in effects:
            if (waiting := self._waiting.get(name)) is not None:
                waiting.append(effect)
                continue
            try:
                if isinstance(effect, KeepBook):
                    self._books[effect.name] = effect.blob
                    self._waiting[name] = deque()
                    self._spawn(self._keep_book(name, effect))
                else:
                    self._perform(name, effect)
            except Exception:
                log.exception("an effect failed", part=name, effect=type(effect).__name__)

    async def _keep_book(self, name: str, effect: KeepBook) -> None:
        await durably(self._executor, lambda: self._database.keep_book(effect.name, effect.blob))
        self._do(name, self._waiting.pop(name))

    def _settled(self, intent: Intent, state: IntentState, note: str) -> None:
        self._feed(Settled(intent.kind, intent.key, intent.ref))

    # --- effects ---------------------------------------------------------------------------------------------------------------

    def _perform(self, name: str, effect: Effect) -> None:
        """`name`: the machine that said it."""
        contract = self._parts[name].slice.name
        held, released = held_for(effect), released_for(effect)
        if held is not None and self._owners.begin(held, contract):
            self._spawn(self._owners.write(held))
        if released is not None and not self._owners.may_release(self._ledger.state, released, contract):
            log.error("a machine may not release what another contract holds", part=name, ref=released.hex())
            return
        match effect:
            case StartRun():
                self._spawn(self._run(name, effect), f"run {effect.run}")
            case KeepWarm():
                self._serves[effect.model] = name
                self._spawn(self._keep_warm(effect))
            case LetCool():
                if self._serves.pop(effect.model, None) is not None:
                    self._warm.unserve(effect.model)
            case Kill():
                self._log.cancel(effect.run, effect.reason)
            case BringImage() if effect.ref not in self._fetching:
                self._fetching.add(effect.ref)
                self._spawn(self._image(effect))
            case BringImage(urgent=True):
                self._images.hurry(effect.ref, effect.image)
            case FetchContent():
                self._of_scope(name, effect.scope, self._answer(name, lambda: self._fetch.content(effect)))
            case Decrypt():
                self._of_scope(name, effect.scope, self._answer(name, lambda: self._fetch.decrypted(name, effect)))
            case EndScope():
                for task in self._scopes.pop((name, effect.scope), ()):
                    task.cancel()
                self._spawn(self._fetch.done(name, effect.scope))
            case OpenLosses():
                self._of_scope(name, effect.scope, self._answer(name, lambda: self._losses.open(effect)))
            case DropLosses():
                self._spawn(self._losses.drop(effect.ref, effect.run))
            case Submit():
                self._spawn(self._submit(name, effect))
            case PublishFile():
                self._spawn(self._serve(name, effect))
            case KeepSecret():
                self._spawn(self._keep_secret(name, effect.secret))
            case DropSecret():
                self._spawn(self._secrets.drop(effect))
            case DropFile():
                self._spawn(self._models.drop(effect.path))
            case Compute():
                self._of_scope(name, effect.scope, self._answer(name, lambda: self._compute(name, effect)))
            case ServeFile():
                self._spawn(self._serve_some(effect))
            case StopServing():
                self._spawn(self._stop_serving(effect))
            case SendPeer():
                self._send(effect.to, effect.channel, effect.payload)
            case Pin():
                until = self._since() + effect.ms if effect.ms else 0
                self._spawn(self._pinned(self._pins.pin(effect.cid, effect.reason, effect.ref, until), effect.ref))
            case Unpin():
                self._spawn(self._pinned(self._pins.give_up(effect.ref, (effect.reason,)), effect.ref))
            case ReleaseImage() if effect.ref not in self._fetching and self._nobody_else_needs(name, effect.ref):
                for part in self._parts.values():
                    part.machine.image_goes(effect.ref)
                self._letting_go.add(effect.ref)
                self._spawn(self._let_go(effect.ref, self._owners.holds(effect.ref)))
            case Forget() if effect.ref not in self._releasing:
                self._releasing.add(effect.ref)
                self._spawn(self._clean(effect, self._owners.holds(effect.ref)))
            case _:
                pass

    def _nobody_else_needs(self, name: str, ref: bytes) -> bool:
        return all(part.machine.gives_up(ref) for other, part in self._parts.items() if other != name)

    def _spawn(self, work: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task of this node's work ended by a fault", exc_info=task.exception())

    def _of_scope(self, name: str, scope: str, work: Coroutine[Any, Any, None]) -> None:
        """A task that nobody needs once the scope is done."""
        tasks = self._scopes.setdefault((name, scope), set())
        task = self._spawn(work)
        tasks.add(task)

        def over(done: asyncio.Task[None]) -> None:
            tasks.discard(done)
            if not tasks and self._scopes.get((name, scope)) is tasks:
                del self._scopes[name, scope]

        task.add_done_callback(over)

    async def _answer(self, name: str, work: Callable[[], Awaitable[Input]]) -> None:
        """Feed a machine with what the work comes to. The work begins with its task: one that is cancelled at once began none."""
        self._feed(await work(), name, done=True)

    async def _compute(self, name: str, wanted: Compute) -> Input:
        module = self._parts[name].slice.tasks
        try:
            return Computed(wanted.scope, wanted.tag, await self._computing.perform(module, wanted.task))
        except (TaskRefused, ComputerLost, OSError) as why:
            log.warning("a task could not be done", task=type(wanted.task).__name__, ref=wanted.ref.hex(), why=str(why))
            return ComputeFailed(wanted.scope, wanted.tag, str(why)[:MAX_WHY])

    async def _serve_some(self, effect: ServeFile) -> None:
        """To these alone, or to everybody; a disk that is full now is asked again."""
        cid = str(from_bytes(effect.cid))
        why = reason((PRIVATE if effect.peers else "") + SERVED, effect.ref)
        self._served.begin(cid, effect.ref, effect.peers, effect.path)
        while True:
            try:
                await self._pins.pin(cid, why, effect.ref)
                found, _ = await self._files.add(effect.path, pin=why)
            except Exception as problem:
                log.error("a file cannot be served; trying again", ref=effect.ref.hex(), why=str(problem))
                await asyncio.sleep(TICK_S)
                if not await asyncio.to_thread(effect.path.is_file):
                    return
                continue
            if found != cid:
                log.error("a file on this disk is not what it was", ref=effect.ref.hex(), cid=found)
            return

    def _may_have(self, peer: bytes, cid: str, reasons: Collection[str]) -> bool:
        """Whether a contract says, by the ledger as it is now, that a peer may have what is pinned privately here."""
        private = [parse_reason(one) for one in reasons if one.startswith(PRIVATE)]
        state, content = self._ledger.state, parse(cid).to_bytes()
        return any(part.may_have(state, private, content, peer) for part in self._slices)

    async def _stop_serving(self, effect: StopServing) -> None:
        cid = str(from_bytes(effect.cid))
        path = self._served.end(cid, effect.ref) or effect.path
        for word in (SERVED, PRIVATE + SERVED):
            await self._pinned(self._pins.drop(cid, reason(word, effect.ref)), effect.ref)
        if path is not None:
            await self._drop_made(path)

    async def _drop_made(self, path: Path) -> None:
        """Of what was computed here alone: other files that are served have other owners."""
        if path.parent == self._made:
            await self._models.drop(path)

    def _heard(self, slice_: str, given: Any) -> None:
        for name, part in self._parts.items():
            if part.slice.name == slice_:
                self._feed(given, name)

    def on_message(self, peer: bytes, channel: int, payload: bytes) -> None:
        """A message of a peer on a channel of a slice. Never raises."""
        if self._peers is not None and not self._stopping:
            self._peers.on_message(peer, channel, payload)

    async def _run(self, name: str, start: StartRun) -> None:
        start = await self._execution.on_own_data(start)
        run = self._execution.begin(start)
        self._feed(await self._execution.run(start, run), name, done=True)

    async def _keep_warm(self, effect: KeepWarm) -> None:
        await self._ready.wait()
        if effect.model in self._serves:
            self._warm.serve(effect.model, effect.spec)

    async def _image(self, effect: BringImage) -> None:
        try:
            await self._ready.wait()
            while effect.ref in self._letting_go:
                await asyncio.sleep(TICK_S)
            answer = await self._fetch.image(effect)
        finally:
            self._fetching.discard(effect.ref)
        if isinstance(answer, ImageFailed):
            self._log.not_fetched(effect.ref, answer.reason[:MAX_WHY])
        else:
            self._log.fetched(effect.ref)
        self._feed(answer, done=True)

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

    async def _keep_secret(self, name: str, secret: Secret) -> None:
        answer = await self._secrets.save(secret)
        self._feed(answer, name)
        if isinstance(answer, SecretStored):
            for other, part in self._parts.items():
                if answer.secret.kind in part.slice.reads:
                    self._feed(Kept(answer.secret), other)

    async def _pinned(self, work: Coroutine[Any, Any, None], ref: bytes) -> None:
        try:
            await work
        except sqlite3.Error as problem:
            log.warning("a pin could not be changed", ref=ref.hex(), why=str(problem))

    async def _clean(self, effect: Forget, holds: int) -> None:
        """A ref that is over is owed nothing more, but what was published for it and is to stay."""
        try:
            while not await self._cleaned(effect, holds):
                await asyncio.sleep(TICK_S)
        finally:
            self._releasing.discard(effect.ref)

    async def _disown(self, ref: bytes, holds: int) -> None:
        """Forget whose the ref was, unless something is held for it again, or on its way since it had so many holds. Raises
        sqlite3.Error."""
        if ref not in self._refs() and self._owners.holds(ref) == holds:
            await self._owners.drop(ref)

    async def _let_go(self, ref: bytes, holds: int) -> None:
        try:
            await self._images.let_go(ref)
            await self._disown(ref, holds)
        except sqlite3.Error as problem:
            log.warning("what was fetched stays until its ref is over", ref=ref.hex(), why=str(problem))
        finally:
            self._letting_go.discard(ref)

    async def _cleaned(self, effect: Forget, holds: int) -> bool:
        """False where the disk refused: what was given up until then is not there the next time."""
        ref = effect.ref
        try:
            for one in effect.keep:
                for cid in [one.cid] if one.cid else self._pins.of(reason(one.pinned, ref)):
                    if self._pins.holds(cid, reason(one.pinned, ref)):
                        await self._pins.pin(cid, reason(one.pin, ref), ref, self._since() + one.ms)
            await self._pins.release(ref)
            await self._images.release(ref)
            for path in await self._call(lambda: self._database.forget(ref)):
                await self._models.drop(path)
            await self._call(lambda: self._checkpoints.forget(ref))
            for path in self._served.forget(ref):
                await self._drop_made(path)
            await self._losses.forget(ref)
            await self._pins.expire(self._over())
            await self._disown(ref, holds)
        except sqlite3.Error as problem:
            log.error("what is over cannot be forgotten yet; trying again", ref=ref.hex(), why=str(problem))
            return False
        return True

    # --- for the API -----------------------------------------------------------------------------------------------------------

    def failing(self) -> list[dict[str, Any]]:
        """Machines that fail at present: which, since when (wall clock, ms), why."""
        return self._failures.shown()

    def notices(self) -> list[dict[str, Any]]:
        """What the operator should know at present, the oldest first: since when (wall clock, ms), about what, in words."""
        return self._notices.shown()

    def figures(self) -> list[AnyFigure]:
        """What machines and trials have under way, for the metrics."""
        found = [figure for part in self._parts.values() for figure in part.machine.figures()]
        return found if self.trials is None else [*found, self.trials.figure()]

    def explain(self, ref: bytes) -> str | None:
        """Why this node leaves the work of a ref alone, in words; None where it does it, or there is none."""
        reader, clock = self._ledger.state, self._ledger.clock
        found = (part.machine.explain(reader, ref, clock) for part in self._parts.values())
        return next((why for why in found if why), None)

    def kept_for(self, cid: str, why: str) -> KeptFor:
        """What this node's work holds content for, by the reason for which it is pinned."""
        word, ref = parse_reason(why)
        said = {beginning: text for part in self._slices for beginning, text in part.keeps.items()} | KEEPS
        what = next((said[word[:end]] for end in range(len(word), 0, -1) if word[:end] in said), "content")
        return KeptFor(what, self._owners.noted(ref) if ref else None, ref.hex() or None, self._pins.until(cid, why))

    def list_runs(self) -> list[dict[str, Any]]:
        """Newest first, without logs."""
        return self._log.list()

    def ended_runs(self) -> dict[tuple[str, str], int]:
        return dict(self._log.ended)

    def get_run(self, run_id: str) -> dict[str, Any] | None:
        """With its log: of one that runs, what it has printed so far."""
        found = self._log.get(run_id)
        if found is not None and found["ended"] is None:
            found["log"] = self._engine.printed(self._log.container(run_id)) or ""
        return found

    def cancel_run(self, run_id: str) -> bool:
        return self._log.cancel(run_id, "cancelled by the operator")

    def served(self) -> list[dict[str, Any]]:
        """Of each model that is served, how many of its containers start, are ready, and answer."""
        return self._warm.shown() if self._started else []

    async def own_data(self) -> list[OwnData]:
        """The owner's own data. Raises OSError."""
        return await self._engine.own_data()

    async def remove_data(self, name: str) -> None:
        """Raises as `sandbox.Backend.remove_data`."""
        await self._engine.remove_data(name)

    def book(self, name: str) -> bytes | None:
        """What the machine of this name has in its book now, whether or not the disk has it."""
        return self._books.get(name)

    async def keep(self, secret: Secret) -> None:
        """Keep what a user hands to this node's work; its contract's machines are told."""
        await self._secrets.keep(secret)
        self._feed(Kept(secret))

    async def kept(self, kind: str, beginning: bytes = b"") -> list[Secret]:
        """Those whose keys begin so."""
        return await self._secrets.of(kind, beginning)

    async def room(self, kind: str, beginning: bytes, most: int) -> KeptRoom:
        """For one more of a kind whose key begins so; those whose time is over go where that makes room."""
        return await self._secrets.room(kind, beginning, most)

    # --- helpers ---------------------------------------------------------------------------------------------------------------

    def _since(self) -> int:
        """The wall clock from which something is kept for a time: this machine's may be far behind the newest block's."""
        return max(self._now(), chain_record(self._ledger.state).time)

    def _over(self) -> int:
        """The wall clock up to which what was kept for a time is over: this machine's may be far ahead."""
        return min(self._now(), chain_record(self._ledger.state).time + AHEAD_MS)

    async def _call(self, work: Callable[[], Any]) -> Any:
        return await in_thread(self._executor, work)


def _under_way(runs: Iterable[RunUnderWay]) -> dict[str, dict[bytes, set[int]]]:
    found: dict[str, dict[bytes, set[int]]] = {}
    for run in runs:
        found.setdefault(run.kind, {}).setdefault(run.ref, set()).add(run.number)
    return found


class _TrialGround:
    """The driver as a trial sees it (`trials.TrialGround`)."""

    def __init__(self, driver: WorkDriver) -> None:
        self._driver = driver

    @property
    def config(self) -> WorkConfig:
        return self._driver._config

    def clock(self) -> int:
        return self._driver._ledger.clock

    async def ready(self, within_s: float) -> str:
        driver = self._driver
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await driver._ready.wait()
        if driver._ready.is_set():
            return ""
        return str((driver.report or {}).get("reason") or f"its engine was not ready within {within_s:g} s")

    async def image(self, wanted: BringImage) -> Input:
        while wanted.ref in self._driver._releasing or wanted.ref in self._driver._letting_go:
            await asyncio.sleep(TICK_S)
        return await self._driver._fetch.image(wanted)

    async def content(self, wanted: FetchContent) -> Input:
        return await self._driver._fetch.content(wanted)

    async def run(self, start: StartRun) -> RunEnded:
        run = self._driver._execution.begin(start)
        return await asyncio.shield(self._driver._spawn(self._driver._execution.run(start, run), f"run {start.run}"))

    def log_of(self, run: str) -> str:
        return str((self._driver._log.get(run) or {}).get("log", ""))

    async def let_go(self, ref: bytes) -> None:
        await self._driver._pins.give_up(ref, (reason(PIN, ref),))
