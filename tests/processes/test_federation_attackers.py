"""Owners that attack, each with a container image of its own on a real node, in one federation beside honest ones. Every update is
masked: nobody opens one, and each attack meets the rule that is named for it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.processes.attackers import hostile_image, turn
from tests.processes.clocked import HOUR_MS
from tests.processes.federations import (
    SLOW_S,
    add_rows,
    drawable,
    ended,
    exact_pay,
    federated_graph,
    fees,
    model_file,
    open_and_join,
    owner,
    posted,
    say,
)
from tests.processes.harness import Role, eventually, micro
from tests.processes.test_federation import made, network

__all__ = ["made"]  # the fixture
HONEST = ("o1", "o2", "o3", "o4")
REFUSED: dict[str, tuple[set[str], set[str]]] = {
    # What it meets in round 1, and later.
    "replay": ({"EMPTY"}, {"STALE"}),
    "scaling": ({"LARGE"}, {"LARGE"}),
    "noise": ({"WRONG", "OUTLIER"}, {"WRONG", "OUTLIER"}),
    "malformed": (set(), {"AWAY"}),
}
COPIER, VICTIM = "copy", "o1"
ATTACKERS = (*REFUSED, COPIER)
FLOOR = 180_000_000
"""What honest owners reach by themselves (`test_federation`)."""
pytestmark = [
    pytest.mark.full("ten nodes with containers, several rounds of a masked network: minutes"),
    pytest.mark.timeout(1_500),
]


async def test_each_attack_meets_its_rule_and_is_not_paid(tmp_path: Path, made: tuple[Path, str, list[bytes]]) -> None:
    roles = [
        Role("v0", validator=True),
        *(owner(name, validator=name in HONEST[:3]) for name in HONEST),
        *(Role(name, verifier=True) for name in ATTACKERS),
    ]
    initial, values = tmp_path / "initial.safetensors", network(32)
    initial.write_bytes(model_file(values))
    names = ("v0", *HONEST, *REFUSED)
    shares = {name: made[2][n :: len(names)] for n, name in enumerate(names)}
    shares[COPIER] = [*shares[VICTIM], b""]
    async with federated_graph(tmp_path / "graph", roles) as graph:
        image_of_attacks = hostile_image(tmp_path)
        for name in ATTACKERS:
            turn(graph, name, name, image_of_attacks)
        for name, rows in shares.items():
            await add_rows(graph[name], rows, tmp_path / f"data-{name}")
        await graph.start()
        sponsor, nodes = graph["v0"], [graph[name] for name in (*HONEST, *ATTACKERS)]
        await drawable(sponsor, *(graph[name] for name in HONEST))
        image, before = await posted(sponsor, made[0], made[1]), await graph.balances(sponsor)
        federation = await open_and_join(
            sponsor,
            nodes,
            image,
            initial,
            len(values),
            look_after={"reference": "rows"},
            reference=True,
            rule="krum",
            secrecy="sum",
            target="0.02",
            rounds=3,
            params={"hidden": 32, "passes": 3, "rate": 0.03},
        )

        async def all_but_one() -> bool:
            attempt = (await sponsor.api.federation(federation))["attempt"]
            return attempt is not None and len(attempt["files"]) == len(nodes) - 1 and attempt["reference"]

        await eventually("all but the one that made no numbers have committed", all_but_one, SLOW_S)
        own = (await graph["malformed"].api.own_part(federation))["attempts"]
        assert "finite" in own[-1]["why"] and not own[-1]["sent"], own
        await graph.clock.advance(HOUR_MS)
        told = await ended(sponsor, federation)
        await graph.agree()
        await graph.conserved()
        say("attackers", told, graph)
        assert told.view["end"] in ("ROUNDS", "REACHED") and told.best <= FLOOR
        assert all(one["void"] is None for one in told.attempts)
        first, *later = told.attempts
        for name, (at_first, then) in REFUSED.items():
            met = [{file["code"] for file in one["files"] if file["member"] == graph[name].address} for one in (first, *later)]
            assert met[0] <= at_first and bool(met[0]) == bool(at_first), (name, met)
            assert set().union(*met[1:]) <= then and any(met[1:]), (name, met)
            assert told.paid(graph[name]) == 0, name
        pair = {graph[COPIER].address, graph[VICTIM].address}
        for one in told.attempts:
            codes = Counter(file["code"] for file in one["files"] if file["member"] in pair)
            assert codes["COPY"] == 1, "whichever of the two committed later; nobody sees which one trained on its own data"
        for name in HONEST[1:]:
            assert set(told.codes(graph[name])) <= {"USED", "OUTLIER"} and told.paid(graph[name]) > 0
        owed = exact_pay(told)
        assert {node.name: told.paid(node) for node in nodes} == {node.name: owed[node.address] for node in nodes}
        assert owed.total() == micro(told.view["paid"])
        owed += fees(told)
        after = await graph.balances(sponsor)
        assert {node.name: after[node.address] - before[node.address] for node in nodes} == {
            node.name: owed[node.address] for node in nodes
        }
