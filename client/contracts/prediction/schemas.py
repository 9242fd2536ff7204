"""Schemas of models as this node has them, and rows of a request checked by them before anything is sent or paid."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import msgspec

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.messages import MAX_INPUT, RegisterModel
from learningchain.chain.contracts.prediction.records import ModelRecord
from learningchain.chain.types import cid_text
from learningchain.client.api.errors import unavailable, usage
from learningchain.client.api.route import Call
from learningchain.client.contracts.prediction.http.model_schema import (
    MAX_SCHEMA_BYTES,
    BadRow,
    BadSchema,
    ModelSchema,
    decode_rows,
    encode_rows,
    parse_schema,
)
from learningchain.client.contracts.prediction.http.postings import find_model
from learningchain.client.contracts.prediction.http.schema import PredictionRequest
from learningchain.client.contracts.prediction.roles.private import plain_input
from learningchain.client.keys.hidden import BadKey
from learningchain.p2p.content.faults import FetchFailed, StoreError

FETCH_S = 20.0
"""How long a schema, or the rows of a request, are fetched from the graph."""
KEPT = 64
"""Schemas that an API keeps read."""


@dataclass
class _Schemas:
    by_cid: dict[bytes, ModelSchema] = field(default_factory=dict)


_KEPT: WeakKeyDictionary[object, _Schemas] = WeakKeyDictionary()


async def schema_of(call: Call, terms: RegisterModel, name: str) -> ModelSchema | None:
    """A model's schema; None where it has none. Raises RequestError where it cannot be had or is none."""
    if not terms.schema:
        return None
    kept = _KEPT.setdefault(call.context.followers, _Schemas()).by_cid
    if (known := kept.get(terms.schema)) is not None and known.fits(terms.classes) is None:
        return known
    try:
        path = await call.node.files.fetch(cid_text(terms.schema), max_size=MAX_SCHEMA_BYTES, timeout_s=FETCH_S)
        schema = parse_schema(await asyncio.to_thread(path.read_bytes))
    except (FetchFailed, StoreError, OSError, TimeoutError) as e:
        text = f"The schema of model {name[:160]} cannot be had now, nothing was sent: {e}. Try again later"
        raise unavailable(text, name="NO_SCHEMA") from None
    except BadSchema as e:
        raise usage(f"The schema of model {name[:160]} says nothing clear, nothing was sent: {e}", name="BAD_SCHEMA") from None
    if (why := schema.fits(terms.classes)) is not None:
        raise usage(f"The schema of model {name[:160]} is not its own, nothing was sent: {why}", name="BAD_SCHEMA")
    if len(kept) >= KEPT:
        kept.pop(next(iter(kept)))
    kept[terms.schema] = schema
    return schema


async def fitted(call: Call) -> PredictionRequest:
    """The request with its rows as the model takes them. Raises RequestError: it names row, column, value and what may stand there;
    also where there is a schema that cannot be used, unless the caller says `unchecked`. What has none is sent as it is."""
    body: PredictionRequest = call.body
    if body.unchecked or sum(one is not None for one in (body.rows, body.input, body.data)) != 1:
        return body
    state = call.node.ledger.state
    record = state.get(records.model_key(find_model(state, body.model)))
    schema = await schema_of(call, record.terms, body.model) if isinstance(record, ModelRecord) else None
    if schema is None:
        return body
    try:
        if body.rows is not None:
            text = await asyncio.to_thread(encode_rows, schema, body.rows)
        else:
            raw = await _text(call, body)
            text = await asyncio.to_thread(lambda: encode_rows(schema, decode_rows(schema, raw)))
            if body.data is not None and text == raw:
                return body
    except BadRow as e:
        raise usage(f"The rows do not fit the model, nothing was sent: {e}. Correct the row", name="BAD_ROW") from None
    # What came encrypted and has to be written anew is encrypted anew by this node.
    hidden = body.private or body.key is not None
    return msgspec.structs.replace(body, rows=None, data=None, count=None, input=text.decode(), private=hidden, key=None)


async def _text(call: Call, body: PredictionRequest) -> bytes:
    if body.data is None:
        return (body.input or "").encode("utf-8", "surrogatepass")
    try:
        path = await call.node.files.fetch(body.data.cid, max_size=MAX_INPUT, timeout_s=FETCH_S)
        raw = await asyncio.to_thread(path.read_bytes)
        return raw if body.key is None else plain_input(raw, bytes.fromhex(body.key))
    except BadKey as e:
        raise usage(f"key is not valid: {e}. Give the one under which data was encrypted") from None
    except (FetchFailed, StoreError, OSError, TimeoutError, ValueError) as e:
        raise unavailable(f"The rows {body.data.cid[:80]} cannot be had: {e}. Upload them first", name="NO_DATA") from None
