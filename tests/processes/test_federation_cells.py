"""A small model on real nodes with real containers: German Credit, whose few values nobody reads but as the sum of a cell; and what
became of it is asked about an applicant."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.types import parse_loss
from learningchain.examples.federation.build import EXAMPLES, build, initial, rows_schema, split_rows
from learningchain.examples.federation.deal import dealt
from learningchain.examples.federation.federated import model_bytes, read_model
from learningchain.examples.tabular import dot, features
from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.federations import (
    LIMITS,
    SLOW_S,
    Json,
    Told,
    add_rows,
    drawable,
    ended,
    exact_pay,
    federated_graph,
    fees,
    open_and_join,
    owner,
    posted,
    say,
)
from tests.processes.harness import NodeProcess, Role, command, eventually, micro
from tests.processes.test_predictions import in_state

OWNERS = ("o1", "o2", "o3")
FLOOR = 580_000_000
"""A bad one of four costs a few hundredths: without it the loss is below 0.55 after three rounds."""
pytestmark = [
    pytest.mark.full(
        "four and five nodes with containers, several rounds: minutes; unit/test_federation_cell_machines.py plays the same"
    ),
    pytest.mark.timeout(1_500),
]


LIAR = "bad"
SERVES = {"serve.mem_mb": 512, "serve.warm": 1}
TIP, ROYALTY = 600_000, 1_000


@dataclass(frozen=True)
class Credit:
    """A graph of owners with German Credit's rows, the image on it, and what the sponsor and the owners had before."""

    example: str
    graph: ClockedGraph
    image: Json
    first: Path
    before: dict[str, int]

    @property
    def sponsor(self) -> NodeProcess:
        return self.graph["v0"]

    async def opened(self, owners: Sequence[str], **terms: Any) -> str:
        one, model = EXAMPLES[self.example], initial(self.example)
        usual: Json = {
            "look_after": {"reference": "rows"},
            "params": json.loads(one.params),
            "limits": LIMITS | {"mem_mb": one.mem_mb},
            "reference": True,
            "secrecy": "sum",
            "max_members": 7,
            "target": one.target,
            "rounds": one.rounds,
            "tol": "0.000001",
            "clip": f"{one.clip:g}",
        }
        nodes, dims = [self.graph[name] for name in owners], sum(part.size for part in model.values())
        return await open_and_join(self.sponsor, nodes, self.image, self.first, dims, **usual | terms)

    async def settled(self, told: Told, owners: Sequence[str]) -> None:
        """Everybody has what the rules say, to the micro-credit."""
        await self.graph.agree()
        await self.graph.conserved()
        owed, after = exact_pay(told), await self.graph.balances(self.sponsor)
        assert owed.total() == micro(told.view["paid"])
        owed += fees(told)
        nodes = [self.graph[name] for name in owners]
        assert {node.name: after[node.address] - self.before[node.address] for node in nodes} == {
            node.name: owed[node.address] for node in nodes
        }


@asynccontextmanager
async def credit(folder: Path, *more: str, lie: bool = True, example: str = "credit") -> AsyncIterator[Credit]:
    """The owners add up and measure for each other, as nobody else is there; the sponsor's rows are the reference."""
    archive, first = folder / "image.tar", folder / "initial.safetensors"
    image_id = await asyncio.to_thread(build, example, archive)
    first.write_bytes(model_bytes(initial(example)))
    names = (*OWNERS, *more)
    roles = [Role("v0", validator=True), *(owner(name, name in OWNERS, SERVES) for name in names)]
    async with federated_graph(folder / "graph", roles) as graph:
        for name in more if lie else ():
            *python, _, clock = graph[name].program
            graph[name].program = [*python, "tests.processes.lying_cell", clock]
        for name, table in zip((*names, "v0"), dealt(split_rows(example)[0], len(roles), seed=1, skew=4.0), strict=True):
            await add_rows(graph[name], table.splitlines(), folder / f"data-{name}")
        await graph.start()
        sponsor = graph["v0"]
        await drawable(sponsor, *(graph[name] for name in names), cells=True)
        yield Credit(example, graph, await posted(sponsor, archive, image_id), first, await graph.balances(sponsor))


async def test_owners_of_twenty_one_values_reach_the_target_in_a_cell_and_answer_with_them(tmp_path: Path) -> None:
    async with credit(tmp_path, example="credit-numbers") as stage:
        federation = await stage.opened(OWNERS)
        told = await ended(stage.sponsor, federation)
        say("a cell", told, stage.graph)
        assert told.view["terms"]["model"]["dims"] == 21
        assert told.view["end"] == "REACHED" and told.best <= parse_loss(EXAMPLES[stage.example].target)
        assert all(one["void"] is None for one in told.attempts), told.attempts
        assert all(set(told.codes(stage.graph[name])) == {"USED"} for name in OWNERS)
        assert told.view["paid"] == told.view["bounty"]
        await stage.settled(told, OWNERS)
        await audited(stage, federation)
        await answered(stage, federation, tmp_path)


async def audited(stage: Credit, federation: str) -> None:
    """Everything holds, and the candidates of the best round are made again of what the owners still serve."""
    code, out, err = await command(stage.sponsor, "fed", "audit", federation, "--models", "--json")
    found = json.loads(out)
    assert code == 0 and found["holds"], (err, [one for one in found["findings"] if one["verdict"] == "DIFFERS"])
    unchecked = {one["item"] for one in found["findings"] if one["verdict"] == "UNCHECKED"}
    models = [one["why"] for one in found["findings"] if (one["item"], one["verdict"]) == ("model", "OK")]
    assert unchecked <= {"codes", "loss", "model"} and len(models) == 1 and "12 candidates" in models[0], (unchecked, models)


async def answered(stage: Credit, federation: str, folder: Path) -> None:
    """The owners serve what they trained; a score is the one that its weights give here, and everybody has their part of it."""
    graph, sponsor, fields = stage.graph, stage.sponsor, rows_schema(stage.example)
    head, *rows = list(csv.reader(split_rows(stage.example)[1].decode().splitlines()))
    texts = {field["name"] for field in fields["inputs"] if "values" in field}
    row = [cell if name in texts else int(cell) for name, cell in zip(head, rows[0][:-1], strict=False)]
    (folder / "rows.json").write_text(json.dumps(fields))
    (folder / "sample").write_text(f"{json.dumps(row)}\n")
    shape = ("--schema", str(folder / "rows.json"), "--sample", str(folder / "sample"), "--price", "0.001", "--json")
    kind = ("--name", "risk", "--kind", "class", "--classes", "2", "--row-time", "500ms", "--start-time", "60s")
    code, out, err = await command(sponsor, "fed", "deploy", federation, *kind, *shape)
    assert code == 0, err
    deployed = json.loads(out)
    for name in OWNERS:
        await graph[name].api.serve(deployed["model"], wait=60)

    before = await graph.balances(sponsor)
    terms = {"model": deployed["model"], "input": (folder / "sample").read_text(), "n": 3, "tip": "0.6", "within_s": 600}
    request = (await sponsor.api.request_prediction(terms, wait=60))["request"]
    found = await in_state(sponsor, request, "AGREED", "WEAK", "FAILED", within=SLOW_S)
    await sponsor.api.fetch_federation_model(federation, folder / "best")
    shapes = {name: list(part.shape) for name, part in initial(stage.example).items()}
    weights = read_model((folder / "best").read_bytes(), shapes)["weights"]
    score = dot(weights.tolist(), features(fields["inputs"], row))
    assert (found["state"], found["agree"]) == ("AGREED", 3)
    assert (found["values"][0]["class"], found["values"][0]["score"]) == (int(score > 0), f"{score:.9f}")
    await graph.clock.advance(HOUR_MS)
    await in_state(sponsor, request, "FINAL", within=SLOW_S)
    burned = -(-(TIP + ROYALTY) // 20)
    subsidy = min(20_000, burned // 6)
    each = TIP // 3 + subsidy
    parts = {
        one["account"]: ROYALTY * one["weight"] // sum(two["weight"] for two in deployed["shares"]) for one in deployed["shares"]
    }
    due = {node.address: before[node.address] + each + parts[node.address] for node in (graph[name] for name in OWNERS)}
    due[sponsor.address] = before[sponsor.address] - TIP - ROYALTY - burned

    async def paid() -> bool:
        return {who: one for who, one in (await graph.balances(sponsor)).items() if who in due} == due

    await eventually("servers and owners have what the rules say", paid, SLOW_S)
    supply = {name: micro(value) for name, value in (await sponsor.api.supply()).items() if name != "height"}
    assert supply["minted"] - sum(one.credits for one in graph.genesis.accounts) == 3 * subsidy
    assert supply["accounts"] + supply["escrows"] == supply["supply"] == supply["minted"] - supply["burned"]


async def test_a_bad_owner_decides_nothing_and_a_node_that_was_killed_goes_on(tmp_path: Path) -> None:
    """One of four sends the opposite, with a proof that holds, and names false models; another is killed in the first attempt."""
    owners = (*OWNERS, LIAR)
    async with credit(tmp_path, LIAR) as stage:
        graph, sponsor = stage.graph, stage.sponsor
        federation = await stage.opened(owners, rounds=3)

        async def trains() -> bool:
            attempt = (await sponsor.api.federation(federation))["attempt"]
            return attempt is not None and bool(attempt["files"])

        await eventually("the first attempt trains", trains, SLOW_S)
        await graph["o2"].kill()
        await graph["o2"].start()
        told = await ended(sponsor, federation)
        say("a bad one", told, graph)
        assert told.view["end"] in ("REACHED", "ROUNDS")
        assert all(one["void"] is None for one in told.attempts), told.attempts
        assert told.best <= FLOOR, "the panel takes the best of twelve models, and the reference is one of their directions"
        assert not any(graph[LIAR].address in one["aggregators"] for one in told.rounds), "two others say the same"
        await stage.settled(told, owners)


async def test_eight_owners_are_two_cells(tmp_path: Path) -> None:
    """Both are summed in each round, and everybody is paid alike."""
    others = tuple(f"o{n}" for n in range(4, 9))
    owners = (*OWNERS, *others)
    async with credit(tmp_path, *others, lie=False) as stage:
        federation = await stage.opened(owners, rounds=2, max_members=8, min_members=8, target="0.3")
        told = await ended(stage.sponsor, federation)
        say("two cells", told, stage.graph)
        shown = await stage.sponsor.api.federation(federation)
        assert [len(cell["members"]) for cell in shown["cells"]] == [4, 4]
        assert [one["of"] for one in shown["directions"]] == ["all", "cell 1", "cell 2", "the reference alone", "both, half way"]
        assert all(set(told.codes(stage.graph[name])) == {"USED"} for name in owners)
        await stage.settled(told, owners)
