"""The owner's own data on this node's engine (docs/data.md): what there is, and removing some.

Adding stays off HTTP: it reads folders of this machine, which no token of a program should open. A digest of own data is their
owner's: who guesses their contents can check the guess against it, and see in which federations they are, for what stands on the
ledger is made of it (LC-FILE-48)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learningchain.client.api.errors import not_found, unavailable, usage
from learningchain.client.api.route import Call, Route
from learningchain.client.keys.tokens import TokenScope
from learningchain.client.schema.bodies import DataRemoved, OwnDataView
from learningchain.client.schema.render import Json

if TYPE_CHECKING:
    from learningchain.sandbox import OwnData


async def get_data(call: Call) -> list[Json]:
    """Where they came from is no matter of whoever has a token; what they are, of one that may do everything."""
    shows = call.token.scope >= TokenScope.ALL
    return [_view(own) | ({} if shows else {"digest": None}) for own in await _kept(call)]


async def delete_data(call: Call) -> Json:
    from learningchain.sandbox import DataRefused, SandboxError  # the engine's client loads after the node's start
    from learningchain.sandbox.data import check_own_name

    name = call.path("name")
    try:
        check_own_name(name)
    except ValueError as problem:
        raise usage(f"The name is not valid: {problem}") from None
    if name not in {own.name for own in await _kept(call)}:
        raise not_found(f"This node keeps no data called {name}. GET /v1/data lists them", name="NO_SUCH_DATA")
    try:
        await call.node.work.engine.remove_data(name)
    except DataRefused as problem:
        raise usage(f"The data are not removed: {problem}", name="DATA_IN_USE", status=409) from None
    except (SandboxError, OSError) as problem:
        raise unavailable(f"The data are not removed: {problem}. Look after the container engine", name="ENGINE") from None
    return {"name": name, "removed": True}


async def _kept(call: Call) -> list[OwnData]:
    from learningchain.sandbox import SandboxError  # the engine's client loads after the node's start

    try:
        return await call.node.work.engine.own_data()
    except (SandboxError, OSError) as problem:
        raise unavailable(f"The data of this node cannot be looked at: {problem}", name="DISK") from None


def _view(own: OwnData) -> Json:
    return {
        "name": own.name,
        "digest": own.digest.hex(),
        "files": own.files,
        "bytes": own.size,
        "schema": own.notes.get("schema"),
    }


ROUTES = (
    Route("GET", "/v1/data", "The owner's own data on this node's engine", get_data, list[OwnDataView]),
    Route(
        "DELETE",
        "/v1/data/{name}",
        "Remove own data from this node's engine; the folder that they came from stays",
        delete_data,
        DataRemoved,
        failures=(404, 409),
    ),
)
