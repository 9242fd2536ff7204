"""A database of an older program becomes one of this program's: in one transaction, once, when it is opened."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from chain.storage import schema
from chain.storage.pages import StatePages
from chain.storage.schema import unseal


def upgrade(connection: sa.Connection, pages: StatePages, where: str) -> None:
    """Raises `StorageDamaged`; then nothing has changed."""
    m = schema.meta.c
    version = connection.execute(sa.select(m.value).where(m.name == "schema")).scalar()
    if version is None or bytes(version) not in (b"1", b"2"):
        return
    if bytes(version) == b"1":
        _make_pages(connection, pages, where)
    # Blocks of schema 3 keep no events of their own; those before it are read as they are.
    connection.execute(sa.update(schema.meta).where(m.name == "schema").values(value=b"3"))


def _make_pages(connection: sa.Connection, pages: StatePages, where: str) -> None:
    """Schema 1 to 2: the records of the state, a row each, become pages."""
    head = connection.execute(sa.select(sa.func.max(schema.blocks.c.height))).scalar()
    schema.metadata.create_all(connection, tables=schema.STATE_TABLES)
    pages.fill(connection, -1 if head is None else int(head), _records(connection, where))
    schema.old_state.drop(connection)


def _records(connection: sa.Connection, where: str) -> Iterator[tuple[bytes, bytes]]:
    s = schema.old_state.c
    for key, sealed in connection.execution_options(yield_per=4096).execute(sa.select(s.key, s.value)):
        yield bytes(key), unseal(f"state key {bytes(key).hex()} in {where}", bytes(key), bytes(sealed))
