"""`job submit`: check what a contractor typed, upload the image, post the job."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console

from client.cli.common import HERE, Common, WrongUsage, amount, facts, seconds, span
from client.cli.ledger import MAX_WAIT, Wait, finished
from client.contracts.job.cli.jobs import Bar

if TYPE_CHECKING:
    from client.contracts.job.schema import JobPosted
    from client.sdk import Client
    from client.sdk_types import Json

MAX_PARAMS_FILE = 65_536


def submit(
    *,
    bounty: Annotated[str, Parameter(help="Credits for the winner.")],
    expires: Annotated[str, Parameter(help="When claims end, from now: 60s, 10m, 2h, 1d.", allow_leading_hyphen=True)],
    image_archive: Annotated[Path | None, Parameter(help="A docker-archive (docker save); it is uploaded and served.")] = None,
    image: Annotated[str | None, Parameter(help="An image in a registry, pinned: name@sha256:...")] = None,
    params: Annotated[str | None, Parameter(help="JSON object for the container, or @FILE.")] = None,
    fee: Annotated[
        str | None, Parameter(help="Credits for each verifier's judged vote. Default: a thousandth of the bounty.")
    ] = None,
    finalists: Annotated[int | None, Parameter(help="How many of the best must show their model, 1 to 8. Default: 3.")] = None,
    tol: Annotated[
        str | None, Parameter(help="By how much a verifier's loss may be above the claim. Default: rounding errors.")
    ] = None,
    floor: Annotated[str | None, Parameter(help="Lowest loss that can be true; claims below are refused. Default: 0.")] = None,
    float_kind: Annotated[Literal["f32", "f64"] | None, Parameter(help="What losses are computed in. Default: f32.")] = None,
    on_cheat: Annotated[
        Literal["refund", "next-best"] | None,
        Parameter(help="After a false claim: bounty back, or on to the next best. Default: refund."),
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
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Post a job with a bounty. Bounty and verifiers' fees are locked until the job has ended."""
    terms: Json = {}
    given = {"fee": fee, "finalists": finalists, "tol": tol, "floor": floor, "float_kind": float_kind, "on_cheat": on_cheat}
    terms.update({k: v for k, v in given.items() if v is not None})
    if params is not None:
        terms["params"] = read_params(params)
    limits = read_limits(cpus, mem_mb, tmp_mb, train_time, eval_time, model_mb, threads)
    if limits:
        terms["limits"] = limits
    open_s = seconds(expires, "--expires")
    check_terms(amount(bounty, "--bounty"), open_s, terms)
    wait = min(wait, MAX_WAIT)
    posted = common.ask(lambda node: _post(node, common, image_archive, image, partial(_request, bounty, open_s, terms), wait))

    def people(console: Console) -> None:
        rows: list[tuple[str, Any]] = [("job", posted.get("job")), ("bounty", bounty), ("expires in", span(open_s))]
        rows += [("transaction", posted.get("tx")), ("block", posted.get("height"))]
        console.print(facts("Job posted", rows))

    common.out.show(posted, people)
    common.out.note(f"Follow it: learningchain job watch {str(posted.get('job'))[:12]}{common.again}")
    if image is not None:
        common.out.note("Workers fetch the image from its registry themselves: without access to it they cannot work.")
    return finished(common, posted, wait)


async def _post(
    node: Client, common: Common, archive: Path | None, image: str | None, of: Callable[[Json], Json], wait: float
) -> JobPosted:
    """Nothing is uploaded before what can be known here is right."""
    if (archive is None) == (image is None):
        raise WrongUsage("A job needs one image: --image-archive FILE.tar (from docker save), or --image name@sha256:...")
    if image is not None:
        return await node.submit_job(of(registry_image(image)), wait=wait)
    if archive is None:
        raise WrongUsage("--image-archive names no file")
    await node.status()  # an unreachable node is told before the long scan
    image_id = await asyncio.to_thread(scan, archive)
    with Bar(common.out, archive.name) as on_progress:
        stored = await node.upload(archive, on_progress)
    sent = {"cid": stored["cid"], "image_id": image_id, "size": stored["size"]}
    return await node.submit_job(of(sent), wait=wait)


def _request(bounty: str, open_s: float, terms: Json, image: Json) -> Json:
    """A `JobRequest` with what was typed alone: the rest is the node's to choose."""
    return {"image": image, "bounty": bounty, "expires_in_s": open_s, **terms}


# --- checks --------------------------------------------------------------------------------------------------------------------


def scan(archive: Path) -> str:
    """The image id of an archive that workers will accept. Raises `WrongUsage` naming what they would refuse."""
    from sandbox.archive import scan_archive
    from sandbox.errors import BadImage
    from sandbox.spec import ImageLimits

    if archive.is_dir():
        raise WrongUsage(f"{archive} is a folder, not an image archive. Make one with: docker save IMAGE -o job.tar")
    if not archive.is_file():
        raise WrongUsage(f"There is no image archive {archive}. Make it with: docker save IMAGE -o {archive.name}")
    try:
        return scan_archive(archive, ImageLimits()).image_id
    except BadImage as e:
        raise WrongUsage(
            f"No worker would run {archive}: {e}. Archives are made with: docker save IMAGE -o {archive.name}"
        ) from None


def registry_image(text: str) -> Json:
    """Raises `WrongUsage` unless the image is pinned by digest."""
    from chain.host.terms import is_reference

    if re.search(r"@sha256:[0-9a-f]{64}$", text, re.ASCII) and not is_reference(text):
        raise WrongUsage(
            f"{text[:200]!r} names no image: before the @ stand a-z, 0-9 and . _ : / -, with a letter or digit first and last"
        )
    if not is_reference(text):
        raise WrongUsage(
            f"{text[:200]!r} is not pinned: a tag can change under the workers. Write name@sha256:<64 hex digits>; "
            "docker inspect shows it as RepoDigests"
        )
    return {"reference": text}


def read_params(text: str) -> dict[str, Any]:
    """A JSON object from the command line or, after @, from a file. Raises `WrongUsage`."""
    from chain.contracts.job.messages import MAX_PARAMS_BYTES

    if text.startswith("@"):
        try:
            with Path(text[1:]).open("rb") as f:
                text = f.read(MAX_PARAMS_FILE + 1).decode()
        except (OSError, UnicodeDecodeError) as e:
            raise WrongUsage(f"--params: the file {text[1:]} cannot be read: {e}") from None
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as e:
        raise WrongUsage(f"--params is no JSON: {e}. Example: --params '{{\"epochs\": 5}}'") from None
    if not isinstance(value, dict):
        raise WrongUsage('--params is a JSON object, such as {"epochs": 5}')
    if len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")) > MAX_PARAMS_BYTES:
        raise WrongUsage(f"--params has more than {MAX_PARAMS_BYTES} bytes: settings go there, data goes into the image")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


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
    from chain.host.terms import LIMITS

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


def check_terms(bounty: str, open_s: float, terms: Json) -> None:
    """Mistakes that need no node to be seen. Raises `WrongUsage`; what the ledger says counts."""
    from chain.contracts.job.rules import MAX_FINALISTS
    from chain.types import parse_credits, parse_loss

    if open_s <= 0:
        raise WrongUsage("--expires lies not in the future. Give workers time to train, such as 10m")
    if not 1 <= terms.get("finalists", 1) <= MAX_FINALISTS:
        raise WrongUsage(f"--finalists is 1 to {MAX_FINALISTS}")
    if (train := terms.get("limits", {}).get("train_s")) and train > open_s:
        raise WrongUsage(f"--train-time {span(train)} is longer than the job is open ({span(open_s)}): nobody could claim")
    for name, parse in (("fee", parse_credits), ("tol", parse_loss), ("floor", parse_loss)):
        value = terms.get(name)
        try:
            if isinstance(value, str) and parse(value) < 0 and name == "tol":
                raise ValueError("a tolerance is not negative")
        except ValueError as e:
            raise WrongUsage(f"--{name} cannot be {value!r}: {e}") from None
