"""CommitVote, OpenVote: sealed ballots, and the proofs that what they measured was measured. Spec: LC-JOB-8, 16, 24, 25, 57."""

from __future__ import annotations

import msgspec

from learningchain.chain.contracts.job import messages, records, store
from learningchain.chain.contracts.job.guards import load, require_seat, require_state
from learningchain.chain.contracts.job.messages import Ballot, CommitVote, JobCode, OpenVote, PostJob
from learningchain.chain.contracts.job.records import JobState, Seat, ShownColumn
from learningchain.chain.contracts.job.store import JobContext, measured_columns
from learningchain.chain.errors import Reject
from learningchain.chain.host import Host
from learningchain.chain.losses import BadOpening, Measurement, check_opening, draw_probe
from learningchain.chain.verification.votes import MEASURED, BallotCode

CODES = frozenset(BallotCode)
SALT_BYTES = 32


def commit_vote(host: Host, sender: bytes, m: CommitVote) -> None:
    """LC-JOB-24: a member of the committee binds itself to its ballots, once; with the last one COMMIT is over."""
    work = load(host, m.job)
    require_state(work, JobState.COMMIT, "votes")
    seat = require_seat(work, sender, m.audit, m.round)
    if seat.commitment:
        raise Reject(JobCode.ALREADY_COMMITTED, "your vote of this round is committed already")
    work.change_seat(m.round, sender, commitment=m.commitment)
    work.change(committed=work.job.committed + 1)
    host.emit("commit", m.job, m.audit, m.round, sender)
    if work.job.committed == len(store.read_round(host.store, m.job, m.audit, m.round).voters):
        work.end_window()


def open_vote(host: Host, sender: bytes, m: OpenVote) -> None:
    """LC-JOB-25: show one column of the committed vote. Once all of a seat's are shown it counts; with the last seat COUNT ends."""
    work = load(host, m.job)
    require_state(work, JobState.COUNT, "opened votes")
    seat = require_seat(work, sender, m.audit, m.round)
    if not seat.commitment:
        raise Reject(JobCode.NOT_COMMITTED, "you committed no vote in this round")
    first = not seat.ballots
    seat = _with_ballots(work, sender, seat, m)
    seat = _with_column(work, seat, m, first)
    seat = msgspec.structs.replace(seat, complete=len(seat.shown) == len(measured_columns(seat.ballots)))
    host.put(records.seat_key(m.job, m.audit, m.round, sender), seat)
    _tell(work, sender, seat, m, first)
    if seat.complete:
        work.change(opened=work.job.opened + 1)
    if work.job.opened == work.job.committed:
        work.end_window()


def _with_ballots(work: JobContext, sender: bytes, seat: Seat, m: OpenVote) -> Seat:
    """LC-JOB-57: the first opening of a seat carries its ballots, later ones do not."""
    if seat.ballots:
        if m.ballots or m.salt:
            raise Reject(JobCode.ALREADY_OPENED, "your ballots are open already: later openings carry a column alone")
        return seat
    if len(m.salt) != SALT_BYTES or seat.commitment != messages.vote_commitment(
        work.host.chain_id, m.job, m.audit, m.round, sender, m.ballots, m.salt
    ):
        raise Reject(JobCode.VOTE_MISMATCH, "ballots and salt do not open your commitment; your first opening carries both")
    if len(m.ballots) != len(seat.candidates):
        raise Reject(JobCode.BAD_VOTE, f"this seat votes on {len(seat.candidates)} candidates, not {len(m.ballots)}")
    hidden = store.read_round(work.host.store, m.job, m.audit, m.round).hidden
    for index, ballot in zip(seat.candidates, m.ballots, strict=True):
        check_ballot(work.terms, work.claim(index).loss, ballot, hidden)
    return msgspec.structs.replace(seat, ballots=m.ballots)


def _with_column(work: JobContext, seat: Seat, m: OpenVote, first: bool) -> Seat:
    """LC-JOB-7, 57: what the probe of this round asks for is shown."""
    if not m.opening:
        if not first or measured_columns(seat.ballots):
            raise Reject(JobCode.NO_COLUMN, "only a seat that measured nothing opens without a column")
        return seat
    column = _column(seat, m.candidate, m.hidden)
    probe = store.read_round(work.host.store, m.job, m.audit, m.round).probe
    asked = draw_probe(probe, m.job, m.audit, m.round, column.count)
    try:
        losses = check_opening(column, asked, m.opening[0])
    except BadOpening as fault:
        raise Reject(JobCode.BAD_OPENING, f"the opening does not show what the probe asks for: {fault}") from None
    return msgspec.structs.replace(seat, shown=[*seat.shown, ShownColumn(m.candidate, m.hidden, losses)])


def _column(seat: Seat, candidate: int, hidden: bool) -> Measurement:
    """The measured column that an opening is about, which is not open yet."""
    open_already = [(column.candidate, column.hidden) for column in seat.shown]
    if (candidate, hidden) not in measured_columns(seat.ballots) or (candidate, hidden) in open_already:
        which = "hidden" if hidden else "public"
        raise Reject(JobCode.NO_COLUMN, f"your ballots have no {which} column of candidate {candidate} left to open")
    ballot = seat.ballots[candidate]
    return (ballot.hidden if hidden else ballot.public)[0]


def _tell(work: JobContext, sender: bytes, seat: Seat, m: OpenVote, first: bool) -> None:
    """The votes with the first opening, then each column."""
    emit, where = work.host.emit, (m.audit, m.round, sender)
    if first:
        for index, ballot in zip(seat.candidates, seat.ballots, strict=True):
            emit("vote", m.job, *where, index, ballot.code, ballot.public[0].mean if ballot.public else 0)
    if m.opening:
        emit("column", m.job, *where, seat.candidates[m.candidate], int(m.hidden))
    if seat.complete:
        emit("opened", m.job, *where)


def check_ballot(terms: PostJob, claimed: int, ballot: Ballot, hidden: bool) -> None:
    """LC-JOB-8: code and measurement agree, nothing else is there. Raises `Reject`: a client checks before it commits.

    `hidden`: hidden data is on, so a measurement has a hidden one beside it, or the word that the key is bad.
    """
    if ballot.code not in CODES:
        raise Reject(JobCode.BAD_VOTE, f"unknown vote {ballot.code}")
    if ballot.code not in MEASURED:
        if ballot.public or ballot.hidden or ballot.badkey:
            raise Reject(JobCode.BAD_VOTE, f"a vote {BallotCode(ballot.code).name} carries no measurement")
        return
    if not ballot.public:
        raise Reject(JobCode.BAD_VOTE, f"a vote {BallotCode(ballot.code).name} carries what was measured")
    measured = ballot.public[0].mean
    if messages.ballot_code(terms, claimed, measured) != ballot.code:
        raise Reject(JobCode.BAD_VOTE, f"a measured loss of {measured} against a claim of {claimed} is another vote")
    if not hidden and (ballot.hidden or ballot.badkey):
        raise Reject(JobCode.BAD_VOTE, "this round has no hidden data")
    if hidden and bool(ballot.hidden) == ballot.badkey:
        raise Reject(JobCode.BAD_VOTE, "a measurement in this round has a hidden one, or the word that the key is bad")
