"""Federated training as docs/start-data.md and docs/federation.md have it typed, on real nodes with real containers: data are
added, the page is read, one training is tried, owners join, the model is offered with a tried sample and asked by its columns."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import pty
import sys
from pathlib import Path
from typing import Any

import pytest

from learningchain.examples.federation.build import EXAMPLES, build, data_schema, initial, rows_schema, split_rows
from learningchain.examples.federation.deal import dealt
from learningchain.examples.federation.federated import model_bytes
from tests.processes.harness import ROOT, Graph, NodeProcess, Role, command, eventually, micro, with_params

EXAMPLE = "breast-cancer"
OWNERS = ("o1", "o2", "o3")
SERVES = {"work.verify": True, "federation.serve": True, "serve.mem_mb": 512, "serve.warm": 1}
ROLES = [Role("v0", validator=True), *(Role(name, validator=True, verifier=True, settings=SERVES) for name in OWNERS)]
PARAMS = with_params(
    fed_base=60_000,
    fed_ready=30_000,
    fed_open=30_000,
    fed_least=1_000,
    pred_a0=60_000,
    pred_open=40_000,
    pred_appeal=8_000,
)
SLOW_S = 300.0
ASKED = 3
pytestmark = [
    pytest.mark.full("test_client_cli_federations.py types each command, test_federation.py trains on real nodes: minutes"),
    pytest.mark.timeout(900),
]


async def typed(node: NodeProcess, *words: str | Path) -> tuple[str, str]:
    """Output and notes of a command that has to succeed."""
    code, out, err = await command(node, *map(str, words))
    assert code == 0, (words, out, err)
    return out, err


async def told(node: NodeProcess, *words: str | Path) -> Any:
    return json.loads((await typed(node, *words, "--json"))[0])


async def answered(node: NodeProcess, text: str, *words: str) -> str:
    """A command at a terminal that is asked, and answers: what it showed."""
    ours, theirs = pty.openpty()
    arguments = (sys.executable, "-m", "learningchain", *words, "--data", str(node.data))
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments, stdin=theirs, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=ROOT
        )
        os.write(ours, text.encode())
        out, _ = await process.communicate()
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 0, out.decode()
    return out.decode()


def posted(folder: Path) -> dict[str, Path]:
    """What a sponsor has: an image, a model, a schema of members' tables; a sample, and a table of those who will ask."""
    build(EXAMPLE, folder / "train.tar")
    (folder / "init.safetensors").write_bytes(model_bytes(initial(EXAMPLE)))
    (folder / "schema.json").write_text(json.dumps(data_schema(EXAMPLE)))
    lines = list(csv.reader(split_rows(EXAMPLE)[1].decode().splitlines()))
    names, rows = lines[0][:-1], [line[:-1] for line in lines[1 : ASKED + 1]]
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps([float(cell) for cell in row])}\n" for row in rows))
    table = io.StringIO()
    csv.writer(table).writerows([["case", *names], *([f"case {n}", *row] for n, row in enumerate(rows))])
    (folder / "cases.csv").write_text(table.getvalue())
    return {path.name: path for path in folder.iterdir()}


async def test_what_the_pages_say_is_typed_from_own_files_to_a_model_asked_by_its_columns(tmp_path: Path) -> None:
    for name in ("graph", "files"):
        (tmp_path / name).mkdir()
    files = await asyncio.to_thread(posted, tmp_path / "files")
    async with Graph(tmp_path / "graph", ROLES, params=PARAMS) as graph:
        await graph.start()
        sponsor, owners = graph["v0"], [graph[name] for name in OWNERS]
        await sponsor.reaches(1)
        for node in owners:
            await eventually(f"{node.name} may be drawn", lambda n=node: able(sponsor, n), SLOW_S)  # type: ignore[misc]
        federation = await opened(sponsor, files)
        shares = dealt(split_rows(EXAMPLE)[0], len(owners), seed=1, most=60, skew=4.0)
        for node, rows in zip(owners, shares, strict=True):
            own = tmp_path / node.name
            own.mkdir()
            (own / "cases.csv").write_bytes(rows)
            await joined(node, federation, own, files["schema.json"], at_terminal=node is owners[0])
        await ended(owners, federation)
        await looked_at(sponsor, owners[0], federation)
        await graph.conserved()
        await offered_and_asked(sponsor, owners, federation, files, tmp_path)
        await graph.agree()


async def able(asked: NodeProcess, node: NodeProcess) -> bool:
    serving = await node.api.federation_serving()
    return serving["on"] and bool((await asked.api.account(node.address))["capacity"])


async def opened(sponsor: NodeProcess, files: dict[str, Path]) -> str:
    one = EXAMPLES[EXAMPLE]
    terms = {
        "--image-archive": files["train.tar"],
        "--model": files["init.safetensors"],
        "--schema": files["schema.json"],
        "--bounty": "30",
        "--target": "0.25",
        "--rounds": "8",
        "--ends": "1d",
        "--round-time": "60s",
        "--secrecy": "open",
        "--admit": "open",
        "--max-members": "4",
        "--params": one.params,
        "--clip": f"{one.clip:g}",
        "--mem-mb": one.mem_mb,
        "--tmp-mb": "8",
        "--train-time": "60s",
        "--eval-time": "60s",
    }
    words = [str(word) for pair in terms.items() for word in pair]
    quote = await told(sponsor, "fed", "open", *words, "--dry-run")
    assert quote["refusal"] is None and quote["aggregators"] == quote["panel"] == len(OWNERS)
    return str((await told(sponsor, "fed", "open", *words))["federation"])


async def joined(node: NodeProcess, federation: str, own: Path, schema: Path, *, at_terminal: bool) -> None:
    """From files to membership, command by command."""
    short = federation[:12]
    await eventually(f"{node.name} lists it", lambda: listed(node, federation))
    assert federation in (await typed(node, "fed", "show", short))[0]
    code, _, err = await command(node, "data", "add", "loose", str(own))
    assert code == 0, err
    code, _, err = await command(node, "fed", "join", short, "loose", "--yes")
    assert code == 2 and "were not held against the schema" in err, "data that nobody compared do not join"
    await typed(node, "fed", "schema", short, "--out", own.parent / f"{node.name}.json")
    assert (own.parent / f"{node.name}.json").read_bytes() == schema.read_bytes()
    await typed(node, "data", "add", "scans", own, "--schema", own.parent / f"{node.name}.json")
    assert {one["name"] for one in await told(node, "data", "list")} == {"loose", "scans"}
    page = " ".join((await typed(node, "fed", "join", short, "scans", "--dry-run"))[0].split())
    for said in ("leaves each round", "secrecy is open", "pinned by this digest", "a loss of 0 pays"):
        assert said in page, said
    tried = await told(node, "fed", "join", short, "scans", "--preview")
    assert tried["state"] == "ok" and tried["loss"]["examples"] > 0, tried
    join = ("fed", "join", short, "scans")
    if at_terminal:
        shown = await answered(node, "yes\n", *join)
        assert "You are a member" in shown and "Joining federation" in shown
        return
    code, _, err = await command(node, *join)
    assert code == 2 and "agree with --yes" in err, "without a terminal nobody agreed"
    await typed(node, *join, "--yes")


async def listed(node: NodeProcess, federation: str) -> bool:
    return federation in [one["id"] for one in await told(node, "fed", "list", "--live")]


async def ended(owners: list[NodeProcess], federation: str) -> None:
    async def over(node: NodeProcess) -> bool:
        return (await node.api.federation(federation))["state"] == "END"

    for node in owners:
        await eventually(f"{node.name} sees the end", lambda n=node: over(n), SLOW_S)  # type: ignore[misc]


async def looked_at(sponsor: NodeProcess, owner: NodeProcess, federation: str) -> None:
    """What owner and stranger are told of it afterwards."""
    lines = (await typed(owner, "fed", "watch", federation, "--json"))[0].splitlines()
    assert [json.loads(line)["topic"] for line in lines][-1] == "fed.ended"
    mine = (await typed(owner, "fed", "mine", federation))[0]
    assert "trains on scans" in mine and "left this machine" in mine and "used" in mine
    shown = await told(owner, "fed", "show", federation)
    assert shown["end"] == "REACHED" and shown["bounty_left"] == "0", shown["end"]
    audit = await told(sponsor, "fed", "audit", federation, "--models")
    wrong = [one for one in audit["findings"] if one["verdict"] == "DIFFERS"]
    assert audit["holds"] and not wrong, wrong
    best = max(one["round"] for one in audit["findings"] if one["item"] == "settlement" and one["why"].startswith("PROGRESS "))
    models = {one["round"]: (one["verdict"], one["why"]) for one in audit["findings"] if one["item"] == "model"}
    verdict, why = models.pop(best)
    assert verdict == "OK" and "the recorded clip put it" in why, "base and delta of the best round outlive the end"
    assert {one for one, _ in models.values()} <= {"UNCHECKED"}, "and no others"
    assert sorted(one["account"] for one in audit["paid"]) == sorted(
        one["account"] for one in await told(owner, "fed", "members", federation) if one["paid"] != "0"
    )


async def offered_and_asked(
    sponsor: NodeProcess, owners: list[NodeProcess], federation: str, files: dict[str, Path], folder: Path
) -> None:
    offer = ("fed", "deploy", federation[:12], "--name", "risk", "--kind", "class", "--classes", "2", "--price", "0.001")
    tuned = ("--row-time", "500ms", "--start-time", "30s")
    shape = ("--label", "truth", "--sample", str(files["rows.jsonl"]))
    code, _, err = await command(owners[0], *offer, *tuned, *shape)
    assert code == 2 and "Its sponsor offers the model" in err, "and no container was started for it"
    done = await told(sponsor, *offer, *tuned, *shape)
    assert {one["account"] for one in done["shares"]} <= {node.address for node in owners} and done["shares"]
    for node in owners:
        await eventually(f"{node.name} knows the model", lambda n=node: known(n, done["model"]))  # type: ignore[misc]
        await typed(node, "model", "serve", done["model"][:12])

    async def served() -> bool:
        return (await sponsor.api.model(done["model"]))["awake"] == len(owners)

    await eventually("three servers are awake", served, SLOW_S)
    out = folder / "answers.csv"
    await typed(sponsor, "predict", done["model"], "--csv", files["cases.csv"], "--out", out, "--n", "3", "--within", "60s")
    table = list(csv.DictReader(out.read_text().splitlines()))
    truths = [line[-1] for line in list(csv.reader(split_rows(EXAMPLE)[1].decode().splitlines()))[1 : ASKED + 1]]
    assert [row["case"] for row in table] == [f"case {n}" for n in range(ASKED)] and set(rows_names()) <= table[0].keys()
    assert [row["answer_agree"] for row in table] == ["3"] * ASKED
    right = sum(row["answer_class"] == truth for row, truth in zip(table, truths, strict=True))
    assert right >= ASKED - 1, (table, truths)

    async def shared() -> bool:
        """Nobody did anything for it: what is left is what a rounding leaves, less than a micro-credit a share."""
        left = micro((await sponsor.api.model(done["model"]))["royalties"])
        return left < len(done["shares"]) < ASKED * micro("0.001")

    await eventually("the owners have the royalty", shared, SLOW_S)


def rows_names() -> list[str]:
    return [field["name"] for field in rows_schema(EXAMPLE)["inputs"]]


async def known(node: NodeProcess, model: str) -> bool:
    return (await node.api.model(model))["id"] == model
