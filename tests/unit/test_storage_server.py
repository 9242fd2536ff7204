"""A database on a real server: one node's alone, durable or refused, and never a word of its password."""

from __future__ import annotations

import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from types import SimpleNamespace

import pytest

from learningchain.chain.storage import server as storage_server
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.storage.errors import FolderInUse, ServerUnreachable, StorageError, StorageFailed
from tests.postgres import Server, running
from tests.postgres import postgres as postgres
from tests.unit.storage_blocks import CHAIN, chain_of

SOON_S = 30.0


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    """Of a database of its own: what is set there is nobody else's."""
    yield postgres.new_database()


def open_store(url: str, *, create: bool = True, hold: bool | None = None) -> BlockStore:
    return BlockStore.open(url, chain_id=CHAIN, create=create, hold=hold)


def fill(store: BlockStore, count: int) -> None:
    for batch in islice(chain_of(2), count):
        store.commit(batch)


def database_of(url: str) -> str:
    return url.split("@/")[1].split("?")[0]


def ends(postgres: Server, pid: int) -> None:
    assert postgres.run(f"SELECT pg_terminate_backend({pid}, 30000)") == [(True,)]


def locks(postgres: Server, database: str) -> list[int]:
    """The server's processes that hold a lock on this database."""
    query = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = '{}')"
    return [int(str(pid)) for (pid,) in postgres.run(query.format(database))]


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def open_store_later(url: str, heights: list[int]) -> threading.Thread:
    """Note the height that a new holder finds."""

    def run() -> None:
        store = open_store(url, create=False, hold=True)
        heights.append(store.head().height)  # type: ignore[union-attr]
        store.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


# --- one node alone -----------------------------------------------------------------------------------------------------------


def test_a_second_node_is_kept_off_and_told_who_holds_the_database(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_server, "LOCK_WAIT_MS", 50)
    store = open_store(url)
    fill(store, 2)
    with pytest.raises(FolderInUse, match=r"another node holds it \(server process \d+, from the same machine, since 20"):
        open_store(url)
    reader = open_store(url, create=False)
    assert reader.head().height == 2, "who only reads may"  # type: ignore[union-attr]
    assert reader.hold_fd is None
    reader.close()
    store.check_hold()
    store.close()
    open_store(url).close()


def test_another_role_s_node_is_told_as_far_as_the_server_tells(
    url: str, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_server, "LOCK_WAIT_MS", 50)
    database = database_of(url)
    postgres.run(f"CREATE ROLE other_{database} LOGIN")
    postgres.run(f"GRANT ALL ON SCHEMA public TO other_{database}", database)
    store = open_store(url)
    with pytest.raises(FolderInUse, match=r"another node holds it \(server process \d+, of a role"):
        open_store(url.replace("postgres@", f"other_{database}@"))
    store.close()


@pytest.mark.parametrize(
    "settings",
    [
        {"idle_session_timeout": "100ms", "idle_in_transaction_session_timeout": "100ms"},
        {"statement_timeout": "1ms", "lock_timeout": "1ms"},
        {"default_transaction_read_only": "on", "default_transaction_isolation": "serializable"},
        {"datestyle": "SQL, DMY", "client_encoding": "LATIN1", "client_min_messages": "debug1", "bytea_output": "escape"},
    ],
)
def test_what_a_role_has_set_for_its_sessions_does_not_end_a_node(url: str, postgres: Server, settings: dict[str, str]) -> None:
    for name, value in settings.items():
        postgres.run(f"ALTER DATABASE {database_of(url)} SET {name} = '{value}'")
    store = open_store(url)
    fill(store, 2)
    with store.engine.connect() as c:
        mine = {name: c.exec_driver_sql(f"SHOW {name}").scalar() for name in settings if name in storage_server.SESSION}
    assert all(str(value).startswith(storage_server.SESSION[name]) for name, value in mine.items())
    assert store._hold is not None
    held = store._hold._connection.exec_driver_sql("SHOW idle_session_timeout").scalar()
    assert held == "0"
    store.check_hold()
    assert store.head().height == 2  # type: ignore[union-attr]
    store.close()


def test_two_schemas_of_a_database_are_two_nodes(postgres: Server) -> None:
    first, second = open_store(postgres.new_schema()), open_store(postgres.new_schema())
    fill(first, 2)
    fill(second, 1)
    assert (first.head().height, second.head().height) == (2, 1)  # type: ignore[union-attr]
    first.close()
    second.close()


def test_a_node_whose_lock_is_gone_knows_before_it_signs_and_stores_nothing_more(postgres: Server, url: str) -> None:
    store = open_store(url)
    fill(store, 2)
    assert store.hold_fd is not None
    assert select.select([store.hold_fd], [], [], 0)[0] == []
    (pid,) = locks(postgres, database_of(url))
    ends(postgres, pid)
    assert select.select([store.hold_fd], [], [], SOON_S)[0], "whoever watches is woken"
    for _ in range(2):
        with pytest.raises(ServerUnreachable, match=r"no longer held.*Check that the database server runs"):
            store.check_hold()
    other = open_store(url)
    with pytest.raises(FolderInUse, match="is another node's now"):
        store.commit(next(chain_of(1, start=3)))
    with pytest.raises(FolderInUse, match="is another node's now"), store.write("drop old blocks"):
        pytest.fail("nothing is written under a lost lock")
    assert other.head().height == 2  # type: ignore[union-attr]
    store.close()
    other.commit(list(islice(chain_of(2), 3))[2])
    other.check(full=True)
    other.close()


def test_a_height_that_was_begun_under_the_old_lock_is_not_lost_and_not_mixed(
    postgres: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new holder waits for the end of a transaction that had the token, and begins from what it left."""
    store = open_store(url)
    first, second = islice(chain_of(2), 2)
    store.commit(first)
    (pid,) = locks(postgres, database_of(url))
    found: list[int] = []
    original = store.buckets.write

    def meanwhile(*words: object) -> None:
        original(*words)  # type: ignore[arg-type]
        ends(postgres, pid)
        waiting = open_store_later(url, found)
        blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '{}'"
        until(lambda: postgres.run(blocked.format(database_of(url))) == [(1,)])
        threads.append(waiting)

    threads: list[threading.Thread] = []
    monkeypatch.setattr(store.buckets, "write", meanwhile)
    store.commit(second)
    threads[0].join(SOON_S)
    assert found == [2], "it sees the height that was being committed"
    store.close()


def test_a_server_that_goes_away_is_noticed_and_comes_back_with_every_height(postgres: Server) -> None:
    with running() as own:
        store = open_store(own.new_database())
        fill(store, 3)
        own.stop(signal.SIGQUIT)
        with pytest.raises(StorageFailed, match="no longer held"):
            store.check_hold()
        with pytest.raises(StorageError):
            store.commit(next(chain_of(1, start=4)))
        where = store.where
        store.close()
        own.start()
        again = open_store(where, create=False, hold=True)
        assert again.head().height == 3  # type: ignore[union-attr]
        again.check(full=True)
        again.close()


# --- durable ------------------------------------------------------------------------------------------------------------------


def test_a_server_that_confirms_what_is_not_on_its_disk_is_refused(postgres: Server, url: str) -> None:
    name = database_of(url)
    postgres.run(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with pytest.raises(StorageFailed, match=r"synchronous_commit = off\).*Set synchronous_commit = on"):
        open_store(url)
    for safe in ("local", "remote_write", "on"):
        postgres.run(f"ALTER DATABASE {name} SET synchronous_commit = {safe}")
        open_store(url).close()


@pytest.mark.parametrize("name", ["fsync", pytest.param("full_page_writes", marks=pytest.mark.full("fsync"))])
def test_settings_that_change_while_it_runs_end_the_store(postgres: Server, name: str) -> None:
    with running() as own:
        store = open_store(own.new_database())
        fill(store, 1)
        own.run(f"ALTER SYSTEM SET {name} = off")
        own.run("SELECT pg_reload_conf()")
        until(lambda: own.run(f"SHOW {name}") == [("off",)])
        with store.engine.connect() as c:  # that the store's own session has read it
            until(lambda: c.exec_driver_sql(f"SHOW {name}").scalar() == "off")
        with pytest.raises(StorageFailed, match=rf"\({name} = off\)"):
            store.commit(next(chain_of(1, start=2)))
        store.close()
        with pytest.raises(StorageFailed, match=rf"\({name} = off\)"):
            open_store(store.where, create=False, hold=True)


# --- who may, and what is said ------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_told_without_the_password(postgres: Server) -> None:
    secret = "sesame-open"
    for url, said in (
        (f"postgresql://nobody:{secret}@/postgres?host={postgres.folder}", "nobody"),
        (f"postgresql://postgres:{secret}@/missing?host={postgres.folder}", "missing"),
        (f"postgresql://postgres:{secret}@/postgres?host={postgres.folder}&options=-csearch_path%3Dnowhere", "search_path"),
        (f"postgresql://postgres:{secret}@127.0.0.1:1/postgres", "refused"),
        (f"postgresql://postgres@/postgres?host={postgres.folder}&nonsense={secret}", "nonsense"),
    ):
        with pytest.raises(StorageError, match=said) as told:
            open_store(url)
        if "nonsense" not in url:
            assert secret not in str(told.value)
            assert "***" in str(told.value)
    with pytest.raises(StorageFailed, match=r"is empty: it has no tables"):
        open_store(postgres.new_schema(), create=False)


def test_a_pooler_between_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names a process of its own: what is locked through it is not this node's."""
    monkeypatch.setattr(storage_server, "_raw", lambda _: SimpleNamespace(info=SimpleNamespace(backend_pid=1)))
    with pytest.raises(StorageFailed, match="a pooler stands before the server"):
        open_store(url)


def test_the_password_is_seen_by_nobody_who_looks_at_the_server(postgres: Server) -> None:
    url = postgres.new_database().replace("postgres@", "postgres:sesame-open@")
    store = open_store(url)
    fill(store, 1)
    seen = postgres.run("SELECT application_name, query FROM pg_stat_activity WHERE application_name = 'learningchain'")
    assert len(seen) >= 2
    assert "sesame" not in str(seen) + store.where + repr(store.engine) + repr(store.engine.url)
    store.close()
