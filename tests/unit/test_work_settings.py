"""The work of a node goes by its [work] section as it stands; whether it trains is the command's word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from learningchain.client.config import OWN_SECTIONS, Config, ServeConfig, WorkConfig
from learningchain.client.work import work_settings
from tests.unit.test_work_graph import Graph
from tests.unit.work_kit import Chain, Node, Web, blocks, run_virtual, working


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("drawn", [True, False])
@pytest.mark.parametrize("willing", [True, False])
def test_whether_to_train_is_the_commands_word_and_whether_to_evaluate_also_the_ledgers(
    tmp_path: Path, said: bool, train: bool, drawn: bool, willing: bool
) -> None:
    """A node that neither trains nor can be drawn runs nothing, and needs no engine for its other duties."""
    section, serve = WorkConfig(enabled=said, verify=willing, attempts=7, min_bounty="2.5"), ServeConfig(slots=7)
    own: Any = {"federation": OWN_SECTIONS["federation"](serve=said)}
    settings = work_settings(Config(work=section, serve=serve, **own), train=train)
    assert settings == WorkConfig(enabled=train, verify=willing, attempts=7, min_bounty="2.5", serve=serve, **own)
    name = "v" if drawn else "w"
    node = Node(Chain(["v"], ["w"], capacity=None), Web(), name, tmp_path / name, settings, 0)

    async def main() -> None:
        work = await node.start()
        assert work.runs == (train or (willing and drawn))
        await work.stop()

    run_virtual(main())


def test_a_node_that_runs_takes_up_another_policy_without_a_restart(tmp_path: Path) -> None:
    """Jobs that it left alone are weighed again, and what it trains already goes on."""

    async def main() -> None:
        graph = Graph(tmp_path, config=working(min_bounty="100", attempts=1))
        chain, node = graph.chain, graph.nodes["a"]
        await graph.start("a")
        assert node.work is not None
        first, since = chain.post("boss", expiry=chain.clock + 300_000), chain.clock
        await blocks(chain, lambda: chain.clock > since + 20_000, 30)

        def trained() -> set[str]:
            return {spec.run_id.split("-")[1] for spec in node.engine.specs if spec.phase == "train"}

        assert not trained(), "ten credits are fewer than a hundred"
        node.engine.train_s = 60.0
        node.work.reconfigure(working(min_bounty="5", attempts=1))
        await blocks(chain, lambda: bool(trained()), 30)
        node.work.reconfigure(working(min_bounty="100", attempts=1))
        chain.post("boss", expiry=chain.clock + 300_000)
        await blocks(chain, lambda: bool(chain.describe(first)["claims"]), 120)
        assert trained() == {first.hex()[:32]}, "the other one is left alone, and what had begun went on"
        await graph.stop()

    run_virtual(main())
