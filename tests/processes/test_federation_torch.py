"""Five owners on real nodes train networks in torch, each at home and each update masked: together they come to a model that none
of them comes to alone. A machine without torch's build for processors says so by name, and the test is left out."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from learningchain.chain.types import parse_loss
from learningchain.examples.federation.build import EXAMPLES, build, initial, split_rows
from learningchain.examples.federation.deal import dealt
from learningchain.examples.federation.federated import model_bytes
from learningchain.examples.federation.wheel import TorchMissing
from tests.federation_alone import train_alone
from tests.processes.federations import (
    LIMITS,
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
from tests.processes.harness import Role, micro
from tests.processes.test_torch_job import Watch

OWNERS = ("o1", "o2", "o3", "o4", "o5")
ROUNDS = 12
pytestmark = [
    pytest.mark.full("torch in some forty containers each; unit/test_examples_federation.py runs the same programs"),
    pytest.mark.timeout(1_800),
]


@dataclass(frozen=True)
class Story:
    """`rows`: of an owner, at most; `skew`, `seed`: how they are dealt. `target`: the loss that is paid in full. `better`: by how
    much the federation's is to be below that of the best owner alone."""

    example: str
    rows: int
    skew: float
    seed: int
    target: str
    better: float

    def tables(self) -> list[bytes]:
        return dealt(split_rows(self.example)[0], len(OWNERS), seed=self.seed, most=self.rows, skew=self.skew)

    def terms(self, cache: Path) -> Json:
        one, model = EXAMPLES[self.example], initial(self.example)
        (cache / "initial.safetensors").write_bytes(model_bytes(model))
        return {
            "initial": cache / "initial.safetensors",
            "dims": sum(part.size for part in model.values()),
            "params": json.loads(one.params),
            "secrecy": "sum",
            "target": self.target,
            "rounds": ROUNDS,
            "tol": "0.000001",
            "float_kind": "f32",
            "clip": f"{one.clip:g}",
            "limits": LIMITS | {"mem_mb": one.mem_mb, "eval_s": 90, "train_s": 300},
        }


STORIES = (
    Story("digits-network", 80, 1.0, 0, "0.25", 0.2),
    Story("credit-network", 100, 2.0, 0, "0.535", 0.01),
)
"""Three minutes and more each. Breast cancer has German Credit's program, and `sandbox/test_federation_rounds.py` trains it."""


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.example)
async def test_five_owners_come_to_what_none_comes_to_alone(tmp_path: Path, story: Story) -> None:
    archive, watch = tmp_path / "image.tar", Watch()
    try:
        image_id = await asyncio.to_thread(build, story.example, archive)
    except TorchMissing as missing:
        pytest.skip(f"{story.example} needs torch: {missing}")
    watch.tell("the image is built, or was there")
    cache = {"sandbox.cache_dir": str(tmp_path / "cache")}
    roles = [Role("v0", validator=True), *(owner(name, validator=name in OWNERS[:3], settings=cache) for name in OWNERS)]
    async with federated_graph(tmp_path / "graph", roles) as graph:
        for name, table in zip(OWNERS, story.tables(), strict=True):
            await add_rows(graph[name], table.splitlines(), tmp_path / f"data-{name}")
        await graph.start()
        sponsor, nodes = graph["v0"], [graph[name] for name in OWNERS]
        await drawable(sponsor, *nodes)
        image, before = await posted(sponsor, archive, image_id), await graph.balances(sponsor)
        watch.tell("six nodes run, the image is posted")
        federation = await open_and_join(sponsor, nodes, image, **story.terms(tmp_path))
        told = await ended(sponsor, federation)
        watch.tell(f"{len(told.rounds)} rounds, to the target")
        say(story.example, told, graph)
        await graph.agree()
        await graph.conserved()
        owed, after = exact_pay(told), await graph.balances(sponsor)
        assert owed.total() == micro(told.view["bounty"]), "the target is met, and everything paid"
        owed += fees(told)
        assert {node.name: after[node.address] - before[node.address] for node in nodes} == {
            node.name: owed[node.address] for node in nodes
        }
    await _beats_each_alone(story, told, tmp_path)
    watch.tell("each alone")


async def _beats_each_alone(story: Story, told: Told, folder: Path) -> None:
    """With as many trainings as the federation had rounds."""
    assert told.view["end"] == "REACHED" and told.best <= parse_loss(story.target)
    tables = [folder / f"data-{name}" / "rows.csv" for name in OWNERS]
    alone, _ = await asyncio.to_thread(train_alone, story.example, tables, len(told.rounds))
    best = told.best / 1e9
    print(f"together {best:.3f} after {len(told.rounds)} rounds; alone {', '.join(f'{loss:.3f}' for loss in alone)}")
    assert best + story.better < min(alone), "better than the best of them"
    assert best < sum(alone) / len(alone) - 0.02, "and far better than most"
