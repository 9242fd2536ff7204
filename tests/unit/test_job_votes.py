"""CommitVote and OpenVote: their effects, and each of their guards violated alone."""

from __future__ import annotations

from typing import Any

import pytest

from chain.contracts.job import messages
from chain.contracts.job.messages import JobCode, OpenVote
from chain.contracts.job.rules import HiddenVote, VoteCode
from chain.errors import Malformed
from chain.host import SUSPENDED
from tests.unit.job_kit import (
    PARAMS,
    World,
    ballot,
    hidden_set,
    key_message,
    sha,
    who,
)
from tests.unit.test_job_messages import GOOD, VERIFIERS, world

OK, NEAR, FALSE, INVALID, NOMODEL, ABSTAIN = VoteCode


# --- votes ---------------------------------------------------------------------------------------------------------------------


def committing(**changes: Any) -> tuple[World, bytes]:
    """a's claim of 5,000 is under audit by v1 to v4."""
    w = world()
    job = w.post("boss", **changes)
    w.open_to(job, {"a": 5_000})
    assert w.state(job) == "COMMIT"
    assert sorted(w.committee(job)) == sorted(map(who, VERIFIERS))
    return w, job


def test_the_last_commit_opens_the_count() -> None:
    w, job = committing()
    for name in VERIFIERS:
        assert w.state(job) == "COMMIT"
        assert w.commit(job, who(name), GOOD) == 0
    assert w.state(job) == "COUNT"
    assert w.job(job).deadline == w.clock + PARAMS.job_open_votes


def test_commit_refuses() -> None:
    w, job = committing()
    assert w.commit(job, who("b"), GOOD) == JobCode.NOT_IN_COMMITTEE
    assert w.commit(job, who("a"), GOOD) == JobCode.NOT_IN_COMMITTEE
    assert w.commit(job, who("boss"), GOOD) == JobCode.NOT_IN_COMMITTEE
    assert w.commit(job, who("v1"), GOOD) == 0
    assert w.commit(job, who("v1"), GOOD) == JobCode.ALREADY_COMMITTED
    for audit, round_ in ((0, 2), (1, 1), (0, 0), (255, 255)):
        assert w.send(who("v2"), messages.CommitVote(job, audit, round_, sha(1))) == JobCode.WRONG_ROUND
    w.set_status(who("v3"), SUSPENDED)
    assert w.commit(job, who("v3"), GOOD) == JobCode.NOT_ACTIVE
    assert w.open(job, who("v1"), GOOD) == JobCode.WRONG_STATE
    w.clock = w.job(job).deadline
    assert w.commit(job, who("v2"), GOOD) == JobCode.TOO_LATE
    w.block(0)
    assert w.state(job) == "COUNT"
    assert w.commit(job, who("v2"), GOOD) == JobCode.TOO_LATE


def counting(**changes: Any) -> tuple[World, bytes]:
    """v1 to v3 have committed GOOD, v4 has not."""
    w, job = committing(**changes)
    for name in VERIFIERS[:3]:
        assert w.commit(job, who(name), GOOD) == 0
    w.deadline(job)
    assert w.state(job) == "COUNT"
    return w, job


def test_open_refuses() -> None:
    w, job = counting()
    assert w.open(job, who("v4"), GOOD) == JobCode.NOT_COMMITTED
    assert w.open(job, who("b"), GOOD) == JobCode.NOT_IN_COMMITTEE
    assert w.open(job, who("v1"), [ballot(OK, 5_001, 4_000)]) == JobCode.VOTE_MISMATCH
    assert w.send(who("v1"), OpenVote(job, 0, 1, GOOD, sha("other salt"))) == JobCode.VOTE_MISMATCH
    assert w.send(who("v1"), OpenVote(job, 0, 2, GOOD, sha("salt", who("v1")))) == JobCode.WRONG_ROUND
    assert w.open(job, who("v1"), GOOD) == 0
    assert w.open(job, who("v1"), GOOD) == JobCode.ALREADY_OPENED
    w.clock = w.job(job).deadline
    assert w.open(job, who("v2"), GOOD) == JobCode.TOO_LATE
    w.block(0)
    assert w.state(job) == "PAID"
    assert w.open(job, who("v2"), GOOD) == JobCode.TOO_LATE


def test_the_last_open_brings_the_verdict() -> None:
    w, job = counting()
    for name in VERIFIERS[:3]:
        assert w.state(job) == "COUNT"
        assert w.open(job, who(name), GOOD) == 0
    assert w.state(job) == "PAID"


@pytest.mark.parametrize(
    "ballots",
    [
        [],
        [ballot(OK, 5_000, 0), ballot(OK, 5_000, 0)],
        [ballot(OK, 5_012)],
        [ballot(NEAR, 5_011)],
        [ballot(NEAR, 16_001)],
        [ballot(FALSE, 16_000)],
        [ballot(INVALID, 1)],
        [ballot(NOMODEL, 0, 1)],
        [ballot(ABSTAIN, 0, 0, HiddenVote.VALUE, 3)],
        [ballot(OK, 5_000, 0, HiddenVote.VALUE, 3)],
        [ballot(OK, 5_000, 0, HiddenVote.BADKEY)],
        [ballot(OK, 5_000, 0, HiddenVote.NONE, 3)],
        [ballot(0, 5_000)],  # type: ignore[arg-type]
        [ballot(7, 5_000)],  # type: ignore[arg-type]
        [ballot(OK, 5_000, 0, 3)],
    ],
)
def test_a_vote_that_contradicts_itself_cannot_be_opened(ballots: list[messages.Ballot]) -> None:
    w, job = committing()
    assert w.commit(job, who("v1"), ballots) == 0
    w.deadline(job)
    if ballots:
        assert w.open(job, who("v1"), ballots) == JobCode.BAD_VOTE
    else:
        with pytest.raises(Malformed):
            w.open(job, who("v1"), ballots)
    w.deadline(job)
    assert (who("v1"), "vote.silent") in w.membership.struck()


@pytest.mark.parametrize(
    "ballots",
    [
        [ballot(OK, -(10**18), 10**18)],
        [ballot(OK, 5_011)],
        [ballot(NEAR, 5_012)],
        [ballot(NEAR, 16_000)],
        [ballot(FALSE, 16_001)],
        [ballot(FALSE, 10**18)],
        [ballot(INVALID)],
        [ballot(NOMODEL)],
        [ballot(ABSTAIN)],
    ],
)
def test_votes_at_their_edges(ballots: list[messages.Ballot]) -> None:
    w, job = committing()
    assert w.commit(job, who("v1"), ballots) == 0
    w.deadline(job)
    assert w.open(job, who("v1"), ballots) == 0, w.refused


@pytest.mark.parametrize(
    ("vote", "code"),
    [
        (ballot(OK, 5_000, 0, HiddenVote.VALUE, -3), 0),
        (ballot(OK, 5_000, 0, HiddenVote.BADKEY), 0),
        (ballot(INVALID, 0, 0, HiddenVote.BADKEY), 0),
        (ballot(ABSTAIN), 0),
        (ballot(OK, 5_000), JobCode.BAD_VOTE),
        (ballot(OK, 5_000, 0, HiddenVote.BADKEY, 3), JobCode.BAD_VOTE),
        (ballot(NOMODEL, 0, 0, HiddenVote.VALUE, 3), JobCode.BAD_VOTE),
    ],
)
def test_the_hidden_column(vote: messages.Ballot, code: int) -> None:
    w = world()
    job = w.post("boss", hidden=hidden_set())
    w.open_to(job, {"a": 5_000})
    assert w.send(who("boss"), key_message(job)) == 0
    assert w.commit(job, who("v1"), [vote]) == 0
    w.deadline(job)
    assert w.open(job, who("v1"), [vote]) == code
