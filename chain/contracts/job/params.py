"""What genesis fixes for the job contract."""

from __future__ import annotations

from chain.errors import Malformed
from chain.params import ContractParams, Positive, Span


class JobParams(ContractParams, frozen=True, kw_only=True):
    """Times in milliseconds of the chain clock."""

    job_min_open: Span = 10_000
    """T_MIN: shortest time from posting to expiry."""
    job_max_open: Span = 30 * 24 * 3_600_000
    job_reveal: Span = 60_000
    """W_R"""
    job_key: Span = 60_000
    """W_K"""
    job_vote_base: Span = 120_000
    """V0: the part of the committee's window that does not depend on the job."""
    job_open_votes: Span = 60_000
    """W_O"""
    job_max_claimants: Positive = 1_024
    job_max_live: Positive = 1_024
    """Live jobs of one contractor."""
    job_max_live_bytes: Positive = 4_194_304
    """Bytes of one contractor's live postings together."""
    job_keep: Span = 7 * 24 * 3_600_000
    """W_L: how long the records of a job that ended stay in the state."""

    def check(self) -> None:
        if self.job_min_open > self.job_max_open:
            raise Malformed("job_min_open is above job_max_open")
