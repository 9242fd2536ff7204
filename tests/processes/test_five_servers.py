"""Five answers by five real nodes with real containers, beside four validators that serve nothing: one of the five lies, is not
paid, and is fined; asked again it is honest, and all five are paid. To the last micro-credit."""

from __future__ import annotations

import sys
from pathlib import Path

import aiohttp
import pytest

from learningchain.client import config
from learningchain.client.sdk.http import read_token
from learningchain.client.sdk.types import Json
from tests.processes import test_predictions
from tests.processes.harness import Graph, NodeProcess, Role, micro, validators, with_params
from tests.processes.test_predictions import SERVES, in_state, register, serve

archive = test_predictions.archive
pytestmark = pytest.mark.timeout(600)
SERVERS = ("s0", "s1", "s2", "s3", "s4")
LIAR, HONEST = SERVERS[0], SERVERS[1:]
ROLES = [*validators(4), *(Role(name, verifier=True, settings=SERVES) for name in SERVERS)]
PARAMS = with_params(pred_a0=60_000, pred_open=60_000)
N, ROWS, TIP = 5, 2, 600_000
EACH = TIP // N
ROYALTY = 1_000 * ROWS
BURNED = -(-(TIP + ROYALTY) // 20)
SUBSIDY = BURNED // (2 * N)
FINE = 10 * 100 * ROWS
"""LC-PRE-1, 5, 30 and 33 of the model's terms: 0.001 a row, a floor of 0.0001."""


@pytest.mark.full("nine nodes; test_predictions has three real servers, test_prediction_tallies five answers by the rules")
async def test_four_of_five_agree_and_who_lies_is_neither_paid_nor_believed(tmp_path: Path, archive: tuple[Path, str]) -> None:
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", ROLES, params=PARAMS) as graph:
        # Its first answer says one more of each row.
        graph[LIAR].program = [sys.executable, "-m", "learningchain.examples.asking.liar"]
        owner, asker = graph["v0"], graph["v1"]
        await graph.start()
        model = await register(owner, archive, tmp_path, start_s=60)
        await serve(graph, model, *SERVERS)

        found, moved = await _asked(graph, model)
        assert (found["agree"], found["votes"]) == (4, {"OK": 5})
        assert [value["score"] for value in found["values"]] == ["9.000000000", "1.500000000"]
        assert moved == {
            graph[LIAR].address: 0,
            **{graph[name].address: EACH + SUBSIDY for name in HONEST},
            owner.address: ROYALTY,
            asker.address: -(4 * EACH + ROYALTY + BURNED),
        }
        stakes = {one["server"]: micro(one["stake"]) for one in (await owner.api.model(model))["members"]}
        assert len(set(stakes.values())) == 2 and stakes[graph[HONEST[0]].address] - stakes[graph[LIAR].address] == FINE

        found, moved = await _asked(graph, model)
        assert found["agree"] == 5
        assert moved == {
            **{graph[name].address: EACH + SUBSIDY for name in SERVERS},
            owner.address: ROYALTY,
            asker.address: -(TIP + ROYALTY + BURNED),
        }
        supply = await owner.api.supply()
        granted = sum(account.credits for account in graph.genesis.accounts)
        assert (micro(supply["minted"]) - granted, micro(supply["burned"])) == (9 * SUBSIDY, 2 * BURNED + FINE)
        await graph.agree()
        told = (await owner.api.model(model))["answers"]
        assert (told["counted"], told["agreed"], told["agreement"]) == (2, 2, 1.0)
        assert told["p50_ms"] is not None and told["p95_ms"] is not None and 0 < told["p50_ms"] <= told["p95_ms"]
        server = graph[HONEST[0]]
        said = await _metrics(server)
        assert f'lc_served_model_answers{{model="{model}"}} 2.0' in said
        assert f'lc_served_model_seconds{{model="{model}",percentile="95"}} {told["p95_ms"] / 1_000}' in said
        assert "lc_prediction_answer_seconds_count 2.0" in said
        await server.stop()
        await server.start()
        assert (await server.api.model(model))["answers"] == told, "of the ledger, which is there after a restart"


async def _metrics(node: NodeProcess) -> list[str]:
    listen = config.load(node.data, {}).config.api.listen
    headers = {"Authorization": f"Bearer {read_token(node.data / 'api.token')}"}
    async with aiohttp.ClientSession() as http, http.get(f"http://{listen}/metrics", headers=headers) as answer:
        return (await answer.text()).splitlines()


async def _asked(graph: Graph, model: str) -> tuple[Json, dict[str, int]]:
    """A request of `v1` to its agreement, and by how much the balances of servers, owner and requester moved."""
    named = [graph["v0"], graph["v1"], *(graph[name] for name in SERVERS)]
    before = await graph.balances(graph["v1"])
    body = {"model": model, "rows": [[1, 2], [0.5]], "n": N, "tip": "0.6"}
    posted = await graph["v1"].api.request_prediction(body, wait=30)
    found = await in_state(graph["v1"], posted["request"], "AGREED", "WEAK", "FAILED")
    assert found["state"] == "AGREED" and len(found["seats"]) == N, found
    after = await graph.balances(graph["v1"])
    return found, {node.address: after[node.address] - before[node.address] for node in named}
