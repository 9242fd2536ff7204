"""The owner's other machines, which train for this node (docs/machines.md): which there are, and who may become one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learningchain.client.api.errors import RequestError, not_found, usage
from learningchain.client.api.route import Call, Route, parse_field
from learningchain.client.schema.bodies import (
    DrainRequest,
    MachineDrained,
    MachineRemoved,
    MachineRequest,
    MachineToken,
    MachineView,
)
from learningchain.client.schema.render import Json
from learningchain.p2p.address_book import parse_endpoint

if TYPE_CHECKING:
    from learningchain.client.machines.hub import MachineHub


async def get_machines(call: Call) -> list[Json]:
    hub = call.node.machines
    return [] if hub is None else hub.shown()


async def post_machine(call: Call) -> Json:
    from learningchain.client.machines.book import MachineError  # loads after the node's start

    wanted = call.body
    if wanted.address:
        parse_field("address", parse_endpoint, wanted.address)
    try:
        token, until = _hub(call).add(wanted.name, wanted.address)
    except MachineError as problem:
        raise usage(str(problem), name="MACHINE", status=409) from None
    return {"name": wanted.name, "token": token, "until": until}


async def put_machine(call: Call) -> Json:
    from learningchain.client.machines.book import MachineError

    name = call.path("name")
    try:
        if not _hub(call).drain(name, call.body.drain):
            raise _none(name)
    except MachineError as problem:
        raise usage(str(problem), name="MACHINE", status=409) from None
    return {"name": name, "drain": call.body.drain}


async def delete_machine(call: Call) -> Json:
    from learningchain.client.machines.book import MachineError

    name = call.path("name")
    try:
        if not _hub(call).remove(name):
            raise _none(name)
    except MachineError as problem:
        raise usage(str(problem), name="MACHINE", status=409) from None
    return {"name": name, "removed": True}


def _none(name: str) -> RequestError:
    return not_found(f"This node has no machine {name[:40]!r}. GET /v1/machines lists them", name="NO_SUCH_MACHINE")


def _hub(call: Call) -> MachineHub:
    hub = call.node.machines
    if hub is None:
        raise usage(
            "This node takes no other machines. Say where they reach it, then start it again: learningchain config set "
            "cluster.listen HOST:PORT, and learningchain config set cluster.kind static",
            name="NO_MACHINES",
            status=409,
        )
    return hub


ROUTES = (
    Route("GET", "/v1/machines", "Other machines that train for this node", get_machines, list[MachineView]),
    Route(
        "POST",
        "/v1/machines",
        "Make a token with which one machine joins; it is told once, and good for an hour",
        post_machine,
        MachineToken,
        MachineRequest,
        failures=(409,),
    ),
    Route(
        "PUT",
        "/v1/machines/{name}",
        "Let a machine take no further run, or some again; those that it has go on",
        put_machine,
        MachineDrained,
        DrainRequest,
        failures=(404, 409),
    ),
    Route(
        "DELETE",
        "/v1/machines/{name}",
        "Let a machine train for this node no more; its runs end",
        delete_machine,
        MachineRemoved,
        failures=(404, 409),
    ),
)
