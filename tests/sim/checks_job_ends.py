"""How jobs end and leave, a second time: records, escrows that are emptied, what goes in pages (protocol_spec/job.md).

The base of `checks_jobs.Jobs`, which has everything up to the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chain.codec import encode
from chain.contracts.job import messages as m
from chain.contracts.job import records as r
from chain.contracts.job.records import CaseState, JobState, Result
from tests.hashes import tagged
from tests.sim import checks_job_rules as rules
from tests.sim.checks_ledger import NUMBER_OF_JOBS as NUMBER
from tests.sim.checks_ledger import Ledger, replace
from tests.sim.checks_members import Members

PAGE = 128


class JobEnds:
    def __init__(self, ledger: Ledger, people: Members) -> None:
        self.l, self.people = ledger, people
        self.late: dict[bytes, int] = {}
        """By how much the deadlines of a job were handled late, draws included."""

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

    def _in_order(self, j: bytes, indices: list[int]) -> list[int]:
        """LC-JOB-5: by the height of the last improvement; inside a block as the beacon that closed the claims draws."""
        beacon = self.job(j).closing

        def place(index: int) -> tuple[int, bytes]:
            c = self.claim(j, index)
            return c.height, tagged(b"lc/claim-order", beacon, c.tx, bytes((c.op,)))

        return sorted(indices, key=place)

    def _ranked(self, j: bytes, indices: list[int]) -> list[int]:
        ordered = self._in_order(j, indices)
        return [ordered[i] for i in rules.ranked(self.terms(j), [self.claim(j, index).loss for index in ordered])]

    def _due_work(self, j: bytes) -> int:
        """LC-BLK-31"""
        found = self.job(j) or self.l.get(b"jl/" + j)
        if isinstance(found, r.Job) and found.state == JobState.DRAW:
            return 64 + rules.cd(self.people.flags(), 16)
        if isinstance(found, r.Job) and found.state in (JobState.COMMIT, JobState.COUNT):
            drawn = (self.round_of(j, found.audit, round_) for round_ in range(1, found.round + 1))
            return sum(sum(one.seats) for one in drawn if one is not None) + min(found.claimants, PAGE)
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

    def end_window(self, j: bytes) -> None:
        """LC-JOB-22, 24, 25: the deadline is now, and comes in the next block."""
        self.enter(j, self.job(j).state, 0)

    def stop(self, j: bytes) -> None:
        job = self.job(j)
        if job.deadline and job.state == JobState.DRAW:
            self.l.cancel_at_height(job.draw_height, job.deadline, NUMBER, j, self.poster(j))
        elif job.deadline:
            self.l.cancel(job.deadline, NUMBER, j, self.poster(j))
        if job.deadline:
            self.change(j, deadline=0)

    # --- the end ----------------------------------------------------------------------------------------------------------------

    def _end(self, j: bytes, state: JobState, winner: int | None = None) -> None:
        """LC-JOB-39"""
        poster, terms = self.poster(j), self.terms(j)
        self.stop(j)
        self.l.put(b"j/" + j, None)
        self.change(j, state=int(state), ended=self.l.chain.clock, winner=[] if winner is None else [winner])
        self._outcome(j, poster, None if winner is None else self.claim(j, winner).claimant)
        self.l.release(j + b"B", poster if winner is None else self.claim(j, winner).claimant)
        bond = terms.finalists * (terms.bounty // 10)
        burned = min(bond, self.job(j).burned)
        self.change(j, bond_burned=burned)
        self.l.release(j + b"G", None, burned)
        for escrow in (b"G", b"F", b"D"):
            self.l.release(j + escrow, poster)
        self._release_page(j)
        if not self.job(j).deadline:
            self._last_deadline(j)

    def _outcome(self, j: bytes, poster: bytes, winner: bytes | None) -> None:
        """The record of a contractor (LC-JOB-13)."""
        job, terms = self.job(j), self.terms(j)
        known: r.ContractorRecord = self.l.get(b"ja/" + poster)
        fields: dict[str, Any] = {"live": known.live - 1, "live_bytes": known.live_bytes - len(encode(terms))}
        if winner is None:
            revealed = any(self.claim(j, i).model for i in range(job.claimants))
            fields["refunded"] = known.refunded + (terms.bounty if revealed else 0)
        else:
            winners = [*(one for one in known.winners if one != winner), winner]
            fields |= {"paid": known.paid + terms.bounty, "winners": winners[-64:]}
            fields["older_winners"] = known.older_winners + max(0, len(winners) - 64)
        if any(self.claim(j, i).result == Result.UNDECIDED for i in job.finalists):
            fields["undecided"] = known.undecided + 1
        self.l.put(b"ja/" + poster, replace(known, **fields))

    def _release_page(self, j: bytes) -> None:
        job = self.job(j)
        end = min(job.released + PAGE, job.claimants)
        for index in range(job.released, end):
            claimant = self.claim(j, index).claimant
            self.l.release(j + claimant, claimant)
        self.change(j, released=end)
        if end < job.claimants:
            self.enter(j, job.state, 1)

    # --- cases ------------------------------------------------------------------------------------------------------------------

    def _party(self, j: bytes, account: bytes) -> bool:
        """LC-MEM-20"""
        posting = self.l.get(b"jp/" + j)
        return posting is not None and (posting.poster == account or self.l.get(b"jm/" + j + account) is not None)

    def _look_at_cases(self, j: bytes) -> None:
        cases = []
        for case in self.job(j).cases:
            status = self.l.account(case.account).status
            closed = case.state == CaseState.PENDING and status != 1
            state = (CaseState.BANNED if status == 2 else CaseState.DISMISSED) if closed else case.state
            cases.append(r.JobCase(case.account, state))
        self.change(j, cases=cases)

    def _case_closed(self, j: bytes, account: bytes, banned: bool) -> None:
        if self.job(j) is None:
            return
        state = CaseState.BANNED if banned else CaseState.DISMISSED
        mine = self.job(j).cases
        self.change(j, cases=[r.JobCase(account, state) if (c.account, c.state) == (account, 0) else c for c in mine])
        ended = self.job(j)
        if ended.state >= JobState.PAID and ended.released == ended.claimants:
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
            self.enter(j, job.state, 4 * self.l.params.appeal + 1)
        elif job != before or self.l.chain.clock < job.ended + self.l.params.job_keep:
            self._last_deadline(j)
        else:
            self._leave(j)

    def _leave(self, j: bytes) -> None:
        """LC-JOB-45, 46"""
        job, posting = self.job(j), self.l.get(b"jp/" + j)
        for escrow in (b"B", b"F", b"G", b"D"):
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
