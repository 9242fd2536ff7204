"""The last message of a window is as cheap as the first, in however many jobs somebody sends it at once (LC-JOB-30, LC-BLK-31).

Somebody with a seat in every job waits until it is the last, and lets all its openings into one block. Real handlers, signed
transactions, real blocks.
"""

from __future__ import annotations

from typing import Any

import pytest

from chain.contracts.job import records
from chain.contracts.job.messages import (
    WORK,
    Ballot,
    Claim,
    CommitVote,
    JobCode,
    OpenVote,
    Reveal,
    claim_commitment,
    job_id_of,
    open_vote_work,
    vote_commitment,
)
from chain.contracts.job.records import JobState
from chain.contracts.membership import SetCapacity
from chain.host.terms import Arch, Capacity
from chain.losses import draw_probe, open_losses
from chain.types import LogEvent
from chain.verification.votes import BallotCode
from tests.unit.job_kit import TREES, ballot, cid_of, posting, sha
from tests.unit.ledger_kit import VALIDATORS, Chain, genesis_of, id_of

SPAN, FEE = 5_000, 61
OK = ballot(BallotCode.OK, 5_000)
LAST = VALIDATORS[-1]
"""Whoever has a seat in every job, and comes last."""


class Jobs(Chain):
    """Jobs of one contractor and, behind them, one of another; all have one claim, and every validator has a seat."""

    def __init__(self, many: int, max_due_work: int) -> None:
        members = ("spammer", "honest", "worker")
        super().__init__(genesis_of(*members, grant=10**9, job_min_bounty=10, job_min_open=1_000, max_due_work=max_due_work))
        capacity = SetCapacity(Capacity(Arch.AMD64, 1_000, 512, 10**6, 10**6, 10))
        assert set(self.codes(*(self.tx(name, capacity) for name in VALIDATORS))) == {0}
        terms = posting(expiry=self.clock + SPAN, fee=FEE, finalists=2, eval_s=1, cpus_milli=10)
        posts = [self.tx(name, terms) for name in (*["spammer"] * many, "honest")]
        assert set(self.codes(*posts)) == {0}
        self.jobs = [job_id_of(tx.id, 0) for tx in posts]
        self.said: list[tuple[list[int], list[list[str]]]] = []

    def read(self, job: bytes) -> Any:
        return self.state.get(records.job_key(job))

    def states(self) -> set[str]:
        return {JobState(self.read(job).state).name for job in self.jobs}

    def send(self, **messages: list[Any]) -> list[int]:
        """All in one block: the codes."""
        return self.codes(*(self.tx(name, op) for name, ops in messages.items() for op in ops))

    def until(self, state: str) -> int:
        """Blocks until all jobs are there, without waiting for any time."""
        for blocks in range(60):
            if self.states() == {state}:
                return blocks
            self.block(step=1)
        raise AssertionError(f"they are {self.states()}, not {state}")

    # what is sent in every job

    def claim(self, job: bytes) -> Claim:
        return Claim(job, 5_000, claim_commitment(self.chain_id, job, id_of("worker"), cid_of("model")[4:], sha("salt")), False)

    def commit(self, job: bytes, name: str) -> CommitVote:
        return CommitVote(job, 0, 1, vote_commitment(self.chain_id, job, 0, 1, id_of(name), [OK], sha(name)))

    def opening(self, job: bytes, name: str) -> OpenVote:
        drawn: Any = self.state.get(records.round_key(job, 0, 1))
        column, ballots = OK.public[0], list[Ballot]([OK])
        shown = open_losses(TREES[column.root], draw_probe(drawn.probe, job, 0, 1, column.count))
        return OpenVote(job, 0, 1, ballots, sha(name), 0, False, [shown])

    def topics(self) -> set[str]:
        """Of the last block's transactions."""
        assert self.last is not None
        return {event.topic for receipt in self.last.receipts[1:] for event in receipt.events if isinstance(event, LogEvent)}


@pytest.mark.parametrize(("many", "at_once"), [(24, 10), (24, 1_000)])
def test_who_comes_last_in_every_job_at_once_settles_nothing_and_holds_nobody_up(many: int, at_once: int) -> None:
    one = 1 + len(VALIDATORS) + 1  # of a count: its seats, and the claim whose stake goes back
    jobs = Jobs(many, max_due_work=at_once * one)
    assert set(jobs.send(worker=[jobs.claim(job) for job in jobs.jobs])) == {0}
    jobs.block(step=SPAN)
    jobs.until("REVEAL")
    assert set(jobs.send(worker=[Reveal(job, 1, cid_of("model"), 100, sha("salt")) for job in jobs.jobs])) == {0}
    assert (jobs.states(), jobs.topics()) == ({"REVEAL"}, {"reveal"})
    jobs.until("COMMIT")
    first = [name for name in VALIDATORS if name != LAST]
    assert set(jobs.send(**{name: [jobs.commit(job, name) for job in jobs.jobs] for name in first})) == {0}
    assert set(jobs.send(**{LAST: [jobs.commit(job, LAST) for job in jobs.jobs]})) == {0}
    assert (jobs.states(), jobs.topics()) == ({"COMMIT"}, {"commit"})
    jobs.until("COUNT")
    assert set(jobs.send(**{name: [jobs.opening(job, name) for job in jobs.jobs] for name in first})) == {0}
    before = jobs.account(LAST).balance
    last = [jobs.opening(job, LAST) for job in jobs.jobs]
    assert set(jobs.send(**{LAST: [*last, *last]})) == {0, JobCode.TOO_LATE}, "nothing is counted twice"
    assert (jobs.states(), jobs.topics()) == ({"COUNT"}, {"vote", "column", "opened"})
    assert all(jobs.read(job).deadline == jobs.clock for job in jobs.jobs)
    assert max(map(open_vote_work, last)) < 2 * WORK
    assert jobs.account(LAST).balance == before
    jobs.block(step=1)
    ended = [JobState(jobs.read(job).state).name for job in jobs.jobs]
    assert ended.count("PAID") == min(at_once, many + 1), "as many as their work allows"
    assert ended[-1] == "PAID", "another contractor's job does not wait for them"
    assert jobs.until("PAID") == -(-(many + 1) // min(at_once, many + 1)) - 1
    assert jobs.account(LAST).balance == before + FEE * (many + 1)
