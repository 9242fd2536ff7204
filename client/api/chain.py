"""The chain: blocks, transactions, and signed transactions that somebody else made."""

from __future__ import annotations

import asyncio
import re

from learningchain.chain.errors import InvalidTx, TxCode
from learningchain.client.api.errors import RequestError, invalid, not_found, not_kept
from learningchain.client.api.route import Call, Reply, Route, parse_field, parse_hash
from learningchain.client.api.submit import answer, sends
from learningchain.client.keys.tokens import TokenScope
from learningchain.client.schema.bodies import (
    BlockView,
    HandoversQuery,
    HandoversView,
    RawBlockView,
    RawTxRequest,
    RawTxsRequest,
    ReceiptProof,
    StateProofView,
    TxRefused,
    TxsAnswer,
    TxView,
)
from learningchain.client.schema.render import Json

SLICE = 32
"""Transactions of a batch that are checked in one go: about two milliseconds."""
ROOM_S = 2.0
"""For how long an offer waits for room."""
_HEIGHT = re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII)


def _parse_height(text: str) -> int:
    if not _HEIGHT.fullmatch(text):
        raise ValueError("a height is a decimal number, or latest")
    return int(text)


async def get_block(call: Call) -> Json:
    text = call.path("height")
    height = call.node.ledger.height if text == "latest" else parse_field("height", _parse_height, text)
    block = await call.node.block(height)
    if block is None:
        raise _no_block(call, height)
    return block


async def get_raw_block(call: Call) -> Json:
    """At most as many at a time as files are sent: a block has four million bytes."""
    height = parse_field("block", _parse_height, call.path("block"))
    with call.context.downloads.take(call.token):
        found = await call.node.raw_block(height)
    if found is None:
        raise _no_block(call, height)
    return found


async def get_tx(call: Call) -> Json:
    tx = parse_field("tx", parse_hash, call.path("tx"))
    found = await call.node.tx(tx)
    if found is None:
        first = first_block(call)
        earlier = "" if first == 1 else f", or stands in a block before {first}, which an archive node keeps and this one does not"
        raise not_found(
            f"Transaction {tx.hex()} stands in no block here: it is pending, was dropped, or never existed{earlier}. Try again"
        )
    return found


async def get_receipt(call: Call) -> Json:
    height = parse_field("block", _parse_height, call.path("block"))
    index = parse_field("index", _parse_height, call.path("index"))
    found = await call.node.receipt(height, index)
    if found is None:
        check_kept(call, height)
        raise not_found(f"This node has no receipt {index} of block {height}: a block with n transactions has n + 1, its own first")
    return found


_KEY = re.compile(r"(?:[0-9a-f]{2}){1,255}", re.ASCII)


def parse_key(text: str) -> bytes:
    if not _KEY.fullmatch(text):
        raise ValueError("1 to 255 bytes in lower-case hex are expected, as LC-MRK-7 makes a key")
    return bytes.fromhex(text)


async def get_proof(call: Call) -> Json:
    found = await call.node.prove(parse_field("key", parse_key, call.path("key")))
    if found is None:
        raise not_found("No block is final here yet: before the first one nothing is signed. Try again later")
    return found


async def get_handovers(call: Call) -> Json:
    query: HandoversQuery = call.query
    return await call.node.validator_changes(query.start, query.limit)


def first_block(call: Call) -> int:
    """The first one that this node keeps."""
    first: int = call.node.status().get("first_block", 1)
    return first


def check_kept(call: Call, height: int) -> None:
    """Raises NOT_KEPT where a block was final and is not kept here."""
    first = first_block(call)
    if 1 <= height < first:
        raise not_kept(f"Block {height} is not kept here", first)


def _no_block(call: Call, height: int) -> RequestError:
    check_kept(call, height)
    newest, first = call.node.ledger.height, first_block(call)
    return not_found(f"This node has no block {height}: its newest is {newest}, the first is {first}. Ask for one of these")


def _parse_raw(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError("the bytes of a signed transaction in hex are expected") from None


async def _admit(call: Call) -> None:
    """Who offers more than the graph can take waits here, and is refused in the end: what was taken must get into blocks."""
    if not await call.node.ledger.room(ROOM_S):
        raise InvalidTx(TxCode.MEMPOOL_FULL, f"this node has had more to do than it can for {ROOM_S:g} s; try again later")


async def post_tx(call: Call) -> Reply:
    body: RawTxRequest = call.body
    raw = parse_field("raw", _parse_raw, body.raw)
    try:
        await _admit(call)
        tx = await call.node.ledger.submit_raw(raw)
    except InvalidTx as e:
        raise invalid("The transaction was not accepted", e) from None
    return await answer(call, "The transaction", tx)


async def post_txs(call: Call) -> TxsAnswer:
    """Each stands for itself: one that is refused holds up no other, but where this node is full all that follow are refused.

    Votes do not wait: the loop comes round between slices.
    """
    body: RawTxsRequest = call.body
    raws = [parse_field(f"raws[{i}]", _parse_raw, text) for i, text in enumerate(body.raws)]
    txs, refused = [], []
    for index, raw in enumerate(raws):
        try:
            if index % SLICE == 0:
                await _admit(call)
            txs.append((await call.node.ledger.submit_raw(raw)).hex())
        except InvalidTx as e:
            why = invalid("The transaction was not accepted", e).body
            last = len(raws) if e.code == TxCode.MEMPOOL_FULL else index + 1
            refused += [TxRefused(index=i, code=int(e.code), name=why.name, message=why.message) for i in range(index, last)]
            if last == len(raws):
                break
        if index % SLICE == SLICE - 1:
            await asyncio.sleep(0)
    return TxsAnswer(txs=txs, refused=refused)


ROUTES = (
    Route("GET", "/v1/blocks/{height}", "A block by height, or latest", get_block, BlockView, failures=(404,)),
    Route(
        "GET",
        "/v1/blocks/{block}/raw",
        "A whole block and its certificate, as they are signed",
        get_raw_block,
        RawBlockView,
        failures=(404,),
    ),
    Route(
        "GET",
        "/v1/blocks/{block}/receipts/{index}",
        "A receipt with its proof; 0 is the block's own",
        get_receipt,
        ReceiptProof,
        failures=(404,),
    ),
    Route(
        "GET",
        "/v1/proofs/{key}",
        "A record of the state, or its absence, with its proof",
        get_proof,
        StateProofView,
        failures=(404,),
    ),
    Route(
        "GET",
        "/v1/handovers",
        "Final headers that name another validator set",
        get_handovers,
        HandoversView,
        query=HandoversQuery,
    ),
    Route("GET", "/v1/tx/{tx}", "A final transaction with its receipt", get_tx, TxView, failures=(404,)),
    sends("/v1/tx", "Offer a signed transaction", post_tx, RawTxRequest, failures=(409, 422), scope=TokenScope.POST),
    Route("POST", "/v1/txs", "Offer many signed transactions at once", post_txs, TxsAnswer, RawTxsRequest, scope=TokenScope.POST),
)
