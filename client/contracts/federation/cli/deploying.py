"""`fed deploy`: the best model of a federation becomes one that can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console

from client.cli.common import HERE, Common, WrongUsage, facts, listing, seconds
from client.cli.ledger import MAX_WAIT, Wait, finished
from client.contracts.federation.cli.reading import FedText
from client.contracts.federation.references import find_federation

if TYPE_CHECKING:
    from client.contracts.federation.schema import FederationDeployed
    from client.sdk import Client
    from client.sdk_types import Json


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
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> FederationDeployed:
        return await node.deploy_federation(await find_federation(node, federation), body, wait=wait)

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
