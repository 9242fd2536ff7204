"""Copies of a block store, and databases of older versions: the same blocks, head and root, or no store at all."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import sqlalchemy as sa

from learningchain.chain.storage import archive, copying, index, migrations, schema
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch
from learningchain.chain.storage.errors import StorageDamaged, StorageError, StorageFailed, StorageMismatch
from learningchain.chain.storage.pruning import Horizon, drop_step
from tests.postgres import Server
from tests.postgres import postgres as postgres
from tests.unit.storage_blocks import CHAIN, chain_of
from tests.unit.test_storage_blockstore import Model

HEIGHTS = 25
Ways = dict[str, str]


@pytest.fixture
def ways(tmp_path: Path, postgres: Server) -> Ways:
    return {
        "file": str(tmp_path / "db"),
        "other file": str(tmp_path / "other"),
        "server": postgres.new_schema(),
        "other server": postgres.new_schema(),
    }


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "SEGMENT_ENTRIES", 60)
    monkeypatch.setattr(copying, "BATCH_ROWS", 7)


def filled(where: str, count: int = HEIGHTS) -> tuple[BlockStore, list[CommitBatch]]:
    store = BlockStore.open(where, chain_id=CHAIN, create=True)
    batches = list(islice(chain_of(4), count))
    store.commit_async(*batches).result()
    return store, batches


def heard(_table: str, _rows: int) -> None:
    pass


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("file", "server"),
        ("server", "file"),
        pytest.param("file", "other file", marks=pytest.mark.full("from one kind to the other")),
        pytest.param("server", "other server", marks=pytest.mark.full("from one kind to the other")),
    ],
)
def test_a_copy_has_the_same_blocks_head_and_root_and_goes_on(ways: Ways, source: str, target: str) -> None:
    store, batches = filled(ways[source])
    root = store.open_state().root
    told: list[tuple[str, int]] = []
    copied = copying.copy_store(store, ways[target], lambda table, rows: told.append((table, rows)))
    assert (copied.height, copied.block_id, copied.state_root) == (HEIGHTS, batches[-1].block_id, root)
    assert copied.resumed == 0 and copied.rows == sum(rows for _, rows in told) > 3 * HEIGHTS
    other = BlockStore.open(ways[target], chain_id=CHAIN, create=False, hold=True)
    other.check(full=True)
    Model(batches).check(other)
    assert other.segments() == store.segments() != []
    more = list(islice(chain_of(4), HEIGHTS + 3))[HEIGHTS:]
    for batch in more:
        other.commit(batch)
    Model([*batches, *more]).check(other)
    other.close()
    store.close()


@pytest.mark.parametrize(("source", "target"), [("file", "server"), ("server", "file")])
def test_what_was_dropped_is_not_there_either(ways: Ways, source: str, target: str) -> None:
    store, batches = filled(ways[source])
    while drop_step(store, Horizon(10, 0, 10**9)):
        pass
    assert store.base == HEIGHTS - 10
    copying.copy_store(store, ways[target], heard)
    other = BlockStore.open(ways[target], chain_id=CHAIN, create=False)
    assert other.base == store.base and other.block(3) is None
    assert other.block(HEIGHTS).block == batches[-1].block  # type: ignore[union-attr]
    other.check(full=True)
    other.close()
    store.close()


@pytest.mark.parametrize(("source", "target"), [("file", "server"), ("server", "file")])
def test_a_copy_that_was_cut_off_is_no_store_and_goes_on(
    ways: Ways, source: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, batches = filled(ways[source])
    left = 9

    def cut(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt

    run = schema.Bulk.run
    monkeypatch.setattr(schema.Bulk, "run", lambda *words: (cut(), run(*words))[1])
    with pytest.raises(KeyboardInterrupt):
        copying.copy_store(store, ways[target], heard)
    for create in (True, False):
        with pytest.raises(StorageFailed, match=r"a copy into it did not end.*Finish the copy"):
            BlockStore.open(ways[target], chain_id=CHAIN, create=create)
    copied = copying.copy_store(store, ways[target], heard)
    assert copied.resumed >= 8 and copied.height == HEIGHTS
    other = BlockStore.open(ways[target], chain_id=CHAIN, create=False)
    Model(batches).check(other)
    other.close()
    store.close()


def test_a_target_that_holds_anything_else_is_refused_and_left_as_it_is(ways: Ways) -> None:
    store, _ = filled(ways["file"])
    for target in ("other file", "server"):
        other, batches = filled(ways[target], 3)
        other.close()
        with pytest.raises(StorageFailed, match="is not empty"):
            copying.copy_store(store, ways[target], heard)
        other = BlockStore.open(ways[target], chain_id=CHAIN, create=False)
        Model(batches).check(other)
        other.close()
    store.close()


def test_a_copy_of_something_else_is_not_gone_on_with(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = filled(ways["file"])
    with monkeypatch.context() as m:
        m.setattr(copying, "_compare", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            copying.copy_store(store, ways["server"], heard)
    store.commit(list(islice(chain_of(4), HEIGHTS + 1))[-1])
    with pytest.raises(StorageFailed, match="is not empty"):
        copying.copy_store(store, ways["server"], heard)
    store.close()


def test_a_row_that_is_not_the_same_is_found_and_the_copy_stays_unfinished(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = filled(ways["file"])
    compare = copying._compare

    def spoil(source: BlockStore, target: BlockStore) -> None:
        with target.write("spoil it") as c:
            c.execute(sa.delete(schema.changes).where(schema.changes.c.height == 2))
        compare(source, target)

    monkeypatch.setattr(copying, "_compare", spoil)
    with pytest.raises(StorageDamaged, match="the rows of changes differ"):
        copying.copy_store(store, ways["server"], heard)
    with pytest.raises(StorageFailed, match="did not end"):
        BlockStore.open(ways["server"], chain_id=CHAIN, create=True)
    store.close()


def test_an_empty_store_is_not_copied(ways: Ways) -> None:
    store = BlockStore.open(ways["file"], chain_id=CHAIN, create=True)
    with pytest.raises(StorageError, match="it holds no blocks"):
        copying.copy_store(store, ways["server"], heard)
    store.close()


# --- older versions -----------------------------------------------------------------------------------------------------------


def to_version_5(store: BlockStore) -> None:
    """As a program of that version left it: nothing that leaves the state is kept."""
    with store.write("go back") as c:
        schema.archived.drop(c)
        schema.archived_numbers.drop(c)
        c.execute(sa.update(schema.meta).where(schema.meta.c.name == "schema").values(value=b"5"))


def version(store: BlockStore) -> bytes:
    with store.read("look") as c:
        return bytes(c.execute(sa.select(schema.meta.c.value).where(schema.meta.c.name == "schema")).scalar_one())


@pytest.mark.parametrize("where", ["file", "server"])
def test_a_database_of_the_version_before_is_upgraded_by_its_holder_alone(ways: Ways, where: str) -> None:
    store, batches = filled(ways[where], 5)
    to_version_5(store)
    store.close()
    with pytest.raises(StorageMismatch, match=r"an older version .*format 5.*start the node once"):
        BlockStore.open(ways[where], chain_id=CHAIN, create=False)
    for _ in range(2):
        store = BlockStore.open(ways[where], chain_id=CHAIN, create=False, hold=True)
        assert version(store) == b"6"
        assert archive.read(store, [bytes(32)]) == {}
        Model(batches).check(store)
        store.close()
    store = BlockStore.open(ways[where], chain_id=CHAIN, create=False)
    store.check(full=True)
    store.close()


@pytest.mark.parametrize("where", ["file", "server"])
def test_an_upgrade_that_fails_leaves_the_old_database(ways: Ways, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, batches = filled(ways[where], 5)
    to_version_5(store)
    store.close()

    def breaks(connection: sa.Connection) -> None:
        schema.archived.create(connection)
        raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr(migrations, "STEPS", {5: breaks})
        with pytest.raises(KeyboardInterrupt):
            BlockStore.open(ways[where], chain_id=CHAIN, create=False, hold=True)
    store = BlockStore.open(ways[where], chain_id=CHAIN, create=True)
    assert version(store) == b"6"
    Model(batches).check(store)
    store.close()


@pytest.mark.parametrize("where", ["file", "server"])
@pytest.mark.parametrize(("number", "said"), [(b"7", "a newer version"), (b"4", "an older version"), (b"x", "names no version")])
def test_other_versions_are_refused_also_by_who_holds(ways: Ways, where: str, number: bytes, said: str) -> None:
    store, _ = filled(ways[where], 2)
    with store.write("another version") as c:
        c.execute(sa.update(schema.meta).where(schema.meta.c.name == "schema").values(value=number))
    store.close()
    with pytest.raises(StorageMismatch, match=said):
        BlockStore.open(ways[where], chain_id=CHAIN, create=True)
