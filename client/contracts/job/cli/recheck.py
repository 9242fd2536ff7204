"""`job recheck`: a model of a job evaluated on this machine, beside what was claimed and what a committee measured."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.bars import Bar
from learningchain.client.cli.common import HERE, Common, WrongUsage, cell, facts, listing, short
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.contracts.job.cli.jobs import JobId
from learningchain.client.contracts.job.cli.local_runs import RunFailed, opened
from learningchain.client.contracts.job.references import find

if TYPE_CHECKING:
    from learningchain.chain.host.terms import Limits
    from learningchain.client.contracts.job.cli.comparing import Comparison
    from learningchain.client.contracts.job.http.schema import JobView, SetInUse
    from learningchain.client.sdk.client import Client
    from learningchain.sandbox import DataSet

LEAVES = 20
"""Honest losses of one example lie within so many times t of each other (LC-JOB, fees)."""


@dataclass(frozen=True)
class Exhibit:
    """What is to be evaluated, as files on this disk. `archive` None: the image comes from its registry."""

    job: JobView
    claim: dict[str, Any]
    model: Path
    archive: Path | None
    hidden: Path | None
    sets: Mapping[str, DataSet] = field(default_factory=dict)
    """Those that the evaluation reads, by name."""
    bad_key: bool = False
    """There is hidden data, and the key that was revealed does not open what was posted."""


@dataclass(frozen=True)
class Rechecked:
    """One evaluation of this machine: its losses, or why there are none, and beside it what the committee showed."""

    name: str
    loss: int | None
    examples: int
    ended: str
    vote: str
    """What this machine would vote where it measured nothing."""
    comparison: Comparison | None


def recheck(
    job: JobId,
    /,
    *,
    claimant: Annotated[
        str | None, Parameter(help="Whose model: lc1... or a name. Default: the winner's, else that of the first finalist.")
    ] = None,
    most: Annotated[int, Parameter(help="How many places to list, those that differ most first.")] = 10,
    common: Common = HERE,
) -> int:
    """Evaluate a model of a job on this machine, and compare it with the claim and the committee, example by example.

    Needs a Docker Engine, and a node that may give the model here: one that was paid goes to everybody, one that a case is about to
    the validators until the job ends, any other to nobody. Exit code 1: this machine does not measure what was claimed.
    """
    if most < 1:
        raise WrongUsage("--most is a number of places from 1 on")
    who = None if claimant is None else common.account(claimant)
    with tempfile.TemporaryDirectory(prefix="learningchain-") as scratch:
        case = common.ask(lambda node: _named(node, common, job, who, Path(scratch)))
        columns = evaluated(common, case)
    return _report(common, case, columns, most)


# --- what is needed ------------------------------------------------------------------------------------------------------------


async def _named(node: Client, common: Common, job: str, who: str | None, folder: Path) -> Exhibit:
    return await bring(node, common, await node.job(await find(node, job)), who, folder)


async def bring(node: Client, common: Common, found: JobView, who: str | None, folder: Path) -> Exhibit:
    """The files of a job, fetched over a node, each checked against its name in the posting. Raises `WrongUsage`."""
    claim = chosen(found, who)
    model, image, terms = claim["model"], found["image"], found["terms"]
    with Bar(common.out, "model") as on_progress:
        await node.fetch(model["cid"], folder / "model", max_size=model["size"], on_progress=on_progress)
    archive: Path | None = None
    if image["kind"] != "registry":
        archive = folder / "image.tar"
        with Bar(common.out, "image") as on_progress:
            await node.fetch(image["cid"], archive, max_size=image["size"], on_progress=on_progress)
    hidden, bad_key = None, False
    if (posted := terms["hidden"]) is not None and found["key"] and found["hidden"] == "ON":
        sealed = folder / "sealed"
        with Bar(common.out, "hidden data") as on_progress:
            await node.fetch(posted["cid"], sealed, max_size=posted["size"], on_progress=on_progress)
        hidden = await asyncio.to_thread(_decrypted, sealed, folder / "hidden", found["key"], posted["plain_hash"])
        bad_key = hidden is None
    sets = {one["name"]: await _fetched(node, common, one, folder) for one in terms["data"] if one["use"] != "train"}
    return Exhibit(found, claim, folder / "model", archive, hidden, sets, bad_key)


async def _fetched(node: Client, common: Common, posted: SetInUse, folder: Path) -> DataSet:
    """A data set of the job, file by file. Raises `WrongUsage` where it is none."""
    from learningchain.client.data.published import MAX_MANIFEST_BYTES, read_manifest
    from learningchain.p2p.content.cid import from_bytes

    inside = folder / f"set-{posted['name']}"
    inside.mkdir()
    await node.fetch(posted["cid"], inside / "manifest", max_size=MAX_MANIFEST_BYTES)
    try:
        found = read_manifest((inside / "manifest").read_bytes())
    except ValueError as problem:
        raise WrongUsage(f"The data set {posted['name']} cannot be used: {problem}") from None
    paths = [inside / str(number) for number in range(len(found.files))]
    for file, path in zip(found.files, paths, strict=True):
        with Bar(common.out, f"{posted['name']}/{file.name}") as on_progress:
            await node.fetch(str(from_bytes(file.cid)), path, max_size=max(1, file.size), on_progress=on_progress)
    return found.placed(paths)


def _decrypted(sealed: Path, target: Path, key: str, plain_hash: str) -> Path | None:
    """None where the key opens nothing that was posted: then the committee could not measure it either."""
    from learningchain.client.keys.hidden import BadKey, decrypt

    try:
        decrypt(sealed, target, bytes.fromhex(key), bytes.fromhex(plain_hash))
    except BadKey:
        return None
    return target


def chosen(job: JobView, who: str | None) -> dict[str, Any]:
    """The claim whose model is meant. Raises `WrongUsage` where there is none."""
    shown = [claim for claim in job["claims"] if claim.get("model")]
    if not shown:
        raise WrongUsage(
            f"Nobody has shown a model in job {job['id'][:12]}: it is {job['state']}. Models are shown after its expiry"
        )
    wanted = who or job.get("winner")
    if wanted is None:
        return dict(shown[0])
    for claim in shown:
        if claim["claimant"] == wanted:
            return dict(claim)
    models = ", ".join(short(str(claim["claimant"])) for claim in shown)
    raise WrongUsage(f"{short(str(wanted))} has shown no model in job {job['id'][:12]}. Models are there of: {models}")


# --- the evaluation ------------------------------------------------------------------------------------------------------------


def evaluated(common: Common, case: Exhibit) -> list[Rechecked]:
    from learningchain.chain.host.terms import Limits

    limits = Limits(**{name: int(value) for name, value in case.job["limits"].items()})  # type: ignore[call-overload]
    with opened(common, case.job["terms"]["params"], limits) as runs:
        _take_image(runs, case, limits)
        columns = [_column(runs, case, "public", None)]
        if case.hidden is not None:
            columns.append(_column(runs, case, "hidden", case.hidden))
    return columns


def _take_image(runs: Any, case: Exhibit, limits: Limits) -> None:
    from learningchain.sandbox import BadImage, ImageLimits, ImageNotFound

    image = case.job["image"]
    wanted = f"sha256:{image['image_id']}" if image["image_id"] else None
    size = ImageLimits(archive_bytes=max(image["size"], ImageLimits().archive_bytes))
    try:
        if case.archive is None:
            runs.image_id = runs.backend.pull(image["reference"], size)
        else:
            runs.image_id = runs.backend.load_archive(case.archive, wanted, size)
    except (BadImage, ImageNotFound) as problem:
        raise WrongUsage(f"The job's image cannot be run on this machine: {problem}") from None


def _column(runs: Any, case: Exhibit, name: str, hidden: Path | None) -> Rechecked:
    from learningchain.client.contracts.job.cli.comparing import compare
    from learningchain.sandbox.spec import Outcome, RunStatus

    votes = {Outcome.INVALID: "INVALID", Outcome.BROKEN: "BROKEN"}
    try:
        ran = runs.evaluate(f"Evaluating ({name} data)", case.model, hidden=hidden, sets=case.sets)
    except RunFailed as failed:
        return Rechecked(name, None, 0, failed.reason, votes.get(RunStatus(failed.status).outcome, "ABSTAIN"), None)
    losses = list(ran.losses or ())
    comparison = compare(losses, case.job["rounds"], case.claim["claimant"], hidden=hidden is not None)
    return Rechecked(name, -(-sum(losses) // len(losses)), len(losses), "done", "", comparison)


# --- what it says --------------------------------------------------------------------------------------------------------------


def verdict_of(case: Exhibit, column: Rechecked) -> str:
    """The vote that this machine would give on the public data."""
    from learningchain.chain.types import parse_loss
    from learningchain.chain.verification.votes import code_of

    if column.loss is None:
        return column.vote
    claim = case.claim
    return code_of(parse_loss(claim["loss"]), column.loss, parse_loss(claim["tolerance"]), parse_loss(claim["bound"])).name


def allowed(case: Exhibit, column: Rechecked) -> int:
    """By how much honest losses of one example may differ."""
    from learningchain.chain.types import parse_loss
    from learningchain.chain.verification.scale import FloatKind, spread

    terms = case.job["terms"]
    kind = FloatKind[terms["float_kind"].upper()]
    return LEAVES * spread(kind, parse_loss(terms["tol"]), parse_loss(case.claim["loss"]), [column.loss or 0])


def _report(common: Common, case: Exhibit, columns: list[Rechecked], most: int) -> int:
    vote = verdict_of(case, columns[0])

    common.out.show(evaluation_document(case, columns, vote, most), lambda console: show_evaluation(console, case, columns, most))
    return 0 if vote == "OK" else 1


def show_evaluation(console: Console, case: Exhibit, columns: list[Rechecked], most: int) -> None:
    console.print(facts(f"Job {case.job['id']}", _rows(case, columns, verdict_of(case, columns[0]))))
    for column in columns:
        if column.comparison is not None:
            _show(console, case, column, most)


def _rows(case: Exhibit, columns: list[Rechecked], vote: str) -> list[tuple[str, Any]]:
    from learningchain.chain.types import format_loss

    claim = case.claim
    rows: list[tuple[str, Any]] = [
        ("model of", claim["claimant"]),
        ("claimed", f"{claim['loss']}, tolerance {claim['tolerance']}"),
        ("judged", claim.get("result")),
    ]
    for column in columns:
        measured = column.ended if column.loss is None else f"{format_loss(column.loss)} over {column.examples} examples"
        rows.append((f"measured here ({column.name})", measured))
    if case.bad_key:
        rows.append(
            ("hidden data", cell("the key that was revealed does not open what was posted: nothing is measured on it", "yellow"))
        )
    rows.append(("this machine votes", cell(vote, "green" if vote == "OK" else "red")))
    return rows


def _show(console: Console, case: Exhibit, column: Rechecked, most: int) -> None:
    from learningchain.chain.types import format_loss

    comparison = column.comparison
    if comparison is None:
        return
    console.print()
    if not comparison.means:
        console.print(f"No committee has shown its {column.name} losses: only the claim can be compared.")
        return
    rows = [[short(voter), vote, "-" if mean is None else format_loss(mean)] for voter, vote, mean in comparison.means]
    console.print(listing(["voter", "vote", f"measured ({column.name})"], rows, {f"measured ({column.name})"}))
    for voter, count in comparison.others:
        console.print(f"{short(voter)} measured {count} examples, this machine {column.examples}: nothing of it can be compared.")
    limit = allowed(case, column)
    shown = [
        [p.what, format_loss(p.own), *_range(p), format_loss(p.difference), cell("too far", "red") if p.difference > limit else ""]
        for p in comparison.places[:most]
    ]
    if shown:
        console.print()
        names = ["place", "here", "least shown", "most shown", "difference", f"allowed {format_loss(limit)}"]
        console.print(listing(names, shown, {"here", "least shown", "most shown", "difference"}))


def _range(place: Any) -> list[str]:
    from learningchain.chain.types import format_loss

    losses = [loss for _, loss in place.shown]
    return [format_loss(min(losses)), format_loss(max(losses))]


def evaluation_document(case: Exhibit, columns: list[Rechecked], vote: str, most: int) -> dict[str, Any]:
    from learningchain.chain.types import format_loss

    return {
        "job": case.job["id"],
        "claimant": case.claim["claimant"],
        "claimed": case.claim["loss"],
        "vote": vote,
        "columns": [
            {
                "data": column.name,
                "measured": None if column.loss is None else format_loss(column.loss),
                "examples": column.examples,
                "ended": column.ended,
                "allowed": format_loss(allowed(case, column)),
                "places": [
                    {
                        "place": place.what,
                        "here": format_loss(place.own),
                        "shown": [{"voter": voter, "loss": format_loss(loss)} for voter, loss in place.shown],
                        "difference": format_loss(place.difference),
                    }
                    for place in (column.comparison.places[:most] if column.comparison else ())
                ],
            }
            for column in columns
        ],
    }
