"""What a PostgreSQL server has to be before a node keeps its blocks there: durable, and this node's alone. For `chain.storage`.

Two things keep a second node off a database. A *lock* of the server's (advisory, of the session) is held by a connection that does
nothing else: whatever arrives on it, or its end, means that the lock is gone, and looking costs a microsecond, so a node looks
before each signature. And a *token* in the database names who took the lock last: every transaction of the holder reads it with a
row lock before it writes, so one that was begun under a lost lock ends without a trace, however late it comes.

The same statement reads what the server promises about its disk: an administrator can change that while the node runs.
"""

from __future__ import annotations

import contextlib
import secrets
import select
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from learningchain.chain.crypto import sha256
from learningchain.chain.storage.errors import FolderInUse, ServerUnreachable, StorageFailed

DRIVER = "postgresql+psycopg"
MIN_VERSION = 13
LOCK_WAIT_MS = 5_000
"""The session of a node that was killed a moment ago may still be ending."""
CONNECTIONS = 5
"""Kept open."""
MORE = 35
"""Opened for a moment: as many as threads may read at once, for a reader that waits too long would end the node."""
MOST = 1 + CONNECTIONS + MORE
"""With the one that holds the lock."""
CLIENT_SIDE: Mapping[str, str] = {
    "application_name": "learningchain",
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""A line that is cut in silence is noticed after 11 seconds. An URL may say otherwise."""
_SERVER_SIDE = "SET tcp_keepalives_idle = 20; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4"
"""The server lets go of the lock after 40: the node that had it has noticed by then."""
SESSION: Mapping[str, str] = {
    "idle_in_transaction_session_timeout": "0",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "client_encoding": "UTF8",
    "datestyle": "ISO",
    "client_min_messages": "notice",
}
"""What a role or a database may have set for its sessions, and a node cannot live with: each connection begins with this, which
outweighs both."""
NEWER = ("idle_session_timeout", "transaction_timeout")
"""The same of newer servers; an older one would refuse a connection that names them. Most of all a connection may rest: the one
that holds the lock does nothing else."""
_SET = f"SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name IN {NEWER}"
UNSAFE = {
    "fsync": "the server does not wait for its disk (fsync = off)",
    "full_page_writes": "the server keeps half-written pages after a power cut (full_page_writes = off)",
    "synchronous_commit": "the server confirms what is not on its disk yet (synchronous_commit = off)",
}
_SETTINGS = ", ".join(f"current_setting('{name}')" for name in UNSAFE)
_HOLDER = f"SELECT value, {_SETTINGS} FROM meta WHERE name = 'holder' FOR SHARE"
_TODO_SERVER = "Check that the database server runs and can be reached, then start the node again"


def make_engine(url: sa.URL, given: Mapping[str, str] = {}) -> sa.Engine:
    """`given` outweighs what the URL says. Raises ImportError where the driver is missing."""
    own = " ".join("-c " + f"{name}={value}".replace(" ", "\\ ") for name, value in SESSION.items())
    asked = url.query.get("options", ())
    options = " ".join([asked] if isinstance(asked, str) else asked)
    query = {**CLIENT_SIDE, **url.query, **given, "options": f"{options} {own}".strip()}
    engine = sa.create_engine(
        url.set(drivername=DRIVER, query=query), hide_parameters=True, pool_size=CONNECTIONS, max_overflow=MORE
    )
    sa.event.listen(engine, "connect", _set_session, insert=True)
    return engine


def _set_session(connection: Any, _record: Any) -> None:
    connection.execute(_SET)
    connection.commit()


def reader(engine: sa.Engine) -> sa.Connection:
    """A connection for single statements, each answered in one round trip."""
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def knock(engine: sa.Engine) -> None:
    """A new connection, beside those that are kept, and its end: no statement, so `connect_timeout` bounds all of it. Raises the
    driver's own errors."""
    arguments, options = engine.dialect.create_connect_args(engine.url)
    engine.dialect.connect(*arguments, **options).close()


def lock_key(schema: str) -> int:
    """The lock's number: a database has one for each schema in it, so that several nodes may share a database by their schemas."""
    return int.from_bytes(sha256(b"learningchain/" + schema.encode())[:8], "big", signed=True)


class Hold:
    """The lock on a database, and the connection that has it. `check` is for one thread, `confirm` for the one that writes."""

    def __init__(self, engine: sa.Engine, where: str) -> None:
        """Raises `FolderInUse`, `StorageFailed`, and the driver's errors."""
        self._where = where
        self._connection = reader(engine)
        self._connection.detach()
        self._token = secrets.token_bytes(16)
        try:
            self._check_server()
            self._lock()
            self.fd = int(_raw(self._connection).fileno())
            self._poll = select.poll()
            self._poll.register(self.fd, select.POLLIN | select.POLLRDHUP)
        except BaseException:
            self._connection.close()
            raise

    def _check_server(self) -> None:
        c = self._connection
        version, standby, pid = c.exec_driver_sql(
            "SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), pg_backend_pid()"
        ).one()
        if version < MIN_VERSION * 10_000:
            self._refuse(f"the server is PostgreSQL {version // 10_000}", f"Use PostgreSQL {MIN_VERSION} or newer")
        if standby:
            self._refuse("the server is a standby, which takes no writes", "Give the address of the primary server")
        if pid != _raw(c).info.backend_pid:
            why = "a pooler stands before the server and hands connections around, so that no lock would be this node's"
            self._refuse(why, "Give the address of the server itself")
        self._check_settings(c.exec_driver_sql(f"SELECT {_SETTINGS}").one())

    def _refuse(self, why: str, todo: str) -> None:
        raise StorageFailed(f"Cannot use the database {self._where}", why, todo)

    def _check_settings(self, found: Any) -> None:
        for (name, why), value in zip(UNSAFE.items(), found, strict=True):
            if value == "off":
                todo = f"Set {name} = on for this database (SHOW {name} tells), then start the node again"
                self._refuse(f"{why}: what a node has signed for could be lost", todo)

    def _lock(self) -> None:
        c = self._connection
        c.exec_driver_sql(_SERVER_SIDE)
        schema = c.exec_driver_sql("SELECT current_schema()").scalar()
        if schema is None:
            self._refuse("none of the schemas of its search_path is there", "Create the schema that the URL names")
        key = lock_key(str(schema))
        c.exec_driver_sql(f"SET lock_timeout = {LOCK_WAIT_MS}")
        try:
            c.exec_driver_sql(f"SELECT pg_advisory_lock({key})")
        except sa.exc.OperationalError as e:
            if getattr(e.orig, "sqlstate", "") != "55P03":
                raise
            raise FolderInUse(
                f"The database {self._where} is in use",
                f"another node holds it ({self._holder(key)})",
                "Stop that node, or give this one a database of its own",
            ) from None
        c.exec_driver_sql("SET lock_timeout = 0")

    def _holder(self, key: int) -> str:
        """As far as the server tells this user."""
        high, low = (key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF
        row = self._connection.exec_driver_sql(
            "SELECT a.pid, a.client_addr, a.backend_start FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
            " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
            f" AND l.classid::bigint = {high} AND l.objid::bigint = {low}"
        ).first()
        if row is None:
            return "it has just let go"
        if row[2] is None:
            return f"server process {row[0]}, of a role of which this one is told no more"
        return f"server process {row[0]}, from {row[1] or 'the same machine'}, since {row[2]:%Y-%m-%d %H:%M:%S}"

    def take(self, connection: sa.Connection) -> None:
        """Name this node as the holder. Waits for a transaction of the one before that is still being committed."""
        connection.exec_driver_sql(
            "INSERT INTO meta (name, value) VALUES ('holder', %(token)s) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            {"token": self._token},
        )

    def confirm(self, connection: sa.Connection) -> None:
        """In a transaction, before it writes: the database is still this node's, and the server still waits for its disk."""
        row = connection.exec_driver_sql(_HOLDER).first()
        if row is None or bytes(row[0]) != self._token:
            raise FolderInUse(
                f"The database {self._where} is another node's now",
                "this node's lock on it was lost, and another one took it",
                "Stop one of the two, or give each a database of its own",
            )
        self._check_settings(row[1:])

    def check(self) -> None:
        """Is the lock still held? Raises `ServerUnreachable` where the server has ended the connection, or said anything on it."""
        if self._poll.poll(0):
            why = "the server ended the connection that held the lock, so another node may take the database"
            raise ServerUnreachable(f"The database {self._where} is no longer held", why, _TODO_SERVER)

    def close(self) -> None:
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            self._connection.close()


def _raw(connection: sa.Connection) -> Any:
    """The driver's own connection."""
    return connection.connection.dbapi_connection
