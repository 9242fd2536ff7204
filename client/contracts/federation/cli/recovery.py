"""`fed vault` and `fed recover`: what an owner does before and after losing a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from learningchain.client.cli.common import HERE, Common, WrongUsage
from learningchain.client.cli.options import Parameter
from learningchain.client.contracts.federation.cli.reading import FedText
from learningchain.client.contracts.federation.references import find_federation

if TYPE_CHECKING:
    from learningchain.client.contracts.federation.http.schema import FederationRecovering, VaultKept
    from learningchain.client.sdk.client import Client


def vault(
    federation: FedText,
    /,
    *,
    holder: Annotated[
        list[str] | None,
        Parameter(negative="", help="A vetted member that holds a share of the key: four or five of them, three open it."),
    ] = None,
    off: Annotated[bool, Parameter(negative="", show_default=False, help="Make no further one.")] = False,
    common: Common = HERE,
) -> int:
    """Have two members keep your local model after each fifth round, sealed: your account's secret opens it, and where you name
    holders, any three of them together can give you its key, should your account have another key by then."""
    if off and holder:
        raise WrongUsage("Either --off, or holders of the vaults that are made: not both")
    holders = [common.account(one) for one in holder or []]

    async def send(node: Client) -> VaultKept:
        return await node.keep_vault(await find_federation(node, federation), not off, holders=holders)

    done = common.ask(send)
    shared = f" Its key is shared by {len(done['holders'])}, any three of whom open it for you." if done["holders"] else ""
    text = (
        f"After each fifth round two members keep your local model, sealed.{shared}" if done["on"] else "No vault is made any more."
    )
    common.out.show(done, lambda console: console.print(text))
    return 0


def recover(
    federation: FedText,
    data: Annotated[str | None, Parameter(name="DATA", help="Your data, as learningchain data list names them.")] = None,
    /,
    *,
    examples: Annotated[int | None, Parameter(help="Examples in your data, where pay is split by samples.")] = None,
    min_vetted: Annotated[
        int | None, Parameter(help="Train only where so many other members carry the verifier flag. Default: as before, or 2.")
    ] = None,
    common: Common = HERE,
) -> int:
    """After a machine was lost: this node, which has your account, trains again in the federation, and opens the vault that the
    lost one left. Stop the other one first, should it come back: two nodes of one account contradict each other."""

    async def send(node: Client) -> FederationRecovering:
        ref = await find_federation(node, federation)
        return await node.recover_federation(ref, data, n=examples or 0, min_vetted=min_vetted)

    done = common.ask(send)
    back = "Its vault is fetched and opened" if done["vault"] else "The ledger names no vault of this account"
    text = f"This node trains in the federation again. {back}: learningchain fed mine {done['federation'][:12]}{common.again}"
    common.out.show(done, lambda console: console.print(text))
    return 0
