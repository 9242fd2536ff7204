"""Hostile models of real nodes with real containers, each asked beside a good one that the same node serves: they hang, write
garbage and numbers that are none, eat memory, processes and disk. Each request ends as the rules have it, and the good model
answers meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from learningchain.client.sdk.types import ApiError, Json
from tests.processes import test_predictions
from tests.processes.harness import Graph, NodeProcess, Role, micro, with_params
from tests.processes.test_predictions import SERVERS, SERVES, in_state, register, serve
from tests.sandbox.hostile.stage import build_image

archive = test_predictions.archive
pytestmark = pytest.mark.timeout(900)
ROLES = [Role("v0", validator=True), *(Role(name, validator=True, verifier=True, settings=SERVES) for name in SERVERS)]
PARAMS = with_params(pred_a0=20_000, pred_open=20_000, pred_appeal=1_000)
WHY = "the sandbox's hostile cases have each program, test_main_job a hostile job; here they stand beside a model that answers"

ENDS = {
    "never_ready": "TOO_HEAVY",
    "ready_and_silent": "TOO_HEAVY",
    "done_before_it_was_asked": "MODEL_FAULT",
    "an_answer_with_zeros": "MODEL_FAULT",
    "an_answer_to_other_rows": "MODEL_FAULT",
    "an_answer_that_is_no_number": "MODEL_FAULT",
    "an_answer_that_is_a_link": "MODEL_FAULT",
    "a_huge_answer": "MODEL_FAULT",
    "a_flood_before_it_is_ready": "MODEL_FAULT",
    "a_flood_after_the_request": "MODEL_FAULT",
    "forks_when_it_is_asked": "MODEL_FAULT",
    "all_memory_before_it_is_asked": "TOO_HEAVY",
    "all_memory_for_a_request": "TOO_HEAVY",
    "fills_the_disk_when_it_is_asked": "MODEL_FAULT",
}
"""What a request to each comes to where its one server is honest."""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("hostile") / "hostile.tar"
    return path, build_image(path)


async def _hostile(graph: Graph, hostile: tuple[Path, str], folder: Path, mode: str, **changes: object) -> str:
    terms: Json = {"name": mode.replace("_", "-"), "kind": "class", "classes": 3, "params": {"mode": mode}, "start_s": 5}
    limits = {"cpus": 0.5, "mem_mb": 64, "tmp_mb": 8}
    return await register(graph["v0"], hostile, folder, **terms, limits=limits, row_ms=1_500, **changes)


@pytest.mark.full(WHY)
async def test_a_good_model_is_answered_beside_each_hostile_one(
    tmp_path: Path, archive: tuple[Path, str], hostile: tuple[Path, str]
) -> None:
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", ROLES, params=PARAMS) as graph:
        owner, server = graph["v0"], graph["v1"]
        await graph.start()
        good = await register(owner, archive, tmp_path)
        await serve(graph, good, *SERVERS)
        await owner.api.predict(good, "[0]\n", n=3)  # from now on images and containers are there
        found: dict[str, str] = {}
        for number, mode in enumerate(ENDS, 1):
            bad = await _hostile(graph, hostile, tmp_path, mode)
            await serve(graph, bad, "v1")
            asked = {"model": bad, "input": "[1]\n", "n": 1, "agree": 1, "tip": "0.01", "within_s": 120}
            request = (await owner.api.request_prediction(asked, wait=30))["request"]
            beside = await owner.api.predict(good, f"[{number}, 0.5]\n", n=3, within_s=120)
            assert (beside["outcome"], beside["agree"]) == ("AGREED", 3), f"beside {mode}: {beside}"
            assert beside["values"][0]["score"] == f"{3 * (number + 0.5):.9f}"
            ended = await in_state(owner, request, "AGREED", "WEAK", "FAILED", "FINAL")
            assert not ended["values"], mode
            found[mode] = ended["outcome"]
            await server.api.unserve(bad, wait=30)
            assert (await server.api.ready())["ready"], mode
        assert found == ENDS
        await _unharmed(graph, good)


@pytest.mark.full(WHY)
async def test_a_model_that_answers_by_the_dice_is_not_served(
    tmp_path: Path, archive: tuple[Path, str], hostile: tuple[Path, str]
) -> None:
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", ROLES, params=PARAMS) as graph:
        owner, server = graph["v0"], graph["v1"]
        await graph.start()
        good = await register(owner, archive, tmp_path)
        await serve(graph, good, *SERVERS)
        dice = await _hostile(
            graph, hostile, tmp_path, "answers_by_the_dice", sample=b"[1]\n", sample_answers=b"1 0.5\ncheck 0.5\n"
        )
        refusal, beside = await asyncio.gather(_refusal(server, dice), owner.api.predict(good, "[1, 2]\n", n=3, within_s=120))
        assert "two answers" in refusal or "differ" in refusal, refusal
        assert (beside["outcome"], beside["values"][0]["score"]) == ("AGREED", "9.000000000")
        assert (await owner.api.model(dice))["members"] == []
        quote = await owner.api.quote_prediction({"model": dice, "input": "[1]\n", "n": 1, "agree": 1})
        assert quote["refusal"] is not None and quote["refusal"]["name"] == "NO_SERVERS"
        await _unharmed(graph, good)


async def _refusal(node: NodeProcess, model: str) -> str:
    with pytest.raises(ApiError) as refused:
        await node.api.serve(model, wait=30)
    assert refused.value.name == "TRIAL_FAILED"
    return str(refused.value)


async def _unharmed(graph: Graph, good: str) -> None:
    """All nodes go on with one ledger, its money adds up, and the good model is answered."""
    after = await graph["v0"].api.predict(good, "[100]\n", n=3, within_s=120)
    assert (after["outcome"], after["agree"]) == ("AGREED", 3)
    await graph.agree()
    supply = {name: micro(value) for name, value in (await graph["v0"].api.supply()).items() if name != "height"}
    assert supply["accounts"] + supply["escrows"] == supply["supply"] == supply["minted"] - supply["burned"]
    for node in graph:
        assert (await node.api.status())["failing"] == [], node.name
