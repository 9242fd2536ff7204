"""The work of a node goes by its [work] section as it stands; whether it trains is the command's word."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from learningchain.client.config import OWN_SECTIONS, Config, ServeConfig, WorkConfig
from learningchain.client.contracts.job.work import WORK
from learningchain.client.node import work_service
from learningchain.client.node.interface import Files, Ledger
from learningchain.client.node.work_service import WorkService
from tests.unit.test_work_graph import Graph
from tests.unit.work_kit import Chain, LedgerDouble, blocks, run_virtual, working


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("drawn", [True, False])
@pytest.mark.parametrize("willing", [True, False])
async def test_whether_to_train_is_the_commands_word_and_whether_to_evaluate_also_the_ledgers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bool, train: bool, drawn: bool, willing: bool
) -> None:
    """A node that neither trains nor can be drawn runs nothing, and needs no engine for its other duties."""
    given: list[WorkConfig] = []

    class Heard:
        def __init__(self, *args: Any, **more: Any) -> None:
            given.append(args[4])
            runs.append(WORK.runs(args[4], more["drawn"]()))

        async def start(self) -> None: ...

    runs: list[bool] = []
    monkeypatch.setattr(work_service, "WorkDriver", Heard)
    section = WorkConfig(enabled=said, verify=willing, attempts=7, min_bounty="2.5")
    chain = Chain(["v"], ["w"], capacity=None)
    ledger = LedgerDouble(chain, "v" if drawn else "w")
    own: Any = {"federation": OWN_SECTIONS["federation"](serve=said)}
    room = WorkService(
        tmp_path,
        Config(work=section, serve=ServeConfig(slots=7), **own),
        cast(Ledger, ledger),
        cast(Files, None),
        train=train,
    )
    await room.start()
    serve = ServeConfig(slots=7)
    assert given == [WorkConfig(enabled=train, verify=willing, attempts=7, min_bounty="2.5", serve=serve, **own)]
    assert runs == [train or (willing and drawn)]


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
