"""Jobs exactly at their bounds, and what is read of them elsewhere."""

from __future__ import annotations

import pytest

from learningchain.chain.contracts.job import ExtendJob, JobParams, records
from learningchain.chain.contracts.job.messages import MAX_HIDDEN_BYTES, JobCode
from learningchain.chain.contracts.job.records import Live
from learningchain.chain.errors import Malformed
from learningchain.chain.types import LogEvent
from learningchain.chain.verification.votes import BallotCode
from tests.unit.job_kit import START, World, ballot, hidden_set, replaced, who
from tests.unit.test_job_rows import audit, world


def test_what_genesis_may_just_fix() -> None:
    JobParams(job_min_open=5, job_max_open=5, job_min_bounty=10).check()
    for wrong in ({"job_min_open": 6, "job_max_open": 5}, {"job_min_bounty": 9}):
        with pytest.raises(Malformed):
            JobParams(**wrong).check()


@pytest.mark.parametrize(("more", "code"), [(0, 0), (1, JobCode.BAD_HIDDEN)])
def test_hidden_data_as_large_as_they_may_be_are_taken(more: int, code: int) -> None:
    w = world()
    (sealed,) = hidden_set()
    if code:
        with pytest.raises(AssertionError):
            w.post("boss", hidden=[replaced(sealed, size=MAX_HIDDEN_BYTES + more)])
    else:
        assert w.post("boss", hidden=[replaced(sealed, size=MAX_HIDDEN_BYTES)])


def test_a_live_job_is_listed_with_its_number_and_its_expiry_of_now() -> None:
    """What choosing among thousands of jobs looks at, without their postings."""
    w = world()
    first, second = w.post("boss"), w.post("boss")
    assert [w.store.get(records.live_key(job)) for job in (first, second)] == [Live(0, START + 100_000), Live(1, START + 100_000)]
    assert w.send(who("boss"), ExtendJob(second, START + 200_000)) == 0
    assert w.store.get(records.live_key(second)) == Live(1, START + 200_000)


def test_an_opened_column_is_told_by_the_claim_that_it_is_about() -> None:
    """Not by its place among the candidates of a seat."""
    w = World(["boss", "a", "b", "c", "v1", "v2", "v3"], ["v1", "v2", "v3"])
    job = audit(w, {"a": 9_000, "b": 5_000})
    assert w.round(job).batch == [1]
    w.everybody(job, ballot(BallotCode.OK, 5_000))
    columns = [e for e in w.events if isinstance(e, LogEvent) and e.topic == "column"]
    assert {event.data[3] for event in columns} == {1}
