"""What the tests of worker, verifier and outbox share: a loop in virtual time, a chain of one proposer that many nodes use, files
that only pinned copies serve, an engine whose runs take virtual time.

`Chain` applies and commits real blocks on the real ledger. `Node` is one identity's ledger, files, engine and work; it can be
killed between any two steps and started again on the same folder.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
import threading
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.contracts import decode_message
from learningchain.chain.contracts.job import PostJob, records
from learningchain.chain.contracts.job.messages import OnCheat
from learningchain.chain.contracts.membership import Member, SetCapacity, member_key
from learningchain.chain.crypto import SigningKey, account_id, sha256
from learningchain.chain.errors import InvalidTx, TxCode
from learningchain.chain.host import BANNED
from learningchain.chain.host.terms import Arch, Capacity, HiddenSet, Image, ImageKind, Limits
from learningchain.chain.ledger.genesis import GenesisAccount, first_state
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import BlockInput, apply_block, chain_record, clock_at, commit
from learningchain.chain.ledger.tx import ParsedTx, parse_tx, sign_tx
from learningchain.chain.losses import LossTree, Measurement
from learningchain.chain.node.events import Decided
from learningchain.chain.types import Header, TxBody, net_of, parse_loss
from learningchain.client.contracts.job.http import views
from learningchain.client.contracts.job.roles.runs import wanted_image
from learningchain.client.contracts.job.work import PART as WORK
from learningchain.client.node.interface import Before, MayHave, TxResult
from learningchain.client.node.sharing import Sharing
from learningchain.client.work import WorkConfig, WorkDriver
from learningchain.client.work.artifacts import cid_of_file
from learningchain.client.work.changes import WatchedChanges
from learningchain.client.work.events import BringImage
from learningchain.client.work.machine import Machine, Recalled
from learningchain.p2p.content.cid import parse
from learningchain.p2p.content.faults import FetchFailed, Reason
from learningchain.sandbox import (
    AsyncWarmRun,
    DataSet,
    Evaluated,
    ImageLimits,
    OutputFile,
    OwnData,
    Progress,
    RunResult,
    RunSpec,
    RunStatus,
)
from tests.network import NetworkParams
from tests.network import genesis as network_genesis
from tests.unit.loops import VirtualLoop

START_MS = 1_700_000_000_000
PARAMS = NetworkParams(
    job_reveal=20_000, job_key=20_000, job_vote_base=30_000, job_open_votes=20_000, appeal=60_000, heartbeat=1_000
)
GRANT = 1_000_000_000
LIMITS = Limits(cpus_milli=1_000, mem_mb=64, train_s=20, eval_s=5, model_cap=4_096, tmp_mb=8, threads=1)
CAPACITY = Capacity(Arch.AMD64, 4_000, 4_096, 4 * 2**30, 2**30, 600)
"""What the validators' machines take: as the usual settings allow of the test engine's machine."""
EXAMPLES = 100
"""Losses of an evaluation by the test engine."""


def working(**settings: Any) -> WorkConfig:
    """The settings of a node that trains for bounties, and beyond that the usual ones."""
    return WorkConfig(enabled=True, **settings)


def run_virtual(main: Any) -> Any:
    """Run to the end in virtual time; whatever still runs then, also after a failure, is ended with the loop."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class Inline(Executor):
    """Does the work at once, on the loop's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as problem:
            future.set_exception(problem)
        return future


def key_of(name: str) -> SigningKey:
    return SigningKey(sha256(b"work kit" + name.encode()))


class Chain:
    """One state, blocks made by whoever asks. `validators` are also verifiers, of that capacity; `others` are members only."""

    def __init__(
        self, validators: list[str], others: list[str], params: NetworkParams = PARAMS, capacity: Capacity | None = CAPACITY
    ) -> None:
        self.names = {account_id(key_of(name).public): name for name in (*validators, *others)}
        self.ids = {name: identity for identity, name in self.names.items()}
        accounts = [GenesisAccount(key_of(n).public, GRANT, n in validators, n in validators) for n in (*validators, *others)]
        self.genesis = network_genesis("work kit", START_MS, params, accounts)
        self.state: State = first_state(self.genesis)[0]
        self.chain_id, self.params = self.genesis.chain_id, params
        self.pool: dict[bytes, ParsedTx] = {}
        self.waiting: dict[bytes, list[asyncio.Future[TxResult]]] = {}
        self.readers: list[asyncio.Queue[Decided]] = []
        self.results: dict[bytes, TxResult] = {}
        self.sent: list[tuple[str, Any]] = []
        """Every message that was ever offered, by whom."""
        self.time = START_MS
        for name in validators if capacity is not None else ():
            self.offer(name, [SetCapacity(capacity)])
        if capacity is not None:
            self.block()
            self.sent.clear()

    # time and blocks

    @property
    def clock(self) -> int:
        return clock_at(chain_record(self.state), self.time, self.params)

    def block(self, step_ms: int = 1_000) -> Decided:
        """A block `step_ms` after the last one, with all that waits."""
        record = chain_record(self.state)
        self.time = max(self.time, record.time + step_ms)
        proposer = self.genesis.validators[0].id
        block = BlockInput(record.height + 1, self.time, proposer, bytes(32), bytes(32), list(self.pool.values()))
        made = apply_block(self.state, block, building=True)
        commit(self.state, made)
        supply: Any = self.state.get(b"gs/")
        assert self.state.total() == supply.minted - supply.burned
        for index, tx in enumerate(made.txs):
            del self.pool[tx.id]
            receipt = made.receipts[index + 1]
            self._resolve(tx.id, TxResult(tx.id, record.height + 1, index, receipt.code, list(receipt.events)))
        for tx, problem in made.skipped:
            if problem.code != TxCode.SEQUENCE_GAP:
                self.drop(tx.id, problem)
        header = Header(1, self.chain_id, block.height, 0, proposer, self.time, *[bytes(32)] * 4, *[bytes(32)] * 4)
        committed = Decided(block.height, sha256(encode(block.height)), header, [tx.id for tx in made.txs], made.receipts, [])
        for queue in self.readers:
            queue.put_nowait(committed)
        return committed

    def _resolve(self, tx: bytes, result: TxResult) -> None:
        self.results[tx] = result
        for future in self.waiting.pop(tx, []):
            if not future.done():
                future.set_result(result)

    def drop(self, tx: bytes, problem: InvalidTx | None = None) -> None:
        """Lose a transaction: silently, or with a reason for who waits."""
        self.pool.pop(tx, None)
        for future in self.waiting.pop(tx, []) if problem else ():
            if not future.done():
                future.set_exception(problem)

    # transactions

    def offer(self, name: str, ops: list[Any], lane: int = 1) -> bytes:
        ops = [decode_message(encode(op)) for op in ops]
        account: Any = self.state.get(b"a/" + self.ids[name])
        used = {tx.body.sequence for tx in self.pool.values() if tx.body.sender == self.ids[name] and tx.body.lane == lane}
        sequence = next(n for n in range(account.sequences[lane], 2**62) if n not in used)
        height = chain_record(self.state).height
        raws = [msgspec.Raw(encode(op)) for op in ops]
        body = TxBody(net_of(self.chain_id), self.ids[name], lane, sequence, height + 100, raws)
        tx = parse_tx(sign_tx(key_of(name), self.chain_id, body))
        if account.status == BANNED:
            raise InvalidTx(TxCode.BANNED, "banned")
        self.pool[tx.id] = tx
        self.sent += [(name, op) for op in ops]
        return tx.id

    def now(self, name: str, op: Any) -> int:
        """Offer one message and make a block: its code."""
        tx = self.offer(name, [op])
        self.block()
        return self.results[tx].code

    def post(self, poster: str, **changes: Any) -> bytes:
        """A job, in the next block: its id."""
        expiry = changes.pop("expiry", self.clock + 40_000)
        tx = self.offer(poster, [posting(expiry, **changes)])
        self.block()
        assert self.results[tx].code == 0
        return next(job for _, job in views.newest(self.state, None, 1))

    # reading

    def describe(self, job: bytes) -> dict[str, Any]:
        found = views.describe(self.state, job)
        assert found is not None
        return found

    def strikes(self, name: str) -> int:
        member = self.state.get(member_key(self.ids[name]))
        assert isinstance(member, Member)
        return len(member.strikes)

    def ended(self, job: bytes) -> bool:
        record = self.state.get(records.job_key(job))
        assert isinstance(record, records.Job)
        return record.state in records.ENDED


def recalled(chain: Chain, name: str, config: WorkConfig | None = None, **known: Any) -> Recalled:
    """What a machine of this identity knows at its start. Salts are zeros."""
    return Recalled(chain.ids[name], chain.chain_id, config or working(), bytes, **known)


def bring(chain: Chain, job: bytes, *, urgent: bool = False) -> BringImage:
    """The wish for a job's image, by a node of the usual settings."""
    posted = chain.state.get(records.posting_key(job))
    assert isinstance(posted, records.Posting)
    return BringImage(job, wanted_image(WorkConfig(), posted.terms), urgent, posted.poster)


def job_changes(chain: Chain) -> WatchedChanges:
    """What blocks change from now on, and at first all live jobs."""
    return WatchedChanges(chain.state, WORK.watch)


class Told:
    """A machine that follows what a chain's blocks change."""

    def __init__(self, chain: Chain, machine: Machine) -> None:
        self.machine, self._changes = machine, job_changes(chain)

    def catch_up(self) -> None:
        while (changed := self._changes.take()) is not None:
            assert self.machine.handle(changed) == []


def tell(chain: Chain, machine: Machine, told: Told | None) -> Told:
    """Tell a machine what blocks changed since the last time, or all live jobs where it has just started."""
    if told is None or told.machine is not machine:
        told = Told(chain, machine)
    told.catch_up()
    return told


def posting(expiry: int, **changes: Any) -> PostJob:
    fields: dict[str, Any] = {
        "image": Image(ImageKind.REGISTRY, "jobs/test@sha256:" + "ab" * 32, b"", b"", 1_000),
        "arch": int(Arch.AMD64),
        "params": "{}",
        "bounty": 10_000_000,
        "fee": 1_000,
        "finalists": 3,
        "expiry": expiry,
        "float_kind": 1,
        "tol": 1_000,
        "floor": 0,
        "on_cheat": int(OnCheat.REFUND),
        "limits": LIMITS,
        "hidden": [],
        "devices": [],
        "data": [],
        "earlier": [],
    }
    return PostJob(**(fields | changes))


def hidden_set(cid: str, plain: bytes, key: bytes, size: int) -> HiddenSet:
    return HiddenSet(parse(cid).to_bytes(), sha256(plain), sha256(key), size)


class LedgerDouble:
    """`client.node.interface.Ledger` of one identity over the shared chain. `lose(rng)`: how often a transaction vanishes on its
    way."""

    def __init__(self, chain: Chain, name: str, rng: random.Random | None = None, loss: float = 0.0) -> None:
        self._chain, self._name, self._rng, self._loss = chain, name, rng or random.Random(0), loss
        self.chain_id, self.own_id, self.params = chain.chain_id, chain.ids[name], chain.params

    @property
    def state(self) -> State:
        return self._chain.state

    @property
    def height(self) -> int:
        return chain_record(self._chain.state).height

    @property
    def clock(self) -> int:
        return self._chain.clock

    async def room(self, timeout_s: float) -> bool:
        return True

    async def submit_raw(self, raw: bytes) -> bytes:
        raise NotImplementedError

    async def submit(self, ops: list[Any], *, urgent: bool = False, before: Before | None = None) -> bytes:
        tx = self._chain.offer(self._name, ops, 1 if urgent else 0)
        if before is not None:
            await before(tx)
        if self._rng.random() < self._loss:
            self._chain.drop(tx)
        return tx

    async def result(self, tx: bytes, timeout_s: float) -> TxResult:
        if tx in self._chain.results:
            return self._chain.results[tx]
        future: asyncio.Future[TxResult] = asyncio.get_running_loop().create_future()
        self._chain.waiting.setdefault(tx, []).append(future)
        async with asyncio.timeout(timeout_s):
            return await future

    async def committed(self) -> AsyncIterator[Decided]:
        queue: asyncio.Queue[Decided] = asyncio.Queue()
        self._chain.readers.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._chain.readers.remove(queue)


class Web:
    """Who serves what to whom."""

    def __init__(self) -> None:
        self.stores: dict[str, FilesDouble] = {}

    def serving(self, cid: str, to: FilesDouble) -> Path | None:
        found = [one.held[cid] for one in self.stores.values() if one is not to and one.gives(cid, to.me)]
        return found[0] if found else None


class FilesDouble:
    """`client.node.interface.Files`: what is pinned here is served while the node is up, by the node's own rules."""

    def __init__(self, web: Web, name: str, folder: Path, me: bytes = b"") -> None:
        self._web, self._folder, self.me = web, folder, me
        self._sharing = Sharing()
        folder.mkdir(parents=True)
        self.held: dict[str, Path] = {}
        self.allowed: dict[str, frozenset[bytes]] = {}
        self.pins: dict[str, set[str]] = {}
        self.up = True
        self.arrives_s = 0.3
        """How long what is fetched takes to arrive."""
        self.added: list[str] = []
        web.stores[name] = self

    async def add(self, path: Path, *, pin: str) -> tuple[str, int]:
        cid, size = cid_of_file(path)
        shutil.copyfile(path, self._folder / str(cid))
        self.held[str(cid)] = self._folder / str(cid)
        self.added.append(str(cid))
        self.pin(str(cid), pin)
        return str(cid), size

    def pinned(self, reason: str) -> list[tuple[str, int, str]]:
        held = [(cid, why) for cid, reasons in self.pins.items() if cid in self.held for why in sorted(reasons)]
        found = [(cid, why) for cid, why in held if why == reason or why.startswith(f"{reason}:")]
        return [(cid, self.held[cid].stat().st_size, why) for cid, why in found]

    def room(self) -> tuple[int, int]:
        return 2**40, 2**40

    def has(self, cid: str) -> bool:
        return cid in self.held

    async def fetch(self, cid: str, *, max_size: int, timeout_s: float, on_progress: Any = None) -> Path:
        if cid not in self.held:
            await self._arrive(min(self.arrives_s, timeout_s), on_progress)
            found = self._web.serving(cid, self)
            if found is None:
                raise FetchFailed(parse(cid), Reason.NOBODY, "nobody serves it")
            shutil.copyfile(found, self._folder / cid)
            self.held[cid] = self._folder / cid
        if self.held[cid].stat().st_size > max_size:
            raise FetchFailed(parse(cid), Reason.TOO_LARGE, "too large")
        return self.held[cid]

    async def _arrive(self, seconds: float, on_progress: Any) -> None:
        """A megabyte a second, of a file that is as large as that."""
        for second in range(int(seconds)):
            if on_progress is not None:
                on_progress(second * 10**6, int(seconds) * 10**6)
            await asyncio.sleep(1)
        await asyncio.sleep(seconds % 1)

    def pin(self, cid: str, reason: str) -> None:
        self.pins.setdefault(cid, set()).add(reason)

    def here(self, cids: Sequence[str]) -> list[Path | None]:
        return [None for _ in cids]

    def pin_all(self, cids: Collection[str], reason: str) -> None:
        for cid in cids:
            self.pin(cid, reason)

    def unpin_all(self, cids: Collection[str], reason: str) -> None:
        for cid in cids:
            self.unpin(cid, reason)

    def allow(self, cid: str, peers: Collection[bytes]) -> None:
        self.allowed[cid] = frozenset(peers)
        self._sharing.name(cid, peers)

    def share_by(self, may_have: MayHave) -> None:
        self._sharing.may_have_by_contract = may_have

    def gives(self, cid: str, peer: bytes) -> bool:
        return self.up and cid in self.held and self._sharing.may_have(peer, cid, self.pins.get(cid, ()))

    def unpin(self, cid: str, reason: str) -> None:
        self.pins.get(cid, set()).discard(reason)


def lie(loss: str, claimed: str = "0.1") -> bytes:
    return json.dumps({"loss": loss}).encode()


class FakeEngine:
    """`client.work.engine.Engine` in virtual time. A model is the JSON text of its loss; evaluating it gives `EXAMPLES` losses with
    that mean."""

    def __init__(self, folder: Path, rng: random.Random, fail: float = 0.0) -> None:
        self._folder, self._rng, self._fail = folder, rng, fail
        folder.mkdir(parents=True, exist_ok=True)
        self.specs: list[RunSpec] = []
        self.images: set[str] = set()
        self.running = 0
        self.train_s = 5.0
        self.eval_s = 1.0
        self.said: dict[str, str] = {}
        """What runs have printed so far."""
        self.losses: Callable[[RunSpec], str] = lambda spec: f"0.{self._rng.randrange(10**8, 10**9)}"
        self.end: Callable[[RunSpec], RunStatus | None] = lambda spec: None
        self.began: list[str] = []
        """Runs whose container began here, each time that it did."""
        self.left: dict[str, tuple[RunSpec, float]] = {}
        """Runs that go on without their node, and for how long yet."""
        self.lost: list[str] = []
        """Runs that ended while nobody was there."""
        self._leaving = False
        self.looks: list[bool] = []
        """Whether it was gone before, of each look."""
        self.looked: Callable[[], Awaitable[None]] = _nothing

    async def prepare(self, keep_images: Collection[str], keep_runs: Collection[RunSpec]) -> dict[str, Any]:
        self.images &= set(keep_images)
        self._leaving = False
        self.left = {spec.run_id: self.left[spec.run_id] for spec in keep_runs if spec == self.left.get(spec.run_id, (None,))[0]}
        facts = {"ok": True, "arch": "x86_64", "cpus": 4, "mem_mb": 8_192, "checks": [], "kept": self.images}
        return facts | {"runs": tuple(self.left), "lost_runs": tuple(self.lost)}

    async def look(self, *, again: bool) -> None:
        self.looks.append(again)
        await self.looked()

    async def load(self, path: Path, image_id: str, limits: ImageLimits) -> str:
        self.images.add(image_id)
        return image_id

    async def pull(self, reference: str, limits: ImageLimits) -> str:
        self.images.add("sha256:" + "cd" * 32)
        return "sha256:" + "cd" * 32

    async def own_data(self) -> list[OwnData]:
        return []

    async def remove_data(self, name: str) -> None:
        raise NotImplementedError

    async def keep_set(self, name: str, data: DataSet) -> None:
        raise NotImplementedError

    async def has_image(self, image_id: str) -> bool:
        return image_id in self.images

    async def remove(self, image_id: str) -> None:
        self.images.discard(image_id)

    async def close(self) -> None:
        return None

    def leave(self) -> None:
        self._leaving = True

    def elsewhere(self) -> int:
        return 0

    def evaluators(self) -> int:
        return 1

    def troubles(self) -> list[str]:
        return []

    async def start(self, spec: RunSpec, cancel: threading.Event) -> AsyncWarmRun | RunResult:
        return RunResult(status=RunStatus.ENGINE_ERROR, reason="no model is served here")

    def printed(self, run_id: str) -> str | None:
        return self.said.get(run_id)

    async def run(
        self, spec: RunSpec, on_progress: Callable[[Progress], None], cancel: threading.Event, on_checkpoint: Any = None
    ) -> RunResult:
        assert spec.image_id in self.images
        self.began += [spec.run_id] if spec.run_id not in self.left else []
        _, left = self.left.pop(spec.run_id, (spec, self.train_s if spec.phase == "train" else self.eval_s))
        self.specs.append(spec)
        self.running += 1
        try:
            if self._rng.random() < self._fail:
                return RunResult(status=RunStatus.ENGINE_ERROR, reason="the engine hiccups")
            while left > 0:
                await asyncio.sleep(min(left, 0.25))
                left -= 0.25
                if spec.stays and self._leaving:
                    self.left[spec.run_id] = spec, left
                    return RunResult(status=RunStatus.CANCELLED, reason="left", left=True)
                if cancel.is_set():
                    return RunResult(status=RunStatus.CANCELLED, reason="cancelled")
                on_progress(Progress(1, 2, 0.5))
            return self._outcome(spec)
        except asyncio.CancelledError:
            if spec.stays:
                self.left[spec.run_id] = spec, left
            raise
        finally:
            self.running -= 1

    def _outcome(self, spec: RunSpec) -> RunResult:
        forced = self.end(spec)
        if forced is not None:
            return RunResult(status=forced, reason=f"forced {forced.value}")
        if spec.phase == "train":
            path = self._folder / f"{spec.run_id}.model"
            path.write_bytes(json.dumps({"loss": self.losses(spec), "seed": spec.seed}).encode())
            return RunResult(
                status=RunStatus.OK,
                reason="done",
                outputs={"model": OutputFile(path, path.stat().st_size, b"")},
            )
        posted, hidden = spec.inputs["model"], spec.inputs.get("eval")
        assert isinstance(posted, Path)
        try:
            loss = parse_loss(json.loads(posted.read_bytes())["loss"])
        except (ValueError, KeyError, TypeError):
            return RunResult(status=RunStatus.MODEL_INVALID, reason="not a model")
        if isinstance(hidden, Path):
            loss += parse_loss(hidden.read_text())
        return RunResult(status=RunStatus.OK, reason="done", result=evaluated(loss))


def evaluated(loss: int, count: int = EXAMPLES) -> Evaluated:
    """An evaluation of `count` examples whose mean is this loss: pairs above and below it."""
    losses = array(
        "q", [loss + (k // 2 * 10 if k % 2 else -(k // 2) * 10) for k in range(count - count % 2)] + [loss] * (count % 2)
    )
    return Evaluated(LossTree(losses).measurement, losses)


def measured(loss: int, count: int = EXAMPLES) -> Measurement:
    """What `evaluated` measured."""
    return evaluated(loss, count).measurement


M = TypeVar("M", bound=Machine)


def machine(work: WorkDriver, kind: type[M]) -> M:
    """The machine of this kind that a node's work drives."""
    return next(part.machine for part in work._parts.values() if isinstance(part.machine, kind))


async def _nothing() -> None: ...


class FullDisk:
    """The work database's connection on a disk that refuses writes, or (`reads`) everything, while `full()`."""

    def __init__(self, db: sqlite3.Connection, full: Callable[[], bool], *, reads: bool = False) -> None:
        self._db, self._full, self._reads = db, full, reads

    def execute(self, query: str, values: Any = ()) -> sqlite3.Cursor:
        if (self._reads or query in ("BEGIN IMMEDIATE", "COMMIT")) and query != "ROLLBACK" and self._full():
            raise sqlite3.OperationalError("database or disk is full")
        return self._db.execute(query, values)

    def executemany(self, query: str, values: Any) -> sqlite3.Cursor:
        return self._db.executemany(query, values)

    def close(self) -> None:
        self._db.close()


class Node:
    """One member of the graph with its work."""

    def __init__(self, chain: Chain, web: Web, name: str, folder: Path, config: WorkConfig, seed: int, **faults: float) -> None:
        self.chain, self.name, self.config, self.folder = chain, name, config, folder
        self.rng = random.Random(f"{seed}-{name}")
        self.files = FilesDouble(web, name, folder / "files", chain.ids[name])
        self.ledger = LedgerDouble(chain, name, self.rng, faults.get("loss", 0.0))
        self.engine = FakeEngine(folder / "sandbox" / "out", self.rng, faults.get("fail", 0.0))
        self.work: WorkDriver | None = None
        self.behind_ms = 0
        """How old the newest block is that this node has: one that syncs sees blocks of long ago."""

    async def start(self, **more: Any) -> WorkDriver:
        loop = asyncio.get_running_loop()
        self.files.up = True
        self.work = WorkDriver(
            self.config,
            self.ledger,
            self.files,
            self.folder,
            self.engine,
            now=lambda: START_MS + self.behind_ms + int(loop.time() * 1_000),
            rng=self.rng.randbytes,
            executor=Inline(),
            **more,
        )
        await self.work.start()
        return self.work

    async def kill(self) -> None:
        """As kill -9 does it: no task goes on, nothing is told to anybody, the book's file stays as it is."""
        work, self.work = self.work, None
        assert work is not None
        self.files.up = False
        work._stopping = True
        tasks = [*work._tasks.all, *work._outbox._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        work._stores.database.close()


async def blocks(chain: Chain, until: Callable[[], bool], limit_s: float = 600.0, every_s: float = 1.0) -> None:
    """Make blocks as virtual time goes by, until something holds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + limit_s
    while not until():
        assert loop.time() < end, "it did not happen in time"
        await asyncio.sleep(every_s)
        chain.time = START_MS + int(loop.time() * 1_000)
        chain.block(1)
