"""What this node is willing to compute, for whom and with how much: plain functions on integers and records, no I/O.

Losses that others announced play no part here: they are unproven until their models are revealed and evaluated, so they must not
stop a worker. Times are milliseconds of the chain clock unless they say otherwise, credits micro-credits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from learningchain.chain.contracts.job import messages, records, store
from learningchain.chain.contracts.job.messages import MAX_CLAIMS, PostJob
from learningchain.chain.contracts.job.records import ClaimantIndex, ClaimRecord, ContractorRecord, Job, JobState, Posting
from learningchain.chain.contracts.membership import Case, Member, case_key, member_key
from learningchain.chain.crypto import address
from learningchain.chain.host import BANNED, Account, Reader, account_key
from learningchain.chain.host.terms import SET_FILE_BYTES, DeviceKind, Limits
from learningchain.chain.types import format_credits, format_loss, parse_credits
from learningchain.chain.verification import standing
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.config import WorkConfig, parse_gpus
from learningchain.client.contracts.job.settings import parse_hours
from learningchain.sandbox import ContainerLimits, ImageLimits
from learningchain.sandbox.phases import CHECKPOINT_FOLD
from learningchain.sandbox.spec import MIB

MIN_ENDED = 3
"""From so many jobs that ended on, a poster is judged by how."""
REVEAL_MARGIN_MS = 10_000
"""Time kept free before the reveals end, to have the reveal in a block: a quarter of the window, at most this."""
LEAST_MARGIN_MS = 2_000
"""In a short window it is this, or half of it: a node looks at the clock once a second."""
LATE_REVEAL_MS = 1_500
"""So long before the end, or half of the margin, a claim is revealed whose second evaluation still runs."""
RETRY_GRACE_MS = 2_000
"""Time kept free before the expiry, to have the claim in a block."""
SECOND_START_MS = 1_000
"""What a second evaluation may take beyond a quarter more than the first: the chain clock is told by the second."""
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
    past: ContractorRecord
    """How the poster's jobs ended until now."""
    own: ClaimRecord | None
    """This node's standing claim."""
    barred: str | None = None
    """Why this poster's jobs take no claim of this node at present."""


def read_offer(reader: Reader, job: bytes, me: bytes) -> JobOffer | None:
    posting, record = reader.get(records.posting_key(job)), reader.get(records.job_key(job))
    if not isinstance(posting, Posting) or not isinstance(record, Job):
        return None
    own = own_claim(reader, job, me)
    bar = barred(reader, me, posting.poster)
    return JobOffer(job, posting.poster, posting.terms, record.state, past(reader, posting.poster), own, bar)


def past(reader: Reader, poster: bytes) -> ContractorRecord:
    """How a poster's jobs ended, and what it has standing."""
    record = reader.get(records.contractor_key(poster))
    return record if isinstance(record, ContractorRecord) else ContractorRecord(0, 0, 0, 0, 0, 0, 0, [], 0)


def own_claim(reader: Reader, job: bytes, me: bytes) -> ClaimRecord | None:
    index = reader.get(records.claimant_key(job, me))
    return store.read_claim(reader, job, index.index) if isinstance(index, ClaimantIndex) else None


def unfit(reader: Reader, me: bytes, clock: int) -> str | None:
    """Why this identity may not claim at all, or None."""
    account = reader.get(account_key(me))
    if not isinstance(account, Account):
        return "this node's identity is no member of the network: have it admitted first"
    if account.status == BANNED:
        return "this node's identity is banned"
    member = reader.get(member_key(me))
    if isinstance(member, Member) and not standing.stands(member.strikes, clock):
        strikes = standing.live_strikes(member.strikes, clock)
        return f"this node has live strikes of {strikes} posters: it may claim again when one expires"
    return None


def resting(config: WorkConfig, clock: int, used: Callable[[int], str]) -> str | None:
    """Why this node starts no new training at the time `clock`, in milliseconds; None where it does. What runs goes on. `used` as
    `Chain` has it."""
    if config.paused:
        return "this node is paused and starts no new training (learningchain resume)"
    now = datetime.fromtimestamp(clock / 1_000)  # in the machine's own zone, as its owner's day is
    minute = now.hour * 60 + now.minute
    hours = parse_hours(config.hours)
    if not hours or any(a <= minute < b if a < b else minute >= a or minute < b for a, b in hours):
        why = used(config.idle_min) if config.idle_min else ""
        return f"{why}: trainings wait until nobody uses it for {config.idle_min} minutes ([work] idle_min)" if why else None
    return f"it is {now:%H:%M}, and this node starts trainings within {config.hours} ([work] hours)"


def barred(reader: Reader, me: bytes, poster: bytes) -> str | None:
    """Why a suspended identity may not claim in this poster's jobs, or None: a case bars from the jobs of its posters."""
    case, member = reader.get(case_key(me)), reader.get(member_key(poster))
    root = member.root if isinstance(member, Member) else poster
    if isinstance(case, Case) and any(ref.origin == root for ref in case.refs):
        return "this node's identity is suspended in a case of this poster's jobs"
    return None


def explain(config: WorkConfig, offer: JobOffer, *, clock: int, me: bytes, attempts: int = 0) -> str | None:
    """Why this node does not start another attempt at a job, in words for people; None where it does.

    `attempts` is how many it has had.
    """
    reason = unsuited(config, offer, clock=clock, me=me) or offer.barred or by_record(config, offer)
    if reason is None and attempts >= config.attempts:
        reason = f"all {config.attempts} attempts were made ([work] attempts)"
    return reason


def unsuited(config: WorkConfig, offer: JobOffer, *, clock: int, me: bytes) -> str | None:
    """Why this node does not work on a job, whatever becomes of it and of its poster; None where it may."""
    for check in (_by_rules, _by_contractor, _by_worth, _by_size, _by_devices):
        reason = check(config, offer, clock, me)
        if reason:
            return reason
    return None


def by_record(config: WorkConfig, offer: JobOffer) -> str | None:
    """Why this node avoids a poster for the present, by how its jobs ended; None where it does not."""
    return f"{_poor(offer.past)} ([work] check_record)" if avoids(config, offer.past) else None


def avoids(config: WorkConfig, past: ContractorRecord) -> bool:
    return config.check_record and _poor(past) is not None


def _poor(past: ContractorRecord) -> str | None:
    """What speaks against a poster: it took back more than it paid after models were shown, or its evaluations do not decide.

    What was paid may have gone to puppets of its own, so only what speaks against one counts.
    """
    ended = past.posted - past.live
    if ended < MIN_ENDED:
        return None
    if past.refunded > past.paid:
        back, paid = format_credits(past.refunded), format_credits(past.paid)
        return f"the poster took back {back} credits after models were shown and paid {paid}"
    if past.undecided + past.unrepeatable >= ended:
        return (
            f"of the poster's {ended} jobs {past.undecided} ended undecided, and {past.unrepeatable} verdicts showed that its "
            "evaluation does not repeat"
        )
    return None


def _by_rules(config: WorkConfig, offer: JobOffer, clock: int, me: bytes) -> str | None:
    if not config.enabled:
        return "this node does not work for bounties ([work] enabled)"
    if offer.poster == me:
        return "a poster may not claim on its own job"
    if offer.state != JobState.OPEN or clock >= offer.terms.expiry:
        return "the job takes no more claims"
    if offer.own is not None and offer.own.count >= MAX_CLAIMS:
        return f"all {MAX_CLAIMS} claims on this job were made"
    return None


def _by_contractor(config: WorkConfig, offer: JobOffer, clock: int, me: bytes) -> str | None:
    poster = address(offer.poster)
    if poster in config.denied_contractors:
        return f"the poster {poster} is denied ([work] denied_contractors)"
    if config.allowed_contractors and poster not in config.allowed_contractors:
        return f"the poster {poster} is not among those allowed ([work] allowed_contractors)"
    return None


def _by_worth(config: WorkConfig, offer: JobOffer, clock: int, me: bytes) -> str | None:
    if offer.terms.bounty < (least := parse_credits(config.min_bounty)):
        return f"the bounty is {format_credits(offer.terms.bounty)}, below {format_credits(least)} ([work] min_bounty)"
    left = (offer.terms.expiry - clock) / 1_000
    longest = train_seconds(offer.terms, clock)
    if left < config.min_time_left_s or longest is None:
        return f"only {left:.0f} s are left ([work] min_time_left_s is {config.min_time_left_s})"
    if longest > config.max_run_s:
        return f"a training may take {longest:.0f} s, more than {config.max_run_s} ([work] max_run_s)"
    return None


def _by_size(config: WorkConfig, offer: JobOffer, clock: int, me: bytes) -> str | None:
    data = sum(one.weight for one in offer.terms.data)
    if data > config.max_data_mb * MIB:
        weigh = f"data sets weigh {-(-data // MIB)} MiB, with {SET_FILE_BYTES:,} bytes for each file"
        return f"{weigh}; more than {config.max_data_mb} ([work] max_data_mb)"
    for one in offer.terms.earlier:
        if one.size > config.max_model_mb * MIB:
            return f"the model to begin with: {-(-one.size // MIB)} MiB, more than {config.max_model_mb} ([work] max_model_mb)"
    return too_large(config, offer.terms)


def _by_devices(config: WorkConfig, offer: JobOffer, clock: int, me: bytes) -> str | None:
    if devices_for(config, offer.terms, {gpu.device for gpu in parse_gpus(config.gpus)}) is None:
        return f"its training needs {devices_text(offer.terms)}, and this node offers {len(config.gpus) or 'no'} GPUs ([work] gpus)"
    return None


def devices_for(config: WorkConfig, terms: PostJob, free: Collection[str]) -> tuple[str, ...] | None:
    """The devices that a training gets, of those that are free: the smallest that fit, all in this machine or else all of one kind
    of a cluster's, where published data sets do not go. None where they are too few."""
    given: list[str] = []
    for ask in terms.devices:
        fits = [gpu for gpu in parse_gpus(config.gpus) if gpu.kind == ask.kind and gpu.mem_mb >= ask.mem_mb and gpu.device in free]
        fits.sort(key=lambda gpu: (gpu.mem_mb, gpu.device))
        places = {gpu.place for gpu in fits if not (gpu.place and terms.data)}
        together = [[gpu for gpu in fits if gpu.place == place][: ask.count] for place in places]
        enough = [found for found in together if len(found) == ask.count]
        if not enough:
            return None
        least = min(enough, key=lambda found: (found[0].place != "", found[-1].mem_mb, found[0].device))
        given += [gpu.device for gpu in least]
    return tuple(sorted(given))


def devices_text(terms: PostJob) -> str:
    """What a training asks for, in words."""
    return " and ".join(f"{ask.count} {DeviceKind(ask.kind).name} GPUs of at least {ask.mem_mb} MiB" for ask in terms.devices)


def too_large(config: WorkConfig, terms: PostJob) -> str | None:
    """Why a job's runs do not fit into what this node gives to strangers, or None: also asked before an evaluation."""
    limits = terms.limits
    hidden = terms.hidden[0].size if terms.hidden else 0
    sizes = (
        (_image_and(terms), messages.needed_capacity(terms).image, config.max_image_mb, "max_image_mb"),
        ("largest model", limits.model_cap, config.max_model_mb, "max_model_mb"),
        ("hidden data", hidden, config.max_hidden_mb, "max_hidden_mb"),
        ("memory", max(limits.mem_mb, limits.tmp_mb) * MIB, config.max_mem_mb, "max_mem_mb"),
    )
    for what, size, allowed, setting in sizes:
        if size > allowed * MIB:
            return f"{what}: {-(-size // MIB)} MiB, more than {allowed} ([work] {setting})"
    if limits.eval_s > config.max_eval_s:
        return f"an evaluation may take {limits.eval_s} s, more than {config.max_eval_s} ([work] max_eval_s)"
    if config.max_cpus and limits.cpus_milli > 1_000 * config.max_cpus:
        return f"a run may use {limits.cpus_milli / 1_000:g} processors, more than {config.max_cpus} ([work] max_cpus)"
    if limits.threads > MAX_THREADS:
        return f"{limits.threads} threads, more than a container gets ({MAX_THREADS})"
    if limits.mem_mb < SANDBOX_MIN_MEM_MB:
        return f"{limits.mem_mb} MiB of memory are less than a container needs ({SANDBOX_MIN_MEM_MB})"
    return None


def _image_and(terms: PostJob) -> str:
    return "image, with the data sets that it is evaluated on" if messages.evaluated_bytes(terms) else "image"


# --- choosing ------------------------------------------------------------------------------------------------------------------


def best_paying(terms: PostJob) -> tuple[int, int]:
    """The rank in which a worker takes jobs: highest bounty first, then the one that ends first."""
    return -terms.bounty, terms.expiry


def train_seed(me: bytes, job: bytes, attempt: int) -> int:
    """64 bits, another for every worker, job and attempt, and the same again after a restart."""
    return int.from_bytes(hashlib.sha256(b"lc/train-seed" + me + job + attempt.to_bytes(4, "big")).digest()[:8], "big")


def train_seconds(terms: PostJob, clock: int) -> float | None:
    """Wall clock for a training that starts now and leaves time to evaluate and claim; None where none is left."""
    left = (terms.expiry - clock) / 1_000
    check = min(float(terms.limits.eval_s), left / 4)
    wall = min(left - check - min(RETRY_GRACE_MS / 1_000, left / 10), float(terms.limits.train_s))
    return wall if wall >= 1 else None


def improves(terms: PostJob, own: ClaimRecord | None, loss: int) -> bool:
    """Whether the ledger takes this loss after the standing claim, or as the first one (LC-JOB-21)."""
    if own is None:
        return no_better(terms, loss) is None
    return own.count < MAX_CLAIMS and loss <= messages.improved(terms, own.loss)


def no_better(terms: PostJob, loss: int) -> str | None:
    """Why a first claim of this loss is refused beside the model that trainings begin with (LC-JOB-62); None where it is not."""
    for one in terms.earlier:
        if loss > (most := messages.improved(terms, one.loss)):
            begun = f"trainings begin with a model of loss {format_loss(one.loss)}"
            return f"{begun}, and its own came to {format_loss(loss)}: a claim is at most {format_loss(most)}"
    return None


def wants_stake(config: WorkConfig, reader: Reader, terms: PostJob, me: bytes) -> bool:
    """Whether a first claim locks the full stake: as the settings say, and where it is free (LC-JOB-21)."""
    account = reader.get(account_key(me))
    free = account.balance if isinstance(account, Account) else 0
    return config.stake and free >= messages.full_stake(terms)


def reveal_margin(reveal_ms: int) -> int:
    return min(REVEAL_MARGIN_MS, max(reveal_ms // 4, min(LEAST_MARGIN_MS, reveal_ms // 2)))


def late_margin(reveal_ms: int) -> int:
    """The margin where the second evaluation runs: it ends by the other one by itself, and its container takes a moment to end."""
    margin = reveal_margin(reveal_ms)
    return max(margin // 2, min(margin, LATE_REVEAL_MS))


def second_at(terms: PostJob, reveal_ms: int) -> int:
    """When (chain clock) the second evaluation of a claim's model starts at the latest, so that there is time to reveal after it.

    As late as possible: an evaluation that answers by the clock answers the committee a little later.
    """
    left = reveal_ms - reveal_margin(reveal_ms) - 1_000 * terms.limits.eval_s - RETRY_GRACE_MS
    return terms.expiry + min(0, left)


def last_reveal(terms: PostJob, reveal_ms: int) -> int:
    """The chain clock at which a claim is revealed at the latest, where the reveals begin with the expiry."""
    return terms.expiry + reveal_ms - reveal_margin(reveal_ms)


def enough_for_second(terms: PostJob, took: int) -> int:
    """Milliseconds in which the second evaluation of a model ends, whose first one took so many (0: not known): a quarter more, or
    all that was posted. One that has so much and does not end by itself did not pass."""
    posted = 1_000 * terms.limits.eval_s
    return min(posted, took + took // 4 + SECOND_START_MS) if took else posted


def too_late_to_claim(terms: PostJob, reveal_ms: int, clock: int, took: int) -> str | None:
    """Why a claim is not made now whose model could not be evaluated a second time before it is revealed; None where it can.

    Else whoever lets its evaluator change its mind near the expiry would have the late claims shown unseen.
    """
    left, enough = last_reveal(terms, reveal_ms) - clock, enough_for_second(terms, took)
    if left >= enough:
        return None
    return (
        f"a model came too late: to evaluate it a second time takes {enough / 1_000:.0f} s, {max(0, left) / 1_000:.0f} s are left"
    )


def keeps_silent(terms: PostJob, claimed: int, second: int | None, *, must: bool) -> str | None:
    """Why a claim is not revealed after the second evaluation measured `second` (None: it did not pass), or None where it is.

    What each way costs: silence of one that must reveal burns its stake and is struck; of any other it costs nothing. A verdict
    FALSE burns the stake, freezes up to the bounty and suspends; REFUSED burns the stake and is struck, as silence does, and the
    committee may still measure what was claimed. So what would be FALSE is never shown, and what may be refused only by one that
    must.
    """
    code = BallotCode.INVALID if second is None else messages.ballot_code(terms, claimed, second)
    if code == BallotCode.OK or (must and code != BallotCode.FALSE):
        return None
    found = "it did not pass the evaluation again" if second is None else f"the second evaluation measured {format_loss(second)}"
    price = "the stake burns and a strike follows, a false claim would cost up to the bounty" if must else "silence costs nothing"
    return f"claimed was {format_loss(claimed)}, {found}: the model is not shown ({price})"


# --- what a posting means to the sandbox ---------------------------------------------------------------------------------------


def run_limits(terms: PostJob, wall_s: float) -> ContainerLimits:
    """The limits of one run as posted. Raises ValueError for what no container can have."""
    return container_limits(terms.limits, wall_s)


def container_limits(posted: Limits, wall_s: float) -> ContainerLimits:
    """What posted limits mean to the sandbox. Raises ValueError for what no container can have."""
    return ContainerLimits(
        cpus=posted.cpus_milli / 1_000,
        mem_mb=posted.mem_mb,
        pids=posted.threads + PIDS_SPARE,
        model_cap=posted.model_cap,
        tmp_mb=max(1, posted.tmp_mb),
        file_cap=max(ContainerLimits().file_cap, CHECKPOINT_FOLD * posted.model_cap),
        wall_s=wall_s,
    )


def image_limits(config: WorkConfig, terms: PostJob) -> ImageLimits:
    """An image may weigh what was posted, packed, and a bounded multiple of this node's limit unpacked."""
    packed = min(terms.image.size, config.max_image_mb * MIB)
    return ImageLimits(archive_bytes=max(packed, 1), unpacked_bytes=UNPACKED * config.max_image_mb * MIB)
