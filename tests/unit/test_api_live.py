"""Live jobs and locked credits as the API shows them: followed, not looked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from learningchain.chain.buckets import Bucket
from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.records import JobState
from learningchain.chain.host import Escrow, escrow_key
from learningchain.chain.ledger import state as ledger_state
from learningchain.chain.ledger.state import State as LedgerState
from learningchain.client.api import following
from learningchain.client.api import locked as api_locked
from learningchain.client.api.following import Follower
from learningchain.client.api.locked import Locked
from learningchain.client.contracts.credits.http.counted import PAGES_AT_ONCE, Counted
from learningchain.client.contracts.job.http.live import LiveJobs
from tests.unit.api_kit import CREDIT, Api, serving
from tests.unit.test_api_jobs import OK
from tests.unit.test_work_many_jobs import Ground, stranger


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        yield api


F = TypeVar("F", bound=Follower)


def settle(follower: F) -> F:
    while follower.step():
        pass
    return follower


async def test_every_credit_is_counted_at_every_height(api: Api) -> None:
    ledger = api.node.ledger
    early = Counted(ledger.state)

    async def check() -> None:
        await early.settled()
        late = Counted(ledger.state)
        await late.settled()
        assert (early.accounts, early.escrows) == (late.accounts, late.escrows) == ledger.state.held()
        shown = await api.get("/v1/supply")
        assert shown["height"] == ledger.height
        assert [float(shown[name]) * CREDIT for name in ("accounts", "escrows")] == pytest.approx([early.accounts, early.escrows])
        assert float(shown["accounts"]) + float(shown["escrows"]) == pytest.approx(float(shown["supply"]))

    await check()
    ledger.claimed_job()
    await check()
    assert early.escrows > 0
    ledger.judged_job(OK, "n2")
    await check()


def test_counting_credits_looks_at_a_few_pages_at_a_time_and_then_at_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    ground = Ground()
    ground.many(2_000, stranger(1), ground.terms())
    credits = Counted(ground.chain.state)
    ground.chain.state.__class__ = CountingState
    largest = pages = 0
    while True:
        before = CountingState.reads, CountingState.buckets
        more = credits.step()
        largest = max(largest, CountingState.reads - before[0])
        pages = max(pages, CountingState.buckets - before[1])
        if not more:
            break
    assert pages <= PAGES_AT_ONCE + largest
    assert (credits.accounts, credits.escrows) == ground.chain.state.held()
    ground.chain.block()
    before = CountingState.reads, CountingState.buckets
    while credits.step():
        pass
    assert CountingState.buckets - before[1] < 10
    assert (credits.accounts, credits.escrows) == ground.chain.state.held()


class CountingState(LedgerState):
    """Counts what is read."""

    reads = buckets = 0

    def bucket(self, number: int) -> Bucket:
        CountingState.buckets += 1
        return super().bucket(number)

    def get(self, key: bytes) -> Any:
        CountingState.reads += 1
        return super().get(key)


def test_no_piece_is_large_and_what_was_lost_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_state, "MAX_FED", 50)
    ground = Ground()
    live, locked = settle(LiveJobs(ground.chain.state)), settle(Locked(ground.chain.state))
    ground.many(500, stranger(1), ground.terms())
    jobs = [key[2:] for key in ground.chain.state.keys(records.live_key(b""))]
    ground.put([(escrow_key(records.bounty_escrow(job)), Escrow(7)) for job in jobs])
    ground.chain.state.__class__ = CountingState
    for follower, piece in ((live, following.PIECE), (locked, api_locked.PIECE)):
        largest = 0
        while True:
            before = CountingState.reads
            more = follower.step()
            largest = max(largest, CountingState.reads - before)
            if not more:
                break
        assert largest <= 6 * piece
    assert len(live.newest(None, 1_000)) == 500
    assert locked.locked(stranger(1)) == 500 * 7
    ground.put([(escrow_key(records.bounty_escrow(job)), Escrow(9)) for job in jobs])
    assert settle(locked).locked(stranger(1)) == 500 * 9, "what was counted before is counted no second time"


@pytest.mark.parametrize("claimants", [3, 4, 5, 8])
def test_stakes_of_a_job_with_more_claimants_than_a_piece_are_all_counted(claimants: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where they are a whole number of pieces. Whoever began just now finds them by the job, not by what changed."""
    monkeypatch.setattr(api_locked, "PIECE", 4)
    ground = Ground()
    job = ground.post(stranger(1), ground.terms(), JobState.OPEN, claimants=claimants)
    who = [stranger(2 + number) for number in range(claimants)]
    for number, one in enumerate(who):
        claim = records.ClaimRecord(one, 1, 5, 1, bytes(32), 0, bytes(32), 0, True, 0, b"", 0, 0, 0, [])
        stake = escrow_key(records.stake_escrow(job, one))
        ground.put([(records.claim_key(job, number), claim), (stake, Escrow(5 + number))])
    locked = settle(Locked(ground.chain.state))
    assert [locked.locked(one) for one in who] == [5 + number for number in range(claimants)]
