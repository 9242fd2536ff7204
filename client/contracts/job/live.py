"""Live jobs as the API lists them, and what accounts have in their escrows: kept up to date by what blocks changed.

After a start a piece is some live jobs, later what some blocks changed; nothing here looks through the state again.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from dataclasses import dataclass, field

from chain.contracts.job.records import (
    ClaimRecord,
    Job,
    Live,
    Posting,
    bounty_escrow,
    claim_key,
    deposit_escrow,
    fee_escrow,
    job_key,
    live_key,
    posting_key,
    stake_escrow,
)
from chain.host import Escrow, Reader, escrow_key
from chain.ledger.state import State
from client.api.following import Follower

PIECE = 64
"""Jobs, escrows or claims that are looked at before others have the loop."""
_LIVE, _ESCROW = live_key(b""), escrow_key(b"")
_ID = 32
"""Bytes of a job's id: the escrows of a job begin with it."""
_STAKE = len(stake_escrow(bytes(_ID), bytes(20)))


@dataclass
class _LiveJob:
    number: int
    poster: bytes
    posted: int = 0
    """What the contractor has in the job's escrows."""
    stakes: dict[bytes, int] = field(default_factory=dict)
    """By claimant."""


class LiveJobs(Follower):
    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._feed = state.follow((_LIVE, _ESCROW))
        self._feed.lost = True  # nothing is known yet
        self._left: list[bytes] = []
        """Live jobs that were not looked at."""
        self._claims: list[tuple[bytes, int]] = []
        """Jobs whose claims were not all looked at, and the first of these."""
        self._jobs: dict[bytes, _LiveJob] = {}
        self._numbers: list[int] = []
        self._by_number: dict[int, bytes] = {}
        self._locked: defaultdict[bytes, int] = defaultdict(int)

    # --- what it knows ----------------------------------------------------------------------------------------------------------

    def newest(self, before: int | None, limit: int) -> list[tuple[int, bytes]]:
        """Live jobs and their numbers in descending order of these, below `before`."""
        end = len(self._numbers) if before is None else bisect_left(self._numbers, before)
        return [(number, self._by_number[number]) for number in reversed(self._numbers[max(0, end - limit) : end])]

    def locked(self, account: bytes) -> int:
        """Micro-credits of an account in escrows of live jobs: as their contractor, and as a claimant."""
        return self._locked.get(account, 0)

    # --- following --------------------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """One piece; false where there was none."""
        if self._feed.lost:
            self._feed.restart()
            self._jobs, self._numbers, self._by_number, self._claims = {}, [], {}, []
            self._locked.clear()
            self._left = [key[len(_LIVE) :] for key in self._state.keys(_LIVE)]
        keys = self._feed.take(PIECE)
        for key in keys:
            if key.startswith(_LIVE):
                self._look(key[len(_LIVE) :])
            else:
                self._moved(key[len(_ESCROW) :])
        if not keys and self._claims:
            self._look_at_claims(*self._claims.pop())
        elif not keys:
            for job in self._left[-PIECE:]:
                self._look(job)
                self._claims.append((job, 0))
            del self._left[-PIECE:]
        return bool(keys or self._claims or self._left)

    def _moved(self, escrow: bytes) -> None:
        job, known = escrow[:_ID], self._jobs.get(escrow[:_ID])
        if len(escrow) != _STAKE:
            self._look(job)
            return
        if known is None:
            self._look(job)
        self._stake(job, escrow[_ID:])

    def _look(self, job: bytes) -> None:
        live, known = self._state.get(live_key(job)), self._jobs.get(job)
        if not isinstance(live, Live):
            self._forget(job)
            return
        if known is None:
            posting = self._state.get(posting_key(job))
            if not isinstance(posting, Posting):
                return
            known = self._jobs[job] = _LiveJob(live.number, posting.poster)
            insort(self._numbers, live.number)
            self._by_number[live.number] = job
        amount = sum(_escrowed(self._state, ref(job)) for ref in (bounty_escrow, fee_escrow, deposit_escrow))
        self._add(known.poster, amount - known.posted)
        known.posted = amount

    def _look_at_claims(self, job: bytes, start: int) -> None:
        record = self._state.get(job_key(job))
        count = record.claimants if isinstance(record, Job) and job in self._jobs else 0
        for index in range(start, min(start + PIECE, count)):
            claim = self._state.get(claim_key(job, index))
            if isinstance(claim, ClaimRecord):
                self._stake(job, claim.claimant)
        if start + PIECE < count:
            self._claims.append((job, start + PIECE))

    def _stake(self, job: bytes, claimant: bytes) -> None:
        known = self._jobs.get(job)
        if known is None:
            return
        amount = _escrowed(self._state, stake_escrow(job, claimant))
        self._add(claimant, amount - known.stakes.get(claimant, 0))
        if amount:
            known.stakes[claimant] = amount
        else:
            known.stakes.pop(claimant, None)

    def _forget(self, job: bytes) -> None:
        known = self._jobs.pop(job, None)
        if known is None:
            return
        del self._numbers[bisect_left(self._numbers, known.number)]
        del self._by_number[known.number]
        self._add(known.poster, -known.posted)
        for claimant, amount in known.stakes.items():
            self._add(claimant, -amount)

    def _add(self, account: bytes, amount: int) -> None:
        if amount:
            self._locked[account] += amount
            if not self._locked[account]:
                del self._locked[account]


def _escrowed(reader: Reader, ref: bytes) -> int:
    record = reader.get(escrow_key(ref))
    return record.amount if isinstance(record, Escrow) else 0
