"""Thousands of live jobs on real nodes: every one is listed and found, and what accounts have in them is right, also after a
restart and on a node that took blocks over without executing them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from learningchain.chain.contracts.job import job_id_of
from learningchain.chain.contracts.job.messages import bond, fees_locked
from learningchain.client.contracts.job.references import find
from tests.processes.harness import Graph, NodeProcess, Person, Role, validators, with_params
from tests.processes.scripted import JUDGE, declare, post, terms

POSTERS = [Person(f"poster {i}") for i in range(3)]
HONEST = Person("honest")
EACH, BATCH = 1_000, 50
"""Live jobs of each poster, below what one account may have; postings in one transaction."""
BOUNTY, FEE = 1_000, 160
OPEN_MS = 3_600_000
CHEAP = with_params(job_min_bounty=BOUNTY)
TRUSTING = {"sync.mode": "certificates"}


async def crowd(node: NodeProcess) -> list[str]:
    """Every poster's jobs; their ids, the oldest first."""
    expiry = (await node.api.status())["clock_now"] + OPEN_MS
    found = []
    for _ in range(EACH // BATCH):
        for poster in POSTERS:
            done = await poster.send(node, *[terms(expiry, bounty=BOUNTY, fee=FEE)] * BATCH)
            found += [job_id_of(bytes.fromhex(done["tx"]), place).hex() for place in range(BATCH)]
    return found


async def shows_all(node: NodeProcess, jobs: list[str], honest: str) -> None:
    listed: list[str] = []
    before: int | None = None
    while page := await node.api.jobs(live=True, before=before, limit=700):
        listed += [str(job["id"]) for job in page]
        before = page[-1]["number"]
    assert listed == [honest, *reversed(jobs)]
    assert await find(node.api, jobs[0][:16]) == jobs[0], "the oldest of all"
    locked = {account["id"]: Decimal(account["locked"]) * 10**6 for account in await node.api.accounts()}
    cheap, usual = terms(0, bounty=BOUNTY, fee=FEE), terms(0)
    each = EACH * (BOUNTY + fees_locked(cheap) + bond(cheap))
    assert [locked[poster.address] for poster in POSTERS] == [each] * len(POSTERS)
    assert locked[HONEST.address] == 10**7 + fees_locked(usual) + bond(usual)
    supply = await node.api.supply()
    assert Decimal(supply["accounts"]) + Decimal(supply["escrows"]) == Decimal(supply["supply"])
    assert Decimal(supply["escrows"]) * 10**6 == sum(locked.values())


async def test_every_one_of_thousands_of_live_jobs_is_found(tmp_path: Path) -> None:
    roles = [*validators(1), Role("late", settings=TRUSTING)]
    async with Graph(tmp_path, roles, people=[*POSTERS, HONEST, JUDGE], params=CHEAP) as graph:
        node, late = graph["v0"], graph["late"]
        await graph.start("v0")
        await declare(node, [JUDGE])
        jobs = await crowd(node)
        honest = await post(HONEST, node, open_ms=OPEN_MS)
        await shows_all(node, jobs, honest)
        height = await node.height()
        await graph.start("late")
        await late.reaches(height)
        await shows_all(late, jobs, honest)
        assert (await late.api.status())["audited"] < height, "it took blocks over"
        await node.stop()
        await node.start()
        await shows_all(node, jobs, honest)
