"""Records that left the state, as a node keeps them: with the block that removed them, found by reference and by number."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from learningchain.chain.codec import encode
from learningchain.chain.storage import archive
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.storage.errors import StorageDamaged
from learningchain.client.contracts.job.http import views
from learningchain.client.daemon.service import RunningNode
from tests.unit.api_kit import PARAMS, FakeLedger
from tests.unit.storage_backends import backend as backend
from tests.unit.storage_backends import postgres as postgres
from tests.unit.storage_backends import pytest_generate_tests as pytest_generate_tests
from tests.unit.storage_blocks import CHAIN, chain_of
from tests.unit.test_api_jobs import OK
from tests.unit.test_storage_blockstore import open_store

A, B = b"\xa1" * 32, b"\xb2" * 32


def key(prefix: bytes, ref: bytes, rest: bytes = b"") -> bytes:
    return prefix + ref + rest


def number(n: int) -> bytes:
    return b"jn/" + n.to_bytes(8, "big")


@pytest.fixture
def store(tmp_path: Path) -> BlockStore:
    opened = open_store(tmp_path / "db")
    first, second, third = islice(chain_of(3), 3)
    opened.commit(first)
    left = [(key(b"jp/", A), b"posting"), (key(b"jb/", A), b"job"), (number(7), encode([A]))]
    opened.commit(replace(second, archived=[*left, (key(b"jb/", B), b"other"), (number(300), encode([B]))]))
    opened.commit(replace(third, archived=[(key(b"jc/", A, b"\0\0\0\1"), b"claim")]))
    return opened


def test_what_left_is_found_by_its_reference_over_all_its_blocks(store: BlockStore) -> None:
    found = archive.read(store, [A, B, bytes(32)])
    assert set(found) == {A, B}
    assert found[A].height == 2
    assert found[A].records == {key(b"jp/", A): b"posting", key(b"jb/", A): b"job", key(b"jc/", A, b"\0\0\0\1"): b"claim"}


def test_references_are_listed_by_number_in_pages(store: BlockStore) -> None:
    assert archive.below(store, b"jn/", None, 10) == [(300, B), (7, A)]
    assert archive.below(store, b"jn/", 300, 10) == [(7, A)]
    assert archive.below(store, b"jn/", None, 1) == [(300, B)]
    assert archive.below(store, b"jn/", 7, 10) == []


def test_references_are_found_by_how_they_begin(store: BlockStore) -> None:
    assert archive.within(store, bytes(32), b"\xff" * 32, 10) == [A, B]
    assert archive.within(store, b"\xb2" + bytes(31), b"\xb2" + b"\xff" * 31, 10) == [B]
    assert archive.within(store, bytes(32), b"\xa0" * 32, 10) == []


@pytest.mark.sqlite
@pytest.mark.parametrize(("table", "column"), [("archived", "records"), ("archived_numbers", "ref")])
def test_rot_is_noticed(store: BlockStore, tmp_path: Path, table: str, column: str) -> None:
    store.close()
    with sqlite3.connect(tmp_path / "db") as c:
        c.execute(f"UPDATE {table} SET {column} = CAST({column} || x'00' AS BLOB)")
    again = BlockStore.open(str(tmp_path / "db"), chain_id=CHAIN, create=False)
    with pytest.raises(StorageDamaged):
        archive.check(again)
    with pytest.raises(StorageDamaged):
        archive.read(again, [A]) if table == "archived" else archive.below(again, b"jn/", None, 1)


# --- a running node ----------------------------------------------------------------------------------------------------------


class Settled:
    """A driver whose database holds all that was decided."""

    node = None

    async def settled(self) -> None:
        return


async def test_a_running_node_tells_of_a_job_that_left_from_its_database(tmp_path: Path) -> None:
    chain = FakeLedger()
    job = chain.judged_job(OK)
    told = views.describe(chain.state, job)
    chain.block(PARAMS.job_keep)
    store = open_store(tmp_path / "db")
    first, second = islice(chain_of(3), 2)
    store.commit(first)
    store.commit(replace(second, archived=[(key, raw) for key, (_, raw) in chain.archive.items()]))
    nothing: Any = None
    settled: Any = Settled()
    ledger: Any = chain
    content: Any = SimpleNamespace(store=SimpleNamespace(contents=lambda: ()))
    node = RunningNode(settled, ledger, store, nothing, content, nothing, name="test", version="0", first_validators=[])
    found = await node.archived([job, bytes(32)])
    assert set(found) == {job} and found[job].height == 2
    assert views.describe(chain.state, job) is None
    assert views.describe(found[job].reader, job) == told
    assert await node.archived_below(b"jn/", None, 5) == [(0, job)]
    assert await node.archived_within(bytes(32), b"\xff" * 32, 5) == [job]
