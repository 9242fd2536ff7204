"""A small model on real nodes with real containers: German Credit, whose few values nobody reads but as the sum of a cell."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from learningchain.chain.types import parse_loss
from learningchain.examples.federation.build import EXAMPLES, build, initial, split_rows
from learningchain.examples.federation.deal import dealt
from learningchain.examples.federation.federated import model_bytes
from tests.processes.federations import (
    LIMITS,
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

OWNERS = ("o1", "o2", "o3")
TARGET = "0.53"
"""From 0.693; no owner of these rows comes to it in one training."""
pytestmark = [
    pytest.mark.full("four nodes with containers, several rounds: minutes; unit/test_federation_cell_machines.py plays the same"),
    pytest.mark.timeout(1_500),
]


async def test_owners_of_german_credit_reach_the_target_in_a_cell(tmp_path: Path) -> None:
    """The owners add up and measure for each other, as nobody else is there; the sponsor's rows are the reference."""
    one, model, archive = EXAMPLES["credit"], initial("credit"), tmp_path / "image.tar"
    image_id = await asyncio.to_thread(build, "credit", archive)
    first = tmp_path / "initial.safetensors"
    first.write_bytes(model_bytes(model))
    roles = [Role("v0", validator=True), *(owner(name, validator=True) for name in OWNERS)]
    tables = dealt(split_rows("credit")[0], len(roles), seed=1, skew=4.0)
    async with federated_graph(tmp_path / "graph", roles) as graph:
        for name, table in zip((*OWNERS, "v0"), tables, strict=True):
            await add_rows(graph[name], table.splitlines(), tmp_path / f"data-{name}")
        await graph.start()
        sponsor, nodes = graph["v0"], [graph[name] for name in OWNERS]
        await drawable(sponsor, *nodes, cells=True)
        image, before = await posted(sponsor, archive, image_id), await graph.balances(sponsor)
        federation = await open_and_join(
            sponsor,
            nodes,
            image,
            first,
            sum(part.size for part in model.values()),
            look_after={"reference": "rows"},
            params=json.loads(one.params),
            limits=LIMITS | {"mem_mb": one.mem_mb},
            reference=True,
            secrecy="sum",
            max_members=7,
            target=TARGET,
            tol="0.000001",
            clip=f"{one.clip:g}",
        )
        told = await ended(sponsor, federation)
        say("a cell", told, graph)
        await graph.agree()
        await graph.conserved()
        assert told.view["end"] == "REACHED" and told.best <= parse_loss(TARGET)
        assert all(one["void"] is None for one in told.attempts), told.attempts
        for node in nodes:
            assert set(told.codes(node)) == {"USED"}
        owed, after = exact_pay(told), await graph.balances(sponsor)
        assert owed.total() == micro(told.view["bounty"]), "the target is met, and everything paid"
        owed += fees(told)
        assert {node.name: after[node.address] - before[node.address] for node in nodes} == {
            node.name: owed[node.address] for node in nodes
        }
