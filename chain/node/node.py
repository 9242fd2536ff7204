"""The node: one machine made of consensus, ledger, mempool, relay and block sync. Inputs and the time go in, effects come out.

    a user's transaction --submit--> mempool --(something waits)--> WakeUp --> consensus --> BuildBlock / CheckBlock --> ledger
    a peer's message --handle--> checked: ACCEPT relays it, IGNORE drops it, REJECT also costs the peer
    consensus --> Decide --> state, Commit, Decided --> the next height

Disk before wire: a block's bytes and every record of the consensus are logged, in that order, before the signature that depends
on them is asked for. A broken invariant while checking a proposal is a nil vote with the evidence kept in `faults`; on a decided
block it is raised, and the node must halt (LC-NODE-28).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence

from learningchain.chain.codec import encode
from learningchain.chain.consensus import messages as c
from learningchain.chain.consensus.machine import Consensus
from learningchain.chain.errors import BrokenInvariant, InvalidBlock, Malformed, TxCode, Verdict
from learningchain.chain.host import key_owner_key
from learningchain.chain.ledger import transition
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import BeaconKey, Executed, chain_record, clock_at, params_of, validators_of, version_of
from learningchain.chain.node import candidates as blocks
from learningchain.chain.node import decided
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.ancestry import Ancestry
from learningchain.chain.node.answer_budget import AnswerKind
from learningchain.chain.node.batches import Batches, DecodedBlock
from learningchain.chain.node.bodies import Bodies, lane_of
from learningchain.chain.node.candidates import Candidate
from learningchain.chain.node.double_sign_check import DoubleSignCheck, Place
from learningchain.chain.node.mempool import Mempool
from learningchain.chain.node.recovery import BLOCK, CONSENSUS, DECIDED, Recovered, read_log
from learningchain.chain.node.relay import Relay
from learningchain.chain.node.service import BODIES, HEIGHTS, POOL, PeerService
from learningchain.chain.node.snapshot import SnapshotSync
from learningchain.chain.node.sync import PATIENCE, Sync
from learningchain.chain.node.topology import PeerTopology
from learningchain.chain.params import PROTOCOL_VERSION
from learningchain.chain.types import Block, Certificate, Checkpoint, Proposal, Vote, block_id, tx_id

MAX_FAULTS = 16
KEY_OWNERS = key_owner_key(b"")
_DECIDING = (m.VoteMessage, m.CompactProposal, m.CertificateMessage, m.StateMessage)
STATE_EVERY = 150
"""Milliseconds between answers to one peer's round state."""
STATUS_TICKS = 10
REMIND_TICKS = 20
"""Transactions that wait since the last time are announced again: a push can be lost with its connection."""


class Node:
    """`head_id` is the id of the last decided block (the chain id at height 0), `signed` the guard's `signed`, `base` the
    certificate of the snapshot it began from; see `DoubleSignCheck`. Drive it as `chain.node.events` says.

    `known_versions`: those of the protocol that this program speaks. Before the first block of another one it ends (LC-NODE-68).

    How many heights behind it catches up by certificates and roots (`trusting`), by a snapshot (`snapshot_after`); 0: never.
    `snapshot_if_pruned`: by a snapshot also where no peer keeps the next block any more.

    `checkpoint`: the block that its owner trusts. Below it the node only follows, and takes nothing that is not in its history.
    """

    def __init__(
        self,
        own_id: bytes,
        beacon_key: BeaconKey,
        state: State,
        head_id: bytes,
        *,
        consensus: Consensus | None = None,
        signed: Place | None = None,
        trusting: int = 0,
        snapshot_after: int = 0,
        base: Certificate | None = None,
        first_block: int = 1,
        snapshot_if_pruned: bool = False,
        known_versions: Container[int] = range(1, PROTOCOL_VERSION + 1),
        old_beacon_keys: Sequence[BeaconKey] = (),
        checkpoint: Checkpoint | None = None,
    ) -> None:
        record = chain_record(state)
        self.chain_id, self.own_id = record.chain_id, own_id
        self.state, self.head_id, self.height = state, head_id, record.height
        state.make_indexes()
        self.params = params_of(state)
        self._known_versions = known_versions
        self.first_block = first_block
        """The first one that is kept here. Whoever drops old blocks sets it; questions for older ones are answered with nothing."""
        self.consensus = consensus or Consensus(record.chain_id, own_id, self.params)
        self.pool, self.sync = Mempool(record.chain_id, self.params), Sync()
        self.ancestry = Ancestry(self.sync, checkpoint)
        self.sync.ceiling = lambda: self.ancestry.ceiling(self.height)
        self._batches, self._snapshots = (
            Batches(self.sync, trusting),
            SnapshotSync(record.chain_id, self.sync, self.ancestry, snapshot_after, if_pruned=snapshot_if_pruned),
        )
        self.faults: deque[str] = deque(maxlen=MAX_FAULTS)
        """Evidence of our own mistakes, newest last."""
        self.parked: deque[str] = deque(maxlen=MAX_FAULTS)
        """What failed in blocks that were decided, for the log (`fault_of`)."""
        self._beacon_key = beacon_key
        self._old_beacon_keys = list(old_beacon_keys)
        """One of these may have made the last commitment."""
        self._bodies, self._relay, self.service = Bodies(), Relay(), PeerService()
        self._double_sign_check = DoubleSignCheck(own_id, signed, state, base)
        self._last: list[tuple[bytes, bytes]] = []
        """The block decided last and its certificate, for those who only follow."""
        self._links = PeerTopology(own_id)
        self._peers: dict[bytes, int] = {}
        """Connected peers, and when each was last answered with round state."""
        self._inputs: deque[c.Input] = deque()
        self._out: list[e.Effect] = []
        self._ticks, self._running, self._ended = 0, False, False
        self._now = self._monotonic_ms = 0

    @property
    def unheard(self) -> tuple[int, int] | None:
        """Where nothing is signed because what this key signed is not known here: validators that must be heard, and were."""
        return self._double_sign_check.lacks

    @property
    def outdated(self) -> bool:
        """The next block is of a protocol that this program does not know: nothing of it can be checked here."""
        return version_of(self.state) not in self._known_versions

    def goes_first(self, peer: bytes) -> bool:
        """A validator of the present set: its questions wait for nobody else's."""
        return peer in self._links.validators

    def hears(self, peer: bytes) -> bool:
        """LC-NODE-73: whether a question of this peer, which does not go first, is looked at."""
        return self.service.hears(peer, self._monotonic_ms)

    @property
    def has_room_for_content(self) -> bool:
        """LC-NODE-72: whether a block of a file may be read for a peer now."""
        return self.service.budget.allows(b"", AnswerKind.CONTENT, self._monotonic_ms)

    def served_content(self, size: int) -> None:
        """So many bytes of files are sent."""
        self.service.budget.spent(b"", AnswerKind.CONTENT, size)

    # --- life -----------------------------------------------------------------------------------------------------------------

    def start(self, now: int, log: list[bytes]) -> list[e.Effect]:
        """Go on from the log. Raises `Malformed` or `BrokenInvariant` when log and state do not fit together."""
        self._at(now)
        found = read_log(log)
        while (certificate := found.certificates.get(self.height + 1)) is not None:
            self._redo(certificate, found)
        for key, block in found.undecided(self.height + 1):
            known = Candidate(block.header, list(block.txs), now, None, logged=True, complete=True)
            self._bodies.blocks.put(key, known, frozenset())
        if self.outdated:
            self._begin_height()
            return self._take()
        self._feed(self._next_height())
        self._run_all(self.consensus.replay(found.of_height(self.height + 1)))
        self._out.append(e.SetTimer(e.Tick(), e.TICK_MS))
        return self._take()

    def _redo(self, certificate: Certificate, found: Recovered) -> None:
        block = found.blocks.get(certificate.block_id)
        if block is None:
            raise BrokenInvariant(f"the log holds the decision of block {certificate.height} without its bytes")
        executed = decided.redo(self.state, self.head_id, block, None)
        # LC-NODE-27: the log is kept: it may hold what this node signed of the height after.
        self._apply(block, certificate, executed, None, durable=True)

    def submit(self, raw: bytes, now: int) -> bytes:
        """A user's transaction; its id. Raises `InvalidTx`. It travels with the next `flush`."""
        self._at(now)
        if (tx := self.pool.add(self.state, raw, self.height + 1, local=True)) is None:
            return tx_id(raw)
        self._relay.took(tx.id, raw, None)
        return tx.id

    def use_beacon_key(self, beacon_key: BeaconKey) -> None:
        """For what it commits to from now on: its key was replaced, and with it the one that this follows from."""
        self._old_beacon_keys, self._beacon_key = [*self._old_beacon_keys, self._beacon_key], beacon_key

    def flush(self, now: int) -> list[e.Effect]:
        """No input waits: send what gathered, and start a height if there is something to decide."""
        self._at(now)
        if self._ended:
            return []
        for batch in self._relay.flush():
            self._out += self._links.push(batch)
        self._wake_if_due()
        return self._take()

    def handle(self, event: e.Input, now: int) -> list[e.Effect]:
        self._at(now)
        if self._ended:
            return []
        match event:
            case e.Received(peer, payload):
                self._receive(peer, payload)
            case e.SignedMessage(message):
                self._feed(c.MessageSigned(message))
            case e.Fired(e.Tick()):
                self._tick()
            case e.Fired(e.Late(key)) if self._bodies.blocks.get(key) is not None:
                self._ask_block(key)
            case e.Fired(timer):
                if isinstance(timer, c.Timeout):
                    self._feed(c.TimeoutFired(timer))
            case e.PeerUp(peer):
                self._peers[peer] = 0
                self._send(peer, self._status(), e.VOTES)
                self._send(peer, self._links.up(peer), e.VOTES)
            case e.PeerDown(peer):
                self._peers.pop(peer, None)
                self._links.down(peer)
                self.service.down(peer)
                self._double_sign_check.heard(peer, here=False)
                self.sync.peer(peer, None)
            case e.Answered(peer, answer):
                if answer is not None:
                    self._answer(e.Send(peer, answer, e.REQUESTS), AnswerKind.DISK)
                self.service.done(peer)
                self._serve()
            case e.SnapshotStaged() | e.BucketsTaken():
                self._out += self._snapshots.event(event, self._monotonic_ms)
            case e.SignaturesChecked() | e.BlocksHashed():
                self._batches.helped(event)
                self._catch_up()
        return self._take()

    def _at(self, now: int) -> None:
        """Clocks are set back: what waits for a while counts in `_monotonic_ms`, or it would wait until the clock caught up."""
        self._now, self._monotonic_ms = now, self._monotonic_ms + (now - self._now if now > self._now else 0)

    def _take(self) -> list[e.Effect]:
        self._out += [e.TxDropped(tx, fault) for tx, fault in self.pool.evicted()]
        out, self._out = self._out, []
        return out

    # --- time -----------------------------------------------------------------------------------------------------------------

    def clock(self, now: int) -> int:
        """The chain clock that a block made now would have."""
        return clock_at(chain_record(self.state), now, self.params)

    def _tick(self) -> None:
        self._ticks += 1
        self._out.append(e.SetTimer(e.Tick(), e.TICK_MS))
        if self._ticks % STATUS_TICKS == 0:
            self._out += self._links.heights(self._status(), self._ticks // STATUS_TICKS)
        if (links := self._links.changed()) is not None:
            self._out.append(e.Gossip(encode(links), e.VOTES, e.Scope.ALL))
        if self._ticks % REMIND_TICKS == 0 and (late := self._relay.late(self.pool)):
            self._out += self._links.push(m.TxIds(late))
        self._out += self._relay.announce(self.pool, self._links.not_reached_by)
        self._out += self._relay.ask(self.pool, self._monotonic_ms)
        for key in list(self._bodies.wanted):
            self._ask_block(key)
        ahead = self.sync.ahead() if self._links.is_validator else None
        if ahead is not None:  # its answer is the certificate, where only votes were lost
            self._send(ahead, m.StateMessage(self.consensus.round_state()), e.VOTES)
        self._serve()
        now = self._monotonic_ms
        self._out += self._read_ancestry()
        self._out += [*self._snapshots.tick(self.state, now), *self._batches.request(now)]
        self._out += self._double_sign_check.tick(
            self._monotonic_ms, self.height, self.sync, validators_of(self.state), self.consensus.round_state
        )
        self._wake_if_due()

    def _read_ancestry(self) -> list[e.Effect]:
        """Who waits for a snapshot needs the trusted block's own header alone."""
        return self.ancestry.tick(self.height, self._monotonic_ms, first_alone=self.sync.holds(self._monotonic_ms))

    def _wake_if_due(self) -> None:
        """Not held back by peers that say they are ahead: one liar among them could silence everybody."""
        if self.consensus.step is not c.Step.WAIT or not self._links.is_validator or self.ancestry.below(self.height):
            return
        due, clock = self.state.earliest_due(), self.clock(self._now)
        idle = self._now - chain_record(self.state).time
        is_due = self.state.waits_for_height() or (due is not None and due <= clock)
        if idle >= self.params.heartbeat or is_due or self._could_fill_a_block(clock):
            self._feed(c.WakeUp(self.height + 1))

    def _could_fill_a_block(self, clock: int) -> bool:
        """LC-CON-7, LC-NODE-67: what waits for bandwidth makes no empty blocks. Who has none is looked at once, then rests."""
        return self.pool.waiting and self.pool.selection(self.params.block_bytes, self.state, clock).finds_any()

    # --- consensus ------------------------------------------------------------------------------------------------------------

    def _feed(self, event: c.Input) -> None:
        """Hand an input to the consensus and run what follows; inputs that arise on the way wait their turn."""
        self._inputs.append(event)
        self._run_all([])

    def _run_all(self, effects: list[c.Effect]) -> None:
        """Run effects, then the inputs that wait."""
        if self._running:
            return
        self._running = True
        try:
            while True:
                for effect in effects:
                    self._run(effect)
                if not self._inputs:
                    return
                effects = self.consensus.handle(self._inputs.popleft())
        finally:
            self._running = False

    def _run(self, effect: c.Effect) -> None:
        match effect:
            case c.Persist(record):
                self._out.append(e.Log(CONSENSUS + bytes(record), True))
            case c.Sign(request):
                self._out += self._double_sign_check.sign(request)
            case c.Broadcast(message):
                if (wire := self._bodies.wire(message)) is not None:
                    self._out += self._links.to_validators(encode(wire), lane_of(message))
            case c.SendTo(peer, message):
                if (wire := self._bodies.wire(message)) is not None:
                    self._send(peer, wire, lane_of(message))
            case c.Schedule(timeout):
                self._out.append(e.SetTimer(timeout, timeout.ms))
            case c.BuildBlock(height, round_):
                self._build(height, round_)
            case c.CheckBlock():
                self._check(effect)
            case c.Decide(_, key, certificate):
                self._decide(key, certificate)
            case c.ReportEvidence(evidence):
                self._out.append(e.Evidenced(evidence))

    def _build(self, height: int, round_: int) -> None:
        if height != self.height + 1:
            return
        chosen = self.pool.selection(self.params.block_bytes, self.state, self.clock(self._now))
        try:
            candidate, executed = blocks.build(
                self.state,
                self.own_id,
                self._beacon_key,
                round_,
                self.head_id,
                self._now,
                chosen.first(),
                chosen.more,
                self._old_beacon_keys,
            )
        except (BrokenInvariant, InvalidBlock) as broken:  # LC-NODE-28: no proposal; the others go on to the next round
            self.faults.append(f"no block {height} could be built: {broken}")
            return
        for tx, fault in executed.skipped:
            if fault.code == TxCode.QUARANTINED:
                self.faults.append(f"transaction {tx.id.hex()}: {fault.text}")
            # One with a gap stands behind another one that was left out; bandwidth comes with time (LC-NODE-67).
            if fault.code not in (TxCode.QUOTA, TxCode.SEQUENCE_GAP, TxCode.BANDWIDTH):
                self.pool.remove(tx.id, again=fault.code == TxCode.REFUSED)
                self._out.append(e.TxDropped(tx.id, fault))
        key = block_id(candidate.header)
        self._bodies.blocks.put(key, candidate, self._kept())
        self._log_block(candidate)
        self._inputs.append(c.BlockBuilt(height, round_, key))

    def _kept(self) -> frozenset[bytes]:
        awaited = self.consensus.awaited
        state = self.consensus.round_state()
        return frozenset({state.locked_id, state.valid_id, awaited.block_id if awaited else b"", *self._bodies.wanted})

    def _log_block(self, candidate: Candidate) -> None:
        """Logged, not synced: the record of the vote that follows is synced behind it, in the same log."""
        if not candidate.logged:
            candidate.logged = True
            self._out.append(e.Log(BLOCK + blocks.encoded(candidate), False))

    def _check(self, question: c.CheckBlock) -> None:
        candidate = self._bodies.blocks.get(question.block_id)
        if candidate is None or not candidate.complete:
            self._bodies.want(question, self._kept())
            if candidate is None:
                self._ask_block(question.block_id)
            return
        self._bodies.wanted.pop(question.block_id, None)
        valid, awaited = self._is_valid(candidate), self.consensus.awaited
        if not valid and awaited is not None and awaited.block_id == question.block_id:
            raise BrokenInvariant(f"block {question.height} was decided, but here it is invalid: {candidate.fault}")
        if valid and question.fresh:
            valid = blocks.is_timely(candidate, question.round, self.params)
        if valid:
            self._log_block(candidate)
        self._inputs.append(c.BlockChecked(question.height, question.block_id, valid))

    def _is_valid(self, candidate: Candidate) -> bool:
        if candidate.executed is not None:
            return True
        if candidate.fault:
            return False
        header = candidate.header
        try:
            candidate.executed = blocks.execute_verified(self.state, candidate.block(), candidate.ids, self.head_id, self.pool)
            self.sync.hold()
        except InvalidBlock as fault:
            candidate.fault = str(fault)
        except BrokenInvariant as fault:
            candidate.fault = f"broken invariant: {fault}"
            self.faults.append(f"block {header.height} of {header.proposer.hex()}: {candidate.fault}")
        return candidate.executed is not None

    def _decide(self, key: bytes, certificate: Certificate) -> None:
        candidate = self._bodies.blocks.get(key)
        if candidate is None or not candidate.complete or not self._is_valid(candidate) or candidate.executed is None:
            raise BrokenInvariant(f"block {certificate.height} was decided without having been checked here")
        self._log_block(candidate)
        self._out.append(e.Log(DECIDED + encode(certificate), False))
        self._apply(candidate.block(), certificate, candidate.executed, None, durable=False, raw=blocks.encoded(candidate))
        self._out.append(e.TruncateLog())
        self._begin_height()

    def _begin_height(self) -> None:
        """The next height begins, unless it is of a protocol that only another program knows."""
        if self.outdated:
            self._ended = True
            self._out.append(e.Outdated(self.height + 1, version_of(self.state)))
        else:
            self._inputs.append(self._next_height())

    def _next_height(self) -> c.StartHeight:
        self.sync.at(self.height, self._monotonic_ms)
        validators = validators_of(self.state)
        self._links.validators = frozenset(v.id for v in validators)
        self.service.budget.of_validators(self._links.validators, self._monotonic_ms)
        self.sync.patience = PATIENCE if self._links.is_validator else 0
        if self._last:
            self._out.append(self._links.news(self._status(), self.sync.reported(self.height)))
        return c.StartHeight(self.height + 1, validators, self._now)

    def _apply(
        self,
        block: Block,
        certificate: Certificate,
        executed: Executed,
        item: DecodedBlock | None,
        *,
        durable: bool,
        raw: bytes = b"",
    ) -> None:
        """A decided block becomes the state. `raw`: its encoding, where it is known and `item` is not."""
        self._double_sign_check.decided(block.header, certificate, validators_of(self.state))
        transition.commit(self.state, executed)
        self._take_params()
        self.parked += executed.faults
        header = block.header
        self.height, self.head_id = header.height, certificate.block_id
        self._bodies.clear(self.height)
        commit = decided.commit(block, certificate, executed, item, durable=durable, raw=raw)
        self._out.append(commit)
        self._last = [(commit.block, commit.certificate)]
        self._out.append(e.Decided(self.height, self.head_id, header, commit.tx_ids, executed.receipts, executed.next_validators))
        accounts = [] if commit.executed or not len(self.pool) else [key[2:] for key, _ in executed.changes if key[:2] == b"a/"]
        rekeyed = [owner.account for key, owner in executed.changes if key[:3] == KEY_OWNERS and owner is not None]
        for tx, fault in self.pool.decided(self.state, executed.txs, self.height, accounts, rekeyed):
            self._out.append(e.TxDropped(tx, fault))

    def _take_params(self) -> None:
        """LC-BLK-35: what the validators changed holds from the next block on, here too."""
        params = params_of(self.state)
        if params is not self.params:
            self.params = self.consensus.params = self.pool.params = params

    # --- messages -------------------------------------------------------------------------------------------------------------

    def _send(self, peer: bytes, message: m.Message, queue: int) -> None:
        self._out.append(e.Send(peer, encode(message), queue))

    def _answer(self, answer: e.Send, kind: AnswerKind) -> None:
        """LC-NODE-72: what a peer asked for, and its bytes."""
        self.service.budget.spent(answer.peer, kind, len(answer.payload))
        self._out.append(answer)

    def _reject(self, peer: bytes, reason: str) -> None:
        self._out.append(e.Penalize(peer, reason))

    def _receive(self, peer: bytes, payload: bytes) -> None:
        try:
            message = m.decode_message(payload)
        except Malformed as fault:
            self._reject(peer, f"NODE message: {fault}")
            return
        match message:
            case _ if isinstance(message, _DECIDING) and self.ancestry.below(self.height):
                pass  # below the checkpoint no vote decides
            case m.VoteMessage(vote):
                if self._opinion(peer, vote, payload, e.VOTES):
                    self._implied(peer, vote.validator, vote.height)
                    self._feed(c.VoteReceived(vote, peer))
            case m.CompactProposal():
                self._on_proposal(peer, message, payload)
            case m.CertificateMessage(certificate):
                if self.consensus.classify(certificate).verdict is Verdict.REJECT:
                    self._reject(peer, "a certificate that does not hold")
                else:
                    self._feed(c.CertificateReceived(certificate))
            case m.StateMessage(state):
                self._on_state(peer, state)
            case m.Txs() if peer not in self._links.validators and not self.service.offers(peer, self._monotonic_ms):
                pass
            case m.Txs(txs):
                source = peer if self._links.forwards_to_validators(peer) else None
                wrong, refused = self._relay.take(txs, source, self.pool, self.state, self.height + 1)
                self.service.refused(peer, refused, self._monotonic_ms)
                if wrong is not None and not (
                    wrong.code == TxCode.BAD_SIGNATURE and self.service.excuses(peer, self._monotonic_ms)
                ):
                    self._reject(peer, f"transaction: {wrong.text}")
                for key in self._bodies.look(self.pool):
                    self._body_arrived(key)
            case m.TxIds(ids):
                self._relay.heard(ids, peer, self.pool, self._monotonic_ms)
            case m.GetTxs(ids):
                if self.service.allows(peer, POOL, self._monotonic_ms):
                    for answer in self._relay.answer(ids, peer, self.pool):
                        self._answer(answer, AnswerKind.MEMORY)
            case m.Status(height, first):
                self._told(peer, height, first)
                if height < self.height and self.service.allows(
                    peer, HEIGHTS, self._monotonic_ms
                ):  # it is in nobody's mesh, perhaps
                    self._send(peer, self._status(), e.REQUESTS)
                self._out += self._batches.request(self._monotonic_ms)
            case m.Links():
                self._links.heard(peer, message)
            case m.GetBlock() if not self.service.allows(peer, BODIES, self._monotonic_ms):
                pass
            case m.GetBlock() | m.BlockTxs() | m.FullBlock():
                self._on_body(peer, message)
            case (
                m.GetBlocks() | m.GetExecutedBlocks() | m.GetHeaders() | m.GetSnapshot() | m.GetValidatorChanges() | m.GetBuckets()
            ):
                self.service.ask(peer, message)
                self._serve()
            case m.Headers(headers):
                self._out += self.ancestry.take(peer, headers, Checkpoint(self.height, self.head_id), self._monotonic_ms)
                self._out += self._read_ancestry()
                self._out += self._batches.request(self._monotonic_ms)
            case m.Blocks(found) | m.ExecutedBlocks(found):
                self._out += self._batches.take(peer, found, self.state, self.pool, self._monotonic_ms)
                self._catch_up()
            case _:
                told = self._snapshots.message(peer, message, self.state, self._monotonic_ms)
                self._ended = any(isinstance(effect, e.Outdated) for effect in told)
                self._out += told

    def _serve(self) -> None:
        """The questions whose turn it is (LC-NODE-50): to the disk, but for what is in memory still."""
        answered: set[bytes] = set()
        while (turn := self.service.next(self._monotonic_ms, answered)) is not None:
            peer, question = turn
            if isinstance(question, m.GetBlocks | m.GetExecutedBlocks):
                answer = decided.asked(peer, question, self.height, self._last, self.first_block)
                if isinstance(answer, e.Send):
                    self._answer(answer, AnswerKind.DISK)
                    answered.add(peer)
                    self.service.done(peer, unread=True)
                else:
                    self._out.append(answer)
            elif isinstance(question, m.GetHeaders):
                self._out.append(e.ReadHeaders(peer, question.height, question.count))
            else:
                self._out.append(e.ReadSnapshot(peer, question))

    def _status(self) -> m.Status:
        return m.Status(self.height, self.first_block)

    def _told(self, peer: bytes, height: int, first: int | None = None) -> None:
        """A peer's word on its last decided height (LC-NODE-23), and on the first one that it keeps; one that has gone is nobody to
        ask."""
        if peer in self._peers:
            self.sync.peer(peer, height, first)
            self._double_sign_check.heard(peer)

    def _implied(self, peer: bytes, signer: bytes, height: int) -> None:
        """Who signs at a height has decided the one before; who passes it on may be one behind."""
        if height > self.height:
            self._told(peer, height - 1 if peer == signer else height - 2)

    def _opinion(self, peer: bytes, message: Vote | Proposal, payload: bytes, queue: int) -> bool:
        """ACCEPT relays; REJECT costs the peer. Whether to go on with it."""
        opinion = self.consensus.classify(message)
        if opinion.verdict is Verdict.REJECT:
            self._reject(peer, opinion.reason)
        elif opinion.verdict is Verdict.ACCEPT:
            self._double_sign_check.saw(message)
            origin = message.validator if isinstance(message, Vote) else message.proposer
            known = self._links.reached_by(origin) | {peer, origin}
            self._out += self._links.to_validators(payload, queue, known)
        return opinion.verdict is not Verdict.REJECT

    def _on_proposal(self, peer: bytes, message: m.CompactProposal, payload: bytes) -> None:
        proposal, header = message.proposal, message.header
        key = proposal.block_id
        if block_id(header) != key or header.height != proposal.height:
            self._reject(peer, "a proposal whose header is not that of its block")
            return
        accepted = self.consensus.classify(proposal).verdict is Verdict.ACCEPT
        if not self._opinion(peer, proposal, payload, e.PROPOSALS):
            return
        self._implied(peer, proposal.proposer, proposal.height)
        candidate = self._bodies.blocks.get(key)
        if candidate is None and (accepted or key in self._bodies.wanted):
            candidate = self._bodies.blocks.open(header, message.ids, self.pool, self._now, peer, self._kept())
            if not candidate.complete and candidate.stated:
                self._out.append(e.SetTimer(e.Late(key), e.LATE_MS))
            elif not candidate.complete:  # the list of ids was wrong
                self._ask_block(key)
        if accepted:
            self._feed(c.ProposalReceived(proposal, True, peer))
        # LC-NODE-20: votes that overtook it may have asked for the block, and the consensus asks once.
        if candidate is not None and candidate.complete:
            self._body_arrived(key)

    def _on_state(self, peer: bytes, state: c.RoundState) -> None:
        self._told(peer, state.height - 1)
        if peer not in self._peers or self._monotonic_ms < self._peers[peer] + STATE_EVERY:
            return
        self._peers[peer] = self._monotonic_ms
        if state.height <= self.height:
            self._send(peer, self._status(), e.VOTES)
        self._feed(c.StateReceived(state, peer))

    # --- bodies of undecided blocks ---------------------------------------------------------------------------------------------

    def _ask_block(self, key: bytes) -> None:
        if (request := self._bodies.ask(key, self.height + 1, sorted(self._peers), self._ticks)) is not None:
            self._send(*request, e.PROPOSALS)

    def _on_body(self, peer: bytes, message: m.GetBlock | m.BlockTxs | m.FullBlock) -> None:
        try:
            answer, came = self._bodies.heard(peer, message, self._now, self._kept())
        except Malformed as fault:
            self._reject(peer, f"block: {fault}")
            return
        if answer is not None:
            self._answer(e.Send(peer, encode(answer), e.PROPOSALS), AnswerKind.MEMORY)
        if came is not None:
            self._body_arrived(block_id(came.header))

    def _body_arrived(self, key: bytes) -> None:
        if (question := self._bodies.wanted.get(key)) is not None:
            self._run_all([question])

    # --- decided blocks ---------------------------------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        """Execute the blocks that came, as far as they can be, and ask for more."""
        before, more = self.height, True
        while more:
            out, self._out = self._out, []
            more, found = self._batches.run(self._adopt, self._monotonic_ms)
            self._out = out + decided.durably(self._out) + found
        if self.height > before:
            self._begin_height()
            self._run_all([])
            # Votes of this height went by while it was out of reach: the others send them again to who tells its state.
            if self._links.is_validator:
                self._out += self._links.to_validators(encode(m.StateMessage(self.consensus.round_state())), e.VOTES)
        self._out += self._batches.request(self._monotonic_ms)

    def _adopt(self, item: DecodedBlock) -> int:
        height = item.certificate.height
        if height > self.height and not self.ancestry.allows(height, item.certificate.block_id):
            raise Malformed(f"block {height} is not in the history of the block that this node trusts")
        executed = None if self.outdated else decided.check(self.state, self.head_id, item, self.pool)
        if executed is not None:
            self._apply(item.block, item.certificate, executed, item, durable=False)
            self._out.append(e.TruncateLog())
        return self.height
