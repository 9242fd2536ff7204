"""What a block does to the state: `apply_block` reads like a table of contents.

Due deadlines run before the transactions; those of the next height join them at the end. A transaction's validity (signature,
network, membership, sequence, quota, bandwidth, valid_until) is the block's validity; then its sequence is consumed and its bytes
charged, then the handlers of its messages run, and a `Reject` undoes the handlers alone, so nothing refused can be replayed. At the
end the proposer gets its reward, what was decided of the validator set, parameters and protocol takes effect for the next height,
and the supply must balance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from learningchain.chain.buckets import Tree
from learningchain.chain.codec import encode
from learningchain.chain.contracts import BY_NUMBER, MESSAGES, host_of, perform
from learningchain.chain.crypto import ZERO_HASH, mac, sha256
from learningchain.chain.errors import OWN_FAULTS, BrokenInvariant, Code, InvalidBlock, InvalidTx, Reject, SupplyBroken, TxCode
from learningchain.chain.host import (
    K_CHAIN,
    K_CLOCK_MARKS,
    K_NEXT_VALIDATORS,
    K_PARAMS,
    K_PROTOCOL,
    K_SUPPLY,
    K_VALIDATORS,
    Account,
    BeaconCommitment,
    ChainRecord,
    ClockMarks,
    Host,
    Protocol,
    account_key,
    audit_events,
    split_due,
    split_height_due,
)
from learningchain.chain.host.ages import add_mark, evidence_span
from learningchain.chain.host.parameters import apply_pending
from learningchain.chain.ledger.due import DeadlineBudget
from learningchain.chain.ledger.state import Change, Overlay, State
from learningchain.chain.ledger.tx import ParsedTx, charge_bandwidth, check_tx
from learningchain.chain.merkle import list_root
from learningchain.chain.params import MAX_INT, Params
from learningchain.chain.tags import Tag
from learningchain.chain.types import Receipt, Validator

_COMMITMENT = Tag("lc/beacon-commitment", "beacon commitments")
MAX_REFUSED = 16
"""LC-NODE-60: refused transactions of one account that a proposer puts into a block."""
MAX_ALL_REFUSED = 256
"""LC-NODE-60: of all accounts together: however many identities share a flood, a block keeps so many of them."""
More = Callable[[list[int]], list[ParsedTx]]
"""Told the work that each transaction of the last batch took, in their order, it gives the next batch; an empty one is the end."""


@dataclass(frozen=True)
class BlockInput:
    """What the transition takes from a block; roots are its results, not its inputs."""

    height: int
    time: int
    proposer: bytes
    reveal: bytes
    commitment: bytes
    txs: list[ParsedTx]


@dataclass(frozen=True)
class Executed:
    """A block tried out: nothing of it is in the state until `commit`."""

    txs: list[ParsedTx]
    receipts: list[Receipt]
    receipt_bytes: list[bytes]
    receipt_root: bytes
    changes: list[Change]
    encoded: list[tuple[bytes, bytes | None]]
    tree: Tree
    state_root: bytes
    next_validators: list[Validator]
    skipped: list[tuple[ParsedTx, InvalidTx]] = field(default_factory=list)
    archived: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Records that it removes and that nodes keep beside it, as they stood."""
    faults: list[str] = field(default_factory=list)
    """Behind each reference that was parked (`Host.faults`)."""


def chain_record(state: State) -> ChainRecord:
    record: Any = state.get(K_CHAIN)
    return record  # type: ignore[no-any-return]


def params_of(state: State) -> Params:
    record: Any = state.get(K_PARAMS)
    return record  # type: ignore[no-any-return]


def validators_of(state: State) -> list[Validator]:
    """The set that signs the next block."""
    record: Any = state.get(K_VALIDATORS)
    return record.members  # type: ignore[no-any-return]


def version_of(state: State) -> int:
    """LC-BLK-36: the version of the protocol that the next block has."""
    record: Any = state.get(K_PROTOCOL)
    return 1 if record is None else record.version


def clock_at(record: ChainRecord, time: int, params: Params) -> int:
    """LC-BLK-10: the chain clock of a block with `time` after `record`: grows by the time between blocks, at most by max_step."""
    return record.clock + max(0, min(time - record.time, params.max_step))


BeaconKey = bytes | Callable[[int], bytes]
"""What secrets of the beacon are made from, or what gives them by height, where that key lies elsewhere."""


def beacon_secret(beacon_key: BeaconKey, chain_id: bytes, height: int) -> bytes:
    """LC-BLK-12: the secret that a validator commits to in its block at `height`: recoverable from its key alone."""
    if not isinstance(beacon_key, bytes):
        return beacon_key(height)
    return mac(beacon_key, b"lc/beacon-secret", chain_id, height.to_bytes(8, "big"))


def beacon_commitment(secret: bytes) -> bytes:
    return _COMMITMENT.hash(secret)


def due_reveal(state: State, proposer: bytes, *beacon_keys: BeaconKey) -> bytes:
    """LC-BLK-12: what `proposer` must reveal in its next block: the secret of its last commitment, or zeros where it has none.

    Zeros as well where that commitment is of none of `beacon_keys`: a block without the secret is worth more than none.
    """
    record: Any = state.get(b"gb/" + proposer)
    if record is None:
        return ZERO_HASH
    secrets = (beacon_secret(key, chain_record(state).chain_id, record.height) for key in beacon_keys)
    return next((secret for secret in secrets if beacon_commitment(secret) == record.commitment), ZERO_HASH)


def can_reveal(state: State, proposer: bytes, beacon_keys: Sequence[BeaconKey]) -> bool:
    """Whether one of these makes the secret that `proposer` owes, if it owes one."""
    return state.get(b"gb/" + proposer) is None or due_reveal(state, proposer, *beacon_keys) != ZERO_HASH


class _BlockExecution:
    """The working state of one application."""

    def __init__(self, state: State, block: BlockInput) -> None:
        parent = chain_record(state)
        self.params = params_of(state)
        self.block = block
        self.state, self.overlay = state, Overlay(state)
        self.chain_id = parent.chain_id
        if block.height != parent.height + 1:
            raise InvalidBlock(f"height {block.height} does not follow {parent.height}")
        if block.time <= parent.time:
            raise InvalidBlock(f"time {block.time} is not after the parent's {parent.time}")
        if all(v.id != block.proposer for v in validators_of(state)):
            raise InvalidBlock("the proposer is no validator of this height")
        self.clock = clock_at(parent, block.time, self.params)
        self.beacon, self.rewarded = self._next_beacon(parent.beacon)
        self.system, self.host = self._host(), self._host()
        self.used: dict[bytes, int] = {}
        self.refused: dict[bytes, int] = {}
        """Transactions in this block that were refused, by account."""
        self.work = 0
        """LC-BLK-25: of the transactions so far."""

    def _next_beacon(self, beacon: bytes) -> tuple[bytes, bool]:
        promised: Any = self.overlay.get(b"gb/" + self.block.proposer)
        reveal = self.block.reveal
        if promised is None or reveal == ZERO_HASH:
            if reveal != ZERO_HASH:
                raise InvalidBlock("a beacon secret without a commitment")
            return sha256(beacon + ZERO_HASH), promised is None
        if beacon_commitment(reveal) != promised.commitment:
            raise InvalidBlock("the beacon secret is not the one committed to")
        return sha256(beacon + reveal), True

    def _host(self) -> Host:
        parent = chain_record(self.state)
        return host_of(self.overlay, self.params, parent, self.block.height, self.block.time, self.clock, self.beacon)

    # steps

    def begin(self) -> None:
        b = self.block
        self.overlay.put(K_CHAIN, ChainRecord(self.chain_id, b.height, b.time, self.clock, self.beacon))
        self.overlay.put(b"gb/" + b.proposer, BeaconCommitment(b.height, b.commitment))
        known: Any = self.overlay.get(K_CLOCK_MARKS)
        marks = add_mark(known.marks if known is not None else [], b.height, self.clock, evidence_span(self.params))
        if marks is not None:
            self.overlay.put(K_CLOCK_MARKS, ClockMarks(marks))

    def run_deadlines(self) -> None:
        """LC-BLK-14"""
        for key in self.state.due(self.clock, DeadlineBudget(self.params.max_due, self.params.max_due_work)):
            self.system.run_due(*split_due(key))

    def let_next_height_in(self) -> None:
        """LC-BLK-33: deadlines for the next height become ordinary ones, so many as two blocks' worth at most."""
        for key, record in list(self.overlay.scan(b"dh/", 2 * self.params.max_due)):
            height, due = split_height_due(key)
            if height > self.block.height + 1:
                return
            self.overlay.delete(key)
            self.overlay.put(due, record)

    def run_tx(self, tx: ParsedTx, *, building: bool = False) -> Receipt:
        """LC-TX-4, 5. Raises `InvalidTx` where the transaction may not stand in this block, `BrokenInvariant` for our own faults.

        Whichever it raises, the block is as if the transaction had not been there, but for its `work`. Raises `InvalidBlock`
        where the block is more work than the network allows.
        """
        body = tx.body
        account = check_tx(self.overlay, self.chain_id, tx, self.block.height)
        if self.used.get(body.sender, 0) >= self.params.quota:
            raise InvalidTx(TxCode.QUOTA, f"more than {self.params.quota} transactions of one account in a block")
        charged = charge_bandwidth(self.params, account, tx, self.clock)
        sequences = list(account.sequences)
        sequences[body.lane] += 1
        key = account_key(body.sender)
        arrival = account.arrival if tx.once else charged
        self.overlay.put(key, Account(account.key, account.status, account.balance, account.frozen, sequences, arrival))
        try:
            receipt = self._run_messages(tx, building)
        except BrokenInvariant:
            self.overlay.put(key, account)
            raise
        if receipt.code != Code.OK:
            if building and (enough := self._enough_refused(body.sender)):
                self.overlay.put(key, account)
                raise InvalidTx(TxCode.REFUSED, f"refused with code {receipt.code}, as {enough} before it in one block")
            if tx.once:  # LC-TX-14
                self.overlay.put(key, Account(account.key, account.status, account.balance, account.frozen, sequences, charged))
            self.refused[body.sender] = self.refused.get(body.sender, 0) + 1
        self.used[body.sender] = self.used.get(body.sender, 0) + 1
        return receipt

    def _enough_refused(self, sender: bytes) -> str:
        """LC-NODE-60: why no other one of this sender that is refused goes into the block; empty where one may."""
        if self.refused.get(sender, 0) >= MAX_REFUSED:
            return str(MAX_REFUSED)
        return f"{MAX_ALL_REFUSED} of all accounts" if sum(self.refused.values()) >= MAX_ALL_REFUSED else ""

    def _run_messages(self, tx: ParsedTx, audited: bool) -> Receipt:
        """LC-TX-6, LC-BLK-25"""
        host = self.host
        host.tx_id, host.events = tx.id, []
        self.overlay.begin()
        try:
            for index, op in enumerate(tx.ops):
                host.op_index = index
                self.work += MESSAGES[type(op)][1].weigh(op)
                if self.work > self.params.block_work:
                    raise InvalidBlock(f"the block is more work than {self.params.block_work}")
                perform(host, tx.body.sender, op)
            if audited:
                self.overlay.audit()
                audit_events(host.events)
        except Reject as e:
            self.overlay.drop()
            return Receipt(tx.id, e.code, [])
        except SupplyBroken as e:
            self.overlay.drop()
            raise BrokenInvariant(str(e)) from e
        except (BrokenInvariant, InvalidBlock, *OWN_FAULTS):
            self.overlay.drop()
            raise
        except Exception as e:
            # A handler's bug: one transaction must not be able to stop every proposer.
            self.overlay.drop()
            raise BrokenInvariant(f"the handler of a message failed: {type(e).__name__} {e}") from e
        self.overlay.keep()
        return Receipt(tx.id, Code.OK, host.events)

    def finish(self) -> None:
        if self.rewarded:
            supply: Any = self.overlay.get(K_SUPPLY)
            reward = min(self.params.block_reward, MAX_INT - supply.minted)
            self.system.mint(self.block.proposer, reward, "block reward", b"")
        following: Any = self.overlay.get(K_NEXT_VALIDATORS)
        if following is not None:
            self.overlay.put(K_VALIDATORS, following)
            self.overlay.delete(K_NEXT_VALIDATORS)
        apply_pending(self.overlay, BY_NUMBER, self.clock)
        self._begin_version()

    def _begin_version(self) -> None:
        """LC-BLK-36: a version that was decided for the next block is the one from there on."""
        record: Any = self.overlay.get(K_PROTOCOL)
        if record is not None and record.following and record.following[0].height == self.block.height + 1:
            self.overlay.put(K_PROTOCOL, Protocol(record.following[0].version, []))


def check_supply(overlay: Overlay) -> None:
    """LC-BLK-15: credits appear and vanish only by the counted mints and burns. Raises `BrokenInvariant`."""
    held, counted = overlay.block_difference()
    if held != counted:
        raise BrokenInvariant(f"accounts and escrows changed by {held}, mints and burns by {counted}")


def apply_block(state: State, block: BlockInput, *, building: bool = False, more: More | None = None) -> Executed:
    """Try out a block (LC-BLK-11, 13).

    Raises `InvalidBlock` where it breaks a rule and `BrokenInvariant` where our own rules do, whatever a message or a deadline did.
    With `building`, transactions that cannot stand in the block, or that break an invariant, are left out and listed in `skipped`;
    those that could be more work than is left are left out without a word. `more` may then add to the block what has room once the
    first ones were executed. `OWN_FAULTS` pass through: no node may vote after one.
    """
    try:
        return _apply(state, block, building, more)
    except (InvalidBlock, BrokenInvariant, *OWN_FAULTS):
        raise
    except Exception as e:
        raise BrokenInvariant(f"executing a block failed: {type(e).__name__} {e}") from e


def _apply(state: State, block: BlockInput, building: bool, more: More | None) -> Executed:
    work = _BlockExecution(state, block)
    work.begin()
    work.run_deadlines()
    receipts, included, skipped = _build(work, block.txs, more) if building else (_run_all(work, block.txs), block.txs, [])
    work.finish()
    work.let_next_height_in()
    check_supply(work.overlay)
    receipts.insert(0, Receipt(ZERO_HASH, Code.OK, work.system.events))
    changes, encoded, tree = work.overlay.finish()
    following: Any = work.overlay.get(K_VALIDATORS)
    raw = [encode(r) for r in receipts]
    return Executed(
        txs=included,
        receipts=receipts,
        receipt_bytes=raw,
        receipt_root=list_root(raw),
        changes=changes,
        encoded=encoded,
        tree=tree,
        state_root=tree.root,
        next_validators=following.members,
        skipped=skipped,
        archived=state.archived_by(encoded),
        faults=work.system.faults,
    )


def _run_all(work: _BlockExecution, txs: list[ParsedTx]) -> list[Receipt]:
    receipts = []
    for tx in txs:
        try:
            receipts.append(work.run_tx(tx))
        except InvalidTx as e:
            raise InvalidBlock(f"transaction {tx.id.hex()}: {e.text}") from e
    return receipts


def _build(
    work: _BlockExecution, txs: list[ParsedTx], more: More | None
) -> tuple[list[Receipt], list[ParsedTx], list[tuple[ParsedTx, InvalidTx]]]:
    receipts: list[Receipt] = []
    included: list[ParsedTx] = []
    skipped: list[tuple[ParsedTx, InvalidTx]] = []
    batch = txs
    while batch:
        took: list[int] = []
        for tx in batch:
            before = work.work
            if before + tx.work <= work.params.block_work:
                try:
                    receipts.append(work.run_tx(tx, building=True))
                    included.append(tx)
                except InvalidTx as e:
                    skipped.append((tx, e))
                except BrokenInvariant as e:
                    skipped.append((tx, InvalidTx(TxCode.QUARANTINED, f"breaks an invariant: {e}")))
            took.append(work.work - before)
            work.work = before + (took[-1] if included and included[-1] is tx else 0)
        batch = more(took) if more is not None else []
    return receipts, included, skipped


def commit(state: State, executed: Executed) -> None:
    """The block was decided: make it the state."""
    state.commit(executed.changes, executed.tree)
