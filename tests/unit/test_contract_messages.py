"""What the contracts declare of their messages and of themselves, and that their advice says what helps."""

from __future__ import annotations

from typing import Any

import pytest

from chain.contracts import MESSAGES
from chain.contracts import job as jobs
from chain.contracts import membership as members
from chain.contracts.job import records
from chain.contracts.job.messages import MAX_PARAMS_BYTES, JobCode
from chain.contracts.membership import MemberCode
from chain.crypto import address
from chain.types import LogEvent
from client.api.render import render_event, render_party
from tests.unit.job_kit import World, who
from tests.unit.test_job_rows import LIE, audit, world

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


def test_every_escrow_of_a_job_has_its_name() -> None:
    shapes = {
        "bounty": records.bounty_escrow(JOB),
        "fees": records.fee_escrow(JOB),
        "bond": records.bond_escrow(JOB),
        "deposit": records.deposit_escrow(JOB),
    }
    assert {name: render_party(escrow) for name, escrow in shapes.items()} == {name: f"{name}:{JOB.hex()}" for name in shapes}
    assert render_party(records.stake_escrow(JOB, ACCOUNT)) == f"stake:{JOB.hex()}:{address(ACCOUNT)}"


def told(w: World, topic: str) -> dict[str, Any]:
    """The data of the last such event, as people read them."""
    event = next(e for e in reversed(w.events) if isinstance(e, LogEvent) and e.topic == topic)
    found: dict[str, Any] = render_event(event)["data"]
    return found


def test_what_happened_to_a_job_is_told_under_its_names() -> None:
    w = world()
    job = audit(w, {"a": 100})
    w.everybody(job, LIE)
    verdict = told(w, "verdict")
    assert (verdict["claimant"], verdict["result"], verdict["line"], verdict["opened"]) == (
        address(who("a")),
        "FALSE",
        "QUORUM_FALSE",
        5,
    )
    assert told(w, "bond") == {"burned": "0.001", "returned": "0.002"}
    assert told(w, "refunded") == {"poster": address(who("boss")), "amount": "0.01"}
    vote = told(w, "vote")
    assert (vote["audit"], vote["round"], vote["vote"], vote["measured"]) == (0, 1, "FALSE", "0.000090000")
    assert told(w, "claim") == {"claimant": address(who("a")), "loss": "0.000000100", "claim": 1}


def test_the_end_of_a_case_is_told_under_its_names() -> None:
    data = [JOB, 7, 1, 2, 4]
    for topic in ("case.lapsed", "case.lifted", "banned"):
        shown = render_event(LogEvent(topic, ACCOUNT, data))["data"]
        assert shown == {"job": JOB.hex(), "case": 7, "confirmed": 1, "lifted": 2, "judges": 4}


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (JobCode.BAD_PARAMS, f"larger than {MAX_PARAMS_BYTES} bytes"),
        (JobCode.NOT_BETTER, "at or below next_at_most"),
        (JobCode.CLAIM_REPLACED, "Reveal the last claim"),
        (JobCode.LOW_BOUNTY, "Offer more"),
        (JobCode.LOW_FEE, "Raise the fee"),
        (JobCode.FEW_VERIFIERS, "Lower memory"),
        (JobCode.NO_STANDING, "Wait until one ends"),
        (JobCode.TOO_MANY_LIVE, "Wait until one of its jobs ends"),
        (JobCode.OWN_JOB, "Let other nodes work"),
        (JobCode.NOT_POSTER, "from the contractor's node"),
        (JobCode.ALREADY_OPENED, "without ballots and salt"),
        (JobCode.BAD_MODEL, "model_cap"),
        (MemberCode.PARTY, "It may lift the case"),
        (MemberCode.ALREADY_VOTED, "the opposite word would replace it"),
        (MemberCode.NOTHING_TO_GIVE_BACK, "Release it to run again"),
        (MemberCode.NOT_A_VALIDATOR, "from another validator's node"),
    ],
)
def test_a_refusal_advises_what_helps(code: int, says: str) -> None:
    texts = {**jobs.CONTRACT.texts, **members.CONTRACT.texts}
    assert says in " ".join(texts[code])
