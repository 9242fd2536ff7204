"""What genesis fixes for the job contract."""

from __future__ import annotations

from typing import Annotated

from learningchain.chain.errors import Malformed
from learningchain.chain.params import CREDIT, KEPT, ContractParams, Positive, SomeMicroCredits, Span, Votable

_HOUR = 3_600_000
_WINDOW = Votable(1_000, 24 * _HOUR)


class JobParams(ContractParams, frozen=True, kw_only=True):
    """Times in milliseconds of the chain clock, credits in micro-credits."""

    job_min_bounty: Annotated[SomeMicroCredits, Votable(10, 1_000_000 * CREDIT)] = 1_000_000
    """B_MIN, never below ten: a tenth is the stake."""
    job_rate: Annotated[Positive, Votable(1, CREDIT)] = 10
    """RATE: what a second of a CPU costs at least, in the fee of a vote."""
    job_min_open: Annotated[Span, _WINDOW] = 10_000
    """T_MIN: shortest time from posting to expiry."""
    job_max_open: Annotated[Span, Votable(60_000, 366 * 24 * _HOUR)] = 30 * 24 * 3_600_000
    """T_MAX"""
    job_reveal: Annotated[Span, _WINDOW] = 60_000
    """W_R"""
    job_key: Annotated[Span, _WINDOW] = 60_000
    """W_K"""
    job_vote_base: Annotated[Span, _WINDOW] = 120_000
    """V0: the part of the committee's window that does not depend on the job."""
    job_open_votes: Annotated[Span, _WINDOW] = 60_000
    """W_O: for one column of sixteen seats."""
    job_max_claimants: Annotated[Positive, Votable(16, 1_024)] = 1_024
    job_max_live: Annotated[Positive, Votable(1, 8_192)] = 1_024
    """Live jobs of one contractor."""
    job_max_live_bytes: Annotated[Positive, Votable(131_072, 33_554_432)] = 4_194_304
    """Bytes of one contractor's live postings together."""
    job_keep: Annotated[Span, KEPT, Votable(60_000, 366 * 24 * _HOUR)] = 7 * 24 * 3_600_000
    """W_L: how long the records of a job that ended stay in the state."""

    def check(self) -> None:
        if self.job_min_open > self.job_max_open:
            raise Malformed("job_min_open is above job_max_open")
        if self.job_min_bounty < 10:
            raise Malformed("job_min_bounty is below 10 micro-credits: a stake is a tenth of the bounty")
