"""What a job would cost its contractor, who could judge it, and what comparable jobs paid. Plain functions on the committed state.

Nothing here is a rule: amounts are computed by the rules' own functions, and a posting is tried out on a copy of the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from learningchain.chain.contracts.job import messages
from learningchain.chain.contracts.job.messages import PostJob
from learningchain.chain.contracts.job.params import JobParams
from learningchain.chain.contracts.job.records import ENDED, JobState
from learningchain.chain.contracts.membership import training
from learningchain.chain.host import VERIFIERS, Host, Indexed
from learningchain.chain.verification import windows
from learningchain.chain.verification.committee import FIRST_ROUND
from learningchain.chain.verification.scale import lower_median

SIMILAR = 4
"""Jobs are comparable where no size differs by more than this factor."""
LOOKED_AT = 1_000
"""So many of the newest jobs are compared."""
HOW = (
    f"of the newest {LOOKED_AT:,} jobs that this node knows, those that ended, were not taken back, and whose memory and processor "
    f"time (processors times seconds, of a training and of an evaluation) lie within a factor of {SIMILAR} of this one's"
)
"""How comparable jobs are found, for people."""


@dataclass(frozen=True)
class Price:
    """What a posting locks, in micro-credits; F, G and D of the rules."""

    bounty: int
    fees: int
    bond: int
    deposit: int
    stake: int
    """What a claimant locks for a full claim."""

    @property
    def total(self) -> int:
        return self.bounty + self.fees + self.bond + self.deposit


def price(terms: PostJob) -> Price:
    return Price(
        terms.bounty, messages.fees_locked(terms), messages.bond(terms), messages.deposit(terms), messages.full_stake(terms)
    )


def least_fee(terms: PostJob, params: JobParams) -> int:
    """u of a judged vote is at least this."""
    return windows.least_fee(messages.judging_work(terms), params.job_rate)


def judges(host: Host, poster: bytes, terms: PostJob) -> tuple[int, int]:
    """How many verifiers there are for this poster, and how many of them declared a machine that covers the limits."""
    return host.service(VERIFIERS).flagged(poster, messages.needed_capacity(terms))


def trainers(state: Indexed, poster: bytes, terms: PostJob, clock: int) -> tuple[int, int]:
    """Seconds that a training may take which begins now, and how many nodes take one on that is so long, the poster's apart."""
    from learningchain.client.contracts.job.roles.policy import train_seconds  # with the machines: no start waits for them

    longest = ceil(train_seconds(terms, clock) or terms.limits.train_s)
    return longest, training(state, poster, terms.arch, longest)


def conspirators(judges: int) -> int | None:
    """How many of so few judges can have a false claim paid: with fewer than seven all of them sit in the committee, and where
    neither side has a quorum a tie pays (job contract, line 6 of the verdict). None where a whole committee can judge."""
    return None if judges >= FIRST_ROUND else max(1, (judges + 1) // 2)


@dataclass(frozen=True)
class End:
    """What a contractor has paid for good where its job ends so, in micro-credits; the rest of what was locked comes back.

    `usual`: one model judged, by one round of `FIRST_ROUND` votes. `most`: every finalist judged in both rounds, every full stake
    burned. Without the deposit, which burns only where no key, or a wrong one, is revealed.
    """

    state: JobState
    usual: int
    most: int


def ends(terms: PostJob) -> tuple[End, ...]:
    locked, round_one = price(terms), FIRST_ROUND * terms.fee
    return (
        End(JobState.PAID, locked.bounty + round_one, locked.bounty + locked.fees + locked.bond),
        End(JobState.REFUNDED, round_one + locked.stake, locked.fees + locked.bond),
        End(JobState.EMPTY, 0, round_one * terms.finalists),
    )


# --- comparable jobs -----------------------------------------------------------------------------------------------------------


def sizes(limits: Mapping[str, Any]) -> tuple[int, int, int]:
    """Processor time of a training and of an evaluation in thousandths of a second, and memory in MiB."""
    return limits["cpus_milli"] * limits["train_s"], limits["cpus_milli"] * limits["eval_s"], limits["mem_mb"]


def similar(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two jobs' limits ask for about the same."""
    pairs = zip(sizes(one), sizes(other), strict=True)
    return all(max(a, b, 1) <= SIMILAR * max(min(a, b), 1) for a, b in pairs)


def _ran_to_its_end(job: Mapping[str, Any]) -> bool:
    """Nothing ends a job before its expiry but its contractor."""
    return JobState[job["state"]] in ENDED and job["ended"] >= job["expiry"]


def comparable(limits: Mapping[str, Any], jobs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What ended jobs with similar limits paid. `jobs`: summaries (`views.summarise`); amounts in micro-credits.

    `without_winner` are those of them that ended without paying anybody; `claimants` is their median over all of them. A job that
    was taken back says nothing of what it was worth.
    """
    found = [job for job in jobs if _ran_to_its_end(job) and similar(limits, job["limits"])]
    bounties = sorted(job["bounty"] for job in found if job["winner"] is not None)
    return {
        "jobs": len(found),
        "paid": len(bounties),
        "without_winner": len(found) - len(bounties),
        "bounty_lowest": bounties[0] if bounties else None,
        "bounty_median": lower_median(bounties) if bounties else None,
        "bounty_highest": bounties[-1] if bounties else None,
        "claimants": lower_median(job["claimants"] for job in found) if found else None,
    }
