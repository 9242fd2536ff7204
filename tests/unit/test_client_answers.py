"""Answers to peers who ask for decided blocks: what is stored, what is on its way there, and how much of it is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from learningchain.chain.codec import encode
from learningchain.chain.ledger.state_diff import MAX_CHANGES, MAX_RECEIPT
from learningchain.chain.node import decided
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.sync import DEADLINE
from learningchain.chain.storage import schema
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch
from learningchain.chain.storage.errors import StorageDamaged
from learningchain.chain.types import block_id
from learningchain.client.node import answers
from tests.unit.node_kit import T0, Net, fresh, ident, of_kind, receive, sent
from tests.unit.test_node_sync import chain_of
from tests.unit.test_storage_snapshot import empty, fill

HEIGHTS, STORED = 9, 6
PEER = ident(1)


@pytest.fixture(scope="module")
def net() -> Net:
    return chain_of(HEIGHTS)


@pytest.fixture
def store(tmp_path: Path, net: Net) -> Iterator[BlockStore]:
    made = empty(tmp_path / "db")
    fill(made, net, 1, STORED)
    yield made
    made.close()


def batches(net: Net, first: int) -> list[CommitBatch]:
    commits = [net.commits[0][height] for height in range(first, HEIGHTS + 1)]
    return [
        CommitBatch(c.height, c.block_id, c.block, c.certificate, c.tx_ids, c.receipts, c.account_index, c.state) for c in commits
    ]


def heights(raw: bytes, kind: type[Any]) -> list[int]:
    message = m.decode_message(raw)
    assert isinstance(message, kind)
    return [item.certificate.height for item in message.blocks]


@pytest.mark.parametrize(("outcomes", "kind"), [(False, m.Blocks), (True, m.ExecutedBlocks)])
@pytest.mark.parametrize("first", [STORED + 1, STORED - 1, 1], ids=["behind it", "some stored meanwhile", "all stored meanwhile"])
def test_what_is_not_stored_yet_is_answered_as_well(
    store: BlockStore, net: Net, first: int, outcomes: bool, kind: type[Any]
) -> None:
    unstored = batches(net, first)

    def ask(start: int, count: int, size: int = m.MAX_SYNC_BYTES) -> list[int]:
        return heights(answers.answer(store, e.ReadBlocks(PEER, start, count, size, outcomes), unstored), kind)

    assert ask(1, 64) == list(range(1, HEIGHTS + 1))
    assert ask(STORED, 2) == [STORED, STORED + 1]
    assert ask(HEIGHTS - 1, 64) == [HEIGHTS - 1, HEIGHTS]
    assert ask(1, 64, 1) == [1] and ask(STORED, 64, 1) == [STORED] and ask(STORED + 1, 64, 1) == [STORED + 1]


@pytest.mark.parametrize("first", [STORED + 1, STORED - 1, 1], ids=["behind it", "some stored meanwhile", "all stored meanwhile"])
def test_headers_are_answered_downwards_up_to_what_is_missing(store: BlockStore, net: Net, first: int) -> None:
    """LC-NODE-76"""

    def ask(height: int, count: int) -> list[int]:
        message = m.decode_message(answers.headers(store, e.ReadHeaders(PEER, height, count), batches(net, first)))
        assert isinstance(message, m.Headers)
        assert [block_id(header) for header in message.headers] == [net.commits[0][h.height].block_id for h in message.headers]
        return [header.height for header in message.headers]

    assert ask(HEIGHTS, 512) == list(range(HEIGHTS, 0, -1))
    assert ask(STORED + 1, 2) == [STORED + 1, STORED]
    assert ask(HEIGHTS + 1, 3) == [] == ask(0, 3)


@pytest.mark.parametrize(
    "large",
    [
        {"receipts": [bytes(MAX_RECEIPT + 1)]},
        {"state": [(b"e/%07d" % n, None) for n in range(MAX_CHANGES + 1)]},
        {"state": [(b"e/%07d" % n, b"\x91\x01") for n in range(MAX_CHANGES + 1)]},
    ],
    ids=["receipt", "gone", "put"],
)
def test_an_outcome_that_no_message_can_hold_is_told_as_a_block(store: BlockStore, net: Net, large: dict[str, Any]) -> None:
    """Who asks has to execute it; refused as malformed, it would cost the honest peer, and stop everybody who is behind."""
    unstored = [replace(batch, **large) if batch.height == STORED + 2 else batch for batch in batches(net, STORED + 1)]

    def ask(start: int) -> bytes:
        return answers.answer(store, e.ReadBlocks(PEER, start, 64, m.MAX_SYNC_BYTES, True), unstored)

    assert heights(ask(1), m.ExecutedBlocks) == list(range(1, STORED + 2))
    assert heights(ask(STORED + 2), m.Blocks) == [STORED + 2, STORED + 3]
    assert heights(ask(STORED + 3), m.ExecutedBlocks) == [STORED + 3]


def test_no_more_is_read_than_an_answer_holds(store: BlockStore, net: Net) -> None:
    """64 full blocks are 128 MB: reading them all to send the first would be a way to fill a node's memory."""
    sizes = [len(net.commits[0][height].block) for height in (1, 2, 3)]
    assert [b.height for b in store.blocks(1, 64, sum(sizes[:2]))] == [1, 2]
    assert [b.height for b in store.blocks(1, 64, sum(sizes[:2]) + 100)] == [1, 2, 3]
    assert [b.height for b in store.blocks(1, 4)] == [1, 2, 3, 4]


# --- what rotted ------------------------------------------------------------------------------------------------------------------


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("table", "column", "executed"),
    [
        (schema.blocks, "block", False),
        (schema.blocks, "certificate", False),
        (schema.blocks, "certificate", True),
        (schema.blocks, "receipts", True),
        (schema.changes, "changes", True),
    ],
)
def test_what_rotted_on_the_disk_is_read_for_nobody(store: BlockStore, table: sa.Table, column: str, executed: bool) -> None:
    """Whatever byte it was: each blob has a checksum of what it is and where it stands, looked at in the thread that reads it."""
    with store.engine.connect() as c:
        whole = bytes(c.execute(sa.select(table.c[column]).where(table.c.height == 3)).scalar_one())
    for at in range(0, len(whole), 7):
        rotted = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        with store.engine.begin() as c:
            c.execute(sa.update(table).where(table.c.height == 3).values({column: rotted}))
        with pytest.raises(StorageDamaged, match=f"{column} of height 3"):
            answers.answer(store, e.ReadBlocks(PEER, 1, 64, m.MAX_SYNC_BYTES, executed), [])


def test_a_certificate_that_rotted_before_it_was_stored_is_refused_and_another_peer_has_a_good_one(net: Net) -> None:
    """Its checksum is right, so it is sent as it is stored: nobody takes it, and the next height is asked of somebody else."""
    stored = [(net.commits[0][height].block, net.commits[0][height].certificate) for height in range(1, HEIGHTS + 1)]
    block, good = stored[2]
    for at in range(0, len(good), 5):
        rotted = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        node = fresh(4)
        receive(node, 1, m.Status(HEIGHTS, 1))
        effects = receive(node, 1, encode(decided.answer([*stored[:2], (block, rotted), *stored[3:]])))
        assert [p.peer for p in of_kind(effects, e.Penalize)] == [ident(1)], f"byte {at}"
        assert node.height in (0, 2), "what stands before it, where the message can be read at all"
        later = T0 + DEADLINE + 1  # an answer that cannot be read is none: its sender has the time of one that is silent
        (asked,) = sent(receive(node, 2, m.Status(HEIGHTS, 1), later), m.GetBlocks)
        assert asked.start == node.height + 1
        receive(node, 2, encode(decided.answer(stored[node.height :])), later + 1)
        assert node.height == HEIGHTS
