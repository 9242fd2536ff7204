"""Receipt files (LC-LIGHT-1): what convinces a stranger who has the genesis and trusts nobody, each made when it is asked for.

Making one reads one block and at most 1,024 validator set changes, beside the loop; as many are made at the same time as files are
sent.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.receipt_file import MAX_RECORDS
from learningchain.client.api.chain import check_kept, first_block, parse_key
from learningchain.client.api.errors import not_found, not_kept, usage
from learningchain.client.api.route import Call, Route, parse_field, parse_hash
from learningchain.client.schema.bodies import ReceiptFileView, RecordsQuery, TrustedQuery
from learningchain.client.schema.render import Json

_PLACE = re.compile(r"([0-9]{1,15})-([0-9]{1,5})", re.ASCII)


async def _made(call: Call, make: Callable[[], Awaitable[Json | None]], missing: str) -> Json:
    with call.context.downloads.take(call.token):
        try:
            found = await make()
        except Malformed as e:
            raise not_found(f"No receipt can be made: {e}", name="NO_RECEIPT") from None
    if found is None:
        raise not_found(missing)
    return found


async def get_receipt_file(call: Call) -> Json:
    """By a transaction's id, or by height and index as HEIGHT-INDEX."""
    query: TrustedQuery = call.query
    ref = call.path("ref")
    if place := _PLACE.fullmatch(ref):
        height, index = int(place[1]), int(place[2])
        check_kept(call, height)
    else:
        found = await call.node.tx(parse_field("ref", _parse_tx, ref))
        if found is None:
            if (first := first_block(call)) > 1:
                raise not_kept(f"Transaction {ref} stands in no block that is kept here, and so there is no receipt of it", first)
            raise not_found(f"Transaction {ref} stands in no block here: it is pending, was dropped, or never existed. Try again")
        height, index = int(found["height"]), int(found["index"]) + 1
    missing = f"This node has no receipt {index} of block {height}: a block with n transactions has n + 1, its own first"
    return await _made(call, lambda: call.node.receipt_file(height, index, query.trusted), missing)


def _parse_tx(text: str) -> bytes:
    try:
        return parse_hash(text)
    except ValueError:
        raise ValueError("the id of a transaction (64 hex digits), or HEIGHT-INDEX, is expected") from None


async def get_records_file(call: Call) -> Json:
    query: RecordsQuery = call.query
    keys = [parse_field("keys", parse_key, text) for text in query.keys.split(",")]
    if len(keys) > MAX_RECORDS:
        raise usage(f"{len(keys)} keys, a receipt file holds at most {MAX_RECORDS}. Ask for them in turn")
    missing = "No block is final here yet: before the first one nothing is signed. Try again later"
    return await _made(call, lambda: call.node.records_file(keys, query.trusted), missing)


ROUTES = (
    Route(
        "GET",
        "/v1/receipts/{ref}",
        "What became of a transaction, as a file that a stranger can check",
        get_receipt_file,
        ReceiptFileView,
        query=TrustedQuery,
        failures=(404,),
    ),
    Route(
        "GET",
        "/v1/receipts",
        "Records of the state, or their absence, as a file that a stranger can check",
        get_records_file,
        ReceiptFileView,
        query=RecordsQuery,
        failures=(404,),
    ),
)
