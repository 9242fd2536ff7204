"""`fed start`, `admit`, `remove` and `close`: what a sponsor does once its federation is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from learningchain.client.cli.common import HERE, Common
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished
from learningchain.client.cli.options import Parameter
from learningchain.client.contracts.federation.cli.reading import FedText
from learningchain.client.contracts.federation.references import find_federation

if TYPE_CHECKING:
    from learningchain.client.contracts.federation.http.schema import LookedAfter, RoundStarted
    from learningchain.client.schema.bodies import TxAnswer
    from learningchain.client.sdk.client import Client

MemberText = Annotated[str, Parameter(name="ACCOUNT", help="An address, or one of your names.")]


def start(
    federation: FedText,
    /,
    *,
    auto: Annotated[
        bool | None,
        Parameter(negative="--manual", show_default=False, help="Have your node start all further rounds by itself, or no more."),
    ] = None,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Start the next round. The first start has the initial model measured; each further one has the members train."""
    wait = min(wait, MAX_WAIT)
    if auto is not None:
        return _by_itself(common, federation, auto)

    async def send(node: Client) -> RoundStarted:
        return await node.start_round(await find_federation(node, federation), wait=wait)

    done = common.ask(send)
    what = "the initial model is measured" if done["round"] == 0 else "the members train"
    return sent(
        common, done, f"Round {done['round']} is started: {what} once who does it is drawn (learningchain fed watch).", wait
    )


def _by_itself(common: Common, federation: str, auto: bool) -> int:
    """Reference data and the key of a hidden file stay what they are."""

    async def say(node: Client) -> LookedAfter:
        return await node.look_after_federation(await find_federation(node, federation), auto=auto)

    done = common.ask(say)
    text = (
        "This node starts the rounds from now on, as long as it runs." if auto else "This node starts no round by itself any more."
    )
    common.out.show(done, lambda console: console.print(text))
    return 0


def admit(federation: FedText, member: MemberText, /, *, wait: Wait = 30, common: Common = HERE) -> int:
    """Let in who waits. It trains from the next start on."""
    account, wait = common.account(member), min(wait, MAX_WAIT)

    async def send(node: Client) -> TxAnswer:
        return await node.admit_member(await find_federation(node, federation), account, wait=wait)

    return sent(common, common.ask(send), "It is a member, from the next start on.", wait)


def remove(federation: FedText, member: MemberText, /, *, wait: Wait = 30, common: Common = HERE) -> int:
    """Remove a member, from the next start on. What it earned stays its own."""
    account, wait = common.account(member), min(wait, MAX_WAIT)

    async def send(node: Client) -> TxAnswer:
        return await node.remove_member(await find_federation(node, federation), account, wait=wait)

    return sent(common, common.ask(send), "It is no member any more, from the next start on.", wait)


def close(federation: FedText, /, *, wait: Wait = 30, common: Common = HERE) -> int:
    """End a federation between two rounds. What is unpaid of bounty and fees comes back; what was paid stays paid."""
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> TxAnswer:
        return await node.close_federation(await find_federation(node, federation), wait=wait)

    return sent(common, common.ask(send), "The federation is closed.", wait)


def sent(common: Common, done: TxAnswer, text: str, wait: float) -> int:
    """Shows what came of a submission; its exit code."""
    common.out.show(done, lambda console: console.print(text if done["status"] == "final" else "It is on its way."))
    return finished(common, done, wait)
