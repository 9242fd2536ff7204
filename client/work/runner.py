"""Work: the machines of every contract on one node, driven on its event loop.

    blocks, time --> machines (pure) --> effects: images, runs (threads), files, the database (a thread), the outbox

The driver knows no contract: its machines, and what it must know of them, come from
the contracts' slices (`machine`). Nothing in it blocks the loop: the sandbox, the database and hashing have threads of their own.
What an effect comes to goes back into the machines as an input. A node that is killed goes on from the ledger and the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import structlog

from learningchain.chain.ledger.transition import chain_record
from learningchain.client.config import WorkConfig
from learningchain.client.node.block_figures import AnyFigure
from learningchain.client.node.interface import Files, Ledger
from learningchain.client.work.artifacts import durably, in_thread
from learningchain.client.work.changes import MAX_PIECE, Part, WatchedChanges
from learningchain.client.work.compose import is_drawn
from learningchain.client.work.computing import Computing, ComputingProcess
from learningchain.client.work.database import Intent, IntentState, RunUnderWay, WorkDatabase
from learningchain.client.work.effects import Effects, TrialsHere, sharing
from learningchain.client.work.engine import RunLog, engine_ready
from learningchain.client.work.events import (
    RECENT_MS,
    Chain,
    Changed,
    Effect,
    Input,
    KeepBook,
    Kept,
    Notice,
    PeerSaid,
    RefFaulted,
    Settled,
)
from learningchain.client.work.execution import MAX_STARTS
from learningchain.client.work.fetching import Seek
from learningchain.client.work.machine import Recalled, WorkPart, find_slices, ledger_statuses_of
from learningchain.client.work.machine_use import MachineUse
from learningchain.client.work.notices import MAX_NOTICES, Failures, Notices
from learningchain.client.work.outbox import Outbox
from learningchain.client.work.peers import PeerChannels, Penalize, Send
from learningchain.client.work.prepared import PreparedEngine
from learningchain.client.work.slots import training_room
from learningchain.client.work.stores import Clocks, Stores
from learningchain.client.work.tasks import Tasks
from learningchain.client.work.trials import Trials
from learningchain.sandbox import AsyncBackend, SandboxError

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


class WorkDriver:
    """Implements `client.api.whole_node.Work`, for the node whose folder is `data`.

    `now()`: wall-clock milliseconds; `rng(n)`: n random bytes. The engine is prepared when `drawn`, or the settings, call for runs.
    `slices` are those of every contract where none are handed in; `executor` and `computing` replace the threads and the process
    that computes. `sign`: the account's signature of 32 bytes, None where its key is not on this machine;
    `derive` as `Recalled` has it. `send`, `penalize` and `seek`: the network's. `stop` closes the engine.
    """

    trials: Trials | None = None
    """None before the start."""

    def __init__(
        self,
        config: WorkConfig,
        ledger: Ledger,
        files: Files,
        data: Path,
        engine: AsyncBackend,
        *,
        now: Callable[[], int],
        rng: Callable[[int], bytes],
        slices: Sequence[WorkPart] | None = None,
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
        self._folder, self._leftovers = data / "work", data / "sandbox" / "out"
        self.engine = engine
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="work-database")
        # Trees over losses take seconds: nothing that has to be written down waits for one.
        self._trees = executor or ThreadPoolExecutor(1, thread_name_prefix="work-losses")
        self._made = self._folder / "made"
        self._slices = list(find_slices() if slices is None else slices)
        files.share_by(sharing(ledger, self._slices))
        self._computing: Computing = computing or ComputingProcess(self._made)
        self._sign, self._derive, self._send, self._penalize, self._seek = sign, derive, send, penalize, seek
        self._peers: PeerChannels | None = None
        self.books: dict[str, bytes] = {}
        """What each machine has in its book now, by its name, whether or not the disk has it."""
        self._waiting: dict[str, deque[Effect]] = {}
        """What machines said after a book that is not on the disk yet."""
        self.run_log = RunLog(now, engine.printed)
        self._parts: dict[str, Part] = {}
        """By the machine's name, in the order in which they are asked."""
        self._held: dict[str, frozenset[bytes]] = {}
        """Refs that something is held for here, by slice, at the last look."""
        self._changes: list[WatchedChanges] = []
        self._tasks = Tasks()
        self.drawn = functools.partial(is_drawn, ledger)
        """Whether this account may now be called to a duty that it did not ask for."""
        self._wake, self._sandbox = asyncio.Event(), PreparedEngine(engine)
        self._started = self._stopping = self._preparing = False
        self._failures, self._notices, self._use = Failures(now), Notices(now), MachineUse()
        self._untold: dict[str, set[bytes]] = {}
        """Keys that a machine failed at when it was told of them."""

    # --- life ------------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Go on where this node stopped. Raises BookError. The sandbox is prepared meanwhile; duties that need none are done."""
        ledger, path, runs = self._ledger, self._folder / "work.db", self.run_log
        database = await in_thread(self._executor, lambda: WorkDatabase(path, ledger.chain_id, ledger.own_id))
        clocks, executors = Clocks(self._now, ledger), (self._executor, self._trees)
        told = lambda secret: self._feed(Kept(secret))  # noqa: E731
        self._stores = stores = Stores(self._folder, database, clocks, self._files, self.engine, self._slices, *executors, told)
        await stores.load()
        statuses = ledger_statuses_of(self._slices)
        self._outbox = Outbox(database, ledger, statuses, now=self._now, executor=self._executor, settled=self._settled)
        self._effects = Effects(
            ledger,
            self._files,
            self.engine,
            stores,
            self._config,
            self._parts,
            self._tasks,
            runs,
            self._computing,
            self._outbox,
            ready=self._sandbox.ready,
            feed=self._feed,
            made=self._made,
            send=self._send,
            seek=self._seek,
        )
        ground = TrialsHere(self._effects, self._sandbox, stores, self._tasks, runs, lambda: self._config)
        loop_time = asyncio.get_running_loop().time
        self.trials = Trials(ground, spawn=self._tasks.spawn, now_s=loop_time, now_ms=self._now)
        await self._recall()
        reader, me = lambda: ledger.state, ledger.own_id
        self._peers = PeerChannels(self._slices, reader, me, tell=self._heard, now_s=loop_time, penalize=self._penalize)
        await self._outbox.start()
        self._started = True
        self._prepare_if_needed()
        for task in (self._follow(), self._pump()):
            self._tasks.spawn(task)

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
            self._tasks.spawn(self._prepare())

    async def _recall(self) -> None:
        """The machines know again what this node knew."""
        stores, call = self._stores, self._stores.call
        database, over = stores.database, stores.clocks.over
        await call(lambda: database.prune(over()))
        await stores.pins.expire(over())
        secrets, pending = await call(database.secrets), await call(database.pending)
        attempts = await call(lambda: database.attempts(MAX_STARTS))
        runs = await call(database.runs)
        books = await call(database.books)
        self.books, named = dict(books), self._effects.execution.recall(runs)
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
                self._parts[machine.name] = Part(machine, changes, part)
        named |= {secret.path for secret in secrets if secret.path is not None}
        await stores.models.sweep(named, self._leftovers, self._made)
        await call(self._effects.fetch.sweep)
        await call(lambda: stores.checkpoints.sweep(database.open_attempts()))

    async def stop(self, *, leave: bool = False) -> None:
        """Kill what runs and stop; what is pending stays in the database. Also after a `start` that failed. `leave`: trainings go
        on, for the node to come back to within minutes."""
        self._stopping = True
        if self._started:
            self._effects.execution.stopping = True
        if leave:
            self.engine.leave()
        self.run_log.cancel_all("this node is stopping")
        if self._started:
            await self._effects.warm.stop(STOP_S)
        await self._tasks.end("run ", STOP_S)
        if self._started:
            await self._outbox.stop()
            await self._stores.close()
        try:
            await self.engine.close()
        except SandboxError as problem:
            log.warning("containers may stay until the next start", why=str(problem))
        self._computing.close()
        self._executor.shutdown(wait=False)
        self._trees.shutdown(wait=False)

    async def _prepare(self) -> None:
        """Have the engine proved, with what an earlier start of this node left on it; the machines hear what it has."""
        keep = await self._live_images()

        async def prepare() -> dict[str, Any]:
            report = await self.engine.prepare(set(keep.values()), self._effects.execution.before())
            self._stores.images.adopt(keep, report.pop("kept", ()))
            await self._effects.execution.found(report.pop("runs", ()), report.pop("lost_runs", ()))
            return report

        def looked(gone: bool, was_gone: bool) -> None:
            if not gone:
                self._effects.warm.engine_answers(back=was_gone)
            self._notices.note(self._said_notices())

        await self._sandbox.run(prepare, proved=lambda report: self._feed(engine_ready(report)), looked=looked)

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
        held = self._stores.owners.share(state, self._stores.refs() - self._effects.releasing - trials)
        self._held = {name: frozenset(refs) for name, refs in held.items()}
        for name, part in self._parts.items():
            self._ask(name, self._seen_by(part))
        self._notices.note(self._said_notices())

    def _seen_by(self, part: Part) -> Chain:
        """What a machine is shown: the state now, and what was held for it at the last look of all."""
        state = self._ledger.state
        busy = any(other.machine.busy for other in self._parts.values() if other is not part)
        room = training_room(self._sandbox.machine(), self._effects.warm.aside(), self._effects.execution.taken())
        recent = self._now() - chain_record(state).time <= RECENT_MS + 3 * self._ledger.params.heartbeat
        held, there = self._held.get(part.slice.name, frozenset()), self.engine.elsewhere()
        alone = not self._effects.execution.taken()
        used = functools.partial(self._use.why, alone=alone)
        evaluators = self.engine.evaluators()
        return Chain(state, self._ledger.clock, busy, part.changes.complete, held, recent, room, there, evaluators, used)

    def _said_notices(self) -> Iterator[tuple[str, Sequence[Notice]]]:
        for name, part in self._parts.items():
            try:
                yield name, part.machine.notices()[:MAX_NOTICES]
            except Exception as fault:
                self._failures.fails(name, fault)
        for own in self._sandbox.notices():
            yield "", own
        yield "", [Notice("model.cold", ref, text) for ref, text in self._effects.warm.notices()[:MAX_NOTICES]]

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
                    self.books[effect.name] = effect.blob
                    self._waiting[name] = deque()
                    self._tasks.spawn(self._keep_book(name, effect))
                else:
                    self._effects.perform(name, effect)
            except Exception:
                log.exception("an effect failed", part=name, effect=type(effect).__name__)

    async def _keep_book(self, name: str, effect: KeepBook) -> None:
        await durably(self._executor, lambda: self._stores.database.keep_book(effect.name, effect.blob))
        self._do(name, self._waiting.pop(name))

    def _settled(self, intent: Intent, state: IntentState, note: str) -> None:
        self._feed(Settled(intent.kind, intent.key, intent.ref))

    def _heard(self, slice_: str, given: PeerSaid) -> None:
        for name, part in self._parts.items():
            if part.slice.name == slice_:
                self._feed(given, name)

    def on_message(self, peer: bytes, channel: int, payload: bytes) -> None:
        """A message of a peer on a channel of a slice. Never raises."""
        if self._peers is not None and not self._stopping:
            self._peers.on_message(peer, channel, payload)

    # --- for the API -----------------------------------------------------------------------------------------------------------

    @property
    def stores(self) -> Stores:
        """What is kept on this disk: secrets that users hand over, and what content is kept for. After the start."""
        return self._stores

    @property
    def report(self) -> dict[str, Any] | None:
        """What the sandbox's self-test said; None before it is over."""
        return self._sandbox.report

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

    def served(self) -> list[dict[str, Any]]:
        """Of each model that is served, how many of its containers start, are ready, and answer."""
        return self._effects.warm.shown() if self._started else []


def _under_way(runs: Iterable[RunUnderWay]) -> dict[str, dict[bytes, set[int]]]:
    found: dict[str, dict[bytes, set[int]]] = {}
    for run in runs:
        found.setdefault(run.kind, {}).setdefault(run.ref, set()).add(run.number)
    return found
