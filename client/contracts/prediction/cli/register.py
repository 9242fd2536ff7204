"""`model register`: check what an owner typed, upload what is needed, offer the model."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from learningchain.client.cli.common import HERE, Common, WrongUsage, facts, read_params, seconds, size_text
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.contracts.prediction import offering
from learningchain.client.contracts.prediction.references import find_job

if TYPE_CHECKING:
    from learningchain.client.contracts.prediction.http.schema import ModelPosted
    from learningchain.client.sdk.client import Client
    from learningchain.client.sdk.types import Json
    from learningchain.sandbox.archive import ScannedImage

_JUDGED_S, _JUDGED_ROWS = 600, 16
"""Of an appeal: what verifiers declare where nobody sets `work.max_eval_s`; rows that a judge answers at most (LC-PRE-52)."""
_NAME = re.compile(r"[a-z0-9._-]{1,64}", re.ASCII)


def register(
    *,
    name: Annotated[str, Parameter(help="What you call it: a-z, 0-9 and . _ -")],
    kind: Annotated[Literal["class", "number"], Parameter(help="Whether it answers with a class and its score, or with a number.")],
    job: Annotated[str | None, Parameter(help="A paid job of this node, or latest: its winner becomes the model.")] = None,
    image_archive: Annotated[Path | None, Parameter(help="Without a job: a docker-archive (docker save); it is uploaded.")] = None,
    model: Annotated[Path | None, Parameter(help="Without a job: the trained model's file; it is uploaded.")] = None,
    classes: Annotated[int | None, Parameter(help="How many classes there are.")] = None,
    price: Annotated[str, Parameter(help="Your royalty for a row, in credits.")] = "0",
    floor: Annotated[str, Parameter(help="Least tip of a row and answer, in credits.")] = "0.00001",
    tol: Annotated[str, Parameter(help="By how much the same score may differ between machines.")] = "0.000001",
    schema: Annotated[Path | None, Parameter(help="What a row looks like: a JSON file of at most 64 KiB.")] = None,
    sample: Annotated[
        Path | None,
        Parameter(help="Rows to try the model with, a line each, as it is given them; it is asked here, twice, for the answers."),
    ] = None,
    sample_answers: Annotated[
        Path | None, Parameter(help="The answers to the sample, as the image writes them; then nothing is run here.")
    ] = None,
    previous: Annotated[str | None, Parameter(help="An own model that this one replaces.")] = None,
    max_rows: Annotated[int, Parameter(help="Most rows of one request, up to 256.")] = 256,
    row_time: Annotated[str, Parameter(help="What a row takes at most: 50ms, 1s.")] = "50ms",
    start_time: Annotated[str, Parameter(help="What starting takes at most: 5s.")] = "5s",
    slots: Annotated[int, Parameter(help="Requests that a server is taken to answer at once.")] = 4,
    share: Annotated[
        list[str] | None, Parameter(negative="", help="ACCOUNT=WEIGHT: who shares the royalty, once for each.")
    ] = None,
    params: Annotated[
        str | None, Parameter(help="Without a job: settings that the image reads, as JSON or @FILE, such as '{\"epochs\": 5}'.")
    ] = None,
    cpus: Annotated[float | None, Parameter(help="Without a job: processors for one run. Default: 1.")] = None,
    mem_mb: Annotated[int | None, Parameter(help="Without a job: memory for one run, MiB. Default: 512.")] = None,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Offer a trained model to everybody who asks, against a deposit. Others serve it: learningchain model serve."""
    if (job is None) == (image_archive is None):
        raise WrongUsage("A model comes from one place: --job ID, or --image-archive FILE.tar with --model FILE")
    if (image_archive is None) != (model is None):
        raise WrongUsage("--image-archive and --model stand together: the program, and what was trained")
    if (kind == "class") != (classes is not None):
        raise WrongUsage("--classes is for --kind class, and needed there: how many there are")
    if job is not None and (cpus is not None or mem_mb is not None or params is not None):
        raise WrongUsage("A job brings its limits and its params along: leave --cpus, --mem-mb and --params out")
    if not _NAME.fullmatch(name):
        raise WrongUsage(f"--name cannot be {name[:80]!r}: a model's name is 1 to 64 of a-z, 0-9 and . _ -")
    start_s = _within("--start-time", start_time, 1, 600)
    row_ms = _within("--row-time", row_time, 1, 60_000, 1_000)
    if (longest := start_s - -_JUDGED_ROWS * row_ms // 1_000) > _JUDGED_S:
        common.out.note(
            f"A judge of an appeal would need up to {longest} s, and verifiers declare {_JUDGED_S} unless they say otherwise: only "
            "who declared more can judge, and who asks is told how few these are. Take less --row-time or --start-time."
        )
    body: Json = {"name": name, "kind": kind, "price": price, "floor": floor, "tol": tol, "slots": slots}
    body |= {"max_rows": max_rows, "row_ms": row_ms, "start_s": start_s}
    body |= {"classes": classes} if classes is not None else {}
    body |= {"shares": [_share(common, text) for text in share]} if share else {}
    body |= {"params": read_params(params)} if params is not None else {}
    limits = {name: value for name, value in (("cpus", cpus), ("mem_mb", mem_mb)) if value is not None}
    offered = offering.ModelExtras(schema, sample, sample_answers, previous)
    offering.check(offered)
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> ModelPosted:
        from learningchain.client.contracts.prediction.cli.samples import program_of

        found = dict(body)
        if job is not None:
            found["job"] = await find_job(node, job)
        else:
            found |= await _program(node, common, image_archive, model, limits)
        whole = await offering.complete(node, common, found, offered, lambda: program_of(node, found))
        return await node.register_model(whole, wait=wait)

    done = common.ask(send)

    def people(console: Console) -> None:
        rows: list[tuple[str, Any]] = [("model", done["model"]), ("name", name), ("price of a row", price), ("floor", floor)]
        console.print(facts("Model registered", [*rows, ("transaction", done["tx"])]))

    common.out.show(done, people)
    common.out.note(f"It can be asked when three nodes serve it: learningchain model serve {done['model'][:12]} on each of them.")
    return finished(common, done, wait)


async def _program(node: Client, common: Common, archive: Path | None, model: Path | None, limits: Json) -> Json:
    """What a registration says of an image and a model that were no job's; both are uploaded."""
    if archive is None or model is None:
        raise WrongUsage("--image-archive and --model are needed")
    offering.readable("model", model)
    named = await asyncio.to_thread(scanned, archive)
    common.out.note(f"Uploading {archive.name}, {size_text(archive.stat().st_size)}, and {model.name}.")
    image, stored = await node.upload(archive), await node.upload(model)
    return {
        "image": {"cid": image["cid"], "image_id": named.image_id, "size": image["size"]},
        "model": {"cid": stored["cid"], "size": stored["size"]},
        "limits": {**limits, "arch": named.config.architecture},
    }


def scanned(archive: Path) -> ScannedImage:
    """An archive that servers would accept. Raises `WrongUsage` naming what they would refuse."""
    from learningchain.sandbox import BadImage, ImageLimits
    from learningchain.sandbox.archive import scan_archive

    offering.readable("image-archive", archive)
    try:
        return scan_archive(archive, ImageLimits(archive_bytes=max(ImageLimits().archive_bytes, archive.stat().st_size)))
    except BadImage as problem:
        raise WrongUsage(f"Nobody would run {archive}: {problem}. {problem.remedy}") from None


def _within(option: str, text: str, least: int, most: int, of_second: int = 1) -> int:
    """A time in parts of a second. Raises `WrongUsage`."""
    found = round(of_second * seconds(text, option))
    if not least <= found <= most:
        unit = "s" if of_second == 1 else "ms"
        raise WrongUsage(f"{option} is a time from {least}{unit} to {most}{unit}, not {text}")
    return found


def _share(common: Common, text: str) -> Json:
    account, equals, weight = text.rpartition("=")
    if not equals or not weight.isdecimal() or not 1 <= int(weight) < 2**32:
        raise WrongUsage(f"--share {text[:80]!r} is no ACCOUNT=WEIGHT with a whole weight from 1 on")
    return {"account": common.account(account), "weight": int(weight)}
