"""Work: the worker, the verifier and the contractor's duty of one node, driven on its event loop.

    blocks, time --> Verifier, Worker (pure) --> effects: images, runs (threads), files, the book (a thread), the outbox

`Work` is composed by the daemon. Nothing in it blocks the loop: the sandbox, the book and hashing have threads of their own. What
an effect comes to goes back into the machines as an input. A node that is killed goes on from the ledger and the book.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog

from chain.contracts.job import records
from chain.contracts.job.messages import PostJob
from chain.contracts.job.records import ENDED, Job, Posting, State
from chain.contracts.job.rules import VoteCode
from chain.contracts.job.views import cid_text
from client.config import WorkConfig
from client.core import Files, Ledger
from client.work import policy, verifier, worker
from client.work.book import Book, IntentState
from client.work.changes import MAX_PIECE, Changes
from client.work.contractor import Contractor
from client.work.engine import RunLog, ThreadedSandbox
from client.work.events import (
    Chain,
    ClaimSettled,
    Cleanup,
    CommitBallots,
    DropModel,
    Effect,
    FetchImage,
    FetchModel,
    Input,
    Judge,
    Kill,
    LetGo,
    Moved,
    OpenBallots,
    OpenHidden,
    Publish,
    Reveal,
    RevealKey,
    Seat,
    SeatDone,
    StartEvaluate,
    StartSelfCheck,
    StartTrain,
    Stumbled,
    SubmitClaim,
)
from client.work.execution import Execution, Start
from client.work.fetching import Fetching
from client.work.material import Images, Models, Pins, durably, in_thread
from client.work.outbox import Outbox
from client.work.sending import Sending
from client.work.verifier import Verifier
from client.work.worker import Worker
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
"""Jobs of which a part could not be told, kept to be told again."""
MAX_STARTS = 2
"""An attempt that was under way so often when the node died is not started again: it may be what kills it."""
DAY_MS = 24 * 3_600_000


class Work:
    """Implements `client.core.Runs`. `data` is the folder of this part alone, beside the sandbox's own (`sandbox`).

    `now()`: wall-clock milliseconds; `rng(n)`: n random bytes. `on_run` is told of every change of a run. `self_test`: prove every
    limit of the sandbox here, where the caller has not done it before. `engine` and `executor` replace the sandbox and the threads.
    `stop` closes the sandbox.
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
        on_run: Callable[[dict[str, Any]], None] | None = None,
        self_test: bool = False,
        engine: AsyncBackend | None = None,
        executor: Executor | None = None,
    ) -> None:
        if engine is None and sandbox is None:
            raise ValueError("work needs a sandbox")
        self._ledger, self._files, self._config = ledger, files, config
        self._now, self._rng = now, rng
        self._folder, self._leftovers = data, data.parent / "sandbox" / "out"
        self._engine: AsyncBackend = engine or ThreadedSandbox(sandbox, config.concurrent + 1, self_test)  # type: ignore[arg-type]
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="work-book")
        self._log = RunLog(now, on_run or (lambda _run: None))
        self._tasks: set[asyncio.Task[None]] = set()
        self._seats: dict[Seat, set[asyncio.Task[None]]] = {}
        self._fetching: set[bytes] = set()
        self._releasing: set[bytes] = set()
        self._letting_go: set[bytes] = set()
        self._wake, self._ready = asyncio.Event(), asyncio.Event()
        self._started = self._stopping = False
        self._failing: dict[str, tuple[int, str]] = {}
        """Parts that fail at present: since when, and why."""
        self._untold: dict[str, set[bytes]] = {}
        """Jobs that a part failed at when it was told of them."""
        self.report: dict[str, Any] | None = None
        """What the sandbox's self-test said; None before it is over. `ok` false: no job runs, `reason` says why."""

    # --- life ------------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Go on where this node stopped. Raises BookError. The sandbox is prepared meanwhile; duties that need none are done."""
        me = self._ledger.own_id
        path = self._folder / "work.db"
        self._book = await self._call(lambda: Book(path, self._ledger.chain_id, me))
        self._pins = Pins(self._files, self._book, self._executor)
        await self._pins.load()
        self._images = Images(self._files, self._engine, self._pins, self._config)
        self._models = Models(self._folder / "models", self._executor)
        hidden = self._folder / "hidden"
        self._fetch = Fetching(self._ledger, self._files, self._images, self._pins, hidden, self._executor)
        self._execution = Execution(self._engine, self._log, self._models, self._book, self._executor)
        await self._recall(me)
        self._outbox = Outbox(self._book, self._ledger, now=self._now, executor=self._executor, settled=self._settled)
        self._sending = Sending(self._book, self._outbox, self._ledger, self._executor, self._now, self._rng)
        await self._outbox.start()
        self._started = True
        runs = self._config.enabled or self._config.verify  # else no engine is needed: what is left is to abstain and to serve
        for task in (*((self._prepare(),) if runs else ()), self._follow(), self._pump()):
            self._spawn(task)

    async def _recall(self, me: bytes) -> None:
        """The machines know again what this node knew."""
        book = self._book
        await self._call(lambda: book.prune(self._now()))
        await self._pins.expire(self._now())
        attempts, claims = await self._call(lambda: book.attempts(MAX_STARTS)), await self._call(book.claims)
        votes, pending = await self._call(book.votes), await self._call(book.pending)
        self._keys = await self._call(book.keys)
        claiming = {intent.job for intent in pending if intent.key.startswith("claim:")}
        known = worker.Memory(attempts, {claim.commitment: claim.job for claim in claims}, claiming)
        self._worker = Worker(me, self._config, known)
        false = {(c, v.seat[0]) for v in votes for c, b in zip(v.claimants, v.ballots, strict=True) if b.code == VoteCode.FALSE}
        self._verifier = Verifier(me, self._config, verifier.Memory({vote.seat: vote.commitment for vote in votes}, false))
        self._contractor, self._changes = Contractor(me), Changes(self._ledger.state)
        await self._models.sweep({claim.model.path for claim in claims}, self._leftovers)
        await self._call(self._fetch.sweep)

    async def stop(self) -> None:
        """Kill what runs and stop; what is pending stays in the book. Also after a `start` that failed."""
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
            await self._call(self._book.close)
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
        """By job. Looks through all live jobs, a few at a time."""
        found = {}
        live = list(self._ledger.state.keys(records.live_key(b"")))
        for number, key in enumerate(live):
            if number % MAX_PIECE == MAX_PIECE - 1:
                await asyncio.sleep(0)
            job = key[len(records.live_key(b"")) :]
            terms = self._terms(job)
            if terms is not None and terms.image.image_id:
                found[job] = f"sha256:{terms.image.image_id.hex()}"
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
            # With many runs and claims of its own a look takes long: never more than a small part of the loop that votes.
            await asyncio.sleep(min(TICK_S, max(PUMP_S, LOOK_SHARE * (loop.time() - began))))
            if not self._changes.complete:
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._wake.wait()
            self._wake.clear()

    async def _tell_changes(self) -> None:
        """The machines learn what blocks changed, a piece at a time: also at a start no piece holds the loop up."""
        loop = asyncio.get_running_loop()
        for _ in range(PIECES):
            began = loop.time()
            moved = self._changes.take()
            if moved is None:
                return
            self._tell(moved)
            await asyncio.sleep(PIECE_SHARE * (loop.time() - began))

    def _tell(self, moved: Moved) -> None:
        self._tell_part("verifier", self._verifier.handle, moved)
        self._tell_part("worker", self._worker.handle, moved)
        self._tell_part("contractor", self._contractor.moved, moved)

    def _tell_part(self, part: str, tell: Callable[[Moved], object], moved: Moved) -> None:
        """A job at which a part fails hides no other from it, and is told again with the next change."""
        jobs = (*moved.jobs, *sorted(self._untold.pop(part, set()) - {*moved.jobs}))
        try:
            tell(Moved(moved.reader, jobs, moved.contractors, moved.anew))
            return
        except Exception as fault:
            self._fails(part, fault)
        pieces = [Moved(moved.reader, (), moved.contractors, moved.anew), *(Moved(moved.reader, (job,), (), False) for job in jobs)]
        for piece in pieces:
            try:
                tell(piece)
            except Exception as fault:
                log.error("what changed could not be told", part=part, jobs=[job.hex() for job in piece.jobs], why=repr(fault))
                untold = self._untold.setdefault(part, set())
                untold |= {*piece.jobs} if len(untold) < MAX_UNTOLD else set()

    def _step(self) -> None:
        """One look at the committed state."""
        state, clock = self._ledger.state, self._ledger.clock
        self._ask("verifier", lambda: self._verifier.handle(Chain(state, clock)))
        self._ask("worker", lambda: self._worker.handle(Chain(state, clock, self._verifier.busy, self._changes.complete)))
        self._ask("contractor", lambda: self._contractor.duties(state, self._keys))
        self._ask("clean-up", self._over)

    def _over(self) -> list[Effect]:
        """Jobs that ended and that neither machine knows any more."""
        ended: list[Effect] = []
        for job in (self._images.jobs | self._pins.jobs) - self._releasing:
            record = self._ledger.state.get(records.job_key(job))
            if isinstance(record, Job) and record.state in ENDED:
                ended.append(Cleanup(job, won=False))
        return ended

    def _feed(self, given: Input) -> None:
        if self._stopping:
            return
        self._ask("verifier", lambda: self._verifier.handle(given))
        self._ask("worker", lambda: self._worker.handle(given))
        self._wake.set()

    def _ask(self, part: str, question: Callable[[], Sequence[Effect]]) -> None:
        """Ask one machine and do what it says, before the next one is asked.

        A machine notes that it said something, and says it once: what it said is done whatever becomes of the others. One that
        fails is asked again at the next block, and until it answers the status says so.
        """
        try:
            effects = question()
        except Exception as fault:
            self._fails(part, fault)
            return
        stumbled = [effect for effect in effects if isinstance(effect, Stumbled)]
        for failure in stumbled:
            self._fails(part, failure.fault, failure.job)
        if not stumbled and self._failing.pop(part, None) is not None:
            log.info("a part of this node's work goes on", part=part)
        for effect in effects:
            try:
                self._perform(effect)
            except Exception:
                log.exception("an effect failed", part=part, effect=type(effect).__name__)

    def _fails(self, part: str, fault: Exception, job: bytes = b"") -> None:
        if part not in self._failing:
            text = "a part of this node's work fails; it is asked again at the next block"
            log.error(text, part=part, job=job.hex(), exc_info=fault)
            of = f" (job {job.hex()})" if job else ""
            self._failing[part] = (self._now(), f"{type(fault).__name__}: {fault}{of}"[:MAX_WHY])

    def _settled(self, key: str, job: bytes, state: IntentState, note: str) -> None:
        if key.startswith("claim:"):
            self._feed(ClaimSettled(job))

    # --- effects ---------------------------------------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        match effect:
            case StartTrain() | StartSelfCheck() | StartEvaluate():
                self._spawn(self._run(effect), f"run {effect.run}")
            case Kill():
                self._log.cancel(effect.run, effect.reason)
            case FetchImage() if effect.job not in self._fetching:
                self._fetching.add(effect.job)
                self._spawn(self._image(effect.job, effect.urgent))
            case FetchImage(urgent=True):
                self._fetch.hurry(effect.job)
            case FetchModel():
                self._of_seat(effect.seat, self._answer(self._fetch.model(effect)))
            case OpenHidden():
                self._of_seat(effect.seat, self._answer(self._fetch.hidden(effect)))
            case SeatDone():
                for task in self._seats.pop(effect.seat, ()):
                    task.cancel()
                self._spawn(self._fetch.done(effect.seat))
            case SubmitClaim():
                self._spawn(self._claim(effect))
            case CommitBallots():
                self._spawn(self._commit(effect))
            case Publish():
                self._spawn(self._publish(effect))
            case Reveal():
                self._spawn(self._sending.reveal(effect))
            case OpenBallots():
                self._spawn(self._sending.open(effect))
            case RevealKey():
                self._keys.discard(effect.key_hash)
                self._spawn(self._sending.reveal_key(effect))
            case Judge():
                self._spawn(self._sending.judge(effect))
            case DropModel():
                self._spawn(self._drop(effect))
            case LetGo() if effect.job not in self._fetching and self._verifier.gives_up(effect.job):
                self._letting_go.add(effect.job)
                self._spawn(self._let_go(effect.job))
            case Cleanup() if effect.job not in self._releasing:
                self._releasing.add(effect.job)
                self._spawn(self._clean(effect.job))
            case _:
                pass

    def _spawn(self, work: Coroutine[Any, Any, None], name: str | None = None) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task of worker or verifier ended by a fault", exc_info=task.exception())

    def _of_seat(self, seat: Seat, work: Coroutine[Any, Any, None]) -> None:
        """A task that nobody needs once the seat is done."""
        tasks = self._seats.setdefault(seat, set())
        task = self._spawn(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _answer(self, work: Coroutine[Any, Any, Input]) -> None:
        self._feed(await work)

    async def _run(self, start: Start) -> None:
        run = self._execution.begin(start)
        self._feed(await self._execution.run(self._ledger.state, start, run))

    async def _image(self, job: bytes, urgent: bool) -> None:
        try:
            await self._ready.wait()
            while job in self._letting_go:
                await asyncio.sleep(TICK_S)
            answer = await self._fetch.image(job, urgent=urgent)
        finally:
            self._fetching.discard(job)
        self._feed(answer)

    async def _claim(self, effect: SubmitClaim) -> None:
        stored = await self._sending.claim(effect)
        while stored is None and self._takes_claims(effect.job):
            await asyncio.sleep(TICK_S)
            stored = await self._sending.claim(effect)
        if stored is None:
            await self._models.drop(effect.model.path)
            self._feed(ClaimSettled(effect.job))
        else:
            self._feed(stored)

    async def _commit(self, effect: CommitBallots) -> None:
        stored = await self._sending.commit(effect)
        if stored is None:
            self._verifier.not_stored(effect.seat)
        else:
            self._verifier.stored(effect.seat, stored.commitment, stored.ballots, stored.claimants)
        self._wake.set()

    async def _publish(self, effect: Publish) -> None:
        """From now on the committee, and everybody who asks, can have the model."""
        answer = await self._sending.publish(effect, self._files, self._pins)
        if answer is not None:
            await asyncio.sleep(TICK_S)
            self._feed(answer)

    async def _drop(self, effect: DropModel) -> None:
        if effect.model is not None:
            await self._models.drop(effect.model.path)
            return
        claim = await durably(self._executor, lambda: self._book.claim(effect.commitment))
        if claim is not None:
            await durably(self._executor, lambda: self._book.drop_claim(effect.commitment))
            await self._models.drop(claim.model.path)

    async def _clean(self, job: bytes) -> None:
        """A job that ended is owed nothing more, but its winner's model to its buyer."""
        try:
            while not await self._cleaned(job):
                await asyncio.sleep(TICK_S)
        finally:
            self._releasing.discard(job)

    async def _let_go(self, job: bytes) -> None:
        try:
            await self._images.let_go(job)
        except sqlite3.Error as problem:
            log.warning("what was fetched for a job stays until it ends", job=job.hex(), why=str(problem))
        finally:
            self._letting_go.discard(job)

    async def _cleaned(self, job: bytes) -> bool:
        """False where the disk refused: what was given up until then is not there the next time."""
        try:
            await self._keep_won(job)
            await self._pins.release(job)
            await self._images.release(job)
            for claim in await self._call(lambda: self._book.forget_job(job)):
                await self._models.drop(claim.model.path)
            await self._pins.expire(self._now())
        except sqlite3.Error as problem:
            log.error("a job that ended cannot be forgotten yet; trying again", job=job.hex(), why=str(problem))
            return False
        return True

    async def _keep_won(self, job: bytes) -> None:
        own = policy.own_claim(self._ledger.state, job, self._ledger.own_id)
        record = self._ledger.state.get(records.job_key(job))
        if own is None or not isinstance(record, Job) or not record.winner or not own.model:
            return
        index = self._ledger.state.get(records.claimant_key(job, self._ledger.own_id))
        cid = cid_text(own.model)
        if index is not None and index.index == record.winner[0] and self._pins.holds(cid, f"job:{job.hex()}"):
            until = self._now() + self._config.serve_won_days * DAY_MS
            await self._pins.pin(cid, f"won:{job.hex()}", job, until)

    # --- for the API -----------------------------------------------------------------------------------------------------------

    def failing(self) -> list[dict[str, Any]]:
        """Parts of the work that fail at present: which, since when (wall clock, ms), why."""
        return [{"part": part, "since": since, "why": why} for part, (since, why) in sorted(self._failing.items())]

    def list_runs(self) -> list[dict[str, Any]]:
        """Newest first, without logs."""
        return self._log.list()

    def get_run(self, run_id: str) -> dict[str, Any] | None:
        return self._log.get(run_id)

    def cancel_run(self, run_id: str) -> bool:
        return self._log.cancel(run_id, "cancelled by the operator")

    def explain(self, job: bytes) -> str | None:
        """Why this node does not train for a job, in words; None where it does."""
        return self._worker.explain(self._ledger.state, job, self._ledger.clock)

    async def keep_key(self, key: bytes) -> bytes:
        """Keep the key (32 bytes) of hidden data that this node posts; it is revealed when its job asks for it. Its hash."""
        key_hash: bytes = await self._call(lambda: self._book.save_key(key))
        self._keys.add(key_hash)
        return key_hash

    # --- helpers ---------------------------------------------------------------------------------------------------------------

    def _takes_claims(self, job: bytes) -> bool:
        record = self._ledger.state.get(records.job_key(job))
        return isinstance(record, Job) and record.state == State.OPEN and self._ledger.clock < record.deadline

    def _terms(self, job: bytes) -> PostJob | None:
        posting = self._ledger.state.get(records.posting_key(job))
        return posting.terms if isinstance(posting, Posting) else None

    async def _call(self, work: Callable[[], Any]) -> Any:
        return await in_thread(self._executor, work)
