"""Jobs lived through by people instead of workers: no container runs, every message is signed here and sent through an API.

For what honest programs never do (false claims, reveals that do not match), and for getting somebody banned quickly.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from learningchain.chain.contracts.job import (
    Arch,
    Ballot,
    BallotCode,
    Capacity,
    Claim,
    CommitVote,
    FloatKind,
    Image,
    ImageKind,
    Limits,
    OnCheat,
    OpenVote,
    PostJob,
    Reveal,
    claim_commitment,
    job_id_of,
    model_id,
    vote_commitment,
)
from learningchain.chain.contracts.membership import SetCapacity
from learningchain.chain.losses import LossTree, Opening
from learningchain.chain.types import parse_loss
from learningchain.client.sdk.types import Json
from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import PATIENCE_S, NodeProcess, Person, credits, eventually

IMAGE = Image(ImageKind.ARCHIVE, "", b"\x01\x55\x12\x20" + bytes(32), bytes(32), 1_000)
"""Well formed; nobody ever runs it."""
CAPACITY = Capacity(Arch.AMD64, 64_000, 65_536, 2**32, 2**32, 3_600)
"""What everybody's machine takes: more than any job here asks for."""
JUDGE = Person("judge", "10", verifier=True)
"""Somebody who could judge: without anybody no job is taken."""
LIMITS = Limits(cpus_milli=1_000, mem_mb=64, train_s=10, eval_s=10, model_cap=10_000, tmp_mb=8, threads=1)


def terms(expiry: int, **changes: Any) -> PostJob:
    plain = PostJob(
        image=IMAGE,
        arch=Arch.AMD64,
        params="",
        bounty=credits(10),
        fee=1_000,
        finalists=3,
        expiry=expiry,
        float_kind=FloatKind.F32,
        tol=0,
        floor=0,
        on_cheat=OnCheat.REFUND,
        limits=LIMITS,
        hidden=[],
        devices=[],
        data=[],
        earlier=[],
    )
    return msgspec.structs.replace(plain, **changes)


async def declare(node: NodeProcess, verifiers: Sequence[Person]) -> None:
    """They say what their machines take, where they have not: who says nothing is not drawn."""
    for verifier in verifiers:
        if (await node.api.account(verifier.address))["capacity"] is None:
            await verifier.send(node, SetCapacity(CAPACITY))


async def post(contractor: Person, node: NodeProcess, *, open_ms: int = 1_500, **changes: Any) -> str:
    """A job of `contractor` that expires that soon; its id."""
    clock = (await node.api.status())["clock_now"]
    done = await contractor.send(node, terms(clock + open_ms, **changes))
    return job_id_of(bytes.fromhex(done["tx"]), 0).hex()


@dataclass(frozen=True)
class Announced:
    """A claim with what opens it."""

    job: str
    who: Person
    claim: Claim
    opening: Reveal


def announcement(chain_id: bytes, job: str, who: Person, loss: str, *, count: int = 1) -> Announced:
    model, salt, ref = b"\x01\x55\x12\x20" + secrets.token_bytes(32), secrets.token_bytes(32), bytes.fromhex(job)
    sealed = claim_commitment(chain_id, ref, who.id, model_id(model), salt)
    return Announced(job, who, Claim(ref, parse_loss(loss), sealed, True), Reveal(ref, count, model, 100, salt))


async def vote(node: NodeProcess, job: str, voters: Sequence[Person], measured: str) -> None:
    """All of the committee measure the same on the one candidate, and say that it is false."""
    chain_id, ref = bytes.fromhex((await node.api.status())["chain_id"]), bytes.fromhex(job)
    ballot, opening = measuring(BallotCode.FALSE, parse_loss(measured))
    view = await node.job_in(job, "COMMIT")
    audit, round_ = view["audit"], view["round"]
    salts = {voter.name: secrets.token_bytes(32) for voter in voters}
    for voter in voters:
        sealed = vote_commitment(chain_id, ref, audit, round_, voter.id, [ballot], salts[voter.name])
        await voter.send(node, CommitVote(ref, audit, round_, sealed))
    await node.job_in(job, "COUNT")
    for voter in voters:
        await voter.send(node, OpenVote(ref, audit, round_, [ballot], salts[voter.name], 0, False, [opening]))


def measuring(code: BallotCode, loss: int) -> tuple[Ballot, Opening]:
    """An evaluation of one example, and its opening, which is the same for every probe."""
    return Ballot(int(code), [LossTree([loss]).measurement], [], False), Opening([], [loss], [])


async def suspend(graph: ClockedGraph, node: NodeProcess, contractor: Person, liar: Person, verifiers: Sequence[Person]) -> str:
    """A false claim, found false by everybody: the liar is suspended. The job's id."""
    await declare(node, verifiers)
    job = await post(contractor, node, open_ms=HOUR_MS)
    lie = announcement(graph.genesis.chain_id, job, liar, "0.001")
    await liar.send(node, lie.claim)
    await graph.clock.advance(HOUR_MS)
    await node.job_in(job, "REVEAL")
    await liar.send(node, lie.opening)
    await vote(node, job, verifiers, "0.9")
    await standing(node, liar.address, "suspended")
    return job


async def ban(graph: ClockedGraph, node: NodeProcess, contractor: Person, liar: Person, verifiers: Sequence[Person]) -> str:
    """... and the validators confirm it: banned when the appeal is over."""
    job = await suspend(graph, node, contractor, liar, verifiers)
    await node.api.judge(liar.address, confirm=True, wait=PATIENCE_S)
    await graph.clock.advance(graph.params.appeal)
    await standing(node, liar.address, "banned")
    return job


async def standing(node: NodeProcess, account: str, *wanted: str) -> Json:
    async def there() -> Json | None:
        found = await node.api.account(account)
        return dict(found) if found["status"] in wanted else None

    return await eventually(f"{account} is {' or '.join(wanted)} for {node.name}", there)
