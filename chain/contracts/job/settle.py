"""What happens by itself: deadlines, audits, verdicts, payments and ends. Spec: protocol_spec/job.md, LC-JOB-30 to 46.

Nothing here may raise `Reject`: a deadline has nobody to refuse. Money leaves an escrow only here, through the host, which
freezes what a suspended identity would receive and burns what a banned one would.
"""

from __future__ import annotations

import msgspec

from chain.contracts.job import leaving, messages, records, rules, store
from chain.contracts.job.records import (
    ENDED,
    AuditRound,
    CaseState,
    ContractorRecord,
    Hidden,
    Holdback,
    Job,
    JobCase,
    JobState,
    Leaving,
    Seat,
)
from chain.contracts.job.rules import HiddenVote, OnCheat, Result, Rule
from chain.contracts.job.store import JobContext
from chain.errors import BrokenInvariant
from chain.host import BANNED, STRIKES, SUSPENDED, SUSPENSIONS, VERIFIERS, Host, Reader
from chain.types import quorum
from chain.verification import ranking
from chain.verification.scale import lower_median

RELEASE_PAGE = 128
"""Stakes given back in one event: a thousand claimants must not make one slow block. The rest follow in further events."""


def due_work(reader: Reader, job_id: bytes) -> int:
    """LC-BLK-31: claims are ranked at the end of two windows; of what ended, stakes go back and records leave, in pages."""
    record = reader.get(records.job_key(job_id)) or reader.get(records.leaving_key(job_id))
    if isinstance(record, Leaving) or (isinstance(record, Job) and record.state in ENDED):
        return leaving.page_size(reader, job_id, record)
    return record.claimants if isinstance(record, Job) else 0


def on_due(host: Host, job_id: bytes, at: int) -> None:
    """A deadline has come. A stale one (the state ended early) changes nothing (LC-JOB-30)."""
    work = store.load(host, job_id)
    if work is None:
        leaving.go_on(host, job_id)
        return
    if work.job.deadline != at:
        return
    work.change(deadline=0)
    state = work.job.state
    if state == JobState.OPEN:
        close_claims(work)
    elif state == JobState.REVEAL:
        close_reveals(work)
    elif state == JobState.KEY:
        key_missing(work)
    elif state == JobState.COMMIT:
        start_count(work)
    elif state == JobState.COUNT:
        evaluate_round(work)
    elif state in ENDED:
        before = work.job
        _close_by_status(work)
        release_stakes(work)
        settle_holdback(work)
        leaving.try_to_leave(work, before)


# --- T0, T1, T2 ----------------------------------------------------------------------------------------------------------------


def close_claims(work: JobContext) -> None:
    """T0: the best K claims must be revealed (LC-JOB-31)."""
    if not work.job.claimants:
        finish(work, JobState.EMPTY)
        return
    entries = work.entries(list(range(work.job.claimants)))
    must = [entry.claim for entry in ranking.rank(entries, work.tol, work.terms.finalists)]
    work.move_to(JobState.REVEAL, work.params.job_reveal, must=must)
    work.host.emit("reveal.open", work.id, work.job.deadline, *[work.claim(index).claimant for index in must])


def close_reveals(work: JobContext) -> None:
    """T1: silence costs stake and a strike; the best K of what was revealed go on (LC-JOB-32)."""
    for index in work.job.must:
        if not work.claim(index).model:
            _punish_silence(work, index)
    revealed = [index for index in range(work.job.claimants) if work.claim(index).model]
    finalists = [entry.claim for entry in ranking.rank(work.entries(revealed), work.tol, work.terms.finalists)]
    work.change(finalists=finalists)
    if not finalists:
        finish(work, JobState.EMPTY)
    elif work.job.hidden == Hidden.ON:
        work.move_to(JobState.KEY, work.params.job_key)
        work.host.emit("key.open", work.id, work.job.deadline)
    else:
        start_audit(work, 0, 1, finalists)


def _punish_silence(work: JobContext, index: int) -> None:
    """A suspended identity cannot send anything: its stake joins its frozen credits and it is not struck (LC-JOB-32)."""
    host, claimant = work.host, work.claim(index).claimant
    work.change_claim(index, result=Result.SILENT)
    host.emit("silent", work.id, claimant)
    if host.is_active(claimant):
        _burn_stake(work, claimant)
        host.service(STRIKES).add(claimant, "claim.silent", work.id)
    else:
        _release_stake(work, claimant)


def key_missing(work: JobContext) -> None:
    """T2: the contractor kept its key (LC-JOB-33)."""
    work.host.emit("key.missing", work.id)
    _turn_hidden_off(work)
    start_audit(work, 0, 1, work.job.finalists)


def _turn_hidden_off(work: JobContext) -> None:
    escrow = records.deposit_escrow(work.id)
    work.host.burn(escrow, work.host.escrowed(escrow), "deposit.burned", work.id)
    work.change(hidden=Hidden.OFF)


# --- an audit ------------------------------------------------------------------------------------------------------------------


def start_audit(work: JobContext, audit: int, round_: int, among: list[int]) -> None:
    """Start round `round_` of audit `audit` over those of `among` that may still be judged (LC-JOB-34)."""
    _drop_inactive(work)
    left = [index for index in among if work.claim(index).result == Result.NONE]
    if not left:
        next_step(work)
        return
    whole = round_ == 2 or work.job.hidden == Hidden.ON
    batch = left if whole else [ranking.leader(work.entries(left), work.tol).claim]
    drawn = _draw(work, audit, round_, batch)
    terms, params = work.terms, work.params
    window = rules.vote_window(params.job_vote_base, terms.limits.eval_s, terms.limits.model_cap, len(batch))
    work.move_to(JobState.COMMIT, window, audit=audit, round=round_, committed=0, opened=0)
    _seat_committee(work, batch, drawn)
    models = [work.claim(index).model for index in batch]
    work.host.emit("audit", work.id, audit, round_, work.job.deadline, *models)
    if not any(members for members, _ in drawn):
        evaluate_round(work)


def _drop_inactive(work: JobContext) -> None:
    """Finalists that are suspended or banned by now: the stake joins their frozen credits (LC-JOB-34)."""
    for index in work.job.finalists:
        claim = work.claim(index)
        if claim.result == Result.NONE and not work.host.is_active(claim.claimant):
            work.change_claim(index, result=Result.DROPPED)
            _release_stake(work, claim.claimant)
            work.host.emit("dropped", work.id, claim.claimant)


def _draw(work: JobContext, audit: int, round_: int, batch: list[int]) -> list[tuple[list[bytes], int]]:
    """The committee and |P| of every candidate (LC-JOB-6)."""
    host = work.host
    finalists = [work.claim(index).claimant for index in work.job.finalists]
    eligible = [i for i in host.service(VERIFIERS).since(work.terms.expiry) if i != work.posting.poster]
    pool = [i for i in eligible if i not in finalists]
    seats = rules.COMMITTEE if round_ == 1 else rules.COMMITTEE_2

    def order(identity: bytes) -> bytes:
        return rules.ticket(host.beacon, work.id, audit, round_, identity)

    drawn = []
    for index in batch:
        candidate = work.claim(index).claimant
        spare = [i for i in eligible if i in finalists and i != candidate]
        drawn.append(rules.draw(pool, spare, seats, order))
    return drawn


def _seat_committee(work: JobContext, batch: list[int], drawn: list[tuple[list[bytes], int]]) -> None:
    host, job = work.host, work.job
    candidates: dict[bytes, list[int]] = {}
    for index, (members, _) in zip(batch, drawn, strict=True):
        for voter in members:
            candidates.setdefault(voter, []).append(index)
    for voter, seat_of in candidates.items():
        host.put(
            records.seat_key(work.id, job.audit, job.round, voter),
            Seat(candidates=seat_of, commitment=b"", ballots=[], struck=False, fee=0),
        )
    record = AuditRound(
        beacon=host.beacon,
        started=host.clock,
        deadline=job.deadline,
        hidden=job.hidden == Hidden.ON,
        batch=batch,
        pools=[pool for _, pool in drawn],
        seats=[len(members) for members, _ in drawn],
        voters=list(candidates),
    )
    host.put(records.round_key(work.id, job.audit, job.round), record)


def start_count(work: JobContext) -> None:
    """Everybody committed, or the time is over: now the votes are opened (LC-JOB-35)."""
    work.move_to(JobState.COUNT, work.params.job_open_votes)
    work.host.emit("count", work.id, work.job.audit, work.job.round, work.job.deadline)
    if not work.job.committed:
        evaluate_round(work)


# --- verdicts ------------------------------------------------------------------------------------------------------------------


def evaluate_round(work: JobContext) -> None:
    """Every vote is open, or the time is over: a verdict for each candidate, or a second round (LC-JOB-36)."""
    host, job = work.host, work.job
    current = store.read_round(host.store, work.id, job.audit, job.round)
    _strike_silent(work, current)
    _check_key(work, current)
    again = []
    for index, pool, seats in zip(current.batch, current.pools, current.seats, strict=True):
        votes = store.votes_of(store.opened_ballots(host.store, work.id, job.audit, job.round, index))
        counted = rules.tally(seats, votes, work.tol(work.claim(index).loss))
        result, rule = rules.verdict(counted, job.round, pool)
        if rule == Rule.SECOND_ROUND:
            again.append(index)
        else:
            _decide(work, index, result, rule)
    _corroborate(work)
    if again:
        host.emit("second.round", work.id, job.audit, *again)
        start_audit(work, job.audit, 2, again)
    else:
        next_step(work)


def _strike_silent(work: JobContext, current: AuditRound) -> None:
    """No commit or no open is a strike; one who was suspended meanwhile could not send (LC-JOB-12)."""
    for voter in current.voters:
        seat = store.read_seat(work.host.store, work.id, work.job.audit, work.job.round, voter)
        if not seat.ballots:
            _strike_voter(work, work.job.round, voter, "vote.silent")


def _strike_voter(work: JobContext, round_: int, voter: bytes, reason: str) -> None:
    """At most one strike for one seat, however many candidates it votes on (LC-JOB-12)."""
    host = work.host
    seat = store.read_seat(host.store, work.id, work.job.audit, round_, voter)
    if seat.struck or not host.is_active(voter):
        return
    host.put(records.seat_key(work.id, work.job.audit, round_, voter), msgspec.structs.replace(seat, struck=True))
    host.service(STRIKES).add(voter, reason, work.id)


def _check_key(work: JobContext, current: AuditRound) -> None:
    """Q(c) members say that the key opens junk: the public columns decide (LC-JOB-10)."""
    if work.job.hidden != Hidden.ON:
        return
    for index, seats in zip(current.batch, current.seats, strict=True):
        ballots = store.opened_ballots(work.host.store, work.id, work.job.audit, work.job.round, index)
        if sum(o.ballot.hidden == HiddenVote.BADKEY for o in ballots) >= quorum(seats):
            work.host.emit("key.bad", work.id)
            _turn_hidden_off(work)
            return


def _decide(work: JobContext, index: int, result: Result, rule: Rule) -> None:
    """One candidate's verdict: fees and strikes of its voters, then what it means for the claimant (LC-JOB-37)."""
    host, claimant = work.host, work.claim(index).claimant
    opened = [
        ballot
        for round_ in range(1, work.job.round + 1)
        for ballot in store.opened_ballots(host.store, work.id, work.job.audit, round_, index)
    ]
    hidden = [o.ballot.hidden_loss for o in opened if o.ballot.code == rules.VoteCode.OK and o.ballot.hidden == HiddenVote.VALUE]
    shown = [lower_median(hidden)] if hidden and result == Result.OK else []
    work.change_claim(index, result=result, rule=rule, hidden_loss=shown)
    host.emit("verdict", work.id, work.job.audit, work.job.round, claimant, result, rule, len(opened))
    _reward_and_strike(work, index, result, rule, opened)
    if result == Result.UNDECIDED:
        _release_stake(work, claimant)
    elif result == Result.REFUSED:
        _burn_stake(work, claimant)
        host.service(STRIKES).add(claimant, "claim.refused", work.id)
    elif result == Result.FALSE:
        _burn_stake(work, claimant)
        _accuse(work, claimant)


def _reward_and_strike(work: JobContext, index: int, result: Result, rule: Rule, opened: list[store.OpenedBallot]) -> None:
    """Fees for the winning side with a good probe, of either round; strikes for lies where a quorum decided (LC-JOB-11, 12)."""
    host, limit = work.host, work.tol(work.claim(index).loss)
    winners = rules.winning_codes(result)
    units: list[store.OpenedBallot] = []
    for round_ in range(1, work.job.round + 1):
        side = [o for o in opened if o.round == round_ and o.ballot.code in winners]
        good = rules.probes_good([(o.ballot.code, o.ballot.probe) for o in side], limit)
        units += [o for o, fits in zip(side, good, strict=True) if fits]
        if round_ == work.job.round and rule in (Rule.QUORUM_OK, Rule.QUORUM_FALSE):
            for o in (o for o, fits in zip(side, good, strict=True) if not fits):
                _strike_voter(work, round_, o.voter, "vote.probe")
    each = rules.fee_each(work.terms.fee, len(units))
    for o in units:
        _pay_fee(work, o, each)
    for o in opened:
        if rules.is_wrong(o.ballot.code, result, rule):
            _strike_voter(work, o.round, o.voter, "vote.wrong")
        host.service(VERIFIERS).count_draw(o.voter, not rules.is_weak(o.ballot.code, result))


def _pay_fee(work: JobContext, o: store.OpenedBallot, amount: int) -> None:
    host, key = work.host, records.seat_key(work.id, work.job.audit, o.round, o.voter)
    seat = store.read_seat(host.store, work.id, work.job.audit, o.round, o.voter)
    host.put(key, msgspec.structs.replace(seat, fee=seat.fee + amount))
    host.pay(records.fee_escrow(work.id), o.voter, amount, "fee", work.id)
    work.change(fees_paid=work.job.fees_paid + amount)


def _accuse(work: JobContext, claimant: bytes) -> None:
    """A FALSE verdict suspends; for one who was banned meanwhile there is nothing left to decide (LC-JOB-37)."""
    host = work.host
    account = host.account(claimant)
    if account is not None and account.status == BANNED:
        work.change(cases=[*work.job.cases, JobCase(claimant, CaseState.BANNED)])
        return
    work.change(cases=[*work.job.cases, JobCase(claimant, CaseState.PENDING)])
    host.service(SUSPENSIONS).suspend(claimant, work.id, work.posting.poster, records.NUMBER)
    work.reload()


def _corroborate(work: JobContext) -> None:
    """Another claimant's claim on this job was judged OK: that supports every FALSE verdict of the job (LC-JOB-37)."""
    if any(work.claim(index).result == Result.OK for index in work.job.finalists):
        for case in work.job.cases:
            if case.state == CaseState.PENDING:
                work.host.service(SUSPENSIONS).corroborate(case.account, work.id)
        work.reload()


# --- next step and end ---------------------------------------------------------------------------------------------------------


def next_step(work: JobContext) -> None:
    """NEXT: pay, refund, or audit the next candidate (LC-JOB-38)."""
    job, terms = work.job, work.terms
    results = {index: work.claim(index).result for index in job.finalists}
    passed = [index for index in job.finalists if results[index] == Result.OK]
    unjudged = [index for index in job.finalists if results[index] == Result.NONE]
    if passed:
        finish(work, JobState.PAID, winner=_best(work, passed))
    elif Result.FALSE in results.values() and terms.on_cheat == OnCheat.REFUND:
        finish(work, JobState.REFUNDED)
    elif unjudged:
        start_audit(work, job.audit + 1, 1, unjudged)
    else:
        judged = any(result in rules.JUDGED for result in results.values())
        finish(work, JobState.REFUNDED if judged else JobState.EMPTY)


def _best(work: JobContext, passed: list[int]) -> int:
    """With hidden data the leader on the hidden loss, otherwise the first in rank order (LC-JOB-38)."""
    if work.job.hidden == Hidden.ON:
        known = [(index, work.claim(index)) for index in passed]
        entries = [ranking.RankedClaim(claim.position, claim.hidden_loss[0], index) for index, claim in known if claim.hidden_loss]
        if entries:
            return ranking.leader(entries, work.tol).claim
    return passed[0]


def finish(work: JobContext, state: JobState, winner: int | None = None) -> None:
    """The job ends: every escrow is paid out or burned, stakes in pages (LC-JOB-39)."""
    host, poster, bounty = work.host, work.posting.poster, records.bounty_escrow(work.id)
    work.stop()
    host.delete(records.live_key(work.id))
    work.change(state=int(state), ended=host.clock, winner=[] if winner is None else [winner])
    if winner is not None:
        claim = work.claim(winner)
        host.pay(bounty, claim.claimant, work.terms.bounty, "bounty", work.id)
        host.emit("paid", work.id, claim.claimant, work.terms.bounty, claim.model, claim.loss)
        count_outcome(work, paid=1)
    elif state == JobState.REFUNDED:
        holdback = work.terms.bounty // 10
        host.pay(bounty, poster, work.terms.bounty - holdback, "bounty.returned", work.id)
        host.emit("refunded", work.id, poster, work.terms.bounty - holdback)
        count_outcome(work, refunded=1)
        work.change(holdback=Holdback.HELD if holdback else Holdback.NONE)
    else:
        host.pay(bounty, poster, work.terms.bounty, "bounty.returned", work.id)
        host.emit("empty", work.id, poster)
        count_outcome(work, empty=1)
    for escrow, reason in ((records.fee_escrow(work.id), "fees.returned"), (records.deposit_escrow(work.id), "deposit.returned")):
        host.pay(escrow, poster, host.escrowed(escrow), reason, work.id)
    release_stakes(work)
    settle_holdback(work)
    leaving.await_leaving(work)


def give_back(host: Host, job_id: bytes) -> None:
    """LC-JOB-41: the validators end a parked job: everything it holds goes back to whom it came from, and nobody is judged."""
    work = store.load(host, job_id)
    if work is None:
        if not leaving.give_back(host, job_id):
            raise BrokenInvariant(f"job {job_id.hex()} has no records")
        return
    poster = work.posting.poster
    work.stop()
    for escrow, reason in (
        (records.bounty_escrow(job_id), "bounty.returned"),
        (records.fee_escrow(job_id), "fees.returned"),
        (records.deposit_escrow(job_id), "deposit.returned"),
    ):
        host.pay(escrow, poster, host.escrowed(escrow), reason, job_id)
    if work.job.state not in ENDED:
        host.delete(records.live_key(job_id))
        work.change(state=JobState.EMPTY, ended=host.clock)
        host.emit("empty", job_id, poster)
        count_outcome(work, empty=1)
    if work.job.holdback == Holdback.HELD:
        work.change(holdback=Holdback.RETURNED)
    release_stakes(work)
    leaving.await_leaving(work)


def count_outcome(work: JobContext, *, paid: int = 0, refunded: int = 0, empty: int = 0) -> None:
    """The published record of a contractor, and what it has standing: one job less (LC-JOB-43)."""
    host, key = work.host, records.contractor_key(work.posting.poster)
    old = host.get(key, ContractorRecord)
    if old is None:
        raise BrokenInvariant(f"job {work.id.hex()} ends, and its contractor has no record")
    size = old.live_bytes - messages.size_of(work.terms)
    host.put(key, ContractorRecord(old.posted, old.paid + paid, old.refunded + refunded, old.empty + empty, size))


def release_stakes(work: JobContext) -> None:
    """Give back the next page of the stakes that are still locked; another event does the rest (LC-JOB-39)."""
    end = min(work.job.released + RELEASE_PAGE, work.job.claimants)
    for index in range(work.job.released, end):
        _release_stake(work, work.claim(index).claimant)
    work.change(released=end)
    if end < work.job.claimants:
        work.move_to(work.job.state, 1)


def settle_holdback(work: JobContext) -> None:
    """The holdback, once no FALSE verdict of this job is open any more: back if one became a ban, else burned (LC-JOB-40)."""
    if work.job.holdback != Holdback.HELD:
        return
    states = [case.state for case in work.job.cases]
    if CaseState.PENDING in states:
        _look_again(work)
        return
    host, escrow = work.host, records.bounty_escrow(work.id)
    amount = host.escrowed(escrow)
    if CaseState.BANNED in states:
        host.pay(escrow, work.posting.poster, amount, "tenth.returned", work.id)
        work.change(holdback=Holdback.RETURNED)
    else:
        host.burn(escrow, amount, "tenth.burned", work.id)
        work.change(holdback=Holdback.BURNED)
    if work.job.deadline and work.job.released == work.job.claimants:
        work.stop()
    host.emit("tenth", work.id, amount, work.job.holdback)


def _look_again(work: JobContext) -> None:
    """A case ends within APPEAL and then `on_case_closed` is called. Were it never, the holdback must not be held for ever."""
    if not work.job.deadline:
        work.move_to(work.job.state, work.host.service(SUSPENSIONS).appeal_ms() + 1)


def _close_by_status(work: JobContext) -> None:
    """Close the cases of accounts that are no longer suspended by what became of them (LC-JOB-40)."""
    cases = []
    for case in work.job.cases:
        account = work.host.account(case.account)
        if case.state == CaseState.PENDING and account is not None and account.status != SUSPENDED:
            state = CaseState.BANNED if account.status == BANNED else CaseState.DISMISSED
            cases.append(JobCase(case.account, state))
        else:
            cases.append(case)
    work.change(cases=cases)


def on_case_closed(host: Host, job_id: bytes, account: bytes, banned: bool) -> None:
    """The membership contract closed a suspension that a verdict of this job caused (LC-JOB-40)."""
    work = store.load(host, job_id)
    if work is None:
        return
    state = CaseState.BANNED if banned else CaseState.DISMISSED
    cases = [JobCase(c.account, state) if c.account == account and c.state == CaseState.PENDING else c for c in work.job.cases]
    work.change(cases=cases)
    settle_holdback(work)
    if work.job.state in ENDED:
        leaving.put_off(work)


def _burn_stake(work: JobContext, claimant: bytes) -> None:
    escrow = records.stake_escrow(work.id, claimant)
    work.host.burn(escrow, work.host.escrowed(escrow), "stake.burned", work.id)


def _release_stake(work: JobContext, claimant: bytes) -> None:
    escrow = records.stake_escrow(work.id, claimant)
    work.host.pay(escrow, claimant, work.host.escrowed(escrow), "stake", work.id)
