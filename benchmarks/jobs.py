"""Postings of jobs and claims on them instead of transfers: the ledger's real messages, each under its own signature."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from benchmarks.graph import Graph
from benchmarks.load import Plans
from benchmarks.throughput import Throughput, prepare, throughput
from learningchain.chain.codec import encode
from learningchain.chain.contracts.job import Claim, FloatKind, Image, ImageKind, Limits, OnCheat, PostJob, job_id_of
from learningchain.chain.contracts.job.messages import bond, fees_locked
from learningchain.chain.contracts.membership import SetCapacity
from learningchain.chain.host.terms import Arch, Capacity
from learningchain.chain.params import CREDIT
from learningchain.chain.types import tx_id

BOUNTY, FEE, FINALISTS = CREDIT, 360, 3
CAPACITY = Capacity(Arch.AMD64, 1_000, 256, 50_000_000, 1_000_000, 30)
_DAY_MS = 24 * 3_600_000
_CID = b"\x01\x55\x12\x20"


@dataclass(frozen=True)
class Jobs:
    posts: Throughput
    claims: Throughput
    per_s: float
    """A posting and a claim on it in turns: the harmonic mean of their two rates."""


def posting(number: int, now: float) -> PostJob:
    """As a contractor posts it: an archive as image, a small bounty, open for a day."""
    digest = hashlib.sha256(number.to_bytes(8, "big")).digest()
    return PostJob(
        image=Image(ImageKind.ARCHIVE, "", _CID + digest, digest, 50_000_000),
        arch=Arch.AMD64,
        params='{"epochs":3}',
        bounty=BOUNTY,
        fee=FEE,
        finalists=FINALISTS,
        expiry=int(now * 1000) + _DAY_MS,
        float_kind=FloatKind.F64,
        tol=1_000,
        floor=0,
        on_cheat=OnCheat.REFUND,
        limits=Limits(1_000, 256, 60, 30, 1_000_000, 64, 1),
        hidden=[],
        devices=[],
        data=[],
        earlier=[],
    )


LOCKED = BOUNTY + fees_locked(posting(0, 0)) + bond(posting(0, 0))
"""What one posting takes from its contractor until it ends."""


def postings(count: int, each: int) -> Plans:
    now = time.time()
    return {i: [[encode(posting(i * each + j, now))] for j in range(each)] for i in range(count)}


def claims(posted: dict[int, list[bytes]]) -> Plans:
    """One claim on every job of a payer by the next payer."""
    return {
        (i + 1) % len(posted): [[encode(Claim(job, 500_000_000, hashlib.sha256(job).digest(), True))] for job in jobs]
        for i, jobs in posted.items()
    }


async def measure_jobs(graph: Graph, each: int, outstanding: int) -> Jobs:
    """Every payer posts `each` jobs, then claims its neighbour's. What they lock is checked to the last micro-credit.

    All of them could judge as well: a job is accepted where enough have declared that they can.
    """
    count = len(graph.payers)
    declared = await prepare(graph, {i: [[encode(SetCapacity(CAPACITY))]] for i in range(count)})
    await throughput(graph, declared, outstanding, paid=0)
    signed = await prepare(graph, postings(count, each))
    posts = await throughput(graph, signed, outstanding, paid=count * each * LOCKED)
    posted = {i: [job_id_of(tx_id(bytes.fromhex(raw)), 0) for raw in raws] for i, raws in signed.raws.items()}
    answer = await prepare(graph, claims(posted))
    claimed = await throughput(graph, answer, outstanding, paid=count * each * (BOUNTY // 10))
    return Jobs(posts, claimed, 2 / (1 / posts.per_s + 1 / claimed.per_s))
