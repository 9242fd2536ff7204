"""Signed transfers: made in advance by several processes, offered in batches, counted as blocks report them final."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import aiohttp
import msgspec

from benchmarks.graph import Graph, Member
from chain.codec import encode
from chain.contracts.credits import Transfer
from chain.crypto import SigningKey, account_id
from chain.ledger.tx import sign_tx
from chain.types import TxBody, net_of

VALID_UNTIL = 90_000
BATCH = 250
_PROCESSES = 2


@dataclass(frozen=True)
class Block:
    """A final block as a node's event stream told it; `seen` is this machine's steady clock in seconds."""

    height: int
    time: int
    txs: int
    seen: float


@dataclass
class Ledger:
    """What one node reports."""

    blocks: list[Block] = field(default_factory=list)
    committed: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


def _sign(args: tuple[bytes, bytes, bytes, int, int]) -> list[str]:
    chain_id, secret, target, first, count = args
    key = SigningKey(secret)
    own, op = account_id(key.public), [msgspec.Raw(encode(Transfer(target, 1, b"")))]
    net = net_of(chain_id)
    return [sign_tx(key, chain_id, TxBody(net, own, 0, first + i, VALID_UNTIL, op)).hex() for i in range(count)]


def sign_transfers(graph: Graph, firsts: dict[int, int], each: int) -> dict[int, list[str]]:
    """`each` transfers of every payer in `firsts` (its number: its first sequence) to the next payer."""
    ids = [account_id(k.public) for k in graph.payers]
    chain_id = graph.genesis.chain_id
    jobs = [(chain_id, graph.payers[i].secret, ids[(i + 1) % len(ids)], first, each) for i, first in firsts.items()]
    with ProcessPoolExecutor(_PROCESSES) as pool:
        return dict(zip(firsts, pool.map(_sign, jobs), strict=True))


async def follow(graph: Graph, member: Member, ledger: Ledger) -> None:
    """Reads the node's block events for ever."""
    async for block in _events(graph, member):
        ledger.blocks.append(block)
        ledger.committed += block.txs
        ledger.changed.set()


async def _events(graph: Graph, member: Member) -> AsyncIterator[Block]:
    timeout = aiohttp.ClientTimeout(total=None)
    url = f"{member.url}/v1/events?kinds=block"
    async with graph.session.get(url, headers=member.headers(), timeout=timeout) as stream:
        async for line in stream.content:
            if line.startswith(b"data:"):
                data = json.loads(line[5:])
                yield Block(data["height"], data["time"], data["txs"], time.monotonic())


async def submit(graph: Graph, member: Member, raws: list[str]) -> int:
    """Offers a batch; how many were taken. Raises `RuntimeError` with the refusals."""
    async with graph.session.post(f"{member.url}/v1/txs", headers=member.headers(), json={"raws": raws}) as answer:
        body = await answer.json()
        if answer.status != 200 or body["refused"]:
            raise RuntimeError(f"{member.name} refused transfers: {str(body.get('refused', body))[:500]}")
        return len(body["txs"])


async def offer(graph: Graph, member: Member, queues: list[list[str]], ledger: Ledger, outstanding: int, sent: list[int]) -> None:
    """Keeps up to `outstanding` transfers of all feeders together on their way, until the queues are empty.

    Each batch takes a slice of one payer after the other, in the order of their sequences.
    """
    turns = [queue[i : i + BATCH] for i in range(0, max(map(len, queues)), BATCH) for queue in queues]
    for batch in turns:
        while sent[0] - ledger.committed + len(batch) > outstanding:
            ledger.changed.clear()
            await ledger.changed.wait()
        sent[0] += len(batch)
        await submit(graph, member, batch)
