"""What only the requester's node knows of a request: the key of a private one, and its callback."""

from __future__ import annotations

from typing import Any

from learningchain.chain.contracts.prediction.records import RequestTerms, terms_key
from learningchain.chain.crypto import sha256
from learningchain.chain.host import Reader
from learningchain.client.api.callbacks import NoCallback, WantedCallback, service_of
from learningchain.client.api.errors import not_found, usage
from learningchain.client.api.route import Call, parse_field, parse_hash
from learningchain.client.callbacks.service import shown
from learningchain.client.contracts.prediction.proven import plain_document
from learningchain.client.contracts.prediction.roles.private import KEY, of_key
from learningchain.client.keys.tokens import TokenScope
from learningchain.client.schema.render import Json

SOURCE = "prediction"
"""What this contract is called among the callbacks."""


def wanted_callback(call: Call) -> WantedCallback | NoCallback:
    """The one that the request asks for. Raises `RequestError`."""
    body: Any = call.body
    if body.callback is None:
        if body.callback_secret is not None:
            raise usage("callback_secret signs what callback is told. Give callback, or leave both out")
        return NoCallback()
    return WantedCallback(call, SOURCE, body.callback, body.callback_secret)


async def keep_key(call: Call, key: bytes) -> None:
    """On the disk when this returns: without it nobody could open the request to its seats."""
    await call.node.work.stores.secrets.keep(of_key(key))


async def own_part(call: Call, reader: Reader, request: bytes) -> Json:
    """What this node adds to what everybody knows."""
    return {"callback": await _callback(call, request), "plain": await _plain(call, reader, request)}


async def _callback(call: Call, request: bytes) -> Json | None:
    if call.node.callbacks is None:
        return None
    found = await service_of(call).show(request)
    if found is None or (call.token.scope < TokenScope.ALL and found[0].owner != call.token.id):
        return None
    return shown(*found)


async def _plain(call: Call, reader: Reader, request: bytes) -> Json | None:
    if call.token.scope < TokenScope.PREDICT or (key := await _key_of(call, reader, request)) is None:
        return None
    return plain_document(reader, request, key)


async def _key_of(call: Call, reader: Reader, request: bytes) -> bytes | None:
    """Where this node has it."""
    asked = reader.get(terms_key(request))
    if not isinstance(asked, RequestTerms) or not asked.terms.key_hash:
        return None
    wanted = asked.terms.key_hash[0]
    return next((one.blob for one in await call.node.work.stores.secrets.of(KEY, wanted) if sha256(one.blob) == wanted), None)


async def get_prediction_key(call: Call) -> Json:
    request = parse_field("request", parse_hash, call.path("request"))
    key = await _key_of(call, call.node.ledger.state, request)
    if key is None:
        raise not_found(
            f"This node has no key of a private request {request.hex()}: another node asked it, it is not private, or its records "
            "left the state",
            name="NO_SUCH_KEY",
        )
    return {"request": request.hex(), "key": key.hex()}
