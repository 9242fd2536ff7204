"""What machines say is done here: images, runs, content, files, secrets, messages. What an effect comes to is fed to them again.

Nothing blocks the loop: the sandbox, the database, hashing and computing have threads or processes of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from learningchain.client.config import WorkConfig
from learningchain.client.node.interface import PRIVATE, Files, Ledger, MayHave
from learningchain.client.work.artifacts import parse_reason, reason
from learningchain.client.work.changes import Part
from learningchain.client.work.computing import ComputerLost, Computing, TaskRefused
from learningchain.client.work.engine import RunLog
from learningchain.client.work.events import (
    SERVED,
    BringImage,
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
    KeepSecret,
    KeepWarm,
    Kept,
    Kill,
    LetCool,
    NotPublished,
    OpenLosses,
    Pin,
    PublishFile,
    ReleaseImage,
    RunEnded,
    Secret,
    SecretRefused,
    SecretStored,
    SendPeer,
    ServeFile,
    StartRun,
    StopServing,
    Submit,
    Unpin,
)
from learningchain.client.work.execution import Execution
from learningchain.client.work.fetching import Fetching, Seek
from learningchain.client.work.machine import WorkPart
from learningchain.client.work.notices import MAX_WHY
from learningchain.client.work.outbox import Outbox
from learningchain.client.work.owners import held_for, released_for
from learningchain.client.work.peers import Send
from learningchain.client.work.prepared import PreparedEngine
from learningchain.client.work.served import ServedFiles
from learningchain.client.work.stores import Stores
from learningchain.client.work.tasks import Tasks
from learningchain.client.work.trials import PIN
from learningchain.client.work.vanished import VanishedImages
from learningchain.client.work.warm_pool import WarmPool
from learningchain.p2p.content.cid import from_bytes, parse
from learningchain.sandbox import AsyncBackend

log = structlog.get_logger(__name__)

AGAIN_S: Final = 1.0
"""What the disk or another effect holds up is tried again after this time."""


class FeedMachines(Protocol):
    """Gives an input to a machine, or to all of them, as `WorkDriver` does it."""

    def __call__(self, given: Input, only: str | None = None, *, done: bool = False) -> None: ...


def sharing(ledger: Ledger, slices: Sequence[WorkPart]) -> MayHave:
    """Return whether a contract says, by the ledger as it is now, that a peer may have what is pinned privately here."""

    def may_have(peer: bytes, cid: str, reasons: Collection[str]) -> bool:
        private = [parse_reason(one) for one in reasons if one.startswith(PRIVATE)]
        state, content = ledger.state, parse(cid).to_bytes()
        return any(part.may_have(state, private, content, peer) for part in slices)

    return may_have


class Effects:
    """`parts` by the machine's name; `ready`: runs may begin; `feed` takes what an effect came to; `made` is the folder of what was
    computed here; `send` and `seek` are the network's."""

    def __init__(
        self,
        ledger: Ledger,
        files: Files,
        engine: AsyncBackend,
        stores: Stores,
        config: WorkConfig,
        parts: Mapping[str, Part],
        tasks: Tasks,
        runs: RunLog,
        computing: Computing,
        outbox: Outbox,
        *,
        ready: asyncio.Event,
        feed: FeedMachines,
        made: Path,
        send: Send,
        seek: Seek,
    ) -> None:
        self._ledger, self._files, self._stores, self._parts = ledger, files, stores, parts
        self._tasks, self._runs, self._computing, self._outbox = tasks, runs, computing, outbox
        self._ready, self._feed, self._made, self._send = ready, feed, made, send
        self._served = ServedFiles(files.allow)
        hidden = stores.folder / "hidden"
        self.fetch = Fetching(ledger, files, stores.images, stores.pins, hidden, stores.executor, seek)
        maker = VanishedImages(engine, stores.images.bring_again)
        self.warm = WarmPool(
            maker,
            slots=config.serve.slots,
            memory_mb=config.serve.mem_mb,
            keep=config.serve.warm,
            idle_s=float(config.serve.warm_idle_s),
            tell=lambda told: feed(told, self._serves.get(told.model)),
            now=asyncio.get_running_loop().time,
        )
        kept = stores.models, stores.losses, stores.database, stores.executor, self.warm, stores.checkpoints
        self.execution = Execution(maker, runs, *kept)
        self._serves: dict[bytes, str] = {}
        """Models that are served: the machine that said so."""
        self._fetching: set[bytes] = set()
        self.releasing: set[bytes] = set()
        """Refs that are over, while what is held for them goes."""
        self.letting_go: set[bytes] = set()
        """Refs whose image goes."""

    def perform(self, name: str, effect: Effect) -> None:
        """`name`: the machine that said it."""
        contract = self._parts[name].slice.name
        held, released = held_for(effect), released_for(effect)
        if held is not None and self._stores.owners.begin(held, contract):
            self._tasks.spawn(self._stores.owners.write(held))
        if released is not None and not self._stores.owners.may_release(self._ledger.state, released, contract):
            log.error("a machine may not release what another contract holds", part=name, ref=released.hex())
            return
        match effect:
            case StartRun():
                self._tasks.spawn(self._run(name, effect), f"run {effect.run}")
            case KeepWarm():
                self._serves[effect.model] = name
                self._tasks.spawn(self._keep_warm(effect))
            case LetCool():
                if self._serves.pop(effect.model, None) is not None:
                    self.warm.unserve(effect.model)
            case Kill():
                self._runs.cancel(effect.run, effect.reason)
            case BringImage() if effect.ref not in self._fetching:
                self._fetching.add(effect.ref)
                self._tasks.spawn(self._image(effect))
            case BringImage(urgent=True):
                self._stores.images.hurry(effect.ref, effect.image)
            case FetchContent():
                self._tasks.of_scope(name, effect.scope, self._answer(name, lambda: self.fetch.content(effect)))
            case Decrypt():
                self._tasks.of_scope(name, effect.scope, self._answer(name, lambda: self.fetch.decrypted(name, effect)))
            case EndScope():
                self._tasks.end_scope(name, effect.scope)
                self._tasks.spawn(self.fetch.done(name, effect.scope))
            case OpenLosses():
                self._tasks.of_scope(name, effect.scope, self._answer(name, lambda: self._stores.losses.open(effect)))
            case DropLosses():
                self._tasks.spawn(self._stores.losses.drop(effect.ref, effect.run))
            case Submit():
                self._tasks.spawn(self._submit(name, effect))
            case PublishFile():
                self._tasks.spawn(self._serve(name, effect))
            case KeepSecret():
                self._tasks.spawn(self._keep_secret(name, effect.secret))
            case DropSecret():
                self._tasks.spawn(self._stores.secrets.drop(effect))
            case DropFile():
                self._tasks.spawn(self._stores.models.drop(effect.path))
            case Compute():
                self._tasks.of_scope(name, effect.scope, self._answer(name, lambda: self._compute(name, effect)))
            case ServeFile():
                self._tasks.spawn(self._serve_some(effect))
            case StopServing():
                self._tasks.spawn(self._stop_serving(effect))
            case SendPeer():
                self._send(effect.to, effect.channel, effect.payload)
            case Pin():
                until = self._stores.clocks.since() + effect.ms if effect.ms else 0
                self._tasks.spawn(self._pinned(self._stores.pins.pin(effect.cid, effect.reason, effect.ref, until), effect.ref))
            case Unpin():
                self._tasks.spawn(self._pinned(self._stores.pins.give_up(effect.ref, (effect.reason,)), effect.ref))
            case ReleaseImage() if effect.ref not in self._fetching and self._nobody_else_needs(name, effect.ref):
                for part in self._parts.values():
                    part.machine.image_goes(effect.ref)
                self.letting_go.add(effect.ref)
                self._tasks.spawn(self._let_go(effect.ref, self._stores.owners.holds(effect.ref)))
            case Forget() if effect.ref not in self.releasing:
                self.releasing.add(effect.ref)
                self._tasks.spawn(self._clean(effect, self._stores.owners.holds(effect.ref)))
            case _:
                pass

    def _nobody_else_needs(self, name: str, ref: bytes) -> bool:
        return all(part.machine.gives_up(ref) for other, part in self._parts.items() if other != name)

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
                await self._stores.pins.pin(cid, why, effect.ref)
                found, _ = await self._files.add(effect.path, pin=why)
            except Exception as problem:
                log.error("a file cannot be served; trying again", ref=effect.ref.hex(), why=str(problem))
                await asyncio.sleep(AGAIN_S)
                if not await asyncio.to_thread(effect.path.is_file):
                    return
                continue
            if found != cid:
                log.error("a file on this disk is not what it was", ref=effect.ref.hex(), cid=found)
            return

    async def _stop_serving(self, effect: StopServing) -> None:
        cid = str(from_bytes(effect.cid))
        path = self._served.end(cid, effect.ref) or effect.path
        for word in (SERVED, PRIVATE + SERVED):
            await self._pinned(self._stores.pins.drop(cid, reason(word, effect.ref)), effect.ref)
        if path is not None:
            await self._drop_made(path)

    async def _drop_made(self, path: Path) -> None:
        """Of what was computed here alone: other files that are served have other owners."""
        if path.parent == self._made:
            await self._stores.models.drop(path)

    async def _run(self, name: str, start: StartRun) -> None:
        start = await self.execution.on_own_data(start)
        run = self.execution.begin(start)
        self._feed(await self.execution.run(start, run), name, done=True)

    async def _keep_warm(self, effect: KeepWarm) -> None:
        await self._ready.wait()
        if effect.model in self._serves:
            self.warm.serve(effect.model, effect.spec)

    async def _image(self, effect: BringImage) -> None:
        try:
            await self._ready.wait()
            while effect.ref in self.letting_go:
                await asyncio.sleep(AGAIN_S)
            answer = await self.fetch.image(effect)
        finally:
            self._fetching.discard(effect.ref)
        if isinstance(answer, ImageFailed):
            self._runs.not_fetched(effect.ref, answer.reason[:MAX_WHY])
        else:
            self._runs.fetched(effect.ref)
        self._feed(answer, done=True)

    async def _submit(self, name: str, effect: Submit) -> None:
        if effect.needs is not None and not effect.needs.is_file():
            log.error("a message is not sent: the file that it needs is gone from this disk", intent=effect.key)
            return
        answer = await self._outbox.submit(effect)
        if isinstance(answer, SecretRefused):
            await asyncio.sleep(AGAIN_S)
        if answer is not None:
            self._feed(answer, name)

    async def _serve(self, name: str, effect: PublishFile) -> None:
        """From now on everybody who asks can have the file."""
        try:
            await self._stores.pins.pin(effect.cid, reason(effect.pin, effect.ref), effect.ref)
            cid, _ = await self._files.add(effect.path, pin=reason(effect.pin, effect.ref))
        except Exception as problem:  # a full disk, a store that is closing: its time is not over yet
            log.error("a file cannot be served; trying again", ref=effect.ref.hex(), why=str(problem))
            await asyncio.sleep(AGAIN_S)
            self._feed(NotPublished(effect.ref, effect.cid), name)
            return
        if cid != effect.cid:
            log.error("a file on this disk is not what it was", ref=effect.ref.hex(), cid=cid)

    async def _keep_secret(self, name: str, secret: Secret) -> None:
        answer = await self._stores.secrets.save(secret)
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
                await asyncio.sleep(AGAIN_S)
        finally:
            self.releasing.discard(effect.ref)

    async def _disown(self, ref: bytes, holds: int) -> None:
        """Forget whose the ref was, unless something is held for it again, or on its way since it had so many holds. Raises
        sqlite3.Error."""
        if ref not in self._stores.refs() and self._stores.owners.holds(ref) == holds:
            await self._stores.owners.drop(ref)

    async def _let_go(self, ref: bytes, holds: int) -> None:
        try:
            await self._stores.images.let_go(ref)
            await self._disown(ref, holds)
        except sqlite3.Error as problem:
            log.warning("what was fetched stays until its ref is over", ref=ref.hex(), why=str(problem))
        finally:
            self.letting_go.discard(ref)

    async def _cleaned(self, effect: Forget, holds: int) -> bool:
        """False where the disk refused: what was given up until then is not there the next time."""
        ref = effect.ref
        try:
            for one in effect.keep:
                for cid in [one.cid] if one.cid else self._stores.pins.of(reason(one.pinned, ref)):
                    if self._stores.pins.holds(cid, reason(one.pinned, ref)):
                        await self._stores.pins.pin(cid, reason(one.pin, ref), ref, self._stores.clocks.since() + one.ms)
            await self._stores.pins.release(ref)
            await self._stores.images.release(ref)
            for path in await self._stores.call(lambda: self._stores.database.forget(ref)):
                await self._stores.models.drop(path)
            await self._stores.call(lambda: self._stores.checkpoints.forget(ref))
            for path in self._served.forget(ref):
                await self._drop_made(path)
            await self._stores.losses.forget(ref)
            await self._stores.pins.expire(self._stores.clocks.over())
            await self._disown(ref, holds)
        except sqlite3.Error as problem:
            log.error("what is over cannot be forgotten yet; trying again", ref=ref.hex(), why=str(problem))
            return False
        return True


class TrialsHere:
    """The node's work as a trial sees it (`trials.TrialGround`). `settings`: those of now."""

    def __init__(
        self,
        effects: Effects,
        engine: PreparedEngine,
        stores: Stores,
        tasks: Tasks,
        runs: RunLog,
        settings: Callable[[], WorkConfig],
    ) -> None:
        self._effects, self._engine, self._stores, self._tasks = effects, engine, stores, tasks
        self._runs, self._settings = runs, settings

    @property
    def config(self) -> WorkConfig:
        return self._settings()

    def clock(self) -> int:
        return self._stores.clocks.ledger.clock

    async def ready(self, within_s: float) -> str:
        ready = self._engine.ready
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await ready.wait()
        if ready.is_set():
            return ""
        return str((self._engine.report or {}).get("reason") or f"its engine was not ready within {within_s:g} s")

    async def image(self, wanted: BringImage) -> Input:
        while wanted.ref in self._effects.releasing or wanted.ref in self._effects.letting_go:
            await asyncio.sleep(AGAIN_S)
        return await self._effects.fetch.image(wanted)

    async def content(self, wanted: FetchContent) -> Input:
        return await self._effects.fetch.content(wanted)

    async def run(self, start: StartRun) -> RunEnded:
        run = self._effects.execution.begin(start)
        return await asyncio.shield(self._tasks.spawn(self._effects.execution.run(start, run), f"run {start.run}"))

    def log_of(self, run: str) -> str:
        return str((self._runs.get(run) or {}).get("log", ""))

    async def let_go(self, ref: bytes) -> None:
        await self._stores.pins.give_up(ref, (reason(PIN, ref),))
