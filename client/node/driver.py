"""Runs the effects of the pure node: log, guard, database, network, timers. One event loop, one thread but for the writer.

Disk before wire: effects run in the order given, and a log record that must be synced is on disk before the next effect. What
follows a commit that must be durable waits for it, while the node already works on the next blocks; only what tells nobody anything
goes before. A storage fault or a broken invariant ends the node: `failed` gets the exception and nothing more is signed or sent.

Votes first: transactions, the proposals that name them, and questions of who is no validator wait behind everything else, so that a
flood of them costs time but no rounds.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from typing import Any

import structlog

from learningchain.chain.consensus.messages import Step
from learningchain.chain.node import events as e
from learningchain.chain.node.messages import (
    CompactProposal,
    GetBlock,
    GetBlocks,
    GetBuckets,
    GetExecutedBlocks,
    GetHeaders,
    GetSnapshot,
    GetTxs,
    GetValidatorChanges,
    TxIds,
    Txs,
)
from learningchain.chain.node.node import Node
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch
from learningchain.chain.storage.errors import StorageError
from learningchain.chain.storage.wal import Wal
from learningchain.chain.types import Evidence, Proposal, Vote
from learningchain.client.keys.signing import Signer
from learningchain.client.node.answers import answer, headers
from learningchain.client.node.helpers import Helpers
from learningchain.client.node.snapshots import SnapshotService
from learningchain.client.node.waiting import WaitingLine
from learningchain.p2p.gossip import GossipTargets
from learningchain.p2p.transport import Network
from learningchain.p2p.wire import NODE

log: Any = structlog.get_logger("node")

WAITING_BYTES = 32 * 2**20
"""Transactions and proposals that wait to be looked at. More are dropped, of the peer that has most: what matters is told again."""
_LOW_PRIORITY = frozenset(kind.__struct_config__.tag for kind in (Txs, TxIds, GetTxs, CompactProposal))
_QUESTIONS = frozenset(
    kind.__struct_config__.tag
    for kind in (GetBlock, GetBlocks, GetExecutedBlocks, GetHeaders, GetSnapshot, GetValidatorChanges, GetBuckets)
)
_REQUESTS = frozenset(kind.__struct_config__.tag for kind in (GetBlocks, GetExecutedBlocks, GetHeaders))
OVERLOADED_BYTES = 512 * 2**10
"""Unchecked bytes from peers: a fifth of a second's work."""
OVERLOADED_OWN = 4_096
"""Transactions of this node's users that wait for a block: two blocks of them."""
GATHER_MS = 50
"""Heights decided within this time share a database transaction. The log holds them; whoever wants to read them need not wait."""
GATHER_BYTES = 2**20
LOG_WORTH = 2**20
"""Bytes of log that are worth a sync of its header to be rid of them."""
LOG_FULL = 64 * 2**20
"""Bytes of log at which a decided height waits for the database, so that the log can be emptied."""


def is_low_priority(payload: bytes) -> bool:
    """Whether a NODE message may wait: transactions, and proposals, which come behind the transactions that they name.

    A message is an array of less than 16 elements that begins with its tag, below 128: one byte each.
    """
    return len(payload) > 1 and payload[1] in _LOW_PRIORITY


def is_question(payload: bytes) -> bool:
    """Whether a NODE message asks for transactions, blocks or state."""
    return len(payload) > 1 and payload[1] in _QUESTIONS


def needs_no_sync(effect: e.Effect) -> bool:
    """Whether an effect may go before the log is synced: it concerns this node alone, or only asks for blocks."""
    if isinstance(effect, e.Send):
        return len(effect.payload) > 1 and effect.payload[1] in _REQUESTS
    return isinstance(effect, e.Commit | e.CheckSignatures | e.HashBlocks | e.SetTimer)


def is_stored(commit: Future[None]) -> bool:
    """One that failed is done as well, perhaps before this loop was told so."""
    return commit.done() and commit.exception() is None


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Driver:
    """Feeds inputs to the node and runs what comes out. All methods are for the event loop's thread."""

    def __init__(
        self,
        node: Node,
        *,
        signer: Signer,
        store: BlockStore,
        wal: Wal,
        gossip: GossipTargets,
        on_decided: Callable[[e.Decided], None],
        on_dropped: Callable[[e.TxDropped], None],
        on_evidence: Callable[[Evidence], None],
        snapshots: SnapshotService | None = None,
    ) -> None:
        self.node, self._signer = node, signer
        self._store, self._wal, self._gossip = store, wal, gossip
        self._on_decided, self._on_dropped, self._on_evidence = on_decided, on_dropped, on_evidence
        self._network: Network | None = None
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[None] = self._loop.create_future()
        self._inputs: deque[e.Input] = deque()
        self._waiting = WaitingLine[e.Received | e.Fired](WAITING_BYTES)
        """Patient messages: one is handled whenever the loop comes round."""
        self._running = False
        self._flushing = False
        self._stopped = False
        signer.serve(self._signed)
        self._gathered: list[CommitBatch] = []
        """Decided, not handed to the database yet."""
        self._gathered_bytes = 0
        self._commits: set[Future[None]] = set()
        self._unstored: dict[int, CommitBatch] = {}
        """What was decided and is not in the database yet, ascending."""
        self._durable: Future[None] | None = None
        """The last commit that has to be on disk before anybody is told of it."""
        self._held: deque[tuple[Future[None], e.Effect]] = deque()
        """Effects in their order, each with the commit that it waits for."""
        self._timers: set[asyncio.TimerHandle] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._helpers = Helpers()
        self._held_by: int | None = None
        """What is watched of a database that a server keeps."""
        self._snapshots = snapshots
        self.switched: asyncio.Future[int] = self._loop.create_future()
        """The height whose state is staged: the node has ended, and another one begins from there."""
        self.outdated: asyncio.Future[tuple[int, int]] = self._loop.create_future()
        """The block, and its version of the protocol, before which the node has ended: this program does not know it."""

    # --- life -----------------------------------------------------------------------------------------------------------------

    def start(self, network: Network | None) -> None:
        """Go on from the log. Raises `Malformed`, `BrokenInvariant`, `StorageError` where the disk's contents do not fit."""
        self._network = network
        if self._store.hold_fd is not None:
            self._held_by = self._store.hold_fd
            self._loop.add_reader(self._held_by, self._look_at_hold)
        if network is not None:
            self.node.service.queued = network.queued
        self._run_all(self.node.start(now_ms(), self._wal.records()))
        if self._durable is not None:
            self._settle()
            self._release()
        self._pump()

    def stop(self) -> None:
        """No more effects; waits for the database. What failed before is not tried again: the log holds what was decided."""
        self._stopped = True
        for timer in self._timers:
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._helpers.close()
        self._watch_no_more()
        if not self.failed.done():
            self._settle()
        else:
            wait(self._commits)

    def _look_at_hold(self) -> None:
        """The server said something on the connection that holds the database, or ended it."""
        try:
            self._store.check_hold()
        except StorageError as fault:
            self._watch_no_more()
            self._fail(fault)

    def _watch_no_more(self) -> None:
        if self._held_by is not None:
            self._loop.remove_reader(self._held_by)
            self._held_by = None

    def _fail(self, fault: BaseException) -> None:
        self._stopped = True
        if not self.failed.done():
            self.failed.set_exception(fault)

    # --- inputs ---------------------------------------------------------------------------------------------------------------

    def feed(self, event: e.Input) -> None:
        if self._stopped:
            return
        if isinstance(event, e.Received):
            asks = is_question(event.payload) and not self.node.goes_first(event.peer)
            if asks and not self.node.hears(event.peer):
                return
            if asks or is_low_priority(event.payload):
                self._wait(event.peer, event, len(event.payload))
                return
        if isinstance(event, e.Fired) and isinstance(event.timer, e.Late):
            self._wait(b"", event, 0)  # what is late may be among what waits here
            return
        self._inputs.append(event)
        if not self._running:
            self._pump()

    def _wait(self, peer: bytes, event: e.Received | e.Fired, size: int) -> None:
        self._waiting.put(peer, event, size)
        self._flush_soon()

    @property
    def overloaded(self) -> bool:
        """More waits than a node should let in from its users: what peers sent and nobody looked at, or their own transactions.

        Without this, users who offer more than the graph can take would fill every node with what the others have not checked
        yet, and proposals would wait behind it. What few peers send does not count, or they could shut out every node's users.
        """
        return self._waiting.crowd > OVERLOADED_BYTES or self.node.pool.own >= OVERLOADED_OWN

    def submit(self, raw: bytes) -> bytes:
        """Offer a transaction; its id. Raises `InvalidTx`."""
        tx = self.node.submit(raw, now_ms())
        self._flush_soon()
        return tx

    def _pump(self) -> None:
        self._running = True
        try:
            while self._inputs and not self._stopped:
                self._run_all(self.node.handle(self._inputs.popleft(), now_ms()))
        except BaseException as fault:
            self._fail(fault)
        finally:
            self._running = False
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flushing and not self._stopped:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._stopped:
            return
        self._running = True
        try:
            if self._waiting:
                self._run_all(self.node.handle(self._waiting.pop(), now_ms()))
            self._run_all(self.node.flush(now_ms()))
        except BaseException as fault:
            self._fail(fault)
        finally:
            self._running = False
        if self._inputs:
            self._pump()
        elif self._waiting:
            self._flush_soon()

    # --- effects --------------------------------------------------------------------------------------------------------------

    def _run_all(self, effects: list[e.Effect]) -> None:
        for effect in effects:
            if self._stopped:
                return
            if self._durable is None or needs_no_sync(effect):
                self._run(effect)
            else:
                self._held.append((self._durable, effect))

    def _release(self) -> None:
        """Go on with what waited for commits that are on disk now."""
        while self._held and is_stored(self._held[0][0]) and not self._stopped:
            self._run(self._held.popleft()[1])
        if not self._held and self._durable is not None and is_stored(self._durable):
            self._durable = None

    def _run(self, effect: e.Effect) -> None:
        match effect:
            case e.Send(peer, payload, queue):
                if self._network is not None:
                    self._network.send(peer, NODE, payload, queue)
            case e.Gossip():
                self._broadcast(effect)
            case e.Log(record, sync):
                self._wal.append(record)
                if sync:
                    self._wal.sync()
            case e.SignRequest():
                self._sign(effect)
            case e.SetTimer(timer, ms):
                self._later(ms / 1000, lambda: self.feed(e.Fired(timer)))
            case e.Commit():
                self._commit(effect)
            case e.TruncateLog():
                self._truncate()
            case e.Decided():
                self._on_decided(effect)
            case e.TxDropped():
                self._on_dropped(effect)
            case e.Penalize(peer, reason):
                if self._network is not None:
                    self._network.penalize(peer, reason)
            case e.ReadBlocks(_, start, count):
                self._background(self._serve(effect.peer, functools.partial(answer, self._store, effect), start, start + count))
            case e.ReadHeaders(_, height, count):
                read = functools.partial(headers, self._store, effect)
                self._background(self._serve(effect.peer, read, height - count + 1, height + 1))
            case e.CheckSignatures():
                self._background(self._check_signatures(effect))
            case e.HashBlocks():
                self._background(self._hash_blocks(effect))
            case e.ReadSnapshot() | e.StageSnapshot() | e.TakeBuckets() | e.Switch():
                self._stopped = isinstance(effect, e.Switch)
                self._background(self._run_snapshot(effect))
            case e.Evidenced(evidence):
                self._on_evidence(evidence)
            case e.Outdated(height, version):
                self._stopped = True
                self.outdated.set_result((height, version))
            case e.Abstain(until):
                self._signer.abstain(until)
                log.warning("this key signed more than its guard knows (a restored backup?): it stays silent", up_to_height=until)

    def _broadcast(self, effect: e.Gossip) -> None:
        if self._network is None:
            return
        if effect.scope is e.Scope.CONSENSUS:
            targets: list[bytes] | None = self._gossip.consensus_targets(effect.exclude)
        elif effect.scope is e.Scope.MESH:
            targets = self._gossip.mesh_targets(effect.exclude)
        else:
            targets = None
        self._network.broadcast(NODE, effect.payload, effect.queue, effect.exclude, targets)

    def _sign(self, effect: e.SignRequest) -> None:
        self._store.check_hold()  # a node that lost its database may have a successor, which votes
        before, self._running = self._running, True  # what is signed at once waits for the effects that follow this one
        try:
            self._signer.sign(effect.request)
        finally:
            self._running = before

    def _signed(self, message: Vote | Proposal) -> None:
        """Before everything else that waits: at once from a key that is here, later from one that is elsewhere."""
        if self._stopped:
            return
        self._inputs.appendleft(e.SignedMessage(message))
        if not self._running:
            self._pump()

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        def fire() -> None:
            self._timers.discard(handle)
            action()

        handle = self._loop.call_later(seconds, fire)
        self._timers.add(handle)

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _check_signatures(self, wanted: e.CheckSignatures) -> None:
        good = await self._helpers.are_signed(self.node.chain_id, wanted.checks)
        self.feed(e.SignaturesChecked(wanted.ticket, wanted.checks, good))

    async def _hash_blocks(self, wanted: e.HashBlocks) -> None:
        hashed = await self._helpers.hash_blocks(wanted.blocks)
        self.feed(e.BlocksHashed(wanted.ticket, hashed))

    async def _serve(self, peer: bytes, read: Callable[[list[CommitBatch]], bytes], start: int, end: int) -> None:
        """A peer asks for what was decided a moment ago as well, which may not be in the database yet."""
        unstored = [batch for height, batch in self._unstored.items() if start <= height < end]
        try:
            found = await asyncio.to_thread(read, unstored)
        except Exception as fault:
            self._fail(fault)
        else:
            self.feed(e.Answered(peer, found))

    async def _run_snapshot(self, effect: e.ReadSnapshot | e.StageSnapshot | e.TakeBuckets | e.Switch) -> None:
        if self._snapshots is None:
            if isinstance(effect, e.ReadSnapshot):
                self.feed(e.Answered(effect.peer, None))  # or the question would stay open
            return
        try:
            match effect:
                case e.ReadSnapshot(peer, question):
                    self.feed(e.Answered(peer, await self._snapshots.answer(question)))
                case e.StageSnapshot(offer, changes):
                    self.feed(e.SnapshotStaged(await self._snapshots.stage(offer, changes)))
                case e.TakeBuckets(ticket, buckets):
                    self.feed(e.BucketsTaken(ticket, await self._snapshots.take(buckets)))
                case e.Switch(height):
                    await self._snapshots.ready()
                    self.switched.set_result(height)
        except Exception as fault:
            self._fail(fault)

    # --- the database ---------------------------------------------------------------------------------------------------------

    def _commit(self, c: e.Commit) -> None:
        batch = CommitBatch(
            c.height, c.block_id, c.block, c.certificate, c.tx_ids, c.receipts, c.account_index, c.state, c.executed, c.archived
        )
        if not self._gathered and not c.durable:
            self._later(GATHER_MS / 1000, self._write_out)
        self._gathered.append(batch)
        self._unstored[c.height] = batch
        self._gathered_bytes += len(batch.block)
        if c.durable:
            self._durable = self._hand_over()
        elif self._gathered_bytes > GATHER_BYTES:
            self._write_out()

    def _write_out(self) -> None:
        if self._gathered:
            self._hand_over()

    def _hand_over(self) -> Future[None]:
        """Hand what was decided to the database's thread; waits while much has not been written."""
        commit = self._store.commit_async(*self._gathered)
        last = self._gathered[-1].height
        self._gathered, self._gathered_bytes = [], 0
        self._commits.add(commit)
        commit.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._committed, done, last))
        return commit

    def _committed(self, done: Future[None], last: int) -> None:
        """The heights up to `last` are in the database, or could not be written."""
        self._commits.discard(done)
        fault = done.exception()
        if fault is not None:
            self._fail(fault)
            return
        for height in [h for h in self._unstored if h <= last]:
            del self._unstored[height]
        if self._held or self._durable is not None:
            self._let_go()
        if not self._stopped and self._wal.used > LOG_WORTH and self._is_all_written():
            self._wal.truncate()

    def _let_go(self) -> None:
        self._running = True
        try:
            self._release()
        except BaseException as fault:
            self._fail(fault)
        finally:
            self._running = False
        if self._inputs:
            self._pump()

    def _is_all_written(self) -> bool:
        """Nothing of the next height is in the log yet, and all that is in it is in the database."""
        return not self._commits and not self._gathered and not self._held and self.node.consensus.step is Step.WAIT

    async def settled(self) -> None:
        """Returns when every height decided so far is in the database: readers there then see what callers were told."""
        self._write_out()
        if self._commits:
            await asyncio.wait([asyncio.wrap_future(commit) for commit in self._commits])

    def _settle(self) -> None:
        self._write_out()
        for commit in list(self._commits):
            commit.result()

    def _truncate(self) -> None:
        if self._wal.used > LOG_FULL:
            self._settle()
            self._wal.truncate()
