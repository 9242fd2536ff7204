"""What is on the disk when something is said to be stored: read back from what is open, not from what was asked for."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from learningchain.chain.storage import schema, staging, state_diffs
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.storage.errors import DiskFull, StorageDamaged
from learningchain.chain.storage.schema import add_checksum, at, check_checksum
from learningchain.chain.storage.staging import Staging
from learningchain.client.work.artifacts import Models
from learningchain.client.work.database import WorkDatabase
from learningchain.p2p.content.index import Index
from learningchain.p2p.content.partial import Downloads
from learningchain.p2p.content.store import ContentStore
from tests.unit.storage_blocks import CHAIN
from tests.unit.test_content_store import ROOT, download
from tests.unit.test_storage_blockstore import fill, open_store
from tests.unit.test_storage_snapshot import HEIGHTS, empty, served, take
from tests.unit.test_storage_snapshot import fill as fill_net
from tests.unit.test_storage_snapshot import net as net
from tests.unit.test_storage_snapshot import server as server

FULL, WAL = 2, "wal"
"""SQLite's `synchronous`: in WAL mode anything less loses transactions that were committed, in a power cut."""


@pytest.fixture
def open_umask() -> Iterator[None]:
    """The usual one: without care, everybody may read a new file."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def settings(run: Callable[[str], Any]) -> tuple[Any, Any]:
    return run("PRAGMA synchronous"), run("PRAGMA journal_mode")


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.is_file()}


@pytest.mark.usefixtures("open_umask")
def test_the_block_store_syncs_every_height_and_shows_it_to_nobody(tmp_path: Path) -> None:
    store = open_store(tmp_path / "db")
    seen: list[tuple[Any, Any]] = []

    def look(connection: sa.Connection) -> None:
        seen.append(settings(lambda text: connection.exec_driver_sql(text).scalar()))

    sa.event.listen(store.engine, "commit", look)
    fill(store, 2)
    assert len(seen) >= 2
    assert set(seen) == {(FULL, WAL)}, "of the very connections that committed"
    found = modes(tmp_path)
    assert {"db", "db-wal"} <= found.keys()
    assert set(found.values()) == {0o600}
    store.close()


@pytest.mark.usefixtures("open_umask")
def test_the_work_book_syncs_every_salt_and_shows_it_to_nobody(tmp_path: Path) -> None:
    book = WorkDatabase(tmp_path / "work" / "work.db", CHAIN, bytes(20))
    assert settings(lambda text: book._db.execute(text).fetchone()[0]) == (FULL, WAL)
    found = modes(tmp_path / "work")
    assert {"work.db", "work.db-wal"} <= found.keys()
    assert set(found.values()) == {0o600}
    book.close()


@pytest.mark.usefixtures("open_umask")
def test_the_index_of_contents_syncs_every_change_and_shows_it_to_nobody(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.sqlite")
    assert settings(lambda text: index._db.execute(text).fetchone()[0]) == (FULL, WAL)
    assert set(modes(tmp_path).values()) == {0o600}
    index.close()


def test_a_database_that_somebody_else_could_read_is_closed_to_them(tmp_path: Path) -> None:
    open_store(tmp_path / "db").close()
    (tmp_path / "db").chmod(0o644)
    store = open_store(tmp_path / "db", create=False)
    assert modes(tmp_path)["db"] == 0o600
    store.close()


def test_a_link_where_a_database_belongs_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    victim.chmod(0o644)
    for name, opened in (
        ("db", lambda path: open_store(path)),
        ("work.db", lambda path: WorkDatabase(path, CHAIN, bytes(20))),
        ("index.sqlite", lambda path: Index(path)),
    ):
        (tmp_path / name).symlink_to(victim)
        with pytest.raises(Exception, match="it is a link"):
            opened(tmp_path / name)
    assert victim.read_bytes() == b""
    assert stat.S_IMODE(victim.stat().st_mode) == 0o644


# --- seals -------------------------------------------------------------------------------------------------------------------


def test_the_seal_of_a_blob_is_the_one_that_every_program_made() -> None:
    """CRC-32 over the place, then over the blob; four bytes before it."""
    assert at(5, "header") == b"header" + bytes(7) + b"\x05"
    assert add_checksum(at(5, "header"), b"blob").hex() == "c4acf32e" + b"blob".hex()
    assert check_checksum("it", at(5, "header"), add_checksum(at(5, "header"), b"blob")) == b"blob"


@pytest.mark.parametrize("place", [at(6, "header"), at(5, "block"), at(5, "headers"), b""])
def test_a_blob_under_the_seal_of_another_place_is_damage(place: bytes) -> None:
    with pytest.raises(StorageDamaged, match="header of height 5"):
        check_checksum("header of height 5", at(5, "header"), add_checksum(place, b"blob"))


@pytest.mark.parametrize("column", ["block", "certificate", "receipts", "header"])
def test_the_blob_of_one_height_does_not_pass_for_that_of_another(tmp_path: Path, column: str) -> None:
    """Both blobs are whole, and each has a seal that a checksum without its place would find right."""
    store = open_store(tmp_path / "db")
    fill(store, 3)
    store.close()
    with sqlite3.connect(tmp_path / "db") as db:
        (two,), (three,) = (db.execute(f"SELECT {column} FROM blocks WHERE height = ?", (h,)).fetchone() for h in (2, 3))
        assert two != three
        db.execute(f"UPDATE blocks SET {column} = ? WHERE height = 2", (three,))
        db.execute(f"UPDATE blocks SET {column} = ? WHERE height = 3", (two,))
    db.close()
    with pytest.raises(StorageDamaged, match=f"{column} of height [23]"):
        store = open_store(tmp_path / "db", create=False)
        try:
            for height in (2, 3):
                store.column(height, column)
        finally:
            store.close()


# --- the store ---------------------------------------------------------------------------------------------------------------


def test_what_was_audited_is_noted_by_one_writer_at_a_time(tmp_path: Path) -> None:
    store = open_store(tmp_path / "db")
    fill(store, 2)
    alone: list[bool] = []
    sa.event.listen(store.engine, "commit", lambda _: alone.append(store._write_lock.locked()))
    state_diffs.set_audited(store, 1)
    assert alone == [True]
    done = threading.Event()
    with store.write("something else"):
        thread = threading.Thread(target=lambda: (state_diffs.set_audited(store, 2), done.set()))
        thread.start()
        assert not done.is_set()
    thread.join(30)
    assert done.is_set()
    store.close()


def test_a_node_never_goes_back_to_a_snapshot_that_its_blocks_have_passed(
    server: BlockStore,
    net: Any,
    tmp_path: Path,
) -> None:
    store = empty(tmp_path / "late")
    take(store, served(server, tmp_path / "file"))
    Staging(store).ready()
    fill_net(store, net, 1, HEIGHTS + 1)
    assert staging.switch(store) is None
    head = store.head()
    assert head is not None
    assert head.height == HEIGHTS + 1
    assert store.block(1) is not None
    with store.read("look at what is staged") as c:
        assert c.execute(sa.select(sa.func.count()).select_from(schema.staged_pages)).scalar() == 0
    store.check(True)
    store.close()


def test_pages_that_a_full_disk_refused_are_written_with_the_height_that_is_tried_again(
    server: BlockStore, net: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up at the end of the transaction: what it wrote until then is not there."""
    write, written = server.buckets.write, list(server.buckets._written)
    server.buckets._credit = 300.0  # every part has its turn

    def full(*given: Any) -> None:
        write(*given)
        assert server.buckets._written != written
        raise DiskFull("store it", "no space left", "Free some")

    with monkeypatch.context() as cramped:
        cramped.setattr(server.buckets, "write", full)
        with pytest.raises(DiskFull):
            fill_net(server, net, HEIGHTS + 1, HEIGHTS + 1)
    assert server.buckets._written == written
    fill_net(server, net, HEIGHTS + 1, HEIGHTS + 1)
    server.check(True)
    again = BlockStore.open(server.where, chain_id=server.chain_id, create=False)
    assert dict(again.open_state().items()) == dict(server.load_state())
    again.check(True)
    again.close()


# --- contents ----------------------------------------------------------------------------------------------------------------


def test_an_own_model_and_its_name_are_synced_before_it_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim whose model a power cut takes costs the stake."""
    (tmp_path / "fresh").write_bytes(b"weights")
    done: list[str] = []
    replace, fsync = os.replace, os.fsync

    def note(fd: int) -> None:
        done.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
        fsync(fd)

    monkeypatch.setattr(os, "replace", lambda source, target: (done.append("named"), replace(source, target))[1])
    monkeypatch.setattr(os, "fsync", note)
    models = Models(tmp_path / "work", None)  # type: ignore[arg-type]
    assert models._adopt(tmp_path / "fresh", "run").path == tmp_path / "work/run.model"
    assert done == ["named", "run.model", "work"]


def test_a_download_is_synced_before_it_counts_as_a_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ContentStore(tmp_path / "content", quota=200 * 2**20, spare=0)
    downloads: Downloads = download(store)
    fd = downloads._open[ROOT]
    done: list[str] = []
    fsync, finish = os.fsync, store.finish
    monkeypatch.setattr(os, "fsync", lambda target: (done.append("sync") if target == fd else None, fsync(target))[1])
    monkeypatch.setattr(store, "finish", lambda root: (done.append("finish"), finish(root))[1])
    downloads.complete(ROOT)
    assert done[:2] == ["sync", "finish"]
    assert store.has(ROOT)
    downloads.release(ROOT)
    store.close()
