"""One computer of the simulated graph: the real node, log and guard on a disk that can lose power, and the driver's duties.

A crash comes between two effects or in the middle of a disk operation. After it the machine starts again from what its disk and
its store kept. A disk that refuses ends the process (`halt`), as the driver does; one whose bytes are not what they were keeps the
node from starting. Then the operator does what the error says: see `tests.sim.repair`.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from learningchain.chain.codec import Wire, encode
from learningchain.chain.consensus.messages import SignProposal, SignVote, Step
from learningchain.chain.crypto import SigningKey, account_id, sha256
from learningchain.chain.errors import BrokenInvariant, Malformed
from learningchain.chain.ledger.transition import validators_of
from learningchain.chain.node import decided
from learningchain.chain.node import events as e
from learningchain.chain.node.checks import are_signed, hash_blocks, make_buckets
from learningchain.chain.node.node import Node
from learningchain.chain.storage.errors import StorageError
from learningchain.chain.storage.guard import Guard, Kind
from learningchain.chain.storage.wal import Wal
from learningchain.chain.types import Proposal, Vote, proposal_digest, vote_digest
from learningchain.p2p.wire import NODE
from tests.sim import repair
from tests.sim.actor import Actor
from tests.sim.checks import EPOCH
from tests.sim.store import Store
from tests.unit.storage_disk import PowerCut, SimDisk

if TYPE_CHECKING:
    from tests.sim.world import World

READ_PER_MS = 4_096
"""Bytes: the blocks of a simulation are small, and so is what a disk reads in a millisecond."""
BACKLOG = 1_000
"""Inputs that wait in a slow machine; it drops more messages than that."""


KEPT = 4
"""Blocks that a machine keeps which drops old ones."""


class Machine:
    limits: ClassVar[tuple[tuple[str, object], ...]] = ()
    """Bounds of the product that are smaller in a run with such a machine: a short run reaches them."""
    brings: ClassVar[tuple[int, ...]] = ()
    """Micro-credits of further members, whose keys it has and nobody else's clients use."""

    def __init__(self, world: World, index: int, key: SigningKey) -> None:
        self.world, self.index, self.key = world, index, key
        self.id = account_id(key.public)
        self.rng = random.Random(world.seed * 1_000 + index)
        self.chain_id = world.chain_id
        self.others = [(account_id(key.public), key) for key in world.brought(index)]
        self.segment = world.profile.segment
        self.disk: SimDisk
        self.store: Store
        repair.install(self, self.rng.randrange(2**32))
        self.node: Node
        self.wal: Wal
        self.guard: Guard
        self.up = False
        self.life = 0
        """Timers and answers of an earlier life are void."""
        self.fuse: int | None = None
        """Effects until a crash."""
        self.peers: set[int] = set()
        self.route: dict[bytes, int] = {}
        """The machine behind each connected identity."""
        self.actors: list[Actor] = []
        self.eager_truncate = self.rng.random() < 0.5
        self.flushing = False
        self.honest = True
        self.damaged = False
        """Its stored bytes are not what it stored: it may refuse to start, now or later, and lose what it promised to keep."""
        self.renewed = False
        """It starts with a new folder, in which nothing is damaged."""
        self.order: Callable[[], None] | None = None
        """What the operator does before the next start."""
        self.plain = index % 4 == 1
        """Its store does not tell what blocks did."""
        self.clock_off = world.skew(index)
        self.drag = 0
        """Milliseconds that every effect takes."""
        self.backlog: deque[e.Input] = deque()
        self._working = False
        self._effects = 0

    @property
    def wall(self) -> int:
        return EPOCH + self.world.now + self.clock_off

    # --- life -----------------------------------------------------------------------------------------------------------------

    def boot(self) -> None:
        if self.up:
            return
        self.up, self.flushing, self.fuse = True, False, None
        self.life += 1
        self.world.note(self.index, "boot", b"")
        try:
            self._carry_out_order()
            self._open()
            self.run(self.node.start(self.wall, self.wal.records()))
        except PowerCut:
            self.crash()
        except (StorageError, Malformed, BrokenInvariant) as fault:
            repair.refused(self, fault)
        if self.up:
            self._started()

    def _carry_out_order(self) -> None:
        order, self.order = self.order, None
        if order is not None:
            order()

    def _open(self) -> None:
        if self.store.switch():
            self.world.faults["began from a snapshot"] += 1
        state, head = self.store.load()
        self.wal = Wal.open("wal", chain_id=self.chain_id, create=False, disk=self.disk, segment=self.segment)
        self.guard = Guard.open("guard", chain_id=self.chain_id, disk=self.disk)
        self.node = self.world.new_node(self, state, head)
        self.node.service.queued = self.queued
        if self.index % 2:
            self.node._batches.worth = 1  # the batches of a simulation are small

    def _started(self) -> None:
        if self.damaged:
            self.world.checks.forget(self)
            self.damaged, self.renewed = not self.renewed, False
        self.world.checks.restarted(self)
        for actor in self.actors:
            actor.start()
        self.world.connect(self)

    def doom(self) -> None:
        """A crash is near: between two effects, in a disk operation, or at the latest in a moment."""
        if not self.up:
            return
        if self.rng.random() < 0.5:
            self.disk.cut_at = self.disk.steps + self.rng.randint(1, 12)
        else:
            self.fuse = self.rng.randint(0, 60)
        self.after(self.rng.randint(1, 400), self.crash)

    def crash(self) -> None:
        if self.up:
            kill = self.rng.random() < 0.4
            self.world.faults["killed" if kill else "power cut"] += 1
            self.world.faults["crash"] += 1
            self.die(kill=kill)
            self.world.later(self.rng.choice([5, 50, 400, 1_500]), self.boot)

    def die(self, *, kill: bool, why: str = "") -> None:
        """The process ends, or with it the whole machine; what was not on disk may be gone."""
        self.up = False
        self.life += 1
        self.world.note(self.index, "killed" if kill else "power cut", why.encode())
        self.world.checks.crashed(self, kill)
        self.disk = self.disk.after_cut(self.rng, kill=kill)
        self.store.crash(self.rng)
        self.backlog.clear()
        self._working = False
        self.world.disconnect(self)
        for actor in self.actors:
            actor.stop()

    # --- inputs ---------------------------------------------------------------------------------------------------------------

    def feed(self, event: e.Input) -> None:
        if not self.up or self.store.ready:
            return
        if self.drag or self.backlog:
            self._wait(event)
        else:
            self._take(event)

    def _take(self, event: e.Input) -> None:
        try:
            self.run(self.node.handle(event, EPOCH + self.world.now + self.clock_off))
            # In the midst of a height a flush only sends what users submitted, and `submit` asks for it.
            if not self.flushing and self.up and self.node.consensus.step is Step.WAIT:
                self._flush_soon()
        except PowerCut:
            self.crash()
        except StorageError as fault:
            repair.halted(self, fault)

    def _wait(self, event: e.Input) -> None:
        if len(self.backlog) < BACKLOG or not isinstance(event, e.Received):
            self.backlog.append(event)
        if not self._working:
            self._working = True
            self.after(self.drag, self._work)

    def _work(self) -> None:
        """A slow machine is busy for as long as the effects of an input take."""
        before = self._effects
        self._take(self.backlog.popleft())
        self._working = self.up and bool(self.backlog)
        if self._working:
            self.after(self.drag * (1 + self._effects - before), self._work)

    def after(self, delay: int, action: Callable[[], None]) -> None:
        """Unless the machine goes down before."""
        life = self.life
        self.world.later(delay, lambda: action() if self.life == life else None)

    def later(self, delay: int, event: e.Input) -> None:
        life = self.life
        self.world.later(delay, lambda: self.feed(event) if self.life == life else None)

    def submit(self, raw: bytes) -> None:
        """Raises `InvalidTx`."""
        if self.store.ready:
            return
        self.node.submit(raw, self.wall)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if self.up and not self.flushing:
            self.flushing = True
            self.after(1 + int(self.rng.random() * 3), self._flush)

    def _flush(self) -> None:
        self.flushing = False
        if self.store.ready:
            return
        try:
            self.run(self.node.flush(self.wall))
        except PowerCut:
            self.crash()
        except StorageError as fault:
            repair.halted(self, fault)

    # --- effects --------------------------------------------------------------------------------------------------------------

    def run(self, effects: list[e.Effect]) -> None:
        for effect in effects:
            if self.fuse is not None:
                self.fuse -= 1
                if self.fuse < 0:
                    raise PowerCut
            self.run_effect(effect)
        self._effects += len(effects)
        self.world.checks.stepped(self)

    def run_effect(self, effect: e.Effect) -> None:
        if isinstance(effect, e.Send):
            target = self.route.get(effect.peer)
            if target is not None:
                self.emit(target, effect.payload)
        elif isinstance(effect, e.Gossip):
            payload, exclude = effect.payload, effect.exclude
            for target in sorted(self.peers):
                if not exclude or self.world.machines[target].id not in exclude:
                    self.emit(target, payload)
        elif isinstance(effect, e.SetTimer):
            self.later(effect.ms, e.Fired(effect.timer))
        elif isinstance(effect, e.Log):
            self.wal.append(effect.record)
            if effect.sync:
                self.wal.sync()
            self.world.checks.logged(self, effect.record, effect.sync)
        elif isinstance(effect, e.SignRequest):
            self.sign(effect.request)
        elif isinstance(effect, e.Commit):
            self._commit(effect)
        else:
            self._run_rare(effect)

    def _run_rare(self, effect: e.Effect) -> None:
        match effect:
            case e.ReadBlocks(peer, start, count, size, outcomes):
                found = self.store.read_outcomes(start, count, size) if outcomes and not self.plain else []
                told = decided.executed_blocks(found)
                self._read_for(peer, told if told.blocks else decided.answer(self.store.read(start, count, size)), 5)
            case e.ReadHeaders(peer, height, count):
                self._read_for(peer, decided.headers(height, self.store.read_headers(height, count)), 5)
            case e.CheckSignatures(ticket, checks):
                good = are_signed(self.chain_id, checks)
                self.later(self.rng.choice((0, 20, 300)), e.SignaturesChecked(ticket, checks, good))
            case e.HashBlocks(ticket, blocks):
                self.later(self.rng.choice((0, 20, 300)), e.BlocksHashed(ticket, hash_blocks(blocks)))
            case e.ReadSnapshot() | e.StageSnapshot() | e.TakeBuckets() | e.Switch():
                self._run_snapshot(effect)
            case e.TruncateLog():
                if self.eager_truncate and not self.store.pending:
                    self.wal.truncate()
            case _:
                self._notify(effect)

    def _run_snapshot(self, effect: e.ReadSnapshot | e.StageSnapshot | e.TakeBuckets | e.Switch) -> None:
        match effect:
            case e.ReadSnapshot(peer, question):
                self._read_for(peer, self.store.answer(question), 20)
            case e.StageSnapshot(offer, followed):
                self.later(self.rng.randint(0, 20), e.SnapshotStaged(self.store.stage(offer, followed)))
            case e.TakeBuckets(ticket, buckets):
                made, wrong = make_buckets(buckets)
                self.store.put(made)
                self.later(self.rng.choice((0, 20, 300)), e.BucketsTaken(ticket, wrong))
            case e.Switch():
                self.store.ready = True
                self.after(0, self._begin_again)

    def _read_for(self, peer: bytes, answer: Wire, most: int) -> None:
        """What a peer asked for was read: that takes a while, and longer for much."""
        raw = encode(answer)
        self.world.checks.read(self, peer, len(raw))
        self.later(self.rng.randint(0, most) + len(raw) // READ_PER_MS, e.Answered(peer, raw))

    def _begin_again(self) -> None:
        """The daemon ends the node and starts another from what was staged."""
        self.die(kill=True)
        self.boot()

    def _notify(self, effect: e.Effect) -> None:
        """Effects that only tell something."""
        world = self.world
        match effect:
            case e.Decided():
                world.note(self.index, "decided", effect.block_id)
                world.checks.decided(self, effect)
                for actor in self.actors:
                    actor.on_decided(effect)
            case e.Penalize(peer, reason):
                world.note(self.index, "penalize", reason.encode())
                world.checks.penalized(self, world.index_of[peer], reason)
            case e.Evidenced(evidence):
                world.checks.evidenced(self, evidence)
                world.market.report(self, evidence)
            case e.Abstain(until):
                self.guard.abstain(until)
                world.faults["abstained after a lost guard"] += 1
            case e.TxDropped(tx, error):
                world.note(self.index, f"dropped {error.code.name}", tx)
                world.checks.dropped(self, effect)
                for actor in self.actors:
                    actor.on_dropped(effect)

    def queued(self, peer: bytes, queue: int) -> int:
        """The network counts what waits on the queue of requests alone."""
        return self.world.network.on_the_way[(self.index, self.route.get(peer, self.index))] if queue == e.REQUESTS else 0

    def emit(self, peer: int, payload: bytes, channel: int = NODE) -> None:
        self.world.send(self.index, peer, payload, channel)

    def sign(self, request: SignVote | SignProposal) -> None:
        """The guard has the last word."""
        r = request
        if isinstance(r, SignVote):
            kind, digest = Kind(r.type), vote_digest(self.chain_id, r.type, r.height, r.round, r.block_id)
        else:
            kind, digest = Kind.PROPOSAL, proposal_digest(self.chain_id, r.height, r.round, r.pol_round, r.block_id)
        signature = self.guard.sign(kind, r.height, r.round, digest, self._present_key().sign)
        if signature is None:
            return
        self.world.checks.signed(self, kind, r)
        self.later(self.rng.choice((0, 0, 1, 3)), e.SignedMessage(self.message(r, signature)))

    def _present_key(self) -> SigningKey:
        """The one that the set of the height has: a rotation may have replaced the first."""
        own = next((v.key for v in validators_of(self.node.state) if v.id == self.id), self.key.public)
        return self.world.market.rotations.key_of(self.world.index_of[self.id], own)

    def message(self, r: SignVote | SignProposal, signature: bytes) -> Vote | Proposal:
        if isinstance(r, SignVote):
            return Vote(r.type, r.height, r.round, r.block_id, self.id, signature)
        return Proposal(r.height, r.round, r.pol_round, r.block_id, self.id, signature)

    def _commit(self, commit: e.Commit) -> None:
        self.store.commit(commit)
        self.world.checks.committed(self, commit)
        if self.store.pending:
            self.after(self.rng.choice(self.world.profile.writer), self._committed)

    def _committed(self) -> None:
        """The writer is done; where the next height has not begun, nothing in the log is needed any more."""
        waiting = len(self.store.pending)
        try:
            self.store.settle(self.rng.randint(0, waiting) if self.rng.random() < 0.3 else waiting)
            self.world.checks.settled(self)
            self._drop_old_blocks()
            if not self.store.pending and self.node.consensus.step is Step.WAIT and not self.eager_truncate:
                self.wal.truncate()
        except PowerCut:
            self.crash()
        except StorageError as fault:
            repair.halted(self, fault)

    @property
    def drops(self) -> bool:
        """Every fifth machine keeps few blocks, the others all (LC-NODE-71)."""
        return self.index % 5 == 4

    def _drop_old_blocks(self) -> None:
        if self.drops:
            self.store.drop(KEPT)
            if self.store.first_block > self.node.first_block:
                self.world.faults["old block dropped"] += 1
            self.node.first_block = self.store.first_block


def beacon_key(index: int) -> bytes:
    return sha256(b"beacon key %d" % index)
