"""How a job is named where one is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learningchain.client.sdk.types import UsageError

if TYPE_CHECKING:
    from learningchain.client.sdk.client import Client


async def find(node: Client, text: str) -> str:
    """The full id behind an id, the beginning of one, or `latest`. Raises `UsageError`."""
    word = text.lower()
    if word == "latest":
        if newest := await node.jobs(limit=1):
            return str(newest[0]["id"])
        raise UsageError("There is no job yet. Post one: learningchain job submit --help")
    if not word or any(c not in "0123456789abcdef" for c in word) or len(word) > 64:
        raise UsageError(f"{text[:80]!r} is no job id: ids are up to 64 hex digits (learningchain job list)")
    if len(word) == 64:
        return word
    found = [str(job["id"]) for job in await node.jobs(beginning=word, limit=2)]
    if len(found) != 1 or not found[0].startswith(word):
        problem = "More than one job begins" if len(found) > 1 else "No job begins"
        raise UsageError(f"{problem} with {word}. learningchain job list shows the ids")
    return found[0]
