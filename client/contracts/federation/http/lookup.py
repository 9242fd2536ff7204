"""Where a federation's records are: in the state, or among those that left it, which this node's archive has."""

from __future__ import annotations

from collections.abc import Sequence

from learningchain.chain.contracts.federation import records
from learningchain.chain.host import Reader
from learningchain.client.api.chain import first_block
from learningchain.client.api.errors import RequestError, not_found
from learningchain.client.api.route import Call, parse_field, parse_hash


async def readers_of(call: Call, federations: Sequence[bytes], *, whole: bool = False) -> dict[bytes, tuple[Reader, int | None]]:
    """Who knows each, and the height at which it left the state; without those that nobody knows. `whole`: also what left the
    state of one that is in it, as its older rounds did."""
    state = call.node.ledger.state
    here = {one for one in federations if state.get(records.posting_key(one)) is not None}
    found: dict[bytes, tuple[Reader, int | None]] = dict.fromkeys(here, (state, None))
    if wanted := [one for one in federations if whole or one not in here]:
        for one, past in (await call.node.archived(wanted)).items():
            if one in here or past.reader.get(records.posting_key(one)) is not None:
                found[one] = past.reader, None if one in here else past.height
    return found


async def known(call: Call, *, whole: bool = False) -> tuple[bytes, Reader, int | None]:
    federation = parse_field("federation", parse_hash, call.path("federation"))
    found = (await readers_of(call, [federation], whole=whole)).get(federation)
    if found is None:
        raise unknown(call, federation)
    return federation, *found


def unknown(call: Call, federation: bytes) -> RequestError:
    text = f"There is no federation {federation.hex()} on this network"
    first = first_block(call)
    if first > 1:
        text += f", or its records left the state before block {first}, where this node's blocks begin: an archive node knows it"
    return not_found(f"{text}. GET /v1/federations lists the federations", name="NO_SUCH_FEDERATION")
