"""`transfer`: sending credits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from learningchain.client.cli.common import HERE, Common, WrongUsage, amount, clean, named
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished, paid_by_hand
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.keys.names import Names, near
from learningchain.client.sdk.types import NotFoundError

if TYPE_CHECKING:
    from learningchain.client.schema.bodies import TxAnswer
    from learningchain.client.sdk.client import Client

LATELY = 200
"""Entries of the own history in which a transfer looks for accounts that were paid before."""


def transfer(
    to: Annotated[str, Parameter(name="TO", help="lc1... of the receiver, or its name.")],
    credits_: Annotated[str, Parameter(name="AMOUNT", help="Credits, such as 12 or 0.5.", allow_leading_hyphen=True)],
    /,
    *,
    memo: Annotated[str | None, Parameter(help="A note for the receiver, at most 64 bytes; everybody can read it.")] = None,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Send credits to another account."""
    receiver, sum_ = common.account(to), amount(credits_, "AMOUNT")
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> TxAnswer:
        if receiver not in common.names.by_address:
            await _no_copy(node, receiver, common.names)
        common.goes_on("The credits may be on their way already", "history")
        return await node.transfer(receiver, sum_, memo=memo, wait=wait)

    done = common.ask(send)

    def people(console: Console) -> None:
        if "height" in done:
            console.print(
                f"Sent {sum_} {'credit' if sum_ == '1' else 'credits'} to {named(receiver)} in block {done['height']}.",
                soft_wrap=True,
            )
        console.print(f"Transaction {clean(done.get('tx'))}", soft_wrap=True)

    common.out.show(done, people)
    return finished(common, done, wait)


async def _no_copy(node: Client, receiver: str, names: Names) -> None:
    """Raises `WrongUsage` where the receiver is no known account and its address begins and ends like that of one.

    Known are accounts with a name, the own one, and those that credits went to lately.
    """
    own = (await node.status())["id"]
    try:
        paid = paid_by_hand(await node.history(own, limit=LATELY))
    except NotFoundError:  # this node is no member: what that means is told where the transfer is refused
        paid = set()
    like = None if receiver in paid else near(receiver, [own, *names.by_address, *paid])
    if like:
        whose = "this node's own" if like == own else named(like)
        raise WrongUsage(
            f"Nothing was sent: {receiver} begins and ends like {whose}, and is another account. Such addresses are made "
            f"to be copied by mistake. If you mean it, give it a name first: learningchain name set {receiver} NAME"
        )
