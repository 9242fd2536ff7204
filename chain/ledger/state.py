"""The state: records under keys, their Merkle tree, and overlays that try out a block.

The keys and records are those of LC-MRK-7.

`State` is what the last decided block left. `Overlay` is one block on top of it: the transition writes there, and either its
changes are committed (`State.commit`) or the overlay is dropped. Inside an overlay one more level can be opened for a transaction.

Iteration is in byte order of keys, for the few prefixes that are indexed.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from typing import Any

from chain.codec import decode, encode
from chain.contracts import STATE_PREFIXES, STATE_TYPES, state_type
from chain.contracts.base import Account, Escrow, Supply
from chain.crypto import sha256
from chain.errors import BrokenInvariant, Malformed
from chain.merkle import Node, StateProof, prove_key, root_of, update

SCANNED = (b"d/", b"m/", b"j/")
MAX_RECORD = 1_000_000

Change = tuple[bytes, Any | None]
"""(key, record or None where it was removed)"""


def _prefix(key: bytes) -> bytes:
    """Empty for what is no key."""
    return key[: key.find(b"/") + 1]


def holding(record: Any) -> int:
    """The credits that a record holds: what the supply check adds up."""
    if isinstance(record, Account):
        return record.balance + record.frozen
    if isinstance(record, Escrow):
        return record.amount
    return 0


def _counted(record: Any) -> int:
    return record.minted - record.burned if isinstance(record, Supply) else 0


class State:
    """The committed state. Only `commit` changes it."""

    def __init__(self) -> None:
        self._records: dict[bytes, Any] = {}
        self._sorted: dict[bytes, list[bytes]] = {prefix: [] for prefix in SCANNED}
        self.tree: Node = None

    @classmethod
    def load(cls, items: Iterable[tuple[bytes, bytes]]) -> State:
        """From stored (key, encoded record) pairs. Raises `Malformed` on a damaged record."""
        state = cls()
        hashes = []
        for key, raw in items:
            if _prefix(key) not in STATE_TYPES:
                raise Malformed(f"no record is kept under the state key {key.hex()}")
            state._records[key] = decode(state_type(key), raw, MAX_RECORD)
            hashes.append((sha256(key), sha256(raw)))
        for key in sorted(state._records):
            if (prefix := _prefix(key)) in state._sorted:
                state._sorted[prefix].append(key)
        state.tree = update(None, sorted(hashes))
        return state

    @property
    def root(self) -> bytes:
        return root_of(self.tree)

    def get(self, key: bytes) -> Any | None:
        return self._records.get(key)

    def keys(self, prefix: bytes) -> list[bytes]:
        """Sorted keys of an indexed prefix; not to be changed by the caller."""
        return self._sorted[prefix]

    def scan(self, prefix: bytes, limit: int) -> Iterator[tuple[bytes, Any]]:
        keys = self._sorted[_prefix(prefix)]
        for i in range(bisect_left(keys, prefix), len(keys)):
            if limit <= 0 or not keys[i].startswith(prefix):
                return
            yield keys[i], self._records[keys[i]]
            limit -= 1

    def prove(self, key: bytes) -> tuple[bytes | None, StateProof]:
        """(encoded record or None, proof under `root`)."""
        record = self._records.get(key)
        return (None if record is None else encode(record)), prove_key(self.tree, key)

    def commit(self, changes: Iterable[Change], tree: Node) -> None:
        for key, record in changes:
            keys = self._sorted.get(_prefix(key))
            if keys is not None:
                self._reindex(keys, key, record is not None)
            if record is None:
                self._records.pop(key, None)
            else:
                self._records[key] = record
        self.tree = tree

    def _reindex(self, keys: list[bytes], key: bytes, present: bool) -> None:
        was = key in self._records
        if present and not was:
            insort(keys, key)
        elif was and not present:
            del keys[bisect_left(keys, key)]

    def total(self) -> int:
        """All credits that exist, counted from scratch."""
        return sum(map(holding, self._records.values()))


class Overlay:
    """One block's changes over a state; `begin`, then `keep` or `drop`, bracket a transaction."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._block: dict[bytes, Any | None] = {}
        self._tx: dict[bytes, Any | None] | None = None

    def begin(self) -> None:
        self._tx = {}

    def keep(self) -> None:
        if self._tx:
            self._block.update(self._tx)
        self._tx = None

    def drop(self) -> None:
        self._tx = None

    def get(self, key: bytes) -> Any | None:
        if self._tx is not None and key in self._tx:
            return self._tx[key]
        if key in self._block:
            return self._block[key]
        return self._state.get(key)

    def put(self, key: bytes, record: Any) -> None:
        if not key.startswith(STATE_PREFIXES[type(record)]):
            raise BrokenInvariant(f"state key {key!r} cannot hold a {type(record).__name__}")
        (self._block if self._tx is None else self._tx)[key] = record

    def delete(self, key: bytes) -> None:
        (self._block if self._tx is None else self._tx)[key] = None

    def scan(self, prefix: bytes, limit: int) -> Iterator[tuple[bytes, Any]]:
        """A snapshot in byte order: what is written while iterating is not seen."""
        touched = self._block if self._tx is None else self._block | self._tx
        added = sorted(k for k in touched if k.startswith(prefix) and self._state.get(k) is None)
        committed = self._state.keys(_prefix(prefix))
        start, end = bisect_left(committed, prefix), bisect_left(committed, prefix + b"\xff" * 80)
        found = 0
        for key in merge(committed[start:end] if limit > end - start else self._lazy(committed, start, end), added):
            if found >= limit:
                return
            record = touched[key] if key in touched else self._state.get(key)
            if record is not None:
                found += 1
                yield key, record

    @staticmethod
    def _lazy(keys: list[bytes], start: int, end: int) -> Iterator[bytes]:
        return (keys[i] for i in range(start, end))

    def finish(self) -> tuple[list[Change], list[tuple[bytes, bytes | None]], Node]:
        """(changes, their encoded form, the new tree), all sorted by key; what did not change is left out."""
        changes, encoded, hashes = [], [], []
        for key in sorted(self._block):
            record = self._block[key]
            if record == self._state.get(key):
                continue
            raw = None if record is None else encode(record)
            changes.append((key, record))
            encoded.append((key, raw))
            hashes.append((sha256(key), None if raw is None else sha256(raw)))
        hashes.sort()
        return changes, encoded, update(self._state.tree, hashes)

    def held_difference(self) -> int:
        """How much more credits the records hold than before this block."""
        return self.block_difference()[0]

    def block_difference(self) -> tuple[int, int]:
        """How much more credits the records hold than before this block, and how much more the supply record counts."""
        return _difference(self._block, self._state.get)

    def tx_difference(self) -> tuple[int, int]:
        """The same for the open transaction alone."""
        return _difference(self._tx or {}, lambda key: self._block[key] if key in self._block else self._state.get(key))


def _difference(changes: dict[bytes, Any | None], before: Callable[[bytes], Any | None]) -> tuple[int, int]:
    held = counted = 0
    for key, record in changes.items():
        old = before(key)
        held += holding(record) - holding(old)
        counted += _counted(record) - _counted(old)
    return held, counted
