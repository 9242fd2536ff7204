"""What a contractor's request means as a message of the contract. Plain functions; a refusal names the field."""

from __future__ import annotations

import math
import re

import msgspec

from learningchain.chain.contracts.job.messages import MAX_PARAMS_BYTES, JobCode, OnCheat, PostJob, judging_work
from learningchain.chain.contracts.job.params import JobParams
from learningchain.chain.errors import Reject
from learningchain.chain.host.terms import (
    Arch,
    DataRef,
    DeviceAsk,
    DeviceKind,
    Earlier,
    Limits,
    Use,
)
from learningchain.chain.params import MAX_INT
from learningchain.chain.types import parse_credits, parse_loss
from learningchain.chain.verification import windows
from learningchain.chain.verification.scale import FloatKind
from learningchain.client.api.errors import usage
from learningchain.client.api.posting import binary_cid, build_hidden, build_image, params_text, parse_not_negative
from learningchain.client.api.route import parse_field, parse_hash
from learningchain.client.contracts.job.http.schema import (
    DevicesRequest,
    EarlierRequest,
    JobRequest,
    LimitsRequest,
    SetRequest,
)

DEFAULT_FEE_PART = 1_000
"""The default fee per judged vote is the bounty divided by this, or the least that the rules allow where that is more."""
MAX_DEFAULT_TRAIN_S = 3_600
BLOCK_WAIT_MS = 2_000
"""A posting whose time is counted from now has so much to spare until its block: hardly one waits longer."""


def build_limits(limits: LimitsRequest, open_ms: int) -> Limits:
    train_s = limits.train_s
    if train_s is None:
        train_s = min(MAX_DEFAULT_TRAIN_S, max(1, open_ms // 2_000))
    return Limits(
        cpus_milli=round(limits.cpus * 1_000),
        mem_mb=limits.mem_mb,
        train_s=train_s,
        eval_s=limits.eval_s,
        model_cap=limits.model_cap,
        tmp_mb=limits.tmp_mb,
        threads=math.ceil(limits.cpus) if limits.threads is None else limits.threads,
    )


def expiry_of(in_s: float | None, expiry: int | None, clock: int) -> int:
    """The chain clock at which claims end. Raises `RequestError` unless one of the two is given."""
    if (in_s is None) == (expiry is None):
        raise usage("The expiry is not valid: exactly one of expires_in_s and expiry is needed. Give one of them")
    if expiry is not None:
        return expiry
    in_s = in_s or 0.0
    if not math.isfinite(in_s):
        raise usage("expires_in_s is not valid: it must be a finite number of seconds. Correct expires_in_s")
    return min(MAX_INT, clock + round(in_s * 1_000))


def check_open(in_s: float | None, params: JobParams) -> None:
    """Raises `Reject` where a job would be open for too short a time once its posting stands in a block, though not yet now."""
    if in_s is None or not params.job_min_open <= round(in_s * 1_000) < params.job_min_open + BLOCK_WAIT_MS:
        return
    low, high = (f"{span / 1_000:.10g} s" for span in (params.job_min_open, params.job_max_open))
    text = f"this network takes jobs that are open for {low} to {high} from their block on"
    raise Reject(JobCode.BAD_EXPIRY, f"{text}, which may be {BLOCK_WAIT_MS // 1_000} s away: {in_s:.10g} s from now are too short")


def build_set(given: SetRequest) -> DataRef:
    cid = binary_cid("data.cid", given.cid)
    if not re.fullmatch("[a-z0-9_-]{1,32}", given.name):
        raise usage(f"data.name is not valid: {given.name[:32]!r} is not 1 to 32 of a-z, 0-9, - and _. Correct data.name")
    use = Use.TRAIN | Use.EVALUATE if given.use == "both" else Use[given.use.upper()]
    return DataRef(cid, given.size, given.files, given.name, int(use))


def build_devices(given: DevicesRequest) -> DeviceAsk:
    return DeviceAsk(int(DeviceKind[given.kind.upper()]), given.count, given.mem_mb)


def build_earlier(given: EarlierRequest) -> Earlier:
    cid = binary_cid("earlier.cid", given.cid)
    job = bytes(32) if given.job is None else parse_field("earlier.job", parse_hash, given.job)
    return Earlier(job, cid, given.size, parse_field("earlier.loss", parse_loss, given.loss))


def build_job(body: JobRequest, clock: int, rate: int) -> PostJob:
    """The contract's message; `clock` is the chain clock now, `rate` the network's `job_rate`. Raises `RequestError` naming the
    field; the rules check the rest."""
    bounty = parse_field("bounty", parse_credits, body.bounty)
    expiry = expiry_of(body.expires_in_s, body.expiry, clock)
    limits = build_limits(body.limits, max(0, expiry - clock))
    posted = PostJob(
        image=build_image(body.image, "the job"),
        arch=Arch[body.arch.upper()],
        params=params_text(body.params, MAX_PARAMS_BYTES),
        bounty=bounty,
        fee=0 if body.fee is None else parse_field("fee", parse_credits, body.fee),
        finalists=body.finalists,
        expiry=expiry,
        float_kind=FloatKind[body.float_kind.upper()],
        tol=parse_field("tol", parse_not_negative, body.tol),
        floor=parse_field("floor", parse_loss, body.floor),
        on_cheat=OnCheat.REFUND if body.on_cheat == "refund" else OnCheat.NEXT_BEST,
        limits=limits,
        hidden=[] if body.hidden is None else [build_hidden(body.hidden)],
        devices=[] if body.devices is None else [build_devices(body.devices)],
        data=[build_set(one) for one in body.data],
        earlier=[] if body.earlier is None else [build_earlier(body.earlier)],
    )
    if body.fee is not None:
        return posted
    least = windows.least_fee(judging_work(posted), rate)
    return msgspec.structs.replace(posted, fee=max(1, least, bounty // DEFAULT_FEE_PART))
