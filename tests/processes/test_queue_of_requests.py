"""The queue of a model's requests on real nodes with real containers, by a chain clock that the test moves: higher tips come
first, a request that waits rises by its age until no tip overtakes it, and under load nobody starves.

    rank = posted + 60 s - min(60 s, 2 s * (tip - least) / least)          the lowest is drawn first (LC-PRE-4)

One request may be drawn at a time, and the first is held while the others come: one of its three servers is away.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import test_predictions
from tests.processes.clocked import DAY_MS, WINDOWS, ClockedGraph
from tests.processes.harness import NodeProcess, Role, with_params
from tests.processes.test_predictions import SERVES, in_state, register, serve

archive = test_predictions.archive
pytestmark = pytest.mark.timeout(600)
SERVERS = ("s1", "s2", "s3")
AWAY = "s3"
ROLES = [Role("v0", validator=True), *(Role(name, verifier=True, settings=SERVES) for name in SERVERS)]
PARAMS = with_params(**WINDOWS, pred_a0=DAY_MS, pred_open=DAY_MS, pred_appeal=DAY_MS)
LEAST = 300
"""Micro-credits: one row, three answers, a floor of 0.0001."""
TIMES_31 = 31 * LEAST
"""2 s for each time beyond the first: a whole minute of age."""
FLOOD = 6


async def _ask(node: NodeProcess, model: str, row: int, tip: int) -> str:
    body = {"model": model, "input": f"[{row}]\n", "n": 3, "tip": f"{tip / 10**6:.6f}", "within_s": 3_600}
    return (await node.api.request_prediction(body, wait=30))["request"]


@pytest.mark.full("the order is the rules' (test_prediction_formulas, test_prediction_requests); here containers and a queue stand")
async def test_tips_come_first_age_overtakes_them_and_nobody_starves(tmp_path: Path, archive: tuple[Path, str]) -> None:
    (tmp_path / "graph").mkdir()
    async with ClockedGraph(tmp_path / "graph", ROLES, params=PARAMS) as graph:
        asker = graph["v0"]
        await graph.start()
        model = await register(asker, archive, tmp_path, slots=1, row_ms=5_000)
        await serve(graph, model, *SERVERS)
        await graph[AWAY].kill()
        first = await _ask(asker, model, 0, LEAST)
        await in_state(asker, first, "ANSWER")

        names = ["old", "as old"]
        asked = {name: await _ask(asker, model, row, LEAST) for row, name in enumerate(names, 1)}
        await graph.clock.advance(30_000)
        asked["half as old"] = await _ask(asker, model, 3, LEAST)
        asked["early and generous"] = await _ask(asker, model, 4, TIMES_31)
        await graph.clock.advance(31_000)
        for row in range(FLOOD):  # by now the old ones are beyond what any tip buys
            asked[f"flood {row}"] = await _ask(asker, model, 10 + row, TIMES_31 + row * 1_000 * LEAST)
        asked["late"] = await _ask(asker, model, 5, LEAST)
        places = [(await asker.api.prediction(asked[name]))["place"] for name in ("early and generous", "old", "as old")]
        assert places == [1, 2, 3]
        assert {(await asker.api.prediction(one))["state"] for one in asked.values()} == {"WAITING"}

        await graph[AWAY].start()
        drawn: dict[str, int] = {}
        for name, request in asked.items():
            view = await in_state(asker, request, "AGREED", "WEAK", "FAILED", "FINAL")
            assert (view["outcome"], view["agree"]) == ("AGREED", 3), f"{name}: {view}"
            happened = await asker.api.prediction_events(request)
            (drawn[name],) = [event["height"] for event in happened if event["topic"] == "request.answer"]
        order = sorted(drawn, key=lambda name: drawn[name])
        assert len(set(drawn.values())) == len(drawn), "one at a time"
        flood = [f"flood {row}" for row in range(FLOOD)]
        assert order == ["early and generous", "old", "as old", *flood, "half as old", "late"]
