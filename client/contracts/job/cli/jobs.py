"""`job list`, `show`, `fetch` and `cancel-run`, and what the job commands share."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.bars import Bar
from learningchain.client.cli.common import (
    HERE,
    Common,
    WrongUsage,
    cell,
    clean,
    facts,
    listing,
    relative,
    short,
    short_id,
    show_list,
    size_text,
    span,
)
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console, Text
from learningchain.client.contracts.job.cli.cost import FULL_COMMITTEE
from learningchain.client.contracts.job.references import find
from learningchain.client.sdk.types import ApiError, Fetched, UnreachableError

if TYPE_CHECKING:
    from learningchain.client.contracts.job.http.schema import JobSummary, JobView, SetInUse
    from learningchain.client.schema.bodies import ParkedView, RunCancelled, StatusView
    from learningchain.client.sdk.client import Client

MAX_LIST = 20_000
"""Jobs that one command lists at most."""
MAX_RUNS = 12
"""Runs of this node that are shown with a job."""
MAX_PAGE = 1_000
"""Jobs that one question to the node lists at most."""
ENDED = {"PAID": "green", "REFUNDED": "yellow", "EMPTY": "yellow"}
MEANING = {
    "OPEN": "workers train and claim; the lowest loss leads",
    "REVEAL": "claims are closed; the best claimants name their models",
    "KEY": "the poster reveals the key of the hidden evaluation data",
    "DRAW": "some blocks from now a committee is drawn, which nobody can know yet",
    "COMMIT": "a drawn committee evaluates the models under audit and commits to its votes",
    "COUNT": "the committee opens its votes",
    "PAID": "the winner's claim was found true; its model is yours: learningchain job fetch",
    "REFUNDED": "no claim was found true; the bounty went back, fees for the judging did not: learningchain job repost",
    "EMPTY": "nobody showed a model that was judged; the bounty went back. Perhaps no worker could get or run the image, or the "
    "time was too short",
}
"""What a job's state says to people."""
TAKEN_BACK = "its poster took it back before anybody claimed; all that was locked for it came back"
_NEVER = 2**63
_KINDS = {"cuda": "CUDA", "rocm": "ROCm"}
USES = {"train": "to train", "evaluate": "to evaluate", "both": "to train and to evaluate"}
HIDDEN = {
    "ON": "sealed until all models are shown; the hidden loss decides among those that hold on the public one",
    "OFF": "turned off: no key was revealed, or one that opens junk; the deposit burned, the public loss decides",
}
LEFT = "its records left the ledger's state in block {}: this is what the history of this node tells"
_TERMS = {
    "float_kind": "losses in",
    "tol": "tolerance",
    "floor": "no loss below",
    "finalists": "finalists",
    "on_cheat": "after a false claim",
}
_UNITS = {"threads": "thread", "mem_mb": "MiB of memory", "tmp_mb": "MiB of scratch"}
_PAYMENTS = {
    "bounty_to": "bounty to",
    "bounty_paid": "bounty paid",
    "bounty_returned": "bounty returned",
    "fees_paid": "fees paid",
    "fees_returned": "fees returned",
    "fees_burned": "fees burned",
    "stakes_burned_by_verdicts": "stakes burned",
    "bond_burned": "bond burned",
    "bond_returned": "bond returned",
    "deposit_burned": "deposit burned",
    "deposit_returned": "deposit returned",
}
JobId = Annotated[str, Parameter(name="JOB", help="The job's id or its first characters, or latest.")]


# --- shared --------------------------------------------------------------------------------------------------------------------


def state_text(state: Any) -> Text:
    return cell(state, ENDED.get(str(state), "cyan"))


def who(identity: Any, own: str | None = None) -> Text:
    """An identity short enough for a table; the node's own stands out."""
    text = str(identity) if identity else "-"
    mine = bool(own) and text == own
    shown = short(text)
    return cell(shown if not mine or shown.endswith("(you)") else f"{shown} (you)", "bold" if mine else "")


# --- commands ------------------------------------------------------------------------------------------------------------------


def list_jobs(
    *,
    live: Annotated[bool, Parameter(negative="", show_default=False, help="Only jobs that have not ended.")] = False,
    state: Annotated[
        str | None, Parameter(help="Only jobs in this state: ended, or one such as open, paid, refunded or empty.")
    ] = None,
    limit: Annotated[int, Parameter(help="Most jobs to show, up to 20000.")] = 20,
    before: Annotated[int | None, Parameter(help="Go on below this number.")] = None,
    common: Common = HERE,
) -> int:
    """Jobs of the network, newest first."""
    if not 1 <= limit <= MAX_LIST:
        raise WrongUsage(f"--limit is a number of jobs from 1 to {MAX_LIST}, not {limit}. Older ones: --before NUMBER")
    if state is not None and state.upper() not in (*MEANING, "ENDED"):
        states = ", ".join(name.lower() for name in MEANING)
        raise WrongUsage(f"--state is ended, or one of {states}; not {state[:80]!r}")
    found, clock = common.ask(lambda node: _with_clock(node, live, state, before, limit))

    return show_list(
        common,
        found,
        "No jobs.",
        ["no.", "job", "state", "bounty", "claims", "deadline", "poster", "winner"],
        lambda j: [
            j.get("number"),
            short_id(str(j.get("id"))),
            state_text(j.get("state")),
            j.get("bounty"),
            j.get("claimants"),
            _left(j, clock),
            who(j.get("poster")),
            who(j.get("winner")),
        ],
        right={"no.", "bounty", "claims"},
        full=limit,
    )


async def _with_clock(node: Client, live: bool, state: str | None, before: int | None, limit: int) -> tuple[list[JobSummary], int]:
    found: list[JobSummary] = []
    wanted = {"ENDED": set(ENDED)}.get(state.upper(), {state.upper()}) if state else set(MEANING)
    page = MAX_PAGE if state else min(limit, MAX_PAGE)
    async for job in node.every_job(live=live or not wanted & set(ENDED), before=before, page=page):
        if job.get("state") not in wanted:
            continue
        found.append(job)
        if len(found) == limit:
            break
    return found, (await node.status())["clock_now"]


def _left(job: JobSummary, clock: int) -> str:
    deadline = job.get("deadline")
    return "due" if isinstance(deadline, int) and deadline <= clock else relative(deadline, clock)


def show(job: JobId, /, *, common: Common = HERE) -> int:
    """Everything about one job."""

    async def read(node: Client) -> tuple[JobView, StatusView, list[Any]]:
        found = await node.job(await find(node, job))
        return found, await node.status(), await own_runs(node, found["id"])

    found, status, runs = common.ask(read)
    parked = parked_here(status, found["id"])

    def people(console: Console) -> None:
        show_job(console, found, status["id"], status["clock_now"], parked)
        if runs:
            rows = [[cell(r.get("id")), r.get("state"), r.get("loss"), r.get("reason")] for r in runs[:MAX_RUNS]]
            console.print(listing(["run of this node", "state", "loss", "reason"], rows, {"loss"}))

    common.out.show({**found, "own_runs": runs}, people)
    return 0


async def own_runs(node: Client, job: str) -> list[Any]:
    """What this node ran for a job, or could not: the newest first."""
    try:
        return [run for run in await node.runs() if run.get("job") == job]
    except UnreachableError:
        raise
    except ApiError:  # a node without a worker
        return []


def parked_here(status: StatusView, job_id: str) -> ParkedView | None:
    """The job's entry among what the status lists as parked."""
    return next((one for one in status.get("parked", []) if one["contract"] == "job" and one["ref"] == job_id), None)


def meaning(job: JobSummary, parked: ParkedView | None) -> Text:
    """What a job's state says to people. The state of one that is parked does not go on."""
    if parked is None:
        return cell(TAKEN_BACK if taken_back(job) else MEANING.get(str(job.get("state"))), "dim")
    text = f"parked: a program failed here in block {parked['height']}; its credits are kept until the validators release it"
    return cell(text, "red")


def show_job(console: Console, job: JobView, own: str | None, clock: int, parked: ParkedView | None = None) -> None:
    """A job on the terminal: terms, claims, votes, payments."""
    image, limits = job.get("image") or {}, job.get("limits") or {}
    terms: Mapping[str, Any] = job.get("terms") or {}
    rows: list[tuple[str, Any]] = [
        ("state", state_text(job.get("state"))),
        ("", meaning(job, parked)),
        *([("", cell(LEFT.format(job["left"]), "dim"))] if job.get("left") else []),
        ("poster", job.get("poster")),
        ("bounty", job.get("bounty")),
        ("posted", relative(job.get("posted"), clock)),
        _claims_end(job, clock),
        ("image", image.get("reference") or image.get("cid")),
        ("limits", limits_text(limits)),
        ("terms", ", ".join(f"{text} {terms[k]}" for k, text in _TERMS.items() if k in terms)),
        ("parameters", terms.get("params")),
        *_judging_rows(job, clock),
    ]
    if job.get("winner"):
        model: Mapping[str, Any] = job.get("model") or {}
        rows += [("winner", job["winner"]), ("model", f"{model.get('cid')}, {size_text(model.get('size'))}")]
    console.print(facts(f"Job {job.get('id')}", rows))
    if claims := job.get("claims"):
        console.print(claims_table(claims, own, clock))
    if (votes := votes_table(job, own)) is not None:
        console.print(votes)
    paid: Mapping[str, Any] = job.get("payments") or {}
    if paid and job.get("state") in ENDED:
        shown = [(text, paid[k]) for k, text in _PAYMENTS.items() if paid.get(k) not in (None, "", "0", "none")]
        console.print(facts("Payments", shown))


def _claims_end(job: JobView, clock: int) -> tuple[str, str]:
    """A job that was taken back took no claims from then on."""
    end = min(at for at in (job.get("expiry"), job.get("ended"), _NEVER) if isinstance(at, int))
    return "claims ended" if end <= clock else "claims end", relative(end if end < _NEVER else None, clock)


def taken_back(job: Mapping[str, Any]) -> bool:
    """Whether its poster ended it: nothing else ends a job before its expiry."""
    ended, expiry = job.get("ended"), job.get("expiry")
    return job.get("state") == "EMPTY" and isinstance(ended, int) and isinstance(expiry, int) and ended < expiry


def limits_text(limits: Mapping[str, Any]) -> str:
    """What one run may use, in units that people read."""
    given = {key: value for key, value in limits.items() if isinstance(value, int)}
    cpus, model = given.get("cpus_milli"), given.get("model_cap")
    parts = [
        None if cpus is None else f"{cpus / 1000:g} processor{'' if cpus == 1000 else 's'}",
        *(
            f"{given[key]} {unit}{'s' if key == 'threads' and given[key] != 1 else ''}"
            for key, unit in _UNITS.items()
            if key in given
        ),
        *(f"{span(given[key])} to {what}" for key, what in (("train_s", "train"), ("eval_s", "evaluate")) if key in given),
        None if model is None else f"a model of {size_text(model)}",
    ]
    return ", ".join(part for part in parts if part)


def devices_text(devices: Mapping[str, Any]) -> str:
    """The GPUs that a training is given."""
    least = f" of {devices['mem_mb']} MiB or more" if devices["mem_mb"] else ""
    return f"{devices['count']} {_KINDS[devices['kind']]} GPU{'' if devices['count'] == 1 else 's'}{least}"


def set_text(one: SetInUse) -> str:
    """What a job's data set is, and where it lies."""
    here = "on this node" if one["here"] == one["size"] else f"{size_text(one['here'])} of it on this node"
    return f"{one['cid']}, {one['files']} files, {size_text(one['size'])}, {USES[one['use']]}, {here}"


def _judging_rows(job: JobView, clock: int) -> list[tuple[str, Any]]:
    """Hidden data, what an evaluation measures, who could judge it, when it is over at the latest."""
    rows: list[tuple[str, Any]] = []
    if (hidden := job.get("hidden") or "NONE") != "NONE":
        rows.append(("hidden data", HIDDEN.get(hidden, hidden)))
    if earlier := (job.get("terms") or {}).get("earlier"):
        origin = f"the model of job {earlier['job'][:12]}" if earlier["job"] else "a model"
        rows.append(("begins with", f"{origin}, loss {earlier['loss']}: a claim is at most {earlier['next_at_most']}"))
    if devices := (job.get("terms") or {}).get("devices"):
        rows.append(("trained on", f"{devices_text(devices)}; evaluated without"))
    rows += [(f"data set {one['name']}", set_text(one)) for one in (job.get("terms") or {}).get("data", ())]
    if examples := job.get("examples"):
        rows.append(("examples", examples))
    if warning := job.get("warning"):
        rows.append(("", cell(warning, "yellow")))
    if could := job.get("could_judge"):
        few = could["judges"] < FULL_COMMITTEE
        text = f"{could['judges']} of {could['verifiers']} verifiers" + (", fewer than a whole committee" if few else "")
        rows.append(("can judge now", cell(text, "yellow" if few else "")))
    if job.get("state") not in ENDED and (end := job.get("latest_end")):
        blocks = job.get("latest_end_draw_blocks")
        rows.append(("over at the latest", f"{relative(end, clock)}" + (f", and {blocks} blocks of draws" if blocks else "")))
    return rows


def claims_table(claims: list[Any], own: str | None, clock: int) -> Any:
    """Claims in rank order: by the public loss, and beside it what the hidden data made of it."""
    secret = any(c.get("hidden_loss") is not None for c in claims)
    names = ["rank", "claimant", "loss", "stake", "claimed", "revealed", "verdict"]
    if secret:
        names[3:3] = ["hidden rank", "hidden loss"]
    rows = []
    for place, c in enumerate(claims, 1):
        result = str(c.get("result"))
        hidden = [c.get("hidden_rank"), c.get("hidden_loss")] if secret else []
        rows.append(
            [
                c.get("rank") or place,
                who(c.get("claimant"), own),
                c.get("loss"),
                *hidden,
                _stake(c),
                relative(c.get("claimed"), clock),
                c.get("revealed"),
                cell(c.get("result"), {"OK": "green", "FALSE": "red", "REFUSED": "red", "SILENT": "red"}.get(result, "")),
            ]
        )
    return listing(names, rows, {"rank", "loss", "hidden rank", "hidden loss", "stake"})


def _stake(claim: Mapping[str, Any]) -> str:
    """What a claim locked, and where that is now."""
    amount = claim.get("stake")
    if amount in (None, "", "0"):
        return "none"
    return f"{amount} {claim.get('stake_is') or ''}".rstrip()


def votes_table(job: JobView, own: str | None, most: int | None = None) -> Any | None:
    """Votes of all rounds, one a row, `most` of them; None where there are none yet."""
    secret = (job.get("hidden") or "NONE") != "NONE"
    names = ["round", "voter", "candidate", "vote", "measured", *(["hidden"] if secret else []), "fee", "struck for"]
    rows: list[list[Any]] = []
    for round_ in job.get("rounds") or []:
        name = f"{round_.get('audit', 0) + 1}.{round_.get('round')}"
        for seat in round_.get("committee") or []:
            rows += [[name, *row] for row in _seat_rows(seat, own, secret)]
    return listing(names, rows[:most], {"measured", "hidden", "fee"}) if rows else None


def _seat_rows(seat: Mapping[str, Any], own: str | None, secret: bool) -> list[list[Any]]:
    fee, struck, voter = seat.get("fee") if seat.get("opened") else None, seat.get("struck") or "", who(seat.get("voter"), own)
    blank = [None] if secret else []
    votes = seat.get("votes") or []
    if not votes:
        state = "committed" if seat.get("committed") else "waiting"
        return [[voter, "", cell(state, "dim"), None, *blank, fee, struck]]
    rows: list[list[Any]] = []
    for vote in votes:
        style = {"OK": "green", "FALSE": "red", "INVALID": "red"}.get(str(vote.get("vote")), "")
        hidden = ["bad key" if vote.get("bad_key") else vote.get("hidden_loss")] if secret else []
        shown = [who(vote.get("candidate"), own), cell(vote.get("vote"), style), vote.get("measured"), *hidden]
        rows.append([voter, *shown, None if rows else fee, struck])  # one fee for all votes of the seat: it stands once
    return rows


def fetch(
    job: JobId,
    /,
    *,
    out: Annotated[Path, Parameter(help="File to write, or a folder.")] = Path("."),
    force: Annotated[bool, Parameter(negative="", show_default=False, help="Overwrite the file.")] = False,
    mlflow: Annotated[
        str | None, Parameter(help="URL of an MLflow server to which the job is logged as a run: parameters, curves, model.")
    ] = None,
    common: Common = HERE,
) -> int:
    """Save the winner's model, checked against the ledger."""
    started = time.monotonic()

    async def download(node: Client) -> Fetched:
        ref = await find(node, job)
        with Bar(common.out, "model") as on_progress:
            return await node.fetch_model(ref, out, overwrite=force, on_progress=on_progress)

    got = common.ask(download)
    logged = {} if mlflow is None else {"mlflow_run": _logged(common, mlflow, job, got.path)}
    document = {"path": str(got.path), "cid": got.cid, "size": got.size, "sha256": got.sha256} | logged
    rows: list[tuple[str, Any]] = [("file", got.path), ("cid", got.cid), ("size", size_text(got.size)), ("sha256", got.sha256)]
    rows += [("MLflow run", run) for run in logged.values()]
    common.out.show(document, lambda console: console.print(facts("The winner's model", rows)))
    common.out.note(f"Fetched in {span(time.monotonic() - started)}. A stranger made these bytes: never unpickle them.")
    return 0


def _logged(common: Common, uri: str, text: str, model: Path) -> str:
    """Log the job at an MLflow server; the id of its run there."""
    from learningchain.client.contracts.job.cli.mlflow import log_job

    async def look(node: Client) -> tuple[JobView, list[Any]]:
        ref = await find(node, text)
        whole = [run["id"] for run in await own_runs(node, ref)][:MAX_RUNS]
        return await node.job(ref), [await node.run(run) for run in whole]

    job, runs = common.ask(look)
    return log_job(uri, job, runs, model, name=common.names.of(str(job["id"])) or None)


def cancel_run(
    run: Annotated[str, Parameter(name="RUN", help="The run's id or its first characters, or latest: the newest that runs.")],
    /,
    *,
    common: Common = HERE,
) -> int:
    """Kill a run of this node."""

    async def cancel(node: Client) -> tuple[str, RunCancelled]:
        begin = "" if run == "latest" else run
        found = [r["id"] for r in await node.runs() if str(r.get("id")).startswith(begin) and r.get("ended") is None]
        whole = str(found[0]) if len(found) == 1 or (found and run == "latest") else run
        return whole, await node.cancel_run(whole)

    name, done = common.ask(cancel)
    common.out.show(done or {"id": name, "cancelled": True}, lambda console: console.print(f"Run {clean(name)} is being killed."))
    return 0
