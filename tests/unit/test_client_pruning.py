"""Which blocks a node keeps: what its operator wants, and never fewer than the ledger's rules and people rely on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from learningchain.chain.ledger.genesis import Genesis, make_params
from learningchain.chain.ledger.state import State
from learningchain.chain.storage import pruning
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.storage.errors import DiskFull, StorageFailed
from learningchain.client.config import DAY_MS, parse_keep
from learningchain.client.node import pruning as service
from learningchain.client.node.pruning import Pruner, kept_at_least
from tests.unit.node_kit import T0, genesis, state_of
from tests.unit.storage_blocks import CHAIN, chain_of


def ledger(**given: int) -> State:
    params, contracts = make_params(**given)
    return state_of(Genesis(1, "test", T0, params, genesis().accounts, b"", b"", contracts))


@pytest.mark.parametrize(
    ("text", "kept"), [("all", None), ("100", (100, 0)), ("250000", (250_000, 0)), ("1d", (0, DAY_MS)), ("30d", (0, 30 * DAY_MS))]
)
def test_the_setting_is_all_or_blocks_or_days(text: str, kept: tuple[int, int] | None) -> None:
    assert parse_keep(text) == kept


def test_what_double_signings_receipts_and_results_need_is_kept_whatever_the_setting_says(tmp_path: Path) -> None:
    state = ledger(evidence_age=700, job_keep=3_600_000, appeal=60_000)
    assert kept_at_least(state) == (700, 3_600_000)
    assert kept_at_least(ledger(evidence_age=700, job_keep=60_000, appeal=7_200_000))[1] == 7_200_000
    store = BlockStore.open(str(tmp_path / "db"), chain_id=CHAIN, create=True)
    served: list[int | None] = [None]
    for setting, blocks, ms in (("100", 700, 3_600_000), ("900", 900, 3_600_000), ("2d", 700, 2 * DAY_MS)):
        pruner = Pruner(store, setting, lambda: state, lambda: served[0], lambda first: None)
        horizon = pruner.horizon()
        assert horizon is not None and (horizon.blocks, horizon.ms) == (blocks, ms)
    served[0] = 5
    assert pruner.horizon() == pruning.Horizon(700, 2 * DAY_MS, 5), "who takes the snapshot needs the blocks after it"
    assert Pruner(store, "all", lambda: state, lambda: None, lambda first: None).horizon() is None
    store.close()


def test_what_the_validators_vote_while_the_node_runs_counts_at_once(tmp_path: Path) -> None:
    store = BlockStore.open(str(tmp_path / "db"), chain_id=CHAIN, create=True)
    voted = [ledger(evidence_age=100, job_keep=60_000, appeal=60_000)]
    pruner = Pruner(store, "100", lambda: voted[-1], lambda: None, lambda first: None)

    def kept() -> tuple[int, int]:
        horizon = pruner.horizon()
        assert horizon is not None
        return horizon.blocks, horizon.ms

    assert kept() == (100, 60_000)
    voted.append(ledger(evidence_age=700, job_keep=3_600_000, appeal=60_000))
    assert kept() == (700, 3_600_000)
    voted.append(voted[0])
    assert kept() == (100, 60_000)
    store.close()


class Running:
    """A pruner over a real store; each block that comes wakes it."""

    def __init__(self, tmp_path: Path) -> None:
        self.store = BlockStore.open(str(tmp_path / "db"), chain_id=CHAIN, create=True)
        self.blocks = chain_of(3)
        self.told: list[int] = []
        self.fresh = asyncio.Event()
        state = ledger(evidence_age=100, job_keep=1, appeal=1)
        self.pruner = Pruner(self.store, "100", lambda: state, lambda: None, self._told)
        self.task = asyncio.create_task(self.pruner.run())

    def _told(self, first: int) -> None:
        self.told.append(first)
        self.fresh.set()

    def grow(self, count: int) -> None:
        self.store.commit_async(*islice(self.blocks, count)).result()
        self.pruner.decided()

    async def until(self, first: int) -> None:
        while not self.told or self.told[-1] < first:
            self.fresh.clear()
            await asyncio.wait_for(self.fresh.wait(), 60)

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.store.close()


async def test_it_follows_the_chain_and_tells_the_first_block_that_is_kept(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.grow(130)
    await running.until(31)
    running.grow(3)
    await running.until(34)
    assert running.store.base == 33
    assert running.told == sorted(running.told)
    await running.close()


@pytest.mark.parametrize(("fault", "goes_on"), [(DiskFull("a", "b", "c"), True), (StorageFailed("a", "b", "c"), False)])
async def test_a_full_disk_is_tried_again_and_another_fault_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, goes_on: bool
) -> None:
    real: Callable[..., bool] = pruning.drop_step
    faults = [fault]

    def step(*given: object) -> bool:
        if faults:
            raise faults.pop()
        return real(*given)

    monkeypatch.setattr(service, "drop_step", step)
    monkeypatch.setattr(service, "AGAIN_S", 0.0)
    running = Running(tmp_path)
    running.grow(110)
    if goes_on:
        await running.until(11)
    else:
        await asyncio.wait_for(running.task, 60)
        assert running.store.base == 0
    await running.close()
