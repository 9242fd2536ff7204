"""Runs of this node's worker and verifier: what they do, and the word to stop one."""

from __future__ import annotations

from typing import Any

from learningchain.client.api.errors import not_found, usage
from learningchain.client.api.route import Call, Route, parse_field, parse_hash
from learningchain.client.keys.tokens import TokenScope
from learningchain.client.schema.bodies import ReasonsQuery, ReasonView, RunCancelled
from learningchain.client.schema.render import Json, render_run

MAX_RUN_ID = 128
CANCELLED = "cancelled by the operator"
NO_WORK = "this node runs nothing: start it with --work"


def _found(call: Call) -> Json:
    run_id = call.path("run")
    runs = call.node.runs
    run = runs.get(run_id) if runs is not None and len(run_id) <= MAX_RUN_ID else None
    if run is None:
        why = "it runs no jobs: start it with --work" if runs is None else "GET /v1/runs lists the runs that it remembers"
        raise not_found(f"There is no run {run_id[:MAX_RUN_ID]} on this node; {why}", name="NO_SUCH_RUN")
    return run


def _shown(call: Call, run: Json) -> Json:
    """A run under way has no reason yet: where it is stands there."""
    if call.node.machines is not None and run.get("state") == "running" and not run.get("reason"):
        run = run | {"reason": call.node.machines.where(str(run.get("id")))}
    return run if call.token.scope >= TokenScope.ALL else render_run(run)


async def get_runs(call: Call) -> list[Json]:
    return [] if call.node.runs is None else [_shown(call, run) for run in call.node.runs.list()]


async def get_reasons(call: Call) -> list[Json]:
    """The node's own policy is nobody's business but its owner's."""
    query: ReasonsQuery = call.query
    refs = [parse_field("refs", parse_hash, text) for text in query.refs.split(",")]
    runs = call.node.runs
    return [{"ref": ref.hex(), "why": NO_WORK if runs is None else call.node.work.explain(ref)} for ref in refs]


async def get_run(call: Call) -> Json:
    return _shown(call, _found(call))


async def delete_run(call: Call) -> Json:
    run = _found(call)
    runs = call.node.runs
    if runs is None or not runs.cancel(call.path("run"), CANCELLED):
        state = run.get("state")
        text = f"Run {call.path('run')} has ended already (it is {state}): there is nothing to stop"
        raise usage(text, name="RUN_ENDED", status=409)
    return {"cancelled": True}


ROUTES = (
    Route(
        "GET",
        "/v1/reasons",
        "Why this node leaves the work of jobs alone",
        get_reasons,
        list[ReasonView],
        query=ReasonsQuery,
        scope=TokenScope.ALL,
    ),
    Route("GET", "/v1/runs", "Runs of this node, with their progress", get_runs, list[dict[str, Any]]),
    Route("GET", "/v1/runs/{run}", "One run", get_run, dict[str, Any], failures=(404,)),
    Route("DELETE", "/v1/runs/{run}", "Stop a run: its container is killed", delete_run, RunCancelled, failures=(404, 409)),
)
