"""`key box`: the key under which others seal what this node alone reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.common import HERE, Common, facts, relative
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished
from learningchain.client.cli.options import Parameter

if TYPE_CHECKING:
    from learningchain.client.contracts.membership.http.schema import BoxKeyView
    from learningchain.client.sdk.client import Client


def box(
    *,
    renew: Annotated[bool, Parameter(name="--renew", negative="", show_default=False, help="Replace it by a new one.")] = False,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """The X25519 key under which others seal what this node alone reads. The node makes it by itself when it joins and after its
    account got another key; those of before stay for a while, for what is under way."""
    return _renew(common, min(wait, MAX_WAIT)) if renew else _show(common)


def _renew(common: Common, wait: float) -> int:
    done = common.ask(lambda node: node.renew_box_key(wait=wait))
    common.out.show(done, lambda console: console.print(f"Others seal under {done['key']} from now on.", soft_wrap=True))
    common.out.note("Make a new backup: learningchain backup FILE. The private key lies in the node's work database alone.")
    return finished(common, done, wait)


def _show(common: Common) -> int:
    async def look(node: Client) -> tuple[BoxKeyView, int]:
        return await node.box_key(), (await node.status())["clock_now"]

    found, clock = common.ask(look)
    rows: list[tuple[str, Any]] = [("key", found["key"] or "none yet: the node sets one as soon as it is a member")]
    if found["key"]:
        rows += [("since", relative(found["since"], clock)), ("opens", "here" if found["here"] else "not here")]
    before = [one for one in found["kept"] if one["key"] != found["key"]]
    rows += [("kept as well", f"{one['key']}, made {relative(one['made'], clock)}") for one in before]
    common.out.show(found, lambda console: console.print(facts("Box key of this node's account", rows)))
    if found["key"] and not found["here"]:
        common.out.note("This node cannot open what is sealed to that key. It puts one of its own in its place by itself.")
    return 0
