"""How a federation is named where one is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learningchain.client.sdk.types import UsageError

if TYPE_CHECKING:
    from learningchain.client.sdk.client import Client

_HEX = frozenset("0123456789abcdef")


async def find_federation(node: Client, text: str, *, to_join: bool = False) -> str:
    """The full id behind an id, the beginning of one, or `latest`: the newest that this node opened or joined. For who has none,
    and for who wants to join one (`to_join`), it is the newest that lives. Raises `UsageError`."""
    word = text.lower()
    if word == "latest":
        return await _latest(node, to_join)
    if not word or not set(word) <= _HEX or len(word) > 64:
        raise UsageError(f"{text[:80]!r} is no federation's id: ids are up to 64 hex digits (learningchain fed list)")
    if len(word) == 64:
        return word
    found = [one["id"] for one in await node.federations(beginning=word, limit=2)]
    if len(found) != 1 or not found[0].startswith(word):
        problem = "More than one federation begins" if len(found) > 1 else "No federation begins"
        raise UsageError(f"{problem} with {word}. learningchain fed list shows the ids")
    return found[0]


async def _latest(node: Client, to_join: bool) -> str:
    own = (await node.status())["id"]
    found = [] if to_join else [*await node.federations(sponsor=own, limit=1), *await node.federations(member=own, limit=1)]
    found = found or await node.federations(live=True, limit=1)
    if not found:
        raise UsageError(
            "There is no federation that lives. See those that ended: learningchain fed list; or open one: learningchain fed open "
            "--help"
        )
    return max(found, key=lambda one: one["number"])["id"]
