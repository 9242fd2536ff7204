"""`job list`, `show`, `fetch` and `cancel-run`, and what the job commands share."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.text import Text

from client.cli.common import HERE, Common, Output, WrongUsage, cell, clean, facts, listing, relative, short, size_text, span
from client.contracts.job.references import find
from client.sdk_types import Fetched

if TYPE_CHECKING:
    from client.api.schema import ParkedView, RunCancelled, StatusView
    from client.contracts.job.schema import JobSummary, JobView
    from client.sdk import Client
    from client.sdk_http import Progress as OnProgress

MAX_LIST = 20_000
"""Jobs that one command lists at most."""
MAX_PAGE = 1_000
"""Jobs that one question to the node lists at most."""
ENDED = {"PAID": "green", "REFUNDED": "yellow", "EMPTY": "yellow"}
MEANING = {
    "OPEN": "workers train and claim; the lowest loss leads",
    "REVEAL": "claims are closed; the best claimants name their models",
    "KEY": "the contractor reveals the key of the hidden evaluation data",
    "AUDIT": "the best model that is not judged yet goes to a committee",
    "COMMIT": "a drawn committee evaluates the best model and commits to its votes",
    "COUNT": "the committee opens its votes",
    "PAID": "the winner's claim was found true; its model is yours: learningchain job fetch",
    "REFUNDED": "no claim was found true; the bounty went back but for fees, and a tenth until false claims are settled",
    "EMPTY": "nobody showed a model; everything went back. Perhaps no worker could get or run the image, or the time was too short",
}
"""What a job's state says to people."""
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
    "last_tenth": "last tenth",
    "last_tenth_amount": "last tenth's amount",
}
JobId = Annotated[str, Parameter(name="JOB", help="The job's id or its first characters, or latest.")]


# --- shared --------------------------------------------------------------------------------------------------------------------


def state_text(state: Any) -> Text:
    return cell(state, ENDED.get(str(state), "cyan"))


def who(identity: Any, own: str | None = None) -> Text:
    """An identity short enough for a table; the node's own stands out."""
    text = str(identity) if identity else "-"
    return cell(short(text) + (" (this node)" if own and text == own else ""), "bold" if own and text == own else "")


class Bar:
    """A progress bar on standard error, for people at a terminal only."""

    def __init__(self, out: Output, text: str) -> None:
        self.on = not out.as_json and sys.stderr.isatty()
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=out.notes, transient=True, disable=not self.on)
        self._task = self._bar.add_task(clean(text), total=None)

    def __enter__(self) -> OnProgress:
        self._bar.start()
        return lambda done, total: self._bar.update(self._task, completed=done, total=total or None)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


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

    def people(console: Console) -> None:
        if not found:
            console.print("No jobs.")
            return
        rows = [
            [
                j.get("number"),
                str(j.get("id"))[:12],
                state_text(j.get("state")),
                j.get("bounty"),
                j.get("claimants"),
                _left(j, clock),
                who(j.get("poster")),
                who(j.get("winner")),
            ]
            for j in found
        ]
        names = ["no.", "job", "state", "bounty", "claims", "deadline", "contractor", "winner"]
        console.print(listing(names, rows, {"no.", "bounty", "claims"}))
        if len(found) == limit and found[-1]["number"]:
            common.out.note(f"There may be more: --before {found[-1]['number']}")

    common.out.show(found, people)
    return 0


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

    async def read(node: Client) -> tuple[JobView, StatusView]:
        return await node.job(await find(node, job)), await node.status()

    found, status = common.ask(read)
    parked = parked_here(status, found["id"])
    common.out.show(found, lambda console: show_job(console, found, status["id"], status["clock_now"], parked))
    return 0


def parked_here(status: StatusView, job_id: str) -> ParkedView | None:
    """The job's entry among what the status lists as parked."""
    return next((one for one in status.get("parked", []) if one["contract"] == "job" and one["ref"] == job_id), None)


def meaning(job: JobSummary, parked: ParkedView | None) -> Text:
    """What a job's state says to people. The state of one that is parked does not go on."""
    if parked is None:
        return cell(MEANING.get(str(job.get("state"))), "dim")
    text = f"parked: a program failed here in block {parked['height']}; its credits are kept until the validators release it"
    return cell(text, "red")


def show_job(console: Console, job: JobView, own: str | None, clock: int, parked: ParkedView | None = None) -> None:
    """A job on the terminal: terms, claims, votes, payments."""
    terms, image, limits = job.get("terms") or {}, job.get("image") or {}, job.get("limits") or {}
    rows: list[tuple[str, Any]] = [
        ("state", state_text(job.get("state"))),
        ("", meaning(job, parked)),
        *([("", cell(LEFT.format(job["left"]), "dim"))] if job.get("left") else []),
        ("contractor", job.get("poster")),
        ("bounty", job.get("bounty")),
        ("posted", relative(job.get("posted"), clock)),
        ("claims end", relative(job.get("expiry"), clock)),
        ("image", image.get("reference") or image.get("cid")),
        ("limits", limits_text(limits)),
        ("terms", ", ".join(f"{text} {terms[k]}" for k, text in _TERMS.items() if k in terms)),
        ("parameters", terms.get("params")),
    ]
    if job.get("winner"):
        model: Mapping[str, Any] = job.get("model") or {}
        rows += [("winner", job["winner"]), ("model", f"{model.get('cid')}, {size_text(model.get('size'))}")]
    console.print(facts(f"Job {job.get('id')}", rows))
    if claims := job.get("claims"):
        console.print(claims_table(claims, own, clock))
    if votes := votes_rows(job, own):
        console.print(listing(["round", "voter", "candidate", "vote", "measured", "fee"], votes, {"measured", "fee"}))
    if (paid := job.get("payments")) and job.get("state") in ENDED:
        shown = [(text, paid[k]) for k, text in _PAYMENTS.items() if paid.get(k) not in (None, "", "0", "none")]
        console.print(facts("Payments", shown))


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


def claims_table(claims: list[Any], own: str | None, clock: int) -> Any:
    """Claims in rank order."""
    rows = [
        [
            rank,
            who(c.get("claimant"), own),
            c.get("loss"),
            relative(c.get("claimed"), clock),
            c.get("revealed"),
            cell(c.get("result"), {"OK": "green", "FALSE": "red", "REFUSED": "red", "SILENT": "red"}.get(str(c.get("result")), "")),
        ]
        for rank, c in enumerate(claims, 1)
    ]
    return listing(["rank", "claimant", "loss", "claimed", "revealed", "verdict"], rows, {"rank", "loss"})


def votes_rows(job: JobView, own: str | None) -> list[list[Any]]:
    """Votes of all rounds, one a row."""
    rows: list[list[Any]] = []
    for round_ in job.get("rounds") or []:
        name = f"{round_.get('audit', 0) + 1}.{round_.get('round')}"
        for seat in round_.get("committee") or []:
            votes = seat.get("votes") or []
            fee = seat.get("fee") if seat.get("opened") else None
            if not votes:
                state = "committed" if seat.get("committed") else "waiting"
                rows.append([name, who(seat.get("voter"), own), "", cell(state, "dim"), None, fee])
            for vote in votes:
                style = {"OK": "green", "FALSE": "red", "INVALID": "red"}.get(str(vote.get("vote")), "")
                shown = [who(vote.get("candidate"), own), cell(vote.get("vote"), style), vote.get("measured"), fee]
                rows.append([name, who(seat.get("voter"), own), *shown])
    return rows


def fetch(
    job: JobId,
    /,
    *,
    out: Annotated[Path, Parameter(help="File to write, or a folder.")] = Path("."),
    force: Annotated[bool, Parameter(negative="", show_default=False, help="Overwrite the file.")] = False,
    common: Common = HERE,
) -> int:
    """Save the winner's model, checked against the ledger."""
    started = time.monotonic()

    async def download(node: Client) -> Fetched:
        with Bar(common.out, "model") as on_progress:
            return await node.fetch_model(await find(node, job), out, overwrite=force, on_progress=on_progress)

    got = common.ask(download)
    document = {"path": str(got.path), "cid": got.cid, "size": got.size, "sha256": got.sha256}
    rows: list[tuple[str, Any]] = [("file", got.path), ("cid", got.cid), ("size", size_text(got.size)), ("sha256", got.sha256)]
    common.out.show(document, lambda console: console.print(facts("The winner's model", rows)))
    common.out.note(f"Fetched in {span(time.monotonic() - started)}. A stranger made these bytes: never unpickle them.")
    return 0


def cancel_run(
    run: Annotated[str, Parameter(name="RUN", help="The run's id or its first characters, from: learningchain runs.")],
    /,
    *,
    common: Common = HERE,
) -> int:
    """Kill a run of this node."""

    async def cancel(node: Client) -> tuple[str, RunCancelled]:
        found = [r["id"] for r in await node.runs() if str(r.get("id")).startswith(run) and r.get("ended") is None]
        whole = str(found[0]) if len(found) == 1 else run
        return whole, await node.cancel_run(whole)

    name, done = common.ask(cancel)
    common.out.show(done or {"id": name, "cancelled": True}, lambda console: console.print(f"Run {clean(name)} is being killed."))
    return 0
