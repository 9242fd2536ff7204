"""A PostgreSQL server of the tests' own: a cluster in a folder of its own, a unix socket, nobody else's settings; gone at the end.

PostgreSQL refuses to run as root: there it runs as the user that Debian's package made. The kernel ends it with the process of the
tests, however that ends.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest

USER = "postgres"
PREFIX = "lc-pg-"
START_S = 60.0
"""On a machine that others use."""
STOP_S = 30.0
MEMORY = 2**30
SETTINGS = {
    "listen_addresses": "''",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "autovacuum": "off",
    "log_checkpoints": "off",
}
"""What is durable stays as it comes, on: a node refuses anything else."""
_numbers = itertools.count()


class NoServer(Exception):
    """There is none to be had here; the text says why."""


@functools.cache
def programs() -> Path:
    """The folder of the newest installed server. Raises `NoServer`."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        where = shutil.which("initdb")
        if where is None:
            raise NoServer("PostgreSQL is not installed, and could not be: scripts/postgresql.sh says why")
        return Path(where).parent
    return found[-1].parent


def _room() -> str | None:
    """In memory, where there is enough: no test here cuts the power."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > MEMORY else None


def sweep() -> None:
    """Folders of tests that were killed: their servers are gone, and what they held in memory should be."""
    for room in {tempfile.gettempdir(), _room() or tempfile.gettempdir()}:
        for folder in Path(room).glob(f"{PREFIX}*"):
            owner = folder.name.removeprefix(PREFIX).partition("-")[0]
            if owner.isdigit() and not Path("/proc", owner).exists():
                shutil.rmtree(folder, ignore_errors=True)


class Server:
    """A running server. `start` after `stop` or `kill` goes on with the same data."""

    def __init__(self, *, in_memory: bool = True) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=_room() if in_memory else None))
        """Short: a socket's path has 107 bytes."""
        sweep()
        self.data, self.log = self.folder / "data", self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            with contextlib.suppress(KeyError):
                user = pwd.getpwnam(USER)
                os.chown(self.folder, user.pw_uid, user.pw_gid)
        made = subprocess.run(
            [*self._as_user(), programs() / "initdb", "-D", self.data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
            capture_output=True,
            text=True,
            timeout=START_S,
            cwd=self.folder,
        )
        if made.returncode:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise NoServer(f"initdb failed: {made.stderr.strip()}")

    def _as_user(self) -> list[str | Path]:
        """It gets the signal that ends it at once when this process is gone."""
        who = ["--reuid", USER, "--regid", USER, "--clear-groups"] if os.geteuid() == 0 else []
        return ["setpriv", *who, "--pdeathsig", "QUIT"]

    def start(self, settings: Mapping[str, str] = {}) -> Server:
        given = [f"-c{name}={value.strip(chr(39))}" for name, value in {**SETTINGS, **settings}.items()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._as_user(), programs() / "postgres", "-D", self.data, "-k", self.folder, *given],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
            )
        until = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.dsn(), connect_timeout=5).close()
                return self
            except psycopg.OperationalError as fault:
                if self._process.poll() is not None or time.monotonic() > until:
                    said = self.log.read_text(errors="replace")[-2_000:]
                    self.close()
                    raise NoServer(f"the server does not start: {fault}; its log ends: {said}") from None
                time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends its connections and shuts down; SIGQUIT is what a crash leaves, with all processes gone."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def signal_all(self, number: signal.Signals) -> None:
        """To the server and all its processes: SIGSTOP leaves a server that takes connections and answers nothing."""
        assert self._process is not None
        own = str(self._process.pid)
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if stat.read_text().rpartition(")")[2].split()[1] == own:
                    os.kill(int(stat.parent.name), number)
        self._process.send_signal(number)

    def close(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def dsn(self, database: str = "postgres") -> str:
        return f"host={self.folder} user={USER} dbname={database}"

    def url(self, database: str = "postgres", schema: str = "") -> str:
        where = f"postgresql://{USER}@/{database}?host={self.folder}"
        return f"{where}&options=-csearch_path%3D{schema}" if schema else where

    def run(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """One statement, as the server's administrator."""
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"d{next(_numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    def new_schema(self) -> str:
        """The URL of an empty schema, for a store of its own: made in a millisecond."""
        name = f"s{next(_numbers)}"
        self.run(f"CREATE SCHEMA {name}")
        return self.url(schema=name)


@contextlib.contextmanager
def running(settings: Mapping[str, str] = {}) -> Iterator[Server]:
    """Raises `NoServer`."""
    server = Server().start(settings)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One for all tests of a process that want one: each takes a schema or a database of its own there."""
    try:
        server = Server().start()
    except NoServer as why:
        pytest.skip(f"no PostgreSQL: {why}")
    yield server
    server.close()
