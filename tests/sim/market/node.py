"""The real worker, verifier and outbox on a simulated machine.

`WorkActor` makes a `WorkDriver` as the daemon does, on a loop in virtual time, with the real ledger door over the
machine's node. A crash of the machine ends that life between any two steps, or around any piece of work on the database; the next
life starts from the same folder. The disk under the database may refuse writes for a while.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, cast

from learningchain.chain.codec import encode
from learningchain.chain.node import events as e
from learningchain.chain.storage.blockstore import TxLocation
from learningchain.chain.types import tx_id
from learningchain.client.contracts.job.roles.cleanup import WON_PIN
from learningchain.client.contracts.job.roles.verifier import Verifier
from learningchain.client.contracts.job.roles.worker import Worker
from learningchain.client.keys.signing import LocalSigner
from learningchain.client.node.ledger import NodeLedger
from learningchain.client.work import WorkConfig, WorkDriver
from tests.sim.actor import Actor
from tests.sim.market.content import Files
from tests.sim.market.engine import SimEngine
from tests.sim.market.loop import VirtualLoop
from tests.unit.storage_disk import PowerCut
from tests.unit.work_kit import FullDisk, machine

if TYPE_CHECKING:
    from tests.sim.machine import Machine
    from tests.sim.market.graph import MarketWorld


class SimLedger(NodeLedger):
    """The node's own ledger door with the machine's clock."""

    def __init__(self, machine: Machine, store: Any) -> None:
        super().__init__(machine.node, LocalSigner(machine.key, cast(Any, None), machine.node.chain_id, machine.node.own_id), store)
        self._machine = machine

    @property
    def clock(self) -> int:
        return self._machine.node.clock(self._machine.wall)


class _Lookup:
    """What the block store says about a transaction: only what is on the disk."""

    def __init__(self, machine: Machine, places: dict[bytes, TxLocation]) -> None:
        self._machine, self._places = machine, places

    def tx(self, tx: bytes) -> TxLocation | None:
        found = self._places.get(tx)
        return found if found is not None and found.height <= self._machine.store.height else None


class _Door:
    """What `NodeLedger` needs of a driver."""

    def __init__(self, machine: Machine, said: Callable[[Machine, bytes], None]) -> None:
        self._machine, self._said = machine, said

    def submit(self, raw: bytes) -> bytes:
        self._said(self._machine, raw)
        self._machine.submit(raw)
        return tx_id(raw)


class _BookThread(Executor):
    """Does the database's work at once; `before` and `after` may cut the power."""

    def __init__(self, before: Callable[[], None], after: Callable[[], None]) -> None:
        self._before, self._after = before, after

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._before()
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as problem:
            future.set_exception(problem)
        self._after()
        return future


class WorkActor(Actor):
    def __init__(self, machine: Machine, world: MarketWorld, config: WorkConfig) -> None:
        super().__init__(machine)
        self._world, self.config = world, config
        plan = world.plan
        self.rng = random.Random(f"{world.seed} work {machine.index}")
        self.home = world.folder / f"n{machine.index}"
        self.files = Files(world.web, machine, self.home / "files")
        train_s, eval_s = self.rng.uniform(0.3, plan.train_s), self.rng.uniform(0.05, plan.eval_s)
        out = self.home / "sandbox" / "out"
        self.engine = SimEngine(world.web, machine.index, out, self.rng, config.concurrent + 1, plan.engine_fails, train_s, eval_s)
        self._places: dict[bytes, TxLocation] = {}
        self.loop: VirtualLoop | None = None
        self.work: WorkDriver | None = None
        self.ledger: SimLedger | None = None
        self.cuts = 0

    # --- life -------------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        machine, world = self.machine, self._world
        self.ledger = SimLedger(machine, _Lookup(machine, self._places))
        self.ledger.attach(_Door(machine, world.checks.said))  # type: ignore[arg-type]
        self.loop = VirtualLoop(lambda: world.now, world.later, self._delay, self._fault)  # type: ignore[abstract]
        self.loop.owner = machine.index
        self.work = WorkDriver(
            self.config,
            self.ledger,
            self.files,
            self.home,
            self.engine,
            now=lambda: machine.wall,
            rng=self.rng.randbytes,
            executor=_BookThread(self._before, self._after),
        )
        self.loop.create_task(self._begin(self.work))

    async def _begin(self, work: WorkDriver) -> None:
        await work.start()
        work._stores.database._db = FullDisk(work._stores.database._db, self._full)  # type: ignore[assignment]
        self._world.note(self.machine.index, "working", b"")

    def stop(self) -> None:
        loop, work = self.loop, self.work
        self.loop = self.work = self.ledger = None
        if loop is not None:
            loop.kill()
        self.files.lost_power()
        self.engine.lost_power()
        if work is not None and hasattr(work, "_stores"):
            work._stores.database._db.close()

    # --- faults -----------------------------------------------------------------------------------------------------------------

    def _delay(self) -> int:
        return self.rng.choice(self._world.plan.book_ms)

    def _full(self) -> bool:
        now, world = self._world.now, self._world
        windows = world.plan.full_disks
        refuses = not world.healed and any(start <= now < end for at, start, end in windows if at == self.machine.index)
        world.faults["full disk"] += refuses
        return refuses

    def _before(self) -> None:
        self._maybe_cut()

    def _after(self) -> None:
        self._maybe_cut()

    def _maybe_cut(self) -> None:
        if not self._world.healed and self.rng.random() < self._world.plan.book_cuts:
            self.cuts += 1
            self._world.faults["crash at the book"] += 1
            self.machine.crash()
            raise PowerCut

    def _fault(self, text: str, problem: BaseException | None) -> None:
        self._world.work_fault(self.machine, text, problem)

    # --- what the machine tells -------------------------------------------------------------------------------------------------

    def on_decided(self, decided: e.Decided) -> None:
        for index, (tx, receipt) in enumerate(zip(decided.tx_ids, decided.receipts[1:], strict=True)):
            self._places[tx] = TxLocation(decided.height, index, b"", encode(receipt))
        if self.ledger is not None:
            self.ledger.on_decided(decided)

    def on_dropped(self, dropped: e.TxDropped) -> None:
        if self.ledger is not None:
            self.ledger.on_dropped(dropped)

    # --- for the checkers -------------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> str:
        """What of an ended job is left in memory, on the engine or among the intents; empty when nothing is."""
        work = self.work
        if work is None or not work._started:
            return "it does not run"
        w, v = machine(work, Worker), machine(work, Verifier)
        held = (
            ("races", w._progress_of),
            ("claims", w._claims),
            ("claims on their way", w._claiming),
            ("duties", v._duties),
            ("votes", v._votes),
            ("claims in the making", w._making),
            ("ballots in the making", v._making),
            ("images", work._stores.images.refs),
            ("fetches", work._effects._fetching),
            ("clean-ups", work._effects.releasing),
            ("seats", work._tasks.scopes),
            ("intents", work._outbox._tasks),
            ("runs", [run for run in work.run_log._runs.values() if run.ended is None]),
        )
        return ", ".join(name for name, things in held if things)

    def leftovers(self) -> list[str]:
        """What should be gone when every job is over."""
        work = self.work
        if work is None:
            return ["it does not run"]
        found = [f"image {image}" for image in sorted(self.engine.images)]
        found += [str(path.relative_to(self.home)) for path in sorted(self.home.rglob("*.model"))]
        found += [f"pin {cid} {reason}" for cid in sorted(self.files.pins) for reason in sorted(self.files.pins[cid])]
        return [f for f in found if f" {WON_PIN}:" not in f]
