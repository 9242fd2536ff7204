"""`prediction list`, `show`, `watch`, `tip`, `cancel` and `appeal`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.common import HERE, Common, WrongUsage, amount, relative, short, show_list
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished
from learningchain.client.cli.options import Parameter
from learningchain.client.contracts.prediction.cli.shown import RequestFollower, class_names, exit_code, show_request, state_text
from learningchain.client.contracts.prediction.references import find_model, find_request
from learningchain.client.sdk.types import NotFoundError

if TYPE_CHECKING:
    from learningchain.client.contracts.prediction.http.schema import PredictionSummary, PredictionView
    from learningchain.client.schema.bodies import TxAnswer
    from learningchain.client.sdk.client import Client

MAX_LIST = 1_000
MAX_COUNTED = 100_000
"""Requests that `--cost` adds up at most."""
WATCHED_S = 24 * 3_600.0
RequestText = Annotated[str, Parameter(name="REQUEST", help="The request's id or its first characters, or latest.")]


def list_predictions(
    *,
    everybody: Annotated[bool, Parameter(negative="", show_default=False, help="Also requests of others.")] = False,
    model: Annotated[str | None, Parameter(help="Only requests to this model.")] = None,
    live: Annotated[bool, Parameter(negative="", show_default=False, help="Only requests that have not ended.")] = False,
    cost: Annotated[bool, Parameter(negative="", show_default=False, help="What this node's requests cost, by model.")] = False,
    limit: Annotated[int, Parameter(help="Most requests to show, up to 1000.")] = 20,
    before: Annotated[int | None, Parameter(help="Go on below this number.")] = None,
    common: Common = HERE,
) -> int:
    """Requests of this node, the newest first; with --cost what they cost in all."""
    if not 1 <= limit <= MAX_LIST:
        raise WrongUsage(f"--limit is a number of requests from 1 to {MAX_LIST}, not {limit}. Older ones: --before NUMBER")
    if cost:
        if everybody or live or before is not None:
            raise WrongUsage("--cost counts all requests of this node that are known: it takes --model alone")
        return _costs(common, model)

    async def read(node: Client) -> tuple[list[PredictionSummary], int, dict[str, str]]:
        status = await node.status()
        ref = None if model is None else await find_model(node, common, model)
        whose = None if everybody else status["id"]
        found = await node.predictions(requester=whose, model=ref, live=live, before=before, limit=limit)
        return found, status["clock_now"], await _called(node, {one["model"] for one in found})

    found, clock, called = common.ask(read)

    return show_list(
        common,
        found,
        "No requests.",
        ["no.", "request", "model", "state", "outcome", "rows", "n", "tip", "cost", "asked", *(["by"] if everybody else [])],
        lambda one: [
            one["number"],
            one["id"][:12],
            called[one["model"]],
            state_text(one),
            one["outcome"],
            one["rows"],
            one["n"],
            one["tip"],
            one["cost"],
            relative(one["posted"], clock),
            *([short(one["requester"])] if everybody else []),
        ],
        right={"no.", "rows", "n", "tip", "cost"},
        full=limit,
    )


def _costs(common: Common, model: str | None) -> int:
    """By model: requests, rows, and what they cost; those that are not answered yet cost nothing so far."""
    from learningchain.chain.types import format_credits, parse_credits

    async def read(node: Client) -> tuple[list[dict[str, Any]], dict[str, str]]:
        own = (await node.status())["id"]
        ref = None if model is None else await find_model(node, common, model)
        sums: dict[str, list[int]] = {}
        count = 0
        async for one in node.every_prediction(requester=own, model=ref):
            count += 1
            if count > MAX_COUNTED:
                common.out.note(f"Only the newest {MAX_COUNTED} requests are counted.")
                break
            total = sums.setdefault(one["model"], [0, 0, 0, 0])
            total[0] += 1
            total[1] += one["rows"]
            total[2] += parse_credits(one["cost"]) if one["cost"] is not None else 0
            total[3] += parse_credits(one["locked"])
        found = [
            {"model": ref, "requests": n, "rows": rows, "cost": format_credits(paid), "locked": format_credits(locked)}
            for ref, (n, rows, paid, locked) in sorted(sums.items())
        ]
        return found, await _called(node, sums)

    found, called = common.ask(read)

    return show_list(
        common,
        found,
        "This node has asked nothing.",
        ["model", "requests", "rows", "cost", "locked"],
        lambda one: [called[one["model"]], one["requests"], one["rows"], one["cost"], one["locked"]],
        right={"requests", "rows", "cost", "locked"},
    )


async def _called(node: Client, models: Iterable[str]) -> dict[str, str]:
    """Each model's name and the beginning of its id; the latter alone where the node does not know it any more."""
    found = {}
    for ref in models:
        try:
            found[ref] = f"{(await node.model(ref))['name']} ({ref[:12]})"
        except NotFoundError:
            found[ref] = ref[:12]
    return found


def show(request: RequestText, /, *, common: Common = HERE) -> int:
    """Everything about one request."""

    async def read(node: Client) -> tuple[PredictionView, Sequence[str]]:
        view = await node.prediction(await find_request(node, request))
        return view, () if common.json else await class_names(node, view)

    found, names = common.ask(read)
    common.out.show(found, lambda console: show_request(console, found, names))
    return 0


def watch(
    request: RequestText,
    /,
    *,
    final: Annotated[
        bool, Parameter(negative="", show_default=False, help="Until no appeal can change the answer, not only until it is there.")
    ] = False,
    common: Common = HERE,
) -> int:
    """Follow a request until it is answered. With --json one line for each change. Exit codes are those of predict."""

    async def follow(node: Client) -> tuple[PredictionView | None, Sequence[str]]:
        ref = await find_request(node, request)
        if common.json:
            return await _lines(common, node, ref, final), ()
        with RequestFollower(common.out) as follower:
            view = await follower.follow(node, ref, WATCHED_S, final=final)
        return view, () if view is None else await class_names(node, view)

    found, names = common.ask(follow)
    if found is None:
        raise WrongUsage(f"There is no request {request[:64]}. learningchain prediction list shows the ids")
    view = found
    if not common.json:
        show_request(common.out.console, view, names)
    return exit_code(view)


async def _lines(common: Common, node: Client, ref: str, final: bool) -> PredictionView:

    view = await node.prediction(ref)
    common.out.line(view)
    while not (view["state"] in ("FAILED", "FINAL") or (not final and view["outcome"])):
        last, view = view, await node.prediction(ref, wait=30, changed=True)
        if view != last:
            common.out.line(view)
        await asyncio.sleep(0)
    return view


def tip(
    request: RequestText,
    credits: Annotated[str, Parameter(name="AMOUNT", help="Credits on top of the tip.")],
    /,
    *,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Move a request of this node forward that still waits."""
    given, wait = amount(credits, "AMOUNT"), min(wait, MAX_WAIT)

    async def send(node: Client) -> TxAnswer:
        return await node.add_tip(await find_request(node, request), given, wait=wait)

    return _sent(common, common.ask(send), "The tip is raised.", wait)


def cancel(request: RequestText, /, *, wait: Wait = 30, common: Common = HERE) -> int:
    """Take back a request of this node that still waits. Its fee, a twentieth, burns; the rest comes back."""
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> TxAnswer:
        return await node.cancel_prediction(await find_request(node, request), wait=wait)

    return _sent(common, common.ask(send), "The request is taken back.", wait)


def appeal(
    request: RequestText,
    /,
    *,
    row: Annotated[
        list[int] | None, Parameter(negative="", help="A row that the judges are to answer, from 0 on; at most eight.")
    ] = None,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Have up to 63 verifiers answer 16 rows anew. The bond comes back where they overturn the answer, or cannot say.

    An answer falls where more say another one, of all who were drawn and who judge. Where too few are left for that the appeal is
    refused, and nothing is locked."""
    rows, wait = row or [], min(wait, MAX_WAIT)
    if len(set(rows)) > 8:
        raise WrongUsage("An appeal names eight rows at most; the others are drawn")

    async def send(node: Client) -> TxAnswer:
        return await node.appeal_prediction(await find_request(node, request), rows=rows, wait=wait)

    text = "The appeal stands: judges are drawn. Follow it: learningchain prediction watch --final."
    return _sent(common, common.ask(send), text, wait)


def _sent(common: Common, done: TxAnswer, text: str, wait: float) -> int:
    common.out.show(done, lambda console: console.print(text if done["status"] == "final" else "It is on its way."))
    return finished(common, done, wait)
