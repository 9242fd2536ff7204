"""`policy create`, `list` and `show`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from learningchain.client.cli.common import HERE, Common, WrongUsage, facts, relative, show_list
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.contracts.prediction.cli.models import ModelText
from learningchain.client.contracts.prediction.references import find_model, find_policy

if TYPE_CHECKING:
    from learningchain.client.contracts.prediction.http.schema import PolicyPosted, PolicyView
    from learningchain.client.sdk.client import Client
    from learningchain.client.sdk.types import Json

_LEAST = "-999999999"
"""A start that is below all others: the first rate begins at the least score of all."""
_RATE = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?|least)=([0-9]+(?:\.[0-9]{1,4})?)%", re.ASCII)


def create(
    model: ModelText,
    /,
    *,
    accept: Annotated[Literal["below", "above"], Parameter(help="Which values are accepted, seen from the threshold.")],
    threshold: Annotated[str, Parameter(help="Up to which value, or from which on, a row is accepted.", allow_leading_hyphen=True)],
    rate: Annotated[
        list[str],
        Parameter(
            negative="",
            help="The rate of accepted values: first least=PERCENT, from the least value on; then VALUE=PERCENT, from VALUE on.",
        ),
    ],
    least: Annotated[int, Parameter(help="Answers that must agree on a value, else the row is referred to people.")] = 3,
    most: Annotated[
        int, Parameter(help="Requests of one root after which all is referred, whichever of its accounts asked; 0: any number.")
    ] = 0,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Lay down how a model's numbers become decisions. It never changes; a fee is locked while somebody uses it."""
    body: Json = {
        "accept": accept,
        "threshold": threshold,
        "rates": read_rates(rate),
        "least": least,
        "most": most,
    }
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> PolicyPosted:
        return await node.create_policy({**body, "model": await find_model(node, common, model)}, wait=wait)

    done = common.ask(send)
    common.out.show(done, lambda console: console.print(f"Policy {done['policy']}: name it with predict --policy."))
    return finished(common, done, wait)


def read_rates(texts: list[str]) -> list[Json]:
    """Raises `WrongUsage`."""
    rates = [read_rate(text) for text in texts]
    if rates and rates[0]["start"] != _LEAST:
        percent = texts[0].partition("=")[2]
        raise WrongUsage(
            f"The first --rate holds for every value below the second one, and {texts[0]} names a least value. Write "
            f"--rate least={percent}; values that shall have no rate are kept out by --accept and --threshold"
        )
    if any(one["start"] == _LEAST for one in rates[1:]):
        raise WrongUsage("--rate least=PERCENT is the first one: write it before all others, once")
    return rates


def read_rate(text: str) -> Json:
    """`0.1=12.5%`. Raises `WrongUsage`."""
    found = _RATE.fullmatch(text)
    if found is None:
        raise WrongUsage(f"--rate {text[:40]!r} is no VALUE=PERCENT such as 0.1=12.5% or least=3%")
    return {"start": _LEAST if found[1] == "least" else found[1], "ppm": round(float(found[2]) * 10_000)}


def _rate_words(number: int, rate: Any) -> str:
    return f"{rate['ppm'] / 10_000:g} % from " + (f"{rate['start']} on" if number else "the least value on")


def list_policies(
    model: Annotated[str | None, Parameter(name="MODEL", help="Only policies of this model.")] = None, /, *, common: Common = HERE
) -> int:
    """Policies, the newest first."""

    async def read(node: Client) -> list[PolicyView]:
        return await node.policies(model=None if model is None else await find_model(node, common, model))

    found = common.ask(read)

    return show_list(
        common,
        found,
        "No policies.",
        ["policy", "model", "accept", "threshold", "least", "in use"],
        lambda one: [one["id"][:12], one["model"][:12], one["accept"], one["threshold"], one["least"], one["live"]],
        right={"threshold", "least", "in use"},
    )


def show(
    policy: Annotated[str, Parameter(name="POLICY", help="Its id or its first characters.")], /, *, common: Common = HERE
) -> int:
    """One policy, in words."""

    async def read(node: Client) -> tuple[PolicyView, int]:
        return await node.policy(await find_policy(node, policy)), (await node.status())["clock_now"]

    found, clock = common.ask(read)

    def people(console: Console) -> None:
        edge = "at most" if found["accept"] == "below" else "at least"
        rows: list[tuple[str, Any]] = [
            ("model", found["model"]),
            ("made by", found["owner"]),
            ("accepts", f"values of {edge} {found['threshold']}"),
            *(("rate", _rate_words(number, one)) for number, one in enumerate(found["rates"])),
            ("refers to people", f"where fewer than {found['least']} answers agree"),
            *([("", f"and from request {found['most'] + 1} of one requester on")] if found["most"] else []),
            ("in use", f"{found['live']} requests"),
            *([("dropped", relative(found["dropped"], clock))] if found["dropped"] else []),
        ]
        console.print(facts(f"Policy {found['id']}", rows))

    common.out.show(found, people)
    return 0
