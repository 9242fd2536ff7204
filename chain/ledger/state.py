"""The state: records under keys, their Merkle tree, and overlays that try out a block.

The keys and records are those of LC-MRK-7.

`State` is what the last decided block left. `Overlay` is one block on top of it: the transition writes there, and either its
changes are committed (`State.commit`) or the overlay is dropped. What a transaction changes in it can be taken back.

Records lie encoded in the buckets of the tree (`chain.buckets`). A bucket is asked of the `BucketSource`, where there is one, when
it is first needed, and has to have the hash that the tree says; a record is decoded when it is first read. Of both, what was used
lately is kept, within bounds. Without a source everything is in memory.

Iteration is in byte order of keys, for the few prefixes that are indexed.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from itertools import islice
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

from learningchain.chain.buckets import (
    BUCKETS,
    Bucket,
    Tree,
    build,
    find,
    no_nodes,
    number_of,
    numbers,
    prove,
    records,
    root_of,
    subroot_of,
    update_one,
    update_top,
)
from learningchain.chain.buckets import Change as BucketChange
from learningchain.chain.codec import decode, encode
from learningchain.chain.contracts import ARCHIVED, BY_NUMBER, STATE_PREFIXES
from learningchain.chain.crypto import short_sha256
from learningchain.chain.errors import BrokenInvariant, Malformed, StateDamaged, SupplyBroken
from learningchain.chain.host import K_CHAIN, Account, Escrow, IndexLayers, StateIndex, Supply, split_due
from learningchain.chain.host.store import MAX_INDEXED
from learningchain.chain.ledger.due import DeadlineBudget, DeadlineQueue
from learningchain.chain.ledger.listings import (
    CHOSEN,
    LISTINGS,
    MAX_RECORD,
    SCANNED,
    is_shown,
    listing_of,
    listings,
    prefix_of,
    type_of,
)
from learningchain.chain.merkle import StateProof

KEPT_RECORDS = 32_768
"""Decoded records that are kept for sure; at most twice as many are, and those of two blocks."""
KEPT_BUCKETS = 256 * 1024 * 1024
"""Bytes of buckets that are kept for sure; at most twice as many are, and those of two blocks."""

MAX_FED = 200_000
"""Changed keys that a feed holds until they are taken."""
FEW = 16
"""Keys that are put into a listing one by one."""

X = TypeVar("X", bound=StateIndex)
Change = tuple[bytes, Any | None]
"""(key, record or None where it was removed)"""
_MISSING: Any = object()


class BucketSource(Protocol):
    """Where the buckets lie that are not in memory."""

    def bucket(self, number: int) -> Bucket:
        """As the last commit left it. Raises `StateDamaged`."""
        ...

    def put(self, height: int, buckets: dict[int, Bucket]) -> None:
        """The buckets that the block at `height` changed: it is decided, and will be stored."""
        ...


COUNTED = tuple(prefix for kind in (Account, Escrow, Supply) for prefix in STATE_PREFIXES[kind])
"""Where records lie that hold credits or count them."""


def holding(record: Any) -> int:
    """The credits that a record holds: what the supply check adds up."""
    kind = type(record)
    if kind is Account:
        return record.balance + record.frozen  # type: ignore[no-any-return]
    return record.amount if kind is Escrow else 0


def _counted(record: Any) -> int:
    return record.minted - record.burned if type(record) is Supply else 0


class _Kept:
    """What was used lately: two generations, so that nothing has to be counted or moved when something is used."""

    def __init__(self) -> None:
        self.young: dict[Any, Any] = {}
        self.old: dict[Any, Any] = {}

    def turn(self) -> None:
        self.young, self.old = {}, self.young


class Feed:
    """Keys that commits changed, each once and in the order of their first change, for somebody who keeps an index of the state.

    It is bounded: with more than `MAX_FED` keys that nobody took it is `lost`, and its reader looks through the listings again.
    """

    def __init__(self, prefixes: tuple[bytes, ...]) -> None:
        self._prefixes = prefixes
        self._keys: dict[bytes, None] = {}
        self.lost = False

    def __len__(self) -> int:
        return len(self._keys)

    def note(self, changes: list[Change]) -> None:
        if self.lost:
            return
        prefixes, keys = self._prefixes, self._keys
        for key, _ in changes:
            if key.startswith(prefixes):
                keys[key] = None
        if len(keys) > MAX_FED:
            self.lost, self._keys = True, {}

    def take(self, most: int) -> list[bytes]:
        """The first of them, which are not told again until they change again."""
        taken = list(islice(self._keys, most))
        for key in taken:
            del self._keys[key]
        return taken

    def restart(self) -> None:
        """From the present state on."""
        self.lost, self._keys = False, {}


class State:
    """The committed state. Only `commit` changes it."""

    def __init__(self, source: BucketSource | None = None) -> None:
        self._source = source
        self._records, self._buckets = _Kept(), _Kept()
        self._bucket_bytes = 0
        self._sorted: dict[bytes, list[bytes]] = {name: [] for name in LISTINGS}
        self._deadlines = DeadlineQueue([])
        self._nodes = no_nodes()
        self._own = bytearray(b"\x01") * BUCKETS
        """Which buckets were made here, from nothing: what is read from the source has to prove itself whenever it is looked at."""
        self.tree = _unchanged(self._nodes)
        self._feeds: WeakSet[Feed] = WeakSet()
        self._indexes: dict[type[Any], Any] = {}

    def follow(self, prefixes: tuple[bytes, ...]) -> Feed:
        """What commits change under these prefixes from now on, for as long as the caller keeps the feed."""
        feed = Feed(prefixes)
        self._feeds.add(feed)
        return feed

    @classmethod
    def load(cls, items: Iterable[tuple[bytes, bytes]]) -> State:
        """From stored (key, encoded record) pairs, all in memory. Raises `Malformed` on a damaged record."""
        state = cls()
        by_bucket: dict[int, list[tuple[bytes, bytes, bytes]]] = {}
        for key, raw in items:
            record = decode(type_of(key), raw, MAX_RECORD)
            path = short_sha256(key).digest()
            by_bucket.setdefault(number_of(path), []).append((path, key, raw))
            for listing, stands in listings(key, record):
                if stands:
                    state._sorted[listing].append(key)
        for keys in state._sorted.values():
            keys.sort()
        state._deadlines = DeadlineQueue(state._sorted[b"d/"])
        buckets = {number: build(sorted(found)) for number, found in by_bucket.items()}
        state._buckets.young = buckets
        state._set_nodes(update_top(state._nodes, {number: subroot_of(bucket) for number, bucket in buckets.items()}))
        return state

    @classmethod
    def open(cls, source: BucketSource, subroots: Mapping[int, bytes], keys: dict[bytes, list[bytes]]) -> State:
        """Over a source, with nothing read yet. `subroots` are those of the buckets, by number; `keys` those of each listing,
        sorted."""
        state = cls(source)
        state._sorted |= keys
        state._deadlines = DeadlineQueue(state._sorted[b"d/"])
        state._set_nodes(update_top(state._nodes, subroots))
        return state

    def _set_nodes(self, changed: Mapping[int, bytes]) -> None:
        for at, node in changed.items():
            self._nodes[at] = node
        self.tree = _unchanged(self._nodes)

    @property
    def root(self) -> bytes:
        return self.tree.root

    def get(self, key: bytes) -> Any | None:
        record = self._records.young.get(key, _MISSING)
        return self._read(key) if record is _MISSING else record

    def _read(self, key: bytes) -> Any | None:
        record = self._records.old.get(key, _MISSING)
        if record is _MISSING:
            raw = self.raw(key)
            try:
                record = None if raw is None else decode(type_of(key), raw, MAX_RECORD)
            except Malformed as e:
                raise StateDamaged(f"the record under the state key {key.hex()} cannot be read: {e}") from e
        self._remember(key, record)
        return record

    def _remember(self, key: bytes, record: Any | None) -> None:
        self._room_for_records()
        self._records.young[key] = record

    def _room_for_records(self) -> None:
        if len(self._records.young) >= KEPT_RECORDS:
            self._records.turn()

    def raw(self, key: bytes) -> bytes | None:
        """The encoded record under a key."""
        path = short_sha256(key).digest()
        number = number_of(path)
        return self._find(number, self.bucket(number), path, key)

    def _find(self, number: int, bucket: Bucket, path: bytes, key: bytes) -> bytes | None:
        if not bucket:
            return None
        try:
            return find(bucket, path, key, proven=bool(self._own[number]))
        except (Malformed, IndexError) as e:
            raise StateDamaged(str(e)) from e

    def bucket(self, number: int) -> Bucket:
        """A bucket of the tree, empty where there is none. Raises `StateDamaged`."""
        bucket: Bucket | None = self._buckets.young.get(number)
        if bucket is not None:
            return bucket
        if self._source is None:
            return b""
        subroot = self._nodes[BUCKETS + number]
        if not subroot:
            return b""
        bucket = self._buckets.old.get(number)
        if bucket is None:
            bucket = self._source.bucket(number)
            self._own[number] = 0
            if subroot_of(bucket) != subroot:
                raise StateDamaged(f"bucket {number} of the state does not have the hash that the tree says")
        self._room_for_buckets(len(bucket))
        self._buckets.young[number] = bucket
        return bucket

    def _room_for_buckets(self, size: int) -> None:
        if self._bucket_bytes >= KEPT_BUCKETS:
            self._buckets.turn()
            self._bucket_bytes = 0
        self._bucket_bytes += size

    def keys(self, prefix: bytes) -> list[bytes]:
        """Sorted keys of an indexed prefix; not to be changed by the caller."""
        return self._sorted[prefix]

    def listing(self, prefix: bytes) -> list[bytes]:
        """Those of them that a scan shows."""
        return self._sorted[listing_of(prefix)]

    def scan(self, prefix: bytes, limit: int) -> Iterator[tuple[bytes, Any]]:
        keys = self.listing(prefix_of(prefix))
        for i in range(bisect_left(keys, prefix), len(keys)):
            if limit <= 0 or not keys[i].startswith(prefix):
                return
            yield keys[i], self.get(keys[i])
            limit -= 1

    def earliest_due(self) -> int | None:
        """Chain clock of the next deadline, or None."""
        return self._deadlines.earliest()

    def waits_for_height(self) -> bool:
        """LC-BLK-33: whether a deadline waits for a height, so that the next block is due whatever the time."""
        return bool(self._sorted[b"dh/"])

    def due(self, clock: int, budget: DeadlineBudget) -> list[bytes]:
        """LC-BLK-14: the keys of the deadlines that run in the next block, in their order."""
        return self._deadlines.choose(self._sorted[b"d/"], clock, budget, self._due_work)

    def _due_work(self, key: bytes) -> int:
        """LC-BLK-31"""
        _, _, number, ref = split_due(key)
        weigh = BY_NUMBER[number].due_work if number in BY_NUMBER else None
        return 1 if weigh is None else 1 + weigh(self, ref)

    def flagged(self) -> int:
        """LC-BLK-31: accounts with the flag of verifiers; as many keys as are listed, and none is looked at."""
        return sum(len(self.listing(contract.flags)) for contract in BY_NUMBER.values() if contract.flags is not None)

    def make_indexes(self) -> None:
        """Those of every contract, before a block needs them: they look at all that is listed."""
        for contract in BY_NUMBER.values():
            for kind in contract.indexes:
                self.index(kind)

    def index(self, kind: type[X]) -> IndexLayers[X]:
        """Made when it is first asked for, and changed by every commit from then on."""
        base = self._indexes.get(kind)
        if base is None:
            base = self._indexes[kind] = kind()
            for key, record in self.scan(kind.prefix, MAX_INDEXED):
                base.put(key, record)
        return IndexLayers(base, kind(), kind(), ())

    def prove(self, key: bytes) -> tuple[bytes | None, StateProof]:
        """(encoded record or None, proof under `root`)."""
        return self.raw(key), prove(self._nodes, short_sha256(key).digest(), key, self.bucket)

    def commit(self, changes: list[Change], tree: Tree) -> None:
        moved: dict[bytes, dict[bytes, bool]] = {}
        for key, record in changes:
            if key.startswith(SCANNED):
                for listing, stands in listings(key, record):
                    moved.setdefault(listing, {})[key] = stands
        self._room_for_records()
        self._records.young.update(changes)
        for listing, keys in moved.items():
            _reindex(self._sorted[listing], keys)
        if b"d/" in moved:
            self._deadlines.changed(self._sorted[b"d/"], moved[b"d/"])
        if self._source is not None:
            self._room_for_buckets(sum(map(len, tree.buckets.values())))
        self._buckets.young.update(tree.buckets)
        if self._source is not None:
            self._source.put(self.get(K_CHAIN).height, dict(tree.buckets))  # type: ignore[union-attr]
        self._set_nodes(tree.nodes)
        for feed in self._feeds:
            feed.note(changes)
        for kind, index in self._indexes.items():
            for key, record in changes:
                if key.startswith(kind.prefix):
                    index.put(key, record)

    def changed(self, by_bucket: Mapping[int, list[BucketChange]]) -> tuple[Tree, set[bytes]]:
        """What the tree becomes with these changes, and the keys of those that change nothing."""
        buckets: dict[int, Bucket] = {}
        same: set[bytes] = set()
        for number, found in by_bucket.items():
            bucket = self.bucket(number)
            made = bucket
            # One after another: most buckets have one change, and nearly all others two.
            for change in found:
                before = made
                try:
                    made = update_one(before, change)
                except (Malformed, IndexError) as e:
                    raise StateDamaged(str(e)) from e
                if made is before:
                    same.add(change[1])
            if made is not bucket:
                buckets[number] = made
        if not buckets:
            return self.tree, same
        nodes = update_top(self._nodes, {number: subroot_of(bucket) for number, bucket in buckets.items()})
        return Tree(root_of(nodes[1]), nodes, buckets), same

    def archived_by(self, encoded: Iterable[tuple[bytes, bytes | None]]) -> list[tuple[bytes, bytes]]:
        """Of the records that these changes remove, those that nodes archive, as they stand (`Contract.archive`)."""
        gone = [key for key, raw in encoded if raw is None and key.startswith(ARCHIVED)]
        return [(key, raw) for key in gone if (raw := self.raw(key)) is not None]

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every (key, encoded record), bucket by bucket."""
        for number in numbers(self._nodes):
            try:
                yield from records(self.bucket(number))
            except Malformed as e:
                raise StateDamaged(str(e)) from e

    def records(self, prefix: bytes) -> Iterator[tuple[bytes, Any]]:
        """Every key and record of a prefix, in no order that may be relied on. Looks through the whole state."""
        for key, raw in self.items():
            if key.startswith(prefix):
                yield key, decode(type_of(key), raw, MAX_RECORD)

    def total(self) -> int:
        """All credits that exist, counted from scratch."""
        return sum(self.held())

    def held(self) -> tuple[int, int]:
        """What accounts and what escrows hold, counted from scratch."""
        accounts = escrows = 0
        for key, raw in self.items():
            if key.startswith(b"a/"):
                accounts += holding(decode(Account, raw, MAX_RECORD))
            elif key.startswith(b"e/"):
                escrows += holding(decode(Escrow, raw, MAX_RECORD))
        return accounts, escrows


def _check_record(key: bytes, record: Any) -> None:
    """Nobody who took over a record that its type does not allow could read it again."""
    try:
        decode(type(record), encode(record), MAX_RECORD)
    except (Malformed, TypeError, ValueError, OverflowError) as e:
        raise BrokenInvariant(f"the record under the state key {key.hex()} is none of its type: {e}") from None


def _unchanged(nodes: list[bytes]) -> Tree:
    return Tree(root_of(nodes[1]), {}, {})


def _reindex(listing: list[bytes], keys: Mapping[bytes, bool]) -> None:
    """Whether each of the keys stands in the sorted listing from now on."""
    for key in [key for key, present in keys.items() if not present]:
        at = bisect_left(listing, key)
        if at < len(listing) and listing[at] == key:
            del listing[at]
    added = [key for key, present in keys.items() if present and not _holds(listing, key)]
    if len(added) <= FEW:
        for key in added:
            insort(listing, key)
    else:
        # Two sorted runs: to sort them is to merge them, while each insertion moves half of a long listing.
        listing += sorted(added)
        listing.sort()


def _holds(listing: list[bytes], key: bytes) -> bool:
    at = bisect_left(listing, key)
    return at < len(listing) and listing[at] == key


class Overlay:
    """One block's changes over a state; `begin`, then `keep` or `drop`, bracket a transaction. One may lie inside another."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._block: dict[bytes, Any | None] = {}
        self._before: dict[bytes, Any | None] | None = None
        """What the block held under the keys that the open transaction wrote, `_MISSING` where it held nothing."""
        self._outer: list[dict[bytes, Any | None]] = []
        """The same of the transactions around it."""
        self._indexes: dict[type[Any], tuple[IndexLayers[Any], set[bytes], set[bytes]]] = {}
        """By kind: the layers, the keys that they know of, and those that were written since."""
        self._indexed: tuple[bytes, ...] = ()
        """Their prefixes."""

    def begin(self) -> None:
        if self._before is not None:
            self._outer.append(self._before)
        self._before = {}

    def keep(self) -> None:
        inner = self._before or {}
        self._before = self._outer.pop() if self._outer else None
        if self._before is not None:
            self._before = inner | self._before

    def drop(self) -> None:
        for key, record in (self._before or {}).items():
            if record is _MISSING:
                del self._block[key]
            else:
                self._block[key] = record
            if key.startswith(self._indexed):
                self._note(key)
        self._before = self._outer.pop() if self._outer else None

    def audit(self) -> None:
        """What the open transaction wrote can stand: every record reads back as what it is, and credits balance.

        Raises `BrokenInvariant`, `SupplyBroken`.
        """
        for key in sorted(self._before or {}):
            record = self._block[key]
            if record is not None:
                _check_record(key, record)
        held, counted = self.tx_difference()
        if held != counted:
            raise SupplyBroken(f"accounts and escrows would change by {held}, mints and burns by {counted}")

    def get(self, key: bytes) -> Any | None:
        record = self._block.get(key, _MISSING)
        return self._state.get(key) if record is _MISSING else record

    def put(self, key: bytes, record: Any) -> None:
        if not key.startswith(STATE_PREFIXES[type(record)]):
            raise BrokenInvariant(f"state key {key!r} cannot hold a {type(record).__name__}")
        if key.startswith(CHOSEN):
            # Where the contract's own word on it fails, its handler does, and not the block that is committed.
            is_shown(key, record)
        before = self._before
        if before is not None and key not in before:
            before[key] = self._block.get(key, _MISSING)
        self._block[key] = record
        if key.startswith(self._indexed):
            self._note(key)

    def delete(self, key: bytes) -> None:
        before = self._before
        if before is not None and key not in before:
            before[key] = self._block.get(key, _MISSING)
        self._block[key] = None
        if key.startswith(self._indexed):
            self._note(key)

    def _note(self, key: bytes) -> None:
        for kind, (_, _, written) in self._indexes.items():
            if key.startswith(kind.prefix):
                written.add(key)

    def index(self, kind: type[X]) -> IndexLayers[X]:
        """What was written since it was last asked for is looked at now: so whoever asks pays for the changes alone."""
        if kind not in self._indexes:
            touched: set[bytes] = set()
            written = {key for key in self._block if key.startswith(kind.prefix)}
            self._indexes[kind] = IndexLayers(self._state.index(kind).base, kind(), kind(), touched), touched, written
            self._indexed = (*self._indexed, kind.prefix)
        layers, touched, written = self._indexes[kind]
        for key in written:
            if key not in touched:
                touched.add(key)
                layers.gone.put(key, self._state.get(key))
            layers.new.put(key, self.get(key))
        written.clear()
        return layers

    def scan(self, prefix: bytes, limit: int) -> Iterator[tuple[bytes, Any]]:
        """A snapshot in byte order: what is written while iterating is not seen. Raises `BrokenInvariant` where none is listed."""
        return self._scan(prefix, limit, self._state.listing(prefix_of(prefix)))

    def _scan(self, prefix: bytes, limit: int, committed: list[bytes]) -> Iterator[tuple[bytes, Any]]:
        touched = {k: record for k, record in self._block.items() if k.startswith(prefix)}
        added = sorted(k for k in touched if not is_shown(k, self._state.get(k)))
        start, end = bisect_left(committed, prefix), bisect_left(committed, prefix + b"\xff" * 80)
        found = 0
        for key in merge(committed[start:end] if limit > end - start else self._lazy(committed, start, end), added):
            if found >= limit:
                return
            record = touched[key] if key in touched else self._state.get(key)
            if is_shown(key, record):
                found += 1
                yield key, record

    @staticmethod
    def _lazy(keys: list[bytes], start: int, end: int) -> Iterator[bytes]:
        return (keys[i] for i in range(start, end))

    def finish(self) -> tuple[list[Change], list[tuple[bytes, bytes | None]], Tree]:
        """(changes, their encoded form, the new tree), all sorted by key; what did not change is left out."""
        encoded: list[tuple[bytes, bytes | None]] = []
        by_bucket: dict[int, list[BucketChange]] = {}
        for key in sorted(self._block):
            record = self._block[key]
            raw = None if record is None else encode(record)
            encoded.append((key, raw))
            path = short_sha256(key).digest()
            by_bucket.setdefault(number_of(path), []).append((path, key, raw))
        tree, same = self._state.changed(by_bucket)
        if same:
            encoded = [one for one in encoded if one[0] not in same]
        return [(key, self._block[key]) for key, _ in encoded], encoded, tree

    def block_difference(self) -> tuple[int, int]:
        """How much more credits the records hold than before this block, and how much more the supply record counts."""
        before = self._state.get
        return _difference((before(key), record) for key, record in self._block.items() if key.startswith(COUNTED))

    def tx_difference(self) -> tuple[int, int]:
        """The same for the open transaction alone."""
        before, block = self._state.get, self._block
        changed = ((key, old) for key, old in (self._before or {}).items() if key.startswith(COUNTED))
        return _difference((before(key) if old is _MISSING else old, block[key]) for key, old in changed)


def _difference(changes: Iterable[tuple[Any | None, Any | None]]) -> tuple[int, int]:
    """Of pairs of a record before and after."""
    held = counted = 0
    for before, after in changes:
        held += holding(after) - holding(before)
        counted += _counted(after) - _counted(before)
    return held, counted
