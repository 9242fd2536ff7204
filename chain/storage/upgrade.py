"""A database of an older program becomes one of this program's: in one transaction, once, when it is opened.

Schema 1 kept a row for each record of the state; they become pages. Schemas 1 to 3 kept a row for each transaction in the index,
and the changes of a height a second time in the journal of the state's pages: all pages are written, so that nothing is left there.
Blocks of schema 3 and later keep no events of their own; those before it are read as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import msgspec
import sqlalchemy as sa

from chain.storage import schema
from chain.storage.index import pages_of
from chain.storage.pages import PARTS, Changes, StatePages
from chain.storage.schema import Bulk, at, in_part, seal, unseal

_old_journal = msgspec.msgpack.Decoder(list[tuple[int, bytes, Changes]])


def upgrade(connection: sa.Connection, pages: StatePages, where: str) -> None:
    """Raises `StorageDamaged`; then nothing has changed."""
    m = schema.meta.c
    found = connection.execute(sa.select(m.value).where(m.name == "schema")).scalar()
    version = bytes(found or b"")
    if version not in (b"1", b"2", b"3"):
        return
    head = connection.execute(sa.select(sa.func.max(schema.blocks.c.height))).scalar()
    last = -1 if head is None else int(head)
    schema.metadata.create_all(connection, tables=[*schema.STATE_TABLES, *schema.LATER, schema.tx_pages])
    if version == b"1":
        pages.fill(connection, last, _records(connection, where))
        schema.old_state.drop(connection)
    else:
        _empty_journal(connection, pages, last, where)
    if sa.inspect(connection).has_table(schema.old_txs.name):
        _pack_index(connection)
        schema.old_txs.drop(connection)
    connection.execute(sa.update(schema.meta).where(m.name == "schema").values(value=str(schema.SCHEMA_VERSION).encode()))


def _records(connection: sa.Connection, where: str) -> Iterator[tuple[bytes, bytes]]:
    s = schema.old_state.c
    for key, sealed in connection.execution_options(yield_per=4096).execute(sa.select(s.key, s.value)):
        yield bytes(key), unseal(f"state key {bytes(key).hex()} in {where}", bytes(key), bytes(sealed))


def _empty_journal(connection: sa.Connection, pages: StatePages, last: int, where: str) -> None:
    pages.load_parts(connection)
    j = schema.journal.c
    for height, sealed in connection.execute(sa.select(j.height, j.hits).order_by(j.height)):
        raw = unseal(f"the state's changes of height {height} in {where}", at(height, "journal"), bytes(sealed))
        for number, page_head, changes in _old_journal.decode(raw):
            pages.add_late(height, number, page_head, changes)
    for _ in range(PARTS):
        pages.write_part(connection, last)
    pages.done()


def _pack_index(connection: sa.Connection) -> None:
    t, dialect = schema.old_txs.c, connection.dialect
    insert = Bulk(dialect, sa.insert(schema.tx_pages), ("part", "bucket", "places"))
    for part in connection.execute(sa.select(schema.parts.c.part)).scalars().all():
        rows = connection.execute(sa.select(t.height, t.prefix, t.position).where(t.part == part).order_by(t.height)).all()
        places = [
            (height, [(int(prefix).to_bytes(8, "big", signed=True), position) for _, prefix, position in of_height])
            for height, of_height in groupby(rows, lambda row: int(row.height))
        ]
        insert.run(connection, [(n, bucket, seal(in_part(n, bucket), blob)) for n, bucket, blob in pages_of(part, places)])
