"""Deadlines are nobody's weapon: what one contractor's thousands cost an honest one (LC-BLK-14, LC-JOB-43)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.job import CONTRACT, records
from learningchain.chain.contracts.job.messages import PostJob, job_id_of, size_of
from learningchain.chain.contracts.job.records import JobState
from learningchain.chain.contracts.membership import Member, SetCapacity, member_key
from learningchain.chain.host import Escrow, escrow_key, split_due
from learningchain.chain.host.terms import Arch, Capacity
from learningchain.chain.ledger.state import Overlay
from learningchain.chain.verification.scale import ceil_div
from tests.network import NetworkParams
from tests.unit.job_kit import posting
from tests.unit.ledger_kit import VALIDATORS, Chain, genesis_of, id_of

SPAN = 10_000
FLOOD = 6_000


def small(expiry: int, **terms: Any) -> PostJob:
    """A job that locks `PARTS` and is worth hardly more than a deadline."""
    return posting(**{"expiry": expiry, "bounty": 10, "fee": 61, "finalists": 2, "eval_s": 1, "cpus_milli": 10} | terms)


PARTS = (10, 61 * 71 * 2, 2)
"""Bounty, fees, bond."""


class Market(Chain):
    """A ledger in which thousands of jobs were posted by one account; each expires at a time of its own choice."""

    def __init__(self, **params: int) -> None:
        many = {"job_max_live": 10**6, "job_max_live_bytes": 2**40, "job_min_bounty": 10}
        super().__init__(genesis_of("spammer", "honest", grant=10**9, job_min_open=1_000, **(many | params)))
        declared = [self.tx(name, SetCapacity(Capacity(Arch.AMD64, 1_000, 512, 10**6, 10**6, 10))) for name in VALIDATORS]
        assert self.codes(*declared) == [0] * len(VALIDATORS)

    def post(self, name: str, expiry: int, **terms: Any) -> bytes:
        tx = self.tx(name, small(expiry, **terms))
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
            for escrow, amount in zip((records.bounty_escrow, records.fee_escrow, records.bond_escrow), PARTS, strict=True):
                overlay.put(escrow_key(escrow(job)), Escrow(amount))
            overlay.put(
                b"d/" + id_of(name) + expiry.to_bytes(8, "big") + bytes((records.NUMBER,)) + job, self.due(name, expiry, first)
            )
        size = size_of(terms.terms)
        overlay.put(b"ja/" + id_of(name), replace(record, posted=count, live=count, live_bytes=count * size))
        key = b"a/" + id_of(name)
        overlay.put(key, replace(account, balance=account.balance - sum(PARTS) * (count - 1)))
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


# --- what deadlines weigh --------------------------------------------------------------------------------------------------------


def weighed(market: Market, job: bytes, **changed: Any) -> int:
    """LC-BLK-31 of the deadline of a job whose record is changed so."""
    overlay = Overlay(market.state)
    known: Any = market.state.get(records.job_key(job))
    overlay.put(records.job_key(job), replace(known, **changed))
    changes, _, tree = overlay.finish()
    market.state.commit(changes, tree)
    assert CONTRACT.due_work is not None
    return CONTRACT.due_work(market.state, job)


def test_a_draw_weighs_by_all_that_have_the_flag() -> None:
    """Whether they can be drawn or not: the count is known without looking at any of them."""
    market = Market()
    job = market.post("honest", market.clock + SPAN)
    flags = market.state.flagged()
    assert flags == sum(record.verifier for _, record in market.state.scan(b"m/", 10**6)) > 0
    assert weighed(market, job, state=JobState.DRAW) == 64 + ceil_div(flags, 16)
    overlay = Overlay(market.state)
    for n in range(3_000):
        overlay.put(member_key(n.to_bytes(20, "big")), Member(bytes(20), True, 0, 10**15, [], 0, [], []))
    changes, _, tree = overlay.finish()
    market.state.commit(changes, tree)
    assert weighed(market, job) == 64 + ceil_div(flags + 3_000, 16)


def test_verdicts_weigh_the_stakes_that_an_end_gives_back() -> None:
    market = Market()
    job = market.post("honest", market.clock + SPAN)
    for state in (JobState.COMMIT, JobState.COUNT):
        assert [weighed(market, job, state=state, claimants=n) for n in (0, 5, 1_000)] == [0, 5, 128]
