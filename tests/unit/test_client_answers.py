"""Answers to peers who ask for decided blocks: what is stored, what is on its way there, and how much of it is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chain.ledger.state_diff import MAX_CHANGES, MAX_RECEIPT
from chain.node import events as e
from chain.node import messages as m
from chain.storage.blockstore import BlockStore, CommitBatch
from client import answers
from tests.unit.node_kit import Net, ident
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
