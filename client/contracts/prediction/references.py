"""How models, requests and policies are named where one is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from learningchain.client.sdk.types import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from learningchain.client.cli.common import Common
    from learningchain.client.sdk.client import Client

_HEX = frozenset("0123456789abcdef")


async def find_model(node: Client, common: Common, text: str) -> str:
    """As `model_id`; an owner may be typed by a name that the address book has. Raises `UsageError`."""
    owner, slash, name = text.rpartition("/")
    return await model_id(node, f"{common.account(owner)}/{name}" if slash else text)


async def model_id(node: Client, text: str) -> str:
    """The full id behind an id, the beginning of one, `lc1.../NAME`, or a name of this node's own. Raises `UsageError`.

    A bare name is never a stranger's: anybody may call a model so.
    """
    if "/" in text:
        return (await node.model(text))["id"]
    if _is_hex(text) and len(text) == 64:
        return text
    own = (await node.status())["id"]
    mine = await node.models(owner=own, name=text, limit=2) if _is_name(text) else []
    if mine:
        return mine[0]["id"]
    if not _is_hex(text):
        raise UsageError(
            f"This node has registered no model called {text[:64]!r}. Another's is named by its owner, as lc1.../{text[:64]}, "
            "or by its id (learningchain model list)"
        )
    return await _beginning(text, "model", "model list", lambda word: node.models(beginning=word, limit=2))


async def find_request(node: Client, text: str) -> str:
    """The full id behind an id, the beginning of one, or `latest`, the newest of this node's. Raises `UsageError`."""
    word = text.lower()
    if word == "latest":
        own = (await node.status())["id"]
        if newest := await node.predictions(requester=own, limit=1):
            return newest[0]["id"]
        raise UsageError("This node has asked nothing yet. Ask a model: learningchain predict --help")
    return await _beginning(word, "request", "prediction list", lambda part: node.predictions(beginning=part, limit=2))


async def find_job(node: Client, text: str) -> str:
    """A paid job's full id behind an id, the beginning of one, or `latest`, its newest. Raises `UsageError`."""
    if text.lower() == "latest":
        own = (await node.status())["id"]
        for job in await node.jobs(limit=1_000):
            if job["poster"] == own and job["state"] == "PAID":
                return job["id"]
        raise UsageError("No job of this node was paid yet, so there is no winner to register (learningchain job list)")
    return await _beginning(text.lower(), "job", "job list", lambda part: node.jobs(beginning=part, limit=2))


async def find_policy(node: Client, text: str) -> str:
    """The full id behind an id or the beginning of one. Raises `UsageError`."""

    async def listed(word: str) -> list[Any]:
        return [one for one in await node.policies(limit=1_000) if one["id"].startswith(word)]

    return await _beginning(text.lower(), "policy", "policy list", listed)


async def _beginning(word: str, what: str, command: str, look: Callable[[str], Awaitable[list[Any]]]) -> str:
    if not _is_hex(word) or len(word) > 64:
        raise UsageError(f"{word[:80]!r} is no {what}'s id: ids are up to 64 hex digits (learningchain {command})")
    if len(word) == 64:
        return word
    found = await look(word)
    if len(found) != 1:
        problem = f"More than one {what}" if found else f"No {what}"
        raise UsageError(f"{problem} begins with {word}. learningchain {command} shows the ids")
    return str(found[0]["id"])


def _is_hex(text: str) -> bool:
    return bool(text) and set(text) <= _HEX


def _is_name(text: str) -> bool:
    return 0 < len(text) <= 64 and all(c.isascii() and (c.islower() or c.isdigit() or c in "._-") for c in text)
