"""Blocks and transactions, and the receipt of everything that moved."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from learningchain.client.api.errors import RequestError
from learningchain.client.dashboard.page import ROWS, Done, Drawn, Nav, PagesPart, Visit, about, page, receipt_answer
from learningchain.client.dashboard.text import flat

BLOCKS = 20
"""Of a list: each is read from the disk."""
NOT_THERE = 404
MISSING = ("NOT_FOUND", "NOT_KEPT")
_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)
_REF = re.compile(r"[0-9a-f]{64}|[0-9]{1,15}-[0-9]{1,5}", re.ASCII)


@page("/dashboard/blocks")
async def blocks(visit: Visit) -> Drawn:
    newest = (await visit.ask("GET /v1/status"))["height"]
    before = visit.number("before")
    top = newest if before is None else min(before - 1, newest)
    found: list[Any] = []
    while len(found) < BLOCKS and top - len(found) >= 1:
        try:
            found.append(await visit.ask("GET /v1/blocks/{height}", {"height": str(top - len(found))}))
        except RequestError as e:
            if e.body.name not in MISSING:
                raise
            break
    last = found[-1]["height"] if len(found) == BLOCKS and found[-1]["height"] > 1 else None
    return Drawn("blocks.html", "Blocks", {"blocks": found, "before": last}, ("blocks",) if before is None else ())


@page("/dashboard/blocks/{height}")
async def one_block(visit: Visit) -> Drawn:
    block = await visit.ask("GET /v1/blocks/{height}", visit.match)
    first = visit.number("from") or 0
    txs = block["txs"][first : first + ROWS]
    following = first + ROWS if first + ROWS < len(block["txs"]) else None
    return Drawn("block.html", f"Block {block['height']}", {"block": block, "txs": txs, "next": following})


@page("/dashboard/tx/{tx}")
async def one_tx(visit: Visit) -> Drawn:
    tx = await visit.ask("GET /v1/tx/{tx}", visit.match)
    ops = [{"name": op["type"], "facts": flat({k: v for k, v in op.items() if k != "type"})[:ROWS]} for op in tx["ops"]]
    events = [flat({k: v for k, v in event.items() if k != "type"})[:ROWS] for event in tx["events"][:ROWS]]
    return Drawn("tx.html", "Transaction", {"tx": tx, "ops": ops, "events": events})


@page("/dashboard/find")
async def find(visit: Visit) -> Done | Drawn:
    """A block by its number; a transaction, or what a contract has a page for (a job, a model), by its id."""
    what = visit.word("what", r"[0-9]{1,15}|[0-9a-f]{64}") or ""
    if not _ID.fullmatch(what):
        return Done(f"/dashboard/blocks/{what}", "")
    for name, folder in sorted(about().items()):
        if await _exists(visit, name, folder, what):
            return Done(folder + what, "")
    return Done(f"/dashboard/tx/{what}", "")


async def _exists(visit: Visit, name: str, folder: str, what: str) -> bool:
    """Whether the API has it: its operation is called as the page is."""
    try:
        await visit.ask(f"GET /v1/{folder.removeprefix('/dashboard/')}{{{name}}}", {name: what})
    except RequestError as e:
        if e.status != NOT_THERE:
            raise
        return False
    return True


@page("/dashboard/receipts/{ref}")
async def receipt(visit: Visit) -> web.Response:
    """The file that convinces a stranger (LC-LIGHT-1)."""
    made = await visit.ask("GET /v1/receipts/{ref}", visit.match)
    name = visit.match["ref"] if _REF.fullmatch(visit.match["ref"]) else "receipt"
    return receipt_answer(name, made)


PART = PagesPart((blocks, one_block, one_tx, find, receipt), (Nav(70, "Blocks", "/dashboard/blocks"),))
