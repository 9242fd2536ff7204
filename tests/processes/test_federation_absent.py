"""An owner that is gone holds nobody up for longer than a round's window, costs nobody anything, and goes on when it is back: on
real nodes with real containers, by a clock that the test moves."""

from __future__ import annotations

from pathlib import Path

import pytest

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
from tests.processes.test_federation import made

__all__ = ["made"]  # the fixture
PRESENT, GONE = ("o1", "o2", "o3"), "gone"
pytestmark = [
    pytest.mark.full("five nodes with containers: a minute; test_federation.py has rounds of owners that are all there"),
    pytest.mark.timeout(900),
]


async def test_an_owner_that_is_killed_misses_its_round_alone_and_is_in_the_next(
    tmp_path: Path, made: tuple[Path, str, list[bytes]]
) -> None:
    """Killed before the first round, back after it: unpaid for that one, in equal parts in those that follow."""
    owners = (*PRESENT, GONE)
    roles = [Role("v0", validator=True), *(owner(name, validator=True) for name in PRESENT)]
    roles.append(owner(GONE, settings={"federation.serve": False}))
    initial = tmp_path / "initial.safetensors"
    initial.write_bytes(model_file([0.0] * 31))
    async with federated_graph(tmp_path / "graph", roles) as graph:
        for n, name in enumerate(owners):
            await add_rows(graph[name], made[2][n :: len(owners)], tmp_path / f"data-{name}")
        await graph.start()
        sponsor, nodes = graph["v0"], [graph[name] for name in owners]
        present, gone = {graph[name].address for name in PRESENT}, graph[GONE]
        await drawable(sponsor, *(graph[name] for name in PRESENT))
        image, before = await posted(sponsor, made[0], made[1]), await graph.balances(sponsor)
        federation = await open_and_join(sponsor, nodes, image, initial, 31, start=False, target="0.115")
        await gone.kill()
        await sponsor.api.look_after_federation(federation, auto=True)

        async def all_but_one() -> bool:
            attempt = (await sponsor.api.federation(federation))["attempt"]
            return attempt is not None and attempt["roster"] == len(owners) and set(attempt["files"]) == present

        await eventually("the files of those who are there stand on the ledger", all_but_one, SLOW_S)
        await graph.clock.advance(HOUR_MS)

        async def first() -> bool:
            return bool(await sponsor.api.federation_rounds(federation))

        await eventually("the round is measured without the one that is gone", first, SLOW_S)
        await gone.start()
        told = await ended(sponsor, federation)
        say("one is gone", told, graph)
        assert told.view["end"] == "REACHED" and all(one["void"] is None for one in told.attempts)
        assert set(told.rounds[0]["accepted"]) == present
        assert len(told.rounds) >= 2 and all(set(one["accepted"]) == {*present, gone.address} for one in told.rounds[1:])
        pay, after = exact_pay(told), await graph.balances(sponsor)
        assert {node.address: told.paid(node) for node in nodes} == {node.address: pay[node.address] for node in nodes}
        assert 0 < pay[gone.address] < min(pay[who] for who in present) and sum(pay.values()) == micro(told.view["bounty"])
        owed = pay + fees(told)
        assert {node.name: after[node.address] - before[node.address] for node in nodes} == {
            node.name: owed[node.address] for node in nodes
        }
        await graph.agree()
        await graph.conserved()
