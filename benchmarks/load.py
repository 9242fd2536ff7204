"""Signed transactions: made in advance by two processes, offered in batches, counted as blocks report them final."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

import aiohttp
import msgspec

from benchmarks.graph import Graph, Member
from benchmarks.link import Link
from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.crypto import SigningKey, account_id
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.types import TxBody, net_of

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
    round: int = 0
    """In which it was proposed: above zero, a round before it had failed."""


@dataclass
class Ledger:
    """What one node reports."""

    blocks: list[Block] = field(default_factory=list)
    committed: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


Plans = dict[int, list[list[bytes]]]
"""Of each payer, by its number: its transactions, each a list of encoded messages."""


def _sign(args: tuple[bytes, bytes, int, list[list[bytes]]]) -> list[str]:
    chain_id, secret, first, plan = args
    key = SigningKey(secret)
    own, net = account_id(key.public), net_of(chain_id)
    bodies = (
        TxBody(net, own, 0, first + i, VALID_UNTIL, [msgspec.Raw(message) for message in messages])
        for i, messages in enumerate(plan)
    )
    return [sign_tx(key, chain_id, body).hex() for body in bodies]


def sign(graph: Graph, firsts: dict[int, int], plans: Plans) -> dict[int, list[str]]:
    """The transactions of every payer in `plans` from its sequence in `firsts` on, in hex. Takes two processes."""
    jobs = [(graph.genesis.chain_id, graph.payers[i].secret, firsts[i], plan) for i, plan in plans.items()]
    with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as pool:
        return dict(zip(plans, pool.map(_sign, jobs), strict=True))


def transfers(graph: Graph, payers: int, each: int, messages: int = 1) -> Plans:
    """`each` transactions of so many payers, with `messages` transfers in each, to the next payer."""
    ids = [account_id(key.public) for key in graph.payers[:payers]]
    to_next = [encode(Transfer(ids[(i + 1) % payers], 1, b"")) for i in range(payers)]
    return {i: [[to_next[i]] * messages] * each for i in range(payers)}


def requests(queues: list[list[str]]) -> list[tuple[int, bytes]]:
    """(number of transactions, body of a request): a slice of one payer after the other, in the order of their sequences."""
    slices = [queue[i : i + BATCH] for i in range(0, max(map(len, queues), default=0), BATCH) for queue in queues]
    return [(len(one), json.dumps({"raws": one}).encode()) for one in slices if one]


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
        kind = b""
        async for line in stream.content:
            if line.startswith(b"event:"):
                kind = line[6:].strip()
            elif line.startswith(b"data:") and kind == b"block":
                data = json.loads(line[5:])
                yield Block(data["height"], data["time"], data["txs"], time.monotonic(), data["round"])


async def offer(member: Member, bodies: list[tuple[int, bytes]], ledger: Ledger, outstanding: int, sent: list[int]) -> None:
    """Keeps up to `outstanding` transactions of all feeders together on their way, until there are no more.

    Raises `RuntimeError` with the refusals, for then the figures mean nothing.
    """
    async with Link(member.url, member.headers()) as link:
        for count, body in bodies:
            while sent[0] - ledger.committed + count > outstanding:
                ledger.changed.clear()
                await ledger.changed.wait()
            sent[0] += count
            status, answer = await link.post("/v1/txs", body)
            if status != 200 or b'"refused":[]' not in answer:
                raise RuntimeError(f"{member.name} refused transactions: {status}, {answer[-500:]!r}")
