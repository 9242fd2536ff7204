"""`predict --csv` against a real API before real blocks: a table is priced, asked about, stopped by a budget and gone on with."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.prediction import records
from learningchain.client.cli.app import main
from learningchain.client.contracts.prediction.roles.asking import TableRun
from tests.unit.api_kit import TOKEN, serving
from tests.unit.test_api_inference import Graph, playing

Run = Callable[..., Awaitable[tuple[int, str, str]]]
ROWS = 10


@pytest.fixture
async def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Graph]:
    async with serving(tmp_path) as api:
        (tmp_path / "node").mkdir()
        (tmp_path / "node" / "api.token").write_text(TOKEN)
        monkeypatch.setenv("LEARNINGCHAIN_DATA", str(tmp_path / "node"))
        monkeypatch.setenv("LEARNINGCHAIN_API", api.url)
        graph = Graph(api)
        await graph.register()
        lines = [f'a{number},{number}.5,"{-number}",{number}' for number in range(ROWS)]
        (tmp_path / "in.csv").write_text("name,x[0],x[1],n\n" + "\n".join(lines) + "\n")
        yield graph


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    async def typed(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        table = ["predict", "sums", "--csv", str(tmp_path / "in.csv"), *words]
        code = await asyncio.to_thread(main, table)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return typed


def requests(graph: Graph) -> list[Any]:
    return list(records.REQUESTS.newest(graph.ledger.state, None, 100))


async def test_who_interrupts_a_table_is_told_how_it_goes_on(
    graph: Graph, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(_: TableRun) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(TableRun, "run", interrupted)
        code, _, err = await run("--out", str(tmp_path / "out.csv"), "--n", "3")
    assert code == 130, err
    assert "The same words go on" in err and "out.csv.asked" in err


async def test_a_table_is_asked_about_as_typed(graph: Graph, run: Run, tmp_path: Path) -> None:
    code, out, _ = await run("--out", str(tmp_path / "out.csv"), "--dry-run", "--json", "--n", "3")
    assert (code, json.loads(out)["done"]) == (0, 0)
    assert float(json.loads(out)["cost"]) > 0
    assert requests(graph) == []
    async with playing(graph):
        code, out, err = await run("--out", str(tmp_path / "out.csv"), "--json", "--n", "3")
    assert code == 0, err
    done = json.loads(out)
    assert (done["rows"], done["done"], done["weak"], done["failed"]) == (ROWS, ROWS, 0, 0)
    assert len(requests(graph)) == 3
    with (tmp_path / "out.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [(line["name"], line["answer_label"], line["answer_agree"]) for line in found[:2]] == [
        ("a0", "yes", "3"),
        ("a1", "yes", "3"),
    ]
    assert found[3]["answer_score"] == "0.500000003"
    code, out, err = await run("--out", str(tmp_path / "out.csv"), "--n", "3")
    assert code == 0
    assert "What became of the table" in out
    assert len(requests(graph)) == 3


async def test_the_days_budget_stops_it_and_the_same_words_go_on(graph: Graph, run: Run, tmp_path: Path) -> None:
    words = ["--out", str(tmp_path / "out.csv"), "--n", "3"]
    async with playing(graph):
        code, out, err = await run(*words, "--daily-budget", "0.008", "--json")
        assert code == 1
        done = json.loads(out)
        assert 0 < done["done"] < ROWS
        assert done["again"] is not None
        code, _, err = await run(*words, "--daily-budget", "0.008")
        assert code == 1
        assert "Stopped: the last 24 hours took" in err
        code, out, _ = await run(*words, "--json")
    assert (code, json.loads(out)["done"]) == (0, ROWS)
    assert len(requests(graph)) == 3


async def test_lines_that_do_not_fit_are_told_before_anything_is_spent(graph: Graph, run: Run, tmp_path: Path) -> None:
    with (tmp_path / "in.csv").open("a") as file:
        file.write("b,101,0,1\nc,1,0,1.5\n")
    code, _, err = await run("--out", str(tmp_path / "out.csv"))
    assert code == 2
    assert "line 12, x[0]: '101' is not a number from -100 to 100 (FP32)" in err
    assert "line 13, n: '1.5' is not a whole number" in err
    assert requests(graph) == []
    assert not (tmp_path / "out.csv").exists()
