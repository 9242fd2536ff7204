"""`model list`, `show`, `price`, `retire`, `serve` and `unserve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.common import (
    HERE,
    Common,
    WrongUsage,
    amount,
    cell,
    counted,
    facts,
    listing,
    relative,
    short,
    show_list,
    size_text,
    span,
)
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console, Text
from learningchain.client.contracts.prediction.references import find_model
from learningchain.client.sdk.types import ApiError

if TYPE_CHECKING:
    from learningchain.client.contracts.prediction.http.schema import (
        RecentAnswersView,
        RegisteredModelSummary,
        RegisteredModelView,
        ServePosted,
    )
    from learningchain.client.schema.bodies import TxAnswer
    from learningchain.client.sdk.client import Client

MAX_LIST = 1_000
SHOWN_INPUTS = 32
ModelText = Annotated[
    str, Parameter(name="MODEL", help="An own model's name, or OWNER/NAME, or the model's id or its first characters.")
]
_COLORS = {"LIVE": "green", "RETIRED": "yellow"}
_SERVERS = {
    "awake": "may be drawn",
    "asleep": "too often silent: model serve wakes it; in seven of its last 32 seats: for requests an hour later",
    "out": "too many bad answers: model serve takes it back",
    "leaving": "is drawn no more; its stake comes back with its last request",
}


# --- reading ------------------------------------------------------------------------------------------------------------------


def list_models(
    *,
    mine: Annotated[bool, Parameter(negative="", show_default=False, help="Only models of this node.")] = False,
    owner: Annotated[str | None, Parameter(help="Only models of this account.")] = None,
    live: Annotated[bool, Parameter(negative="", show_default=False, help="Only models that can be asked.")] = False,
    limit: Annotated[int, Parameter(help="Most models to show, up to 1000.")] = 20,
    before: Annotated[int | None, Parameter(help="Go on below this number.")] = None,
    common: Common = HERE,
) -> int:
    """Models of the network, the newest first."""
    if not 1 <= limit <= MAX_LIST:
        raise WrongUsage(f"--limit is a number of models from 1 to {MAX_LIST}, not {limit}. Older ones: --before NUMBER")
    if mine and owner is not None:
        raise WrongUsage("--mine and --owner exclude each other. Give one of them")
    account = None if owner is None else common.account(owner)

    async def read(node: Client) -> list[RegisteredModelSummary]:
        whose = (await node.status())["id"] if mine else account
        return await node.models(owner=whose, live=live, before=before, limit=limit)

    found = common.ask(read)

    return show_list(
        common,
        found,
        "No models.",
        ["no.", "model", "name", "state", "kind", "price", "floor", "awake", "waiting", "p50", "agreed"],
        lambda one: [
            one["number"],
            one["id"][:12],
            f"{short(one['owner'])}/{one['name']}",
            _state(one["state"]),
            _kind(one),
            one["price"],
            one["floor"],
            f"{one['awake']}/{one['servers']}",
            one["waiting"],
            _seconds(one["answers"]["p50_ms"]),
            _agreement(one["answers"]),
        ],
        right={"no.", "price", "floor", "awake", "waiting", "p50", "agreed"},
        full=limit,
    )


def _state(state: str) -> Text:
    return cell(state, _COLORS.get(state, "cyan"))


def _kind(one: RegisteredModelSummary) -> str:
    return f"{one['classes']} classes" if one["classes"] else "number"


def _answers(found: RecentAnswersView, clock: int) -> list[tuple[str, str]]:
    """How it answered lately; nothing of a model that was not asked yet."""
    if not found["counted"]:
        return []
    weak = f", {found['weak']} more with fewer than were asked for" if found["weak"] else ""
    last = f"of the last {found['counted']}, since {relative(found['since'], clock)}{weak}"
    rows = [("agreed", f"{_agreement(found)} {last}")]
    if found["p50_ms"] is not None:
        rows.append(("answered within", f"{_seconds(found['p50_ms'])} (p50), {_seconds(found['p95_ms'])} (p95)"))
    return rows


def _agreement(found: RecentAnswersView) -> str:
    return "-" if found["agreement"] is None else f"{100 * found['agreement']:.0f} %"


def _seconds(milliseconds: int | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds / 1_000:.3g} s" if milliseconds < 60_000 else span(milliseconds / 1_000)


def show(model: ModelText, /, *, common: Common = HERE) -> int:
    """Everything about one model: what it costs, who serves it, what it runs."""

    async def read(node: Client) -> tuple[RegisteredModelView, int, list[str]]:
        found = await node.model(await find_model(node, common, model))
        return found, (await node.status())["clock_now"], [] if common.json else await _inputs(node, found)

    found, clock, inputs = common.ask(read)

    def people(console: Console) -> None:
        image, after = found["image"], found["next"]
        rows: list[tuple[str, Any]] = [
            ("state", _state(found["state"])),
            ("owner", found["owner"]),
            ("answers with", _kind(found)),
            ("price of a row", found["price"]),
            ("floor of a row and answer", found["floor"]),
            *([("from then on", _coming(found, clock))] if after else []),
            ("most rows", found["max_rows"]),
            ("largest input", size_text(found["input_cap"])),
            ("tolerance", found["tol"]),
            ("starts within", span(found["start_s"])),
            ("takes for a row", f"{found['row_ms']} ms"),
            ("limits", _limits(found)),
            ("image", image.get("reference") or image.get("cid")),
            ("model", f"{found['model']['cid']}, {size_text(found['model']['size'])}"),
            ("schema", found["schema"]),
            *(("a row has" if not number else "", line) for number, line in enumerate(inputs)),
            ("from", found["source"]),
            ("registered", relative(found["registered"], clock)),
            ("waiting requests", found["waiting"]),
            *_answers(found["answers"], clock),
            ("stake of a server", found["stake_needed"]),
            ("deposit", found["deposit"]),
        ]
        console.print(facts(f"Model {found['name']} ({found['id']})", [row for row in rows if row[1] is not None]))
        if found["members"]:
            lines = [
                [one["server"], _server(one["state"]), one["stake"], one["unfinal"], one["good"], one["bad"], one["silent"]]
                for one in found["members"]
            ]
            names = ["server", "state", "stake", "seats", "good", "bad", "silent"]
            console.print(listing(names, lines, {"stake", "seats", "good", "bad", "silent"}))
        else:
            console.print("Nobody serves it: a request needs three servers (learningchain model serve).")

    common.out.show(found, people)
    return 0


async def _inputs(node: Client, found: RegisteredModelView) -> list[str]:
    """What a row holds, a line for each input; nothing where no schema says it, or where that cannot be had now."""
    from learningchain.client.contracts.prediction.cli.tables import schema_for
    from learningchain.client.contracts.prediction.http.model_schema import BadSchema

    try:
        inputs = (await schema_for(node, found)).inputs if found["schema"] is not None else ()
    except (ApiError, BadSchema):
        return []
    lines = [
        f"{one.name}: {one.allowed}" + (f", {one.elements} of them" if one.shape else "") + (f" ({one.about})" if one.about else "")
        for one in inputs[:SHOWN_INPUTS]
    ]
    return lines + ([f"and {len(inputs) - SHOWN_INPUTS} inputs more"] if len(inputs) > SHOWN_INPUTS else [])


def _limits(found: RegisteredModelView) -> str:
    processors, threads = counted(found["cpus_milli"] / 1000, "processor"), counted(found["threads"], "thread")
    return f"{processors}, {found['mem_mb']} MiB of memory, {threads}"


def _coming(found: RegisteredModelView, clock: int) -> str:
    after = found["next"]
    return "" if after is None else f"{relative(found['next_from'], clock)}: price {after['price']}, floor {after['floor']}"


def _server(state: str) -> Text:
    return cell(f"{state}: {_SERVERS[state]}" if state in _SERVERS and state != "awake" else state)


# --- an owner's, a server's -----------------------------------------------------------------------------------------------------


def price(
    model: ModelText,
    /,
    *,
    price: Annotated[str | None, Parameter(help="Royalty of a row, in credits.")] = None,
    floor: Annotated[str | None, Parameter(help="Least tip of a row and answer. A higher one holds an hour later.")] = None,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Change what a row costs. What was asked before keeps its price."""
    if price is None and floor is None:
        raise WrongUsage("Nothing would change: give --price, --floor or both")
    given = {"price": price if price in (None, "0") else amount(price or "", "--price"), "floor": _amount(floor, "--floor")}
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> TxAnswer:
        ref = await find_model(node, common, model)
        known = await node.model(ref)
        last = known["next"] or {"price": known["price"], "floor": known["floor"]}
        return await node.set_price(ref, **given, expected=(last["price"], last["floor"]), wait=wait)

    said = "The price is set: at once, or with a higher floor in an hour (learningchain model show)."
    return _sent(common, common.ask(send), said, wait)


def _amount(text: str | None, option: str) -> str | None:
    return None if text is None else amount(text, option)


def retire(model: ModelText, /, *, wait: Wait = 30, common: Common = HERE) -> int:
    """Take a model out of service. Requests that wait get everything back; those that were drawn go on; the deposit comes back."""
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> TxAnswer:
        return await node.retire_model(await find_model(node, common, model), wait=wait)

    return _sent(common, common.ask(send), "The model is retired.", wait)


def serve(
    model: ModelText,
    /,
    *,
    stake: Annotated[
        str | None, Parameter(help="Credits to stake on it, beside what is staked already. Default: what is needed.")
    ] = None,
    untried: Annotated[
        bool, Parameter(negative="", show_default=False, help="Do not run its sample twice on the node first.")
    ] = False,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Answer for a model with this node: it needs the verifier flag, and settings that let it run containers. The node runs the
    sample of a model that has one twice first; one whose answers differ is not served, and --wait begins after that."""
    given = _amount(stake, "--stake")
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> ServePosted:
        ref = await find_model(node, common, model)
        return await node.serve(ref, stake=given, untried=untried, wait=wait, tell=lambda step: common.out.note(f"Trial: {step}."))

    done = common.ask(send)
    if not done["tried"] and not untried:
        common.out.note("This model has no sample, so it was not tried: try it with rows of your own (learningchain model try).")
    text = "This node serves the model: it fetches image and model now, and answers when it is drawn (learningchain status)."
    return _sent(common, done, text, wait)


def unserve(model: ModelText, /, *, wait: Wait = 30, common: Common = HERE) -> int:
    """Answer for a model no more. The stake comes back with the last request that this node was drawn for."""
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> TxAnswer:
        return await node.unserve(await find_model(node, common, model), wait=wait)

    return _sent(common, common.ask(send), "This node is drawn for the model no more.", wait)


def _sent(common: Common, done: TxAnswer, text: str, wait: float) -> int:
    common.out.show(done, lambda console: console.print(text if done["status"] == "final" else "It is on its way."))
    return finished(common, done, wait)
