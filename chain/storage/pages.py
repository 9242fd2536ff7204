"""The state's pages in the database. Used by the block store; the ledger's state reads them through `chain.ledger.state.Source`.

A block of a thousand changes hits a thousand of the 65,536 pages at random: to write all of them with every height would cost ten
times what the block does. So a height adds one row to the *journal*, with the new heads of the pages that it hit (its changes are
kept for ever, beside the block: see `chain.storage.outcomes`), and the pages themselves are written part by part: 256 parts of
neighbouring pages take turns, so that every part has one within `SPAN` changes. A part is written as it is after the height that is
being stored, in the same database transaction, with its heads and that height; journal rows that every part has passed are deleted.

What is needed of the pages in between: a page whose newest form is not written is held in memory; after a restart, the changes of
the heights in the journal are held for each page, and put into it when it is read for the first time. The heads of all pages, and
the keys that scans show, are read at the start: the tree above the pages then has the root that the last block's header names, and
each page that is read has to fit its head.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import sqlalchemy as sa

from chain.codec import encode
from chain.crypto import sha256
from chain.errors import Malformed, StateDamaged
from chain.ledger.listings import LISTINGS, SCANNED, record_key, stored
from chain.pages import PAGES, Page, build, head_of, number_of, records, update, whole
from chain.pages import Change as PageChange
from chain.storage import schema
from chain.storage.errors import StorageDamaged
from chain.storage.schema import TODO_DAMAGED, Bulk, at, db_errors, page_place, seal, unseal

PARTS = 256
EACH = PAGES // PARTS
SPAN = 400_000
"""Changes in which every part has its turn."""
MIN_CHANGES = 100
"""What a height counts for at least: the journal of an idle graph has a few thousand rows."""

Changes = list[tuple[bytes, bytes | None]]
_Hits = tuple[list[int], list[bytes]]
"""The pages that a height changed: their numbers, and their heads (empty for an empty page)."""
_journal: msgspec.msgpack.Decoder[_Hits] = msgspec.msgpack.Decoder(_Hits)
_told = msgspec.msgpack.Decoder(tuple[list[tuple[bytes, bytes]], list[bytes]])
_part: msgspec.msgpack.Decoder[tuple[int, list[bytes]]] = msgspec.msgpack.Decoder(tuple[int, list[bytes]])


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
        self._put: dict[int, dict[int, Page]] = {}
        """Pages of heights that are decided and not written, by height."""
        self._newest: dict[int, int] = {}
        """The last of those heights that has a page."""
        self._held: dict[int, Page] = {}
        """Pages after the last height written, whose rows are older."""
        self._late: dict[int, list[Changes]] = {}
        """Changes of the journal, for pages that were not needed since the start."""
        self._heads: dict[int, bytes] = {}
        self._written = [-1] * PARTS
        """The height of each part's last turn."""
        self._credit = 1.0
        """How many parts have a turn. One at the start: a node that often starts again gets round as well."""
        self._turns: list[tuple[int, int, list[tuple[int, Page]]]] = []
        """What the open transaction wrote: (part, height of its turn before, its pages)."""
        self._reader: Any = None

    # --- opening and reading --------------------------------------------------------------------------------------------------

    def load(self, connection: sa.Connection) -> None:
        """Heads and journal."""
        self._load_parts(connection)
        j, k = schema.journal.c, schema.changes.c
        query = sa.select(j.height, j.hits, k.changes).outerjoin(schema.changes, j.height == k.height).order_by(j.height)
        for height, hits, changes in connection.execute(query.execution_options(yield_per=64)):
            numbers, heads = _journal.decode(self._unseal(height, "journal", hits))
            by_page = _by_page(_told.decode(self._unseal(height, "changes", changes or b"")))
            for number, head in zip(numbers, heads, strict=True):
                self._add_late(height, number, head, by_page.get(number, []))

    def _load_parts(self, connection: sa.Connection) -> None:
        p = schema.page_parts.c
        for part, sealed in connection.execute(sa.select(p.part, p.heads)):
            height, heads = _part.decode(unseal(f"part {part} of the state in {self._where}", at(part, "part"), bytes(sealed)))
            self._written[part] = height
            self._heads.update((part * EACH + i, head) for i, head in enumerate(heads) if head)

    def _unseal(self, height: int, column: str, sealed: bytes) -> bytes:
        return unseal(f"the state's changes of height {height} in {self._where}", at(height, column), bytes(sealed))

    def _add_late(self, height: int, number: int, head: bytes, changes: Changes) -> None:
        """What a height did to a page, unless that is written."""
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
        for listing in LISTINGS:
            of_it = keys[bisect_left(keys, listing) : bisect_left(keys, listing[:-1] + b"0")]
            found[listing] = of_it if listing in SCANNED else [record_key(key) for key in of_it]
        return found

    def page(self, number: int) -> Page:
        """As the last `put` left it. Raises `StorageDamaged`, `StorageFailed`."""
        with self._lock:
            height = self._newest.get(number)
            if height is not None:
                return self._put[height][number]
            held, late = self._held.get(number), self._late.get(number, [])
        return held if held is not None else self._join(number, self._fetch(number), late)

    def _join(self, number: int, sealed: bytes | None, late: list[Changes]) -> Page:
        page = b"" if sealed is None else unseal(f"page {number} of the state in {self._where}", page_place(number), sealed)
        if not late:
            return page
        merged = {key: raw for changes in late for key, raw in changes}
        try:
            return update(page, sorted((sha256(key), key, raw) for key, raw in merged.items()))
        except (Malformed, IndexError) as e:
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

    def put(self, height: int, pages: dict[int, Page]) -> None:
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
        pages = self._take(connection, height, changes)
        if pages:
            hits = seal(at(height, "journal"), encode((list(pages), [head_of(page) for page in pages.values()])))
            connection.execute(sa.insert(schema.journal), {"height": height, "hits": hits})
        self._write_keys(connection, changes)
        self._credit += max(MIN_CHANGES, len(changes)) * PARTS / SPAN
        while self._credit >= 1:
            self._credit -= 1
            self.write_part(connection, height)

    def _take(self, connection: sa.Connection, height: int, changes: Changes) -> dict[int, Page]:
        """The height's pages, as the state made them or, where none did, made here."""
        with self._lock:
            pages = self._put.get(height)
        if pages is None:
            by_page = _split(changes)
            pages = {number: update(self._current(connection, number), found) for number, found in sorted(by_page.items())}
        with self._lock:
            self._put.pop(height, None)
            self._held.update(pages)
            self._heads.update((number, head_of(page)) for number, page in pages.items())
            for number, page in pages.items():
                if not page:
                    del self._heads[number]
                if self._newest.get(number) == height:
                    del self._newest[number]
            if self._late:
                for number in pages:
                    self._late.pop(number, None)
        return pages

    def _current(self, connection: sa.Connection, number: int) -> Page:
        """A page after the last height written."""
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

    def write_part(self, connection: sa.Connection, height: int) -> None:
        """The part whose last turn is longest ago."""
        part = self._written.index(min(self._written))
        numbers = range(part * EACH, part * EACH + EACH)
        changed = [n for n in numbers if n in self._held or n in self._late]
        pages = [(n, self._current(connection, n)) for n in changed]
        self._put_page.run(connection, [(n, seal(page_place(n), whole(page))) for n, page in pages if page])
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

    def whole(self, connection: sa.Connection) -> Iterator[tuple[int, bytes]]:
        """Every page that is not empty after the last committed height, ascending; of one snapshot of the database."""
        fresh = StatePages(self._engine, self._where)
        fresh.load(connection)
        p = schema.pages.c
        rows = connection.execution_options(yield_per=256).execute(sa.select(p.number, p.page).order_by(p.number))
        waiting = sorted(fresh._heads, reverse=True)
        for number, sealed in rows:
            while waiting and waiting[-1] < number:
                yield fresh._whole(waiting.pop(), None)
            if waiting and waiting[-1] == number:
                yield fresh._whole(waiting.pop(), bytes(sealed))
        while waiting:
            yield fresh._whole(waiting.pop(), None)

    def _whole(self, number: int, sealed: bytes | None) -> tuple[int, bytes]:
        page = whole(self._join(number, sealed, self._late.get(number, [])))
        if head_of(page) != self._heads[number]:
            why = "it does not have the hash that is stored with it"
            raise StorageDamaged(f"Page {number} of the state in {self._where} is damaged", why, TODO_DAMAGED)
        return number, page

    def replace(self, connection: sa.Connection, height: int, heads: dict[int, bytes]) -> None:
        """What was staged becomes the pages after `height`, with these heads. These objects are of no use then."""
        schema.replace_table(connection, schema.pages, schema.staged_pages)
        schema.replace_table(connection, schema.scanned, schema.staged_keys)
        for part in range(PARTS):
            row = encode((height, [heads.get(number, b"") for number in range(part * EACH, part * EACH + EACH)]))
            self._put_part.run(connection, [(part, seal(at(part, "part"), row))])

    def checked(self, number: int, sealed: bytes | None) -> list[tuple[bytes, bytes]]:
        """The records of a page whose every hash is made again. Raises `StorageDamaged`."""
        page = whole(self._join(number, sealed, self._late.get(number, [])))
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
        by_page = _split(items)
        for part in range(PARTS):
            numbers = range(part * EACH, part * EACH + EACH)
            found = {number: build(by_page.pop(number)) for number in numbers if number in by_page}  # type: ignore[arg-type]
            self._put_page.run(connection, [(number, seal(page_place(number), page)) for number, page in found.items()])
            self._write_keys(connection, [record for page in found.values() for record in records(page)])
            heads = encode((height, [head_of(found.get(number, b"")) for number in numbers]))
            self._put_part.run(connection, [(part, seal(at(part, "part"), heads))])


def _split(changes: Iterable[tuple[bytes, bytes | None]]) -> dict[int, list[PageChange]]:
    """By page, each one's sorted by path."""
    found: dict[int, list[PageChange]] = {}
    for key, raw in changes:
        path = sha256(key)
        found.setdefault(number_of(path), []).append((path, key, raw))
    for several in found.values():
        several.sort()
    return found


def _by_page(told: tuple[list[tuple[bytes, bytes]], list[bytes]]) -> dict[int, Changes]:
    found: dict[int, Changes] = {}
    put, gone = told
    for key, raw in (*put, *((key, None) for key in gone)):
        found.setdefault(number_of(sha256(key)), []).append((key, raw))
    return found
