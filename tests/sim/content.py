"""The content service of several machines over a faulty network, in virtual time: all of `p2p.content`, with real files, on an
event loop whose clock jumps and whose threads are steps, in the same order every time. Data connections are played (`Carrier`).

Until `heal_at` connections break and come back at once or later, links stall, machines are killed and start again on what their
disk holds. Liars (`tests.sim.attacks.content`) go on for ever. Every honest machine must get every file.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import selectors
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learningchain.chain.node import answer_budget
from learningchain.chain.node.answer_budget import AnswerBudget, AnswerKind
from learningchain.p2p.content.cid import Cid
from learningchain.p2p.content.dag import CHUNK
from learningchain.p2p.content.events import EndMove, LeavesMoved, MoveEnded, MoveOpened, OpenMove, TakeLeaves
from learningchain.p2p.content.exchange import MAX_OWED, MAX_SESSIONS, MAX_UNDER_WAY, WINDOW_MAX
from learningchain.p2p.content.faults import FetchFailed
from learningchain.p2p.content.messages import MAX_FRAME
from learningchain.p2p.content.moves import MAX_MOVES
from learningchain.p2p.content.service import MAX_WAITING, Content, MoveReport
from learningchain.p2p.content.serving import MAX_ACTIVE, MAX_PER_PEER, MAX_QUEUED
from learningchain.p2p.content.store import ContentStore
from tests.sim.checks import Violation
from tests.unit.content_kit import kill, pattern, root_of

QUEUE_FRAMES, QUEUE_BYTES = 256, 4_000_000
"""What a connection holds for a peer before it refuses more (the send queue of content)."""
PATIENCE = 120.0
"""Seconds after healing in which every file must have come."""


class Loop(asyncio.SelectorEventLoop):
    """Virtual time. What goes to a thread is done in one step, a moment later; a dead executor does nothing any more."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(_Jump(self))
        self.now = 0.0
        self.rng = rng
        self.dead: list[Any] = []

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        done = self.create_future()

        def step() -> None:
            if any(executor is one for one in self.dead):
                return
            try:
                result = func(*args)
            except Exception as fault:
                if not done.cancelled():
                    done.set_exception(fault)
            else:
                if not done.cancelled():
                    done.set_result(result)

        self.call_later(self.rng.choice([0.0, 0.001, 0.02]), step)
        return done


class _Jump(selectors.SelectSelector):
    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self.loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Violation("nothing is going to happen any more")
        self.loop.now += max(0.0, timeout)
        return []


@dataclass(frozen=True)
class Faults:
    honest: int = 3
    liars: tuple[str, ...] = ()
    sizes: tuple[int, ...] = (700_000,)
    latency: float = 0.02
    bandwidth: float = 4_000_000.0
    heal_at: float = 6.0
    breaks: tuple[tuple[float, int, int, float], ...] = ()
    """(when, one, another, seconds until they are connected again)"""
    stalls: tuple[tuple[float, int, int, float], ...] = ()
    """(when, source, target, seconds in which nothing moves)"""
    kills: tuple[tuple[float, int, float], ...] = ()
    """(when, machine, seconds until it starts again)"""


def draw(seed: int, liars: tuple[str, ...]) -> Faults:
    r = random.Random(seed)
    honest, heal = r.randint(2, 4), r.uniform(2, 8)
    chosen = tuple(r.choice(liars) for _ in range(r.randint(0, 3))) if liars else ()
    n = honest + len(chosen)

    def pairs(most: int) -> list[tuple[int, ...]]:
        return [tuple(r.sample(range(n), 2)) for _ in range(r.randint(0, most))]

    return Faults(
        honest=honest,
        liars=chosen,
        sizes=tuple(r.choice([0, 5_000, 262_144, 262_145, 700_000, 1_500_000, 5_000_000]) for _ in range(r.randint(1, 3))),
        latency=r.choice([0.001, 0.02, 0.2]),
        bandwidth=r.choice([300_000.0, 1_000_000.0, 4_000_000.0]),
        heal_at=heal,
        breaks=tuple((r.uniform(0, heal), a, b, r.choice([0.0, 0.0, 0.003, 0.5, 2.0])) for a, b in pairs(12)),
        stalls=tuple((r.uniform(0, heal), a, b, r.uniform(0.1, 12)) for a, b in pairs(4)),
        kills=tuple((r.uniform(0, heal), r.randrange(honest), r.choice([0.01, 1.0])) for _ in range(r.choice([0, 0, 1, 3]))),
    )


@dataclass
class Wire:
    """One direction of a connection: what was taken arrives in order, or not at all when the connection ends."""

    latency: float
    bandwidth: float
    free_at: float = 0.0
    frames: int = 0
    bytes: int = 0


class Net:
    """Who is connected with whom, and what is on the way."""

    def __init__(self, world: Graph) -> None:
        self.world = world
        self.epoch: dict[frozenset[int], int] = {}
        """Connected pairs, and the number of their connection."""
        self._wires: dict[tuple[int, int], Wire] = {}
        self._count = 0

    def connect(self, a: int, b: int) -> None:
        pair = frozenset((a, b))
        machines = self.world.machines
        if pair in self.epoch or not (machines[a].up and machines[b].up):
            return
        self._count += 1
        self.epoch[pair] = self._count
        f = self.world.faults
        for source, target in ((a, b), (b, a)):
            self._wires[source, target] = Wire(f.latency, f.bandwidth)
            machines[source].on_peer(target, True)

    def disconnect(self, a: int, b: int) -> None:
        if self.epoch.pop(frozenset((a, b)), None) is not None:
            for source, target in ((a, b), (b, a)):
                if self.world.machines[source].up:
                    self.world.machines[source].on_peer(target, False)

    def stall(self, source: int, target: int, seconds: float) -> None:
        if (source, target) in self._wires:
            self._wires[source, target].free_at = self.world.loop.now + seconds

    def send(self, source: int, target: int, payload: bytes) -> bool:
        """Whether the connection took it."""
        epoch = self.epoch.get(frozenset((source, target)))
        if epoch is None:
            return False
        wire, now = self._wires[source, target], self.world.loop.now
        if wire.frames >= QUEUE_FRAMES or wire.bytes + len(payload) > QUEUE_BYTES:
            self.world.counts["refused by a full link"] += 1
            return False
        wire.frames += 1
        wire.bytes += len(payload)
        wire.free_at = max(wire.free_at, now) + len(payload) / wire.bandwidth
        self.world.loop.call_at(wire.free_at + wire.latency, self._arrive, epoch, source, target, payload, wire)
        return True

    def _arrive(self, epoch: int, source: int, target: int, payload: bytes, wire: Wire) -> None:
        wire.frames -= 1
        wire.bytes -= len(payload)
        if self.epoch.get(frozenset((source, target))) == epoch:
            self.world.note(source, target, payload)
            self.world.machines[target].on_message(source, payload)


class Peer:
    """Somebody on the network, by number."""

    honest = False

    def __init__(self, world: Graph, index: int) -> None:
        self.world, self.index = world, index
        self.up = True

    def send(self, target: int, payload: bytes) -> bool:
        return self.world.net.send(self.index, target, payload)

    def on_peer(self, peer: int, up: bool) -> None:
        """A connection began or ended."""

    def on_message(self, peer: int, payload: bytes) -> None:
        raise NotImplementedError

    def read_leaf(self, peer: int, ticket: bytes, at: int, size: int) -> bytes | None:
        """What a data connection of that peer with that ticket brings; None ends it, nothing is silence."""
        return None


class Carrier:
    """The data connections of one machine, one leaf after the other at the links' rate. Until the network heals some break."""

    def __init__(self, machine: Honest, rng: random.Random) -> None:
        self.report: Callable[[MoveReport], None] = lambda report: None
        self.ready: Callable[[], None] = lambda: None
        self.served: Callable[[bytes, int], None] = lambda peer, size: None
        self.sent = self.received = 0
        self.tickets: dict[bytes, tuple[bytes, Path]] = {}
        self.dead = False
        self._world, self._index, self._rng = machine.world, machine.index, rng
        self._moves: dict[int, tuple[OpenMove, Path, deque[tuple[int, bytes]]]] = {}

    def begin(self) -> bool:
        return True

    def offer(self, peer: bytes, root: Cid, path: Path, size: int) -> tuple[int, bytes]:
        ticket = self._rng.randbytes(32)
        self.tickets[ticket] = peer, path
        return 1, ticket

    def forget(self, peer: bytes) -> None:
        self.tickets = {ticket: held for ticket, held in self.tickets.items() if held[0] != peer}

    def open(self, wanted: OpenMove, path: Path) -> None:
        self._moves[wanted.move] = wanted, path, deque()
        self._world.loop.call_later(self._world.faults.latency, self._tell, MoveOpened(wanted.move))

    def order(self, order: TakeLeaves | EndMove) -> None:
        if isinstance(order, EndMove):
            self._moves.pop(order.move, None)
        elif order.move in self._moves:
            waiting = self._moves[order.move][2]
            if not waiting:
                self._later(order.move)
            waiting += enumerate(order.digests, order.first)

    def _later(self, move: int) -> None:
        self._world.loop.call_later(CHUNK / self._world.faults.bandwidth, self._bring, move)

    def _tell(self, report: MoveReport) -> None:
        if not self.dead and report.move in self._moves:
            if isinstance(report, MoveEnded):
                del self._moves[report.move]
            self.report(report)

    def _bring(self, move: int) -> None:
        if self.dead or move not in self._moves:
            return
        wanted, path, waiting = self._moves[move]
        number, digest = waiting.popleft()
        at, world = number * CHUNK, self._world
        data = world.machines[wanted.peer[0]].read_leaf(self._index, wanted.ticket, at, min(CHUNK, wanted.size - at))
        if data is None or (world.loop.now < world.faults.heal_at and self._rng.random() < 0.1):
            self._tell(MoveEnded(move, "cut"))
        elif data and hashlib.sha256(data).digest() != digest:
            world.counts["a wrong leaf by a data connection"] += 1
            self._tell(MoveEnded(move, "", wrong=True))
        elif data:
            with path.open("r+b") as file:
                os.pwrite(file.fileno(), data, at)
            world.counts["leaves by data connections"] += 1
            if waiting:
                self._later(move)
            self._tell(LeavesMoved(move, 1, len(data)))


class Honest(Peer):
    """A machine with the real service; it fetches, pins and serves every file."""

    honest = True

    def __init__(self, world: Graph, index: int, folder: Path) -> None:
        super().__init__(world, index)
        self.folder = folder
        self.quota = sum(len(data) for data in world.files.values()) + 600_000
        self.reached: dict[Cid, int] = {}
        """Bytes of each file that are on disk for sure."""
        self.has: set[Cid] = set()
        self.budget = AnswerBudget()
        """Over all peers (LC-NODE-72); as if a restart emptied nothing."""
        self.served = 0
        self.lives = 0
        self.carrier: Carrier
        self.store: ContentStore
        self.content: Content
        self._fetching: list[asyncio.Task[None]] = []
        self.start()

    def start(self) -> None:
        self.up = True
        self.store = ContentStore(self.folder, quota=self.quota, spare=0)
        self.lives += 1
        self.carrier = Carrier(self, random.Random(self.world.seed * 1_000 + self.lives * 10 + self.index))
        self.content = Content(
            self.store,
            lambda peer, payload: self.send(peer[0], payload),
            lambda: int(self.world.loop.now * 1_000),
            penalize=lambda peer, text: self.world.penalized(self.index, peer[0], text),
            has_room=lambda: self.budget.allows(b"", AnswerKind.CONTENT, int(self.world.loop.now * 1_000)),
            served=self._served,
            mover=self.carrier,
        )
        resumed = {root for root, bytes_ in self.reached.items() if bytes_}
        self._fetching = [self.world.loop.create_task(self._get(root, root in resumed)) for root in sorted(self.world.files)]

    def _served(self, size: int) -> None:
        self.budget.spent(b"", AnswerKind.CONTENT, size)
        self.served += size

    async def _get(self, root: Cid, resumed: bool) -> None:
        """Until it is here. What an earlier life had on disk must be found again."""
        if self.index == 0 and not self.store.has(root):
            await self.content.add(self.world.files[root], pin="sim")

        def progress(done: int, size: int) -> None:
            nonlocal resumed
            if resumed and done < self.reached[root]:
                raise Violation(f"n{self.index} resumed {root} at {done} bytes, it had {self.reached[root]}")
            if resumed:
                self.world.counts["resumed"] += 1
            resumed = False
            self.reached[root] = max(done, self.reached.get(root, 0))

        while True:
            try:
                path = await self.content.fetch(root, max_size=10**7, timeout_s=30, on_progress=progress, pin="sim")
                break
            except FetchFailed as fault:
                self.world.counts[f"fetch failed: {fault.reason}"] += 1
                await asyncio.sleep(0.5)
        if path.read_bytes() != self.world.files[root]:
            raise Violation(f"n{self.index} holds other bytes than {root} names")
        self.has.add(root)

    def on_peer(self, peer: int, up: bool) -> None:
        self.content.on_peer(bytes((peer,)), up)

    def on_message(self, peer: int, payload: bytes) -> None:
        self.content.on_message(bytes((peer,)), payload)
        self.check()

    def read_leaf(self, peer: int, ticket: bytes, at: int, size: int) -> bytes | None:
        whose, path = self.carrier.tickets.get(ticket, (b"", self.folder))
        if not self.up or whose != bytes((peer,)):
            return None
        with path.open("rb") as file:
            return os.pread(file.fileno(), size, at)

    def kill(self) -> None:
        """As `kill -9` does: nothing is closed, nothing is finished; the disk keeps what was written."""
        content = self.content
        content._closed = self.carrier.dead = True
        self.world.loop.dead += [content._writer, content._readers]
        for task in [*self._fetching, *content._tasks]:
            task.cancel()
        for other in range(len(self.world.machines)):
            if other != self.index:
                self.world.net.disconnect(self.index, other)
        self.up = False
        self.has.clear()
        for fd in content._downloads._open.values():
            os.close(fd)
        kill(self.store)

    def check(self) -> None:
        """Bounds, whatever was said."""
        content, machine = self.content, self.content._machine
        serving = machine._serving
        peers = machine._peers.values()
        n = len(self.world.machines)
        sizes = (
            ("sessions", len(machine._sessions), MAX_SESSIONS),
            (
                "blocks under way",
                max((len(s.flying) + len(s.storing) for s in machine._sessions.values()), default=0),
                MAX_UNDER_WAY,
            ),
            ("data connections", len(machine._moves), MAX_MOVES),
            ("blocks asked of one peer", max((len(p.in_flight) for p in peers), default=0), WINDOW_MAX),
            ("blocks owed", max((p.owed for p in peers), default=0), MAX_OWED),
            ("wants that wait", max((len(q) for q in serving._queues.values()), default=0), MAX_QUEUED),
            ("blocks being served", serving.active, MAX_ACTIVE),
            ("blocks being served to one", max(serving._active.values(), default=0), MAX_PER_PEER),
            ("frames that wait for one link", max(content._waiting.values(), default=0), MAX_WAITING),
            ("tasks", len(content._tasks), n * MAX_WAITING + MAX_ACTIVE + n * MAX_OWED + 4),
            ("bytes in the store", self.store.used(), self.quota),
            ("bytes served", self.served, self._most_served()),
        )
        for what, size, most in sizes:
            if size > most:
                raise Violation(f"n{self.index}: {size} {what}, at most {most} allowed")

    def _most_served(self) -> int:
        """All at once after a rest, what came back since, and what was under way when nothing was left."""
        rate, share = answer_budget.ANSWERS, answer_budget.KIND
        return rate.burst + share.burst + int(rate.per_s * self.world.loop.now) + MAX_ACTIVE * MAX_FRAME


@dataclass
class Graph:
    seed: int
    faults: Faults
    folder: Path
    liars: Mapping[str, Callable[[Graph, int], Peer]]
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed * 17 + 1)
        self.loop = Loop(random.Random(self.seed * 19 + 2))
        self.loop.set_exception_handler(self._fault)
        self._broken: list[BaseException] = []
        self._digest = hashlib.sha256()
        self.files: dict[Cid, bytes] = {}
        self.blocks: dict[Cid, dict[Cid, bytes]] = {}
        for mark, size in enumerate(self.faults.sizes):
            data = pattern(size)[: max(0, size - 1)] + bytes([mark]) * min(1, size)
            root, blocks = root_of(data)
            self.files[root], self.blocks[root] = data, blocks
        self.net = Net(self)
        self.machines: list[Peer] = []

    # --- what is written down -------------------------------------------------------------------------------------------------

    def _fault(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._broken.append(context.get("exception") or RuntimeError(context["message"]))

    def note(self, source: int, target: int, payload: bytes) -> None:
        self._digest.update(b"%d %d %d %.6f " % (source, target, len(payload), self.loop.now) + payload[:90])

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def penalized(self, by: int, peer: int, text: str) -> None:
        self._digest.update(b"penalty %d %d" % (by, peer))
        self.counts[f"penalty: {text.split(' for block')[0].split(':')[0]}"] += 1
        if self.machines[peer].honest:
            self._broken.append(Violation(f"n{by} penalized the honest n{peer} at {self.loop.now:.3f} s: {text}"))

    # --- a run ----------------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Raises `Violation`."""
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._run())
        finally:
            self._end()

    async def _run(self) -> None:
        f = self.faults
        self.machines += [Honest(self, i, self.folder / f"n{i}") for i in range(f.honest)]
        self.machines += [self.liars[name](self, f.honest + i) for i, name in enumerate(f.liars)]
        self._connect_all()
        for when, a, b, pause in f.breaks:
            self.loop.call_at(when, self._break, a, b, pause)
        for when, a, b, seconds in f.stalls:
            self.loop.call_at(when, self.net.stall, a, b, min(seconds, f.heal_at - when))
        for when, index, pause in f.kills:
            self.loop.call_at(when, self._kill, index, pause)
        while not self._done():
            await asyncio.sleep(0.05)
            if self._broken:
                raise self._broken[0]
            if self.loop.now > f.heal_at + PATIENCE:
                missing = [(m.index, str(root)) for m in self._honest for root in self.files if root not in m.has]
                raise Violation(f"no progress: still missing {missing}")

    @property
    def _honest(self) -> list[Honest]:
        return [m for m in self.machines if isinstance(m, Honest)]

    def _done(self) -> bool:
        """After healing, everybody has everything and nothing is under way."""
        for machine in self._honest:
            if machine.up:
                machine.check()
                for task in machine._fetching:
                    if task.done() and not task.cancelled() and task.exception() is not None:
                        raise task.exception() or RuntimeError
        return self.loop.now > self.faults.heal_at and all(m.up and m.has == self.files.keys() for m in self._honest)

    def _connect_all(self) -> None:
        for a in range(len(self.machines)):
            for b in range(a):
                self.net.connect(a, b)

    def _break(self, a: int, b: int, pause: float) -> None:
        self.counts["broken connection"] += 1
        self.net.disconnect(a, b)
        if pause:
            self.loop.call_later(pause, self.net.connect, a, b)
        else:
            self.net.connect(a, b)

    def _kill(self, index: int, pause: float) -> None:
        machine = self.machines[index]
        if isinstance(machine, Honest) and machine.up:
            self.counts["kill"] += 1
            machine.kill()
            self.loop.call_later(pause, self._restart, machine)

    def _restart(self, machine: Honest) -> None:
        machine.start()
        for other in range(len(self.machines)):
            if other != machine.index:
                self.net.connect(machine.index, other)

    def _end(self) -> None:
        for machine in self._honest:
            if machine.up:
                machine.kill()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.call_later(0, self.loop.stop)
        self.loop.run_forever()
        asyncio.set_event_loop(None)
        self.loop.close()
