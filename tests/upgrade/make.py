"""Makes the data folder of an older version that `tests/processes/test_upgrade.py` opens: run once, in a checkout of that version.

    cd CHECKOUT && PYTHONPATH=. python THIS_FILE folder-VERSION.tar.xz

A validator alone: payments, a job that was raced for, judged and paid, one that is open, one that nobody won, a name, a token,
and what that version said of all of it (`told.json`).
"""

from __future__ import annotations

import asyncio
import io
import json
import lzma
import sys
import tarfile
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job import Ballot, BallotCode, CommitVote, OpenVote, vote_commitment
from learningchain.chain.losses import LossTree, Opening
from learningchain.chain.types import parse_loss
from tests.processes.harness import Graph, NodeProcess, Person, Role, command, credits, with_params
from tests.processes.scripted import announcement, declare, post

ANA, BEN = Person("ana", "100"), Person("ben", "50")
JURY = [Person(f"juror{n}", "10", verifier=True) for n in range(7)]
PARAMS = with_params(heartbeat=2_000, job_reveal=10_000, job_vote_base=20_000, job_open_votes=20_000)
LIMIT_S = 120.0


async def race(node: NodeProcess, job: str) -> None:
    chain_id, ref = bytes.fromhex((await node.api.status())["chain_id"]), bytes.fromhex(job)
    made = [announcement(chain_id, job, ANA, "0.5"), announcement(chain_id, job, BEN, "0.25")]
    for one in made:
        await one.who.send(node, one.claim)
    await node.job_in(job, "REVEAL", within=LIMIT_S)
    for one in made:
        await one.who.send(node, one.opening)
    view = await node.job_in(job, "COMMIT", within=LIMIT_S)
    loss = parse_loss("0.25")
    ballot = Ballot(int(BallotCode.OK), [LossTree([loss]).measurement], [], False)
    for juror in JURY:
        sealed = vote_commitment(chain_id, ref, view["audit"], view["round"], juror.id, [ballot], sha256(juror.id).digest())
        await juror.send(node, CommitVote(ref, view["audit"], view["round"], sealed))
    await node.job_in(job, "COUNT", within=LIMIT_S)
    for juror in JURY:
        salt = sha256(juror.id).digest()
        await juror.send(node, OpenVote(ref, view["audit"], view["round"], [ballot], salt, 0, False, [Opening([], [loss], [])]))
    await node.job_in(job, "PAID", within=LIMIT_S)


async def said(node: NodeProcess, jobs: list[str], paid: str) -> dict[str, Any]:
    """What this version says of its own chain, at rest: nothing is under way but the open job."""
    status = await node.api.status()
    return {
        "address": node.address,
        "chain_id": status["chain_id"],
        "height": status["height"],
        "blocks": {h: (await node.api.block(h))["block_id"] for h in range(1, status["height"] + 1)},
        "root": (await node.api.block(status["height"]))["state_root"],
        "accounts": {a["id"]: a["balance"] for a in await node.api.accounts()},
        "supply": {k: v for k, v in (await node.api.supply()).items() if k != "height"},
        "history": [dict(line) for line in await node.api.history()],
        "jobs": {job: (await node.api.job(job))["state"] for job in jobs},
        "open_until": (await node.api.job(jobs[1]))["expiry"],
        "paid": paid,
        "receipt": (await node.api.receipt_file(paid))["file"],
    }


async def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        async with Graph(Path(place), [Role("old", validator=True)], people=[ANA, BEN, *JURY], params=PARAMS) as graph:
            node = await graph["old"].start(within=LIMIT_S)
            for words in (("name", "set", ANA.address, "ana"), ("token", "new", "--can", "read", "--json")):
                code, out, err = await command(node, *words)
                assert code == 0, err
            token = json.loads(out)
            await declare(node, JURY)
            you = Person.behind(node)
            done = await node.api.transfer(ANA.address, "2.5", memo="for lunch", wait=LIMIT_S)
            await ANA.send(node, Transfer(BEN.id, credits(1), b"half"))
            lonely = await post(you, node, open_ms=2_000)
            job = await post(you, node, open_ms=5_000, bounty=credits(40))
            await race(node, job)
            await node.job_in(lonely, "REFUNDED", "EMPTY", within=LIMIT_S)
            # Open when this version stops, over soon after another goes on: a chain catches up with the clock by small steps.
            open_ = await post(you, node, open_ms=15_000, bounty=credits(20))
            told = await said(node, [job, open_, lonely], done["tx"])
            assert await node.stop() == 0
            told["token"] = token
            (node.data / "told.json").write_text(json.dumps(told, indent=1))
            pack(node.data, target)


def pack(folder: Path, target: Path) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        tar.add(folder, "folder")
    target.write_bytes(lzma.compress(raw.getvalue(), preset=9 | lzma.PRESET_EXTREME))


asyncio.run(main(Path(sys.argv[1]).resolve()))
