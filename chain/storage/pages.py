"""The state's pages in the database. Used by the block store; the ledger's state reads them through `chain.ledger.state.Source`.

A block of a thousand changes hits a thousand of the 65,536 pages at random: to write all of them with every height would cost ten
times what the block does. So a height adds one row to the *journal*, with its changes and the new heads of the pages they hit, and
the pages themselves are written part by part: 256 parts of neighbouring pages take turns, so that every part has one within `SPAN`
changes. A part is written as it is after the height that is being stored, in the same database transaction, with its heads and
that height; journal rows that every part has passed are deleted.

What is needed of the pages in between: a page whose newest form is not written is held in memory; after a restart, the changes of
the journal are held for each page, and put into it when it is read for the first time. The heads of all pages, and the keys that
scans show, are read at the start: the tree above the pages then has the root that the last block's header names, and each page
that is read has to fit its head.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import sqlalchemy as sa

from chain.codec import decode, encode
from chain.contracts.membership import Member
from chain.crypto import sha256
from chain.errors import Malformed, StateDamaged
from chain.ledger.state import MAX_RECORD, SCANNED, VERIFIERS, listed
from chain.pages import PAGES, build, head_of, number_of, records, update
from chain.storage import schema
from chain.storage.errors import StorageDamaged
from chain.storage.schema import TODO_DAMAGED, Bulk, at, db_errors, seal, unseal

PARTS = 256
EACH = PAGES // PARTS
SPAN = 400_000
"""Changes in which every part has its turn."""
MIN_CHANGES = 100
"""What a height counts for at least: the journal of an idle graph has a few thousand rows."""

Changes = list[tuple[bytes, bytes | None]]
_Hit = tuple[int, bytes, Changes]
"""A page that a height changed: number, head (empty for an empty page), the changes."""
_journal: msgspec.msgpack.Decoder[list[_Hit]] = msgspec.msgpack.Decoder(list[_Hit])
_part: msgspec.msgpack.Decoder[tuple[int, list[bytes]]] = msgspec.msgpack.Decoder(tuple[int, list[bytes]])


def _place(number: int) -> bytes:
    return b"page" + number.to_bytes(4, "big")


class StatePages:
    """`write`, then `done` or `undo`, belong to the thread that commits; `page` and `put` to the one that holds the state."""

    def __init__(self, engine: sa.Engine, where: str) -> None:
        self._engine, self._where = engine, where
        dialect = engine.dialect
        self._put_page = Bulk(dialect, schema.upsert(dialect, schema.pages, "number", "page"), ("number", "page"))
        self._put_part = Bulk(dialect, schema.upsert(dialect, schema.page_parts, "part", "heads"), ("part", "heads"))
        self._delete_page = Bulk(
            dialect, sa.delete(schema.pages).where(schema.pages.c.number == sa.bindparam("number")), ("number",)
        )
        self._add_key = Bulk(dialect, schema.add_key(dialect), ("key",))
        self._delete_key = Bulk(dialect, schema.delete_by(schema.scanned.c.key), ("key",))
        self._lock = threading.Lock()
        """Over what is in memory, for moments only."""
        self._put: dict[int, dict[int, bytes]] = {}
        """Pages of heights that are decided and not written, by height."""
        self._newest: dict[int, int] = {}
        """The last of those heights that has a page."""
        self._held: dict[int, bytes] = {}
        """Pages after the last height written, whose rows are older."""
        self._late: dict[int, list[Changes]] = {}
        """Changes of the journal, for pages that were not needed since the start."""
        self._heads: dict[int, bytes] = {}
        self._written = [-1] * PARTS
        """The height of each part's last turn."""
        self._credit = 1.0
        """How many parts have a turn. One at the start: a node that often starts again gets round as well."""
        self._turns: list[tuple[int, int, list[tuple[int, bytes]]]] = []
        """What the open transaction wrote: (part, height of its turn before, its pages)."""
        self._reader: Any = None

    # --- opening and reading --------------------------------------------------------------------------------------------------

    def load(self, connection: sa.Connection) -> None:
        """Heads and journal."""
        p, j = schema.page_parts.c, schema.journal.c
        for part, sealed in connection.execute(sa.select(p.part, p.heads)):
            height, heads = _part.decode(unseal(f"part {part} of the state in {self._where}", at(part, "part"), bytes(sealed)))
            self._written[part] = height
            self._heads.update((part * EACH + i, head) for i, head in enumerate(heads) if head)
        for height, sealed in connection.execute(sa.select(j.height, j.hits).order_by(j.height)):
            raw = unseal(f"the state's changes of height {height} in {self._where}", at(height, "journal"), bytes(sealed))
            for number, head, changes in _journal.decode(raw):
                if self._written[number // EACH] < height:
                    self._late.setdefault(number, []).append(changes)
                    self._set_head(number, head)

    def _set_head(self, number: int, head: bytes) -> None:
        if head:
            self._heads[number] = head
        else:
            self._heads.pop(number, None)

    def heads(self) -> dict[int, bytes]:
        """Of all pages that are not empty."""
        with self._lock:
            return dict(self._heads)

    def keys(self, connection: sa.Connection) -> dict[bytes, list[bytes]]:
        """The keys of each listing of the state, sorted."""
        # A million rows: the driver's own way takes a quarter of the time.
        rows = connection.connection.cursor().execute("SELECT key FROM scanned").fetchall()
        keys = sorted([bytes(key) for (key,) in rows])
        found = {}
        for prefix in (*SCANNED, VERIFIERS):
            found[prefix] = keys[bisect_left(keys, prefix) : bisect_left(keys, prefix[:-1] + b"0")]
        found[VERIFIERS] = [b"m/" + key[len(VERIFIERS) :] for key in found[VERIFIERS]]
        return found

    def page(self, number: int) -> bytes:
        """As the last `put` left it. Raises `StorageDamaged`, `StorageFailed`."""
        with self._lock:
            height = self._newest.get(number)
            if height is not None:
                return self._put[height][number]
            held, late = self._held.get(number), self._late.get(number, [])
        return held if held is not None else self._join(number, self._fetch(number), late)

    def _join(self, number: int, sealed: bytes | None, late: list[Changes]) -> bytes:
        page = b"" if sealed is None else unseal(f"page {number} of the state in {self._where}", _place(number), sealed)
        if not late:
            return page
        merged = {key: raw for changes in late for key, raw in changes}
        try:
            return update(page, sorted((sha256(key), key, raw) for key, raw in merged.items()))
        except IndexError as e:
            raise StorageDamaged(f"Page {number} of the state in {self._where} is damaged", str(e), TODO_DAMAGED) from e

    def _fetch(self, number: int) -> bytes | None:
        """A page's row. The general way of reading takes ten times as long as SQLite does."""
        text = "SELECT page FROM pages WHERE number = "
        with db_errors("read the state", self._where):
            if self._engine.dialect.name == "sqlite":
                if self._reader is None:
                    self._reader = self._engine.raw_connection()
                rows = self._reader.cursor().execute(text + "?", (number,)).fetchall()
            else:
                with self._engine.begin() as c:
                    rows = c.exec_driver_sql(text + "%s", (number,)).fetchall()
        return bytes(rows[0][0]) if rows else None

    def put(self, height: int, pages: dict[int, bytes]) -> None:
        """What the block at `height` makes of its pages: it is decided, and `write` will come."""
        with self._lock:
            self._put[height] = pages
            self._newest.update(dict.fromkeys(pages, height))

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # --- writing --------------------------------------------------------------------------------------------------------------

    def write(self, connection: sa.Connection, height: int, changes: Changes) -> None:
        """Within the height's transaction; `changes` are sorted, each key once."""
        hits: dict[int, Changes] = {}
        for key, raw in changes:
            hits.setdefault(number_of(sha256(key)), []).append((key, raw))
        self._take(connection, height, hits)
        if hits:
            rows = [(number, self._heads.get(number, b""), hits[number]) for number in sorted(hits)]
            sealed = seal(at(height, "journal"), encode(rows))
            connection.execute(sa.insert(schema.journal), {"height": height, "hits": sealed})
        self._write_keys(connection, changes)
        self._credit += max(MIN_CHANGES, len(changes)) * PARTS / SPAN
        while self._credit >= 1:
            self._credit -= 1
            self._turn(connection, height)

    def _take(self, connection: sa.Connection, height: int, hits: dict[int, Changes]) -> None:
        """The height's pages, as the state made them or, where none did, made here."""
        with self._lock:
            pages = self._put.get(height)
        if pages is None:
            pages = {number: update(self._current(connection, number), _changes(found)) for number, found in hits.items()}
        with self._lock:
            self._put.pop(height, None)
            for number, page in pages.items():
                self._held[number] = page
                self._late.pop(number, None)
                self._set_head(number, head_of(page))
                if self._newest.get(number) == height:
                    del self._newest[number]

    def _current(self, connection: sa.Connection, number: int) -> bytes:
        """A page after the last height written."""
        held = self._held.get(number)
        if held is not None:
            return held
        row = connection.execute(sa.select(schema.pages.c.page).where(schema.pages.c.number == number)).scalar()
        return self._join(number, None if row is None else bytes(row), self._late.get(number, []))

    def _write_keys(self, connection: sa.Connection, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        there: dict[bytes, bool] = {}
        for key, raw in changes:
            if key.startswith(SCANNED):
                there[key] = raw is not None
                if key.startswith(b"m/"):
                    there[VERIFIERS + key[2:]] = raw is not None and _is_verifier(key, raw)
        self._add_key.run(connection, [(key,) for key, present in there.items() if present])
        self._delete_key.run(connection, [(key,) for key, present in there.items() if not present])

    def _turn(self, connection: sa.Connection, height: int) -> None:
        """The part whose last turn is longest ago."""
        part = self._written.index(min(self._written))
        numbers = range(part * EACH, part * EACH + EACH)
        changed = [n for n in numbers if n in self._held or n in self._late]
        pages = [(n, self._current(connection, n)) for n in changed]
        self._put_page.run(connection, [(n, seal(_place(n), page)) for n, page in pages if page])
        self._delete_page.run(connection, [(n,) for n, page in pages if not page])
        heads = encode((height, [self._heads.get(n, b"") for n in numbers]))
        self._put_part.run(connection, [(part, seal(at(part, "part"), heads))])
        self._turns.append((part, self._written[part], pages))
        self._written[part] = height
        connection.execute(sa.delete(schema.journal).where(schema.journal.c.height <= min(self._written)))

    def done(self) -> None:
        """The transaction is committed."""
        with self._lock:
            for number, page in (one for _, _, pages in self._turns for one in pages):
                # A later height of the same transaction may have made a newer one.
                if self._held.get(number) is page:
                    del self._held[number]
                self._late.pop(number, None)
        self._turns = []

    def undo(self) -> None:
        """It is not: what it wrote is to be written again."""
        for part, height, _ in reversed(self._turns):
            self._written[part] = height
        self._turns = []

    # --- the whole state ------------------------------------------------------------------------------------------------------

    def items(self, connection: sa.Connection) -> Iterator[tuple[bytes, bytes]]:
        """Every (key, record) after the last committed height, of one snapshot of the database. Every head is compared."""
        fresh = StatePages(self._engine, self._where)
        fresh.load(connection)
        rows = connection.execution_options(yield_per=256).execute(sa.select(schema.pages.c.number, schema.pages.c.page))
        seen = set()
        for number, sealed in rows:
            seen.add(number)
            yield from fresh.checked(number, bytes(sealed))
        for number in sorted((fresh._late.keys() | fresh._heads.keys()) - seen):
            yield from fresh.checked(number, None)

    def checked(self, number: int, sealed: bytes | None) -> list[tuple[bytes, bytes]]:
        """The records of a page whose every hash is made again. Raises `StorageDamaged`."""
        page = self._join(number, sealed, self._late.get(number, []))
        try:
            found = list(records(page))
            again = build(sorted((sha256(key), key, raw) for key, raw in found))
        except (Malformed, IndexError) as e:
            raise StorageDamaged(f"Page {number} of the state in {self._where} is damaged", str(e), TODO_DAMAGED) from e
        if again != page or head_of(page) != self._heads.get(number, b""):
            why = "its records do not have the hashes that are stored with them"
            raise StorageDamaged(f"Page {number} of the state in {self._where} is damaged", why, TODO_DAMAGED)
        return found

    def fill(self, connection: sa.Connection, height: int, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Write a whole state into empty tables, as it is after `height`."""
        by_page: dict[int, list[tuple[bytes, bytes, bytes]]] = {}
        for key, raw in items:
            path = sha256(key)
            by_page.setdefault(number_of(path), []).append((path, key, raw))
        for part in range(PARTS):
            pages, heads = [], []
            for number in range(part * EACH, part * EACH + EACH):
                page = build(sorted(by_page.pop(number, ())))
                heads.append(head_of(page))
                if page:
                    pages.append((number, seal(_place(number), page)))
                    self._write_keys(connection, records(page))
            self._put_page.run(connection, pages)
            self._put_part.run(connection, [(part, seal(at(part, "part"), encode((height, heads))))])


def _changes(found: Changes) -> list[tuple[bytes, bytes, bytes | None]]:
    return sorted((sha256(key), key, raw) for key, raw in found)


def _is_verifier(key: bytes, raw: bytes) -> bool:
    try:
        return listed(decode(Member, raw, MAX_RECORD))
    except Malformed as e:
        raise StateDamaged(f"the record under the state key {key.hex()} cannot be read: {e}") from e
