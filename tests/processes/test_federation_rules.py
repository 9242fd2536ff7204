"""The terms that protect a federation, on real nodes with real containers: rules that bear a bad owner, a hidden test file, a panel
from outside, noise on sums. What aggregators publish is computed once more by another way, and must be the same bytes."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.processes.attackers import hostile_image, turn
from tests.processes.federations import (
    add_rows,
    drawable,
    ended,
    exact_pay,
    federated_graph,
    fees,
    first_model,
    model_file,
    open_and_join,
    owner,
    posted,
    same_model,
    say,
)
from tests.processes.harness import Role, micro
from tests.processes.test_federation import made

__all__ = ["made"]  # the fixture
Made = tuple[Path, str, list[bytes]]
RULES = ("krum", "trimmed", "median")
HONEST, BAD = ("o1", "o2", "o3", "o4"), "bad"
FLOOR = 115_000_000
"""The loss that honest owners reach by themselves (`test_federation`): one more that attacks must not keep them from it."""
pytestmark = [
    pytest.mark.full("six nodes with containers and several federations: minutes"),
    pytest.mark.timeout(1_500),
]


async def test_each_robust_rule_bears_an_owner_whose_container_turns_its_update_round(tmp_path: Path, made: Made) -> None:
    """Three federations of the same five owners. The floor is reached, the attacker is refused by name and unpaid in each, every
    micro-credit is where the rules say, and the first model of each is what its rule makes of the honest owners' updates."""
    owners = (*HONEST, BAD)
    roles = [Role("v0", validator=True), *(owner(name, validator=name in HONEST[:3]) for name in owners)]
    bases = {rule: [n / 1_024] * 31 for n, rule in enumerate(RULES)}  # owners' nodes send on a model in one federation
    shares = {name: made[2][n :: len(owners)] for n, name in enumerate(owners)}
    async with federated_graph(tmp_path / "graph", roles) as graph:
        turn(graph, BAD, "sign_flip", hostile_image(tmp_path))
        for name in owners:
            await add_rows(graph[name], shares[name], tmp_path / f"data-{name}")
        await graph.start()
        sponsor, nodes = graph["v0"], [graph[name] for name in owners]
        await drawable(sponsor, *nodes)
        image, before = await posted(sponsor, made[0], made[1]), await graph.balances(sponsor)
        opened, firsts = [], []
        for rule, base in bases.items():
            initial = tmp_path / f"initial-{rule}.safetensors"
            initial.write_bytes(model_file(base))
            federation = await open_and_join(sponsor, nodes, image, initial, 31, rule=rule, target="0.115", params={"passes": 2})
            opened.append(federation)
            firsts.append(asyncio.create_task(first_model(sponsor, federation, tmp_path / f"first-{rule}")))
        told = {rule: await ended(sponsor, one) for rule, one in zip(RULES, opened, strict=True)}
        await graph.agree()
        await graph.conserved()
        after = await graph.balances(sponsor)
        owed = Counter[str]()
        for rule, found in told.items():
            say(rule, found, graph)
            assert found.view["end"] == "REACHED" and found.best <= FLOOR, rule
            assert all(one["void"] is None for one in found.attempts), found.attempts
            assert set(found.codes(graph[BAD])) == {"WRONG"} and found.paid(graph[BAD]) == 0, rule
            assert {node.address: found.paid(node) for node in nodes} == {
                node.address: exact_pay(found)[node.address] for node in nodes
            }
            assert sum(found.paid(node) for node in nodes) == micro(found.view["bounty"])
            for one in found.attempts:
                codes = Counter(file["code"] for file in one["files"])
                outliers = (codes["USED"] + codes["OUTLIER"]) // 4 if rule == "krum" else 0
                assert codes["OUTLIER"] == outliers, (rule, codes)
            owed.update(exact_pay(found) + fees(found))
        assert {node.name: after[node.address] - before[node.address] for node in nodes} == {
            node.name: owed[node.address] for node in nodes
        }
        for rule, federation, first in zip(RULES, opened, firsts, strict=True):
            same_model(graph, federation, told[rule], rule, shares, bases[rule], await first, passes=2)
