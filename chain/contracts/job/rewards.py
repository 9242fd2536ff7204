"""What a verdict brings to those who voted: fees, strikes, draw records, marks. Spec: LC-JOB-11, 12, 48, 49, 54."""

from __future__ import annotations

from collections.abc import Iterator

from learningchain.chain.contracts.job import ends, records, store
from learningchain.chain.contracts.job.records import Hidden
from learningchain.chain.contracts.job.store import JobContext, RoundSeats
from learningchain.chain.host import STANDING, VERIFIERS
from learningchain.chain.verification import merits
from learningchain.chain.verification.merits import Merit
from learningchain.chain.verification.votes import Judgement, OpenedVote


def strike_silent(work: JobContext, round_: RoundSeats) -> None:
    """No commit or no open: a strike and a bad draw of its own, whatever the verdicts are."""
    poster, verifiers = work.posting.poster, work.host.service(VERIFIERS)
    for voter, seat in round_.seats.items():
        if not seat.complete:
            _strike(work, work.job.round, voter, "vote.silent")
            verifiers.record_draw(voter, poster, bad=True, silent=True)


def settle(work: JobContext, index: int, judgement: Judgement, line: int) -> None:
    """Both rounds of this audit: whoever was on the winning side with a good proof is paid for each."""
    rounds = list(_rounds(work, index))
    if judgement == Judgement.UNDECIDED:
        amount = work.terms.fee * sum(len(cast) for _, cast in rounds)
        work.host.burn(records.fee_escrow(work.id), amount, "fees.burned", work.id)
        work.change(fees_burned=work.job.fees_burned + amount)
        return
    scale, hidden = work.scale(work.claim(index)), work.job.hidden == Hidden.ON
    seen = [(number, merits.merits(cast, judgement, scale, hidden)) for number, cast in rounds]
    spared = not merits.repeatable(seen[-1][1])
    if spared:
        work.host.emit("unrepeatable", work.id, work.claim(index).claimant)
        ends.count_unrepeatable(work)
    for number, round_ in seen:
        own = merits.repeatable(round_)
        for merit in round_:
            _settle_vote(work, number, merit, line, spared, own)


def _rounds(work: JobContext, index: int) -> Iterator[tuple[int, list[OpenedVote]]]:
    """The rounds of this audit in which the candidate was judged, with their opened votes."""
    finalists = work.of(work.job.finalists)
    for number in range(1, work.job.round + 1):
        round_ = store.read_seats(work.host.store, work.id, work.job.audit, number)
        if round_ is not None and index in round_.record.batch:
            yield number, round_.opened(index, finalists)


def _settle_vote(work: JobContext, round_: int, merit: Merit, line: int, spared: bool, repeatable: bool) -> None:
    """`spared`: the deciding round could not be repeated; `repeatable`: the vote's own round could."""
    verifiers, poster = work.host.service(VERIFIERS), work.posting.poster
    if merit.paid:
        _pay(work, round_, merit.voter)
    if not spared and (reason := merits.fault(merit, line)):
        _strike(work, round_, merit.voter, reason)
    verifiers.record_draw(merit.voter, poster, bad=merits.is_bad_draw(merit, line, repeatable), silent=False)
    if merits.counts_for_mark(merit, line):
        verifiers.count_vote(merit.voter, poster, bad=merit.lost)


def pay_dropped(work: JobContext, index: int) -> None:
    """A candidate that was banned after round one: what was done for it is paid."""
    for number, cast in _rounds(work, index):
        for vote in cast:
            _pay(work, number, vote.voter)


def _pay(work: JobContext, round_: int, voter: bytes) -> None:
    fee = work.terms.fee
    seat = store.read_seat(work.host.store, work.id, work.job.audit, round_, voter)
    work.change_seat(round_, voter, fee=seat.fee + fee)
    work.host.pay(records.fee_escrow(work.id), voter, fee, "fee", work.id)
    work.change(fees_paid=work.job.fees_paid + fee)


def _strike(work: JobContext, round_: int, voter: bytes, reason: str) -> None:
    """The seat keeps what it was struck for first."""
    seat = store.read_seat(work.host.store, work.id, work.job.audit, round_, voter)
    if not seat.struck:
        work.change_seat(round_, voter, struck=reason)
    work.host.service(STANDING).strike(voter, work.posting.poster, reason, work.id)
