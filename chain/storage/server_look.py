"""What a PostgreSQL server is like, and the node's database in it: read beside the node that holds it.

It takes no lock and changes no table. How long a commit takes is measured by a message in the server's log of changes, which every
user may write, which a commit waits for as for a row, and which nobody reads.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from learningchain.chain.storage import schema
from learningchain.chain.storage.database_url import masked
from learningchain.chain.storage.schema import db_errors
from learningchain.chain.storage.server import UNSAFE, knock, lock_key, reader

CONNECT_S: Final = 5
STATEMENT_MS: Final = 5_000
TRIES: Final = 5
_CONNECTIONS: Final = (
    "SELECT least(nullif(rolconnlimit, -1), nullif(datconnlimit, -1),"
    " current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int)"
    " FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()"
)
_MESSAGE: Final = "SELECT pg_logical_emit_message(true, 'learningchain', '')"


@dataclass(frozen=True)
class ServerFacts:
    """`version` as the server counts (150004); `unsafe` says in words which durable setting is off; `space` is None where tables
    have none yet. Times in milliseconds, the median of a few."""

    where: str
    """The URL without its passwords."""
    version: int
    standby: bool
    encoding: str
    unsafe: tuple[str, ...]
    space: str | None
    """The schema that the tables lie in; None: what the URL names is not there."""
    held: bool
    """A node has the lock."""
    tables: dict[str, bytes] | None
    """The names and values of `meta`; None where there are no tables."""
    connections: int
    """How many this role may have at a time."""
    size: int
    """Bytes of the whole database."""
    round_trip_ms: float
    commit_ms: float | None
    """None on a standby, which takes no commits."""


def probe(url: str) -> Callable[[], None]:
    """What returns where the server lets a new connection in, and raises the driver's own error where it does not within
    `CONNECT_S`. Raises `StorageFailed` for the URL."""
    engine = schema.make_engine(url, {"connect_timeout": str(CONNECT_S)})
    return lambda: knock(engine)


def look_at_server(url: str) -> ServerFacts:
    """Blocks for some seconds at most, whatever the server does once it was reached. Raises `StorageFailed` and its like."""
    where = masked(url)
    engine = schema.make_engine(url, {"connect_timeout": str(CONNECT_S)})
    try:
        with db_errors("look at the database", where), reader(engine) as c:
            c.exec_driver_sql(f"SET statement_timeout = {STATEMENT_MS}")
            return _read(c, where)
    finally:
        engine.dispose()


def _read(c: sa.Connection, where: str) -> ServerFacts:
    version, standby, encoding, space, size = c.exec_driver_sql(
        "SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), current_setting('server_encoding'),"
        " current_schema()::text, pg_database_size(current_database())"
    ).one()
    connections = c.exec_driver_sql(_CONNECTIONS).scalar()
    settings = c.exec_driver_sql("SELECT " + ", ".join(f"current_setting('{name}')" for name in UNSAFE)).one()
    unsafe = tuple(why for why, value in zip(UNSAFE.values(), settings, strict=True) if value == "off")
    return ServerFacts(
        where=where,
        version=int(version),
        standby=bool(standby),
        encoding=str(encoding),
        unsafe=unsafe,
        space=None if space is None else str(space),
        held=space is not None and _is_held(c, lock_key(str(space))),
        tables=_meta(c) if space is not None else None,
        connections=int(connections or 0),
        size=int(size),
        round_trip_ms=_median_ms(lambda: c.exec_driver_sql("SELECT 1").scalar()),
        commit_ms=None if standby else _median_ms(lambda: c.exec_driver_sql(_MESSAGE).scalar()),
    )


def _is_held(c: sa.Connection, key: int) -> bool:
    high, low = (key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF
    return bool(
        c.exec_driver_sql(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
            f" AND classid::bigint = {high} AND objid::bigint = {low}"
        ).scalar()
    )


def _meta(c: sa.Connection) -> dict[str, bytes] | None:
    if not sa.inspect(c).has_table("meta"):
        return None
    return {row.name: bytes(row.value) for row in c.execute(sa.select(schema.meta).limit(64))}


def _median_ms(once: Callable[[], Any]) -> float:
    times = []
    for _ in range(TRIES):
        begun = time.perf_counter()
        once()
        times.append(1_000 * (time.perf_counter() - begun))
    return statistics.median(times)
