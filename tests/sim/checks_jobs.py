"""The job contract a second time, from protocol_spec/job.md: what `checks_ledger.Ledger` does with messages 96 to 103.

Only the types of messages and records come from the product. Nothing here is fast or general: it is meant to be compared with the
spec line by line. The end of a job and its leaving are in `checks_job_ends`.
"""

from __future__ import annotations

from typing import Any

from chain.codec import encode
from chain.contracts.job import messages as m
from chain.contracts.job import records as r
from chain.contracts.job.records import CaseState, Hidden, JobState, Result
from chain.crypto import sha256
from chain.host.terms import Capacity
from chain.verification.votes import Judgement
from tests.hashes import tagged
from tests.sim import checks_job_rules as rules
from tests.sim.checks_job_ends import JobEnds
from tests.sim.checks_job_rules import Case, Seen, Shown, cd, tol
from tests.sim.checks_ledger import NUMBER_OF_JOBS as NUMBER
from tests.sim.checks_ledger import Ledger, refuse_if, replace
from tests.sim.checks_members import Members


def needed(terms: m.PostJob) -> Capacity:
    x = terms.limits
    return Capacity(terms.arch, x.cpus_milli, x.mem_mb, terms.image.size, x.model_cap, x.eval_s)


class Jobs(JobEnds):
    def __init__(self, ledger: Ledger, people: Members) -> None:
        super().__init__(ledger, people)
        ledger.due_work[NUMBER] = self._due_work
        ledger.on_due[NUMBER], ledger.on_closed[NUMBER] = self._due, self._case_closed
        ledger.party[NUMBER] = self._party
        ledger.handlers |= {
            m.PostJob: self._post,
            m.Claim: self._claim,
            m.Reveal: self._reveal,
            m.RevealKey: self._key,
            m.CommitVote: self._commit,
            m.OpenVote: self._open,
            m.CancelJob: self._cancel,
            m.ExtendJob: self._extend,
        }

    # --- windows ----------------------------------------------------------------------------------------------------------------

    def latest_end(self, j: bytes) -> int:
        """LC-JOB-14, but for the blocks of the draws, which `late` has."""
        terms, params = self.terms(j), self.l.params
        once = params.job_vote_base + 2_000 * rules.eval_s(terms) + cd(terms.limits.model_cap, 1_000)
        once += params.job_open_votes * (2 if terms.hidden else 1) * 4
        latest: int = terms.expiry + params.job_reveal + params.job_key + 2 * terms.finalists * once + self.late.get(j, 0)
        return latest

    def _due(self, j: bytes, at: int) -> None:
        job = self.job(j)
        if job is None:
            self._go_on_leaving(j)
            return
        if job.deadline != at or (job.state == JobState.DRAW and self.l.chain.height < job.draw_height):  # LC-JOB-30
            return
        self.late[j] = self.late.get(j, 0) + self.l.chain.clock - at
        self.change(j, deadline=0)
        if job.state == JobState.OPEN:
            self._close_claims(j)
        elif job.state == JobState.REVEAL:
            self._close_reveals(j)
        elif job.state == JobState.KEY:  # LC-JOB-33
            self._hidden_off(j)
            self._to_draw(j, 0, 1)
        elif job.state == JobState.DRAW:
            self._draw(j)
        elif job.state == JobState.COMMIT:
            self._count(j)
        elif job.state == JobState.COUNT:
            self._judge(j)
        else:
            before = self.job(j)
            self._look_at_cases(j)
            self._release_page(j)
            self._after_the_end(j, before)

    # --- postings ---------------------------------------------------------------------------------------------------------------

    def _standing(self, sender: bytes) -> None:
        refuse_if(not self.l.active(sender), 307)
        refuse_if(self.people.strikes(sender) >= 3, 308)

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
        rules.sane(p)
        refuse_if(p.bounty < params.job_min_bounty, 331)
        refuse_if(p.fee < cd(rules.work_of_a_vote(p) * params.job_rate, 1_000), 332)
        rules.sane_data(p)
        flagged, able = self.people.flagged(sender, needed(p))
        refuse_if(not flagged or able < max(cd(flagged, 3), min(3, flagged)), 333)
        known = ledger.get(b"ja/" + sender) or r.ContractorRecord(0, 0, 0, 0, 0, 0, 0, [], 0)
        size = len(encode(p))
        full = known.live >= params.job_max_live or known.live_bytes + size > params.job_max_live_bytes
        refuse_if(full, 330)  # LC-JOB-43
        escrows = {
            b"B": p.bounty,
            b"F": p.fee * (rules.SEATS + rules.SEATS_2) * p.finalists,
            b"G": p.finalists * (p.bounty // 10),
            b"D": p.bounty if p.hidden else 0,
        }
        refuse_if(ledger.free(sender) < sum(escrows.values()), 1)
        j = tagged(b"lc/job", ledger.tx, bytes((ledger.op,)))
        number = ledger.get(b"jt/").posted if ledger.get(b"jt/") else 0
        ledger.put(b"jt/", r.Totals(number + 1))
        ledger.put(b"jn/" + number.to_bytes(8, "big"), r.Numbered(j))
        ledger.put(b"j/" + j, r.Live(number, p.expiry))
        ledger.put(b"jp/" + j, r.Posting(sender, number, clock, p))
        ledger.put(b"jb/" + j, _new(p))
        grown = {"posted": known.posted + 1, "live": known.live + 1, "live_bytes": known.live_bytes + size}
        ledger.put(b"ja/" + sender, replace(known, **grown))
        for escrow, amount in escrows.items():
            ledger.lock(sender, j + escrow, amount)
        ledger.schedule(p.expiry, NUMBER, j, sender)

    def _unclaimed(self, sender: bytes, j: bytes) -> r.Job:
        refuse_if(self.job(j) is None, 300)
        refuse_if(sender != self.poster(j), 321)
        job = self._in(j, JobState.OPEN)
        refuse_if(job.claimants > 0, 336)
        return job

    def _cancel(self, sender: bytes, c: m.CancelJob) -> None:
        """LC-JOB-50"""
        self._unclaimed(sender, c.job)
        self._end(c.job, JobState.EMPTY)

    def _extend(self, sender: bytes, e: m.ExtendJob) -> None:
        """LC-JOB-51"""
        self._unclaimed(sender, e.job)
        self._standing(sender)
        posting, params = self.l.get(b"jp/" + e.job), self.l.params
        clock = self.l.chain.clock
        fits = params.job_min_open <= e.expiry - clock <= params.job_max_open
        refuse_if(not fits or e.expiry <= posting.terms.expiry, 301)
        self.stop(e.job)
        later = replace(posting.terms, expiry=e.expiry)
        known = self.l.get(b"ja/" + sender)
        grown = len(encode(later)) - len(encode(posting.terms))
        self.l.put(b"ja/" + sender, replace(known, live_bytes=known.live_bytes + grown))
        self.l.put(b"jp/" + e.job, replace(posting, terms=later))
        self.l.put(b"j/" + e.job, r.Live(posting.number, e.expiry))
        self.l.schedule(e.expiry, NUMBER, e.job, sender)
        self.change(e.job, deadline=e.expiry)

    # --- claims and reveals -----------------------------------------------------------------------------------------------------

    def _claim(self, sender: bytes, c: m.Claim) -> None:
        """LC-JOB-21"""
        job, ledger = self._in(c.job, JobState.OPEN), self.l
        terms, poster = self.terms(c.job), self.poster(c.job)
        refuse_if(self.people.barred_from(sender, poster), 307)
        refuse_if(self.people.strikes(sender) >= 3, 308)
        refuse_if(sender == poster, 311)
        refuse_if(not terms.floor <= c.loss <= 10**18, 312)
        known = ledger.get(b"jm/" + c.job + sender)
        fresh: dict[str, Any] = {"loss": c.loss, "commitment": c.commitment, "claimed": ledger.chain.clock}
        fresh |= {"height": ledger.chain.height, "tx": ledger.tx, "op": ledger.op}
        if known is not None:
            old = self.claim(c.job, known.index)
            refuse_if(old.count >= 16, 314)
            refuse_if(c.loss + 2 * tol(terms, old.loss) > old.loss, 313)
            self.change_claim(c.job, known.index, count=old.count + 1, **fresh)
            return
        refuse_if(job.claimants >= ledger.params.job_max_claimants, 315)
        full = c.stake and ledger.free(sender) >= terms.bounty // 10
        stake = terms.bounty // 10 if full else 0
        ledger.lock(sender, c.job + sender, stake)
        ledger.put(b"jm/" + c.job + sender, r.ClaimantIndex(job.claimants))
        empty: dict[str, Any] = {"model": b"", "size": 0, "result": 0, "line": 0, "hidden_loss": []}
        record = r.ClaimRecord(claimant=sender, count=1, full=full, stake=stake, **empty, **fresh)
        ledger.put(b"jc/" + c.job + job.claimants.to_bytes(4, "big"), record)
        self.change(c.job, claimants=job.claimants + 1)

    def _reveal(self, sender: bytes, v: m.Reveal) -> None:
        """LC-JOB-22"""
        job = self._in(v.job, JobState.REVEAL)
        known = self.l.get(b"jm/" + v.job + sender)
        refuse_if(known is None, 316)
        claim = self.claim(v.job, known.index)
        refuse_if(claim.model != b"", 318)
        refuse_if(v.claim != claim.count, 317)
        refuse_if(not rules.is_cid(v.model) or not 1 <= v.size <= self.terms(v.job).limits.model_cap, 320)
        sealed = tagged(b"lc/claim", self.l.chain.chain_id, v.job, sender, v.model[4:], v.salt)  # LC-JOB-16
        refuse_if(sealed != claim.commitment, 319)
        self.change_claim(v.job, known.index, model=v.model, size=v.size)
        self.change(v.job, revealed=job.revealed + 1)
        if job.revealed + 1 == job.claimants:
            self.end_window(v.job)

    def _key(self, sender: bytes, k: m.RevealKey) -> None:
        """LC-JOB-23"""
        refuse_if(self.job(k.job) is None, 300)
        refuse_if(sender != self.poster(k.job), 321)
        self._in(k.job, JobState.KEY)
        refuse_if(sha256(k.key) != self.terms(k.job).hidden[0].key_hash, 322)
        self.change(k.job, key=k.key)
        self._to_draw(k.job, 0, 1)

    def _close_claims(self, j: bytes) -> None:
        """LC-JOB-31"""
        job = self.job(j)
        if not job.claimants:
            self._end(j, JobState.EMPTY)
            return
        self.change(j, closing=self.l.chain.beacon)
        must = self._ranked(j, list(range(job.claimants)))[: self.terms(j).finalists]
        self.enter(j, JobState.REVEAL, self.l.params.job_reveal, must=must)

    def _close_reveals(self, j: bytes) -> None:
        """LC-JOB-32"""
        self.stop(j)
        job, poster = self.job(j), self.poster(j)
        for index in job.must:
            claim = self.claim(j, index)
            if claim.model:
                continue
            self.change_claim(j, index, result=Result.SILENT)
            if not self.l.banned(claim.claimant):
                self.l.release(j + claim.claimant, None)
                self.people.strike(claim.claimant, poster)
        order = self._ranked(j, [i for i in range(job.claimants) if self.claim(j, i).model])
        chosen = rules.finalists(order, lambda i: self.claim(j, i).full, self.terms(j).finalists)
        self.change(j, finalists=chosen)
        if not chosen:
            self._end(j, JobState.EMPTY)
        elif job.hidden == Hidden.ON:
            self.enter(j, JobState.KEY, self.l.params.job_key)
        else:
            self._to_draw(j, 0, 1)

    def _hidden_off(self, j: bytes) -> None:
        self.l.release(j + b"D", None)
        self.change(j, hidden=Hidden.OFF)

    # --- a draw -----------------------------------------------------------------------------------------------------------------

    def _to_draw(self, j: bytes, audit: int, round_: int, again: list[int] | None = None) -> None:
        """LC-JOB-34: d blocks later."""
        self.stop(j)
        delay = max(1, (len(self.l.validators) - 1) // 3)
        height, clock = self.l.chain.height + delay, self.l.chain.clock
        self.l.schedule_at_height(height, NUMBER, j, self.poster(j))
        fields: dict[str, Any] = {"audit": audit, "round": round_, "again": again or [], "committed": 0, "opened": 0}
        self.change(j, state=int(JobState.DRAW), deadline=clock, draw_height=height, **fields)

    def _batch(self, j: bytes) -> list[int]:
        """LC-JOB-34: whom the coming round judges."""
        job = self.job(j)
        left = [i for i in job.finalists if self.claim(j, i).result == Result.NONE]
        if job.round == 2:
            return [i for i in job.again if i in left]
        if job.hidden == Hidden.ON:
            return left
        good = [i for i in job.finalists if self.claim(j, i).result == Result.OK]
        if good:
            before = [i for i in left if job.finalists.index(i) < job.finalists.index(good[0])]
            return self._leader(j, before)
        first, full = self._leader(j, left), [i for i in left if self.claim(j, i).full]
        return first if not first or first[0] in full else [*first, *self._leader(j, full)]

    def _leader(self, j: bytes, among: list[int]) -> list[int]:
        ordered = self._in_order(j, among)
        return [ordered[rules.leader(self.terms(j), [self.claim(j, i).loss for i in ordered])]] if ordered else []

    def _drop_banned(self, j: bytes) -> None:
        job, terms = self.job(j), self.terms(j)
        for index in job.finalists:
            claim = self.claim(j, index)
            if claim.result != Result.NONE or not self.l.banned(claim.claimant):
                continue
            self.change_claim(j, index, result=Result.DROPPED)
            if job.round == 2 and index in job.again:
                for vote in self._case(j, 1, index).votes:
                    self._fee(j, 1, vote.voter, terms.fee)

    def _draw(self, j: bytes) -> None:
        """LC-JOB-34"""
        self._drop_banned(j)
        job, batch = self.job(j), self._batch(j)
        if not batch:
            self._next(j)
            return
        terms, params = self.terms(j), self.l.params
        drawn = [self._committee(j, index) for index in batch]
        seats: dict[bytes, list[int]] = {}
        for index, (members, _) in zip(batch, drawn, strict=True):
            for voter in members:
                seats.setdefault(voter, []).append(index)
        for voter, candidates in seats.items():
            self.l.put(b"js/" + j + bytes((job.audit, job.round)) + voter, r.Seat(candidates, b"", [], [], False, "", 0))
        size = len(batch)
        window = params.job_vote_base + 2_000 * rules.eval_s(terms) * size + cd(terms.limits.model_cap * size, 1_000)
        self.enter(j, JobState.COMMIT, window)
        record = r.AuditRound(
            beacon=self.l.chain.beacon,
            probe=b"",
            started=self.l.chain.clock,
            deadline=self.job(j).deadline,
            hidden=job.hidden == Hidden.ON,
            batch=batch,
            pools=[pool for _, pool in drawn],
            seats=[len(members) for members, _ in drawn],
            voters=list(seats),
        )
        self.l.put(b"jr/" + j + bytes((job.audit, job.round)), record)
        if not seats:
            self._judge(j)

    def _committee(self, j: bytes, index: int) -> tuple[list[bytes], int]:
        """LC-JOB-6: the seats in draw order, and |P|."""
        job, poster, beacon = self.job(j), self.poster(j), self.l.chain.beacon
        finalists = [self.claim(j, i).claimant for i in job.finalists]
        able = [i for i in self.people.able(needed(self.terms(j)), self.terms(j).expiry) if i != poster]
        tickets = {i: tagged(b"lc/seat", beacon, j, bytes((job.audit, job.round)), i) for i in able}
        order = sorted(able, key=lambda i: tickets[i])
        pool = [i for i in order if i not in finalists]
        others = [i for i in order if i in finalists and i != self.claim(j, index).claimant]
        others = others[: max(0, rules.LEAST_POOL - len(pool))]
        drawn = pool if job.round == 2 else self._unmarked(pool, poster)
        most = rules.SEATS if job.round == 1 else rules.SEATS_2
        return sorted([*drawn, *others], key=lambda i: tickets[i])[:most], len(pool) + len(others)

    def _unmarked(self, pool: list[bytes], poster: bytes) -> list[bytes]:
        """LC-MEM-17: marked ones only as far as too few others are left."""
        marked = [i for i in pool if self.people.marked(i, poster)]
        least = max(rules.SEATS, cd(len(pool), 2))
        staying = marked[: max(0, least - (len(pool) - len(marked)))]
        return [i for i in pool if i not in marked or i in staying]

    # --- votes ------------------------------------------------------------------------------------------------------------------

    def _voter(self, sender: bytes, v: m.CommitVote | m.OpenVote, state: JobState) -> tuple[r.Job, r.Seat]:
        job = self._in(v.job, state)
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
            self.end_window(v.job)

    def _count(self, j: bytes) -> None:
        """LC-JOB-35"""
        job = self.job(j)
        self.stop(j)
        if not job.committed:
            self._judge(j)
            return
        current = self.round_of(j, job.audit, job.round)
        columns = len(current.batch) * (2 if current.hidden else 1)
        window = self.l.params.job_open_votes * columns * max(1, cd(max(current.seats), 16))
        self.enter(j, JobState.COUNT, window)
        self.l.put(b"jr/" + j + bytes((job.audit, job.round)), replace(current, probe=self.l.chain.beacon))

    def _open(self, sender: bytes, v: m.OpenVote) -> None:
        """LC-JOB-25: the first one of a seat carries its ballots, each one column."""
        job, seat = self._voter(sender, v, JobState.COUNT)
        refuse_if(seat.commitment == b"", 326)
        current = self.round_of(v.job, v.audit, v.round)
        ballots = self._ballots(sender, v, seat, current)
        places = rules.columns(ballots)
        shown = list(seat.shown)
        if v.opening:
            place = (v.candidate, v.hidden)
            refuse_if(place not in places or place in [(s.candidate, s.hidden) for s in shown], 334)
            ballot = ballots[v.candidate]
            column = (ballot.hidden if v.hidden else ballot.public)[0]
            probe = rules.probe_of(current.probe, v.job, v.audit, v.round, column.count)
            losses = rules.opened(column, probe, v.opening[0])
            refuse_if(losses is None, 335)
            shown.append(r.ShownColumn(v.candidate, v.hidden, losses or []))
        else:
            refuse_if(bool(places) or bool(seat.ballots), 334)
        complete = len(shown) == len(places)
        self.change_seat(v.job, v.audit, v.round, sender, ballots=ballots, shown=shown, complete=complete)
        if not complete:
            return
        self.change(v.job, opened=job.opened + 1)
        if job.opened + 1 == job.committed:
            self.end_window(v.job)

    def _ballots(self, sender: bytes, v: m.OpenVote, seat: r.Seat, current: r.AuditRound) -> list[m.Ballot]:
        if seat.ballots:
            refuse_if(bool(v.ballots or v.salt), 327)
            return seat.ballots
        place = bytes((v.audit, v.round))
        sealed = tagged(b"lc/ballots", self.l.chain.chain_id, v.job, place, sender, v.salt, encode(v.ballots))
        refuse_if(sealed != seat.commitment or len(v.salt) != 32, 328)
        refuse_if(len(v.ballots) != len(seat.candidates), 329)
        for index, ballot in zip(seat.candidates, v.ballots, strict=True):
            rules.check_ballot(self.terms(v.job), self.claim(v.job, index).loss, ballot, current.hidden)
        return v.ballots

    # --- verdicts ---------------------------------------------------------------------------------------------------------------

    def _case(self, j: bytes, round_: int, index: int, hidden: bool | None = None) -> Case:
        """The opened votes of a round on a candidate, in the order of seats."""
        job = self.job(j)
        current = self.round_of(j, job.audit, round_)
        at = current.batch.index(index)
        neutral = {self.claim(j, i).claimant for i in job.finalists}
        votes = []
        for voter in current.voters:
            seat = self.seat(j, job.audit, round_, voter)
            if index not in seat.candidates or not seat.complete:
                continue
            place = seat.candidates.index(index)
            ballot = seat.ballots[place]
            shown = {s.hidden: tuple(s.losses) for s in seat.shown if s.candidate == place}
            public = Shown(rules.mean(ballot.public[0]), ballot.public[0].count, shown[False]) if ballot.public else None
            secret = Shown(rules.mean(ballot.hidden[0]), ballot.hidden[0].count, shown[True]) if ballot.hidden else None
            votes.append(Seen(voter, voter not in neutral, ballot.code, public, secret, ballot.badkey))
        on = job.hidden == Hidden.ON if hidden is None else hidden
        claimed = self.claim(j, index).loss
        return Case(self.terms(j), claimed, tuple(votes), current.seats[at], current.pools[at], round_, on)

    def _judge(self, j: bytes) -> None:
        """LC-JOB-36"""
        self.stop(j)
        job = self.job(j)
        current = self.round_of(j, job.audit, job.round)
        for voter in current.voters:
            if not self.seat(j, job.audit, job.round, voter).complete:
                self._strike_voter(j, job.round, voter, "vote.silent")
                self.people.drew(voter, self.poster(j), bad=True, silent=True)
        forced = self._bad_keys(j, current.batch)
        again = []
        for index in current.batch:
            case = self._case(j, job.round, index)
            verdict, line = (Judgement.NONE, 4) if index in forced else case.verdict()
            if verdict == Judgement.NONE:
                again.append(index)
            else:
                self._decide(j, index, case, verdict, line)
        if again:
            self._to_draw(j, job.audit, 2, again)
        else:
            self._next(j)

    def _bad_keys(self, j: bytes, batch: list[int]) -> set[int]:
        """LC-JOB-10: hidden data is turned off, or a second round is to look at the key."""
        job = self.job(j)
        if job.hidden != Hidden.ON:
            return set()
        cases = {index: self._case(j, job.round, index) for index in batch}
        if any(case.bad_key_decides for case in cases.values()):
            self._hidden_off(j)
            return set()
        return {index for index, case in cases.items() if case.bad_keys}

    def _strike_voter(self, j: bytes, round_: int, voter: bytes, why: str) -> None:
        """LC-JOB-12"""
        audit = self.job(j).audit
        if not self.seat(j, audit, round_, voter).struck:
            self.change_seat(j, audit, round_, voter, struck=why)
        self.people.strike(voter, self.poster(j))

    def _fee(self, j: bytes, round_: int, voter: bytes, fee: int) -> None:
        job = self.job(j)
        self.change_seat(j, job.audit, round_, voter, fee=self.seat(j, job.audit, round_, voter).fee + fee)
        self.l.release(j + b"F", voter, fee)
        self.change(j, fees_paid=job.fees_paid + fee)

    def _decide(self, j: bytes, index: int, case: Case, verdict: Judgement, line: int) -> None:
        """LC-JOB-37"""
        claim, poster, ledger = self.claim(j, index), self.poster(j), self.l
        found = case.hidden_loss if verdict == Judgement.OK and case.hidden else None
        self.change_claim(j, index, result=int(verdict), line=line, hidden_loss=[] if found is None else [found])
        cases = {1: self._case(j, 1, index), 2: case} if case.round == 2 else {1: case}
        self._settle_votes(j, cases, verdict, line)
        if verdict == Judgement.UNDECIDED:
            ledger.release(j + claim.claimant, claim.claimant)
        elif verdict in (Judgement.REFUSED, Judgement.FALSE):
            burned = ledger.release(j + claim.claimant, None)
            self.change(j, burned=self.job(j).burned + burned)
        if verdict == Judgement.REFUSED:
            self.people.strike(claim.claimant, poster)
        if verdict == Judgement.FALSE:
            opened = self.people.accuse(claim.claimant, poster, max(0, case.terms.bounty - claim.stake), j, NUMBER)
            state = CaseState.PENDING if opened else CaseState.BANNED
            self.change(j, cases=[*self.job(j).cases, r.JobCase(claim.claimant, state)])
        self.people.judged(claim.claimant, poster, verdict)

    def _settle_votes(self, j: bytes, cases: dict[int, Case], verdict: Judgement, line: int) -> None:
        """LC-JOB-11, 12, 13: fees, strikes, draw record, marks."""
        poster, fee = self.poster(j), self.terms(j).fee
        if verdict == Judgement.UNDECIDED:
            burned = fee * sum(len(case.votes) for case in cases.values())
            self.l.release(j + b"F", None, burned)
            self.change(j, fees_burned=self.job(j).fees_burned + burned)
            return
        rounds = {number: rules.deeds(case, verdict) for number, case in cases.items()}
        spared = not rules.repeatable(rounds[max(rounds)])
        if spared:
            known = self.l.get(b"ja/" + poster)
            self.l.put(b"ja/" + poster, replace(known, unrepeatable=known.unrepeatable + 1))
        for number, deeds in rounds.items():
            own = rules.repeatable(deeds)
            for deed in deeds:
                if deed.paid:
                    self._fee(j, number, deed.voter, fee)
                if deed.fault(line) and not spared:
                    self._strike_voter(j, number, deed.voter, deed.fault(line))
                bad = line <= 3 and own and (not deed.winning or deed.off)
                self.people.drew(deed.voter, poster, bad=bad, silent=False)
                if line <= 2 and deed.code != rules.ABSTAIN:
                    self.people.voted(deed.voter, poster, deed.lost)

    # --- NEXT -------------------------------------------------------------------------------------------------------------------

    def _next(self, j: bytes) -> None:
        """LC-JOB-38"""
        job, terms = self.job(j), self.terms(j)
        claims = {i: self.claim(j, i) for i in job.finalists}
        passed = [i for i, c in claims.items() if c.result == Result.OK]
        left = [i for i, c in claims.items() if c.result == Result.NONE]
        hidden = job.hidden == Hidden.ON
        place = job.finalists.index
        refuted = any(c.result == Result.FALSE and c.full for c in claims.values())
        if passed and not hidden and any(place(i) < place(passed[0]) for i in left):
            self._to_draw(j, job.audit + 1, 1)
        elif passed:
            self._end(j, JobState.PAID, self._winner(j, passed) if hidden else passed[0])
        elif not hidden and refuted and terms.on_cheat == 0:
            self._end(j, JobState.REFUNDED)
        elif not hidden and left:
            self._to_draw(j, job.audit + 1, 1)
        else:
            judged = any(c.result in (Result.OK, Result.FALSE, Result.REFUSED, Result.UNDECIDED) for c in claims.values())
            self._end(j, JobState.REFUNDED if judged else JobState.EMPTY)

    def _winner(self, j: bytes, passed: list[int]) -> int:
        shown = self._in_order(j, [i for i in passed if self.claim(j, i).hidden_loss])
        if not shown:
            return passed[0]
        return shown[rules.leader(self.terms(j), [self.claim(j, i).hidden_loss[0] for i in shown])]


def _new(p: m.PostJob) -> r.Job:
    """A job that was just posted."""
    return r.Job(
        state=int(JobState.OPEN),
        deadline=p.expiry,
        draw_height=0,
        claimants=0,
        revealed=0,
        closing=b"",
        must=[],
        finalists=[],
        hidden=int(Hidden.ON if p.hidden else Hidden.NONE),
        key=b"",
        audit=0,
        round=0,
        again=[],
        committed=0,
        opened=0,
        cases=[],
        winner=[],
        fees_paid=0,
        fees_burned=0,
        burned=0,
        bond_burned=0,
        released=0,
        ended=0,
    )
