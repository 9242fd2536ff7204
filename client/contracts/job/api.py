"""Jobs: posting one, listing them, everything about one, and the model that won."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from aiohttp import web

from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.messages import job_id_of
from learningchain.chain.contracts.job.params import JobParams
from learningchain.chain.contracts.membership import training
from learningchain.chain.host import Reader, read_params
from learningchain.chain.host.terms import Arch
from learningchain.client.api.chain import first_block
from learningchain.client.api.errors import RequestError, not_found, not_kept
from learningchain.client.api.files import serve_file
from learningchain.client.api.route import ApiPart, Call, Reply, Route, parse_field, parse_hash
from learningchain.client.api.sets import bytes_here
from learningchain.client.api.submit import answer, sends, submit, trial_host
from learningchain.client.contracts.job.http import contractor_api, quotes
from learningchain.client.contracts.job.http.live import LiveJobs
from learningchain.client.contracts.job.http.postings import build_job
from learningchain.client.contracts.job.http.render import render_job
from learningchain.client.contracts.job.http.schema import (
    JobPosted,
    JobRequest,
    JobsQuery,
    JobSummary,
    JobView,
    ModelQuery,
    TrainersQuery,
    TrainersView,
)
from learningchain.client.contracts.job.http.views import describe, newest, summarise
from learningchain.client.keys.tokens import TokenScope
from learningchain.client.schema.bodies import EventView, HistoryQuery
from learningchain.client.schema.render import Json

AT_ONCE = 64
"""Jobs that are listed before others have the loop."""


# --- posting ------------------------------------------------------------------------------------------------------------------


async def post_job(call: Call) -> Reply:
    rate = read_params(call.node.ledger.state, records.NUMBER, JobParams).job_rate
    op = build_job(call.body, call.node.ledger.clock, rate)
    contractor_api.require_open(call, "The job", call.body.expires_in_s)
    tx = await submit(call, "The job", op)
    return await answer(call, "The job", tx, job=job_id_of(tx, 0).hex(), expiry=op.expiry)


# --- who would train ----------------------------------------------------------------------------------------------------------


async def get_trainers(call: Call) -> Json:
    ledger = call.node.ledger
    return {"trainers": training(ledger.state, ledger.own_id, Arch[call.query.arch.upper()], call.query.train_s)}


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
    first = first_block(call)
    if first > 1:
        text += f", or its records left the state before block {first}, where this node's blocks begin: an archive node knows it"
    return not_found(f"{text}. GET /v1/jobs lists the jobs", name="NO_SUCH_JOB")


async def get_job(call: Call) -> Json:
    view = await _described(call)
    for one in view["terms"]["data"]:
        one["here"] = await bytes_here(call, one["cid"])
    return render_job(view) | {"could_judge": _could_judge(call, view)}


def _could_judge(call: Call, view: Json) -> Json | None:
    """Of now; of what has ended nobody needs to know."""
    posting = call.node.ledger.state.get(records.posting_key(bytes.fromhex(view["id"])))
    if view["ended"] is not None or not isinstance(posting, records.Posting):
        return None
    verifiers, judges = quotes.judges(trial_host(call.node.ledger), posting.poster, posting.terms)
    return {"verifiers": verifiers, "judges": judges}


async def get_job_events(call: Call) -> list[Json]:
    job = parse_field("job", parse_hash, call.path("job"))
    found = await call.node.events(job, before=call.query.before, limit=call.query.limit)
    if not found and not await _told(call, [job], summarise):
        raise _unknown(call, job)
    if not found and (first := first_block(call)) > 1:
        raise not_kept(f"Nothing more of job {job.hex()} stands in the blocks that are kept here", first)
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


_PATH = {"job": {"type": "string", "pattern": "^[0-9a-f]{64}$"}}
_ROUTES = (
    sends("/v1/jobs", "Post a job of this node", post_job, JobRequest, JobPosted, scope=TokenScope.POST),
    Route("GET", "/v1/jobs", "Jobs, newest first", get_jobs, list[JobSummary], query=JobsQuery),
    Route("GET", "/v1/trainers", "How many nodes of others train for so long", get_trainers, TrainersView, query=TrainersQuery),
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
    *contractor_api.ROUTES,
)
PART = ApiPart(__doc__, _ROUTES, (LiveJobs,), _PATH)
