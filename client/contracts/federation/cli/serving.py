"""`fed serve`: whether this node may be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from learningchain.client.cli.common import HERE, Common
from learningchain.client.cli.ledger import MAX_WAIT, Wait
from learningchain.client.cli.options import Parameter
from learningchain.client.contracts.federation.cli.sponsoring import sent

if TYPE_CHECKING:
    from learningchain.client.contracts.federation.http.schema import FederationServing
    from learningchain.client.schema.bodies import TxAnswer
    from learningchain.client.sdk.client import Client


def serve(
    on: Annotated[Literal["on", "off", "show"], Parameter(name="on|off|show", help="on, off, or show how it is.")] = "show",
    /,
    *,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Let this node be drawn to add up updates and to measure models, for fees. It needs the verifier flag, a declared machine
    and a box key, which a running verifier has by itself. With the setting federation.serve the node says on by itself. Silence of
    who was drawn is a strike; an attempt that ends before its updates are judged pays nothing for files that were fetched."""
    if on == "show":
        found: FederationServing = common.ask(lambda node: node.federation_serving())
        text = f"This node serves federations; it has {found['duties']} duties now." if found["on"] else "It serves no federations."
        common.out.show(found, lambda console: console.print(text))
        return 0
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> tuple[TxAnswer, Mapping[str, object]]:
        return await node.serve_federations(on == "on", wait=wait), await node.account()

    done, account = common.ask(send)
    said = drawn_from_now(account) if on == "on" else "It is drawn no more; what it was drawn for goes on."
    return sent(common, done, said, wait)


def drawn_from_now(account: Mapping[str, object]) -> str:
    """From when on a node that serves federations is drawn, as its account stands."""
    if not account["verifier"]:
        return "It is drawn once it has the verifier flag, by the validators' vote: learningchain propose verifier ACCOUNT on"
    if account["capacity"] is None:
        return "It is drawn once its sandbox is ready, which it says on the ledger by itself: learningchain doctor"
    return "This node may be drawn from now on."
