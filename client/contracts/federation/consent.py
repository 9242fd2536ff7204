"""What stands in the way of joining a federation beside the owner's own consent. The command and Python share it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learningchain.client.contracts.federation.web.phrases import held_against
from learningchain.client.sdk.types import RejectedError, UsageError

if TYPE_CHECKING:
    from learningchain.client.contracts.federation.http.schema import JoiningView
    from learningchain.client.schema.bodies import OwnDataView
    from learningchain.client.sdk.client import Client


def check_open(found: JoiningView) -> None:
    """Whether the ledger and this node's settings let it join. Raises `RejectedError` and `UsageError`."""
    if (refusal := found["refusal"]) is not None:
        raise RejectedError(f"{refusal['message']}", code=refusal["code"], name=refusal["name"])
    if found["allowed"] is False:
        raise UsageError(
            f"Nothing was sent: the program {found['program']} is not on this node's list of those that may run on your own data "
            "(federation.images). Read its source; if you trust it, add the digest to the list (learningchain config set), and "
            "restart the node"
        )
    if found["aggregators"] < found["min_verifiers"]:
        raise UsageError(
            f"Nothing was sent: {found['aggregators']} verifiers could be drawn to add up, and this node wants at least "
            f"{found['min_verifiers']} (federation.min_verifiers). Join when others serve, or accept fewer: learningchain "
            "config set federation.min_verifiers N, then restart the node"
        )


async def own_data(node: Client, name: str) -> OwnDataView:
    """Own data of the node by their name. Raises `UsageError`."""
    found = {own["name"]: own for own in await node.own_data()}
    if name not in found:
        known = f"There are: {', '.join(sorted(found))}" if found else "There are none yet"
        add = f"Add some: learningchain data add {name[:32]} FOLDER"
        raise UsageError(f"This node keeps no data called {name[:40]!r}. {known}. {add}")
    return found[name]


def check_own(found: JoiningView, own: OwnDataView, examples: int | None) -> None:
    """Whether these data are what the federation asks for, which the ledger could not say. Raises `UsageError`."""
    if found["claims_examples"] and not examples:
        raise UsageError("This federation splits its pay by samples: say how many examples your data have, --examples N")
    if not found["claims_examples"] and examples is not None:
        raise UsageError(f"Pay is split {found['split']} here, so no examples are claimed: leave --examples out")
    try:
        fits = held_against(found["schema"], own)
    except ValueError as problem:
        raise UsageError(f"{problem}") from None
    if not fits:
        raise UsageError(
            f"Your data {own['name']!r} were not held against the schema that the sponsor posted. Do it, and join then: "
            f"learningchain fed schema {found['federation'][:12]} --out schema.json; learningchain data remove {own['name']}; "
            f"learningchain data add {own['name']} FOLDER --schema schema.json"
        )
