"""Deadlines are nobody's weapon: what one contractor's thousands cost an honest one (LC-BLK-14, LC-JOB-43)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chain.codec import encode
from chain.contracts.job import CONTRACT, records
from chain.contracts.job.messages import JobCode, PostJob, job_id_of, size_of
from chain.host import DUE_WORK, Escrow, escrow_key, split_due
from chain.ledger.state import Overlay
from tests.network import NetworkParams
from tests.unit.job_kit import posting
from tests.unit.ledger_kit import Chain, genesis_of, id_of

SPAN = 10_000
FLOOD = 6_000


class Market(Chain):
    """A ledger in which thousands of jobs were posted by one account; each expires at a time of its own choice."""

    def __init__(self, **params: int) -> None:
        many = {"job_max_live": 10**6, "job_max_live_bytes": 2**40}
        super().__init__(genesis_of("spammer", "honest", grant=10**9, job_min_open=1_000, **(many | params)))

    def post(self, name: str, expiry: int, **terms: Any) -> bytes:
        tx = self.tx(name, posting(expiry=expiry, bounty=1, fee=1, finalists=1, **terms))
        assert self.codes(tx) == [0]
        return job_id_of(tx.id, 0)

    def flood(self, name: str, count: int, expiry: int, claimants: int = 0) -> None:
        """What as many postings would have left in the state: the records of one, again and again. `claimants`: each says it has so
        many, whose records are not there."""
        first = self.post(name, expiry)
        overlay = Overlay(self.state)
        record: Any = self.state.get(records.contractor_key(id_of(name)))
        terms: Any = self.state.get(records.posting_key(first))
        account = self.account(name)
        for number in range(1, count):
            job = number.to_bytes(4, "big") + first[4:]
            overlay.put(records.posting_key(job), terms)
            overlay.put(records.job_key(job), replace(self.state.get(records.job_key(first)), claimants=claimants))
            overlay.put(records.live_key(job), self.state.get(records.live_key(first)))
            overlay.put(escrow_key(records.bounty_escrow(job)), Escrow(1))
            overlay.put(escrow_key(records.fee_escrow(job)), Escrow(13))
            overlay.put(
                b"d/" + id_of(name) + expiry.to_bytes(8, "big") + bytes((records.NUMBER,)) + job, self.due(name, expiry, first)
            )
        size = size_of(terms.terms)
        overlay.put(b"ja/" + id_of(name), records.ContractorRecord(count, 0, 0, 0, count * size))
        key = b"a/" + id_of(name)
        overlay.put(key, replace(account, balance=account.balance - 14 * (count - 1)))
        assert record.live == 1
        changes, _, tree = overlay.finish()
        self.state.commit(changes, tree)

    def due(self, name: str, expiry: int, job: bytes) -> Any:
        return self.state.get(b"d/" + id_of(name) + expiry.to_bytes(8, "big") + bytes((records.NUMBER,)) + job)

    def is_open(self, job: bytes) -> bool:
        record: Any = self.state.get(records.job_key(job))
        return bool(record.state == records.JobState.OPEN)

    def blocks_until_closed(self, job: bytes, expiry: int) -> int:
        """Blocks from the expiry on in which the job was still open."""
        late = 0
        self.block(step=expiry - self.clock)
        while self.is_open(job):
            late += 1
            self.block(step=1)
        return late


def expiring(market: Market) -> list[bytes]:
    """Deadlines but those at which what ended leaves."""
    return [key for key in market.state.keys(b"d/") if split_due(key)[1] <= market.clock]


@pytest.mark.parametrize("max_due", [8, NetworkParams().max_due])
def test_thousands_of_expiring_jobs_of_another_hold_nobody_up(max_due: int) -> None:
    """They expire 1 ms before the honest one, and it is closed with the first of them, as without them."""
    undisturbed = Market(max_due=max_due)
    expiry = undisturbed.clock + SPAN
    assert undisturbed.blocks_until_closed(undisturbed.post("honest", expiry), expiry) == 0
    market = Market(max_due=max_due)
    market.flood("spammer", FLOOD, expiry - 1)
    honest = market.post("honest", expiry)
    assert market.blocks_until_closed(honest, expiry) == 0
    due = len(expiring(market))
    assert due == FLOOD - (max_due - 1)
    market.block(step=1)
    assert len(expiring(market)) == due - min(due, max_due)


def test_deadlines_of_jobs_with_many_claimants_are_few_in_a_block() -> None:
    """LC-BLK-31: each of another's nine counts a thousand and one, though it fails; the honest one is not held up by them."""
    market = Market()
    expiry = market.clock + SPAN
    market.flood("spammer", 21, expiry - 1, claimants=1_000)
    honest = market.post("honest", expiry)
    assert market.blocks_until_closed(honest, expiry) == 0
    for run in (9, 18, 20):
        assert len(list(market.state.scan(b"p/", 100))) == run, "each of them failed: its claims are not there"
        market.block(step=1)
    assert not expiring(market)


def test_the_flood_itself_is_refused_where_the_bounds_are_as_they_come() -> None:
    market = Market(job_max_live=3)
    expiry = market.clock + 60_000
    txs = [market.tx("spammer", posting(expiry=expiry, bounty=1, fee=1, finalists=1)) for _ in range(5)]
    assert market.codes(*txs) == [0, 0, 0, JobCode.TOO_MANY_LIVE, JobCode.TOO_MANY_LIVE]
    assert market.codes(market.tx("honest", posting(expiry=expiry))) == [0]


def test_a_block_runs_as_many_deadlines_as_its_messages_can_set() -> None:
    """By default: the figures of LC-BLK-16."""
    params = NetworkParams()
    assert (params.block_work // DUE_WORK, params.max_due) == (1_536, 1_536)
    assert CONTRACT.messages[PostJob].work >= DUE_WORK
    smallest = len(encode(posting(params="")))
    assert params.block_bytes // smallest > params.max_due, "it is the work that bounds postings, not their bytes"
