"""The job contract a second time, from protocol_spec/job.md: what `checks_ledger.Ledger` does with messages 96 to 101.

Only the types of messages and records come from the product. Nothing here is fast or general: it is meant to be compared with the
spec line by line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chain.codec import encode
from chain.contracts.job import messages as m
from chain.contracts.job import records as r
from chain.contracts.job.records import CaseState, Hidden, Holdback, JobState
from chain.contracts.job.rules import HiddenVote, Result, Rule, VoteCode
from chain.crypto import sha256
from tests.hashes import tagged
from tests.sim.checks_job_rules import check_ballot, is_cid, leader, lower_median, quorum, rank, sane, tally, tol, verdict
from tests.sim.checks_ledger import Ledger, refuse_if, replace

NUMBER = 3
BEST, NEGATIVE = (VoteCode.OK,), (VoteCode.NEAR, VoteCode.FALSE, VoteCode.INVALID, VoteCode.NOMODEL)
MEASURED = (VoteCode.OK, VoteCode.NEAR, VoteCode.FALSE)
SEATS, SEATS_2, MIN_POOL, PAGE = 13, 64, 3, 128


class Jobs:
    def __init__(self, ledger: Ledger) -> None:
        self.l = ledger
        self.late: dict[bytes, int] = {}
        """By how much the deadlines of a job were handled late."""
        ledger.due_work[NUMBER] = self._due_work
        ledger.on_due[NUMBER], ledger.on_closed[NUMBER] = self._due, self._case_closed
        ledger.handlers |= {
            m.PostJob: self._post,
            m.Claim: self._claim,
            m.Reveal: self._reveal,
            m.RevealKey: self._key,
            m.CommitVote: self._commit,
            m.OpenVote: self._open,
        }

    # --- records ----------------------------------------------------------------------------------------------------------------

    def job(self, j: bytes) -> r.Job:
        return self.l.get(b"jb/" + j)  # type: ignore[no-any-return]

    def poster(self, j: bytes) -> bytes:
        return self.l.get(b"jp/" + j).poster  # type: ignore[no-any-return]

    def terms(self, j: bytes) -> m.PostJob:
        return self.l.get(b"jp/" + j).terms  # type: ignore[no-any-return]

    def claim(self, j: bytes, index: int) -> r.ClaimRecord:
        return self.l.get(b"jc/" + j + index.to_bytes(4, "big"))  # type: ignore[no-any-return]

    def seat(self, j: bytes, audit: int, round_: int, voter: bytes) -> r.Seat:
        return self.l.get(b"js/" + j + bytes((audit, round_)) + voter)  # type: ignore[no-any-return]

    def round_of(self, j: bytes, audit: int, round_: int) -> r.AuditRound:
        return self.l.get(b"jr/" + j + bytes((audit, round_)))  # type: ignore[no-any-return]

    def change(self, j: bytes, **fields: Any) -> None:
        self.l.put(b"jb/" + j, replace(self.job(j), **fields))

    def change_claim(self, j: bytes, index: int, **fields: Any) -> None:
        self.l.put(b"jc/" + j + index.to_bytes(4, "big"), replace(self.claim(j, index), **fields))

    def change_seat(self, j: bytes, audit: int, round_: int, voter: bytes, **fields: Any) -> None:
        self.l.put(b"js/" + j + bytes((audit, round_)) + voter, replace(self.seat(j, audit, round_, voter), **fields))

    def ranked(self, j: bytes, indices: list[int]) -> list[int]:
        entries = [(self.claim(j, i).position, self.claim(j, i).loss, i) for i in indices]
        return rank(entries, self.terms(j))[: self.terms(j).finalists]

    def _due_work(self, j: bytes) -> int:
        """LC-BLK-31"""
        found = self.job(j) or self.l.get(b"jl/" + j)
        if isinstance(found, r.Job) and found.state < JobState.PAID:
            return found.claimants
        return 0 if found is None else sum(1 for _ in self._page(j, found.claimants, found.audit, found.round))

    # --- windows ----------------------------------------------------------------------------------------------------------------

    def enter(self, j: bytes, state: int, window: int, **fields: Any) -> None:
        """A state begins with the block that handles the event before it."""
        self.stop(j)
        at = self.l.chain.clock + window
        self.l.schedule(at, NUMBER, j, self.poster(j))
        self.change(j, state=int(state), deadline=at, **fields)

    def stop(self, j: bytes) -> None:
        if self.job(j).deadline:
            self.l.cancel(self.job(j).deadline, NUMBER, j, self.poster(j))
            self.change(j, deadline=0)

    def latest_end(self, j: bytes) -> int:
        """LC-JOB-14"""
        terms, params = self.terms(j), self.l.params
        once = params.job_vote_base + 2_000 * terms.limits.eval_s + -(-terms.limits.model_cap // 1_000) + params.job_open_votes
        key = params.job_key if terms.hidden else 0
        latest: int = terms.expiry + params.job_reveal + key + 2 * terms.finalists * once + self.late.get(j, 0)
        return latest

    def _due(self, j: bytes, at: int) -> None:
        job = self.job(j)
        if job is None:
            self._go_on_leaving(j)
            return
        if job.deadline != at:  # LC-JOB-30
            return
        self.change(j, deadline=0)
        self.late[j] = self.late.get(j, 0) + self.l.chain.clock - at
        if job.state == JobState.OPEN:
            self._close_claims(j)
        elif job.state == JobState.REVEAL:
            self._close_reveals(j)
        elif job.state == JobState.KEY:  # LC-JOB-33
            self._hidden_off(j)
            self._audit(j, 0, 1, job.finalists)
        elif job.state == JobState.COMMIT:
            self._count(j)
        elif job.state == JobState.COUNT:
            self._judge(j)
        else:
            before = self.job(j)
            self._look_at_cases(j)
            self._release_page(j)
            self._holdback(j)
            self._after_the_end(j, before)

    # --- messages ---------------------------------------------------------------------------------------------------------------

    def _standing(self, sender: bytes) -> None:
        refuse_if(not self.l.active(sender), 307)
        refuse_if(self.l.strikes(sender) >= 3, 308)

    def _in(self, j: bytes, state: JobState) -> r.Job:
        job = self.job(j)
        refuse_if(job is None, 300)
        refuse_if(job.state < state, 309)
        refuse_if(job.state > state or self.l.chain.clock >= job.deadline, 310)
        return job

    def _post(self, sender: bytes, p: m.PostJob) -> None:
        """LC-JOB-20"""
        ledger, clock, params = self.l, self.l.chain.clock, self.l.params
        self._standing(sender)
        refuse_if(not params.job_min_open <= p.expiry - clock <= params.job_max_open, 301)
        sane(p)
        known = self.l.get(b"ja/" + sender) or r.ContractorRecord(0, 0, 0, 0, 0)
        size = known.live_bytes + len(encode(p))
        ended = known.paid + known.refunded + known.empty
        refuse_if(known.posted - ended >= params.job_max_live or size > params.job_max_live_bytes, 330)  # LC-JOB-43
        fees, deposit = p.fee * SEATS * p.finalists, p.bounty if p.hidden else 0
        refuse_if(ledger.free(sender) < p.bounty + fees + deposit, 1)
        j = tagged(b"lc/job", ledger.tx, bytes((ledger.op,)))
        number = ledger.get(b"jt/").posted if ledger.get(b"jt/") else 0
        ledger.put(b"jt/", r.Totals(number + 1))
        ledger.put(b"jn/" + number.to_bytes(8, "big"), r.Numbered(j))
        ledger.put(b"j/" + j, r.Live(number, p.expiry))
        ledger.put(b"jp/" + j, r.Posting(sender, number, clock, p))
        hidden = Hidden.ON if p.hidden else Hidden.NONE
        ledger.put(b"jb/" + j, r.Job(JobState.OPEN, p.expiry, 0, [], [], hidden, b"", 0, 0, 0, 0, [], [], 0, Holdback.NONE, 0, 0))
        self.l.put(b"ja/" + sender, replace(known, posted=known.posted + 1, live_bytes=size))
        for escrow, amount in ((b"B", p.bounty), (b"F", fees), (b"D", deposit)):
            ledger.lock(sender, j + escrow, amount)
        ledger.schedule(p.expiry, NUMBER, j, sender)

    def _outcome(self, j: bytes, poster: bytes, how: str) -> None:
        known, size = self.l.get(b"ja/" + poster), len(encode(self.terms(j)))
        self.l.put(b"ja/" + poster, replace(known, live_bytes=known.live_bytes - size, **{how: getattr(known, how) + 1}))

    def _claim(self, sender: bytes, c: m.Claim) -> None:
        """LC-JOB-21, LC-TX-8"""
        job, ledger = self._in(c.job, JobState.OPEN), self.l
        self._standing(sender)
        terms = self.terms(c.job)
        refuse_if(sender == self.poster(c.job), 311)
        refuse_if(not terms.floor <= c.loss <= 10**18, 312)
        known = ledger.get(b"jm/" + c.job + sender)
        position = ledger.chain.height.to_bytes(8, "big") + sha256(ledger.parent_beacon + ledger.tx) + bytes((ledger.op,))
        fresh: dict[str, Any] = {"loss": c.loss, "commitment": c.commitment, "position": position, "claimed": ledger.chain.clock}
        if known is not None:
            old = self.claim(c.job, known.index)
            refuse_if(old.count >= 16, 314)
            refuse_if(c.loss + 2 * tol(terms, old.loss) > old.loss, 313)
            self.change_claim(c.job, known.index, count=old.count + 1, **fresh)
            return
        refuse_if(job.claimants >= ledger.params.job_max_claimants, 315)
        stake = min(ledger.free(sender), terms.bounty // 10)
        ledger.lock(sender, c.job + sender, stake)
        ledger.put(b"jm/" + c.job + sender, r.ClaimantIndex(job.claimants))
        record = r.ClaimRecord(claimant=sender, count=1, stake=stake, model=b"", size=0, result=0, rule=0, hidden_loss=[], **fresh)
        ledger.put(b"jc/" + c.job + job.claimants.to_bytes(4, "big"), record)
        self.change(c.job, claimants=job.claimants + 1)

    def _reveal(self, sender: bytes, v: m.Reveal) -> None:
        """LC-JOB-22"""
        self._in(v.job, JobState.REVEAL)
        refuse_if(not self.l.active(sender), 307)
        known = self.l.get(b"jm/" + v.job + sender)
        refuse_if(known is None, 316)
        claim = self.claim(v.job, known.index)
        refuse_if(claim.model != b"", 318)
        refuse_if(v.claim != claim.count, 317)
        refuse_if(not is_cid(v.model) or not 1 <= v.size <= self.terms(v.job).limits.model_cap, 320)
        sealed = tagged(b"lc/claim", self.l.chain.chain_id, v.job, sender, v.model[4:], v.salt)  # LC-JOB-16
        refuse_if(sealed != claim.commitment, 319)
        self.change_claim(v.job, known.index, model=v.model, size=v.size)

    def _key(self, sender: bytes, k: m.RevealKey) -> None:
        """LC-JOB-23"""
        refuse_if(self.job(k.job) is None, 300)
        refuse_if(sender != self.poster(k.job), 321)
        job = self._in(k.job, JobState.KEY)
        refuse_if(not self.l.active(sender), 307)
        refuse_if(sha256(k.key) != self.terms(k.job).hidden[0].key_hash, 322)
        self.change(k.job, key=k.key)
        self._audit(k.job, 0, 1, job.finalists)

    def _voter(self, sender: bytes, v: m.CommitVote | m.OpenVote, state: JobState) -> tuple[r.Job, r.Seat]:
        job = self._in(v.job, state)
        refuse_if(not self.l.active(sender), 307)
        refuse_if((v.audit, v.round) != (job.audit, job.round), 324)
        seat = self.seat(v.job, v.audit, v.round, sender)
        refuse_if(seat is None, 323)
        return job, seat

    def _commit(self, sender: bytes, v: m.CommitVote) -> None:
        """LC-JOB-24"""
        job, seat = self._voter(sender, v, JobState.COMMIT)
        refuse_if(seat.commitment != b"", 325)
        self.change_seat(v.job, v.audit, v.round, sender, commitment=v.commitment)
        self.change(v.job, committed=job.committed + 1)
        if job.committed + 1 == len(self.round_of(v.job, v.audit, v.round).voters):
            self._count(v.job)

    def _open(self, sender: bytes, v: m.OpenVote) -> None:
        """LC-JOB-25"""
        job, seat = self._voter(sender, v, JobState.COUNT)
        refuse_if(seat.commitment == b"", 326)
        refuse_if(seat.ballots != [], 327)
        place = bytes((v.audit, v.round))
        sealed = tagged(b"lc/ballots", self.l.chain.chain_id, v.job, place, sender, v.salt, encode(v.ballots))
        refuse_if(sealed != seat.commitment, 328)
        refuse_if(len(v.ballots) != len(seat.candidates), 329)
        hidden = self.round_of(v.job, v.audit, v.round).hidden
        for index, ballot in zip(seat.candidates, v.ballots, strict=True):
            check_ballot(self.terms(v.job), self.claim(v.job, index).loss, ballot, hidden)
        self.change_seat(v.job, v.audit, v.round, sender, ballots=v.ballots)
        self.change(v.job, opened=job.opened + 1)
        if job.opened + 1 == job.committed:
            self._judge(v.job)

    # --- deadlines --------------------------------------------------------------------------------------------------------------

    def _close_claims(self, j: bytes) -> None:
        """LC-JOB-31"""
        job = self.job(j)
        if job.claimants:
            self.enter(j, JobState.REVEAL, self.l.params.job_reveal, must=self.ranked(j, list(range(job.claimants))))
        else:
            self._end(j, JobState.EMPTY)

    def _close_reveals(self, j: bytes) -> None:
        """LC-JOB-32"""
        job = self.job(j)
        for index in job.must:
            claim = self.claim(j, index)
            if claim.model:
                continue
            self.change_claim(j, index, result=Result.SILENT)
            active = self.l.active(claim.claimant)
            self.l.release(j + claim.claimant, None if active else claim.claimant)
            if active:
                self.l.strike(claim.claimant)
        finalists = self.ranked(j, [i for i in range(job.claimants) if self.claim(j, i).model])
        self.change(j, finalists=finalists)
        if not finalists:
            self._end(j, JobState.EMPTY)
        elif job.hidden == Hidden.ON:
            self.enter(j, JobState.KEY, self.l.params.job_key)
        else:
            self._audit(j, 0, 1, finalists)

    def _hidden_off(self, j: bytes) -> None:
        self.l.release(j + b"D", None)
        self.change(j, hidden=Hidden.OFF)

    # --- an audit ---------------------------------------------------------------------------------------------------------------

    def _audit(self, j: bytes, audit: int, round_: int, among: list[int]) -> None:
        """LC-JOB-34"""
        job, terms, params = self.job(j), self.terms(j), self.l.params
        for index in job.finalists:
            claim = self.claim(j, index)
            if claim.result == Result.NONE and not self.l.active(claim.claimant):
                self.change_claim(j, index, result=Result.DROPPED)
                self.l.release(j + claim.claimant, claim.claimant)
        batch = [i for i in among if self.claim(j, i).result == Result.NONE]
        if not batch:
            self._next(j)
            return
        if round_ == 1 and job.hidden != Hidden.ON:
            batch = [leader([(self.claim(j, i).position, self.claim(j, i).loss, i) for i in batch], terms)]
        window = params.job_vote_base + 2_000 * terms.limits.eval_s * len(batch) + -(-terms.limits.model_cap * len(batch) // 1_000)
        self.enter(j, JobState.COMMIT, window, audit=audit, round=round_, committed=0, opened=0)
        drawn = [self._committee(j, audit, round_, index) for index in batch]
        seats: dict[bytes, list[int]] = {}
        for index, (members, _) in zip(batch, drawn, strict=True):
            for voter in members:
                seats.setdefault(voter, []).append(index)
        for voter, candidates in seats.items():
            self.l.put(b"js/" + j + bytes((audit, round_)) + voter, r.Seat(candidates, b"", [], False, 0))
        record = r.AuditRound(
            beacon=self.l.chain.beacon,
            started=self.l.chain.clock,
            deadline=self.job(j).deadline,
            hidden=job.hidden == Hidden.ON,
            batch=batch,
            pools=[pool for _, pool in drawn],
            seats=[len(members) for members, _ in drawn],
            voters=list(seats),
        )
        self.l.put(b"jr/" + j + bytes((audit, round_)), record)
        if not seats:
            self._judge(j)

    def _committee(self, j: bytes, audit: int, round_: int, index: int) -> tuple[list[bytes], int]:
        """LC-JOB-6"""
        finalists = [self.claim(j, i).claimant for i in self.job(j).finalists]
        able = [i for i in self.l.verifiers(self.terms(j).expiry) if i != self.poster(j)]
        tickets = {i: sha256(self.l.chain.beacon + j + bytes((audit, round_)) + i) for i in able}
        pool = [i for i in able if i not in finalists]
        others = sorted((i for i in able if i in finalists and i != self.claim(j, index).claimant), key=lambda i: tickets[i])
        pool += others[: max(0, MIN_POOL - len(pool))]
        return sorted(pool, key=lambda i: tickets[i])[: SEATS if round_ == 1 else SEATS_2], len(pool)

    def _count(self, j: bytes) -> None:
        """LC-JOB-35"""
        self.enter(j, JobState.COUNT, self.l.params.job_open_votes)
        if not self.job(j).committed:
            self._judge(j)

    def _opened(self, j: bytes, round_: int, index: int) -> list[tuple[int, bytes, m.Ballot]]:
        """(round, voter, ballot) on a candidate, in draw order."""
        audit = self.job(j).audit
        seats = ((voter, self.seat(j, audit, round_, voter)) for voter in self.round_of(j, audit, round_).voters)
        return [(round_, v, s.ballots[s.candidates.index(index)]) for v, s in seats if s.ballots and index in s.candidates]

    def _judge(self, j: bytes) -> None:
        """LC-JOB-36"""
        job = self.job(j)
        current = self.round_of(j, job.audit, job.round)
        for voter in current.voters:
            if not self.seat(j, job.audit, job.round, voter).ballots:
                self._strike_voter(j, job.round, voter)
        if job.hidden == Hidden.ON:  # LC-JOB-10
            for index, c in zip(current.batch, current.seats, strict=True):
                bad = sum(b.hidden == HiddenVote.BADKEY for _, _, b in self._opened(j, job.round, index))
                if bad >= quorum(c):
                    self._hidden_off(j)
                    break
        again = []
        for index, pool, c in zip(current.batch, current.pools, current.seats, strict=True):
            counted = tally([b for _, _, b in self._opened(j, job.round, index)], tol(self.terms(j), self.claim(j, index).loss))
            result, rule = verdict(*counted, c, job.round, pool)
            if rule == Rule.SECOND_ROUND:
                again.append(index)
            else:
                self._decide(j, index, result, rule)
        if any(self.claim(j, i).result == Result.OK for i in job.finalists):
            for case in self.job(j).cases:
                if case.state == CaseState.PENDING:
                    self.l.corroborate(case.account, j)
        if again:
            self._audit(j, job.audit, 2, again)
        else:
            self._next(j)

    def _strike_voter(self, j: bytes, round_: int, voter: bytes) -> None:
        """LC-JOB-12: at most once for one seat; who is suspended or banned by now is spared."""
        audit = self.job(j).audit
        if self.l.active(voter) and not self.seat(j, audit, round_, voter).struck:
            self.change_seat(j, audit, round_, voter, struck=True)
            self.l.strike(voter)

    def _decide(self, j: bytes, index: int, result: Result, rule: Rule) -> None:
        """LC-JOB-37"""
        job, claimant = self.job(j), self.claim(j, index).claimant
        votes = [vote for round_ in range(1, job.round + 1) for vote in self._opened(j, round_, index)]
        hidden = [b.hidden_loss for _, _, b in votes if b.code == VoteCode.OK and b.hidden == HiddenVote.VALUE]
        shown = [lower_median(hidden)] if hidden and result == Result.OK else []
        self.change_claim(j, index, result=result, rule=rule, hidden_loss=shown)
        self._pay_voters(j, index, result, rule, votes)
        if result == Result.UNDECIDED:
            self.l.release(j + claimant, claimant)
        elif result == Result.REFUSED:
            self.l.release(j + claimant, None)
            self.l.strike(claimant)
        elif result == Result.FALSE:
            self.l.release(j + claimant, None)
            banned = self.l.account(claimant).status == 2
            case = r.JobCase(claimant, CaseState.BANNED if banned else CaseState.PENDING)
            self.change(j, cases=[*self.job(j).cases, case])
            if not banned:
                self.l.suspend(claimant, j, self.poster(j), NUMBER)

    def _pay_voters(self, j: bytes, index: int, result: Result, rule: Rule, votes: list[tuple[int, bytes, m.Ballot]]) -> None:
        """LC-JOB-11, 12"""
        terms, job = self.terms(j), self.job(j)
        limit = 2 * tol(terms, self.claim(j, index).loss)
        winners = BEST if result == Result.OK else NEGATIVE if result in (Result.FALSE, Result.REFUSED) else ()
        by_quorum = rule in (Rule.QUORUM_OK, Rule.QUORUM_FALSE)
        paid = []
        for round_ in range(1, job.round + 1):
            side = [vote for vote in votes if vote[0] == round_ and vote[2].code in winners]
            probes = [b.probe for _, _, b in side if b.code in MEASURED]
            middle = lower_median(probes) if probes else 0
            off = [vote for vote in side if vote[2].code in MEASURED and abs(vote[2].probe - middle) > limit]
            paid += [vote for vote in side if vote not in off]
            if by_quorum and round_ == job.round:
                for _, voter, _ in off:
                    self._strike_voter(j, round_, voter)
        each = min(terms.fee, terms.fee * SEATS // len(paid)) if paid else 0
        for round_, voter, _ in paid:
            self.change_seat(j, job.audit, round_, voter, fee=self.seat(j, job.audit, round_, voter).fee + each)
            self.l.release(j + b"F", voter, each)
            self.change(j, fees_paid=self.job(j).fees_paid + each)
        for round_, voter, b in votes:
            lied = b.code == VoteCode.OK if result == Result.FALSE else b.code in (VoteCode.FALSE, VoteCode.INVALID)
            if by_quorum and lied:
                self._strike_voter(j, round_, voter)
            weak = bool(winners) and b.code not in winners and b.code in (VoteCode.NEAR, VoteCode.NOMODEL, VoteCode.ABSTAIN)
            self.l.drew(voter, not weak)

    # --- the end ----------------------------------------------------------------------------------------------------------------

    def _next(self, j: bytes) -> None:
        """LC-JOB-38"""
        job = self.job(j)
        results = [self.claim(j, i).result for i in job.finalists]
        passed = [i for i in job.finalists if self.claim(j, i).result == Result.OK]
        left = [i for i in job.finalists if self.claim(j, i).result == Result.NONE]
        if passed:
            self._end(j, JobState.PAID, self._winner(j, passed))
        elif Result.FALSE in results and self.terms(j).on_cheat == 0:
            self._end(j, JobState.REFUNDED)
        elif left:
            self._audit(j, job.audit + 1, 1, left)
        else:
            judged = any(result in (Result.OK, Result.FALSE, Result.REFUSED, Result.UNDECIDED) for result in results)
            self._end(j, JobState.REFUNDED if judged else JobState.EMPTY)

    def _winner(self, j: bytes, passed: list[int]) -> int:
        shown = [(c.position, c.hidden_loss[0], i) for i in passed if (c := self.claim(j, i)).hidden_loss]
        return leader(shown, self.terms(j)) if self.job(j).hidden == Hidden.ON and shown else passed[0]

    def _end(self, j: bytes, state: JobState, winner: int | None = None) -> None:
        """LC-JOB-39"""
        poster, bounty = self.poster(j), self.terms(j).bounty
        self.stop(j)
        self.l.put(b"j/" + j, None)
        self.change(j, state=int(state), ended=self.l.chain.clock, winner=[] if winner is None else [winner])
        self._outcome(j, poster, {JobState.PAID: "paid", JobState.REFUNDED: "refunded", JobState.EMPTY: "empty"}[state])
        if winner is not None:
            self.l.release(j + b"B", self.claim(j, winner).claimant)
        elif state == JobState.REFUNDED:
            self.l.release(j + b"B", poster, bounty - bounty // 10)
            self.change(j, holdback=Holdback.HELD if bounty // 10 else Holdback.NONE)
        else:
            self.l.release(j + b"B", poster)
        self.l.release(j + b"F", poster)
        self.l.release(j + b"D", poster)
        self._release_page(j)
        self._holdback(j)
        if not self.job(j).deadline:
            self._last_deadline(j)

    def _release_page(self, j: bytes) -> None:
        job = self.job(j)
        end = min(job.released + PAGE, job.claimants)
        for index in range(job.released, end):
            claimant = self.claim(j, index).claimant
            self.l.release(j + claimant, claimant)
        self.change(j, released=end)
        if end < job.claimants:
            self.enter(j, job.state, 1)

    def _holdback(self, j: bytes) -> None:
        """LC-JOB-40"""
        job = self.job(j)
        states = [case.state for case in job.cases]
        if job.holdback != Holdback.HELD:
            return
        if CaseState.PENDING in states:
            if not job.deadline:
                self.enter(j, job.state, self.l.params.appeal + 1)
            return
        back = CaseState.BANNED in states
        self.l.release(j + b"B", self.poster(j) if back else None)
        self.change(j, holdback=Holdback.RETURNED if back else Holdback.BURNED)
        if job.released == job.claimants:
            self.stop(j)

    def _look_at_cases(self, j: bytes) -> None:
        cases = []
        for case in self.job(j).cases:
            status = self.l.account(case.account).status
            closed = case.state == CaseState.PENDING and status != 1
            state = (CaseState.BANNED if status == 2 else CaseState.DISMISSED) if closed else case.state
            cases.append(r.JobCase(case.account, state))
        self.change(j, cases=cases)

    def _case_closed(self, j: bytes, account: bytes, banned: bool) -> None:
        state = CaseState.BANNED if banned else CaseState.DISMISSED
        mine = self.job(j).cases
        self.change(j, cases=[r.JobCase(account, state) if (c.account, c.state) == (account, 0) else c for c in mine])
        self._holdback(j)
        ended = self.job(j)
        if ended.state >= JobState.PAID and ended.released == ended.claimants and ended.holdback != Holdback.HELD:
            self._last_deadline(j)

    # --- leaving ----------------------------------------------------------------------------------------------------------------

    def _last_deadline(self, j: bytes) -> None:
        """LC-JOB-44"""
        job, clock = self.job(j), self.l.chain.clock
        self.enter(j, job.state, max(clock + 1, job.ended + self.l.params.job_keep) - clock)

    def _after_the_end(self, j: bytes, before: r.Job) -> None:
        """LC-JOB-44"""
        job = self.job(j)
        if job.deadline:
            return
        if any(case.state == CaseState.PENDING for case in job.cases):
            self.enter(j, job.state, self.l.params.appeal + 1)
        elif job != before or self.l.chain.clock < job.ended + self.l.params.job_keep:
            self._last_deadline(j)
        else:
            self._leave(j)

    def _leave(self, j: bytes) -> None:
        """LC-JOB-45, 46"""
        job, posting = self.job(j), self.l.get(b"jp/" + j)
        for escrow in (b"B", b"F", b"D"):
            self.l.must_be_empty(j + escrow)
        self.l.put(b"jb/" + j, None)
        self.l.put(b"jp/" + j, None)
        self.l.put(b"jn/" + posting.number.to_bytes(8, "big"), None)
        self._leave_page(j, r.Leaving(posting.poster, job.claimants, job.audit, job.round, False))

    def _go_on_leaving(self, j: bytes) -> None:
        leaving = self.l.get(b"jl/" + j)
        if leaving is not None:
            self._leave_page(j, leaving)

    def _leave_page(self, j: bytes, at: r.Leaving) -> None:
        claims, last = at.claimants, (at.audit, at.round)
        for key in [*self._page(j, at.claimants, at.audit, at.round)]:
            if key.startswith(b"jc/"):
                claims -= 1
                claimant = self.claim(j, claims).claimant
                self.l.must_be_empty(j + claimant)
                self.l.put(b"jm/" + j + claimant, None)
            self.l.put(key, None)
        while last[1] and self.round_of(j, *last) is None:
            last = _round_before(*last)
        if claims or last[1]:
            self.l.put(b"jl/" + j, r.Leaving(at.poster, claims, *last, at.given_back))
            self.l.schedule(self.l.chain.clock + 1, NUMBER, j, at.poster)
        else:
            self.l.put(b"jl/" + j, None)

    def _page(self, j: bytes, claims: int, audit: int, round_: int) -> Iterator[bytes]:
        """LC-JOB-45: the records of claims, rounds and seats that the next event removes."""
        removed = min(claims, PAGE)
        yield from (b"jc/" + j + index.to_bytes(4, "big") for index in range(claims - 1, claims - removed - 1, -1))
        while round_ and removed < PAGE:
            record = self.round_of(j, audit, round_)
            if record is not None:
                removed += 1 + len(record.voters)
                yield from (b"js/" + j + bytes((audit, round_)) + voter for voter in record.voters)
                yield b"jr/" + j + bytes((audit, round_))
            audit, round_ = _round_before(audit, round_)


def _round_before(audit: int, round_: int) -> tuple[int, int]:
    return (audit, 1) if round_ == 2 else (audit - 1, 2) if audit > 0 else (0, 0)
