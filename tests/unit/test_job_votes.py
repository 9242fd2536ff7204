"""CommitVote and OpenVote: their effects, and each of their guards violated alone."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.job import CONTRACT, messages
from learningchain.chain.contracts.job.messages import OPEN_VOTE_MOST, WORK, Ballot, JobCode, OpenVote
from learningchain.chain.errors import Malformed
from learningchain.chain.losses import LossTree, draw_probe, open_losses
from learningchain.chain.verification.votes import BallotCode
from tests.unit.job_kit import CHAIN_ID, PARAMS, TREES, World, ballot, column, hidden_set, sha, who
from tests.unit.loss_kit import Liar, some_losses
from tests.unit.test_job_messages import GOOD, VERIFIERS, world

OK, NEAR, FALSE, INVALID, BROKEN, NOMODEL, ABSTAIN = BallotCode


# --- commits -------------------------------------------------------------------------------------------------------------------


def committing(**changes: Any) -> tuple[World, bytes]:
    """a's claim of 5,000 is under audit by v1 to v4."""
    w = world()
    job = w.post("boss", **changes)
    w.open_to(job, {"a": 5_000})
    if "hidden" in changes:
        w.show_key(job)
    assert w.state(job) == "COMMIT"
    assert sorted(w.committee(job)) == sorted(map(who, VERIFIERS))
    return w, job


def test_the_block_after_the_last_commit_opens_the_count_and_draws_the_probe() -> None:
    w, job = committing()
    for name in VERIFIERS:
        assert (w.state(job), w.round(job).probe) == ("COMMIT", b"")
        w.block(1)
        assert w.commit(job, who(name), GOOD) == 0
    assert (w.state(job), w.round(job).probe, w.job(job).deadline) == ("COMMIT", b"", w.clock)
    assert w.commit(job, who("v1"), GOOD) == JobCode.TOO_LATE
    w.block(1)
    assert (w.state(job), w.round(job).probe) == ("COUNT", w.beacon)
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
    assert w.open(job, who("v1"), GOOD) == JobCode.WRONG_STATE
    w.clock = w.job(job).deadline
    assert w.commit(job, who("v2"), GOOD) == JobCode.TOO_LATE
    w.block(0)
    assert w.state(job) == "COUNT"
    assert w.commit(job, who("v2"), GOOD) == JobCode.TOO_LATE


# --- openings ------------------------------------------------------------------------------------------------------------------


def counting(ballots: list[Ballot] = GOOD, **changes: Any) -> tuple[World, bytes]:
    """v1 to v3 have committed, v4 has not."""
    w, job = committing(**changes)
    for name in VERIFIERS[:3]:
        assert w.commit(job, who(name), ballots) == 0
    w.deadline(job)
    assert w.state(job) == "COUNT"
    return w, job


def test_open_refuses() -> None:
    w, job = counting()
    v1 = who("v1")
    first = w.open_message(job, v1, GOOD)
    assert w.send(who("v4"), w.open_message(job, who("v4"), GOOD)) == JobCode.NOT_COMMITTED
    assert w.send(who("b"), first) == JobCode.NOT_IN_COMMITTEE
    assert w.send(v1, replace(first, ballots=[ballot(OK, 5_001)])) == JobCode.VOTE_MISMATCH
    assert w.send(v1, replace(first, salt=sha("other salt"))) == JobCode.VOTE_MISMATCH
    assert w.send(v1, replace(first, salt=first.salt[:31])) == JobCode.VOTE_MISMATCH
    assert w.send(v1, replace(first, ballots=[], salt=b"")) == JobCode.VOTE_MISMATCH
    assert w.send(v1, replace(first, round=2)) == JobCode.WRONG_ROUND
    assert w.send(v1, first) == 0
    assert w.send(v1, first) == JobCode.ALREADY_OPENED
    w.clock = w.job(job).deadline
    assert w.open(job, who("v2"), GOOD) == JobCode.TOO_LATE
    w.block(0)
    assert (w.state(job), w.job(job).round) == ("DRAW", 2), "one seat of four decides nothing"
    assert w.send(who("v2"), replace(first, salt=sha("salt", who("v2")))) == JobCode.WRONG_STATE


def test_the_salt_is_32_bytes_even_where_another_one_was_committed() -> None:
    w, job = committing()
    short = b"short"
    sealed = messages.vote_commitment(CHAIN_ID, job, 0, 1, who("v1"), GOOD, short)
    assert w.send(who("v1"), messages.CommitVote(job, 0, 1, sealed)) == 0
    w.deadline(job)
    assert w.send(who("v1"), w.open_message(job, who("v1"), GOOD, salt=short)) == JobCode.VOTE_MISMATCH


def test_the_block_after_the_last_open_brings_the_verdict() -> None:
    w, job = counting()
    for name in VERIFIERS[:3]:
        assert w.state(job) == "COUNT" and w.job(job).deadline > w.clock
        assert w.open(job, who(name), GOOD) == 0
    assert (w.state(job), w.job(job).deadline) == ("COUNT", w.clock), "fees and strikes are no message's work"
    assert w.open(job, who("v1"), GOOD) == JobCode.TOO_LATE
    w.block(1)
    assert w.state(job) == "PAID"


TWO = [ballot(OK, 5_000, 7_000)]


def test_a_seat_counts_once_all_its_columns_are_open() -> None:
    w, job = counting(TWO, hidden=hidden_set())
    v1 = who("v1")
    assert w.send(v1, w.open_message(job, v1, TWO)) == 0
    seat = w.seat(job, v1)
    assert (seat.ballots, len(seat.shown), seat.complete, w.job(job).opened) == (TWO, 1, False, 0)
    later = w.column_message(job, v1, TWO, 0, True)
    assert w.send(v1, replace(later, ballots=TWO, salt=sha("salt", v1))) == JobCode.ALREADY_OPENED
    assert w.send(v1, replace(later, salt=sha("salt", v1))) == JobCode.ALREADY_OPENED
    assert w.send(v1, replace(later, hidden=False)) == JobCode.NO_COLUMN
    assert w.send(v1, replace(later, candidate=1)) == JobCode.NO_COLUMN
    assert w.send(v1, replace(later, opening=[])) == JobCode.NO_COLUMN
    assert w.send(v1, later) == 0
    seat = w.seat(job, v1)
    assert (len(seat.shown), seat.complete, w.job(job).opened) == (2, True, 1)
    assert [(c.candidate, c.hidden, c.losses) for c in seat.shown] == [(0, False, [5_000] * 16), (0, True, [7_000] * 16)]
    assert w.send(v1, later) == JobCode.NO_COLUMN
    assert w.topics(job)[-4:] == ["vote", "column", "column", "opened"]


def test_a_seat_that_measured_nothing_opens_without_a_column() -> None:
    blank = [ballot(NOMODEL)]
    w, job = counting(blank)
    v1 = who("v1")
    message = w.open_message(job, v1, blank)
    some = open_losses(LossTree([1]), draw_probe(w.round(job).probe, job, 0, 1, 1))
    assert w.send(v1, replace(message, opening=[some])) == JobCode.NO_COLUMN
    assert w.send(v1, message) == 0
    assert w.seat(job, v1).complete
    assert w.send(v1, replace(message, ballots=[], salt=b"")) == JobCode.NO_COLUMN


def test_an_opening_shows_what_the_probe_of_this_round_asks_for() -> None:
    losses = tuple(some_losses(100))
    total = -(-sum(losses) // 100)
    vote = [ballot(FALSE, losses)]
    assert total > 16_000
    w, job = counting(vote)
    v1 = who("v1")
    good = w.open_message(job, v1, vote)
    tree = TREES[vote[0].public[0].root]
    for probe in (draw_probe(sha("other beacon"), job, 0, 1, 100), draw_probe(w.round(job).probe, job, 0, 2, 100)):
        assert w.send(v1, replace(good, opening=[open_losses(tree, probe)])) == JobCode.BAD_OPENING
    opening = good.opening[0]
    assert w.send(v1, replace(good, opening=[replace(opening, leaves=opening.leaves[:-1])])) == JobCode.BAD_OPENING
    changed = [opening.leaves[0] + 1, *opening.leaves[1:]]
    assert w.send(v1, replace(good, opening=[replace(opening, leaves=changed)])) == JobCode.BAD_OPENING
    assert "does not show what the probe asks for" in w.refused
    assert w.send(v1, good) == 0
    shown = w.seat(job, v1).shown[0].losses
    assert len(shown) == 16 and set(shown) <= set(losses)


def test_a_list_that_does_not_add_up_cannot_be_opened() -> None:
    """The root says a lower sum than its losses have: a partial run that claims the mean of the others."""
    losses = some_losses(64)
    liar = Liar(losses, (0, 64), total=64 * 5_000)
    probe = draw_probe(sha("beacon"), sha("job"), 0, 1, 64)
    claimed, _, _ = liar.opened(probe)
    vote = [Ballot(OK, [claimed], [], False)]
    w, job = counting(vote)
    asked = draw_probe(w.round(job).probe, job, 0, 1, 64)
    opening = open_losses(LossTree(losses), asked)
    assert w.send(who("v1"), w.open_message(job, who("v1"), vote, opening=[opening])) == JobCode.BAD_OPENING


def test_opening_is_work_by_the_hashes_of_its_proof() -> None:
    """LC-JOB-25, LC-BLK-25"""
    spec = CONTRACT.messages[OpenVote]
    assert spec.weigh(OpenVote(bytes(32), 0, 1, [], b"", 0, False, [])) == WORK
    sizes = []
    for count in (1, 360, 10_000):
        tree = LossTree(some_losses(count))
        opening = open_losses(tree, draw_probe(sha("beacon"), sha("job"), 0, 1, count))
        sizes.append(spec.weigh(OpenVote(bytes(32), 0, 1, [], b"", 0, False, [opening])))
    assert sizes == sorted(sizes) and sizes[0] > WORK and sizes[-1] <= OPEN_VOTE_MOST == spec.heaviest


# --- ballots -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ballots",
    [
        [],
        [ballot(OK, 5_000), ballot(OK, 5_000)],
        [ballot(OK)],
        [ballot(NEAR)],
        [ballot(FALSE)],
        [ballot(OK, 5_012)],
        [ballot(NEAR, 5_011)],
        [ballot(NEAR, 16_001)],
        [ballot(FALSE, 16_000)],
        [ballot(INVALID, 1)],
        [ballot(BROKEN, 1)],
        [ballot(NOMODEL, None, 1)],
        [ballot(ABSTAIN, None, 3)],
        [ballot(ABSTAIN, badkey=True)],
        [ballot(OK, 5_000, 3)],
        [ballot(OK, 5_000, badkey=True)],
        [Ballot(0, [column(5_000)], [], False)],
        [Ballot(8, [column(5_000)], [], False)],
    ],
)
def test_a_vote_that_contradicts_itself_cannot_be_opened(ballots: list[Ballot]) -> None:
    w, job = committing()
    assert w.commit(job, who("v1"), ballots) == 0
    w.deadline(job)
    assert w.open(job, who("v1"), ballots) == JobCode.BAD_VOTE
    w.deadline(job)
    assert (who("v1"), "vote.silent") in w.membership.struck()


@pytest.mark.parametrize(
    "ballots",
    [
        [ballot(OK, -(10**18), examples=1)],
        [ballot(OK, 5_011)],
        [ballot(NEAR, 5_012)],
        [ballot(NEAR, 16_000)],
        [ballot(FALSE, 16_001)],
        [ballot(FALSE, 10**18, examples=9)],
        [ballot(INVALID)],
        [ballot(BROKEN)],
        [ballot(NOMODEL)],
        [ballot(ABSTAIN)],
    ],
)
def test_votes_at_their_edges(ballots: list[Ballot]) -> None:
    w, job = committing()
    assert w.commit(job, who("v1"), ballots) == 0
    w.deadline(job)
    assert w.open(job, who("v1"), ballots) == 0, w.refused


@pytest.mark.parametrize(
    ("vote", "code"),
    [
        (ballot(OK, 5_000, -3), 0),
        (ballot(OK, 5_000, badkey=True), 0),
        (ballot(INVALID), 0),
        (ballot(ABSTAIN), 0),
        (ballot(OK, 5_000), JobCode.BAD_VOTE),
        (ballot(OK, 5_000, 3, badkey=True), JobCode.BAD_VOTE),
        (ballot(NOMODEL, None, 3), JobCode.BAD_VOTE),
        (ballot(INVALID, badkey=True), JobCode.BAD_VOTE),
    ],
)
def test_the_hidden_column(vote: Ballot, code: int) -> None:
    w, job = committing(hidden=hidden_set())
    assert w.commit(job, who("v1"), [vote]) == 0
    w.deadline(job)
    assert w.open(job, who("v1"), [vote]) == code


@pytest.mark.parametrize(
    "bad",
    [
        lambda m: replace(m, ballots=GOOD * 9),
        lambda m: replace(m, salt=bytes(33)),
        lambda m: replace(m, opening=m.opening * 2),
        lambda m: replace(m, opening=[replace(m.opening[0], leaves=[10**18 + 1])]),
        lambda m: replace(m, opening=[replace(m.opening[0], leaves=[1] * 49)]),
    ],
)
def test_openings_out_of_bounds_are_malformed(bad: Any) -> None:
    w, job = counting()
    with pytest.raises(Malformed):
        w.send(who("v1"), bad(w.open_message(job, who("v1"), GOOD)))
