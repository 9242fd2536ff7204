"""The example about sentences on real nodes, as docs/start-model.md types it: a published set, a job that is trained, evaluated and
paid, its winner registered and served by three nodes, and a sentence that they agree on.

What it takes is printed (`pytest -s`)."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest

from learningchain.examples.sentences import build
from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import command, eventually
from tests.processes.terminal import Owner
from tests.processes.test_readme_question import PARAMS, ROLES, SERVERS, typed

pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).resolve().parents[2]
SLOW_S = 300.0
ASKED = {"Why was I charged twice?": "bill", "The package never came": "delivery", "You are wonderful, thanks": "praise"}


@pytest.mark.full("it fetches a language model of 84 MB; unit/test_examples_sentences.py has what needs none")
async def test_a_sentence_is_answered_by_the_winner_of_a_job_on_a_published_set(tmp_path: Path) -> None:
    try:
        await asyncio.to_thread(build.build, tmp_path / "sentences.tar")
    except build.ModelMissing as missing:
        pytest.skip(f"it needs a language model: {missing}")
    (tmp_path / "graph").mkdir()
    async with ClockedGraph(tmp_path / "graph", ROLES, params=PARAMS) as graph:
        owner = graph["v0"]
        await graph.start()
        await asyncio.gather(*(graph[name].logs("the sandbox is ready", within=SLOW_S) for name in (*SERVERS, "worker")))

        async def can_judge() -> bool:
            return all([(await owner.api.account(graph[name].address))["capacity"] for name in SERVERS])

        await eventually("all can judge", can_judge, SLOW_S)
        began = time.monotonic()
        _, data, publish, submit, _, sample, register, *_ = _lines()
        shell = Owner(owner, tmp_path)
        (tmp_path / "examples").symlink_to(ROOT / "examples")
        told = await shell.types(data, publish)
        cid = re.search(r"\bbaf[ky][a-z2-7]{55}\b", told)
        assert cid is not None, told
        await shell.types(submit.replace("=CID", f"={cid[0]}"), answer="yes")
        (live,) = await owner.api.jobs(live=True)

        async def claimed() -> bool:
            return bool((await owner.api.job(live["id"]))["claims"])

        await eventually("the worker has claimed", claimed, SLOW_S)
        await graph.clock.advance(HOUR_MS)
        view = await owner.job_in(live["id"], "PAID", "REFUNDED", "EMPTY", within=SLOW_S)
        assert view["state"] == "PAID", view
        print(f"published, posted, trained, evaluated and paid: {time.monotonic() - began:.0f} s")

        await shell.types(sample, register)
        for name in SERVERS:
            await graph[name].has_box_key(SLOW_S)
            await typed(graph[name], "model", "serve", f"{owner.address}/sentences")
        for sentence, found in ASKED.items():
            code, out, err = await command(owner, "predict", "sentences", sentence, "--n", "3")
            assert code == 0 and re.search(rf"{found}, [\d.]+ +\(3 of 3 agree", out), out + err
        print(f"and answered: {time.monotonic() - began:.0f} s")


def _lines() -> list[str]:
    """What the page types."""
    page = (ROOT / "docs/start-model.md").read_text()
    block = page.partition("### Sentences")[2].partition("```text\n")[2].partition("```")[0]
    return block.replace("\\\n", "").splitlines()
