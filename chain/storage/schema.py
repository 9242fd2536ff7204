"""Tables of the block store, and everything that differs between SQLite and PostgreSQL. Used by `chain.storage` alone.

A CRC-32 over its place (height, key) and its bytes stands before every stored blob, so that rot is noticed when it is
read, whichever table it hit. SQLite's own checks see the shape of the pages only.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from learningchain.chain.buckets import BUCKETS
from learningchain.chain.storage import database_url, server
from learningchain.chain.storage.errors import DiskFull, FolderInUse, ServerUnreachable, StorageDamaged, StorageFailed

SCHEMA_VERSION = 6
"""Counted up when a table changes. A database of another number is upgraded or refused: see `chain.storage.migrations`."""
TODO_DAMAGED = (
    "Check the disk. Then restore the database from a backup, or move it away, keeping keystore and guard, and let the node "
    "sync from its peers"
)

metadata = sa.MetaData()
_Int = sa.BigInteger

meta = sa.Table(
    "meta", metadata, sa.Column("name", sa.String(32), primary_key=True), sa.Column("value", sa.LargeBinary, nullable=False)
)
blocks = sa.Table(
    "blocks",
    metadata,
    sa.Column("height", _Int, primary_key=True, autoincrement=False),
    sa.Column("block_id", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("header", sa.LargeBinary, nullable=False),
    sa.Column("certificate", sa.LargeBinary, nullable=False),
    sa.Column("block", sa.LargeBinary, nullable=False),
    sa.Column("receipts", sa.LargeBinary, nullable=False),
    sa.Column("picks", sa.LargeBinary, nullable=False),
)
changes = sa.Table(
    "changes",
    metadata,
    sa.Column("height", _Int, primary_key=True, autoincrement=False),
    sa.Column("changes", sa.LargeBinary, nullable=False),
)
unaudited = sa.Table("unaudited", metadata, sa.Column("height", _Int, primary_key=True, autoincrement=False))
validator_changes = sa.Table(
    "handovers",
    metadata,
    sa.Column("height", _Int, primary_key=True, autoincrement=False),
    sa.Column("handover", sa.LargeBinary, nullable=False),
)
staged = sa.Table(
    "staged",
    metadata,
    sa.Column("number", _Int, primary_key=True, autoincrement=False),
    sa.Column("target", sa.LargeBinary, nullable=False),
)
staged_pages = sa.Table(
    "staged_pages",
    metadata,
    sa.Column("number", _Int, primary_key=True, autoincrement=False),
    sa.Column("page", sa.LargeBinary, nullable=False),
)
staged_keys = sa.Table("staged_keys", metadata, sa.Column("key", sa.LargeBinary(256), primary_key=True), sqlite_with_rowid=False)
parts = sa.Table("parts", metadata, sa.Column("part", _Int, primary_key=True, autoincrement=False))
tx_pages = sa.Table(
    "tx_pages",
    metadata,
    sa.Column("part", _Int, primary_key=True, autoincrement=False),
    sa.Column("bucket", _Int, primary_key=True, autoincrement=False),
    sa.Column("places", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
history = sa.Table(
    "history",
    metadata,
    sa.Column("part", _Int, primary_key=True, autoincrement=False),
    sa.Column("account", sa.LargeBinary(64), primary_key=True),
    sa.Column("picks", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
pages = sa.Table(
    "pages",
    metadata,
    sa.Column("number", _Int, primary_key=True, autoincrement=False),
    sa.Column("page", sa.LargeBinary, nullable=False),
)
page_parts = sa.Table(
    "page_parts",
    metadata,
    sa.Column("part", _Int, primary_key=True, autoincrement=False),
    sa.Column("heads", sa.LargeBinary, nullable=False),
)
journal = sa.Table(
    "journal",
    metadata,
    sa.Column("height", _Int, primary_key=True, autoincrement=False),
    sa.Column("hits", sa.LargeBinary, nullable=False),
)
archived = sa.Table(
    "archived",
    metadata,
    sa.Column("ref", sa.LargeBinary(32), primary_key=True),
    sa.Column("height", _Int, primary_key=True, autoincrement=False),
    sa.Column("records", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
archived_numbers = sa.Table(
    "archived_numbers",
    metadata,
    sa.Column("key", sa.LargeBinary(16), primary_key=True),
    sa.Column("ref", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
"""archived and archived_numbers: see `chain.storage.archive`."""
scanned = sa.Table("scanned", metadata, sa.Column("key", sa.LargeBinary(256), primary_key=True), sqlite_with_rowid=False)
"""pages, page_parts, journal and scanned are the state: see `chain.storage.buckets`."""


# --- checksums ----------------------------------------------------------------------------------------------------------------


def add_checksum(place: bytes, blob: bytes) -> bytes:
    return zlib.crc32(blob, zlib.crc32(place)).to_bytes(4, "big") + blob


def check_checksum(what: str, place: bytes, framed: bytes) -> bytes:
    """Raises `StorageDamaged` naming `what`."""
    blob = framed[4:]
    if zlib.crc32(blob, zlib.crc32(place)).to_bytes(4, "big") != framed[:4]:
        raise StorageDamaged(f"The database is damaged at {what}", "the stored bytes do not match their checksum", TODO_DAMAGED)
    return blob


def at(height: int, column: str) -> bytes:
    """The place of a column of `blocks`."""
    return column.encode() + height.to_bytes(8, "big")


def in_segment(segment: int, bucket: int) -> bytes:
    """The place of a row of `tx_pages`."""
    return at(segment, "txs") + bytes((bucket,))


def bucket_place(number: int) -> bytes:
    """The place of a bucket of the state, also of one, or of a subbucket, that is staged."""
    return b"page" + number.to_bytes(4 if number < BUCKETS else 8, "big")


def replace_table(connection: sa.Connection, old: sa.Table, new: sa.Table) -> None:
    """`new` becomes `old`, with all that is in it, and is there empty again."""
    connection.exec_driver_sql(f"DROP TABLE {old.name}")
    connection.exec_driver_sql(f"ALTER TABLE {new.name} RENAME TO {old.name}")
    new.create(connection)


# --- statements ---------------------------------------------------------------------------------------------------------------


def upsert(dialect: sa.Dialect, table: sa.Table, key: str, value: str) -> sa.Insert:
    """Insert or replace a row: the one statement that SQL has no common form for."""
    insert = _insert(dialect, table)
    put: sa.Insert = insert.on_conflict_do_update(index_elements=[table.c[key]], set_={value: insert.excluded[value]})
    return put


def add_key(dialect: sa.Dialect, table: sa.Table = scanned) -> sa.Insert:
    """Insert a key unless it is there."""
    put: sa.Insert = _insert(dialect, table).on_conflict_do_nothing(index_elements=[table.c.key])
    return put


def _insert(dialect: sa.Dialect, table: sa.Table) -> Any:
    """An insert of the dialect's own kind. Only the dialect in use is loaded: each takes part of every start."""
    if dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def delete_by(column: sa.Column[Any]) -> sa.Delete:
    """Delete the row that has a key."""
    return sa.delete(column.table).where(column == sa.bindparam(column.name))


class Bulk:
    """A statement compiled once and run by the driver for many rows: a third of the time of the general way."""

    def __init__(self, dialect: sa.Dialect, statement: sa.Insert | sa.Delete, columns: Sequence[str]) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(columns))
        self.text = str(compiled)
        self._order = [columns.index(name) for name in compiled.positiontup] if compiled.positiontup else None
        self._columns = columns

    def run(self, connection: sa.Connection, rows: list[tuple[Any, ...]]) -> None:
        """Rows have the order of `columns`."""
        if not rows:
            return
        params: list[Any]
        if self._order is None:
            params = [dict(zip(self._columns, row, strict=True)) for row in rows]
        elif self._order == sorted(self._order):
            params = rows
        else:
            params = [tuple(row[i] for i in self._order) for row in rows]
        connection.exec_driver_sql(self.text, params)


# --- the engine ---------------------------------------------------------------------------------------------------------------


def make_engine(url_or_path: str, given: Mapping[str, str] = {}) -> sa.Engine:
    """An engine for a path (SQLite) or a URL (PostgreSQL; `given` outweighs its options). Raises `StorageFailed` when its driver is
    not there."""
    if "://" in url_or_path:
        return _server_engine(url_or_path, given)
    engine = sa.create_engine(sa.URL.create("sqlite", database=url_or_path))
    sa.event.listen(engine, "connect", _setup_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _server_engine(text: str, given: Mapping[str, str]) -> sa.Engine:
    what, form = f"Cannot use the database {database_url.masked(text)}", database_url.FORM
    try:
        url = database_url.parse(text)
    except ValueError as e:
        raise StorageFailed(what, str(e), form) from None
    if url.drivername not in ("postgresql", "postgres", server.DRIVER):
        raise StorageFailed(what, f"{url.drivername} is none of SQLite and PostgreSQL (by psycopg)", form)
    try:
        return server.make_engine(url, given)
    except ImportError as e:
        todo = "Install it beside the node, from the wheel that the node came from: pipx install --force 'WHEEL[postgresql]'"
        raise StorageFailed(what, "its driver, the package psycopg, is not installed", todo) from e
    except SQLAlchemyError as e:
        raise StorageFailed(what, database_url.without_secrets(str(e), text), form) from None


def reading(engine: sa.Engine) -> sa.Engine:
    """The same connections, for transactions that only read and see one moment throughout, as SQLite's do anyway."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _setup_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`, not by the driver's guess
    cursor = connection.cursor()
    if not cursor.execute("PRAGMA page_count").fetchone()[0]:  # a new one: later it would be too late
        cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")  # for a node that drops old blocks (`chain.storage.pruning`)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "busy_timeout=5000",
        "cache_size=-32768",
        "temp_store=MEMORY",
        "cell_size_check=ON",
        "trusted_schema=OFF",
        "wal_autocheckpoint=4000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")


@contextmanager
def db_errors(doing: str, where: str) -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except DBAPIError as e:
        raise _translated(f"Could not {doing} ({where})", e) from e
    except sqlite3.Error as e:  # from the pragmas of a new connection
        raise _translated_sqlite(f"Could not {doing} ({where})", e) from e
    except SQLAlchemyError as e:
        todo = "Check that the database can be reached and may be used, then start the node again"
        raise StorageFailed(f"Could not {doing} ({where})", str(e), todo) from e


_AWAY = ("08", "57", "53")
"""Classes of SQLSTATE: the connection; what an operator did, such as a shutdown; what the server has too little of. No state at
all: it was not reached."""


def _translated(what: str, e: DBAPIError) -> StorageFailed | StorageDamaged | FolderInUse:
    if isinstance(e.orig, sqlite3.Error):
        return _translated_sqlite(what, e.orig)
    code = str(getattr(e.orig, "sqlstate", "") or "")
    why = database_url.without_urls(" ".join(str(e.orig).split())) or type(e.orig).__name__
    if code == "53100":
        return DiskFull(
            what, "no space left for the database", "Free some space on the database's machine, then start the node again"
        )
    if code in ("XX001", "XX002"):
        return StorageDamaged(what, why, TODO_DAMAGED)
    kind = ServerUnreachable if isinstance(e, OperationalError) and (not code or code[:2] in _AWAY) else StorageFailed
    return kind(what, why, "Check that the database server runs and lets this node in, then start the node again")


def _translated_sqlite(what: str, e: sqlite3.Error) -> StorageFailed | StorageDamaged | FolderInUse:
    name, why = str(getattr(e, "sqlite_errorname", "")), str(e)
    if name == "SQLITE_FULL":
        return DiskFull(what, "no space left on the device", "Free some space there, then start the node again")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StorageDamaged(what, why, TODO_DAMAGED)
    if name.startswith("SQLITE_BUSY"):
        return FolderInUse(what, "another process writes to the database", "Stop that process, then start the node again")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        todo = "Give the node's user read and write access to its data folder, then start the node again"
        return StorageFailed(what, f"{why} (read-only, or no permission)", todo)
    return StorageFailed(what, f"{why} {name}".strip(), "Check the disk and the kernel's log before the node is started again")
