"""A block store in memory with the real one's promises: a commit is whole or not there, and commits survive in their order.

Like the real one it tells when what it holds is not what was put there: the state by its root, a block by its checksum.
"""

from __future__ import annotations

import random
from itertools import takewhile

from learningchain.chain.buckets import SUBROOT_BYTES, Bucket, numbers, records, whole
from learningchain.chain.codec import decode, encode
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import Malformed
from learningchain.chain.host import K_VALIDATORS, Validators
from learningchain.chain.ledger.snapshot import Offer, ValidatorSetChange, decode_subroots, encode_subroots, subbuckets
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.state_diff import changes_of
from learningchain.chain.node.checks import Made
from learningchain.chain.node.events import Commit
from learningchain.chain.node.messages import (
    MAX_VALIDATOR_CHANGES,
    Buckets,
    GetBuckets,
    GetSnapshot,
    GetValidatorChanges,
    Snapshot,
    SnapshotAnswer,
    SnapshotQuestion,
    ValidatorChanges,
    decode_certificate,
)
from learningchain.chain.storage.errors import StorageDamaged, StorageFailed
from learningchain.chain.types import block_id, decode_block

CUT = 100
"""Bytes from which on a bucket is cut: states here are small, and buckets of two records have to travel in subbuckets."""
Block = tuple[bytes, bytes, bytes]
"""Id, bytes, certificate."""


class Store:
    def __init__(self, genesis: list[tuple[bytes, bytes | None]], chain_id: bytes, genesis_root: bytes) -> None:
        self._items: dict[bytes, bytes] = {key: raw for key, raw in genesis if raw is not None}
        self._chain_id, self._genesis_root = chain_id, genesis_root
        self.blocks: dict[int, Block] = {}
        self.executed: dict[int, tuple[list[bytes], bytes]] = {}
        """Receipts and changes."""
        self.pending: list[Commit] = []
        """Handed to the writer, not on disk yet."""
        self._rotten: set[int] = set()
        """Heights whose block is not what was stored."""
        self.base: Offer | None = None
        """The snapshot that the history begins after."""
        self.dropped = 0
        """The last height whose block was dropped."""
        self.validator_changes: dict[int, ValidatorSetChange] = {}
        self.served: tuple[Offer, dict[int, bytes]] | None = None
        """The snapshot for peers: its buckets as they are sent. It goes with the process."""
        self.target: tuple[Offer, list[ValidatorSetChange]] | None = None
        self.staged: dict[int, bytes] = {}
        self.ready = False
        self.fault: StorageFailed | None = None
        """Why nothing can be written."""

    @property
    def height(self) -> int:
        """The last one on disk."""
        return len(self.blocks) + self.first_block - 1

    @property
    def first_block(self) -> int:
        """The first one that is kept."""
        return max(self.dropped, self.base.header.height if self.base else 0) + 1

    def drop(self, kept: int) -> None:
        """Of old blocks all but the last `kept`, as `chain.storage.pruning` does."""
        for height in range(self.first_block, self.height - kept + 1):
            del self.blocks[height], self.executed[height]
            self._rotten.discard(height)
            self.dropped = height

    def commit(self, commit: Commit) -> None:
        """Raises `StorageFailed`."""
        expected = self.height + len(self.pending) + 1
        if commit.height != expected:
            raise AssertionError(f"height {commit.height} was committed where {expected} follows")
        self.pending.append(commit)
        if commit.durable:
            self.settle(len(self.pending))

    def settle(self, count: int) -> None:
        """The writer finished its first `count` commits. Raises `StorageFailed`: then none of them."""
        if count and self.fault is not None:
            raise self.fault
        done, self.pending = self.pending[:count], self.pending[count:]
        for commit in done:
            self.blocks[commit.height] = (commit.block_id, commit.block, commit.certificate)
            self.executed[commit.height] = (commit.receipts, encode(changes_of(commit.state)))
            header = decode_block(commit.block).header
            if header.validators_hash != header.next_validators_hash:
                members = decode(Validators, dict(commit.state)[K_VALIDATORS] or b"", 65_536).members
                self.validator_changes[commit.height] = ValidatorSetChange(header, decode_certificate(commit.certificate), members)
            for key, raw in commit.state:
                if raw is None:
                    self._items.pop(key, None)
                else:
                    self._items[key] = raw

    def crash(self, rng: random.Random) -> None:
        """Some of what the writer had in hand was written, the rest is gone."""
        if self.fault is None:
            self.settle(rng.randint(0, len(self.pending)))
        self.pending.clear()
        self.fault = self.served = None

    def load(self) -> tuple[State, bytes]:
        """State and head of the last height on disk. Raises `StorageDamaged` where it is not what was decided."""
        head, root = self._chain_id, self._genesis_root
        if self.base:
            head, root = block_id(self.base.header), self.base.header.state_root
        if self.blocks:
            head, raw, _ = self._sound(self.height)
            root = decode_block(raw).header.state_root
        try:
            state = State.load(self._items.items())
        except (Malformed, KeyError, ValueError) as fault:
            raise StorageDamaged("The state cannot be read", str(fault), "") from None
        if state.root != root:
            raise StorageDamaged("The state is not the one that was decided", "its root is another", "")
        return state, head

    def read(self, start: int, count: int, size: int) -> list[tuple[bytes, bytes]]:
        """Raises `StorageDamaged`."""
        found: list[tuple[bytes, bytes]] = []
        if start < self.first_block:
            return []
        for height in range(max(1, start), min(start + count, self.height + 1)):
            _, block, certificate = self._sound(height)
            found.append((block, certificate))
            size -= len(block)
            if size <= 0:
                break
        return found

    def read_headers(self, height: int, count: int) -> list[tuple[int, bytes]]:
        """Downwards. Raises `StorageDamaged`."""
        heights = range(min(height, self.height), max(height - count, self.first_block - 1), -1)
        return [(at, encode(decode_block(self._sound(at)[1]).header)) for at in heights]

    def read_outcomes(self, start: int, count: int, size: int) -> list[tuple[bytes, bytes, list[bytes], bytes]]:
        """Raises `StorageDamaged`."""
        return [(*pair, *self.executed[height]) for height, pair in enumerate(self.read(start, count, size), max(1, start))]

    def _sound(self, height: int) -> Block:
        if height in self._rotten:
            raise StorageDamaged(f"Block {height} is damaged", "its checksum does not fit", "")
        return self.blocks[height]

    # --- snapshots --------------------------------------------------------------------------------------------------------------

    def answer(self, question: SnapshotQuestion) -> SnapshotAnswer:
        """As `client.node.snapshots` does it; one is made whenever the last one is a few heights old."""
        match question:
            case GetSnapshot():
                if self.served is None or self.served[0].header.height < self.height - 4:
                    self.served = self._freeze()
                return Snapshot(False, [self.served[0]] if self.served else [])
            case GetValidatorChanges(start):
                return ValidatorChanges(
                    [h for height, h in sorted(self.validator_changes.items()) if height >= start][:MAX_VALIDATOR_CHANGES]
                )
            case GetBuckets(height, wanted):
                if self.served is None or self.served[0].header.height != height:
                    return Buckets(height, [], [])
                some = list(takewhile(self.served[1].__contains__, wanted[: 1 + len(wanted) // 2]))
                return Buckets(height, some, [self.served[1][number] for number in some])

    def _freeze(self) -> tuple[Offer, dict[int, bytes]] | None:
        if not self.blocks or self.height in self._rotten:
            return None
        _, raw, certificate = self.blocks[self.height]
        header = decode_block(raw).header
        try:
            state = State.load(self._items.items())
        except (Malformed, KeyError, ValueError):
            return None
        if state.root != header.state_root:
            return None
        sent: dict[int, bytes] = {}
        heads: dict[int, bytes] = {}
        for number in numbers(state._nodes):
            for one, head, raw in _cut(number, state.bucket(number)):
                heads[one], sent[one] = head, raw
        return Offer(header, decode_certificate(certificate), encode_subroots(heads)), sent

    def stage(self, offer: Offer, followed: list[ValidatorSetChange]) -> list[int]:
        heads = decode_subroots(offer.subroots)
        self.target, self.ready = (offer, followed), False
        self.staged = {n: page for n, page in self.staged.items() if heads.get(n) == page[:SUBROOT_BYTES]}
        return sorted(self.staged)

    def put(self, made: list[Made]) -> None:
        self.staged |= {number: page for number, page, _ in made}

    def switch(self) -> bool:
        """At a start: what is staged and whole becomes the state."""
        if not self.ready or self.target is None:
            return False
        self.base, followed = self.target
        self.validator_changes |= {change.header.height: change for change in followed}
        self._items = {key: raw for page in self.staged.values() for key, raw in records(page)}
        self.blocks, self.executed, self._rotten, self.dropped = {}, {}, set(), 0
        self.target, self.staged, self.ready = None, {}, False
        return True

    # --- what should not happen ------------------------------------------------------------------------------------------------

    def flip(self, rng: random.Random) -> None:
        """One bit changes, in the state or in a block."""
        if self.blocks and rng.random() < 0.5:
            self._rotten.add(rng.randint(min(self.blocks), self.height))
            return
        key = rng.choice(sorted(self._items))
        raw = bytearray(self._items[key])
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        self._items[key] = bytes(raw)

    def copy(self) -> Store:
        """A backup: what is on disk."""
        new = Store([], self._chain_id, self._genesis_root)
        new._items, new.blocks, new._rotten = dict(self._items), dict(self.blocks), set(self._rotten)
        new.executed, new.base, new.validator_changes = dict(self.executed), self.base, dict(self.validator_changes)
        new.dropped = self.dropped
        return new


def _cut(number: int, page: Bucket) -> list[tuple[int, bytes, bytes]]:
    """Buckets of several records in subbuckets, and some of those with a single one as the subbucket that it is alone in.

    States here are small, and every cut that has the right root must do.
    """
    found = list(subbuckets(number, whole(page), CUT))
    ((key, _), *others) = records(page)
    depth = 16 + number % 4
    if others or depth == 16:
        return found
    path = int.from_bytes(sha256(key), "big")
    return [(1 << depth | path >> 256 - depth, *found[0][1:])]
