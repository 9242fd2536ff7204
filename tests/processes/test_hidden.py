"""Hidden evaluation data on real nodes and in real containers: a look-up table wins the public digits and loses the job."""

from __future__ import annotations

import json
import secrets
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from learningchain.chain.contracts.job import Claim, Reveal, claim_commitment
from learningchain.client.sdk.types import Json
from learningchain.examples.digits import build
from learningchain.examples.digits.job import read_examples, save_model
from learningchain.examples.digits.table import table
from learningchain.p2p.content import cid as cids
from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import NodeProcess, Person, Role, command, credits, eventually, micro

VERIFIERS = ("v1", "v2", "v3")
VERIFIES = {"work.verify": True}
WORKS = {"work.enabled": True, "work.attempts": 1, "work.min_time_left_s": 5}
ROLES = [
    Role("v0", validator=True),
    *(Role(name, validator=True, verifier=True, settings=VERIFIES) for name in VERIFIERS),
    Role("worker", settings=WORKS),
]
CHEAT = Person("table", "100")
BOUNTY = 10
SLOW_S = 180.0
"""Everything with containers: the engine, too, is shared."""
pytestmark = pytest.mark.timeout(500)


def split(folder: Path) -> tuple[Path, str, Path, Path]:
    """The job's archive and image id, the digits that workers can read, and those that the contractor keeps back."""
    files = build.image_files()
    training = bytes(files["/lc/train.csv"]).splitlines(keepends=True)  # type: ignore[arg-type]
    public, hidden, archive = folder / "public.csv", folder / "hidden.csv", folder / "digits.tar"
    public.write_bytes(bytes(files["/lc/eval.csv"]))  # type: ignore[arg-type]
    hidden.write_bytes(b"".join(training[::4]))
    files["/lc/train.csv"] = b"".join(line for number, line in enumerate(training) if number % 4)
    return archive, build.build(archive, folder / "cache", files), public, hidden


async def test_a_look_up_table_wins_the_public_digits_and_loses_the_hidden_ones(tmp_path: Path) -> None:
    archive, _, public, hidden = split(tmp_path)
    (tmp_path / "graph").mkdir()
    async with ClockedGraph(tmp_path / "graph", ROLES, people=[CHEAT]) as graph:
        contractor, worker = graph["v0"], graph["worker"]
        await graph.start()
        for name in VERIFIERS:
            await _can_judge(contractor, graph[name])
        await worker.logs("the sandbox is ready", within=SLOW_S)
        job = await _post(contractor, archive, hidden)
        opening = await _claim(contractor, job, save_model(table(*read_examples(public), np.random.default_rng(7))))
        # Between the upload and the window its node dies: the key is on its disk.
        await contractor.kill()
        await contractor.start()
        await eventually("the worker and the table have claimed", lambda: _both_claimed(contractor, job, worker), SLOW_S)
        await graph.clock.advance(HOUR_MS)
        await contractor.job_in(job, "REVEAL", within=SLOW_S)
        await CHEAT.send(contractor, opening)
        found = await contractor.job_in(job, "PAID", "REFUNDED", "EMPTY", within=SLOW_S)
        _the_table_lost(dict(found), worker)
        await graph.agree()
        for node in graph:
            assert (await node.api.job(job))["winner"] == worker.address
            assert micro(await node.api.balance(worker.address)) == credits(1000 + BOUNTY)
            assert micro(await node.api.balance(CHEAT.address)) == credits(100), "its claim was true: nothing burns"
        assert await graph.conserved() == credits(5 * 1000 + 100)
        code, shown, _ = await command(contractor, "job", "show", job)
        assert code == 0 and "hidden" in shown
        await _who_trusts_nobody_comes_to_the_same(graph["v1"], job, worker)
        await _the_worker_knows_why_it_was_paid(worker, job)


async def _who_trusts_nobody_comes_to_the_same(node: NodeProcess, job: str, worker: NodeProcess) -> None:
    """C13: from genesis, and with the winner's model evaluated once more, in public and on what was hidden."""
    code, out, err = await command(node, "audit", "job", job, "--evaluate", "--json")
    assert code == 0, out + err
    found = json.loads(out)
    assert found["holds"] and found["differs"] == [] and found["view"]["winner"] == worker.address
    assert {"bounty", "fee", "stake"} <= {one["reason"] for one in found["payments"]}
    evaluation = found["evaluation"]
    assert (evaluation["vote"], evaluation["claimant"]) == ("OK", worker.address)
    assert [column["data"] for column in evaluation["columns"]] == ["public", "hidden"]


async def _the_worker_knows_why_it_was_paid(worker: NodeProcess, job: str) -> None:
    """B1: each line of its history about the job, proven from genesis."""
    code, out, err = await command(worker, "why", job[:16], "--json")
    assert code == 0, out + err
    lines = {one["line"]["reason"]: one for one in json.loads(out)}
    assert all(one["proven"] for one in lines.values())
    assert lines["bounty"]["line"]["amount"] == f"+{BOUNTY}" and "won the bounty" in lines["bounty"]["rule"]


async def _can_judge(node: NodeProcess, verifier: NodeProcess) -> None:
    async def declared() -> bool:
        return (await node.api.account(verifier.address))["capacity"] is not None

    await eventually(f"{verifier.name} says what its machine takes", declared, SLOW_S)


async def _post(contractor: NodeProcess, archive: Path, hidden: Path) -> str:
    """As a contractor does it: the data are sealed, uploaded, and the node keeps the key."""
    words = ["--bounty", str(BOUNTY), "--expires", "1h", "--image-archive", str(archive), "--hidden", str(hidden), "--yes"]
    words += ["--float-kind", "f64", "--train-time", "300s", "--eval-time", "120s", "--mem-mb", "256", "--model-mb", "1"]
    code, out, err = await command(contractor, "job", "submit", *words, "--params", '{"epochs": 60}', "--json")
    assert code == 0, err
    return str(json.loads(out)["job"])


async def _claim(node: NodeProcess, job: str, model: bytes) -> Reveal:
    """By somebody without a node: the loss is true for the public digits. What opens the claim comes back."""
    path = node.data.with_suffix(".table")
    path.write_bytes(model)
    stored = await node.api.upload(path)
    cid, salt, ref = cids.parse(stored["cid"]), secrets.token_bytes(32), bytes.fromhex(job)
    chain_id = bytes.fromhex((await node.api.status())["chain_id"])
    await CHEAT.send(node, Claim(ref, 0, claim_commitment(chain_id, ref, CHEAT.id, cid.digest, salt), stake=True))
    return Reveal(ref, 1, cid.to_bytes(), stored["size"], salt)


async def _both_claimed(node: NodeProcess, job: str, worker: NodeProcess) -> bool:
    return {claim["claimant"] for claim in (await node.api.job(job))["claims"]} == {CHEAT.address, worker.address}


def _the_table_lost(found: Json, worker: NodeProcess) -> None:
    claims = {claim["claimant"]: claim for claim in found["claims"]}
    cheat, honest = claims[CHEAT.address], claims[worker.address]
    assert (found["state"], found["winner"], found["hidden"]) == ("PAID", worker.address, "ON"), found
    assert (cheat["result"], honest["result"]) == ("OK", "OK"), "both measure in public what was claimed"
    assert (cheat["rank"], honest["rank"]) == (1, 2)
    assert (cheat["hidden_rank"], honest["hidden_rank"]) == (2, 1)
    assert Decimal(cheat["loss"]) == 0 < Decimal(honest["loss"]) < Decimal("0.5")
    assert Decimal(honest["hidden_loss"]) < Decimal("0.5") < 5 < Decimal(cheat["hidden_loss"])
    votes = [vote for round_ in found["rounds"] for seat in round_["committee"] for vote in seat["votes"]]
    assert len(votes) == 2 * len(VERIFIERS)
    assert {(vote["vote"], vote["examples"], vote["hidden_examples"]) for vote in votes} == {("OK", 360, 360)}
