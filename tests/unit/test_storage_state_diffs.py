"""What blocks changed, as it is kept and served, and which heights were executed here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from learningchain.chain.codec import encode
from learningchain.chain.ledger.genesis import first_state
from learningchain.chain.ledger.state_diff import MAX_CHANGES, changes_of
from learningchain.chain.node.messages import decode_certificate
from learningchain.chain.storage import schema, state_diffs
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch
from learningchain.chain.storage.errors import StorageDamaged
from tests.unit.node_kit import Net, genesis
from tests.unit.storage_backends import backend as backend
from tests.unit.storage_backends import postgres as postgres
from tests.unit.storage_backends import pytest_generate_tests as pytest_generate_tests
from tests.unit.test_node_sync import chain_of

CHAIN = genesis().chain_id
HEIGHTS = 4


@pytest.fixture(scope="module")
def net() -> Net:
    return chain_of(HEIGHTS)


def filled(path: Path, net: Net, taken_over: tuple[int, ...] = ()) -> BlockStore:
    store = BlockStore.open(str(path), chain_id=CHAIN, create=True)
    store.commit(CommitBatch(0, CHAIN, b"", b"", [], [], [], first_state(genesis())[1]))
    for c in (net.commits[0][h] for h in range(1, HEIGHTS + 1)):
        batch = CommitBatch(c.height, c.block_id, c.block, c.certificate, c.tx_ids, c.receipts, c.account_index, c.state)
        store.commit(CommitBatch(**{**vars(batch), "executed": c.height not in taken_over}))
    return store


@pytest.fixture
def store(tmp_path: Path, net: Net) -> Iterator[BlockStore]:
    opened = filled(tmp_path / "db", net)
    yield opened
    opened.close()


def test_blocks_come_back_with_what_they_did(store: BlockStore, net: Net) -> None:
    found = state_diffs.read(store, 2, 64, 10**9, 10**9)
    kept = [net.commits[0][h] for h in (2, 3, 4)]
    assert found == [(c.block, c.certificate, c.receipts, encode(changes_of(c.state))) for c in kept]
    assert decode_certificate(found[0][1]).height == 2
    assert [height for height, _ in state_diffs.all_changes(store, 3)] == [1, 2, 3]


def test_an_answer_ends_where_it_is_large_enough_and_never_exceeds_the_most(store: BlockStore) -> None:
    assert len(state_diffs.read(store, 1, 3, 10**9, 10**9)) == 3
    assert len(state_diffs.read(store, 1, 64, 1, 10**9)) == 1
    one = sum(len(x) for x in (*state_diffs.read(store, 1, 1, 1, 10**9)[0][:2],)) + 1
    assert state_diffs.read(store, 1, 64, 10**9, one) == [], "the first alone is too large with its receipts and changes"


def test_the_bounds_of_an_answer_are_those_of_all_its_blocks_together(store: BlockStore) -> None:
    """As they are stored, each with its checksum: the one that reaches the size is the last, none goes beyond the most."""
    rows = state_diffs.read(store, 1, HEIGHTS, 10**9, 10**9)
    one, two, three, _ = (sum(map(len, (b, c, encode(r), changes))) + 16 for b, c, r, changes in rows)
    for size, count in ((one, 1), (one + 1, 2), (one + two, 2), (one + two + 1, 3), (one + two + three, 3)):
        assert len(state_diffs.read(store, 1, HEIGHTS, size, 10**9)) == count
    for most, count in ((one - 1, 0), (one, 1), (one + two - 1, 1), (one + two, 2), (one + two + three - 1, 2)):
        assert len(state_diffs.read(store, 1, HEIGHTS, 10**9, most)) == count


def test_where_changes_are_not_kept_nothing_is_told(store: BlockStore) -> None:
    with store.engine.begin() as c:
        c.execute(sa.delete(schema.changes).where(schema.changes.c.height == 3))
    assert len(state_diffs.read(store, 1, 64, 10**9, 10**9)) == 2
    assert state_diffs.read(store, 3, 64, 10**9, 10**9) == []
    assert state_diffs.changes_at(store, 3) is None


def test_changes_beyond_the_bounds_of_a_message_are_read_all_the_same(store: BlockStore) -> None:
    """The deadlines of one block can remove so many escrows; an audit has to read what a node wrote."""
    changes: list[tuple[bytes, bytes | None]] = [(b"e/%07d" % n, None) for n in range(MAX_CHANGES + 1)]
    with store.engine.begin() as c:
        c.execute(sa.delete(schema.changes).where(schema.changes.c.height == 3))
        state_diffs.write(c, 3, changes, True)
    assert state_diffs.changes_at(store, 3) == changes_of(changes)
    assert [len(told.gone) for height, told in state_diffs.all_changes(store, 3) if height == 3] == [MAX_CHANGES + 1]


def test_heights_count_as_audited_up_to_the_first_that_was_taken_over(tmp_path: Path, net: Net) -> None:
    store = filled(tmp_path / "db", net, taken_over=(2, 4))
    assert state_diffs.audited(store) == 1
    state_diffs.set_audited(store, 3)
    assert state_diffs.audited(store) == 3
    store.close()
    again = BlockStore.open(str(tmp_path / "db"), chain_id=CHAIN, create=False)
    assert state_diffs.audited(again) == 3
    state_diffs.set_audited(again, 4)
    assert state_diffs.audited(again) == HEIGHTS
    again.close()


def test_rot_in_the_changes_is_noticed(store: BlockStore) -> None:
    with store.engine.begin() as c:
        c.execute(sa.update(schema.changes).where(schema.changes.c.height == 2).values(changes=b"\0\0\0\0\x92\x90\x90"))
    with pytest.raises(StorageDamaged, match="changes of height 2"):
        state_diffs.read(store, 1, 64, 10**9, 10**9)
