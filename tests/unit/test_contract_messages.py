"""What the contracts declare of their messages and of themselves, and that their advice says what helps."""

from __future__ import annotations

from typing import Any

from learningchain.chain.contracts import MESSAGES
from learningchain.chain.contracts import job as jobs
from learningchain.chain.contracts import membership as members
from tests.unit.job_kit import who
from tests.unit.test_job_rows import audit, world

JOB, ACCOUNT = b"j" * 32, b"a" * 20
OF_JOBS = {"Claim", "Reveal", "RevealKey", "CommitVote", "OpenVote"}


def named(what: str, *contracts: Any) -> set[str]:
    return {type_.__name__ for type_, (contract, spec) in MESSAGES.items() if contract in contracts and getattr(spec, what)}


def test_what_has_a_deadline_goes_first() -> None:
    """LC-TX-7"""
    assert named("urgent", jobs.CONTRACT) == OF_JOBS
    assert named("urgent", members.CONTRACT) == {"JudgeCase", "ReportDouble", "Release"}


def test_what_is_accepted_once_is_charged_only_if_it_is_refused() -> None:
    """LC-TX-14"""
    assert named("once", jobs.CONTRACT, members.CONTRACT) == OF_JOBS - {"Claim"}


def test_a_message_about_a_parked_reference_is_known_as_such() -> None:
    """It would change what the validators decide about."""
    about = {type_: spec.subject for type_, (contract, spec) in MESSAGES.items() if contract is jobs.CONTRACT}
    assert {type_.__name__ for type_, subject in about.items() if subject} == OF_JOBS | {"CancelJob", "ExtendJob"}
    assert jobs.CONTRACT.messages[jobs.CancelJob].subject(jobs.CancelJob(JOB)) == JOB  # type: ignore[misc]
    assert jobs.CONTRACT.messages[jobs.ExtendJob].subject(jobs.ExtendJob(JOB, 5)) == JOB  # type: ignore[misc]
    word = members.JudgeCase(ACCOUNT, True)
    assert members.CONTRACT.messages[members.JudgeCase].subject(word) == ACCOUNT  # type: ignore[misc]


def test_who_posted_or_claimed_is_a_party_of_a_job() -> None:
    w = world()
    job = audit(w, {"a": 5_000})
    party = jobs.CONTRACT.party
    assert party is not None
    assert [party(w.store, job, who(name)) for name in ("boss", "a", "b")] == [True, True, False]


def test_changes_of_who_may_connect_are_declared() -> None:
    """After one of these every connection is looked at again."""
    assert members.CONTRACT.admission == {"banned", "ban.lifted", "joined", "left", "validator.ejected"}
