"""`job submit`: check what a poster typed, say what it costs, upload image and sealed data, post the job."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from learningchain.client.cli.app import OK, REFUSED
from learningchain.client.cli.bars import Bar
from learningchain.client.cli.common import HERE, Common, WrongUsage, agree, amount, facts, listing, read_params, seconds, span
from learningchain.client.cli.images import ImageMb, registry_image
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.contracts.job.cli.build import archive_name, build_image
from learningchain.client.contracts.job.cli.cost import judges_text, priced, show_quote, small_committee
from learningchain.client.contracts.job.cli.hidden import hand_over
from learningchain.client.contracts.job.cli.jobs import devices_text
from learningchain.client.contracts.job.sealing import Sealed, encrypted, noted, readable
from learningchain.client.keys.names import NamesError, checked

if TYPE_CHECKING:
    from learningchain.client.contracts.job.http.schema import JobPosted, JobQuote
    from learningchain.client.sdk.client import Client
    from learningchain.client.sdk.types import Json
    from learningchain.sandbox.archive import ScannedImage

_LIMITS = ("cpus", "mem_mb", "tmp_mb", "train_time", "eval_time", "model_mb", "threads")
"""As `read_limits` takes them."""


def submit(
    folder: Annotated[
        Path | None,
        Parameter(name="DIR", help="A job's folder or module: its image is built (job build), uploaded, served."),
    ] = None,
    /,
    *,
    bounty: Annotated[str | None, Parameter(help="Credits for the winner.")] = None,
    expires: Annotated[
        str | None, Parameter(help="When claims end, from now: 60s, 10m, 2h, 1d.", allow_leading_hyphen=True)
    ] = None,
    name: Annotated[str | None, Parameter(help="A name of your own, shown beside the job's id on this machine alone.")] = None,
    image_archive: Annotated[
        Path | None,
        Parameter(
            help="A docker-archive (job build, docker save); it is uploaded and served. With DIR, that says the terms alone."
        ),
    ] = None,
    image: Annotated[str | None, Parameter(help="An image in a registry, pinned: name@sha256:...")] = None,
    image_mb: ImageMb = None,
    params: Annotated[str | None, Parameter(help="JSON object for the container, or @FILE.")] = None,
    fee: Annotated[
        str | None,
        Parameter(
            help="Credits for each verifier's judged vote. Default: a thousandth of the bounty, or the least that is allowed."
        ),
    ] = None,
    finalists: Annotated[int | None, Parameter(help="How many of the best are judged at most, 2 to 8. Default: 4.")] = None,
    tol: Annotated[
        str | None, Parameter(help="By how much a verifier's loss may be above the claim. Default: rounding errors.")
    ] = None,
    floor: Annotated[str | None, Parameter(help="Lowest loss that can be true; claims below are refused. Default: 0.")] = None,
    float_kind: Annotated[Literal["f32", "f64"] | None, Parameter(help="What losses are computed in. Default: f32.")] = None,
    on_cheat: Annotated[
        Literal["refund", "next-best"] | None,
        Parameter(help="After a false claim with a full stake: bounty back, or on to the next best. Default: next-best."),
    ] = None,
    cpus: Annotated[float | None, Parameter(help="Processors for one run. Default: 1.")] = None,
    mem_mb: Annotated[int | None, Parameter(help="Memory for one run, MiB. Default: 1024.")] = None,
    tmp_mb: Annotated[int | None, Parameter(help="Scratch space in /tmp, MiB of that memory. Default: 64.")] = None,
    train_time: Annotated[
        str | None, Parameter(help="Longest training run: 60s, 10m, 2h. Default: half the time the job is open, at most 1h.")
    ] = None,
    eval_time: Annotated[str | None, Parameter(help="Longest evaluation: 60s, 10m. Default: 60s.")] = None,
    model_mb: Annotated[float | None, Parameter(help="Largest model, MiB. Default: 64.")] = None,
    threads: Annotated[int | None, Parameter(help="Threads for one run. Default: as many as processors.")] = None,
    hidden: Annotated[
        Path | None,
        Parameter(help="Evaluation data that nobody can read before all models are shown: a file, or a note of hidden seal."),
    ] = None,
    sets: Annotated[
        list[str] | None,
        Parameter(
            name="--set",
            negative="",
            help="A published set: NAME=CID, which the program finds in /lc/in/sets/NAME; :train or :evaluate behind it for one of "
            "them alone. May be repeated.",
        ),
    ] = None,
    begin_with: Annotated[
        str | None,
        Parameter(name="--from", help="A paid job whose model trainings find in /lc/in/model; claims must be better than it is."),
    ] = None,
    gpus: Annotated[
        int | None, Parameter(help="GPUs that a training is given, 1 to 8. Evaluations run without. Default: none.")
    ] = None,
    gpu_mem_mb: Annotated[int | None, Parameter(help="Memory that each of them has at least, MiB. Default: any.")] = None,
    gpu_kind: Annotated[Literal["cuda", "rocm"] | None, Parameter(help="What the program computes with. Default: cuda.")] = None,
    arch: Annotated[
        Literal["amd64", "arm64"] | None,
        Parameter(help="The processor that a registry's image is built for. Default: amd64; an archive says it itself."),
    ] = None,
    dry_run: Annotated[
        bool, Parameter(negative="", show_default=False, help="Only say what it would cost and who could judge.")
    ] = False,
    yes: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Do not ask, also where fewer than seven verifiers can judge it."),
    ] = False,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Post a job with a bounty. Bounty, verifiers' fees and a bond are locked until it has ended: --dry-run shows each line.

    What DIR/job.toml says under [post] need not be typed, and words on the command line go before it.
    """

    from learningchain.client.contracts.job.terms import FILE, combined, data_of, devices_of, earlier_of, read_set
    from learningchain.client.sdk.images import smallest

    words: Json = {
        "name": name,
        "bounty": bounty,
        "expires": expires,
        "fee": fee,
        "finalists": finalists,
        "tol": tol,
        "floor": floor,
    }
    words |= {"float_kind": float_kind, "on_cheat": on_cheat, "cpus": cpus, "mem_mb": mem_mb, "tmp_mb": tmp_mb, "hidden": hidden}
    words |= {"train_time": train_time, "eval_time": eval_time, "model_mb": model_mb, "threads": threads, "sets": sets}
    words |= {"begin_with": begin_with, "gpus": gpus, "gpu_mem_mb": gpu_mem_mb, "gpu_kind": gpu_kind}
    said, source = combined(folder, words | {"params": params})
    for needed in ("bounty", "expires"):
        if needed not in said:
            where = "" if folder is None else f", or under [post] in {folder / FILE}"
            raise WrongUsage(f"A job needs --{needed}{where}. See what it would cost: --dry-run")
    if "name" in said:
        said["name"] = checked(said["name"])
    names = ("fee", "finalists", "tol", "floor", "float_kind", "on_cheat", "params")
    terms: Json = {name: said[name] for name in names if name in said}
    if isinstance(terms.get("params"), str):
        terms["params"] = read_params(terms["params"])
    limits = read_limits(*(said.get(name) for name in _LIMITS))
    if limits:
        terms["limits"] = limits
    terms |= devices_of(said)
    bounty, open_s = str(said["bounty"]), seconds(said["expires"], "--expires")
    check_terms(amount(bounty, "--bounty"), open_s, terms)
    if limits.get("train_s") and (long := long_training(limits["train_s"])):
        common.out.note(long)
    if (folder is not None or image_archive is not None) + (image is not None) != 1:
        raise WrongUsage(
            "A job needs one image: a folder DIR to build it from, --image-archive FILE.tar (from job build or docker save), "
            "or --image name@sha256:..."
        )
    if (arch, image_mb) != (None, None) and image is None:
        raise WrongUsage("--arch and --image-mb are for an image in a registry: an archive says both itself")
    hidden = said.get("hidden")
    if hidden is not None:
        readable(hidden)
    named_sets = [read_set(one) for one in said.get("sets", ())]
    wait = min(wait, MAX_WAIT)

    built = folder if image_archive is None else None
    with tempfile.TemporaryDirectory(prefix="learningchain-") as scratch:
        archive = image_archive if built is None else Path(scratch) / archive_name(built)
        earlier = Path(scratch) / "earlier-model" if "begin_with" in said else None

        async def request(node: Client) -> Json:
            await node.status()  # an unreachable node is told before the long build or scan
            begun = {}
            if earlier is not None:
                with Bar(common.out, "model") as on_progress:
                    begun = await earlier_of(node, said["begin_with"], earlier, on_progress)
            body = {"bounty": bounty, "expires_in_s": open_s, **terms, **await data_of(node, named_sets), **begun}
            if image is not None:
                named: Json = {"image": registry_image(image, image_mb, "workers")} | ({"arch": arch} if arch is not None else {})
            else:
                if built is not None and (told := await node.quote_job(body | smallest()))["refusal"] is not None:
                    raise RefusedUnbuilt(told)
                named = await asyncio.to_thread(archived_image, archive, built)
            return body | named

        quote, posted = offer(common, request, (archive, earlier), hidden, dry_run=dry_run, yes=yes, wait=wait)
    if posted is None and built is not None and quote["refusal"] is None:
        common.out.note(
            f"To build the image once and not with each of these commands: learningchain job build {built}, then "
            f"learningchain job submit {built} --image-archive {archive_name(built)}"
        )
    if posted is None and FILE in source.values():
        sources = [(name, said[name], source[name] or "the command line") for name in said]
        return report(common, quote, None, bounty, open_s, yes=yes, wait=wait, terms=sources)
    if posted is not None and (own_name := said.get("name") or file_name(image_archive)):
        common.label(str(posted["job"]), own_name)
    if posted is not None and image is not None:
        common.out.note("Workers fetch it from its registry themselves, --image-mb at most: without access they cannot work.")
    return report(common, quote, posted, bounty, open_s, yes=yes, wait=wait)


class RefusedUnbuilt(Exception):
    """A posting would be refused whatever its image is, as `quote` says, so that none was built."""

    def __init__(self, quote: JobQuote) -> None:
        super().__init__()
        self.quote = quote


def file_name(archive: Path | None) -> str:
    """What a job is called whose poster gives it no name: as its archive is; nothing where that can be no name."""
    try:
        return checked(archive.stem) if archive is not None else ""
    except NamesError:
        return ""


def offer(
    common: Common,
    request: Callable[[Client], Awaitable[Json]],
    uploads: Sequence[Path | None],
    hidden: Path | None,
    *,
    dry_run: bool,
    yes: bool,
    wait: float,
) -> tuple[JobQuote, JobPosted | None]:
    """The price of what `request` makes, and unless that is all that was asked for, the posting. Nothing is uploaded before what
    can be known is right, and the person at the terminal agreed to a small committee."""
    from learningchain.client.contracts.job.terms import taken

    with tempfile.TemporaryDirectory(prefix="learningchain-") as scratch:

        async def price(node: Client) -> tuple[Json, Sealed | None, JobQuote]:
            body, sealed = await request(node), None
            if hidden is not None and (known := noted(hidden)) is not None:
                body["hidden"] = known
            elif hidden is not None:
                sealed = await asyncio.to_thread(encrypted, hidden, Path(scratch))
                body["hidden"] = sealed.posted
            return body, sealed, await node.quote_job(body)

        try:
            body, sealed, quote = common.ask(price)
        except RefusedUnbuilt as told:
            common.out.note("The image was not built: with the smallest one that there can be it would be refused, too.")
            body, sealed, quote = {}, None, told.quote
        if (devices := body.get("devices")) is not None:
            common.out.note(f"Workers that do not offer {devices_text(devices)} leave the job alone; evaluations need none.")
        if dry_run:
            return quote, None
        taken(quote)
        if (risk := small_committee(quote)) and not yes:
            agree(common, f"{risk}.", "Post it so?", "Nothing was sent")

        async def post(node: Client) -> JobPosted:
            for path in filter(None, uploads):
                with Bar(common.out, path.name) as on_progress:
                    await node.upload(path, on_progress)
            if sealed is not None:
                await hand_over(node, common, sealed)
            common.goes_on("The job may be posted already, and stays so then", "job list")
            return await node.submit_job(body, wait=wait)

        return quote, common.ask(post)


def report(
    common: Common,
    quote: JobQuote,
    posted: JobPosted | None,
    bounty: str,
    open_s: float,
    *,
    yes: bool,
    wait: float,
    terms: Sequence[tuple[str, Any, str]] = (),
) -> int:
    """What came of an offer. A price has the exit code that the same words without --dry-run have. `terms`: each with its value and
    where that comes from, where a file has some."""
    if posted is None:
        more = {"terms": [{"name": name, "value": value, "from": where} for name, value, where in terms]} if terms else {}

        def priced_terms(console: Console) -> None:
            if terms:
                console.print(listing(["term", "value", "from"], [[name, _said(value), where] for name, value, where in terms]))
                console.print()
            show_quote(console, quote)

        common.out.show(dict(quote) | more, priced_terms)
        common.out.note(priced(quote, yes))
        return REFUSED if quote["refusal"] is not None else OK
    found = posted

    def people(console: Console) -> None:
        rows: list[tuple[str, Any]] = [("job", found.get("job")), ("bounty", bounty), ("locked", quote["total"])]
        rows += [("expires in", span(open_s)), ("can judge", judges_text(quote))]
        rows += [("transaction", found.get("tx")), ("block", found.get("height"))]
        console.print(facts("Job posted", rows))

    common.out.show(found, people)
    common.out.note(f"Follow it: learningchain job watch {str(found.get('job'))[:12]}{common.again}")
    return finished(common, found, wait)


def _said(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else json.dumps(value) if isinstance(value, dict) else str(value)


# --- checks --------------------------------------------------------------------------------------------------------------------


def archived_image(archive: Path | None, folder: Path | None = None) -> Json:
    """What a posting says of an archive: its name in the content store, the image in it, its processor. Where it is to be built of
    a folder, it is. Raises `WrongUsage`."""
    from learningchain.client.sdk.images import described

    if archive is None:
        raise WrongUsage("--image-archive names no file")
    if folder is not None:
        build_image(folder, archive)
    return described(archive, scanned(archive))


def scanned(archive: Path) -> ScannedImage:
    """An archive that workers would accept. Raises `WrongUsage` naming what they would refuse."""
    from learningchain.sandbox import BadImage, ImageLimits
    from learningchain.sandbox.archive import scan_archive

    if not archive.is_file():
        what = "is a folder" if archive.is_dir() else "is not there"
        raise WrongUsage(
            f"{archive} {what}. An image archive is made with: learningchain job build DIR, or docker save IMAGE -o job.tar"
        )
    try:
        return scan_archive(archive, ImageLimits(archive_bytes=max(ImageLimits().archive_bytes, os.path.getsize(archive))))
    except BadImage as problem:
        raise WrongUsage(f"No worker would run {archive}: {problem}. {problem.remedy}") from None


def read_limits(
    cpus: float | None,
    mem_mb: int | None,
    tmp_mb: int | None,
    train_time: str | None,
    eval_time: str | None,
    model_mb: float | None,
    threads: int | None,
) -> Json:
    """The limits that were given, within what any machine offers. Raises `WrongUsage`."""
    from learningchain.chain.host.terms import LIMITS

    found: dict[str, Any] = {"cpus": cpus, "mem_mb": mem_mb, "tmp_mb": tmp_mb, "threads": threads}
    found["train_s"] = None if train_time is None else round(seconds(train_time, "--train-time"))
    found["eval_s"] = None if eval_time is None else round(seconds(eval_time, "--eval-time"))
    found["model_cap"] = None if model_mb is None else round(model_mb * 2**20)
    options = {"train_s": "--train-time", "eval_s": "--eval-time", "model_cap": "--model-mb"}
    limits: Json = {}
    for name, value in found.items():
        if value is None:
            continue
        low, high = LIMITS["cpus_milli" if name == "cpus" else name]
        if not low <= (value * 1000 if name == "cpus" else value) <= high:
            option = options.get(name, "--" + name.replace("_", "-"))
            unit = {"cpus": 1000, "model_cap": 2**20}.get(name, 1)
            raise WrongUsage(f"{option} must lie between {low / unit:.10g} and {high / unit:.10g}")
        limits[name] = value
    return limits


def long_training(train_s: int) -> str:
    """What a training risks that is longer than nodes take on unless their owners say so. Empty where it is not."""
    from learningchain.client.config import LONGEST_RUN_S

    if train_s <= LONGEST_RUN_S:
        return ""
    usual = f"A training of {span(train_s)} is longer than nodes take on by themselves ({span(LONGEST_RUN_S)})"
    return f"{usual}: only those whose owners raised work.max_run_s train for this job."


def check_terms(bounty: str, open_s: float, terms: Json) -> None:
    """Mistakes that need no node to be seen. Raises `WrongUsage`; what the ledger says counts."""
    from learningchain.chain.contracts.job.messages import MAX_FINALISTS, MIN_FINALISTS
    from learningchain.chain.types import parse_credits, parse_loss

    if open_s <= 0:
        raise WrongUsage("--expires lies not in the future. Give workers time to train, such as 10m")
    if not MIN_FINALISTS <= terms.get("finalists", MIN_FINALISTS) <= MAX_FINALISTS:
        raise WrongUsage(f"--finalists is {MIN_FINALISTS} to {MAX_FINALISTS}")
    if (train := terms.get("limits", {}).get("train_s")) and train > open_s:
        raise WrongUsage(f"--train-time {span(train)} is longer than the job is open ({span(open_s)}): nobody could claim")
    for name, parse in (("fee", parse_credits), ("tol", parse_loss), ("floor", parse_loss)):
        value = terms.get(name)
        try:
            if isinstance(value, str) and parse(value) < 0 and name == "tol":
                raise ValueError("a tolerance is not negative")
        except ValueError as e:
            raise WrongUsage(f"--{name} cannot be {value!r}: {e}") from None
