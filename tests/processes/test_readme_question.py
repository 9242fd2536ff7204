"""README's "I have a question for a trained model", typed as it stands there on a real graph, after the job of "I have a model to
train": the winner of what `job new` wrote is registered, served by three nodes, and asked."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.processes.clocked import DAY_MS, HOUR_MS, WINDOWS, ClockedGraph
from tests.processes.harness import NodeProcess, Role, command, eventually, with_params
from tests.processes.terminal import Owner
from tests.processes.test_main_job import SLOW_S
from tests.unit.readme_kit import readme

pytestmark = pytest.mark.timeout(600)
SERVERS = ("v1", "v2", "v3")
SERVES = {"work.verify": True, "serve.mem_mb": 2_048, "serve.warm": 1}
ROLES = [
    Role("v0", validator=True),
    *(Role(name, validator=True, verifier=True, settings=SERVES) for name in SERVERS),
    Role("worker", settings={"work.enabled": True, "work.attempts": 1, "work.min_time_left_s": 5}),
]
PARAMS = with_params(**WINDOWS, pred_a0=DAY_MS, pred_open=DAY_MS)


async def typed(node: NodeProcess, *words: str) -> str:
    code, out, err = await command(node, *words)
    assert code == 0, f"{' '.join(words)}: {out}{err}"
    return out


@pytest.mark.full("a job and three servers; test_client_cli_new.py runs the program, test_client_cli_readme.py reads the commands")
async def test_the_model_of_a_new_job_answers_what_readme_types(tmp_path: Path) -> None:
    (tmp_path / "graph").mkdir()
    async with ClockedGraph(tmp_path / "graph", ROLES, params=PARAMS) as graph:
        owner = graph["v0"]
        await graph.start()
        await asyncio.gather(*(graph[name].logs("the sandbox is ready", within=SLOW_S) for name in (*SERVERS, "worker")))
        for name in SERVERS:
            await eventually(f"{name} can judge", lambda node=graph[name]: _capacity(owner, node), SLOW_S)  # type: ignore[misc]
        new, build, _, _, submit, *_ = readme("job fetch latest").splitlines()
        shell = Owner(owner, tmp_path)
        await shell.types(new, build, submit, answer="yes")
        job = (await owner.api.jobs(live=True))[0]["id"]

        async def claimed() -> bool:
            return bool((await owner.api.job(job))["claims"])

        await eventually("the worker has claimed", claimed, SLOW_S)
        await graph.clock.advance(HOUR_MS)
        view = await owner.job_in(job, "PAID", "REFUNDED", "EMPTY", within=SLOW_S)
        assert view["state"] == "PAID" and view["winner"] == graph["worker"].address

        register, show, dry, predict, told = readme("prediction show latest").splitlines()
        await shell.types(register)
        for name in SERVERS:
            await graph[name].has_box_key(SLOW_S)
            await typed(graph[name], "model", "serve", f"{owner.address}/line")
        before = (await graph.balances(owner))[owner.address]
        assert "What it would cost" in await shell.types(dry)
        assert (await graph.balances(owner))[owner.address] == before, "a dry run sends nothing"
        answer = (await shell.types(predict)).splitlines()
        said = next(found for line in answer if (found := re.fullmatch(r"(\d\.\d{9})   \(3 of 3 agree, cost [\d.]+\)", line)))
        slope, offset = json.loads((await owner.api.fetch_model(job, tmp_path / "model")).path.read_text())
        assert float(said[1]) == pytest.approx(slope * 2.5 + offset, abs=1e-6)
        assert re.search(r"3 OK", await shell.types(told))
        await _from_python(shell, owner, tmp_path, said[1])
        before = (await graph.balances(owner))[owner.address]
        code, out, err = await command(owner, "predict", "line", "2.5", "250")
        assert code == 2 and "row 2, x: '250' is not a number from -100 to 100" in err, out + err
        assert (await graph.balances(owner))[owner.address] == before, "what cannot fit costs nothing"
        assert "100 % of the last 2" in await shell.types(show)


async def _from_python(shell: Owner, owner: NodeProcess, folder: Path, value: str) -> None:
    """README's program beside a laboratory, whose node 3 is this one: the same model gives the same value."""
    (folder / "lab").mkdir()
    (folder / "lab/node3").symlink_to(owner.data)
    (folder / "ask.py").write_text(readme("import learningchain"))
    said = (await shell.types("python ask.py")).splitlines()
    assert re.fullmatch(r"[\d.]+ credits at block \d+", said[0]) and re.fullmatch(r"[0-9a-f]{12} PAID 20", said[1])
    assert json.loads(said[2]) == pytest.approx([float(value)]), "the value that the command gave"


async def _capacity(asked: NodeProcess, node: NodeProcess) -> object:
    return (await asked.api.account(node.address))["capacity"]
