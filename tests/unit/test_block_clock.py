"""The time of a node's work: a clock that is wrong ends no window, and one that is right is gone by."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from learningchain.chain.ledger.transition import chain_record, clock_at
from learningchain.client.node import ledger as door
from learningchain.client.node.block_clock import AHEAD_MS, BlockClock
from tests.unit.work_kit import Chain

BLOCK_MS, HOUR_MS = 1_700_000_000_000, 3_600_000
SINCE_MS = 40_000
"""After a block came, it is asked again."""


@pytest.mark.parametrize(
    ("off_ms", "seen_ms"),
    [(0, SINCE_MS), (1_500, SINCE_MS + 1_500), (2 * HOUR_MS, SINCE_MS + AHEAD_MS), (-2 * HOUR_MS, SINCE_MS)],
    ids=["right", "the block was on its way", "hours ahead", "hours behind"],
)
def test_a_clock_that_is_wrong_counts_no_further_than_what_passed_since_the_block(off_ms: int, seen_ms: int) -> None:
    clock = BlockClock()
    clock.wall(7, BLOCK_MS, BLOCK_MS + off_ms, 12_345)
    assert clock.wall(7, BLOCK_MS, BLOCK_MS + SINCE_MS + off_ms, 12_345 + SINCE_MS) == BLOCK_MS + seen_ms


def test_each_block_begins_anew_also_one_of_long_ago() -> None:
    clock = BlockClock()
    clock.wall(7, BLOCK_MS, BLOCK_MS, 0)
    assert clock.wall(8, BLOCK_MS + 1_000, BLOCK_MS + HOUR_MS, HOUR_MS) == BLOCK_MS + 1_000 + AHEAD_MS


def test_the_ledger_that_work_sees_goes_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain(["a"], [])
    newest = chain_record(chain.state)
    node = SimpleNamespace(chain_id=chain.chain_id, own_id=bytes(20), state=chain.state)
    node.clock = lambda now: clock_at(newest, now, chain.params)
    monkeypatch.setattr(door, "now_ms", lambda: newest.time + 2 * HOUR_MS)
    ledger = door.NodeLedger(cast(Any, node), cast(Any, None), cast(Any, None))
    assert newest.clock + AHEAD_MS <= ledger.clock < newest.clock + chain.params.max_step
