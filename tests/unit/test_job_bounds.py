"""Jobs exactly at their bounds, and what is read of them elsewhere."""

from __future__ import annotations

import pytest

from chain.contracts.job import ExtendJob, JobParams, ends, records
from chain.contracts.job.messages import MAX_HIDDEN_BYTES, JobCode
from chain.contracts.job.records import NO_JOBS, WINNERS_KEPT, Live
from chain.errors import Malformed
from chain.host import BANNED
from chain.types import LogEvent
from chain.verification.votes import BallotCode
from tests.unit.job_kit import GRANT, START, World, ballot, hidden_set, replaced, who
from tests.unit.test_job_rows import LIE, YES, audit, world


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


def test_a_stake_may_be_all_that_is_free() -> None:
    for left, full in ((1_000, True), (999, False)):
        w = world()
        job = w.post("boss", bounty=10_000)
        w.host().freeze(who("a"), GRANT - left, b"elsewhere")
        assert w.claim(job, "a", 1) == 0
        claim = w.store.get(records.claim_key(job, 0))
        assert (claim.full, claim.stake) == (full, 1_000 if full else 0)


@pytest.mark.parametrize(("size", "code"), [(0, JobCode.BAD_MODEL), (1, 0), ("cap", 0), ("more", JobCode.BAD_MODEL)])
def test_a_model_has_one_byte_to_as_many_as_were_posted(size: int | str, code: int) -> None:
    w = world()
    job = w.post("boss")
    cap = w.store.get(records.posting_key(job)).terms.limits.model_cap
    assert w.claim(job, "a", 5) == 0
    w.deadline(job)
    assert w.reveal(job, "a", size={"cap": cap, "more": cap + 1}.get(str(size), size)) == code


def test_what_comes_at_the_wrong_time_is_told_whether_it_is_early_or_late() -> None:
    w = world()
    job = w.post("boss")
    assert w.claim(job, "a", 5) == 0
    assert w.reveal(job, "a") == JobCode.WRONG_STATE and "came too early: the job is OPEN" in w.refused
    w.deadline(job)
    assert w.claim(job, "b", 5) == JobCode.TOO_LATE and "came too late: the job is REVEAL" in w.refused


def test_who_was_banned_is_not_struck_for_its_silence() -> None:
    """LC-JOB-32: it could send nothing."""
    w = world()
    job = w.post("boss")
    for name in ("a", "b"):
        assert w.claim(job, name, 5) == 0
    w.set_status(who("a"), BANNED)
    w.deadline(job)
    w.deadline(job)
    assert [identity for identity, reason in w.membership.struck() if reason == "claim.silent"] == [who("b")]
    assert w.result(job, "a") == w.result(job, "b") == "SILENT"


def test_a_false_claim_without_a_stake_ends_no_job() -> None:
    """LC-JOB-38: whoever risks nothing could end every job of a contractor that wants its bounty back."""
    w = world()
    job = audit(w, {"a": 100, "b": 5_000}, stakeless="a", on_cheat=0)
    batch = w.round(job).batch
    assert batch == [0, 1], "the leader, and the best one with a stake"
    w.everybody(job, LIE, YES)
    assert (w.state(job), w.result(job, "a"), w.result(job, "b")) == ("PAID", "FALSE", "OK")
    other = audit(w, {"c": 100, "b": 200, "d": 5_000}, stakeless="c", on_cheat=0)
    w.everybody(other, LIE, ballot(BallotCode.NEAR, 6_000))
    assert (w.result(other, "c"), w.result(other, "b"), w.state(other)) == ("FALSE", "REFUSED", "COMMIT"), "the next one is judged"
    w.everybody(other, YES)
    assert (w.state(other), w.result(other, "d")) == ("PAID", "OK")


def test_the_last_winners_are_known_by_name_and_older_ones_are_counted() -> None:
    """LC-JOB-53: each once, the last one last."""
    names = [n.to_bytes(20, "big") for n in range(WINNERS_KEPT + 2)]
    record = NO_JOBS
    for name in names:
        record = ends._won(record, name)
    assert (record.winners, record.older_winners) == (names[2:], 2)
    again = ends._won(record, names[5])
    assert again.winners == [name for name in names[2:] if name != names[5]] + [names[5]] and again.older_winners == 2


def test_an_opened_column_is_told_by_the_claim_that_it_is_about() -> None:
    """Not by its place among the candidates of a seat."""
    w = World(["boss", "a", "b", "c", "v1", "v2", "v3"], ["v1", "v2", "v3"])
    job = audit(w, {"a": 9_000, "b": 5_000})
    assert w.round(job).batch == [1]
    w.everybody(job, ballot(BallotCode.OK, 5_000))
    columns = [e for e in w.events if isinstance(e, LogEvent) and e.topic == "column"]
    assert {event.data[3] for event in columns} == {1}
