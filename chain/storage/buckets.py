"""The state's buckets in the database. Used by the block store; the ledger's state reads them through `chain.ledger.state.Source`.

A block of a thousand changes touches a thousand of the 65,536 buckets at random. To write all of them with every height would cost
ten times what the block does. So:

- Every height adds one row to the *journal*: the new subroots of the buckets that it touched. Its changes are kept beside the block
  (`chain.storage.state_diffs`), also of one that is dropped, as long as the journal has the height (`chain.storage.pruning`).
- The buckets are in 256 *groups* of neighbours. Each group is written in turn, once in at most `SPAN` changes, as it is after the
  height being stored: in the same database transaction, with its subroots and that height.
- A journal row that every group has passed is deleted.
- A bucket whose newest form is not written is held in memory.
- After a restart the changes of the heights in the journal are held for each bucket. They are put into it when it is first read.
- The subroots of all buckets, and the keys that scans show, are read at the start. The tree above the buckets then has the root
  that the last block's header names. Each bucket that is read has to fit its subroot.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import sqlalchemy as sa

from learningchain.chain.buckets import BUCKETS, Bucket, build, number_of, records, subroot_of, update, whole
from learningchain.chain.buckets import Change as BucketChange
from learningchain.chain.codec import encode
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import Malformed, StateDamaged
from learningchain.chain.ledger.listings import LISTINGS, SCANNED, record_key, stored
from learningchain.chain.storage import schema, server
from learningchain.chain.storage.errors import StorageDamaged
from learningchain.chain.storage.schema import TODO_DAMAGED, Bulk, add_checksum, at, bucket_place, check_checksum, db_errors

GROUPS = 256
EACH = BUCKETS // GROUPS
SPAN = 400_000
"""Changes in which every group has its turn."""
MIN_CHANGES = 100
"""What a height counts for at least: the journal of an idle graph has a few thousand rows."""

Changes = list[tuple[bytes, bytes | None]]
_Touched = tuple[list[int], list[bytes]]
"""The buckets that a height changed: their numbers, and their subroots (empty for an empty bucket)."""
_journal: msgspec.msgpack.Decoder[_Touched] = msgspec.msgpack.Decoder(_Touched)
_told = msgspec.msgpack.Decoder(tuple[list[tuple[bytes, bytes]], list[bytes]])
_group: msgspec.msgpack.Decoder[tuple[int, list[bytes]]] = msgspec.msgpack.Decoder(tuple[int, list[bytes]])


class StateBuckets:
    """`write`, then `done` or `undo`, belong to the thread that commits; `bucket` and `put` to the one that holds the state."""

    def __init__(self, engine: sa.Engine, where: str) -> None:
        self._engine, self._where = engine, where
        dialect = engine.dialect
        self._put_bucket = Bulk(dialect, schema.upsert(dialect, schema.pages, "number", "page"), ("number", "page"))
        self._put_group = Bulk(dialect, schema.upsert(dialect, schema.page_parts, "part", "heads"), ("part", "heads"))
        self._delete_bucket = Bulk(
            dialect, sa.delete(schema.pages).where(schema.pages.c.number == sa.bindparam("number")), ("number",)
        )
        self._add_key = Bulk(dialect, schema.add_key(dialect), ("key",))
        self._delete_key = Bulk(dialect, schema.delete_by(schema.scanned.c.key), ("key",))
        self._lock = threading.Lock()
        """Over what is in memory, for moments only."""
        self._put: dict[int, dict[int, Bucket]] = {}
        """Buckets of heights that are decided and not written, by height."""
        self._newest: dict[int, int] = {}
        """The last of those heights that has a bucket."""
        self._held: dict[int, Bucket] = {}
        """Buckets after the last height written, whose rows are older."""
        self._late: dict[int, list[Changes]] = {}
        """Changes of the journal, for buckets that were not needed since the start."""
        self._subroots: dict[int, bytes] = {}
        self._written = [-1] * GROUPS
        """The height of each group's last turn."""
        self._credit = 1.0
        """How many groups have a turn. One at the start: a node that often starts again gets round as well."""
        self._turns: list[tuple[int, int, list[tuple[int, Bucket]]]] = []
        """What the open transaction wrote: (group, height of its turn before, its buckets)."""
        self._reader: Any = None

    # --- opening and reading --------------------------------------------------------------------------------------------------

    def load(self, connection: sa.Connection) -> None:
        """Subroots and journal."""
        self._load_groups(connection)
        j, k = schema.journal.c, schema.changes.c
        query = sa.select(j.height, j.hits, k.changes).outerjoin(schema.changes, j.height == k.height).order_by(j.height)
        for height, touched, changes in connection.execute(query.execution_options(yield_per=64)):
            numbers, subroots = _journal.decode(self._check_checksum(height, "journal", touched))
            by_bucket = _by_bucket(_told.decode(self._check_checksum(height, "changes", changes or b"")))
            for number, subroot in zip(numbers, subroots, strict=True):
                self._add_late(height, number, subroot, by_bucket.get(number, []))

    def _load_groups(self, connection: sa.Connection) -> None:
        p = schema.page_parts.c
        for group, framed in connection.execute(sa.select(p.part, p.heads)):
            height, subroots = _group.decode(
                check_checksum(f"group {group} of the buckets of the state in {self._where}", at(group, "part"), bytes(framed))
            )
            self._written[group] = height
            self._subroots.update((group * EACH + i, subroot) for i, subroot in enumerate(subroots) if subroot)

    def _check_checksum(self, height: int, column: str, framed: bytes) -> bytes:
        return check_checksum(f"the state's changes of height {height} in {self._where}", at(height, column), bytes(framed))

    def _add_late(self, height: int, number: int, subroot: bytes, changes: Changes) -> None:
        """What a height did to a bucket, unless that is written."""
        if self._written[number // EACH] < height:
            self._late.setdefault(number, []).append(changes)
            self._set_subroot(number, subroot)

    def _set_subroot(self, number: int, subroot: bytes) -> None:
        if subroot:
            self._subroots[number] = subroot
        else:
            self._subroots.pop(number, None)

    def subroots(self) -> dict[int, bytes]:
        """Of all buckets that are not empty."""
        with self._lock:
            return dict(self._subroots)

    def keys(self, connection: sa.Connection) -> dict[bytes, list[bytes]]:
        """The keys of each listing of the state, sorted."""
        # A million rows: the driver's own way takes a quarter of the time.
        rows = connection.connection.cursor().execute("SELECT key FROM scanned").fetchall()
        keys = sorted([bytes(key) for (key,) in rows])
        found = {}
        for listing in LISTINGS:
            of_it = keys[bisect_left(keys, listing) : bisect_left(keys, listing[:-1] + b"0")]
            found[listing] = of_it if listing in SCANNED else [record_key(key) for key in of_it]
        return found

    def bucket(self, number: int) -> Bucket:
        """As the last `put` left it. Raises `StorageDamaged`, `StorageFailed`."""
        with self._lock:
            height = self._newest.get(number)
            if height is not None:
                return self._put[height][number]
            held, late = self._held.get(number), self._late.get(number, [])
        return held if held is not None else self._join(number, self._fetch(number), late)

    def _join(self, number: int, framed: bytes | None, late: list[Changes]) -> Bucket:
        bucket = (
            b""
            if framed is None
            else check_checksum(f"bucket {number} of the state in {self._where}", bucket_place(number), framed)
        )
        if not late:
            return bucket
        merged = {key: raw for changes in late for key, raw in changes}
        try:
            return update(bucket, sorted((sha256(key), key, raw) for key, raw in merged.items()))
        except (Malformed, IndexError) as e:
            raise StorageDamaged(f"Bucket {number} of the state in {self._where} is damaged", str(e), TODO_DAMAGED) from e

    def _fetch(self, number: int) -> bytes | None:
        """A bucket's row. The general way of reading takes ten times as long as SQLite does."""
        text = "SELECT page FROM pages WHERE number = "
        with db_errors("read the state", self._where):
            if self._engine.dialect.name == "sqlite":
                if self._reader is None:
                    self._reader = self._engine.raw_connection()
                rows = self._reader.cursor().execute(text + "?", (number,)).fetchall()
            else:
                if self._reader is None:
                    self._reader = server.reader(self._engine)
                rows = self._reader.exec_driver_sql(text + "%s", (number,)).fetchall()
        return bytes(rows[0][0]) if rows else None

    def put(self, height: int, buckets: dict[int, Bucket]) -> None:
        """What the block at `height` makes of its buckets: it is decided, and `write` will come."""
        with self._lock:
            self._put[height] = buckets
            self._newest.update(dict.fromkeys(buckets, height))

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # --- writing --------------------------------------------------------------------------------------------------------------

    def write(self, connection: sa.Connection, height: int, changes: Changes) -> None:
        """Within the height's transaction; `changes` are sorted, each key once."""
        buckets = self._take(connection, height, changes)
        if buckets:
            touched = add_checksum(
                at(height, "journal"), encode((list(buckets), [subroot_of(bucket) for bucket in buckets.values()]))
            )
            connection.execute(sa.insert(schema.journal), {"height": height, "hits": touched})
        self._write_keys(connection, changes)
        self._credit += max(MIN_CHANGES, len(changes)) * GROUPS / SPAN
        while self._credit >= 1:
            self._credit -= 1
            self.write_group(connection, height)

    def _take(self, connection: sa.Connection, height: int, changes: Changes) -> dict[int, Bucket]:
        """The height's buckets, as the state made them or, where none did, made here."""
        with self._lock:
            buckets = self._put.get(height)
        if buckets is None:
            by_bucket = _split(changes)
            buckets = {number: update(self._current(connection, number), found) for number, found in sorted(by_bucket.items())}
        with self._lock:
            self._put.pop(height, None)
            self._held.update(buckets)
            self._subroots.update((number, subroot_of(bucket)) for number, bucket in buckets.items())
            for number, bucket in buckets.items():
                if not bucket:
                    del self._subroots[number]
                if self._newest.get(number) == height:
                    del self._newest[number]
            if self._late:
                for number in buckets:
                    self._late.pop(number, None)
        return buckets

    def _current(self, connection: sa.Connection, number: int) -> Bucket:
        """A bucket after the last height written."""
        held = self._held.get(number)
        if held is not None:
            return held
        row = connection.execute(sa.select(schema.pages.c.page).where(schema.pages.c.number == number)).scalar()
        return self._join(number, None if row is None else bytes(row), self._late.get(number, []))

    def _write_keys(self, connection: sa.Connection, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        there: dict[bytes, bool] = {}
        for key, raw in changes:
            try:
                there.update(stored(key, raw))
            except Malformed as e:
                raise StateDamaged(f"the record under the state key {key.hex()} cannot be read: {e}") from e
        self._add_key.run(connection, [(key,) for key, present in there.items() if present])
        self._delete_key.run(connection, [(key,) for key, present in there.items() if not present])

    def write_group(self, connection: sa.Connection, height: int) -> None:
        """The group whose last turn is longest ago."""
        group = self._written.index(min(self._written))
        numbers = range(group * EACH, group * EACH + EACH)
        changed = [n for n in numbers if n in self._held or n in self._late]
        buckets = [(n, self._current(connection, n)) for n in changed]
        self._put_bucket.run(connection, [(n, add_checksum(bucket_place(n), whole(bucket))) for n, bucket in buckets if bucket])
        self._delete_bucket.run(connection, [(n,) for n, bucket in buckets if not bucket])
        subroots = encode((height, [self._subroots.get(n, b"") for n in numbers]))
        self._put_group.run(connection, [(group, add_checksum(at(group, "part"), subroots))])
        self._turns.append((group, self._written[group], buckets))
        self._written[group] = height
        connection.execute(sa.delete(schema.journal).where(schema.journal.c.height <= min(self._written)))

    def done(self) -> None:
        """The transaction is committed."""
        with self._lock:
            for number, bucket in (one for _, _, buckets in self._turns for one in buckets):
                # A later height of the same transaction may have made a newer one.
                if self._held.get(number) is bucket:
                    del self._held[number]
                self._late.pop(number, None)
        self._turns = []

    def undo(self) -> None:
        """It is not: what it wrote is to be written again."""
        for group, height, _ in reversed(self._turns):
            self._written[group] = height
        self._turns = []

    # --- the whole state ------------------------------------------------------------------------------------------------------

    def items(self, connection: sa.Connection) -> Iterator[tuple[bytes, bytes]]:
        """Every (key, record) after the last committed height, of one snapshot of the database. Every subroot is compared."""
        fresh = StateBuckets(self._engine, self._where)
        fresh.load(connection)
        rows = connection.execution_options(yield_per=256).execute(sa.select(schema.pages.c.number, schema.pages.c.page))
        seen = set()
        for number, framed in rows:
            seen.add(number)
            yield from fresh.checked(number, bytes(framed))
        for number in sorted((fresh._late.keys() | fresh._subroots.keys()) - seen):
            yield from fresh.checked(number, None)

    def whole(self, connection: sa.Connection) -> Iterator[tuple[int, bytes]]:
        """Every bucket that is not empty after the last committed height, ascending; of one snapshot of the database."""
        fresh = StateBuckets(self._engine, self._where)
        fresh.load(connection)
        p = schema.pages.c
        rows = connection.execution_options(yield_per=256).execute(sa.select(p.number, p.page).order_by(p.number))
        waiting = sorted(fresh._subroots, reverse=True)
        for number, framed in rows:
            while waiting and waiting[-1] < number:
                yield fresh._whole(waiting.pop(), None)
            if waiting and waiting[-1] == number:
                yield fresh._whole(waiting.pop(), bytes(framed))
        while waiting:
            yield fresh._whole(waiting.pop(), None)

    def _whole(self, number: int, framed: bytes | None) -> tuple[int, bytes]:
        bucket = whole(self._join(number, framed, self._late.get(number, [])))
        if subroot_of(bucket) != self._subroots[number]:
            why = "it does not have the hash that is stored with it"
            raise StorageDamaged(f"Bucket {number} of the state in {self._where} is damaged", why, TODO_DAMAGED)
        return number, bucket

    def replace(self, connection: sa.Connection, height: int, subroots: dict[int, bytes]) -> None:
        """What was staged becomes the buckets after `height`, with these subroots. These objects are of no use then."""
        schema.replace_table(connection, schema.pages, schema.staged_pages)
        schema.replace_table(connection, schema.scanned, schema.staged_keys)
        for group in range(GROUPS):
            row = encode((height, [subroots.get(number, b"") for number in range(group * EACH, group * EACH + EACH)]))
            self._put_group.run(connection, [(group, add_checksum(at(group, "part"), row))])

    def checked(self, number: int, framed: bytes | None) -> list[tuple[bytes, bytes]]:
        """The records of a bucket whose every hash is made again. Raises `StorageDamaged`."""
        bucket = whole(self._join(number, framed, self._late.get(number, [])))
        try:
            found = list(records(bucket))
            again = build(sorted((sha256(key), key, raw) for key, raw in found))
        except (Malformed, IndexError) as e:
            raise StorageDamaged(f"Bucket {number} of the state in {self._where} is damaged", str(e), TODO_DAMAGED) from e
        if again != bucket or subroot_of(bucket) != self._subroots.get(number, b""):
            why = "its records do not have the hashes that are stored with them"
            raise StorageDamaged(f"Bucket {number} of the state in {self._where} is damaged", why, TODO_DAMAGED)
        return found

    def fill(self, connection: sa.Connection, height: int, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Write a whole state into empty tables, as it is after `height`."""
        by_bucket = _split(items)
        for group in range(GROUPS):
            numbers = range(group * EACH, group * EACH + EACH)
            found = {number: build(by_bucket.pop(number)) for number in numbers if number in by_bucket}  # type: ignore[arg-type]
            self._put_bucket.run(
                connection, [(number, add_checksum(bucket_place(number), bucket)) for number, bucket in found.items()]
            )
            self._write_keys(connection, [record for bucket in found.values() for record in records(bucket)])
            subroots = encode((height, [subroot_of(found.get(number, b"")) for number in numbers]))
            self._put_group.run(connection, [(group, add_checksum(at(group, "part"), subroots))])


def _split(changes: Iterable[tuple[bytes, bytes | None]]) -> dict[int, list[BucketChange]]:
    """By bucket, each one's sorted by path."""
    found: dict[int, list[BucketChange]] = {}
    for key, raw in changes:
        path = sha256(key)
        found.setdefault(number_of(path), []).append((path, key, raw))
    for several in found.values():
        several.sort()
    return found


def _by_bucket(told: tuple[list[tuple[bytes, bytes]], list[bytes]]) -> dict[int, Changes]:
    found: dict[int, Changes] = {}
    put, gone = told
    for key, raw in (*put, *((key, None) for key in gone)):
        found.setdefault(number_of(sha256(key)), []).append((key, raw))
    return found
