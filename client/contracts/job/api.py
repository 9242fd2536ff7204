"""Jobs: posting one, listing them, everything about one, and the model that won."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web

from chain.contracts.job import FloatKind, Image, ImageKind, Limits, OnCheat, PostJob, is_reference, job_id_of, records
from chain.contracts.job.messages import MAX_PARAMS_BYTES
from chain.contracts.job.views import describe, newest, summarise
from chain.host import Reader
from chain.params import MAX_INT
from chain.types import parse_credits, parse_loss
from client.api.errors import RequestError, not_found, usage
from client.api.files import serve_file
from client.api.render import Json
from client.api.route import Call, Reply, Route, parse_field, parse_hash
from client.api.schema import EventView, HistoryQuery, WaitQuery
from client.api.submit import answer, submit
from client.contracts.job.live import LiveJobs
from client.contracts.job.render import render_job
from client.contracts.job.schema import (
    ImageRequest,
    JobPosted,
    JobRequest,
    JobsQuery,
    JobSummary,
    JobView,
    LimitsRequest,
    ModelQuery,
)
from p2p.content.cid import parse as parse_cid

DEFAULT_FEE_PART = 1_000
"""The default fee per judged vote is the bounty divided by this: three finalists then lock 3.9 % of the bounty for verifiers."""
AT_ONCE = 64
"""Jobs that are listed before others have the loop."""
MAX_DEFAULT_TRAIN_S = 3_600
_IMAGE_ID = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.ASCII)


# --- posting ------------------------------------------------------------------------------------------------------------------


def _parse_image_id(text: str) -> bytes:
    found = _IMAGE_ID.fullmatch(text)
    if found is None:
        raise ValueError("an image id is 64 hex digits, with or without sha256: in front")
    return bytes.fromhex(found[1])


def _parse_reference(text: str) -> str:
    if not is_reference(text):
        raise ValueError("a registry image is named with its digest, name@sha256:<64 hex>: a tag could change under the job")
    return text


def build_image(image: ImageRequest) -> Image:
    if (image.cid is None) == (image.reference is None):
        raise usage("image is not valid: exactly one of image.cid and image.reference is needed. Give one of them")
    image_id = b"" if image.image_id is None else parse_field("image.image_id", _parse_image_id, image.image_id)
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


def _expiry(body: JobRequest, clock: int) -> int:
    if (body.expires_in_s is None) == (body.expiry is None):
        raise usage("The expiry is not valid: exactly one of expires_in_s and expiry is needed. Give one of them")
    if body.expiry is not None:
        return body.expiry
    in_s = body.expires_in_s or 0.0
    if not math.isfinite(in_s):
        raise usage("expires_in_s is not valid: it must be a finite number of seconds. Correct expires_in_s")
    return min(MAX_INT, clock + round(in_s * 1_000))


def _params(params: dict[str, Any]) -> str:
    text = msgspec.json.encode(params).decode("utf-8")
    if len(text.encode("utf-8")) > MAX_PARAMS_BYTES:
        raise usage(f"params is not valid: more than {MAX_PARAMS_BYTES} bytes. Keep settings in params, put data into the image")
    return text


def build_job(body: JobRequest, clock: int) -> PostJob:
    """The contract's message; `clock` is the chain clock now. Raises `RequestError` naming the field; the rules check the rest."""
    bounty = parse_field("bounty", parse_credits, body.bounty)
    fee = max(1, bounty // DEFAULT_FEE_PART) if body.fee is None else parse_field("fee", parse_credits, body.fee)
    expiry = _expiry(body, clock)
    return PostJob(
        image=build_image(body.image),
        params=_params(body.params),
        bounty=bounty,
        fee=fee,
        finalists=body.finalists,
        expiry=expiry,
        float_kind=FloatKind.F64 if body.float_kind == "f64" else FloatKind.F32,
        tol=parse_field("tol", _parse_tolerance, body.tol),
        floor=parse_field("floor", parse_loss, body.floor),
        on_cheat=OnCheat.REFUND if body.on_cheat == "refund" else OnCheat.NEXT_BEST,
        limits=build_limits(body.limits, max(0, expiry - clock)),
        hidden=[],
    )


def _parse_tolerance(text: str) -> int:
    tolerance = parse_loss(text)
    if tolerance < 0:
        raise ValueError("a tolerance is not negative")
    return tolerance


async def post_job(call: Call) -> Reply:
    op = build_job(call.body, call.node.ledger.clock)
    tx = await submit(call, "The job", op)
    return await answer(call, "The job", tx, job=job_id_of(tx, 0).hex(), expiry=op.expiry)


# --- reading ------------------------------------------------------------------------------------------------------------------


async def get_jobs(call: Call) -> list[Json]:
    found: list[Json] = []
    chosen = await _chosen(call, call.query)
    for start in range(0, len(chosen), AT_ONCE):
        told = await _told(call, chosen[start : start + AT_ONCE], summarise)
        found += [render_job(told[job]) for job in chosen[start : start + AT_ONCE] if job in told]
        await asyncio.sleep(0)
    return found


async def _chosen(call: Call, query: JobsQuery) -> list[bytes]:
    """The ids that a query asks for, newest first, whether they are in the state or left it."""
    live = await call.context.followers.settled(LiveJobs) if query.live else None

    def page(before: int | None, limit: int) -> list[tuple[int, bytes]]:
        return newest(call.node.ledger.state, before, limit) if live is None else live.newest(before, limit)

    if query.id is None:
        jobs = await _newest(call, query.before, query.limit) if live is None else page(query.before, query.limit)
        return [job for _, job in jobs]
    found = await _archived_beginning(call, query) if live is None else []
    before = query.before
    while (jobs := page(before, AT_ONCE)) and len(found) < query.limit:
        found += [job for _, job in jobs if job.hex().startswith(query.id)]
        before = jobs[-1][0]
        await asyncio.sleep(0)
    return found[: query.limit]


async def _newest(call: Call, before: int | None, limit: int) -> list[tuple[int, bytes]]:
    """Jobs in the state and jobs that left it, by number."""
    left = await call.node.archived_below(records.NUMBERS.prefix, before, limit)
    both = dict(left) | dict(newest(call.node.ledger.state, before, limit))
    return sorted(both.items(), reverse=True)[:limit]


async def _archived_beginning(call: Call, query: JobsQuery) -> list[bytes]:
    begin = query.id or ""
    first, last = (bytes.fromhex(begin.ljust(64, digit)) for digit in "0f")
    return await call.node.archived_within(first, last, query.limit)


async def _told(call: Call, jobs: Sequence[bytes], view: Callable[[Reader, bytes], Json | None]) -> dict[bytes, Json]:
    """What a view tells of each job, from the state or from what left it; without those that neither knows."""
    state = call.node.ledger.state
    found = {job: told | {"left": None} for job in jobs if (told := view(state, job)) is not None}
    if gone := [job for job in jobs if job not in found]:
        for job, past in (await call.node.archived(gone)).items():
            if (told := view(past.reader, job)) is not None:
                found[job] = told | {"left": past.height}
    return found


async def _described(call: Call) -> Json:
    job = parse_field("job", parse_hash, call.path("job"))
    view = (await _told(call, [job], describe)).get(job)
    if view is None:
        raise _unknown(call, job)
    return view


def _unknown(call: Call, job: bytes) -> RequestError:
    text = f"There is no job {job.hex()} on this network"
    first: int = call.node.status().get("first_block", 1)
    if first > 1:
        text += f", or its records left the state before block {first}, where this node's history begins: another node may know it"
    return not_found(f"{text}. GET /v1/jobs lists the jobs", name="NO_SUCH_JOB")


async def get_job(call: Call) -> Json:
    return render_job(await _described(call))


async def get_job_events(call: Call) -> list[Json]:
    job = parse_field("job", parse_hash, call.path("job"))
    found = await call.node.events(job, before=call.query.before, limit=call.query.limit)
    if not found and not await _told(call, [job], summarise):
        raise _unknown(call, job)
    return found


async def get_model(call: Call) -> web.StreamResponse:
    view = await _described(call)
    model = view["model"]
    if model is None:
        raise not_found(
            f"Job {view['id']} has no winning model: it is {view['state']}. Wait until it is PAID: then it has one",
            name="NO_MODEL",
        )
    return await serve_file(call, model["cid"], max_size=model["size"], timeout_s=call.query.timeout_s)


FOLLOWERS = (LiveJobs,)
PATH = {"job": {"type": "string", "pattern": "^[0-9a-f]{64}$"}}
ROUTES = (
    Route("POST", "/v1/jobs", "Post a job of this node", post_job, JobPosted, JobRequest, WaitQuery, failures=(422,)),
    Route("GET", "/v1/jobs", "Jobs, newest first", get_jobs, list[JobSummary], query=JobsQuery),
    Route("GET", "/v1/jobs/{job}", "Everything about a job", get_job, JobView, failures=(404,)),
    Route(
        "GET",
        "/v1/jobs/{job}/events",
        "What happened to a job, newest first, each with its block and the block's time",
        get_job_events,
        list[EventView],
        query=HistoryQuery,
        failures=(404,),
    ),
    Route(
        "GET",
        "/v1/jobs/{job}/model",
        "The model that won, fetched from the graph where needed",
        get_model,
        query=ModelQuery,
        media="application/octet-stream",
        failures=(404, 413),
    ),
)
