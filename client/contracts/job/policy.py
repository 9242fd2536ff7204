"""What this node is willing to compute, for whom and with how much: plain functions on integers and records, no I/O.

Losses that others announced play no part here: they are unproven until their models are revealed and evaluated, so they must not
stop a worker. Times are milliseconds of the chain clock unless they say otherwise, credits micro-credits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from chain.contracts.job import messages, records, rules, store
from chain.contracts.job.messages import PostJob
from chain.contracts.job.records import ClaimantIndex, ClaimRecord, ContractorRecord, Job, JobState, Posting
from chain.contracts.membership import Member, member_key
from chain.crypto import address
from chain.host import ACTIVE, Account, Reader, account_key
from chain.types import format_credits
from client.config import WorkConfig
from sandbox import ContainerLimits, ImageLimits
from sandbox.spec import MIB

MIN_REFUNDS = 3
"""From so many refunds on, a contractor that was refunded more often than it paid is avoided."""
RETRY_GRACE_MS = 2_000
"""Time kept free before the expiry, to have the claim in a block."""
PIDS_SPARE = 96
"""Processes that an image may use beside its threads: interpreters start helpers."""
SANDBOX_MIN_MEM_MB = 16
MAX_THREADS = 1_024
UNPACKED = 3
"""An image may unpack to so many times what it weighs packed."""


@dataclass(frozen=True)
class JobOffer:
    """A job as a worker weighs it."""

    job: bytes
    poster: bytes
    terms: PostJob
    state: int
    paid: int
    refunded: int
    own: ClaimRecord | None
    """This node's standing claim."""


def read_offer(reader: Reader, job: bytes, me: bytes) -> JobOffer | None:
    posting, record = reader.get(records.posting_key(job)), reader.get(records.job_key(job))
    if not isinstance(posting, Posting) or not isinstance(record, Job):
        return None
    paid, refunded = past(reader, posting.poster)
    return JobOffer(job, posting.poster, posting.terms, record.state, paid, refunded, own_claim(reader, job, me))


def past(reader: Reader, poster: bytes) -> tuple[int, int]:
    """How many jobs of a contractor were paid, and how many refunded."""
    record = reader.get(records.contractor_key(poster))
    return (record.paid, record.refunded) if isinstance(record, ContractorRecord) else (0, 0)


def own_claim(reader: Reader, job: bytes, me: bytes) -> ClaimRecord | None:
    index = reader.get(records.claimant_key(job, me))
    return store.read_claim(reader, job, index.index) if isinstance(index, ClaimantIndex) else None


def unfit(reader: Reader, me: bytes, clock: int) -> str | None:
    """Why this identity may not claim at all, or None."""
    account = reader.get(account_key(me))
    if not isinstance(account, Account):
        return "this node's identity is no member of the network: have it admitted first"
    if account.status != ACTIVE:
        return "this node's identity is suspended or banned"
    member = reader.get(member_key(me))
    strikes = sum(end > clock for end in member.strikes) if isinstance(member, Member) else 0
    if strikes >= rules.STRIKE_LIMIT:
        return f"this node has {strikes} live strikes: it may claim again when one expires"
    return None


def explain(config: WorkConfig, offer: JobOffer, *, clock: int, me: bytes, attempts: int = 0) -> str | None:
    """Why this node does not start another attempt at a job, in words for people; None where it does.

    `attempts` is how many it has had.
    """
    reason = unsuited(config, offer, clock=clock, me=me) or by_record(config, offer)
    if reason is None and attempts >= config.attempts:
        reason = f"all {config.attempts} attempts were made ([work] attempts)"
    return reason


def unsuited(config: WorkConfig, offer: JobOffer, *, clock: int, me: bytes) -> str | None:
    """Why this node does not work on a job, whatever becomes of it and of its contractor; None where it may."""
    for check in (_by_rules, _by_contractor, _by_worth, _by_size):
        reason = check(config, offer, clock, me)
        if reason:
            return reason
    return None


def by_record(config: WorkConfig, offer: JobOffer) -> str | None:
    """Why this node avoids a contractor for the present, by how its jobs ended; None where it does not."""
    return _avoided(offer.refunded, offer.paid) if avoids(config, offer.paid, offer.refunded) else None


def avoids(config: WorkConfig, paid: int, refunded: int) -> bool:
    return config.check_record and refunded >= MIN_REFUNDS and refunded > paid


def _avoided(refunded: int, paid: int) -> str:
    text = f"the contractor was refunded {refunded} times after models were shown and paid {paid} times"
    return f"{text} ([work] check_record)"


def _by_rules(config: WorkConfig, offer: JobOffer, clock: int, me: bytes) -> str | None:
    if not config.enabled:
        return "this node does not work for bounties ([work] enabled)"
    if offer.poster == me:
        return "a contractor may not claim on its own job"
    if offer.state != JobState.OPEN or clock >= offer.terms.expiry:
        return "the job takes no more claims"
    if offer.own is not None and offer.own.count >= rules.MAX_CLAIMS:
        return f"all {rules.MAX_CLAIMS} claims on this job were made"
    return None


def _by_contractor(config: WorkConfig, offer: JobOffer, clock: int, me: bytes) -> str | None:
    poster = address(offer.poster)
    if poster in config.denied_contractors:
        return f"the contractor {poster} is denied ([work] denied_contractors)"
    if config.allowed_contractors and poster not in config.allowed_contractors:
        return f"the contractor {poster} is not among those allowed ([work] allowed_contractors)"
    return None


def _by_worth(config: WorkConfig, offer: JobOffer, clock: int, me: bytes) -> str | None:
    if offer.terms.bounty < (least := config.min_bounty_micro):
        return f"the bounty is {format_credits(offer.terms.bounty)}, below {format_credits(least)} ([work] min_bounty)"
    left = (offer.terms.expiry - clock) / 1_000
    if left < config.min_time_left_s or train_seconds(config, offer.terms, clock) is None:
        return f"only {left:.0f} s are left ([work] min_time_left_s is {config.min_time_left_s})"
    return None


def _by_size(config: WorkConfig, offer: JobOffer, clock: int, me: bytes) -> str | None:
    return too_large(config, offer.terms)


def too_large(config: WorkConfig, terms: PostJob) -> str | None:
    """Why a job's runs do not fit into what this node gives to strangers, or None: also asked before an evaluation."""
    limits = terms.limits
    hidden = terms.hidden[0].size if terms.hidden else 0
    sizes = (
        ("image", terms.image.size, config.max_image_mb, "max_image_mb"),
        ("largest model", limits.model_cap, config.max_model_mb, "max_model_mb"),
        ("hidden data", hidden, config.max_hidden_mb, "max_hidden_mb"),
        ("memory", max(limits.mem_mb, limits.tmp_mb) * MIB, config.max_mem_mb, "max_mem_mb"),
    )
    for what, size, allowed, setting in sizes:
        if size > allowed * MIB:
            return f"{what}: {-(-size // MIB)} MiB, more than {allowed} ([work] {setting})"
    if limits.eval_s > config.max_run_s:
        return f"an evaluation may take {limits.eval_s} s, more than {config.max_run_s} ([work] max_run_s)"
    if limits.threads > MAX_THREADS:
        return f"{limits.threads} threads, more than a container gets ({MAX_THREADS})"
    if limits.mem_mb < SANDBOX_MIN_MEM_MB:
        return f"{limits.mem_mb} MiB of memory are less than a container needs ({SANDBOX_MIN_MEM_MB})"
    return None


# --- choosing ------------------------------------------------------------------------------------------------------------------


def best_paying(terms: PostJob) -> tuple[int, int]:
    """The rank in which a worker takes jobs: highest bounty first, then the one that ends first."""
    return -terms.bounty, terms.expiry


def train_seed(me: bytes, job: bytes, attempt: int) -> int:
    """64 bits, another for every worker, job and attempt, and the same again after a restart."""
    return int.from_bytes(hashlib.sha256(b"lc/train-seed" + me + job + attempt.to_bytes(4, "big")).digest()[:8], "big")


def train_seconds(config: WorkConfig, terms: PostJob, clock: int) -> float | None:
    """Wall clock for a training that starts now and leaves time to evaluate and claim; None where none is left."""
    left = (terms.expiry - clock) / 1_000
    check = min(float(terms.limits.eval_s), left / 4)
    wall = min(left - check - min(RETRY_GRACE_MS / 1_000, left / 10), float(terms.limits.train_s), float(config.max_run_s))
    return wall if wall >= 1 else None


def improves(terms: PostJob, own: ClaimRecord | None, loss: int) -> bool:
    """Whether the ledger takes this loss after the standing claim (LC-JOB-21)."""
    return own is None or (own.count < rules.MAX_CLAIMS and loss <= messages.improved(terms, own.loss))


# --- what a posting means to the sandbox ---------------------------------------------------------------------------------------


def run_limits(terms: PostJob, wall_s: float) -> ContainerLimits:
    """The limits of one run as posted. Raises ValueError for what no container can have."""
    posted = terms.limits
    return ContainerLimits(
        cpus=posted.cpus_milli / 1_000,
        mem_mb=posted.mem_mb,
        pids=posted.threads + PIDS_SPARE,
        model_cap=posted.model_cap,
        tmp_mb=max(1, posted.tmp_mb),
        file_cap=max(ContainerLimits().file_cap, posted.model_cap),
        wall_s=wall_s,
    )


def image_limits(config: WorkConfig, terms: PostJob) -> ImageLimits:
    """An image may weigh what was posted, packed, and a bounded multiple of this node's limit unpacked."""
    packed = min(terms.image.size, config.max_image_mb * MIB)
    return ImageLimits(archive_bytes=max(packed, 1), unpacked_bytes=UNPACKED * config.max_image_mb * MIB)
