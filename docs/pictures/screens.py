"""The dashboard's pictures, of README and docs/dashboard.md: `python -m docs.pictures.screens FOLDER`, with Chromium and one node.

The node is real, and so are its pages. The other members of the graph are people without machines: what their workers and verifiers
would send is signed here. No container runs.
"""

from __future__ import annotations

import asyncio
import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from learningchain.chain.contracts.job import Ballot, BallotCode, CommitVote, OpenVote, vote_commitment
from learningchain.chain.crypto import sha256
from learningchain.chain.losses import LossTree, Opening
from learningchain.chain.types import parse_loss
from learningchain.client.keys.names import label
from learningchain.client.sdk.http import link_url
from tests.browser.person import bring
from tests.processes.harness import Graph, NodeProcess, Person, Role, credits, with_params
from tests.processes.scripted import Announced, announcement, declare, post

SIZE = {"width": 1000, "height": 760}
LIMIT_S = 300
ANA, BEN, CLEO = Person("ana"), Person("ben"), Person("cleo")
JURY = [Person(name, verifier=True) for name in ("dora", "emil", "fritz")]
OTHERS = [ANA, BEN, CLEO, *JURY]
PARAMS = with_params(job_reveal=20_000, job_vote_base=60_000, job_open_votes=60_000)
CLAIMS = [(ANA, "0.4127"), (BEN, "0.3561"), (ANA, "0.2984"), (CLEO, "0.2410"), (BEN, "0.1873"), (CLEO, "0.1659"), (BEN, "0.1427")]
APART_S = 3.0
SHOOT = """
import json, sys
from playwright.sync_api import sync_playwright
told = json.load(sys.stdin)
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    page = browser.new_context(viewport=told["size"], reduced_motion="reduce", color_scheme="light").new_page()
    page.goto(told["link"], wait_until="load")
    for path, file in told["pages"]:
        page.goto(told["base"] + path, wait_until="load")
        page.wait_for_timeout(1_500)
        page.screenshot(path=file)
    browser.close()
"""


async def judged(node: NodeProcess, job: str) -> None:
    """The jury measures the best model again, and finds what its worker said."""
    chain_id, ref = bytes.fromhex((await node.api.status())["chain_id"]), bytes.fromhex(job)
    view = await node.job_in(job, "COMMIT", within=LIMIT_S)
    loss = parse_loss(CLAIMS[-1][1])
    ballot = Ballot(int(BallotCode.OK), [LossTree([loss]).measurement], [], False)
    for juror in JURY:
        sealed = vote_commitment(chain_id, ref, view["audit"], view["round"], juror.id, [ballot], sha256(juror.id))
        await juror.send(node, CommitVote(ref, view["audit"], view["round"], sealed))
    await node.job_in(job, "COUNT", within=LIMIT_S)
    for juror in JURY:
        opened = OpenVote(ref, view["audit"], view["round"], [ballot], sha256(juror.id), 0, False, [Opening([], [loss], [])])
        await juror.send(node, opened)


async def raced(node: NodeProcess, job: str, claims: list[tuple[Person, str]]) -> list[Announced]:
    """Claims one after the other, as workers come to lower losses; what opens them."""
    chain_id = bytes.fromhex((await node.api.status())["chain_id"])
    made: list[Announced] = []
    for person, loss in claims:
        await asyncio.sleep(APART_S)
        count = 1 + sum(one.who is person for one in made)
        made.append(announcement(chain_id, job, person, loss, count=count))
        await person.send(node, made[-1].claim)
    return made


async def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        async with Graph(Path(place), [Role("you", validator=True)], people=OTHERS, params=PARAMS) as graph:
            node = await graph["you"].start(within=LIMIT_S)
            for person in OTHERS:
                called = [
                    sys.executable,
                    "-m",
                    "learningchain",
                    "name",
                    "set",
                    person.address,
                    person.name,
                    "--data",
                    str(node.data),
                ]
                subprocess.run(called, check=True, capture_output=True)
            await declare(node, JURY)
            you = Person.behind(node)
            await node.api.transfer(ANA.address, "2.5", memo="for lunch", wait=LIMIT_S)
            job = await post(you, node, open_ms=60_000, bounty=credits(40))
            label(node.data, job, "digits")
            made = await raced(node, job, CLAIMS)
            await node.job_in(job, "REVEAL", within=LIMIT_S)
            for one in {one.who.name: one for one in made}.values():
                await one.who.send(node, one.opening)
            await judged(node, job)
            await node.job_in(job, "PAID", within=LIMIT_S)
            for name, bounty, claims in (("prices", 25, CLAIMS[:3]), ("leaves", 60, CLAIMS[1:5])):
                open_job = await post(you, node, open_ms=3_600_000, bounty=credits(bounty))
                label(node.data, open_job, name)
                await raced(node, open_job, claims)
            made = await node.api.dashboard_link()
            base, link = (link_url(node.api.url, path, made["host"]) for path in ("", made["path"]))
            pages = [
                ["/dashboard", str(target / "dashboard.png")],
                [f"/dashboard/jobs/{job}#curve", str(target / "dashboard-job.png")],
                ["/dashboard/jobs/new", str(target / "dashboard-post.png")],
                ["/dashboard/federations/new", str(target / "dashboard-open.png")],
                ["/dashboard/settings/work.min_bounty", str(target / "dashboard-setting.png")],
            ]
            told = {"base": base, "link": link, "size": SIZE, "pages": pages}
            python = await asyncio.to_thread(bring)
            shoot = functools.partial(subprocess.run, input=json.dumps(told), text=True, check=True, timeout=LIMIT_S)
            await asyncio.to_thread(shoot, [str(python), "-c", SHOOT])


asyncio.run(main(Path(sys.argv[1]).resolve()))
