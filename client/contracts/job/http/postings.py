"""What a contractor's request means as a message of the contract. Plain functions; a refusal names the field."""

from __future__ import annotations

import math
import re
from typing import Any

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
    HiddenSet,
    Image,
    ImageKind,
    Limits,
    Use,
    is_reference,
)
from learningchain.chain.params import MAX_INT
from learningchain.chain.types import parse_credits, parse_loss
from learningchain.chain.verification import windows
from learningchain.chain.verification.scale import FloatKind
from learningchain.client.api.errors import usage
from learningchain.client.api.route import parse_field, parse_hash
from learningchain.client.contracts.job.http.schema import (
    DevicesRequest,
    EarlierRequest,
    HiddenRequest,
    ImageRequest,
    JobRequest,
    LimitsRequest,
    SetRequest,
)
from learningchain.p2p.content.cid import parse as parse_cid

DEFAULT_FEE_PART = 1_000
"""The default fee per judged vote is the bounty divided by this, or the least that the rules allow where that is more."""
MAX_DEFAULT_TRAIN_S = 3_600
BLOCK_WAIT_MS = 2_000
"""A posting whose time is counted from now has so much to spare until its block: hardly one waits longer."""
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.ASCII)


def parse_digest(text: str) -> bytes:
    found = _DIGEST.fullmatch(text)
    if found is None:
        raise ValueError("a digest is 64 hex digits, with or without sha256: in front")
    return bytes.fromhex(found[1])


def _parse_reference(text: str) -> str:
    if not is_reference(text):
        raise ValueError("a registry image is named with its digest, name@sha256:<64 hex>: a tag could change under the job")
    return text


def build_image(image: ImageRequest) -> Image:
    if (image.cid is None) == (image.reference is None):
        raise usage("image is not valid: exactly one of image.cid and image.reference is needed. Give one of them")
    image_id = b"" if image.image_id is None else parse_field("image.image_id", parse_digest, image.image_id)
    if image.reference is not None:
        reference = parse_field("image.reference", _parse_reference, image.reference)
        return Image(ImageKind.REGISTRY, reference, b"", image_id, image.size or 1)
    if image.size is None or not image_id:
        raise usage("image is not valid: an archive needs image.image_id and image.size beside image.cid. Give both")
    cid = parse_field("image.cid", parse_cid, image.cid or "")
    return Image(ImageKind.ARCHIVE, "", cid.to_bytes(), image_id, image.size)


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


def build_hidden(hidden: HiddenRequest) -> HiddenSet:
    cid = parse_field("hidden.cid", parse_cid, hidden.cid)
    plain, key = (parse_field(f"hidden.{name}", parse_digest, getattr(hidden, name)) for name in ("plain_hash", "key_hash"))
    return HiddenSet(cid.to_bytes(), plain, key, hidden.size)


def build_set(given: SetRequest) -> DataRef:
    cid = parse_field("data.cid", parse_cid, given.cid)
    use = Use.TRAIN | Use.EVALUATE if given.use == "both" else Use[given.use.upper()]
    return DataRef(cid.to_bytes(), given.size, given.files, given.name, int(use))


def build_devices(given: DevicesRequest) -> DeviceAsk:
    return DeviceAsk(int(DeviceKind[given.kind.upper()]), given.count, given.mem_mb)


def build_earlier(given: EarlierRequest) -> Earlier:
    cid = parse_field("earlier.cid", parse_cid, given.cid)
    job = bytes(32) if given.job is None else parse_field("earlier.job", parse_hash, given.job)
    return Earlier(job, cid.to_bytes(), given.size, parse_field("earlier.loss", parse_loss, given.loss))


def _params(params: dict[str, Any]) -> str:
    text = msgspec.json.encode(params).decode("utf-8")
    if len(text.encode("utf-8")) > MAX_PARAMS_BYTES:
        raise usage(f"params is not valid: more than {MAX_PARAMS_BYTES} bytes. Keep settings in params, put data into the image")
    return text


def build_job(body: JobRequest, clock: int, rate: int) -> PostJob:
    """The contract's message; `clock` is the chain clock now, `rate` the network's `job_rate`. Raises `RequestError` naming the
    field; the rules check the rest."""
    bounty = parse_field("bounty", parse_credits, body.bounty)
    expiry = expiry_of(body.expires_in_s, body.expiry, clock)
    limits = build_limits(body.limits, max(0, expiry - clock))
    posted = PostJob(
        image=build_image(body.image),
        arch=Arch[body.arch.upper()],
        params=_params(body.params),
        bounty=bounty,
        fee=0 if body.fee is None else parse_field("fee", parse_credits, body.fee),
        finalists=body.finalists,
        expiry=expiry,
        float_kind=FloatKind[body.float_kind.upper()],
        tol=parse_field("tol", _parse_tolerance, body.tol),
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


def _parse_tolerance(text: str) -> int:
    tolerance = parse_loss(text)
    if tolerance < 0:
        raise ValueError("a tolerance is not negative")
    return tolerance
