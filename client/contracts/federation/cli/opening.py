"""`fed open`: check what a sponsor typed, say what it costs, upload image, model and schema, open the federation."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from learningchain.client.cli.app import OK, REFUSED, USAGE
from learningchain.client.cli.common import HERE, Common, WrongUsage, amount, facts, read_params, seconds, size_text, span
from learningchain.client.cli.images import ImageMb, registry_image
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.contracts.federation.offer import (
    check_hidden,
    check_noise,
    check_schema,
    content_name,
    encrypted,
    initial_model,
    said_of_rules,
    said_of_secrecy,
    taken,
    too_few,
)
from learningchain.client.keys.names import checked

if TYPE_CHECKING:
    from learningchain.client.contracts.federation.http.schema import FederationPosted, FederationQuote
    from learningchain.client.sdk.client import Client
    from learningchain.client.sdk.types import Json


def open_(
    *,
    model: Annotated[Path, Parameter(help="The model to begin from: a safetensors file of F32 values; it is uploaded.")],
    bounty: Annotated[str, Parameter(help="Credits for the members, paid as the measured loss falls towards the target.")],
    target: Annotated[str, Parameter(help="The loss at which all of the bounty is paid.", allow_leading_hyphen=True)],
    rounds: Annotated[int, Parameter(help="Most rounds, up to 1000.")],
    ends: Annotated[str, Parameter(help="When it ends at the latest, from now: 12h, 7d.")],
    name: Annotated[str | None, Parameter(help="A name of your own, shown beside its id on this machine alone.")] = None,
    image_archive: Annotated[Path | None, Parameter(help="A docker-archive (docker save); it is uploaded and served.")] = None,
    image: Annotated[str | None, Parameter(help="An image in a registry, pinned: name@sha256:...")] = None,
    image_mb: ImageMb = None,
    round_time: Annotated[str, Parameter(help="How long members may train in a round: 60s, 10m, 2h.")] = "10m",
    pace: Annotated[str, Parameter(help="How long you may rest between two rounds before it ends.")] = "1d",
    params: Annotated[str | None, Parameter(help="JSON object for the container, or @FILE.")] = None,
    fee: Annotated[
        str | None, Parameter(help="Credits for an aggregator's attempt and a seat's measurement. Default: the least.")
    ] = None,
    schema: Annotated[Path | None, Parameter(help="What members' tables have to look like: a JSON file of at most 64 KiB.")] = None,
    admit: Annotated[
        Literal["approve", "open"], Parameter(help="Whether you admit each member, or everybody may join.")
    ] = "approve",
    secrecy: Annotated[
        Literal["sum", "open"] | None,
        Parameter(
            help="sum: only sums of members can be read. open: aggregators read each update. Default: sum; with a model of fewer "
            "than 1,024 values where it has --reference and three nodes serve such federations, else open."
        ),
    ] = None,
    rule: Annotated[
        Literal["mean", "krum", "trimmed", "median"], Parameter(help="How updates become one; the last two with --secrecy open.")
    ] = "mean",
    split: Annotated[
        Literal["equal", "samples", "aligned", "half"] | None,
        Parameter(
            help="How pay is split in a round. aligned needs --reference; half is of small models: half by what each cell reached. "
            "Default: equal, or aligned with a reference; of a small model equal, from twelve --min-members on half."
        ),
    ] = None,
    reference: Annotated[
        str | None, Parameter(help="Own data of this node: an update on them says the direction in each round.")
    ] = None,
    hidden: Annotated[
        Path | None, Parameter(help="Test data that nobody but the panel reads: a file, encrypted here; your node keeps the key.")
    ] = None,
    manual: Annotated[
        bool, Parameter(negative="", show_default=False, help="Start each round yourself. Default: your node does.")
    ] = False,
    min_members: Annotated[int, Parameter(help="Members that a round needs, 2 or more.")] = 3,
    max_members: Annotated[int, Parameter(help="Most members at a time, up to 128.")] = 20,
    min_sum: Annotated[int | None, Parameter(help="Members in any sum at least. Default: 3, or as many as a round needs.")] = None,
    unvetted: Annotated[
        bool, Parameter(negative="", show_default=False, help="Members without the verifier flag count towards a sum, too.")
    ] = False,
    clip: Annotated[str, Parameter(help="The first bound of an update's norm; it follows the members' from then on.")] = "1",
    patience: Annotated[int, Parameter(help="Rounds without progress after which the best model is trained on again, 1 to 5.")] = 3,
    dp: Annotated[float, Parameter(help="Noise on every sum, in parts of the clip; 0: none.")] = 0.0,
    tol: Annotated[str, Parameter(help="By how much a measured loss may differ between machines.")] = "0.000001",
    float_kind: Annotated[Literal["f32", "f64"], Parameter(help="What losses are computed in.")] = "f32",
    outside: Annotated[
        bool, Parameter(negative="", show_default=False, help="No member ever sits on the measuring panel.")
    ] = False,
    cpus: Annotated[float, Parameter(help="Processors for one run.")] = 1.0,
    mem_mb: Annotated[int, Parameter(help="Memory for one run, MiB.")] = 1_024,
    tmp_mb: Annotated[int, Parameter(help="Scratch space in /tmp, MiB of that memory.")] = 64,
    train_time: Annotated[str, Parameter(help="Longest local training.")] = "10m",
    eval_time: Annotated[str, Parameter(help="Longest evaluation.")] = "60s",
    threads: Annotated[int | None, Parameter(help="Threads for one run. Default: as many as processors.")] = None,
    arch: Annotated[
        Literal["amd64", "arm64"] | None, Parameter(help="Of a registry's image. Default: amd64; an archive says it itself.")
    ] = None,
    dry_run: Annotated[
        bool, Parameter(negative="", show_default=False, help="Only say what it would lock and who could serve it.")
    ] = False,
    force: Annotated[
        bool, Parameter(negative="", show_default=False, help="Open it although nobody serves it yet, or noise drowns it.")
    ] = False,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Open a federation. Bounty and fees are locked; what is not earned comes back when it ends. See what it takes: --dry-run."""
    if (image_archive is None) == (image is None):
        raise WrongUsage("A federation needs one image: --image-archive FILE.tar (from docker save), or --image name@sha256:...")
    if (arch, image_mb) != (None, None) and image is None:
        raise WrongUsage("--arch and --image-mb are for an image in a registry: an archive says both itself")
    body: Json = {"bounty": amount(bounty, "--bounty"), "target": target, "rounds": rounds, "ends_in_s": seconds(ends, "--ends")}
    body |= {"round_s": seconds(round_time, "--round-time"), "pace_s": seconds(pace, "--pace")}
    body |= {"admit": admit, "rule": rule, "reference": reference is not None, "vetted": not unvetted}
    body |= {"min_members": min_members, "max_members": max_members, "clip": clip, "patience": patience}
    body |= {"tol": tol, "float_kind": float_kind, "outside": outside, "dp_milli": round(dp * 1_000)}
    chosen = {"fee": fee, "split": split, "secrecy": secrecy, "min_sum": min_sum}
    body |= {name: value for name, value in chosen.items() if value is not None}
    limits: Json = {"cpus": cpus, "mem_mb": mem_mb, "tmp_mb": tmp_mb}
    limits |= {"train_s": round(seconds(train_time, "--train-time")), "eval_s": round(seconds(eval_time, "--eval-time"))}
    body["limits"] = limits | ({"threads": threads} if threads is not None else {})
    if params is not None:
        body["params"] = read_params(params)
    begin = initial_model(model)
    check_noise(dp, begin["dims"], min_members, force)
    if schema is not None:
        check_schema(schema)
    if hidden is not None:
        check_hidden(hidden)
    own_name = None if name is None else checked(name)
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> tuple[FederationQuote, FederationPosted | None]:
        await node.status()  # an unreachable node is told before the long scan
        named: Json = {} if arch is None else {"arch": arch}
        if image is not None:
            named |= {"image": registry_image(image, image_mb, "members")}
        elif image_archive is not None:
            named = await asyncio.to_thread(archived_image, image_archive)
        sent = body | named | {"model": begin | {"cid": content_name(model)}}
        if schema is not None:
            sent["schema"] = content_name(schema)
        duties: Json = {"auto": not manual} | ({"reference": reference} if reference is not None else {})
        sealed: Path | None = None
        if hidden is not None:
            sealed = Path(scratch) / "sealed"
            sent["hidden"], duties["hidden_key"] = await asyncio.to_thread(encrypted, hidden, sealed)
        sent["look_after"] = duties
        quote = await node.quote_federation(sent)
        for text in said_of_rules(begin["dims"], quote, min_members, reference=reference is not None, krum=rule == "krum"):
            common.out.note(f"Before you open it: {text}.")
        if said := said_of_secrecy(begin["dims"], secrecy, quote, hidden, "--secrecy open"):
            common.out.note(said)
        if dry_run:
            return quote, None
        _require(quote, force=force)
        for path in (image_archive, model, schema, sealed):
            if path is not None:
                common.out.note(f"Uploading {path.name}, {size_text(path.stat().st_size)}.")
                await node.upload(path)
        common.goes_on("The federation may be open already, and stays so then", "fed list --mine")
        return quote, await node.open_federation(sent, wait=wait)

    with tempfile.TemporaryDirectory(prefix="learningchain-") as scratch:
        quote, posted = common.ask(send)
    if posted is None:
        common.out.show(quote, lambda console: show_quote(console, quote))
        return REFUSED if quote["refusal"] is not None else USAGE if too_few(quote) else OK
    if own_name is not None:
        common.label(posted["federation"], own_name)
    _tell(common, quote, posted, manual=manual)
    return finished(common, posted, wait)


def _require(quote: FederationQuote, *, force: bool) -> None:
    """Raises `RejectedError` where the ledger would, `WrongUsage` where nobody could serve it."""
    taken(quote)
    if (why := too_few(quote)) and not force:
        raise WrongUsage(f"{why}. Open it all the same with --force, and start it once there are more")


def show_quote(console: Console, quote: FederationQuote) -> None:
    rows: list[tuple[str, Any]] = [
        ("bounty", quote["bounty"]),
        ("fees at most", f"{quote['fees']} ({quote['fee']} for each attempt of an aggregator and each measurement of a seat)"),
        ("burns", f"{quote['price']}, for what the ledger keeps of it"),
        ("free", quote["free"]),
        ("could measure", quote["panel"]),
        ("could aggregate", quote["aggregators"]),
    ]
    refusal = quote["refusal"]
    console.print(facts("What it would take", [*rows, *([("refused", refusal["message"])] if refusal else [])]))
    if why := too_few(quote):
        console.print(f"{why}.")


def _tell(common: Common, quote: FederationQuote, posted: FederationPosted, *, manual: bool) -> None:
    def people(console: Console) -> None:
        rows: list[tuple[str, Any]] = [
            ("federation", posted["federation"]),
            ("bounty", quote["bounty"]),
            ("fees", quote["fees"]),
        ]
        after = f"a round that runs then may take {span((quote['latest_end'] - posted['ends']) / 1000)} more"
        console.print(facts("Federation opened", [*rows, ("its end", after), ("transaction", posted["tx"])]))

    common.out.show(posted, people)
    word = posted["federation"][:12]
    if manual:
        common.out.note(f"Measure the initial model: learningchain fed start {word}{common.again}; then one start for each round.")
    else:
        common.out.note(f"Keep this node running: it starts the rounds. Follow it: learningchain fed watch {word}{common.again}")


# --- checks ---------------------------------------------------------------------------------------------------------------------


def archived_image(archive: Path) -> Json:
    """What an opening says of an archive. Raises `WrongUsage` naming what members would refuse."""
    from learningchain.sandbox import BadImage, ImageLimits
    from learningchain.sandbox.archive import scan_archive

    if not archive.is_file():
        raise WrongUsage(f"--image-archive: there is no file {archive}")
    try:
        found = scan_archive(archive, ImageLimits(archive_bytes=max(ImageLimits().archive_bytes, archive.stat().st_size)))
    except BadImage as problem:
        raise WrongUsage(f"Nobody would run {archive}: {problem}. {problem.remedy}") from None
    named = {"cid": content_name(archive), "image_id": found.image_id, "size": archive.stat().st_size}
    return {"image": named, "arch": found.config.architecture}
