"""What all of this is for, once, on real nodes and in real containers: a job from its posting to the winner's pay, the same as
README types it, and a cheater to its ban.

Nothing here is a matter of time: windows end when the test says so (`clocked`), everything else is waited for.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from learningchain.chain.contracts.job import Claim, Reveal, claim_commitment, job_id_of
from learningchain.chain.contracts.job.params import JobParams
from learningchain.chain.errors import TxCode
from learningchain.chain.types import parse_loss
from learningchain.client.contracts.job.http.postings import build_job
from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest, LimitsRequest
from learningchain.client.sdk.types import InvalidError, Json, NotFoundError
from learningchain.p2p.content import cid as cids
from learningchain.sandbox import Sandbox, SandboxUnavailable
from learningchain.sandbox.images import build_python_image
from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import NodeProcess, Person, Role, credits, eventually, micro
from tests.processes.scripted import standing
from tests.processes.terminal import Owner
from tests.unit.readme_kit import readme

pytestmark = pytest.mark.asyncio(loop_scope="module")

JUDGES, WORKERS = ("v1", "v2", "v3"), ("w0", "w1")
FIRST, SECOND, CHEAT = Person("first contractor", "500"), Person("second contractor", "500"), Person("cheat", "50")
SLOW_S = 180.0
"""Everything with containers: six nodes and their runs share two cores."""
BOUNTY, BAIT = 100, 10
"""Workers train for the one; the other is too little for them. README's bounty lies between."""
LIMITS = LimitsRequest(cpus=0.5, mem_mb=64, train_s=300, eval_s=120, model_cap=1_000, tmp_mb=8)
"""A run that is slow here is no run that failed."""


def roles(cache: Path) -> list[Role]:
    common = {"sandbox.cache_dir": str(cache)}
    works = common | {"work.enabled": True, "work.attempts": 1, "work.min_bounty": "15"}
    verifies = [Role(name, validator=True, verifier=True, settings=common | {"work.verify": True}) for name in JUDGES]
    return [Role("v0", validator=True), *verifies, *(Role(name, settings=works) for name in WORKERS)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def graph(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClockedGraph]:
    """Everybody runs, the sandboxes hold, and the verifiers have said what their machines take."""
    room = Sandbox(tmp_path_factory.mktemp("room"), node_tag=f"main-{os.getpid()}")
    try:
        room.check_engine()
    except SandboxUnavailable as problem:
        pytest.fail(f"this test needs a Docker Engine: {problem}", pytrace=False)
    finally:
        room.close()
    people, folder = [FIRST, SECOND, CHEAT], tmp_path_factory.mktemp("graph")
    async with ClockedGraph(folder, roles(tmp_path_factory.mktemp("cache")), people=people) as made:
        await made.start()
        await asyncio.gather(*(made[name].logs("the sandbox is ready", within=SLOW_S) for name in (*JUDGES, *WORKERS)))
        await asyncio.gather(*(_can_judge(made["v0"], made[name]) for name in JUDGES))
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def image(graph: ClockedGraph, tmp_path_factory: pytest.TempPathFactory) -> ImageRequest:
    """The slow job, with a contractor's node: the others fetch it over the graph."""
    path, job = tmp_path_factory.mktemp("image") / "slow.tar", Path(__file__).with_name("slow_job.py")
    image_id = await asyncio.to_thread(build_python_image, path, {"/lc/job": job.read_bytes()}, with_packages=())
    stored = await graph["v0"].api.upload(path)
    return ImageRequest(cid=stored["cid"], image_id=image_id, size=stored["size"])


async def test_a_job_is_trained_verified_and_paid_though_a_worker_is_killed_at_it(
    graph: ClockedGraph, image: ImageRequest, tmp_path: Path
) -> None:
    node, killed = graph["v0"], graph["w1"]
    job = await _post(FIRST, node, image, BOUNTY, {"train": 4, "evaluate": 0.5, "examples": 40})
    await _trains(killed, job)
    await killed.kill()
    await killed.start()
    claims = await _claimed(node, job, [graph[name].address for name in WORKERS])
    await graph["v3"].kill()
    await graph.clock.advance(HOUR_MS)
    audited = await _committed(node, job, 2)
    assert await _refused(node, [claim["model"]["cid"] for claim in audited["claims"]]) == ["NOBODY"] * len(WORKERS)
    await graph["v3"].start()
    view = await node.job_in(job, "PAID", "REFUNDED", "EMPTY", within=SLOW_S)

    winner = _won(graph, view, claims)
    model = await node.api.fetch_model(job, tmp_path / "model")
    assert float(model.path.read_text()) == claims[winner], "its model loses what it claimed"
    lost = [claim["model"]["cid"] for claim in view["claims"] if claim["claimant"] != winner]
    assert await _refused(node, lost) == ["NOBODY"], "the other one's was under no audit, and has not left its node"
    await graph.agree()
    fees = sum(micro(seat["fee"]) for seat in _committee(view))
    assert fees > 0
    paid = {winner: credits(1000 + BOUNTY), FIRST.address: credits(500 - BOUNTY) - fees}
    for other in graph:
        found, balances = await other.api.job(job), await graph.balances(other)
        assert (found["state"], found["winner"], found["model"]) == ("PAID", winner, view["model"])
        assert {account: balances[account] for account in paid} == paid
        assert not (await other.api.account(other.address))["strikes"]
    assert await graph.conserved() == credits(6 * 1000 + 1050), "nothing was burned: nobody did wrong"


def _won(graph: ClockedGraph, view: Json, claims: dict[str, float]) -> str:
    """The winner: a worker whose loss nobody else betters, found true by every verifier."""
    winner = str(view["winner"])
    assert view["state"] == "PAID" and winner in claims, view
    assert claims[winner] == pytest.approx(min(claims.values()), abs=0.0005), "equal ones are not told apart"
    (result,) = [claim["result"] for claim in view["claims"] if claim["claimant"] == winner]
    assert result == "OK"
    committee = _committee(view)
    assert {seat["voter"] for seat in committee} == {graph[name].address for name in JUDGES}
    assert [vote["vote"] for seat in committee for vote in seat["votes"]] == ["OK"] * len(JUDGES)
    return winner


async def test_what_readme_types_ends_in_a_model(graph: ClockedGraph, tmp_path: Path) -> None:
    """To the letter. There are three verifiers here, so the owner is asked, and answers; the minutes are over when the test says
    so."""
    node = graph["v0"]
    owner = Owner(node, tmp_path)
    before, watch, after = readme("image check").partition("learningchain job watch")
    assert watch, "README has another line after the posting"
    told = await owner.types(*before.splitlines(), answer="yes")
    assert "Only 3 verifiers beside you can judge this job" in told and "2 of them that conspire" in told
    (live,) = await node.api.jobs(live=True)
    job = live["id"]
    rest = asyncio.create_task(owner.types(watch + after))
    await _claimed(node, job, [graph[name].address for name in WORKERS])
    await graph.clock.advance(HOUR_MS)
    assert (await node.job_in(job, "PAID", "REFUNDED", "EMPTY", within=SLOW_S))["state"] == "PAID"
    said = await rest
    assert "This node tells the same of it" in await owner.types("learningchain audit job latest")
    slope, offset = json.loads((tmp_path / "model").read_text())
    assert slope == pytest.approx(3, abs=0.5) and offset == pytest.approx(1, abs=0.7), f"not the line through its points: {said}"


async def test_a_cheater_of_two_contractors_is_banned_with_all_that_it_has(
    graph: ClockedGraph, image: ImageRequest, tmp_path: Path
) -> None:
    node, supply = graph["v0"], await graph.conserved()
    jobs = [await _post(poster, node, image, BAIT, {"evaluate": 0.5, "examples": 40}) for poster in (FIRST, SECOND)]
    openings = await _lie(graph, node, jobs, tmp_path / "model")
    await graph.clock.advance(HOUR_MS)
    for job, opening in zip(jobs, openings, strict=True):
        await node.job_in(job, "REVEAL")
        await CHEAT.send(node, opening)
    for job in jobs:
        view = await node.job_in(job, "PAID", "REFUNDED", "EMPTY", within=SLOW_S)
        assert (view["state"], view["winner"]) == ("REFUNDED", None)
        assert [vote["vote"] for seat in _committee(view) for vote in seat["votes"]] == ["FALSE"] * len(JUDGES)
    await standing(node, CHEAT.address, "suspended")
    await _confirmed(node, [graph[name].address for name in JUDGES])
    await graph.clock.advance(graph.params.appeal)

    for other in graph:
        account = await standing(other, CHEAT.address, "banned")
        assert (account["balance"], account["frozen"], account["locked"]) == ("0", "0", "0")
    bonds = 2 * credits(BAIT) // 10
    assert await graph.conserved() == supply - credits(50) - bonds, "and its contractors' bonds burned as much as its stakes"
    with pytest.raises(InvalidError, match="banned") as refused:
        await CHEAT.send(node, Claim(bytes(32), 0, bytes(32), stake=True))
    assert refused.value.code == TxCode.BANNED
    await graph.agree()
    await graph.no_fork()


async def _can_judge(node: NodeProcess, verifier: NodeProcess) -> None:
    async def declared() -> bool:
        return (await node.api.account(verifier.address))["capacity"] is not None

    await eventually(f"{verifier.name} says what its machine takes", declared, SLOW_S)


async def _post(poster: Person, node: NodeProcess, image: ImageRequest, bounty: int, params: Json) -> str:
    clock = (await node.api.status())["clock_now"]
    wanted = JobRequest(image=image, bounty=str(bounty), expires_in_s=HOUR_MS / 1_000, params=params, limits=LIMITS)
    done = await poster.send(node, build_job(wanted, clock, JobParams().job_rate))
    return job_id_of(bytes.fromhex(done["tx"]), 0).hex()


async def _trains(worker: NodeProcess, job: str) -> None:
    """It is in the middle of the training; where this test was the slower one, it has been."""

    async def there() -> bool:
        return any(r["job"] == job and r["phase"] == "train" and (r["progress"] or r["ended"]) for r in await worker.api.runs())

    await eventually(f"{worker.name} trains", there, SLOW_S)


async def _claimed(node: NodeProcess, job: str, workers: Sequence[str]) -> dict[str, float]:
    """What each has claimed, once all have."""

    async def all_have() -> dict[str, float] | None:
        found = {claim["claimant"]: float(claim["loss"]) for claim in (await node.api.job(job))["claims"]}
        return found if set(found) == set(workers) else None

    return await eventually("every worker has claimed", all_have, SLOW_S)


async def _committed(node: NodeProcess, job: str, most: int) -> Json:
    """The job under audit, once so many of its seats have measured the model and said so. The others have it still to come."""

    async def have() -> Json | None:
        view = dict(await node.api.job(job))
        return view if sum(seat["committed"] for seat in _committee(view)) == most else None

    return await eventually(f"{most} seats have committed", have, SLOW_S)


async def _refused(node: NodeProcess, models: Sequence[str]) -> list[str | None]:
    """Why a node that sits on no committee does not get these, though it is connected with all who have them."""

    async def refusal(cid: str) -> str | None:
        with pytest.raises(NotFoundError) as refused:
            await node.api.api.call("GET", f"/v1/files/{cid}", query={"timeout_s": 10})
        return refused.value.name

    return list(await asyncio.gather(*map(refusal, models)))


async def _lie(graph: ClockedGraph, node: NodeProcess, jobs: Sequence[str], path: Path) -> list[Reveal]:
    """The cheat's model loses 0.9, its claims say 0.001. What opens them."""
    path.write_text("0.9")
    stored = await node.api.upload(path)
    model, openings = cids.parse(stored["cid"]), []
    for job in jobs:
        salt, ref = secrets.token_bytes(32), bytes.fromhex(job)
        commitment = claim_commitment(graph.genesis.chain_id, ref, CHEAT.id, model.digest, salt)
        await CHEAT.send(node, Claim(ref, parse_loss("0.001"), commitment, stake=True))
        openings.append(Reveal(ref, 1, model.to_bytes(), stored["size"], salt))
    return openings


async def _confirmed(node: NodeProcess, judges: Sequence[str]) -> None:
    """By themselves: each measured a false claim for two contractors."""

    async def all_have() -> bool:
        case = (await node.api.account(CHEAT.address))["case"]
        return case is not None and set(judges) == set(case["confirm"])

    await eventually("every validator that measured it confirms", all_have, SLOW_S)


def _committee(view: Json) -> list[Json]:
    return [seat for round_ in view["rounds"] for seat in round_["committee"]]
