"""How a federation is named where one is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learningchain.client.cli.common import WrongUsage

if TYPE_CHECKING:
    from learningchain.client.sdk.client import Client

_HEX = frozenset("0123456789abcdef")


async def find_federation(node: Client, text: str) -> str:
    """The full id behind an id, the beginning of one, or `latest`: the newest that this node opened or joined. Raises
    `WrongUsage`."""
    word = text.lower()
    if word == "latest":
        return await _latest(node)
    if not word or not set(word) <= _HEX or len(word) > 64:
        raise WrongUsage(f"{text[:80]!r} is no federation's id: ids are up to 64 hex digits (learningchain fed list)")
    if len(word) == 64:
        return word
    found = [one["id"] for one in await node.federations(beginning=word, limit=2)]
    if len(found) != 1 or not found[0].startswith(word):
        problem = "More than one federation begins" if len(found) > 1 else "No federation begins"
        raise WrongUsage(f"{problem} with {word}. learningchain fed list shows the ids")
    return found[0]


async def _latest(node: Client) -> str:
    own = (await node.status())["id"]
    found = [*await node.federations(sponsor=own, limit=1), *await node.federations(member=own, limit=1)]
    if not found:
        raise WrongUsage(
            "This node has opened and joined no federation. See what there is: learningchain fed list; or open one: "
            "learningchain fed open --help"
        )
    return max(found, key=lambda one: one["number"])["id"]
