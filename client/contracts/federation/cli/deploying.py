"""`fed deploy`: the best model of a federation becomes one that can be asked."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from learningchain.chain.types import parse_credits
from learningchain.client.cli.common import HERE, Common, WrongUsage, facts, listing, seconds
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.contracts.federation.cli.reading import FedText
from learningchain.client.contracts.federation.http.offers import why_not_offered
from learningchain.client.contracts.federation.references import find_federation
from learningchain.client.sdk.types import UsageError

if TYPE_CHECKING:
    from learningchain.client.contracts.federation.http.schema import FederationDeployed, FederationView
    from learningchain.client.sdk.client import Client
    from learningchain.client.sdk.types import Json


def deploy(
    federation: FedText,
    /,
    *,
    name: Annotated[str, Parameter(help="What you call the model: a-z, 0-9 and . _ -")],
    kind: Annotated[Literal["class", "number"], Parameter(help="Whether it answers with a class and its score, or with a number.")],
    classes: Annotated[int | None, Parameter(help="How many classes there are.")] = None,
    price: Annotated[str, Parameter(help="The royalty for a row, in credits, which its owners share.")] = "0",
    floor: Annotated[str, Parameter(help="Least tip of a row and answer, in credits.")] = "0.00001",
    tol: Annotated[str, Parameter(help="By how much the same score may differ between machines.")] = "0.000001",
    schema: Annotated[Path | None, Parameter(help="What a row looks like: a JSON file of at most 64 KiB.")] = None,
    label: Annotated[
        str | None,
        Parameter(help="Instead: the answer's column in the schema posted for members' tables; a row is all the others, in order."),
    ] = None,
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
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Offer the best model of a federation that has ended to everybody who asks, against a deposit. Its image needs the phase
    predict. The royalty is shared among the owners by what the federation paid them."""
    if (kind == "class") != (classes is not None):
        raise WrongUsage("--classes is for --kind class, and needed there: how many there are")
    body: Json = {"name": name, "kind": kind, "price": price, "floor": floor, "tol": tol, "max_rows": max_rows, "slots": slots}
    body |= {"row_ms": round(1_000 * seconds(row_time, "--row-time")), "start_s": round(seconds(start_time, "--start-time"))}
    body |= {"classes": classes} if classes is not None else {}
    if schema is not None and label is not None:
        raise WrongUsage("--schema says what a row looks like, --label takes it from the posted schema: give one of them")
    from learningchain.client.contracts.prediction import offering  # needed by this command alone

    offered = offering.ModelExtras(schema, sample, sample_answers, previous)
    offering.check(offered)
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> FederationDeployed:
        found = await node.federation(await find_federation(node, federation))
        await _require_offered(node, found)
        with tempfile.TemporaryDirectory(prefix="learningchain-") as folder:
            rows = schema if label is None else await _posted(node, found, label, Path(folder))
            if rows is None:
                common.out.note(_without_schema(found))
            whole = await offering.complete(node, common, body, offered._replace(schema=rows), lambda: _trained(found))
            return await node.deploy_federation(found["id"], whole, wait=wait)

    done = common.ask(send)

    def people(console: Console) -> None:
        rows: list[tuple[str, Any]] = [
            ("model", done["model"]),
            ("name", name),
            ("price of a row", price),
            ("transaction", done["tx"]),
        ]
        console.print(facts("Model registered", rows))
        whole = sum(one["weight"] for one in done["shares"])
        if whole:
            shares = [[one["account"], f"{100 * one['weight'] / whole:.2f} %"] for one in done["shares"]]
            console.print(listing(["owner", "of the royalty"], shares, {"of the royalty"}))
        else:
            console.print("Nobody was paid in the federation: the royalty is yours.")

    common.out.show(done, people)
    common.out.note(f"It can be asked when three nodes serve it: learningchain model serve {done['model'][:12]} on each of them.")
    return finished(common, done, wait)


async def _require_offered(node: Client, found: FederationView) -> None:
    """Before anything is uploaded or run here. Raises `UsageError` in the words of the node."""
    own = (await node.status())["id"]
    paid = own != found["sponsor"] and any(
        one["account"] == own and parse_credits(one["paid"]) for one in await node.federation_members(found["id"])
    )
    if refused := why_not_offered(own, found["sponsor"], end=found["end"], best_round=found["best_round"], paid=paid):
        raise UsageError(f"Nothing was registered. {refused.text}", name=refused.name)


async def _trained(found: FederationView) -> dict[str, Any]:
    """What a federation's model runs as: image, best model, params and limits."""
    terms = found["terms"]
    limits = {name: terms["limits"][name] for name in ("cpus_milli", "mem_mb", "tmp_mb", "threads")}
    return {"image": terms["image"], "model": found["best_model"], "params": terms["params"], **limits}


async def _posted(node: Client, found: FederationView, label: str, folder: Path) -> Path:
    """The schema of the model's rows, out of the one for members' tables. Raises `WrongUsage`."""
    from learningchain.client.contracts.federation.http.input_schema import input_schema
    from learningchain.client.data.table_schema import MAX_SCHEMA_BYTES

    posted = found["terms"]["schema"]
    if posted is None:
        raise WrongUsage("--label: this federation posted no schema, which --label would be a column of. Give --schema FILE")
    whole, path = folder / "posted", folder / "schema.json"
    await node.fetch(posted, whole, max_size=MAX_SCHEMA_BYTES)
    try:
        path.write_bytes(input_schema(whole.read_bytes(), label))
    except ValueError as problem:
        raise WrongUsage(f"--label: {problem}. Say what a row looks like: --schema FILE") from None
    return path


def _without_schema(found: FederationView) -> str:
    why = "The model has no schema: predict --csv, the form of the dashboard and /v2 need one (--schema FILE)"
    if found["terms"]["schema"] is None:
        return f"{why}."
    return f"{why}. The posted one does not say which column is the answer: --label COLUMN takes the others from it."
